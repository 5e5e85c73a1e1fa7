//! Boundaries as ConfigMgr's console and its cmdlets spell them.
//!
//! A text is refused when it could mean something else than it seems to: ConfigMgr forgets the mask of an IP subnet, and
//! a proxy sees nothing of a client's network adapters.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::problem::quoted;
use crate::model::boundary_range::AddressRange;

/// Why a boundary is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum BoundaryError {
    /// Nothing is written.
    #[error("the boundary is empty")]
    Empty,
    /// Not a boundary at all.
    #[error("{} is not a boundary", quoted(text))]
    NotABoundary { text: String },
    /// Something that should be an address is none.
    #[error("{} is not an IP address", quoted(text))]
    NotAnAddress { text: String },
    /// A prefix length that the family does not have.
    #[error("{} is not a prefix length of an {family} address", quoted(text))]
    PrefixLength { text: String, family: Family },
    /// Bits of the address behind the mask are set.
    #[error("{} is not the first address of its network", quoted(text))]
    HostBits { text: String, network: String },
    /// A mask with holes.
    #[error("{mask} is not a subnet mask")]
    Mask { mask: Ipv4Addr },
    /// A subnet id as ConfigMgr stores it.
    #[error("{address} is a subnet without its mask: ConfigMgr throws the mask of an IP subnet away")]
    SubnetWithoutMask { address: Ipv4Addr },
    /// One IPv4 address: a host, or a subnet whose mask is missing.
    #[error("{address} is a single address and not a range")]
    SingleAddress { address: Ipv4Addr },
    /// An IPv6 address whose lower half is empty: surely a prefix.
    #[error("{address} is an IPv6 prefix without its length")]
    PrefixWithoutLength { address: Ipv6Addr },
    /// An IPv6 prefix has four groups.
    #[error("{} has {groups} groups of digits, and an IPv6 prefix has four", quoted(text))]
    PrefixGroups { text: String, groups: usize },
    /// From high to low.
    #[error("the range starts at {first}, after its end {last}")]
    Reversed { first: IpAddr, last: IpAddr },
    /// From IPv4 to IPv6 or the other way round.
    #[error("the range goes from {first} to {last}, but a range has one kind of address")]
    MixedFamilies { first: IpAddr, last: IpAddr },
    /// Clients are compared as IPv4, so it would never match.
    #[error("{} is an IPv4 address in IPv6 clothes", quoted(text))]
    MappedIpv4 { text: String },
    /// As above, for a part of it.
    #[error("{} begins or ends within ::ffff:0:0/96, where clients have IPv4 addresses", quoted(text))]
    PartlyMapped { text: String },
    /// Judged by the client's adapter, which nobody sees from outside.
    #[error(
        "{} is a VPN boundary: it is judged by the client's network adapter and cannot be seen from an address",
        quoted(text)
    )]
    Vpn { text: String },
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl BoundaryError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::Empty | Self::NotABoundary { .. } | Self::NotAnAddress { .. } => {
                "write \"10.1.0.0/16\", \"10.1.0.0-10.1.255.255\", \"10.1.0.0/255.255.0.0\", \"2001:db8:1:2::/64\", \
                 or { ad_site = \"NAME\" }"
                    .to_owned()
            }
            Self::PrefixLength { family: Family::V4, .. } => "write a number from 0 to 32, or a mask".to_owned(),
            Self::PrefixLength { family: Family::V6, .. } => "write a number from 0 to 128".to_owned(),
            Self::HostBits { network, text } => {
                let address = text.split(['/', ' ', '\t']).next().unwrap_or_default();
                let bits = if address.contains(':') { 128 } else { 32 };
                format!("write \"{network}\" for the whole network, or \"{address}/{bits}\" for this one address")
            }
            Self::Mask { .. } => "a mask is ones, then zeros, such as 255.255.255.0".to_owned(),
            Self::SubnetWithoutMask { address } => format!("write \"{address}/24\" (or its real mask)"),
            Self::SingleAddress { address } => {
                format!("write \"{address}-{address}\" for this one host, or add the mask of its network")
            }
            Self::PrefixWithoutLength { address } => {
                format!("write \"{address}/64\" for the network, or \"{address}-{address}\" for this one address")
            }
            Self::PrefixGroups { .. } => {
                "write four groups, or an address with its length such as \"2001:db8::/32\"".to_owned()
            }
            Self::Reversed { first, last } => format!("write \"{last}-{first}\""),
            Self::MixedFamilies { .. } => "write one boundary for IPv4 and one for IPv6".to_owned(),
            Self::MappedIpv4 { .. } => "write it as an IPv4 boundary".to_owned(),
            Self::PartlyMapped { .. } => {
                "end it at ::fffe:ffff:ffff or begin it at ::1:0:0:0, and write the rest as an IPv4 boundary".to_owned()
            }
            Self::Vpn { .. } => {
                "write the addresses that the VPN gives to clients as a range, such as \"10.9.0.0/20\"".to_owned()
            }
        }
    }
}

