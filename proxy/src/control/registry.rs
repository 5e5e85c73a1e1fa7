//! What survives a reload: the live part of every endpoint, and all metric handles.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::metrics::{EndpointMetrics, Metrics, RoleMetrics};
use crate::model::endpoint::EndpointState;

/// Finds the live part of an endpoint again by role, site system and address.
#[derive(Debug)]
pub struct Registry {
    metrics: Arc<Metrics>,
    endpoints: HashMap<EndpointKey, Entry>,
    roles: HashMap<String, RoleMetrics>,
    leaving: Vec<Leaving>,
    next_id: u32,
    round: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EndpointKey {
    role: String,
    system: Arc<str>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Entry {
    state: Arc<EndpointState>,
    metrics: EndpointMetrics,
    round: u64,
}

/// An endpoint that is no longer picked and still has requests.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// Role name.
    pub role: String,
    /// Site system.
    pub system: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// Its live part.
    pub state: Arc<EndpointState>,
    metrics: EndpointMetrics,
}

impl Registry {
    /// An empty registry.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, endpoints: HashMap::new(), roles: HashMap::new(), leaving: Vec::new(), next_id: 0, round: 0 }
    }

    /// A new assembly begins: what it does not ask for is forgotten by [`Registry::end_round`].
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    /// The live part of an endpoint: the same as before, or a new one.
    pub fn endpoint(
        &mut self,
        role: &str,
        system: &Arc<str>,
        address: SocketAddr,
    ) -> (Arc<EndpointState>, EndpointMetrics) {
        let key = EndpointKey { role: role.to_owned(), system: Arc::clone(system), address };
        let entry = self.endpoints.entry(key).or_insert_with(|| {
            self.next_id += 1;
            Entry {
                state: Arc::new(EndpointState::new(self.next_id)),
                metrics: EndpointMetrics::new(&self.metrics, role, system, &address.to_string()),
                round: 0,
            }
        });
        entry.round = self.round;
        (Arc::clone(&entry.state), entry.metrics.clone())
    }

    /// The handles of a role.
    pub fn role(&mut self, role: &str) -> RoleMetrics {
        let metrics = &self.metrics;
        self.roles.entry(role.to_owned()).or_insert_with(|| RoleMetrics::new(metrics, role)).clone()
    }

    /// The assembly is complete: endpoints that it did not ask for leave. Their requests go on.
    pub fn end_round(&mut self) {
        let round = self.round;
        let leaving = &mut self.leaving;
        self.endpoints.retain(|key, entry| {
            let stays = entry.round == round;
            if !stays {
                entry.metrics.up.set(0.0);
                leaving.push(Leaving {
                    role: key.role.clone(),
                    system: Arc::clone(&key.system),
                    address: key.address,
                    state: Arc::clone(&entry.state),
                    metrics: entry.metrics.clone(),
                });
            }
            stays
        });
    }

    /// Endpoints that left and still have requests.
    pub fn leaving(&mut self) -> &[Leaving] {
        self.leaving.retain(|leaving| {
            let in_flight = leaving.state.in_flight();
            // Nobody else would look at it any more, and its last number would stand for ever.
            leaving.metrics.inflight.set(f64::from(in_flight));
            in_flight > 0
        });
        &self.leaving
    }
}
