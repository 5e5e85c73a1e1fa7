//! A boundary as the routing table sees it: an inclusive range of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AddressRange {
    /// IPv4, as numbers.
    V4 { first: u32, last: u32 },
    /// IPv6, as numbers.
    V6 { first: u128, last: u128 },
}

impl AddressRange {
    /// Whether the address is in the range. An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (*self, address.to_canonical()) {
            (Self::V4 { first, last }, IpAddr::V4(a)) => (first..=last).contains(&u32::from(a)),
            (Self::V6 { first, last }, IpAddr::V6(a)) => (first..=last).contains(&u128::from(a)),
            (Self::V4 { .. }, IpAddr::V6(_)) | (Self::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }

    /// The first and the last address, as numbers.
    pub fn numbers(&self) -> (u128, u128) {
        match *self {
            Self::V4 { first, last } => (first.into(), last.into()),
            Self::V6 { first, last } => (first, last),
        }
    }

    /// The first address.
    pub fn first(&self) -> IpAddr {
        match *self {
            Self::V4 { first, .. } => Ipv4Addr::from(first).into(),
            Self::V6 { first, .. } => Ipv6Addr::from(first).into(),
        }
    }

    /// 4 or 6.
    pub fn family(&self) -> u8 {
        match self {
            Self::V4 { .. } => 4,
            Self::V6 { .. } => 6,
        }
    }

    /// Another range of the same family.
    #[must_use]
    pub fn with(&self, first: u128, last: u128) -> Self {
        match self {
            Self::V4 { .. } => Self::V4 { first: first as u32, last: last as u32 },
            Self::V6 { .. } => Self::V6 { first, last },
        }
    }

    /// The network that it is, as `10.1.0.0/16`; only for one that is a network.
    pub fn network(&self) -> String {
        let (first, last) = self.numbers();
        let bits = if self.family() == 4 { 32 } else { 128 };
        format!("{}/{}", self.first(), bits - (first ^ last).count_ones())
    }

    /// Whether it is all addresses that begin with the same bits.
    pub fn is_network(&self) -> bool {
        let (first, last) = self.numbers();
        let free = first ^ last;
        free & free.wrapping_add(1) == 0 && first & free == 0
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4 { first, last } => write!(f, "{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)),
            Self::V6 { first, last } => write!(f, "{}-{}", Ipv6Addr::from(first), Ipv6Addr::from(last)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_the_range() {
        let range = AddressRange::V4 { first: 0x0a00_0001, last: 0x0a00_0003 };
        for (address, inside) in [("10.0.0.0", false), ("10.0.0.1", true), ("10.0.0.3", true), ("10.0.0.4", false)] {
            assert_eq!(range.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(range.contains("::ffff:10.0.0.2".parse().unwrap()));
        assert!(!range.contains("::1".parse().unwrap()));
        assert_eq!(range.to_string(), "10.0.0.1-10.0.0.3");
        let all = AddressRange::V6 { first: 0, last: u128::MAX };
        assert!(all.contains("ffff::".parse().unwrap()) && !all.contains("1.2.3.4".parse().unwrap()));
        assert!(all.is_network() && !range.is_network());
        assert!(range.with(0x0a00_0004, 0x0a00_0007).is_network() && range.with(7, 7).is_network());
        assert!(!range.with(1, 2).is_network() && !range.with(4, 6).is_network());
        assert_eq!(range.with(0x0a00_0004, 0x0a00_0007).network(), "10.0.0.4/30");
        assert_eq!((all.network(), range.with(7, 7).network()), ("::/0".to_owned(), "0.0.0.7/32".to_owned()));
    }
}
