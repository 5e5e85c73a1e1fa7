//! Tables of names: what a host means.

use std::cmp::Ordering;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use arrayvec::ArrayString;

use super::sieve::{Sieve, hash_of_name};

/// The longest text of an address in brackets, in bytes.
const LONGEST_ADDRESS: usize = 48;

/// A table of names: lower-cased, without a dot at the end, sorted.
#[derive(Clone, Debug)]
pub struct Names<T> {
    entries: Box<[(Box<str>, T)]>,
    sieve: Sieve,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { entries: Box::default(), sieve: Sieve::default() }
    }
}

impl<T: Copy> Names<T> {
    /// The table of names that are sorted.
    pub fn new(entries: Vec<(Box<str>, T)>) -> Self {
        let sieve = Sieve::new(entries.iter().map(|(name, _)| hash_of_name(name)));
        Self { entries: entries.into_boxed_slice(), sieve }
    }

    /// The names, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &**name)
    }

    /// What a host (without port) means.
    pub fn find(&self, host: Option<&str>) -> Option<T> {
        let host = host?;
        let host = host.strip_suffix('.').unwrap_or(host);
        match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(bare) => find_address(&self.entries, bare.parse().ok()?),
            None if self.sieve.may_have(hash_of_name(host)) => search(&self.entries, host),
            None => None,
        }
    }
}

/// An address may be spelled in many ways, and names are as they are shown.
fn find_address<T: Copy>(names: &[(Box<str>, T)], address: Ipv6Addr) -> Option<T> {
    let mut text = ArrayString::<LONGEST_ADDRESS>::new();
    write!(text, "[{address}]").ok()?;
    search(names, &text).or_else(|| {
        let IpAddr::V4(mapped) = IpAddr::V6(address).to_canonical() else { return None };
        text.clear();
        write!(text, "{mapped}").ok()?;
        search(names, &text)
    })
}

fn search<T: Copy>(names: &[(Box<str>, T)], host: &str) -> Option<T> {
    let order = |name: &str| -> Ordering { name.bytes().cmp(host.bytes().map(|byte| byte.to_ascii_lowercase())) };
    let place = names.binary_search_by(|(name, _)| order(name)).ok()?;
    Some(names[place].1)
}
