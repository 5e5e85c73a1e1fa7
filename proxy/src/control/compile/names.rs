//! Names in `Host` that mean a site system.

use std::collections::HashMap;
use std::net::IpAddr;

use super::MemberPlan;
use super::roles::Roles;
use super::systems::{Systems, normal};
use crate::control::config::{Config, Problems, RoleEntry, SiteSystem, text};
use crate::model::role::Naming;
use crate::wire::host::is_host;

/// What each name means among the site systems of one role, sorted. A short name or an address that several of them have
/// means none of them.
pub fn meanings(members: &[MemberPlan]) -> Vec<(Box<str>, u16)> {
    meanings_of(members.iter().map(|member| (&member.names[..], member.system_index)))
}

/// The same for anything that has names.
pub(super) fn meanings_of<'a, T: Copy + Ord>(named: impl Iterator<Item = (&'a [String], T)>) -> Vec<(Box<str>, T)> {
    let named: Vec<(&[String], T)> = named.collect();
    let mut meanings: HashMap<&str, Option<T>> = HashMap::new();
    for (names, meaning) in &named {
        meanings.extend(names.first().map(|name| (&**name, Some(*meaning))));
    }
    let aliases = named.iter().flat_map(|(names, meaning)| names.iter().skip(1).map(move |name| (&**name, *meaning)));
    let shorts = named.iter().flat_map(|(names, meaning)| {
        let long = names.iter().filter(|name| is_long(name));
        long.filter_map(|name| name.split('.').next()).map(move |label| (label, *meaning))
    });
    for layer in [aliases.collect::<Vec<_>>(), shorts.collect()] {
        let mut new: HashMap<&str, Option<T>> = HashMap::new();
        for (name, meaning) in layer.into_iter().filter(|(name, _)| !meanings.contains_key(name)) {
            let known = new.entry(name).or_insert(Some(meaning));
            if *known != Some(meaning) {
                *known = None;
            }
        }
        meanings.extend(new);
    }
    let mut sorted: Vec<(Box<str>, T)> =
        meanings.into_iter().filter_map(|(name, meaning)| Some((Box::from(name), meaning?))).collect();
    sorted.sort_unstable();
    sorted
}

/// Whether a name has a short one: its first label.
fn is_long(name: &str) -> bool {
    name.parse::<IpAddr>().is_err() && !name.starts_with('[') && name.contains('.')
}

/// Reports names that mean two site systems, and roles that tell their servers apart by names which these do not have.
pub(super) fn check(config: &Config, roles: &Roles<'_>, systems: &Systems<'_>, problems: &mut Problems) {
    for alias in config.site_systems.iter().flat_map(|system| &system.host_names) {
        text::one(alias, text::host, problems);
    }
    check_aliases(config, problems);
    for position in 0..roles.len() {
        let members = systems.of_role(position);
        if roles.get(position).named != Naming::Only || members.len() < 2 {
            continue;
        }
        let meanings = meanings(members);
        let called = |member: &MemberPlan| {
            meanings.iter().any(|(name, system)| *system == member.system_index && is_host(name.as_bytes()))
        };
        for member in members.iter().filter(|member| !called(member)) {
            let Some(system) = config.site_systems.get(usize::from(member.system_index)) else { continue };
            let Some(name) = &system.name else { continue };
            let text = format!(
                "no Host can name {:?}, and with named = \"only\" the role {} serves nobody else's requests there",
                name.get_ref(),
                roles.get(position).title
            );
            problems.error(name.span(), text, "give it a name that no other has: host_names = [\"...\"]");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Address,
    Alias,
    /// The first label of one of these.
    Short,
}

/// Where a name is written, and for which site system.
struct Written<'a> {
    at: &'a super::SpannedName,
    kind: Kind,
    owner: usize,
}

fn check_aliases(config: &Config, problems: &mut Problems) {
    let mut seen: HashMap<String, Vec<Written<'_>>> = HashMap::new();
    for (owner, system) in config.site_systems.iter().enumerate() {
        for (at, kind) in written(system) {
            let name = normal(at.get_ref());
            if is_long(&name) {
                let short = name.split('.').next().unwrap_or_default().to_owned();
                seen.entry(short).or_default().push(Written { at, kind: Kind::Short, owner });
            }
            seen.entry(name).or_default().push(Written { at, kind, owner });
        }
    }
    let name = |owner: usize| {
        let name = config.site_systems.get(owner).and_then(|system| system.name.as_ref());
        name.map_or("another site system", |name| name.get_ref().as_str())
    };
    let mut twice: Vec<(&Written<'_>, &Written<'_>)> = Vec::new();
    for all in seen.values() {
        for alias in all.iter().filter(|written| written.kind == Kind::Alias) {
            // Of two site systems with one short name, an alias says which.
            let short = |other: &&Written<'_>| other.kind == Kind::Short;
            let says_which = all.iter().filter(short).any(|other| other.owner == alias.owner);
            let mut others = all.iter().filter(|other| other.owner != alias.owner && !(says_which && short(other)));
            twice.extend(others.next().map(|other| (alias, other)));
        }
    }
    twice.sort_by_key(|(alias, _)| alias.at.span().start);
    for (alias, other) in twice {
        let what = match other.kind {
            Kind::Name => "the name",
            Kind::Address => "the address",
            Kind::Alias => "one of the host_names",
            Kind::Short => "the short name",
        };
        let text = format!(
            "{:?} means {:?} and is {what} of {:?} too",
            alias.at.get_ref(),
            name(alias.owner),
            name(other.owner)
        );
        problems.error(alias.at.span(), text, "a name in Host means one site system: take it out of one of them");
        if other.kind != Kind::Alias {
            let text = format!("{:?} is in the host_names of {:?} too", other.at.get_ref(), name(alias.owner));
            problems.error(other.at.span(), text, "that is the other place");
        }
    }
}

/// Everything that is a name of a site system.
pub(super) fn written(system: &SiteSystem) -> Vec<(&super::SpannedName, Kind)> {
    let of_roles = system.roles().iter().filter_map(|entry| match entry.get_ref() {
        RoleEntry::Table(table) => table.address.as_ref(),
        RoleEntry::Name(_) => None,
    });
    let addresses = system.address.iter().chain(of_roles).map(|address| (address, Kind::Address));
    let name = system.name.iter().map(|name| (name, Kind::Name));
    name.chain(addresses).chain(system.host_names.iter().map(|alias| (alias, Kind::Alias))).collect()
}
