//! Boundary groups: their boundaries, their site systems, and where their clients fall back to.

use std::collections::HashMap;
use std::sync::Arc;

use super::ad_sites::AdSites;
use super::fallback::{Fallbacks, Model};
use super::relations::{self, DEFAULT, Places, Times, neighbors, times};
use super::roles::Roles;
use super::sites::{Of, Sites, Split};
use super::systems::Systems;
use super::{GroupPlan, Once, RolePlan, SitePlan, ad_sites, connections, link, subnets};
use crate::control::config::{BoundaryEntry, BoundaryGroup, Config, Problems, count, nearest, parse_boundary};
use crate::model::boundary::GroupId;
use crate::model::boundary_range::AddressRange;
use crate::model::cluster::Link;
use crate::model::mix::hash_ignore_case;
use crate::model::presets;
use crate::model::role::{Fallback, FallbackRule, Locality, Reach, Role};
use crate::model::tier::TierKind;

#[derive(Debug)]
pub(super) struct Groups {
    /// Those of the configuration, then a default group for each site.
    pub(super) names: Vec<String>,
    /// Positions of the sites that they assign clients to.
    pub(super) sites: Vec<Option<u16>>,
    pub(super) boundaries: Vec<(AddressRange, GroupId)>,
    /// Boundaries that are networks, and all subnets of Active Directory sites.
    pub(super) subnets: Vec<AddressRange>,
    /// Site systems with a fast connection.
    fast: Vec<Vec<u16>>,
    slow: Vec<Vec<u16>>,
    neighbors: Vec<Vec<(usize, Times)>>,
    /// By the position of the site.
    default_behavior: Vec<Times>,
    first_default: usize,
    model: Model,
    distant: bool,
}

pub(super) fn compile(
    config: &Config,
    fallback: &Fallbacks,
    roles: &Roles<'_>,
    systems: &Systems<'_>,
    sites: &Sites<'_>,
    problems: &mut Problems,
) -> Groups {
    let own = config.boundary_groups.iter().map(|group| sites.find(group.site.as_ref(), problems));
    let own: Vec<Option<u16>> = own.collect();
    let places = places(config, sites, &own, problems);
    let defaults = 0..sites.list.len();
    let mut groups = Groups {
        names: config.boundary_groups.iter().map(display_name).chain(sites.default_names()).collect(),
        sites: own.into_iter().chain(defaults.map(|site| Some(site as u16))).collect(),
        boundaries: Vec::new(),
        subnets: Vec::new(),
        fast: Vec::new(),
        slow: Vec::new(),
        neighbors: Vec::new(),
        default_behavior: Vec::new(),
        first_default: config.boundary_groups.len(),
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
        Model::Relationships => groups.relate(config, &places, (roles, systems, sites), problems),
        Model::Preferred => {
            relations::refuse(config, sites, problems);
            groups.fast.resize(groups.names.len(), Vec::new());
            groups.slow.resize(groups.names.len(), Vec::new());
        }
    }
    groups.warn_about_unreachable_roles(config, roles, systems, problems);
    groups
}

