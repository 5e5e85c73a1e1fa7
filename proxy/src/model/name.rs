//! The site system that a request names in its `Host`, or a connection in the server name that it asks for.
//!
//! Where the names of site systems lead to the proxy, a management point has chosen the server and its client has waited
//! for the fallback clock. The proxy adds redundancy to that choice and does not make it anew.

use std::net::IpAddr;

use super::cluster::Topology;
use super::location::{ContentLocation, Tier};
use super::role::{Balance, Naming};

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
            None if !itself.is_empty() => Self::Allowed { system, tier: Tier::SITE },
            None => Self::Never(system),
        }
    }

    /// The site system, if the client may use it.
    pub fn allowed(self) -> Option<u16> {
        match self {
            Self::Allowed { system, .. } => Some(system),
            Self::Ignored | Self::Stranger | Self::Never(_) => None,
        }
    }

    /// The tier of that site system.
    pub fn tier(self) -> Option<Tier> {
        match self {
            Self::Allowed { tier, .. } => Some(tier),
            Self::Ignored | Self::Stranger | Self::Never(_) => None,
        }
    }
}
