//! Which boundary groups contain a client's address: always the union, never just the longest match. Subnets of Active Directory
//! sites, of which the longest does count, come here as disjoint ranges.
//!
//! Beside them it says in which subnet an address is: there the most specific one counts, and it comes here as disjoint ranges too.
//!
//! Overlapping boundaries are cut into disjoint segments when the table is built, so a lookup is one binary search that
//! ends at an interned set of groups. IPv4 has an index over the upper bits in front of it, because most clients have an
//! IPv4 address and large sites have many ranges.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use foldhash::fast::FixedState;

use super::boundary_range::AddressRange;

/// Position of a boundary group in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u16);

/// A subnet: a boundary that is a network, or a subnet of an Active Directory site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubnetId(NonZeroU32);

impl SubnetId {
    /// By the place in a list.
    pub fn at(place: usize) -> Self {
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    /// The place in that list.
    pub fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The groups that contain it, in configuration order; empty when there is none.
    pub groups: &'a [GroupId],
    /// The most specific subnet that contains it.
    pub subnet: Option<SubnetId>,
}

/// From addresses to sets of boundary groups.
#[derive(Debug)]
pub struct BoundaryTable {
    v4: Segments<u32>,
    /// `v4_index[top bits]` is the last segment that starts at or before the first address with these top bits.
    v4_index: Box<[u32]>,
    v4_shift: u32,
    v6: Segments<u128>,
    sets: Sets,
}

/// Segment `i` reaches from `starts[i]` to `starts[i + 1]`, exclusive; the first starts at zero.
#[derive(Debug)]
struct Segments<K> {
    starts: Box<[K]>,
    sets: Box<[u32]>,
    /// Empty where there are no subnets.
    subnets: Box<[Option<SubnetId>]>,
}

/// All distinct sets of groups, one after the other. Set 0 is empty.
#[derive(Debug)]
struct Sets {
    ends: Box<[u32]>,
    groups: Box<[GroupId]>,
}

impl BoundaryTable {
    /// Cuts the boundaries into disjoint segments. No address is in a subnet.
    pub fn build(boundaries: &[(AddressRange, GroupId)]) -> Self {
        Self::with_subnets(boundaries, &[])
    }

    /// Cuts the boundaries, and these parts of subnets, which are disjoint, into segments.
    pub fn with_subnets(boundaries: &[(AddressRange, GroupId)], parts: &[(AddressRange, SubnetId)]) -> Self {
        let mut interner = Interner::new();
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for &(range, group) in boundaries {
            match range {
                AddressRange::V4 { first, last } => v4.push((u128::from(first), u128::from(last), group)),
                AddressRange::V6 { first, last } => v6.push((first, last, group)),
            }
        }
        let v4 = cut(&sweep(&v4, &mut interner), parts, 4);
        let v6 = cut(&sweep(&v6, &mut interner), parts, 6);
        // A position above u32::MAX is the end of the last IPv4 range: nothing can be looked up there.
        let v4 = Segments::new(&v4, |at| u32::try_from(at).ok());
        let v6 = Segments::new(&v6, Some);
        let bits = (usize::BITS - v4.starts.len().leading_zeros()).min(16);
        let v4_shift = 32 - bits;
        let v4_index = index(&v4.starts, bits, v4_shift);
        Self { v4, v4_index, v4_shift, v6, sets: interner.finish() }
    }

    /// The groups that contain `address`, in configuration order; empty when there is none.
    ///
    /// An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn groups_of(&self, address: IpAddr) -> &[GroupId] {
        self.place_of(address).groups
    }

    /// As [`Self::groups_of`], with the subnet, in one lookup.
    pub fn place_of(&self, address: IpAddr) -> Place<'_> {
        let (set, subnet) = match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.at(self.segment_of_v4(u32::from(v4))),
            IpAddr::V6(v6) => {
                let key = u128::from(v6);
                self.v6.at(self.v6.starts.partition_point(|&start| start <= key) - 1)
            }
        };
        Place { groups: self.sets.get(set), subnet }
    }

    /// All distinct sets of groups, the empty one first.
    pub fn sets(&self) -> impl Iterator<Item = &[GroupId]> {
        (0..self.sets.ends.len()).map(|set| self.sets.get(set as u32))
    }

    /// How many distinct sets of groups the addresses fall into, the empty set included.
    pub fn distinct_sets(&self) -> usize {
        self.sets.ends.len()
    }

    fn segment_of_v4(&self, key: u32) -> usize {
        let bucket = key.checked_shr(self.v4_shift).unwrap_or(0) as usize;
        let low = self.v4_index[bucket] as usize;
        let high = self.v4_index[bucket + 1] as usize;
        // Segments of this bucket: the one it starts in, and all that start within it.
        let within = &self.v4.starts[low + 1..=high];
        low + within.partition_point(|&start| start <= key)
    }
}

/// A segment from where it starts, with its set of groups and its subnet.
type Segment = (u128, u32, Option<SubnetId>);

