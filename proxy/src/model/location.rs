//! Where a client may be served: the ordered tiers of a role's servers for the boundary groups that contain it.
//!
//! Nothing is looked up or copied to make a [`ContentLocation`]: it borrows the groups of the client and the topology, and
//! its tiers are found by walking the links of these groups. Combinations of groups are many (every overlap is one), so
//! tiers compiled for each of them would cost more memory than they save time. Not to be confused with the HTTP field
//! `Content-Location`.

use super::boundary::GroupId;
use super::cluster::{EndpointIndex, SiteServers, Topology};
use super::role::Locality;
use super::tier::TierKind;

/// The ordered tiers for one client and one role.
#[derive(Clone, Copy, Debug)]
pub struct ContentLocation<'a> {
    topology: &'a Topology,
    groups: &'a [GroupId],
    site: &'a SiteServers,
}

/// One step: servers that become available at the same time for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tier {
    /// Minutes after which it opens.
    pub offset: u32,
    /// Why its servers are in it.
    pub kind: TierKind,
}

impl Tier {
    /// That of a server that none of the client's groups names.
    pub const SITE: Self = Self { offset: 0, kind: TierKind::Site };
}

/// What one group of a client brings into a tier.
fn brought(topology: &Topology, group: GroupId, tier: Tier) -> impl Iterator<Item = &[EndpointIndex]> {
    let servers = &topology.groups[usize::from(group.0)];
    let own = match tier.kind {
        TierKind::Current => Some(&servers.members[..]),
        TierKind::Slow => Some(&servers.slow[..]),
        TierKind::Neighbor | TierKind::Default | TierKind::FallbackSource | TierKind::Site => None,
    };
    let linked = servers.links.iter().filter(move |link| link.offset == tier.offset && link.kind == tier.kind);
    own.into_iter().chain(linked.map(move |link| &topology.groups[usize::from(link.group.0)].members[..]))
}

impl<'a> ContentLocation<'a> {
    /// The location of a client in `groups`; a client in no group starts in the site default boundary group.
    pub fn new(topology: &'a Topology, groups: &'a [GroupId]) -> Self {
        Self { topology, groups, site: &topology.own }
    }

    /// The same for clients of a site.
    pub fn at_site(self, site: &'a SiteServers) -> Self {
        Self { site, ..self }
    }

    /// The site default boundary group, where clients in no group start.
    pub fn default_group(self) -> GroupId {
        self.site.default_group
    }

