//! Active Directory sites: a client's site is that of the most specific subnet that contains it, as Active Directory has it.
//!
//! Subnets of sites nest or are disjoint. Here they are cut into disjoint ranges, so that boundaries of sites can be a union
//! with all other boundaries.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use crate::control::config::{Config, Problems, parse_boundary};
use crate::model::boundary::GroupId;
use crate::model::boundary_range::AddressRange;

/// Warnings about nested subnets. A large site has thousands of them, and all say the same.
const MOST: usize = 5;

/// A subnet with its site.
#[derive(Debug)]
struct Subnet {
    range: AddressRange,
    site: usize,
    text: String,
    span: Range<usize>,
}

/// The sites of `[ad_sites]`.
#[derive(Debug, Default)]
pub(super) struct AdSites {
    /// By name in lower case.
    places: HashMap<String, usize>,
    names: Vec<String>,
    /// Disjoint, by site.
    ranges: Vec<Vec<AddressRange>>,
    subnets: Vec<Subnet>,
    /// Of each subnet the smallest one that contains it.
    parents: Vec<Option<usize>>,
    /// Of each subnet its first range, if smaller subnets leave it one.
    first: Vec<Option<AddressRange>>,
}

pub(super) fn compile(config: &Config, problems: &mut Problems) -> AdSites {
    let mut sites = AdSites::default();
    for (name, subnets) in &config.ad_sites {
        let site = sites.names.len();
        if sites.places.insert(name.get_ref().to_ascii_lowercase(), site).is_some() {
            let text = format!("there is another Active Directory site {:?}", name.get_ref());
            problems.error(name.span(), text, "list its subnets in one place");
            continue;
        }
        sites.names.push(name.get_ref().clone());
        for subnet in subnets {
            match parse_boundary(subnet.get_ref()) {
                Ok(range) if range.is_network() => {
                    let text = subnet.get_ref().trim().to_owned();
                    sites.subnets.push(Subnet { range, site, text, span: subnet.span() });
                }
                Ok(_) => problems.error(
                    subnet.span(),
                    format!("{:?} is a range, and Active Directory has networks", subnet.get_ref()),
                    "write its subnets as Active Directory Sites and Services shows them, such as \"10.1.0.0/16\"",
                ),
                Err(error) => problems.error(subnet.span(), error.to_string(), error.help()),
            }
        }
    }
    sites.refuse_equal_subnets(problems);
    sites.cut();
    sites
}

impl AdSites {
    /// The place of a site.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(&name.to_ascii_lowercase()).copied()
    }

    /// Names of all sites, in lower case.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The addresses whose most specific subnet is one of this site.
    pub(super) fn ranges(&self, site: usize) -> &[AddressRange] {
        self.ranges.get(site).map_or(&[], |ranges| ranges)
    }

    /// The subnets of all sites.
    pub(super) fn subnets(&self) -> impl Iterator<Item = AddressRange> {
        self.subnets.iter().map(|subnet| subnet.range)
    }

    /// Says where a client is in fewer boundary groups than all subnets that contain it would give. `groups` are by site.
    pub(super) fn warn_about_nested(&self, groups: &[Vec<GroupId>], problems: &mut Problems) {
        let none = Vec::new();
        let of = |subnet: usize| groups.get(self.subnets[subnet].site).unwrap_or(&none);
        let mut pairs = Vec::new();
        let mut more = 0;
        for (inner, first) in self.first.iter().enumerate() {
            let Some(first) = first else { continue };
            let lost = |outer: &usize| of(*outer).iter().any(|group| !of(inner).contains(group));
            let mut outers = std::iter::successors(self.parents[inner], |outer| self.parents[*outer]);
            let Some(outer) = outers.find(lost) else { continue };
            let (inner, outer) = (&self.subnets[inner], &self.subnets[outer]);
            if pairs.contains(&(inner.site, outer.site)) {
                continue;
            }
            if pairs.len() == MOST {
                more += 1;
                continue;
            }
            pairs.push((inner.site, outer.site));
            let (own, other) = (&self.names[inner.site], &self.names[outer.site]);
            problems.warning(
                inner.span.clone(),
                format!(
                    "a client at {} is in the Active Directory site {own:?} and not in {other:?}, whose subnet {} contains it too",
                    first.first(),
                    outer.text
                ),
                format!(
                    "Active Directory takes the most specific subnet; if these clients should be in the boundary groups of \
                     {other:?} too, add {:?} to the boundaries of those",
                    inner.text
                ),
            );
        }
        if let (1.., Some(last)) = (more, self.subnets.last()) {
            let text = format!("{more} more subnets lie in subnets of other Active Directory sites");
            problems.warning(last.span.clone(), text, "a client is in the site of the most specific subnet alone");
        }
    }

    /// In the order of addresses, a network before those in it.
    fn refuse_equal_subnets(&mut self, problems: &mut Problems) {
        self.subnets.sort_by_key(|subnet| {
            let (first, last) = subnet.range.numbers();
            (subnet.range.family(), first, Reverse(last))
        });
        for pair in self.subnets.windows(2) {
            let [a, b] = pair else { continue };
            if a.range != b.range || a.site == b.site {
                continue;
            }
            for (at, other) in [(a, b), (b, a)] {
                problems.error(
                    at.span.clone(),
                    format!("the subnet {} is one of the site {:?} too", at.text, self.names[other.site]),
                    "a subnet belongs to one Active Directory site: take it out of the other",
                );
            }
        }
    }

    fn cut(&mut self) {
        let subnets: Vec<AddressRange> = self.subnets.iter().map(|subnet| subnet.range).collect();
        let (pieces, parents) = cut(&subnets);
        self.parents = parents;
        self.first = vec![None; subnets.len()];
        self.ranges = vec![Vec::new(); self.names.len()];
        for (range, subnet) in pieces {
            self.first[subnet].get_or_insert(range);
            self.ranges[self.subnets[subnet].site].push(range);
        }
    }
}