impl<K> Segments<K> {
    /// Of those that start at a place that there is.
    fn new(segments: &[Segment], start: impl Fn(u128) -> Option<K>) -> Self {
        let any = segments.iter().any(|(_, _, subnet)| subnet.is_some());
        let known: Vec<(K, u32, Option<SubnetId>)> =
            segments.iter().filter_map(|&(at, set, subnet)| Some((start(at)?, set, subnet))).collect();
        let sets = known.iter().map(|segment| segment.1).collect();
        let subnets = if any { known.iter().map(|segment| segment.2).collect() } else { Box::default() };
        Self { starts: known.into_iter().map(|segment| segment.0).collect(), sets, subnets }
    }

    fn at(&self, segment: usize) -> (u32, Option<SubnetId>) {
        (self.sets[segment], self.subnets.get(segment).copied().flatten())
    }
}

impl Sets {
    fn get(&self, set: u32) -> &[GroupId] {
        let set = set as usize;
        let begin = if set == 0 { 0 } else { self.ends[set - 1] as usize };
        &self.groups[begin..self.ends[set] as usize]
    }
}

/// For every value of the upper `bits`, and one more, the last segment that starts at or before its first address.
fn index(starts: &[u32], bits: u32, shift: u32) -> Box<[u32]> {
    let buckets = 1_usize << bits;
    let mut index = Vec::with_capacity(buckets + 1);
    let mut segment = 0;
    for bucket in 0..buckets {
        let first = if shift >= 32 { 0 } else { (bucket as u32) << shift };
        while segment + 1 < starts.len() && starts[segment + 1] <= first {
            segment += 1;
        }
        index.push(segment as u32);
    }
    index.push(starts.len().saturating_sub(1) as u32);
    index.into_boxed_slice()
}

struct Interner {
    known: HashMap<Box<[GroupId]>, u32, FixedState>,
    ends: Vec<u32>,
    groups: Vec<GroupId>,
}

impl Interner {
    fn new() -> Self {
        let mut known = HashMap::with_hasher(FixedState::default());
        known.insert(Box::default(), 0);
        Self { known, ends: vec![0], groups: Vec::new() }
    }

    fn intern(&mut self, set: &[GroupId]) -> u32 {
        if let Some(&id) = self.known.get(set) {
            return id;
        }
        let id = self.ends.len() as u32;
        self.groups.extend_from_slice(set);
        self.ends.push(self.groups.len() as u32);
        self.known.insert(set.into(), id);
        id
    }

    fn finish(self) -> Sets {
        Sets { ends: self.ends.into_boxed_slice(), groups: self.groups.into_boxed_slice() }
    }
}

/// Cuts segments where subnets of a family begin and end.
fn cut(segments: &[(u128, u32)], parts: &[(AddressRange, SubnetId)], family: u8) -> Vec<Segment> {
    let own = parts.iter().filter(|(range, _)| range.family() == family);
    let mut parts: Vec<(u128, u128, SubnetId)> = own
        .map(|(range, subnet)| {
            let (first, last) = range.numbers();
            (first, last, *subnet)
        })
        .collect();
    parts.sort_unstable();
    let ends = parts.iter().filter_map(|part| part.1.checked_add(1));
    let starts = segments.iter().map(|segment| segment.0).chain(parts.iter().map(|part| part.0));
    let mut cuts: Vec<u128> = starts.chain(ends).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut found: Vec<Segment> = Vec::with_capacity(cuts.len());
    let (mut segment, mut part) = (0, 0);
    for at in cuts {
        while segments.get(segment + 1).is_some_and(|next| next.0 <= at) {
            segment += 1;
        }
        while parts.get(part).is_some_and(|part| part.1 < at) {
            part += 1;
        }
        let subnet = parts.get(part).filter(|part| part.0 <= at).map(|part| part.2);
        let set = segments[segment].1;
        if found.last().is_none_or(|last| (last.1, last.2) != (set, subnet)) {
            found.push((at, set, subnet));
        }
    }
    found
}

