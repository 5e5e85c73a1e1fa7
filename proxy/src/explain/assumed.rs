//! A snapshot of a configuration file that nobody serves: every server is well, and nothing has been learned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rolegate_health::Health;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::assemble::{Addresses, assemble};
use crate::control::compile::{Compiled, Place};
use crate::control::publish::Publisher;
use crate::control::registry::Registry;
use crate::metrics::Metrics;
use crate::model::live::Live;
use crate::model::snapshot::Snapshot;

/// The network of placeholders: 198.18.0.0/15, which is kept for tests of networks.
const PLACEHOLDERS: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const MOST: u32 = 1 << 17;

/// What is only assumed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Assumed {
    /// The file.
    pub file: String,
    /// Names of site systems, each with the placeholder for its address.
    pub placeholders: BTreeMap<String, String>,
}

/// Makes the snapshot.
pub fn assume(compiled: &Compiled, file: &str) -> (Arc<Snapshot>, Assumed) {
    let members = compiled.roles.iter().flat_map(|plan| &plan.members);
    let names: BTreeSet<&Arc<str>> = members
        .filter_map(|member| match &member.place {
            Place::Name(name) => Some(name),
            Place::Address(_) => None,
        })
        .collect();
    let placeholder = |number: u32| IpAddr::V4(Ipv4Addr::from(PLACEHOLDERS + number % MOST));
    let numbered = names.into_iter().zip(1_u32..);
    let addresses: Addresses = numbered.map(|(name, number)| (Arc::clone(name), vec![placeholder(number)])).collect();
    let metrics = Arc::new(Metrics::new());
    let mut registry = Registry::new(Arc::clone(&metrics));
    let assembled = assemble(compiled, &addresses, &mut registry);
    let endpoints = assembled.topologies.iter().flat_map(|topology| &topology.endpoints);
    let ids: Vec<u32> = endpoints.map(|endpoint| endpoint.state.id).collect();
    let live = Arc::new(Live::default());
    let mut publisher = Publisher::new(Arc::clone(&compiled.site), assembled.topologies, live, &metrics);
    for id in ids {
        publisher.stand(id, |standing| standing.health = Health::Up);
    }
    publisher.publish();
    let placeholders = addresses.iter().map(|(name, addresses)| {
        (name.to_string(), addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    });
    let assumed = Assumed { file: file.to_owned(), placeholders: placeholders.collect() };
    (publisher.snapshots().current(), assumed)
}
