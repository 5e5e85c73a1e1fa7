//! What several sites mean to roles, site systems, boundary groups and listeners.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::groups::Groups;
use super::names::{meanings_of, written};
use super::roles::Roles;
use super::sites::{OTHER, Of, Sites, Split, cluster};
use super::systems::{Systems, normal};
use crate::control::config::{Config, Problems};
use crate::model::boundary::{BoundaryTable, GroupId};
use crate::model::called::Names;
use crate::model::role::{Balance, Locality, Reach, Role};
use crate::model::sites::{self as model, Because, OneSite, Placed};

/// Reports names that mean two sites, and what a site has that no client will ever use.
pub(super) fn check(
    config: &Config,
    sites: &Sites<'_>,
    roles: &Roles<'_>,
    systems: &Systems<'_>,
    problems: &mut Problems,
) {
    for listener in &config.listeners {
        sites.find(listener.site.as_ref(), problems);
    }
    if !sites.several() {
        return;
    }
    refuse_strangers(config, sites, systems, problems);
    if problems.is_fatal() {
        return;
    }
    for (place, site) in sites.list.iter().enumerate() {
        let own = |system: &u16| usize::from(*system) == place;
        if let (false, Some(code)) = (systems.sites.iter().any(own), site.written) {
            let text = format!("no site system belongs to the site {:?}", site.code);
            problems.warning(code.span(), text, "write its code at site systems of it, or take the site out");
        }
    }
    for position in 0..roles.len() {
        let role = roles.get(position);
        for member in systems.of_role(position) {
            let left_out = is_left_out(sites, systems, role, position, member.system_index);
            if let (true, Some(at)) = (left_out, systems.written.get(&member.system_index)) {
                let text = format!(
                    "{} at {:?} of a secondary site gets no request: boundary groups do not decide about the role, and \
                     clients are assigned to the primary site",
                    role.title, member.system
                );
                problems.warning(at.span(), text, "take the role out there, or write another locality");
            }
        }
    }
}

/// A name of a site may be no name of another site's system.
fn refuse_strangers(config: &Config, sites: &Sites<'_>, systems: &Systems<'_>, problems: &mut Problems) {
    let hosts = sites
        .list
        .iter()
        .enumerate()
        .flat_map(|(place, site)| site.hosts.iter().map(move |(host, written)| (host.as_str(), (place, *written))));
    let hosts: BTreeMap<&str, (usize, &super::SpannedName)> = hosts.collect();
    for (index, system) in config.site_systems.iter().enumerate().filter(|(_, system)| system.site.is_some()) {
        let site = systems.sites.get(index).copied().map_or(0, usize::from);
        for (name, _) in written(system) {
            let Some((other, host)) = hosts.get(normal(name.get_ref()).as_str()) else { continue };
            if *other != site {
                let text = format!("{:?} is a site system of another site", host.get_ref());
                problems.error(host.span(), text, "a name means one site: take it out of one of them");
                problems.error(name.span(), format!("{:?} is in the hosts of another site", name.get_ref()), OTHER);
            }
        }
    }
}

/// Whether a site system of a secondary site is left out: no boundary group can prefer it, and the primary site has others.
fn is_left_out(sites: &Sites<'_>, systems: &Systems<'_>, role: &Role, position: usize, system: u16) -> bool {
    let site = systems.site_of(system);
    let primary = sites.assigned(site);
    let blind = role.locality == Locality::Site || role.balance == Balance::Device;
    let mut members = systems.of_role(position).iter();
    role.reach == Reach::Site
        && site != primary
        && blind
        && members.any(|member| systems.site_of(member.system_index) == primary)
}

