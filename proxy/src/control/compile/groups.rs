//! Boundary groups: their boundaries, their site systems, and where their clients fall back to.

use std::collections::HashMap;
use std::sync::Arc;

use super::roles::Roles;
use super::systems::Systems;
use super::{GroupPlan, Once, RolePlan, SpannedName, link};
use crate::control::config::{
    BoundaryEntry, BoundaryGroup, Config, FallbackTime, Problems, nearest, parse_boundary, role_key,
};
use crate::model::boundary::GroupId;
use crate::model::boundary_range::AddressRange;
use crate::model::cluster::{Link, TierKind};
use crate::model::role::{Fallback, Locality, Role};

/// What the configuration calls the site default boundary group.
const DEFAULT: &str = "default";
/// Name of the site default boundary group, as ConfigMgr spells it.
const DEFAULT_NAME: &str = "Default-Site-Boundary-Group";

type Times = HashMap<String, Fallback>;

#[derive(Debug)]
pub(super) struct Groups {
    /// The default group is the last.
    pub(super) names: Vec<String>,
    pub(super) boundaries: Vec<(AddressRange, GroupId)>,
    systems: Vec<Vec<u16>>,
    neighbors: Vec<Vec<(usize, Times)>>,
    default_behavior: Times,
}

pub(super) fn compile(config: &Config, roles: &Roles<'_>, systems: &Systems<'_>, problems: &mut Problems) -> Groups {
    let default = config.boundary_groups.len();
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut names = Once::new("boundary group");
    for (position, group) in config.boundary_groups.iter().enumerate() {
        let Some(name) = &group.name else {
            let near = group.site_systems.first().map_or(0..0, toml::Spanned::span);
            problems.missing(near, "a boundary group has no name", "add name = \"...\" to this [[boundary_groups]]");
            continue;
        };
        if name.get_ref().eq_ignore_ascii_case(DEFAULT) {
            let help = "describe the site default boundary group in [default_boundary_group]";
            problems.error(name.span(), "\"default\" means the site default boundary group", help);
        }
        names.check(name, problems);
        positions.insert(name.get_ref().to_ascii_lowercase(), position);
    }
    positions.insert(DEFAULT.to_owned(), default);
    if default >= usize::from(u16::MAX) {
        problems.error(0..0, format!("{default} boundary groups"), "at most 65534 can be served");
    }
    let mut groups = Groups {
        names: config
            .boundary_groups
            .iter()
            .map(display_name)
            .chain([DEFAULT_NAME.to_owned() + &code(config)])
            .collect(),
        boundaries: Vec::new(),
        systems: Vec::new(),
        neighbors: Vec::new(),
        default_behavior: times(&config.default_boundary_group.fallback, roles, problems),
    };
    let ad_sites = ad_sites(config, problems);
    for (position, group) in config.boundary_groups.iter().enumerate() {
        groups.add_boundaries(position, group, &ad_sites, problems);
        groups.systems.push(site_systems(&group.site_systems, systems, problems));
        groups.neighbors.push(neighbors(position, group, &positions, roles, problems));
    }
    groups.systems.push(site_systems(&config.default_boundary_group.site_systems, systems, problems));
    groups.warn_about_unreachable_roles(config, roles, systems, problems);
    groups
}

fn code(config: &Config) -> String {
    config.site.code.as_ref().map(|code| code.get_ref().clone()).unwrap_or_default()
}

fn display_name(group: &BoundaryGroup) -> String {
    group.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default()
}

fn site_systems(names: &[SpannedName], systems: &Systems<'_>, problems: &mut Problems) -> Vec<u16> {
    let mut found = Vec::new();
    for name in names {
        if let Some(system) = systems.find(name, problems)
            && !found.contains(&system)
        {
            found.push(system);
        }
    }
    found
}

fn neighbors(
    own: usize,
    group: &BoundaryGroup,
    positions: &HashMap<String, usize>,
    roles: &Roles<'_>,
    problems: &mut Problems,
) -> Vec<(usize, Times)> {
    let mut found: Vec<(usize, Times)> = Vec::new();
    for neighbor in &group.neighbors {
        let times = times(&neighbor.fallback, roles, problems);
        let Some(name) = &neighbor.group else {
            let near = group.name.as_ref().map_or(0..0, toml::Spanned::span);
            problems.missing(near, "a neighbor of this group is not named", "write { group = \"...\", ... }");
            continue;
        };
        match positions.get(&name.get_ref().to_ascii_lowercase()) {
            Some(&position) if position == own => {
                problems.error(name.span(), "a boundary group cannot be its own neighbor", "take it out");
            }
            Some(position) if found.iter().any(|(other, _)| other == position) => {
                let text = format!("{:?} is a neighbor twice", name.get_ref());
                problems.error(name.span(), text, "write one relationship with all its times");
            }
            Some(&position) => found.push((position, times)),
            None => {
                let help = match nearest(name.get_ref(), positions.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "add a [[boundary_groups]] with this name, or take the neighbor out".to_owned(),
                };
                problems.error(name.span(), format!("there is no boundary group {:?}", name.get_ref()), help);
            }
        }
    }
    found
}

fn times(
    written: &std::collections::BTreeMap<SpannedName, FallbackTime>,
    roles: &Roles<'_>,
    problems: &mut Problems,
) -> Times {
    let mut times = Times::new();
    for (role, time) in written {
        if roles.knows(role.get_ref()) {
            times.insert(role_key(role.get_ref()), time.get());
        } else {
            problems.error(
                role.span(),
                format!("no site system holds a role {:?}", role.get_ref()),
                "write a role that is used, such as DP, MP or SUP",
            );
        }
    }
    times
}

