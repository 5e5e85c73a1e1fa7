//! The site systems that hold one role, and how each of them stands right now.
//!
//! [`Topology`] is what configuration and DNS say; [`Cluster`] adds one [`Standing`] for each endpoint. A change of
//! health makes a new `Cluster` around the same topology, which is why it is published in microseconds.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use rolegate_health::Health;

use super::boundary::{GroupId, SubnetId};
use super::called::Names;
use super::endpoint::Endpoint;
use super::role::{Locality, Panic, Role};
use super::route::ClusterId;
use super::steering::Steer;
use super::system_addresses::SystemAddresses;
use super::tier::TierKind;
use crate::metrics::{GroupMetrics, RoleMetrics};

/// Position of an endpoint in its cluster.
pub type EndpointIndex = u32;

/// What configuration and DNS say about one role.
#[derive(Debug)]
pub struct Topology {
    /// Its position in the snapshot.
    pub id: ClusterId,
    /// Hash of the role's name and, for a role of one site, of the site's code: tells what is remembered for one from what is
    /// remembered for another.
    pub hash: u64,
    /// Code of the site whose role it is; `None` where there is one site, and for roles of the whole hierarchy.
    pub site: Option<Arc<str>>,
    /// The role; single site systems may differ, see [`Endpoint::role`].
    pub role: Arc<Role>,
    /// Every address of every site system of the role.
    pub endpoints: Box<[Endpoint]>,
    /// By [`GroupId`]; site default boundary groups are the last ones.
    pub groups: Box<[GroupServers]>,
    /// Servers of the older model's fallback source locations.
    pub fallback_sources: Box<[EndpointIndex]>,
    /// What a site makes of them.
    pub own: SiteServers,
    /// The same for each site, where several have one cluster; otherwise empty.
    pub by_site: Box<[SiteServers]>,
    /// Every site system of the role, also one whose name has no address yet, by position.
    pub systems: Box<[System]>,
    /// Endpoints by the id of their live part, sorted.
    pub by_id: Box<[(u32, EndpointIndex)]>,
    /// No group names a server of this role: groups do not matter to it.
    pub ungrouped: bool,
    /// Names that mean one site system, lower-cased, without a dot at the end, sorted. See [`super::role::Naming`].
    pub names: Names<u16>,
    /// Some of these site systems work with a replica of the site database.
    pub replicas: bool,
    /// Subnets that some endpoint is in, sorted; none where the role does not care for subnets.
    pub subnets: Box<[SubnetId]>,
    /// Addresses of these site systems in whatever role, sorted.
    pub own_addresses: SystemAddresses,
    /// Handles, resolved once.
    pub metrics: RoleMetrics,
}

/// What is different for the clients of one site.
#[derive(Clone, Debug)]
pub struct SiteServers {
    /// Its default boundary group.
    pub default_group: GroupId,
    /// Servers for clients of whom boundary groups say nothing.
    pub everyone: Box<[EndpointIndex]>,
}

/// A site system that holds the role, whatever its addresses.
#[derive(Clone, Debug)]
pub struct System {
    /// Its name.
    pub name: Arc<str>,
    /// Its position in the configuration.
    pub index: u16,
    /// Hash of its name.
    pub hash: u64,
    /// Share of the traffic.
    pub weight: u32,
}

/// What one boundary group means for one role.
#[derive(Clone, Debug, Default)]
pub struct GroupServers {
    /// Its own servers.
    pub members: Box<[EndpointIndex]>,
    /// Its own servers behind a slow connection.
    pub slow: Box<[EndpointIndex]>,
    /// Its own site systems, by position, whose names have led to no address yet.
    pub unresolved: Box<[u16]>,
    /// Groups to fall back to, in the order in which they open; without those that are `never` used.
    pub links: Box<[Link]>,
    /// Handles of what its clients ask of the role, where that is counted.
    pub metrics: Option<GroupMetrics>,
}

/// A relationship for one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Minutes until it opens.
    pub offset: u32,
    /// Neighbor or default group.
    pub kind: TierKind,
    /// Whose servers.
    pub group: GroupId,
}

/// How one endpoint stands right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What active probes say.
    pub health: Health,
    /// Taken out by live traffic.
    pub ejected: bool,
    /// Taken out by a person.
    pub steer: Steer,
    /// Start of its slow start, in milliseconds of the process clock; 0 = it has its full share.
    pub ramp_from_ms: u64,
}

/// Who may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Proven well.
    Well,
    /// Not probed yet, or answering without what it depends on: used when nobody is well.
    Second,
    /// Down or ejected: used only in panic.
    Out,
    /// A person has taken it out: it is picked for nothing, in panic neither. What is there already may go on, see [`Steer`].
    Away,
}

impl Standing {
    /// An endpoint that nobody has asked yet.
    pub const UNPROVEN: Self = Self { health: Health::Unproven, ejected: false, steer: Steer::None, ramp_from_ms: 0 };

    /// It answers without what it depends on.
    pub fn degraded(&self) -> bool {
        self.health == Health::Degraded
    }

    /// Who may pick it.
    pub fn class(&self) -> Class {
        match self.steer {
            Steer::None => self.own_class(),
            Steer::Drain | Steer::Maintenance => Class::Away,
        }
    }

    /// What probes and live traffic say, whatever people have decided.
    pub fn own_class(&self) -> Class {
        if self.ejected {
            return Class::Out;
        }
        match self.health {
            Health::Up => Class::Well,
            Health::Unproven | Health::Degraded => Class::Second,
            Health::Down => Class::Out,
        }
    }
}