    /// The tiers in order of use, empty ones left out.
    pub fn tiers(self) -> impl Iterator<Item = Tier> + 'a {
        let mut last = None;
        std::iter::from_fn(move || {
            loop {
                let tier = self.next_tier(last)?;
                last = Some(tier);
                if self.members(tier).any(|list| !list.is_empty()) {
                    return Some(tier);
                }
            }
        })
    }

    /// The servers of a tier, as one slice for each group that brings some; a server may be in several.
    pub fn members(self, tier: Tier) -> impl Iterator<Item = &'a [EndpointIndex]> + 'a {
        let topology = self.topology;
        let own = match tier.kind {
            TierKind::Site => Some(&self.site.everyone[..]),
            TierKind::FallbackSource => Some(&topology.fallback_sources[..]),
            TierKind::Current if self.groups.is_empty() => {
                Some(&topology.groups[self.site.default_group.0 as usize].members[..])
            }
            TierKind::Slow if self.groups.is_empty() => {
                Some(&topology.groups[self.site.default_group.0 as usize].slow[..])
            }
            TierKind::Current | TierKind::Slow | TierKind::Neighbor | TierKind::Default => None,
        };
        let groups = if own.is_some() { &[][..] } else { self.groups };
        own.into_iter().chain(groups.iter().flat_map(move |group| brought(topology, *group, tier)))
    }

    /// The boundary group that a request counts for which a server of this tier has answered: the first of the client's groups that
    /// brings the server into the tier, else as [`Self::first_group`].
    pub fn group_of(self, tier: Tier, server: EndpointIndex) -> GroupId {
        let brings = |group: GroupId| brought(self.topology, group, tier).any(|list| list.contains(&server));
        let found = if self.groups.len() > 1 { self.groups.iter().copied().find(|group| brings(*group)) } else { None };
        found.unwrap_or_else(|| self.first_group())
    }

    /// The first of the client's groups; a client in no group counts for the site default boundary group.
    pub fn first_group(self) -> GroupId {
        self.groups.first().copied().unwrap_or(self.site.default_group)
    }

    /// The first tier that has this server.
    pub fn tier_of(self, endpoint: EndpointIndex) -> Option<Tier> {
        self.tiers().find(|tier| self.members(*tier).any(|list| list.contains(&endpoint)))
    }

    /// The first tier that has this site system, be it without an address yet.
    pub fn tier_of_system(self, system: u16) -> Option<Tier> {
        let topology = self.topology;
        let is = |index: u32| topology.endpoints[index as usize].system_index == system;
        let mut last = None;
        let mut tiers = std::iter::from_fn(|| {
            last = self.next_tier(last);
            last
        });
        tiers.find(|tier| self.members(*tier).flatten().any(|&index| is(index)) || self.is_awaited(*tier, system))
    }

    /// Whether a tier will have this site system when its name has led to an address.
    fn is_awaited(self, tier: Tier, system: u16) -> bool {
        let topology = self.topology;
        let of = |group: GroupId| topology.groups[group.0 as usize].unresolved.contains(&system);
        let linked = |group: &GroupId| {
            let links = topology.groups[group.0 as usize].links.iter();
            let mut links = links.filter(|link| link.offset == tier.offset && link.kind == tier.kind);
            links.any(|link| of(link.group))
        };
        match tier.kind {
            TierKind::Site => topology.systems.iter().any(|other| other.index == system),
            TierKind::Current if self.groups.is_empty() => of(self.site.default_group),
            TierKind::Current => self.groups.iter().any(|group| of(*group)),
            TierKind::Neighbor | TierKind::Default => self.groups.iter().any(linked),
            TierKind::Slow | TierKind::FallbackSource => false,
        }
    }

    /// The latest of the times after which a tier opens, in minutes. A group without a server of the role is no tier.
    pub fn last_offset(self) -> u32 {
        let links = self.groups.iter().flat_map(|group| &self.topology.groups[group.0 as usize].links[..]);
        let tiers = links.filter(|link| !self.topology.groups[link.group.0 as usize].members.is_empty());
        tiers.map(|link| link.offset).max().unwrap_or(0)
    }

    fn next_tier(self, last: Option<Tier>) -> Option<Tier> {
        let topology = self.topology;
        if !topology.grouped() {
            return last.is_none().then_some(Tier::SITE);
        }
        let Some(last) = last else { return Some(Tier { offset: 0, kind: TierKind::Current }) };
        let slow = Tier { offset: 0, kind: TierKind::Slow };
        let linked = self
            .groups
            .iter()
            .flat_map(|group| &topology.groups[group.0 as usize].links[..])
            .map(|link| Tier { offset: link.offset, kind: link.kind })
            .chain([slow])
            .filter(|tier| *tier > last)
            .min();
        let beyond = [
            Some(Tier { offset: u32::MAX, kind: TierKind::FallbackSource }),
            self.may_use_all().then_some(Tier { offset: u32::MAX, kind: TierKind::Site }),
        ];
        linked.or_else(|| beyond.into_iter().flatten().find(|tier| *tier > last))
    }

    /// The list of management points that a client gets has all of its site: what groups say about them puts some on top. So
    /// the last tier has every server, also one that a relationship says `never` of.
    fn may_use_all(self) -> bool {
        let current = Tier { offset: 0, kind: TierKind::Current };
        match self.topology.role.locality {
            Locality::Prefer | Locality::Site => true,
            Locality::BoundaryGroupsOrSite => self.members(current).all(<[EndpointIndex]>::is_empty),
            Locality::BoundaryGroups => false,
        }
    }
}
