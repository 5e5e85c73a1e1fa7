//! Tables of names: what a host means.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};

/// What a host (without port) means in a table of names: lower-cased, without a dot at the end, sorted.
pub fn find<T: Copy>(names: &[(Box<str>, T)], host: Option<&str>) -> Option<T> {
    let host = host?;
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(bare) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = IpAddr::V6(bare.parse::<Ipv6Addr>().ok()?).to_canonical();
        // Names are written as they are shown, and an address may be written in many ways.
        return names.iter().find(|(name, _)| as_address(name) == Some(address)).map(|(_, meaning)| *meaning);
    }
    let order = |name: &str| -> Ordering { name.bytes().cmp(host.bytes().map(|byte| byte.to_ascii_lowercase())) };
    let place = names.binary_search_by(|(name, _)| order(name)).ok()?;
    Some(names[place].1)
}

/// The address that a name is, if it is one.
fn as_address(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