type AdSites = HashMap<String, Vec<AddressRange>>;

fn ad_sites(config: &Config, problems: &mut Problems) -> AdSites {
    let mut sites = AdSites::new();
    for (name, subnets) in &config.ad_sites {
        let mut ranges = Vec::new();
        for subnet in subnets {
            match parse_boundary(subnet.get_ref()) {
                Ok(range) => ranges.push(range),
                Err(error) => problems.error(subnet.span(), error.to_string(), error.help()),
            }
        }
        if sites.insert(name.get_ref().to_ascii_lowercase(), ranges).is_some() {
            let text = format!("there is another Active Directory site {:?}", name.get_ref());
            problems.error(name.span(), text, "list its subnets in one place");
        }
    }
    sites
}

impl Groups {
    fn add_boundaries(&mut self, position: usize, group: &BoundaryGroup, ad_sites: &AdSites, problems: &mut Problems) {
        let id = GroupId(u16::try_from(position).unwrap_or(u16::MAX));
        for entry in &group.boundaries {
            match entry.get_ref() {
                BoundaryEntry::Addresses(text) => match parse_boundary(text) {
                    Ok(range) => self.boundaries.push((range, id)),
                    Err(error) => {
                        let site = ad_sites.contains_key(&text.to_ascii_lowercase());
                        let help = if site { format!("write {{ ad_site = {text:?} }}") } else { error.help() };
                        problems.error(entry.span(), error.to_string(), help);
                    }
                },
                BoundaryEntry::AdSite { ad_site } => match ad_sites.get(&ad_site.to_ascii_lowercase()) {
                    Some(ranges) => self.boundaries.extend(ranges.iter().map(|range| (*range, id))),
                    None => {
                        let help = match nearest(ad_site, ad_sites.keys().map(String::as_str)) {
                            Some(near) => format!("did you mean {near:?}?"),
                            None => format!("list its subnets: [ad_sites] and {ad_site:?} = [\"10.1.0.0/16\"]"),
                        };
                        let text = format!("the Active Directory site {ad_site:?} is not in [ad_sites]");
                        problems.error(entry.span(), text, help);
                    }
                },
                BoundaryEntry::Vpn { vpn } => problems.error(
                    entry.span(),
                    format!("a VPN boundary ({vpn}) cannot be judged from an address"),
                    "write the addresses that the VPN gives its clients, as a range or network",
                ),
            }
        }
    }

    /// Clients of a role that groups decide about, and that no group names, would all be refused.
    fn warn_about_unreachable_roles(
        &self,
        config: &Config,
        roles: &Roles<'_>,
        systems: &Systems<'_>,
        problems: &mut Problems,
    ) {
        // A name that was not found may be the very one that is missed here.
        if config.boundary_groups.is_empty() || problems.is_fatal() {
            return;
        }
        for position in 0..roles.len() {
            let role = roles.get(position);
            let members = systems.of_role(position);
            if role.locality != Locality::Site && !members.is_empty() && self.ungrouped(members) {
                let near = config.boundary_groups.first().and_then(|group| group.name.as_ref());
                problems.warning(
                    near.map_or(0..0, toml::Spanned::span),
                    format!("no boundary group names a site system with the role {}", role.title),
                    "every client may use all of them; add them to the site_systems of a group to change that",
                );
            }
        }
    }

    fn ungrouped(&self, members: &[super::MemberPlan]) -> bool {
        !members.iter().any(|member| self.systems.iter().any(|list| list.contains(&member.system_index)))
    }

    /// Puts roles, members and groups together.
    pub(super) fn plan(&self, roles: Vec<Arc<Role>>, mut systems: Systems<'_>) -> Vec<RolePlan> {
        let mut plans = Vec::with_capacity(roles.len());
        for (position, role) in roles.into_iter().enumerate() {
            let members = systems.members.get_mut(position).map(std::mem::take).unwrap_or_default();
            let by_system: HashMap<u16, usize> =
                members.iter().enumerate().map(|(place, member)| (member.system_index, place)).collect();
            let mut groups: Vec<GroupPlan> = self
                .systems
                .iter()
                .map(|list| GroupPlan {
                    members: list.iter().filter_map(|system| by_system.get(system).copied()).collect(),
                    links: Vec::new(),
                })
                .collect();
            for (group, plan) in groups.iter_mut().enumerate().take(self.neighbors.len()) {
                plan.links = self.links(group, &role);
            }
            let ungrouped = self.ungrouped(&members);
            plans.push(RolePlan { role, members, groups, ungrouped });
        }
        plans
    }

    /// Relationships of a group for a role, with the implied one to the default group.
    fn links(&self, group: usize, role: &Role) -> Vec<Link> {
        let default = self.names.len() - 1;
        let key = role_key(&role.name);
        let own = self.default_behavior.get(&key).copied().unwrap_or(role.default_fallback);
        let mut links = Vec::new();
        let mut explicit_default = false;
        for (neighbor, times) in &self.neighbors[group] {
            let to_default = *neighbor == default;
            explicit_default |= to_default;
            let otherwise = if to_default { own } else { role.default_fallback };
            if let Fallback::Minutes(offset) = times.get(&key).copied().unwrap_or(otherwise) {
                let kind = if to_default { TierKind::Default } else { TierKind::Neighbor };
                links.push(link(offset, kind, *neighbor));
            }
        }
        if !explicit_default && let Fallback::Minutes(offset) = own {
            links.push(link(offset, TierKind::Default, default));
        }
        links.sort_unstable();
        links
    }
}