/// Cuts subnets, each before those in it, into disjoint ranges with the smallest subnet that contains them. Also says which
/// is the smallest that contains each of them.
pub(super) fn cut(subnets: &[AddressRange]) -> (Vec<(AddressRange, usize)>, Vec<Option<usize>>) {
    let mut pieces = Vec::new();
    let mut parents = Vec::new();
    // Those that contain the next address, the smallest last.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    for (place, subnet) in subnets.iter().enumerate() {
        let (first, _) = subnet.numbers();
        while let Some(&last_open) = open.last() {
            let (_, end) = subnets[last_open].numbers();
            if subnets[last_open].family() == subnet.family() && end >= first {
                pieces.extend(first.checked_sub(1).and_then(|before| piece(subnets, last_open, at, before)));
                break;
            }
            close(subnets, &mut open, &mut at, &mut pieces);
        }
        parents.push(open.last().copied());
        open.push(place);
        at = first;
    }
    while !open.is_empty() {
        close(subnets, &mut open, &mut at, &mut pieces);
    }
    (pieces, parents)
}

/// Ends the smallest open subnet.
fn close(subnets: &[AddressRange], open: &mut Vec<usize>, at: &mut u128, pieces: &mut Vec<(AddressRange, usize)>) {
    let Some(place) = open.pop() else { return };
    let (_, end) = subnets[place].numbers();
    pieces.extend(piece(subnets, place, *at, end));
    match end.checked_add(1) {
        Some(next) => *at = next,
        // The last address of all: those around it end here too.
        None => open.clear(),
    }
}

fn piece(subnets: &[AddressRange], place: usize, first: u128, last: u128) -> Option<(AddressRange, usize)> {
    (first <= last).then(|| (subnets[place].with(first, last), place))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// The most specific of those that contain it.
    fn naive(subnets: &[AddressRange], address: IpAddr) -> Option<AddressRange> {
        let around = subnets.iter().filter(|subnet| subnet.contains(address));
        around.min_by_key(|subnet| subnet.numbers().1 - subnet.numbers().0).copied()
    }

    fn v4(address: u32, bits: u32) -> AddressRange {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        AddressRange::V4 { first: address & mask, last: address | !mask }
    }

    fn v6(address: u128, bits: u32) -> AddressRange {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        AddressRange::V6 { first: address & mask, last: address | !mask }
    }

    fn address(range: AddressRange, number: u128) -> IpAddr {
        match range {
            AddressRange::V4 { .. } => Ipv4Addr::from(number as u32).into(),
            AddressRange::V6 { .. } => Ipv6Addr::from(number).into(),
        }
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins(
            near in prop::collection::vec((0_u32..64, 24_u32..=32), 0..40),
            far in prop::collection::vec((any::<u32>(), 0_u32..=32), 0..20),
            high in prop::collection::vec((0_u32..64, 24_u32..=32), 0..20),
            six in prop::collection::vec((any::<u128>(), 0_u32..=128), 0..20),
            six_near in prop::collection::vec((0_u128..64, 120_u32..=128), 0..20),
            probes in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let mut subnets: Vec<AddressRange> = near.iter().chain(&far).map(|&(at, bits)| v4(at, bits)).collect();
            subnets.extend(high.iter().map(|&(below, bits)| v4(u32::MAX - below, bits)));
            subnets.extend(six.iter().chain(&six_near).map(|&(at, bits)| v6(at, bits)));
            subnets.extend(six_near.iter().map(|&(below, bits)| v6(u128::MAX - below, bits)));
            subnets.sort_by_key(|subnet| (subnet.family(), subnet.numbers().0, Reverse(subnet.numbers().1)));
            subnets.dedup();
            let (pieces, parents) = cut(&subnets);
            let mut addresses: Vec<IpAddr> = probes.iter().map(|&at| Ipv4Addr::from(at).into()).collect();
            for &subnet in &subnets {
                let (first, last) = subnet.numbers();
                for edge in [first, last, first.saturating_sub(1), last.saturating_add(1)] {
                    addresses.push(address(subnet, edge));
                }
            }
            for address in addresses {
                let found: Vec<AddressRange> = pieces
                    .iter()
                    .filter(|(range, _)| range.contains(address))
                    .map(|(_, place)| subnets[*place])
                    .collect();
                prop_assert_eq!(found, Vec::from_iter(naive(&subnets, address)), "{}", address);
            }
            for (place, parent) in parents.iter().enumerate() {
                let inside = |outer: &AddressRange| {
                    outer.family() == subnets[place].family()
                        && *outer != subnets[place]
                        && outer.numbers().0 <= subnets[place].numbers().0
                        && outer.numbers().1 >= subnets[place].numbers().1
                };
                let around = subnets.iter().filter(|outer| inside(outer));
                let smallest = around.min_by_key(|outer| outer.numbers().1 - outer.numbers().0);
                prop_assert_eq!(parent.map(|parent| &subnets[parent]), smallest);
            }
        }
    }
}