/// Reads one boundary: CIDR, inclusive range, IPv6 prefix in both of ConfigMgr's spellings, or a subnet with its mask.
pub fn parse_boundary(text: &str) -> Result<AddressRange, BoundaryError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(BoundaryError::Empty);
    }
    if is_vpn(text) {
        return Err(BoundaryError::Vpn { text: text.to_owned() });
    }
    if let Some((first, last)) = text.split_once(['-', '–']) {
        return range(address(first)?, address(last)?, text);
    }
    if let Some((network, length)) = text.split_once('/') {
        return match address(network)? {
            IpAddr::V4(network) => subnet_v4(network, length.trim(), text),
            IpAddr::V6(network) => subnet_v6(network, length.trim(), text),
        };
    }
    if let Some((network, mask)) = text.split_once(char::is_whitespace) {
        return match (address(network)?, address(mask)?) {
            (IpAddr::V4(network), IpAddr::V4(mask)) => masked(network, mask, text),
            (IpAddr::V4(_) | IpAddr::V6(_), _) => Err(BoundaryError::NotABoundary { text: text.to_owned() }),
        };
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.octets()[3] == 0 => Err(BoundaryError::SubnetWithoutMask { address }),
        Ok(IpAddr::V4(address)) => Err(BoundaryError::SingleAddress { address }),
        Ok(IpAddr::V6(address)) if u128::from(address) << 64 == 0 && !address.is_unspecified() => {
            Err(BoundaryError::PrefixWithoutLength { address })
        }
        Ok(IpAddr::V6(address)) => range(IpAddr::V6(address), IpAddr::V6(address), text),
        Err(_) => bare_prefix(text),
    }
}

fn is_vpn(text: &str) -> bool {
    let kind = text.split_once(':').map_or("", |(kind, _)| kind.trim());
    ["auto", "name", "description"].iter().any(|vpn| kind.eq_ignore_ascii_case(vpn))
}

fn address(text: &str) -> Result<IpAddr, BoundaryError> {
    let text = text.trim();
    text.parse().map_err(|_: AddrParseError| BoundaryError::NotAnAddress { text: text.to_owned() })
}

fn range(first: IpAddr, last: IpAddr, text: &str) -> Result<AddressRange, BoundaryError> {
    match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Ok(AddressRange::V4 { first: a.into(), last: b.into() }),
        (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => v6(a.into(), b.into(), text),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Err(BoundaryError::Reversed { first, last }),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(BoundaryError::MixedFamilies { first, last })
        }
    }
}

fn v6(first: u128, last: u128, text: &str) -> Result<AddressRange, BoundaryError> {
    let mapped = |address: u128| Ipv6Addr::from(address).to_ipv4_mapped().is_some();
    match (mapped(first), mapped(last)) {
        (true, true) => Err(BoundaryError::MappedIpv4 { text: text.to_owned() }),
        (false, false) => Ok(AddressRange::V6 { first, last }),
        (true, false) | (false, true) => Err(BoundaryError::PartlyMapped { text: text.to_owned() }),
    }
}

fn subnet_v4(network: Ipv4Addr, length: &str, text: &str) -> Result<AddressRange, BoundaryError> {
    if let Ok(mask) = length.parse::<Ipv4Addr>() {
        return masked(network, mask, text);
    }
    let bits = prefix_length(length, 32, Family::V4)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    masked(network, mask.into(), text)
}

fn masked(network: Ipv4Addr, mask: Ipv4Addr, text: &str) -> Result<AddressRange, BoundaryError> {
    let bits = u32::from(mask);
    if bits.leading_ones() + bits.trailing_zeros() < 32 {
        return Err(BoundaryError::Mask { mask });
    }
    let first = u32::from(network);
    if first & !bits != 0 {
        let network = format!("{}/{}", Ipv4Addr::from(first & bits), bits.leading_ones());
        return Err(BoundaryError::HostBits { text: text.to_owned(), network });
    }
    Ok(AddressRange::V4 { first, last: first | !bits })
}

fn subnet_v6(network: Ipv6Addr, length: &str, text: &str) -> Result<AddressRange, BoundaryError> {
    let bits = prefix_length(length, 128, Family::V6)?;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    let first = u128::from(network);
    if first & !mask != 0 {
        let network = format!("{}/{bits}", Ipv6Addr::from(first & mask));
        return Err(BoundaryError::HostBits { text: text.to_owned(), network });
    }
    v6(first, first | !mask, text)
}

fn prefix_length(text: &str, most: u32, family: Family) -> Result<u32, BoundaryError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(bits) if digits && bits <= most => Ok(bits),
        Ok(_) | Err(_) => Err(BoundaryError::PrefixLength { text: text.to_owned(), family }),
    }
}

/// The documentation's spelling of an IPv6 prefix boundary: the first four groups and nothing else.
fn bare_prefix(text: &str) -> Result<AddressRange, BoundaryError> {
    let groups: Vec<&str> = text.split(':').collect();
    let hex = |group: &&str| (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    if groups.len() < 2 || !groups.iter().all(hex) {
        return Err(BoundaryError::NotABoundary { text: text.to_owned() });
    }
    let groups = groups.len();
    match format!("{text}::").parse::<Ipv6Addr>() {
        Ok(network) if groups == 4 => subnet_v6(network, "64", text),
        Ok(_) | Err(_) => Err(BoundaryError::PrefixGroups { text: text.to_owned(), groups }),
    }
}

#[cfg(test)]
#[path = "boundary_tests.rs"]
mod tests;
