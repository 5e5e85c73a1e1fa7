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
        let of_groups = groups.iter().flat_map(move |group| {
            let servers = &topology.groups[group.0 as usize];
            let own = match tier.kind {
                TierKind::Current => Some(&servers.members[..]),
                TierKind::Slow => Some(&servers.slow[..]),
                TierKind::Neighbor | TierKind::Default | TierKind::FallbackSource | TierKind::Site => None,
            };
            let linked = servers
                .links
                .iter()
                .filter(move |link| link.offset == tier.offset && link.kind == tier.kind)
                .map(move |link| &topology.groups[link.group.0 as usize].members[..]);
            own.into_iter().chain(linked)
        });
        own.into_iter().chain(of_groups)
    }

    /// The first tier that has this server.
    pub fn tier_of(self, endpoint: EndpointIndex) -> Option<Tier> {
        self.tiers().find(|tier| self.members(*tier).any(|list| list.contains(&endpoint)))
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
            let site = Tier { offset: 0, kind: TierKind::Site };
            return last.is_none().then_some(site);
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
