//! The roles that a configuration uses: presets with their overrides, and roles of one's own.

use std::collections::HashMap;
use std::sync::Arc;

use super::SpannedName;
use crate::control::config::{Config, Problems, RoleOverrides, count, effective_role, role_key};
use crate::model::presets;
use crate::model::role::{Clock, Role};

/// Roles by name; each has a position, which becomes its cluster id.
#[derive(Debug)]
pub(super) struct Roles<'a> {
    overrides: HashMap<String, (&'a SpannedName, &'a RoleOverrides)>,
    by_name: HashMap<String, Option<usize>>,
    list: Vec<Arc<Role>>,
    /// For roles that do not say their own.
    clock: Clock,
}

impl<'a> Roles<'a> {
    /// Reads `[roles]`.
    pub(super) fn collect(config: &'a Config, clock: Clock, problems: &mut Problems) -> Self {
        let mut overrides: HashMap<String, (&'a SpannedName, &'a RoleOverrides)> = HashMap::new();
        for (name, own) in &config.roles {
            if let Some((first, _)) = overrides.insert(role_key(name.get_ref()), (name, own)) {
                problems.error(
                    name.span(),
                    format!("{:?} and {:?} are the same role", name.get_ref(), first.get_ref()),
                    "put everything about a role into one table",
                );
            }
        }
        let mut roles = Self { overrides, by_name: HashMap::new(), list: Vec::new(), clock };
        // Mistakes in a table are shown even when nothing uses its role.
        for name in config.roles.keys() {
            roles.find(name, problems);
        }
        roles
    }

    /// The position of a role; a name that means none is reported once for each place.
    pub(super) fn find(&mut self, name: &SpannedName, problems: &mut Problems) -> Option<usize> {
        let key = role_key(name.get_ref());
        if let Some(Some(known)) = self.by_name.get(&key) {
            return Some(*known);
        }
        let own = self.overrides.get(&key).map(|(_, own)| *own);
        if own.is_some() && self.by_name.contains_key(&key) {
            return None;
        }
        if own.is_none()
            && presets::canonical(name.get_ref()).is_none()
            && presets::without_clients(name.get_ref()).is_none()
            && let Some(near) = super::super::config::nearest(&key, self.overrides.keys().map(String::as_str))
        {
            problems.error(
                name.span(),
                format!("there is no role {:?}", name.get_ref()),
                format!("did you mean {near:?}, which [roles] defines?"),
            );
            return None;
        }
        let role = effective_role(name, own, problems);
        let position = role.map(|mut role| {
            if own.is_none_or(|own| own.clock.is_none()) {
                role.clock = self.clock;
            }
            if own.is_none_or(|own| own.default_fallback.is_none()) {
                self.inherit_default(&mut role);
            }
            self.list.push(Arc::new(role));
            self.list.len() - 1
        });
        self.by_name.insert(key, position);
        position
    }

    /// What `[roles]` says of a role holds for its relatives.
    fn inherit_default(&self, role: &mut Role) {
        let relatives = presets::spoken_of(role).into_iter().skip(1);
        let mut said = relatives.filter_map(|name| self.overrides.get(&name)?.1.default_fallback.as_ref());
        if let Some(time) = said.next() {
            role.default_fallback = count(role, time.get_ref().get());
        }
    }

    /// The role of this name, if some part of the configuration uses it.
    pub(super) fn used(&self, name: &str) -> Option<&Arc<Role>> {
        self.by_name.get(&role_key(name)).copied().flatten().map(|position| &self.list[position])
    }

    /// The role that a fallback time with this name is about: one that is used, or one that a used role follows.
    pub(super) fn spoken_of(&self, name: &str) -> Option<Arc<Role>> {
        if let Some(used) = self.used(name) {
            return Some(Arc::clone(used));
        }
        let key = role_key(name);
        let followed = self.list.iter().any(|role| presets::spoken_of(role).contains(&key));
        presets::find(name).filter(|_| followed).map(Arc::new)
    }

    /// The role at a position.
    pub(super) fn get(&self, position: usize) -> &Arc<Role> {
        &self.list[position]
    }

    /// What `[roles]` says about the role at a position.
    pub(super) fn overrides(&self, position: usize) -> Option<&'a RoleOverrides> {
        self.overrides.get(&self.list[position].name).map(|(_, own)| *own)
    }

    /// How many roles there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// All roles, by position.
    pub(super) fn into_used(self) -> Vec<Arc<Role>> {
        self.list
    }
}
