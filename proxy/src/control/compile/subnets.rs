//! Subnets: boundaries that are networks, and those of Active Directory sites. An address is in the most specific one.

use std::cmp::Reverse;

use super::ad_sites;
use crate::model::boundary::SubnetId;
use crate::model::boundary_range::AddressRange;
use crate::model::role::Role;

/// All subnets, and the parts of them in which an address is in no smaller one.
#[derive(Debug, Default)]
pub(super) struct Subnets {
    /// By the place of their ids.
    pub(super) list: Vec<AddressRange>,
    /// Disjoint.
    pub(super) parts: Vec<(AddressRange, SubnetId)>,
}

/// Whether a boundary, written like this, is a subnet: a range is none, be it a network, and neither is a single address.
pub(super) fn is_one(range: &AddressRange, text: &str) -> bool {
    let (first, last) = range.numbers();
    range.is_network() && first != last && !text.contains(['-', '–'])
}

impl Subnets {
    /// Of this list, in any order and with repetitions; none where no role cares for them.
    pub(super) fn cut<'a>(mut list: Vec<AddressRange>, mut roles: impl Iterator<Item = &'a Role>) -> Self {
        if !roles.any(|role| role.same_subnet_first) {
            return Self::default();
        }
        list.sort_by_key(|range| {
            let (first, last) = range.numbers();
            (range.family(), first, Reverse(last))
        });
        list.dedup();
        let (parts, _) = ad_sites::cut(&list);
        let parts = parts.into_iter().map(|(range, place)| (range, SubnetId::at(place))).collect();
        Self { list, parts }
    }
}
