//! The site system that a request names in its `Host`, or a connection in the server name that it asks for.
//!
//! Where the names of site systems lead to the proxy, a management point has chosen the server and its client has waited
//! for the fallback clock. The proxy adds redundancy to that choice and does not make it anew.

use std::net::IpAddr;

use super::cluster::Topology;
use super::location::{ContentLocation, Tier};
use super::role::{Balance, FallbackRule, Naming};

/// What the name in a request means to its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The role does not look at names.
    Ignored,
    /// It is no name of a site system of the role, or there is none.
    Stranger,
    /// It is that of this site system, which the client may never use.
    Never(u16),
    /// It is that of a site system which the client may use.
    Allowed {
        /// The site system.
        system: u16,
        /// The first tier that has it.
        tier: Tier,
    },
    /// It is that of a site system that is in no tier of the client, which uses it all the same.
    Beyond {
        /// The site system.
        system: u16,
        /// Why.
        why: Beyond,
    },
}

/// Why a client uses a server that its boundary groups do not lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// A client keeps its last known-good server also outside of its groups.
    LastKnownGood,
    /// A site system has sources of its own, as a pull distribution point has.
    SiteSystem,
}

impl Name {
    /// What a host (without port) means to a client that is itself these site systems: the sources of a pull distribution point are
    /// of any group.
    pub fn new(
        topology: &Topology,
        location: ContentLocation<'_>,
        host: Option<&str>,
        itself: &[(IpAddr, u16)],
    ) -> Self {
        let looks = match topology.role.named {
            // The hash says which, whatever is named.
            _ if topology.role.balance == Balance::Device => false,
            Naming::First | Naming::Only => true,
            Naming::FirstIfDistinct => topology.distinct(),
            Naming::Ignore => false,
        };
        if !looks {
            return Self::Ignored;
        }
        let Some(system) = topology.by_name(host) else { return Self::Stranger };
        match location.tier_of_system(system) {
            Some(tier) => Self::Allowed { system, tier },
            None if !itself.is_empty() => Self::Beyond { system, why: Beyond::SiteSystem },
            None if topology.role.fallback_rule == FallbackRule::LastKnownGood => {
                Self::Beyond { system, why: Beyond::LastKnownGood }
            }
            None => Self::Never(system),
        }
    }

    /// The site system, if the client may use it, and the tier in which it is looked for.
    pub fn allowed(self) -> Option<(u16, Tier)> {
        match self {
            Self::Allowed { system, tier } => Some((system, tier)),
            Self::Beyond { system, .. } => Some((system, Tier::SITE)),
            Self::Ignored | Self::Stranger | Self::Never(_) => None,
        }
    }

    /// The site system alone.
    pub fn system(self) -> Option<u16> {
        self.allowed().map(|(system, _)| system)
    }

    /// The tier of that site system, if one of the client's has it.
    pub fn tier(self) -> Option<Tier> {
        match self {
            Self::Allowed { tier, .. } => Some(tier),
            Self::Ignored | Self::Stranger | Self::Never(_) | Self::Beyond { .. } => None,
        }
    }
}