/// Positions of all groups.
fn places(config: &Config, sites: &Sites<'_>, own: &[Option<u16>], problems: &mut Problems) -> Places {
    let first_default = config.boundary_groups.len();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let mut names = Once::new("boundary group");
    let defaults: Vec<String> = sites.default_names().filter(|_| sites.several()).collect();
    for (position, group) in config.boundary_groups.iter().enumerate() {
        let Some(name) = &group.name else {
            let at = config.tables.element("boundary_groups", position);
            problems.missing(at, "a boundary group has no name", "add name = \"...\" to this [[boundary_groups]]");
            continue;
        };
        if name.get_ref().eq_ignore_ascii_case(DEFAULT) {
            let help = "describe the site default boundary group in [default_boundary_group]";
            problems.error(name.span(), "\"default\" means the site default boundary group", help);
        }
        if defaults.iter().any(|default| default.eq_ignore_ascii_case(name.get_ref())) {
            let text = format!("{:?} means the site default boundary group", name.get_ref());
            problems.error(name.span(), text, "describe it in default_boundary_group of its site");
        }
        names.check(name, problems);
        by_name.insert(name.get_ref().to_ascii_lowercase(), position);
    }
    by_name.extend(defaults.iter().zip(first_default..).map(|(name, place)| (name.to_ascii_lowercase(), place)));
    let total = first_default + sites.list.len();
    if total > usize::from(u16::MAX) {
        problems.error(0..0, format!("{first_default} boundary groups"), "at most 65534 can be served");
    }
    let default = own.iter().map(|site| match site {
        Some(site) => Some(first_default + usize::from(*site)),
        None => (!sites.several()).then_some(first_default),
    });
    Places { by_name, default: default.collect() }
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
        places: &Places,
        (roles, systems, sites): (&Roles<'_>, &Systems<'_>, &Sites<'_>),
        problems: &mut Problems,
    ) {
        for site in &sites.list {
            self.default_behavior.push(times(&site.default.fallback, roles, problems));
        }
        for (position, group) in config.boundary_groups.iter().enumerate() {
            self.neighbors.push(neighbors(position, group, (places, &config.tables), roles, problems));
        }
        for site in &sites.list {
            let mut members = Vec::new();
            for system in site.default.site_systems.iter().filter_map(|name| systems.find(name, problems)) {
                if !members.contains(&system) {
                    members.push(system);
                }
            }
            self.fast.push(members);
            self.slow.push(Vec::new());
        }
        self.warn_about_useless_times(config, places, roles, systems, problems);
    }

    /// A relationship has a time for every role in ConfigMgr too, whether the neighbor has a server of it or not, and a group may
    /// lose its last server for a while. So this is no error.
    fn warn_about_useless_times(
        &self,
        config: &Config,
        places: &Places,
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
        let written = config.boundary_groups.iter().enumerate();
        let written = written.flat_map(|(own, group)| group.neighbors.iter().map(move |neighbor| (own, neighbor)));
        for (own, neighbor) in written {
            let Some(to) = &neighbor.group else { continue };
            let Some(group) = places.find(own, to.get_ref()) else { continue };
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
                problems.warning(
                    config.tables.element("boundary_groups", 0),
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

    /// The site default boundary group of a site.
    pub(super) fn default_of(&self, site: u16) -> GroupId {
        GroupId(u16::try_from(self.first_default + usize::from(site)).unwrap_or(u16::MAX))
    }

    /// The site to which a group assigns its clients.
    pub(super) fn site_of(&self, group: GroupId) -> Option<u16> {
        self.sites.get(usize::from(group.0)).copied().flatten()
    }

    /// Puts roles, members and groups together.
    pub(super) fn plan(
        &self,
        roles: &[Arc<Role>],
        systems: &Systems<'_>,
        sites: &Sites<'_>,
        split: &Split,
    ) -> Vec<RolePlan> {
        split.clusters.iter().map(|of| self.plan_one(&roles[of.position], systems, sites, of)).collect()
    }

    fn plan_one(&self, role: &Arc<Role>, systems: &Systems<'_>, sites: &Sites<'_>, of: &Of) -> RolePlan {
        let all = systems.of_role(of.position);
        let members: Vec<super::MemberPlan> = of.members.iter().map(|place| all[*place].clone()).collect();
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
        let sites_of: Vec<u16> = members.iter().map(|member| systems.site_of(member.system_index)).collect();
        if role.reach == Reach::Site && role.locality == Locality::Prefer {
            self.prefer_secondaries(&mut groups, &sites_of, sites);
        }
        if self.model == Model::Relationships {
            for (group, plan) in groups.iter_mut().enumerate().take(self.neighbors.len()) {
                plan.links = self.links(group, role);
            }
        }
        let named = groups.iter().any(|group| !group.members.is_empty() || !group.slow.is_empty());
        let shares = sites.several() && of.site.is_none();
        let by_site = (0..sites.list.len() as u16).filter(|_| shares);
        let code = of.site.map(|site| Arc::from(sites.list[usize::from(site)].code.as_str()));
        let own = of.site.unwrap_or(0);
        RolePlan {
            role: Arc::clone(role),
            hash: self.hash(role, &sites.list[usize::from(own)].code),
            site: code,
            own: self.servers_of(own, &sites_of, sites, of.site.is_none() && !shares),
            by_site: by_site.map(|site| self.servers_of(site, &sites_of, sites, false)).collect(),
            groups,
            ungrouped: !named || !self.holds(role),
            distant: self.distant,
            members,
        }
    }

    /// A secondary site's own servers come first for the clients of its boundary groups (ConfigMgr: proxy management points).
    fn prefer_secondaries(&self, groups: &mut [GroupPlan], sites_of: &[u16], sites: &Sites<'_>) {
        for (plan, site) in groups.iter_mut().zip(&self.sites).take(self.first_default) {
            let Some(site) = site.filter(|site| sites.assigned(*site) != *site) else { continue };
            for member in (0..sites_of.len()).filter(|member| sites_of[*member] == site) {
                if !plan.members.contains(&member) && !plan.slow.contains(&member) {
                    plan.members.push(member);
                }
            }
        }
    }

    /// What is different for the clients of a site. Where it has no server of the role itself, all have to do: first those of
    /// its secondary sites.
    fn servers_of(&self, site: u16, sites_of: &[u16], sites: &Sites<'_>, all: bool) -> SitePlan {
        let primary = sites.assigned(site);
        let that = |fits: &dyn Fn(u16) -> bool| (0..sites_of.len()).filter(|member| fits(sites_of[*member])).collect();
        let choices: [Vec<usize>; 3] =
            [that(&|own| own == primary), that(&|own| sites.assigned(own) == primary), that(&|_| true)];
        let everyone =
            choices.into_iter().skip(if all { 2 } else { 0 }).find(|list| !list.is_empty()).unwrap_or_default();
        SitePlan { default_group: self.default_of(primary), everyone }
    }

    /// What tells learned things of one cluster from those of others. It stays when one site becomes several.
    fn hash(&self, role: &Role, code: &str) -> u64 {
        let name = hash_ignore_case(0, role.name.as_bytes());
        match role.reach {
            Reach::Site => hash_ignore_case(name, code.as_bytes()),
            Reach::Hierarchy => name,
        }
    }

    /// Relationships of a group for a role, with the implied ones to default groups.
    fn links(&self, group: usize, role: &Role) -> Vec<Link> {
        let names = presets::spoken_of(role);
        let said = |times: &Times| names.iter().find_map(|name| times.get(name)).map(|time| count(role, *time));
        let own = |site: usize| said(&self.default_behavior[site]).unwrap_or(role.default_fallback);
        let mut links = Vec::new();
        let mut implied: Vec<bool> = vec![true; self.default_behavior.len()];
        for (neighbor, times) in &self.neighbors[group] {
            let site = neighbor.checked_sub(self.first_default);
            site.into_iter().for_each(|site| implied[site] = false);
            let otherwise = site.map_or(role.default_fallback, own);
            if let Fallback::Minutes(offset) = said(times).unwrap_or(otherwise) {
                let kind = if site.is_some() { TierKind::Default } else { TierKind::Neighbor };
                links.push(link(offset, kind, *neighbor));
            }
        }
        // ConfigMgr: an implied link to each site default boundary group of the hierarchy.
        for site in (0..implied.len()).filter(|site| implied[*site]) {
            if let Fallback::Minutes(offset) = own(site) {
                links.push(link(offset, TierKind::Default, self.first_default + site));
            }
        }
        links.sort_unstable();
        links
    }
}