/// Whose boundaries overlap and assign to two sites: ConfigMgr leaves it to chance.
pub(super) fn warn_about_overlaps(
    config: &Config,
    sites: &Sites<'_>,
    groups: &Groups,
    table: &BoundaryTable,
    problems: &mut Problems,
) {
    let mut said: Vec<(GroupId, GroupId)> = Vec::new();
    for set in table.sets().filter(|_| sites.several()) {
        let sited = set.iter().filter_map(|group| Some((*group, sites.assigned(groups.site_of(*group)?))));
        let sited: Vec<(GroupId, u16)> = sited.collect();
        let Some((first, site)) = sited.first() else { continue };
        let Some((second, _)) = sited.iter().find(|(_, other)| other != site) else { continue };
        if said.contains(&(*first, *second)) {
            continue;
        }
        said.push((*first, *second));
        let name = |group: GroupId| groups.names[usize::from(group.0)].as_str();
        let at = config.boundary_groups[usize::from(second.0)].site.as_ref();
        problems.warning(
            at.map_or(0..0, toml::Spanned::span),
            format!("{:?} and {:?} have addresses in common and assign to two sites", name(*first), name(*second)),
            "ConfigMgr assigns such a client at random, and rolegate takes the first group; make the boundaries disjoint",
        );
    }
}

/// Clusters of the roles: those that routes lead to come first, in the order of the roles.
pub(super) fn split(sites: &Sites<'_>, roles: &[Arc<Role>], systems: &Systems<'_>) -> Split {
    let mut split = Split { clusters: Vec::new(), by_site: Vec::new() };
    let mut more = Vec::new();
    for (position, role) in roles.iter().enumerate() {
        let members = systems.of_role(position);
        let mut of_primary: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (place, member) in members.iter().enumerate().filter(|_| sites.several() && role.reach == Reach::Site) {
            if !is_left_out(sites, systems, role, position, member.system_index) {
                let primary = sites.assigned(systems.site_of(member.system_index));
                of_primary.entry(primary).or_default().push(place);
            }
        }
        let mut places: BTreeMap<u16, usize> = BTreeMap::new();
        if of_primary.is_empty() {
            split.clusters.push(Of { position, site: None, members: (0..members.len()).collect() });
        }
        for (site, members) in of_primary {
            let of = Of { position, site: Some(site), members };
            let first = places.is_empty();
            places.insert(site, if first { position } else { roles.len() + more.len() });
            if first { split.clusters.push(of) } else { more.push(of) }
        }
        let of_site = |site: usize| match places.is_empty() {
            true => Some(cluster(position)),
            false => places.get(&sites.assigned(site as u16)).map(|place| cluster(*place)),
        };
        split.by_site.push((0..sites.list.len()).map(of_site).collect());
    }
    split.clusters.extend(more);
    split
}

/// What a request needs to know of sites.
pub(super) fn model(
    config: &Config,
    sites: &Sites<'_>,
    groups: &Groups,
    systems: &Systems<'_>,
    split: &Split,
) -> model::Sites {
    if !sites.several() {
        return model::Sites::default();
    }
    let of_systems = systems.members.iter().flatten().map(|member| {
        let site = systems.site_of(member.system_index);
        (&member.names[..], Placed { site, because: Because::SiteSystem })
    });
    let mut names: BTreeMap<Box<str>, Placed> = meanings_of(of_systems).into_iter().collect();
    for (place, site) in sites.list.iter().enumerate() {
        let placed = Placed { site: place as u16, because: Because::Host };
        names.extend(site.hosts.iter().map(|(host, _)| (Box::from(host.as_str()), placed)));
    }
    let list = sites.list.iter().enumerate().map(|(place, site)| OneSite {
        code: site.code.as_str().into(),
        primary: site.primary,
        default_group: groups.default_of(place as u16),
        hosts: site.hosts.iter().map(|(host, _)| Box::from(host.as_str())).collect(),
    });
    // What is wrong with them was said before.
    let mut said = Problems::new();
    model::Sites {
        list: list.collect(),
        names: Names::new(names.into_iter().collect()),
        groups: groups.sites.iter().copied().collect(),
        listeners: config.listeners.iter().map(|own| sites.find(own.site.as_ref(), &mut said)).collect(),
        clusters: split.by_site.iter().map(|own| own.clone().into_boxed_slice()).collect(),
    }
}
