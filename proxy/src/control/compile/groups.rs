//! Boundary groups: their boundaries, their site systems, and where their clients fall back to.

use std::collections::HashMap;
use std::sync::Arc;

use super::ad_sites::AdSites;
use super::fallback::{Fallbacks, Model};
use super::relations::{self, Times, neighbors, times};
use super::roles::Roles;
use super::systems::Systems;
use super::{GroupPlan, Once, RolePlan, ad_sites, connections, link, subnets};
use crate::control::config::{BoundaryEntry, BoundaryGroup, Config, Problems, count, nearest, parse_boundary};
use crate::model::boundary::GroupId;
use crate::model::boundary_range::AddressRange;
use crate::model::cluster::Link;
use crate::model::presets;
use crate::model::role::{Fallback, FallbackRule, Locality, Role};
use crate::model::tier::TierKind;

/// What the configuration calls the site default boundary group.
const DEFAULT: &str = "default";
/// Name of the site default boundary group, as ConfigMgr spells it.
const DEFAULT_NAME: &str = "Default-Site-Boundary-Group";

#[derive(Debug)]
pub(super) struct Groups {
    /// The default group is the last.
    pub(super) names: Vec<String>,
    pub(super) boundaries: Vec<(AddressRange, GroupId)>,
    /// Boundaries that are networks, and all subnets of Active Directory sites.
    pub(super) subnets: Vec<AddressRange>,
    /// Site systems with a fast connection.
    fast: Vec<Vec<u16>>,
    slow: Vec<Vec<u16>>,
    neighbors: Vec<Vec<(usize, Times)>>,
    default_behavior: Times,
    model: Model,
    distant: bool,
}

pub(super) fn compile(
    config: &Config,
    fallback: &Fallbacks,
    roles: &Roles<'_>,
    systems: &Systems<'_>,
    problems: &mut Problems,
) -> Groups {
    let positions = positions(config, problems);
    let mut groups = Groups {
        names: config.boundary_groups.iter().map(display_name).chain([default_name(config)]).collect(),
        boundaries: Vec::new(),
        subnets: Vec::new(),
        fast: Vec::new(),
        slow: Vec::new(),
        neighbors: Vec::new(),
        default_behavior: Times::new(),
        model: fallback.model,
        distant: fallback.distant,
    };
    let ad_sites = ad_sites::compile(config, problems);
    // Groups of each AD site.
    let mut named = vec![Vec::new(); config.ad_sites.len()];
    for (position, group) in config.boundary_groups.iter().enumerate() {
        groups.add_boundaries(position, group, &ad_sites, &mut named, problems);
        let (fast, slow) = connections::read(&group.site_systems, fallback.model, systems, problems);
        groups.fast.push(fast);
        groups.slow.push(slow);
    }
    ad_sites.warn_about_nested(&named, problems);
    groups.subnets.extend(ad_sites.subnets());
    match fallback.model {
        Model::Relationships => groups.relate(config, &positions, roles, systems, problems),
        Model::Preferred => {
            relations::refuse(config, problems);
            groups.fast.push(Vec::new());
            groups.slow.push(Vec::new());
        }
    }
    groups.warn_about_unreachable_roles(config, roles, systems, problems);
    groups
}

/// Positions by lower-cased name.
fn positions(config: &Config, problems: &mut Problems) -> HashMap<String, usize> {
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
    positions
}

/// Name of the site default boundary group.
pub(super) fn default_name(config: &Config) -> String {
    let code = config.site.code.as_ref().map(|code| code.get_ref().as_str());
    DEFAULT_NAME.to_owned() + code.unwrap_or_default()
}

fn display_name(group: &BoundaryGroup) -> String {
    group.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default()
}