/// Sweeps over all starts and ends once and gives `(start of segment, set)`, the first at 0.
fn sweep(ranges: &[(u128, u128, GroupId)], interner: &mut Interner) -> Vec<(u128, u32)> {
    let mut events: Vec<(u128, bool, GroupId)> = Vec::with_capacity(ranges.len() * 2);
    for &(first, last, group) in ranges {
        events.push((first, true, group));
        if let Some(after) = last.checked_add(1) {
            events.push((after, false, group));
        }
    }
    events.sort_unstable();
    let mut depth: HashMap<GroupId, u32, FixedState> = HashMap::default();
    let mut active: Vec<GroupId> = Vec::new();
    let mut segments = vec![(0_u128, 0_u32)];
    let mut at = 0;
    while at < events.len() {
        let position = events[at].0;
        while at < events.len() && events[at].0 == position {
            let (_, opens, group) = events[at];
            let open = depth.entry(group).or_default();
            // `false` sorts before `true`: where one range of a group ends and its next begins, the depth passes
            // through zero and comes back, and the set is the same.
            if opens {
                *open += 1;
                if let (1, Err(place)) = (*open, active.binary_search(&group)) {
                    active.insert(place, group);
                }
            } else {
                *open -= 1;
                if let (0, Ok(place)) = (*open, active.binary_search(&group)) {
                    active.remove(place);
                }
            }
            at += 1;
        }
        let set = interner.intern(&active);
        match segments.last_mut() {
            Some(last) if last.0 == position => last.1 = set,
            Some(last) if last.1 == set => {}
            _ => segments.push((position, set)),
        }
    }
    segments
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn v4(first: &str, last: &str) -> AddressRange {
        AddressRange::V4 {
            first: first.parse::<Ipv4Addr>().unwrap().into(),
            last: last.parse::<Ipv4Addr>().unwrap().into(),
        }
    }

    fn check(table: &BoundaryTable, address: &str, expected: &[u16]) {
        let found: Vec<u16> = table.groups_of(address.parse().unwrap()).iter().map(|g| g.0).collect();
        assert_eq!(found, expected, "{address}");
    }

    #[test]
    fn overlapping_groups_are_all_found() {
        let table = BoundaryTable::build(&[
            (v4("10.0.0.0", "10.255.255.255"), GroupId(0)),
            (v4("10.1.0.0", "10.1.255.255"), GroupId(1)),
            (v4("10.1.2.3", "10.1.2.3"), GroupId(2)),
            (v4("10.1.2.0", "10.1.2.255"), GroupId(1)),
        ]);
        check(&table, "9.255.255.255", &[]);
        check(&table, "10.0.0.0", &[0]);
        check(&table, "10.1.0.0", &[0, 1]);
        check(&table, "10.1.2.3", &[0, 1, 2]);
        check(&table, "10.1.2.4", &[0, 1]);
        check(&table, "10.2.0.0", &[0]);
        check(&table, "11.0.0.0", &[]);
        check(&table, "::ffff:10.1.2.3", &[0, 1, 2]);
        check(&table, "::a01:203", &[]);
    }

    #[test]
    fn an_empty_table_and_a_whole_one() {
        let table = BoundaryTable::build(&[]);
        check(&table, "1.2.3.4", &[]);
        check(&table, "2001:db8::1", &[]);
        let all6 = AddressRange::V6 { first: 0, last: u128::MAX };
        let table = BoundaryTable::build(&[(v4("0.0.0.0", "255.255.255.255"), GroupId(7)), (all6, GroupId(3))]);
        check(&table, "0.0.0.0", &[7]);
        check(&table, "255.255.255.255", &[7]);
        check(&table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[3]);
    }

    fn naive(boundaries: &[(AddressRange, GroupId)], address: IpAddr) -> Vec<GroupId> {
        let mut found: Vec<GroupId> = boundaries
            .iter()
            .filter(|(range, _)| match (*range, address) {
                (AddressRange::V4 { first, last }, IpAddr::V4(a)) => (first..=last).contains(&a.into()),
                (AddressRange::V6 { first, last }, IpAddr::V6(a)) => (first..=last).contains(&a.into()),
                (AddressRange::V4 { .. }, IpAddr::V6(_)) | (AddressRange::V6 { .. }, IpAddr::V4(_)) => false,
            })
            .map(|b| b.1)
            .collect();
        found.sort();
        found.dedup();
        found
    }

    proptest! {
        #[test]
        fn the_union_equals_a_naive_scan(
            narrow in prop::collection::vec((0_u32..400, 0_u32..60, 0_u16..12), 0..60),
            wide in prop::collection::vec((any::<u32>(), any::<u32>(), 0_u16..12), 0..20),
            six in prop::collection::vec((any::<u128>(), any::<u128>(), 0_u16..12), 0..20),
            probes in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let mut boundaries = Vec::new();
            for (first, length, group) in narrow {
                boundaries.push((AddressRange::V4 { first, last: first + length }, GroupId(group)));
            }
            for (a, b, group) in wide {
                boundaries.push((AddressRange::V4 { first: a.min(b), last: a.max(b) }, GroupId(group)));
            }
            for (a, b, group) in &six {
                boundaries.push((AddressRange::V6 { first: *a.min(b), last: *a.max(b) }, GroupId(*group)));
            }
            let table = BoundaryTable::build(&boundaries);
            let mut addresses: Vec<IpAddr> = (0..470).chain(probes).map(|a| Ipv4Addr::from(a).into()).collect();
            for (range, _) in &boundaries {
                match *range {
                    AddressRange::V4 { first, last } => for edge in [first, last, first.wrapping_sub(1), last.wrapping_add(1)] {
                        addresses.push(Ipv4Addr::from(edge).into());
                    },
                    AddressRange::V6 { first, last } => for edge in [first, last, first.wrapping_sub(1), last.wrapping_add(1)] {
                        let six = Ipv6Addr::from(edge);
                        if six.to_ipv4_mapped().is_none() { addresses.push(six.into()); }
                    },
                }
            }
            for address in addresses {
                prop_assert_eq!(table.groups_of(address), naive(&boundaries, address), "{}", address);
            }
        }
    }
}
