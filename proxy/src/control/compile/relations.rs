//! Relationships between boundary groups, and what the model without them refuses.

use std::collections::{BTreeMap, HashMap};

use super::SpannedName;
use super::roles::Roles;
use super::sites::Sites;
use crate::control::config::{
    BoundaryGroup, Config, DefaultBoundaryGroup, FallbackTime, Problems, TablePlaces, check_time, nearest, role_key,
};
use crate::model::role::Fallback;

/// Positions of groups by what the configuration calls them.
pub(super) struct Places {
    /// By lower-cased name.
    pub(super) by_name: HashMap<String, usize>,
    /// What "default" means to each group; `None` where there are several and the group is of no site.
    pub(super) default: Vec<Option<usize>>,
}

impl Places {
    /// The position of a group, as another one calls it.
    pub(super) fn find(&self, from: usize, name: &str) -> Option<usize> {
        match name.eq_ignore_ascii_case(DEFAULT) {
            true => self.default.get(from).copied().flatten(),
            false => self.by_name.get(&name.to_ascii_lowercase()).copied(),
        }
    }
}

/// What the configuration calls the site default boundary group.
pub(super) const DEFAULT: &str = "default";

pub(super) type Times = HashMap<String, Fallback>;

const OTHERWISE: &str = "or write model = \"relationships\" below [fallback]";

pub(super) fn neighbors(
    own: usize,
    group: &BoundaryGroup,
    (places, tables): (&Places, &TablePlaces),
    roles: &Roles<'_>,
    problems: &mut Problems,
) -> Vec<(usize, Times)> {
    let mut found: Vec<(usize, Times)> = Vec::new();
    for (place, neighbor) in group.neighbors.iter().enumerate() {
        let times = times(&neighbor.fallback, roles, problems);
        let Some(name) = &neighbor.group else {
            let at = tables.element(&format!("boundary_groups.{own}.neighbors"), place);
            problems.missing(at, "a neighbor of this group is not named", "write { group = \"...\", ... }");
            continue;
        };
        let is_default = name.get_ref().eq_ignore_ascii_case(DEFAULT);
        match places.find(own, name.get_ref()) {
            Some(position) if position == own => {
                problems.error(name.span(), "a boundary group cannot be its own neighbor", "take it out");
            }
            Some(position) if found.iter().any(|(other, _)| *other == position) => {
                let text = format!("{:?} is a neighbor twice", name.get_ref());
                problems.error(name.span(), text, "write one relationship with all its times");
            }
            Some(position) => found.push((position, times)),
            None if is_default => {
                let text = "there are several sites, and this boundary group belongs to none of them";
                let help =
                    "write the whole name, such as \"Default-Site-Boundary-GroupP01\", or site = \"P01\" in the group";
                problems.error(name.span(), text, help);
            }
            None => {
                let help = match nearest(name.get_ref(), places.by_name.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "add a [[boundary_groups]] with this name, or take the neighbor out".to_owned(),
                };
                problems.error(name.span(), format!("there is no boundary group {:?}", name.get_ref()), help);
            }
        }
    }
    found
}

/// Fallback times by the key of the role.
pub(super) fn times(
    written: &BTreeMap<SpannedName, toml::Spanned<FallbackTime>>,
    roles: &Roles<'_>,
    problems: &mut Problems,
) -> Times {
    let mut times = Times::new();
    for (role, time) in written {
        match roles.spoken_of(role.get_ref()) {
            Some(known) => {
                let before = times.insert(role_key(role.get_ref()), check_time(&known, time, problems));
                if before.is_some() {
                    let text = format!("there are two times for {}", known.title);
                    problems.error(role.span(), text, "write the role once, under one of its names");
                }
            }
            None => problems.error(
                role.span(),
                format!("no site system holds a role {:?}", role.get_ref()),
                "write a role that is used, such as DP, MP or SUP",
            ),
        }
    }
    times
}

/// ConfigMgr 1511 to 1606 has neither relationships nor a site default boundary group.
pub(super) fn refuse(config: &Config, sites: &Sites<'_>, problems: &mut Problems) {
    for (position, group) in config.boundary_groups.iter().enumerate() {
        for neighbor in &group.neighbors {
            let near = || config.tables.element("boundary_groups", position);
            problems.error(
                neighbor.group.as_ref().map_or_else(near, toml::Spanned::span),
                "the older model has no relationships between boundary groups",
                format!("take the neighbor out, {OTHERWISE}"),
            );
        }
    }
    let written = sites.list.iter().flat_map(|site| {
        let DefaultBoundaryGroup { site_systems, fallback, description: _ } = site.default;
        site_systems.iter().map(toml::Spanned::span).chain(fallback.keys().map(toml::Spanned::span))
    });
    for span in written {
        problems.error(
            span,
            "the older model has no relationships and no site default boundary group",
            format!("take it out and write fallback_source = true at site systems that serve everybody, {OTHERWISE}"),
        );
    }
}