impl Groups {
    fn add_boundaries(
        &mut self,
        position: usize,
        group: &BoundaryGroup,
        ad_sites: &AdSites,
        named: &mut [Vec<GroupId>],
        problems: &mut Problems,
    ) {
        let id = GroupId(u16::try_from(position).unwrap_or(u16::MAX));
        for entry in &group.boundaries {
            match entry.get_ref() {
                BoundaryEntry::Addresses(text) => match parse_boundary(text) {
                    Ok(range) => {
                        self.boundaries.push((range, id));
                        self.subnets.extend(subnets::is_one(&range, text).then_some(range));
                    }
                    Err(error) => {
                        let site = ad_sites.find(text).is_some();
                        let help = if site { format!("write {{ ad_site = {text:?} }}") } else { error.help() };
                        problems.error(entry.span(), error.to_string(), help);
                    }
                },
                BoundaryEntry::AdSite { ad_site } => match ad_sites.find(ad_site) {
                    Some(site) => {
                        self.boundaries.extend(ad_sites.ranges(site).iter().map(|range| (*range, id)));
                        named[site].push(id);
                    }
                    None => {
                        let help = match nearest(ad_site, ad_sites.known()) {
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

    /// Neighbors of all groups, and the site default boundary group.
    fn relate(
        &mut self,
        config: &Config,
        positions: &HashMap<String, usize>,
        roles: &Roles<'_>,
        systems: &Systems<'_>,
        problems: &mut Problems,
    ) {
        let default = &config.default_boundary_group;
        self.default_behavior = times(&default.fallback, roles, problems);
        for (position, group) in config.boundary_groups.iter().enumerate() {
            self.neighbors.push(neighbors(position, group, positions, roles, problems));
        }
        let mut members = Vec::new();
        for system in default.site_systems.iter().filter_map(|name| systems.find(name, problems)) {
            if !members.contains(&system) {
                members.push(system);
            }
        }
        self.fast.push(members);
        self.slow.push(Vec::new());
        self.warn_about_useless_times(config, positions, roles, systems, problems);
    }

    /// A relationship has a time for every role in ConfigMgr too, whether the neighbor has a server of it or not, and a group may
    /// lose its last server for a while. So this is no error.
    fn warn_about_useless_times(
        &self,
        config: &Config,
        positions: &HashMap<String, usize>,
        roles: &Roles<'_>,
        systems: &Systems<'_>,
        problems: &mut Problems,
    ) {
        // A name that was not found may be the very one that is missed here.
        if problems.is_fatal() {
            return;
        }
        // What is said of a role holds for its relatives.
        let members = |name: &str| {
            let name = name.to_owned();
            let about = move |place: &usize| presets::spoken_of(roles.get(*place)).contains(&name);
            (0..roles.len()).filter(about).flat_map(|place| systems.of_role(place))
        };
        let written = config.boundary_groups.iter().flat_map(|group| &group.neighbors);
        for (neighbor, to) in written.filter_map(|neighbor| Some((neighbor, neighbor.group.as_ref()?))) {
            let Some(&group) = positions.get(&to.get_ref().to_ascii_lowercase()) else { continue };
            for (name, _) in neighbor.fallback.iter().filter(|(_, time)| time.get_ref().get() != Fallback::Never) {
                let Some(role) = roles.used(name.get_ref()) else { continue };
                let holds = |member: &super::MemberPlan| self.fast[group].contains(&member.system_index);
                if !members(&role.name).any(holds) {
                    problems.warning(
                        name.span(),
                        format!("the boundary group {:?} has no {} to fall back to", to.get_ref(), role.title),
                        "add one to its site_systems, or write \"never\"",
                    );
                    if let Some(other) = config.boundary_groups.get(group).and_then(|group| group.name.as_ref()) {
                        let text = format!("none of the site_systems of {:?} is a {}", to.get_ref(), role.title);
                        problems.warning(other.span(), text, "that is the other place");
                    }
                }
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
            let decided = matches!(role.locality, Locality::BoundaryGroups | Locality::BoundaryGroupsOrSite);
            if decided && self.holds(role) && !members.is_empty() && self.unnamed(members) {
                let near = config.boundary_groups.first().and_then(|group| group.name.as_ref());
                problems.warning(
                    near.map_or(0..0, toml::Spanned::span),
                    format!("no boundary group names a site system with the role {}", role.title),
                    "every client may use all of them; add them to the site_systems of a group to change that",
                );
            }
        }
    }

    /// Whether groups can hold servers of a role: those of the older model hold no software update points.
    fn holds(&self, role: &Role) -> bool {
        let holds_none = matches!(role.fallback_rule, FallbackRule::LastKnownGood | FallbackRule::Shared);
        self.model == Model::Relationships || !holds_none
    }

    fn unnamed(&self, members: &[super::MemberPlan]) -> bool {
        let mut lists = self.fast.iter().chain(&self.slow);
        !lists.any(|list| members.iter().any(|member| list.contains(&member.system_index)))
    }

    /// Puts roles, members and groups together.
    pub(super) fn plan(&self, roles: Vec<Arc<Role>>, mut systems: Systems<'_>) -> Vec<RolePlan> {
        let mut plans = Vec::with_capacity(roles.len());
        for (position, role) in roles.into_iter().enumerate() {
            let members = systems.members.get_mut(position).map(std::mem::take).unwrap_or_default();
            let by_system: HashMap<u16, usize> =
                members.iter().enumerate().map(|(place, member)| (member.system_index, place)).collect();
            let places =
                |list: &[u16]| list.iter().filter_map(|system| by_system.get(system).copied()).collect::<Vec<usize>>();
            let mut groups: Vec<GroupPlan> = self
                .fast
                .iter()
                .zip(&self.slow)
                .map(|(fast, slow)| GroupPlan { members: places(fast), slow: places(slow), links: Vec::new() })
                .collect();
            if self.model == Model::Relationships {
                for (group, plan) in groups.iter_mut().enumerate().take(self.neighbors.len()) {
                    plan.links = self.links(group, &role);
                }
            }
            let ungrouped = self.unnamed(&members) || !self.holds(&role);
            plans.push(RolePlan { role, members, groups, ungrouped, distant: self.distant });
        }
        plans
    }

    /// Relationships of a group for a role, with the implied one to the default group.
    fn links(&self, group: usize, role: &Role) -> Vec<Link> {
        let default = self.names.len() - 1;
        let names = presets::spoken_of(role);
        let said = |times: &Times| names.iter().find_map(|name| times.get(name)).map(|time| count(role, *time));
        let own = said(&self.default_behavior).unwrap_or(role.default_fallback);
        let mut links = Vec::new();
        let mut explicit_default = false;
        for (neighbor, times) in &self.neighbors[group] {
            let to_default = *neighbor == default;
            explicit_default |= to_default;
            let otherwise = if to_default { own } else { role.default_fallback };
            if let Fallback::Minutes(offset) = said(times).unwrap_or(otherwise) {
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
