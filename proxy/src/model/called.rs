//! Tables of names: what a host means.

use std::cmp::Ordering;

/// What a host (without port) means in a table of names: lower-cased, without a dot at the end, sorted.
pub fn find<T: Copy>(names: &[(Box<str>, T)], host: Option<&str>) -> Option<T> {
    let host = host?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let order = |name: &str| -> Ordering { name.bytes().cmp(host.bytes().map(|byte| byte.to_ascii_lowercase())) };
    let place = names.binary_search_by(|(name, _)| order(name)).ok()?;
    Some(names[place].1)
}
