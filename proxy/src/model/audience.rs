//! Which servers the clients of a boundary group can use at once.
//!
//! What live traffic says against a server must not leave clients without one. The clients of a role do not all have the same
//! servers: the only one of a branch is the last one for its clients, however many there are elsewhere.

use super::boundary::GroupId;
use super::cluster::{Class, Cluster, EndpointIndex, SiteServers, Topology};
use super::fallback::Opening;
use super::location::{ContentLocation, Tier};
use super::snapshot::Site;
use super::tier::TierKind;

/// The servers of a role that clients can use without waiting for a fallback clock: one list for each boundary group and one
/// for clients of none, for each site that shares the cluster, each list once. Clients of several groups can use the servers of
/// all of them, so no list is needed for combinations. Empty when every client can use every server: boundary groups do not
/// matter to the role, nor do sites.
pub fn audiences(topology: &Topology) -> Vec<Vec<EndpointIndex>> {
    let sites = if topology.by_site.is_empty() { std::slice::from_ref(&topology.own) } else { &topology.by_site[..] };
    let mut lists: Vec<Vec<EndpointIndex>> = match topology.grouped() {
        false if topology.by_site.is_empty() => return Vec::new(),
        false => sites.iter().map(|site| site.everyone.to_vec()).collect(),
        true => {
            let groups = (0..topology.groups.len()).map(|group| vec![GroupId(group as u16)]);
            let groups: Vec<Vec<GroupId>> = groups.chain([Vec::new()]).collect();
            sites.iter().flat_map(|site| groups.iter().map(|groups| usable(topology, site, groups))).collect()
        }
    };
    lists.retain(|list| !list.is_empty());
    lists.sort_unstable();
    lists.dedup();
    lists
}

/// Whom servers that go leave without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// No client.
    None,
    /// All clients of the role.
    All,
    /// Some clients have none that they can use without waiting for a fallback clock.
    Some {
        /// Those of these boundary groups.
        groups: Vec<GroupId>,
        /// Those of no boundary group.
        none: bool,
    },
}

/// Whom it leaves without a server when these endpoints go. Who has none already is not counted.
pub fn left_without(cluster: &Cluster, site: &Site, goes: impl Fn(EndpointIndex) -> bool) -> Left {
    let topology = &*cluster.topology;
    let serves = |index: EndpointIndex| cluster.standing(index).class() < Class::Out;
    let lose = |list: &[EndpointIndex]| {
        let mut serving = list.iter().copied().filter(|index| serves(*index)).peekable();
        serving.peek().is_some() && serving.all(&goes)
    };
    let all: Vec<EndpointIndex> = (0..topology.endpoints.len() as EndpointIndex).collect();
    if lose(&all) {
        return Left::All;
    }
    if !topology.grouped() {
        return Left::None;
    }
    let written = (0..site.written_groups()).map(|group| GroupId(group as u16));
    let of_group = |group: &GroupId| {
        let own_site = site.sites.groups.get(usize::from(group.0)).copied().flatten();
        lose(&usable(topology, topology.at_site(own_site), std::slice::from_ref(group)))
    };
    let groups: Vec<GroupId> = written.filter(of_group).collect();
    let sites = if topology.by_site.is_empty() { std::slice::from_ref(&topology.own) } else { &topology.by_site[..] };
    let none = sites.iter().any(|own| lose(&usable(topology, own, &[])));
    if groups.is_empty() && !none { Left::None } else { Left::Some { groups, none } }
}

fn usable(topology: &Topology, site: &SiteServers, groups: &[GroupId]) -> Vec<EndpointIndex> {
    let location = ContentLocation::new(topology, groups).at_site(site);
    let at_once = !Opening::waits(&topology.role);
    let opening = Opening::new(topology.role.fallback_rule, location, 1, None, 0, (false, at_once));
    let open = || location.tiers().filter(|tier| opening.is_open(*tier));
    // For a client that is in another group too, fallback sources may come later: they count only where there is nothing else.
    let is_last = |tier: &Tier| tier.kind == TierKind::FallbackSource;
    let members = |tier| location.members(tier).flatten().copied();
    let mut list: Vec<EndpointIndex> = open().filter(|tier| !is_last(tier)).flat_map(members).collect();
    if list.is_empty() {
        list = open().flat_map(members).collect();
    }
    list.sort_unstable();
    list.dedup();
    list
}
