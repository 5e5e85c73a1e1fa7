//! What one configuration changes of another, in the words of the site.

use std::collections::{BTreeMap, BTreeSet};

use super::certificates::date;
use super::compile::{Compiled, GroupPlan, MemberPlan, Place};
use crate::model::boundary::GroupId;
use crate::model::role::Role;
use crate::model::snapshot::{ListenerRoutes, Site};

/// Names in one sentence; how many more there are is said.
const NAMED: usize = 5;
/// Site systems that differ which get a sentence each; of more, the names.
const TOLD: usize = 20;

/// What is different in `new`, a sentence each; nothing when they say the same.
pub fn difference(old: &Compiled, new: &Compiled) -> Vec<String> {
    let mut told = Vec::new();
    if old.site.code != new.site.code {
        told.push(format!("the site is {} (was {})", new.site.code, old.site.code));
    }
    roles(old, new, &mut told);
    systems(old, new, &mut told);
    groups(old, new, &mut told);
    listeners(old, new, &mut told);
    settings(old, new, &mut told);
    told
}

/// What came, what went, and a word for each that is other than it was.
fn each<V: PartialEq>(
    what: &str,
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
    told: &mut Vec<String>,
    differs: impl Fn(&V, &V) -> String,
) {
    let added: Vec<&str> = new.keys().filter(|name| !old.contains_key(*name)).map(String::as_str).collect();
    let removed: Vec<&str> = old.keys().filter(|name| !new.contains_key(*name)).map(String::as_str).collect();
    let changed: Vec<(&str, &V, &V)> = new
        .iter()
        .filter_map(|(name, new)| old.get(name).filter(|old| *old != new).map(|old| (name.as_str(), old, new)))
        .collect();
    told.extend(listed(what, "added", &added));
    told.extend(listed(what, "removed", &removed));
    match changed.len() > TOLD {
        true => {
            let names: Vec<&str> = changed.iter().map(|(name, ..)| *name).collect();
            told.extend(listed(what, "changed", &names));
        }
        false => told.extend(changed.iter().map(|(name, old, new)| format!("{what} {name}: {}", differs(old, new)))),
    }
}

fn listed(what: &str, verb: &str, names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{what} {one} {verb}")),
        _ => {
            let more = names.len().saturating_sub(NAMED);
            let first = names[..names.len().min(NAMED)].join(", ");
            let end = if more > 0 { format!(" and {more} more") } else { String::new() };
            Some(format!("{} {what}s {verb}: {first}{end}", names.len()))
        }
    }
}

fn roles(old: &Compiled, new: &Compiled, told: &mut Vec<String>) {
    let all = |compiled: &Compiled| -> BTreeMap<String, Role> {
        compiled.roles.iter().map(|plan| (plan.role.name.clone(), Role::clone(&plan.role))).collect()
    };
    each("role", &all(old), &all(new), told, keys_of_role);
}

/// The keys in which two roles differ.
fn keys_of_role(old: &Role, new: &Role) -> String {
    let fields = |role: &Role| match serde_json::to_value(role) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let keys: Vec<&str> =
        new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, _)| &**key).collect();
    match keys.is_empty() {
        true => "settings changed".to_owned(),
        false => format!("{} changed", keys.join(", ")),
    }
}

/// A site system in all its roles: what of it can differ.
#[derive(Debug, Default, PartialEq)]
struct System {
    /// Addresses or names, which are the same in all roles.
    at: BTreeSet<String>,
    /// Port, weight and its own settings, by role.
    roles: BTreeMap<String, (u16, u32, Role)>,
}

fn systems(old: &Compiled, new: &Compiled, told: &mut Vec<String>) {
    let all = |compiled: &Compiled| {
        let mut systems: BTreeMap<String, System> = BTreeMap::new();
        for plan in &compiled.roles {
            for member in &plan.members {
                let system = systems.entry(member.system.to_string()).or_default();
                system.at.insert(place(member));
                let own = (member.port, member.weight, Role::clone(&member.role));
                system.roles.insert(plan.role.name.clone(), own);
            }
        }
        systems
    };
    each("site system", &all(old), &all(new), told, system_differs);
}

fn place(member: &MemberPlan) -> String {
    match &member.place {
        Place::Address(address) => address.to_string(),
        Place::Name(name) => name.to_string(),
    }
}

fn system_differs(old: &System, new: &System) -> String {
    let mut parts = Vec::new();
    let list = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if old.at != new.at {
        parts.push(format!("is at {} (was {})", list(&new.at), list(&old.at)));
    }
    for (role, (port, weight, own)) in &new.roles {
        let Some((old_port, old_weight, old_own)) = old.roles.get(role) else {
            parts.push(format!("gets the role {role}"));
            continue;
        };
        if port != old_port {
            parts.push(format!("port {port} (was {old_port}) as {role}"));
        }
        if weight != old_weight {
            parts.push(format!("weight {weight} (was {old_weight}) as {role}"));
        }
        if own != old_own && (port, weight) == (old_port, old_weight) {
            parts.push(format!("as {role}: {}", keys_of_role(old_own, own)));
        }
    }
    let lost = old.roles.keys().filter(|role| !new.roles.contains_key(*role));
    parts.extend(lost.map(|role| format!("loses the role {role}")));
    parts.join("; ")
}