/// Whether all that no person has taken out are out, and there are some: who was taken out is not asked in panic, and is no cause
/// for it either.
fn all_out(classes: impl Iterator<Item = Class>) -> bool {
    let mut left = classes.filter(|class| *class != Class::Away).peekable();
    left.peek().is_some() && left.all(|class| class == Class::Out)
}

/// One role with the standing of its endpoints.
#[derive(Debug)]
pub struct Cluster {
    /// What configuration and DNS say.
    pub topology: Arc<Topology>,
    standing: Box<[Standing]>,
    panicking: bool,
    /// All endpoints are out, or were taken out.
    nobody: bool,
}

impl Cluster {
    /// Puts the standings to their endpoints; missing ones are unproven.
    pub fn new(topology: Arc<Topology>, mut standing: Vec<Standing>) -> Self {
        standing.resize(topology.endpoints.len(), Standing::UNPROVEN);
        let nobody = standing.iter().all(|standing| standing.class() >= Class::Out);
        // Servers of a secondary site are for few: that they are well helps nobody else.
        let everyone = if topology.by_site.is_empty() { &topology.own.everyone[..] } else { &[] };
        let serve = topology.role.panic == Panic::Serve;
        let all = standing.iter().map(Standing::class);
        let panicking =
            serve && (all_out(all) || all_out(everyone.iter().map(|&index| standing[index as usize].class())));
        Self { topology, standing: standing.into_boxed_slice(), panicking, nobody }
    }

    /// How an endpoint stands.
    pub fn standing(&self, endpoint: EndpointIndex) -> Standing {
        self.standing[endpoint as usize]
    }

    /// All standings, in endpoint order.
    pub fn standings(&self) -> &[Standing] {
        &self.standing
    }

    /// Nobody is well and the role's policy is to serve all the same.
    pub fn panicking(&self) -> bool {
        self.panicking
    }

    /// Who is picked, the best first.
    pub fn classes(&self) -> &'static [Class] {
        match (self.panicking, self.nobody) {
            (true, true) => &[Class::Out],
            (true, false) => &[Class::Well, Class::Second, Class::Out],
            (false, _) => &[Class::Well, Class::Second],
        }
    }

    /// Whether what is at an endpoint already may go on there: it is drained, and otherwise able to serve.
    pub fn finishes(&self, endpoint: EndpointIndex) -> bool {
        let standing = self.standing(endpoint);
        standing.steer == Steer::Drain && standing.own_class() != Class::Out
    }

    /// All of its servers were taken out by a person.
    pub fn is_taken_out(&self) -> bool {
        !self.standing.is_empty() && self.standing.iter().all(|standing| standing.class() == Class::Away)
    }

    /// The endpoint at a position.
    pub fn endpoint(&self, endpoint: EndpointIndex) -> &Endpoint {
        &self.topology.endpoints[endpoint as usize]
    }
}

impl Topology {
    /// Whether boundary groups decide who serves a client.
    pub fn grouped(&self) -> bool {
        !self.ungrouped && self.role.locality != Locality::Site
    }

    /// What is different for the clients of a site.
    pub fn at_site(&self, site: Option<u16>) -> &SiteServers {
        site.and_then(|site| self.by_site.get(usize::from(site))).unwrap_or(&self.own)
    }

    /// The role's name, with the site's code where it is the role of one of several sites: `management-point@P01`.
    pub fn label(&self) -> Cow<'_, str> {
        match &self.site {
            Some(site) => Cow::Owned(format!("{}@{site}", self.role.name)),
            None => Cow::Borrowed(&self.role.name),
        }
    }

    /// The site system that has this host (without port) among its names.
    pub fn by_name(&self, host: Option<&str>) -> Option<u16> {
        self.names.find(host)
    }

    /// Whether one server of the role is not as good as another to a client that names it.
    pub fn distinct(&self) -> bool {
        self.grouped() || self.replicas
    }

    /// Handles of a boundary group, where what its clients ask is counted.
    pub fn group_metrics(&self, group: GroupId) -> Option<&GroupMetrics> {
        self.groups.get(usize::from(group.0))?.metrics.as_ref()
    }

    /// The site systems that have this address; none when all of them do.
    pub fn at(&self, client: IpAddr) -> &[(IpAddr, u16)] {
        let found = self.own_addresses.at(client);
        if found.len() == self.systems.len() { &[] } else { found }
    }

    /// The endpoint with this live part.
    pub fn by_id(&self, id: u32) -> Option<EndpointIndex> {
        let place = self.by_id.binary_search_by_key(&id, |entry| entry.0).ok()?;
        Some(self.by_id[place].1)
    }

    /// The site system that a host (without port) names: one of its names, or the only site system there is.
    pub fn named(&self, host: Option<&str>) -> Option<u16> {
        if let Some(system) = self.by_name(host) {
            return Some(system);
        }
        let first = self.systems.first()?.index;
        self.systems.iter().all(|system| system.index == first).then_some(first)
    }

    /// Hash of the name of a site system that holds the role; 0 for one that does not.
    pub fn system_hash(&self, system: u16) -> u64 {
        self.system(system).map_or(0, |other| other.hash)
    }

    fn system(&self, system: u16) -> Option<&System> {
        let place = self.systems.binary_search_by_key(&system, |other| other.index).ok()?;
        Some(&self.systems[place])
    }

    /// The name of a site system that holds the role.
    pub fn called(&self, system: u16) -> Option<&Arc<str>> {
        self.system(system).map(|other| &other.name)
    }
}