/// A boundary group: what of it can differ.
#[derive(Debug, Default, PartialEq)]
struct Group {
    boundaries: BTreeSet<String>,
    systems: BTreeSet<(String, String)>,
    relationships: BTreeSet<(String, String, u32)>,
}

fn groups(old: &Compiled, new: &Compiled, told: &mut Vec<String>) {
    each("boundary group", &all_groups(old), &all_groups(new), told, |old, new| {
        let mut parts = Vec::new();
        if old.boundaries != new.boundaries {
            let gone = old.boundaries.difference(&new.boundaries).count();
            let come = new.boundaries.difference(&old.boundaries).count();
            parts.push(format!("boundaries: {come} added, {gone} removed"));
        }
        let names = |group: &Group| group.systems.iter().map(|(_, system)| system.clone()).collect::<BTreeSet<_>>();
        if old.systems != new.systems {
            let (old, new) = (names(old), names(new));
            let changes = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            let (come, gone) = (changes(&new, &old), changes(&old, &new));
            let come = come.iter().map(String::as_str).collect::<Vec<_>>();
            let gone = gone.iter().map(String::as_str).collect::<Vec<_>>();
            parts.extend(listed("site system", "added", &come));
            parts.extend(listed("site system", "removed", &gone));
            if come.is_empty() && gone.is_empty() {
                parts.push("roles of its site systems changed".to_owned());
            }
        }
        if old.relationships != new.relationships {
            parts.push("relationships changed".to_owned());
        }
        parts.join("; ")
    });
}

fn all_groups(compiled: &Compiled) -> BTreeMap<String, Group> {
    let names = &compiled.site.group_names;
    let name = |id: GroupId| names.get(usize::from(id.0)).cloned().unwrap_or_default();
    let mut groups: BTreeMap<String, Group> = names.iter().map(|name| (name.clone(), Group::default())).collect();
    for (range, id) in &compiled.site.boundary_list {
        if let Some(group) = groups.get_mut(&name(*id)) {
            group.boundaries.insert(range.to_string());
        }
    }
    for plan in &compiled.roles {
        for (own, GroupPlan { members, slow, links }) in names.iter().zip(&plan.groups) {
            let Some(group) = groups.get_mut(own) else { continue };
            let role = || plan.role.name.clone();
            let systems = members.iter().chain(slow).filter_map(|member| plan.members.get(*member));
            group.systems.extend(systems.map(|member| (role(), member.system.to_string())));
            group.relationships.extend(links.iter().map(|link| (role(), name(link.group), link.offset)));
        }
    }
    groups
}

/// A listener: what of it can differ.
#[derive(Debug, PartialEq)]
struct Listener {
    address: String,
    roles: BTreeSet<String>,
    /// The first name of each certificate, and when it ends.
    certificates: Vec<(String, i64)>,
}

fn listeners(old: &Compiled, new: &Compiled, told: &mut Vec<String>) {
    each("listener", &all_listeners(old), &all_listeners(new), told, |old, new| {
        let mut parts = Vec::new();
        if old.address != new.address {
            parts.push(format!("is at {} (was {})", new.address, old.address));
        }
        if old.roles != new.roles {
            let list: Vec<&str> = new.roles.iter().map(String::as_str).collect();
            parts.push(format!("serves {}", list.join(", ")));
        }
        for (name, end) in new.certificates.iter().filter(|one| !old.certificates.contains(one)) {
            parts.push(format!("the certificate for {name} ends on {}", date(*end)));
        }
        if parts.is_empty() {
            parts.push("certificates changed".to_owned());
        }
        parts.join("; ")
    });
}

fn all_listeners(compiled: &Compiled) -> BTreeMap<String, Listener> {
    let each = compiled.listeners.iter().zip(&compiled.site.listeners);
    each.map(|(bound, routes)| {
        let listener = Listener {
            address: bound.address.to_string(),
            roles: roles_of(routes, compiled),
            certificates: routes.entry.terminated().map_or_else(Vec::new, |terminated| {
                let each = terminated.certificates.iter();
                each.map(|one| (one.names.first().unwrap_or(&one.file).clone(), one.not_after)).collect()
            }),
        };
        (bound.name.clone(), listener)
    })
    .collect()
}

fn roles_of(routes: &ListenerRoutes, compiled: &Compiled) -> BTreeSet<String> {
    let ids = routes.routes.routes().map(|route| route.cluster).chain(routes.tcp);
    ids.filter_map(|id| compiled.roles.get(usize::from(id.0)).map(|plan| plan.role.name.clone())).collect()
}

fn settings(old: &Compiled, new: &Compiled, told: &mut Vec<String>) {
    let (a, b): (&Site, &Site) = (&old.site, &new.site);
    let mut changed = |differs: bool, what: &str| {
        if differs {
            told.push(format!("{what} changed"));
        }
    };
    changed(a.limits != b.limits, "limits of client connections");
    changed(a.trusted_proxies != b.trusted_proxies, "trusted_proxies");
    changed(a.client_address_field != b.client_address_field, "client_address_field");
    changed(a.fallback != b.fallback, "settings of fallback");
    changed(a.content != b.content, "settings of content");
    changed(a.admin.token != b.admin.token, "the token of the admin listener");
    changed(a.admin.host_names != b.admin.host_names, "host_names of the admin listener");
}
