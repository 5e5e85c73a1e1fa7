//! What survives a reload: the live part of every endpoint, and all metric handles. What a reload leaves behind goes from
//! here, and its series with it, when nothing of it is in flight any more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::metrics::{Detail, EndpointMetrics, GroupMetrics, Metrics, RoleMetrics};
use crate::model::endpoint::EndpointState;

/// What a reload has left behind goes a few seconds later, so that it goes on counting when it comes back. Reloads that leave more
/// than this behind, one after the other, do not wait for that.
const MOST_LEFT: usize = 256;

/// Finds the live part of an endpoint again by role, site system and address.
#[derive(Debug)]
pub struct Registry {
    metrics: Arc<Metrics>,
    endpoints: HashMap<EndpointKey, Entry>,
    /// By name, and the code of the site whose role it is.
    roles: HashMap<(String, Option<Arc<str>>), RoleEntry>,
    /// By role and boundary group; without one, of those that have no series of their own.
    groups: HashMap<(String, Option<Box<str>>), GroupEntry>,
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

#[derive(Debug)]
struct RoleEntry {
    metrics: RoleMetrics,
    round: u64,
}

#[derive(Debug)]
struct GroupEntry {
    metrics: GroupMetrics,
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
        Self {
            metrics,
            endpoints: HashMap::new(),
            roles: HashMap::new(),
            groups: HashMap::new(),
            leaving: Vec::new(),
            next_id: 0,
            round: 0,
        }
    }

    /// How much is said of each endpoint from now on.
    pub fn show(&self, detail: Detail) {
        self.metrics.show(detail);
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

    /// The handles of a boundary group in a role; without a name, those of all groups that have none of their own.
    pub fn group(&mut self, role: &str, group: Option<&str>) -> GroupMetrics {
        let new = || GroupEntry { metrics: GroupMetrics::new(&self.metrics, role, group), round: 0 };
        let entry = self.groups.entry((role.to_owned(), group.map(Into::into))).or_insert_with(new);
        entry.round = self.round;
        entry.metrics.clone()
    }

    /// The handles of a role, or of the role of one of several sites.
    pub fn role(&mut self, role: &str, site: Option<&Arc<str>>) -> RoleMetrics {
        let new = || RoleEntry { metrics: RoleMetrics::new(&self.metrics, role, site.map(|site| &**site)), round: 0 };
        let entry = self.roles.entry((role.to_owned(), site.cloned())).or_insert_with(new);
        entry.round = self.round;
        entry.metrics.clone()
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
        let roles = self.roles.values().filter(|entry| entry.round != round).count();
        let groups = self.groups.values().filter(|entry| entry.round != round).count();
        if self.leaving.len() + roles + groups > MOST_LEFT {
            self.leaving();
        }
    }

    /// Endpoints that left and still have requests, or clients that are signed in. The others are forgotten, and so are roles without any that left.
    pub fn leaving(&mut self) -> &[Leaving] {
        let leaving = std::mem::take(&mut self.leaving);
        let (busy, over): (Vec<_>, Vec<_>) = leaving.into_iter().partition(|leaving| leaving.state.is_in_use());
        self.leaving = busy;
        // One that has left twice is one series.
        let mut draining: HashMap<EndpointKey, (u32, &EndpointMetrics)> = HashMap::new();
        for leaving in &self.leaving {
            let (in_flight, _) = draining.entry(leaving.key()).or_insert((0, &leaving.metrics));
            *in_flight += leaving.state.in_flight();
        }
        for leaving in over {
            let key = leaving.key();
            if !self.endpoints.contains_key(&key) && !draining.contains_key(&key) {
                EndpointMetrics::forget(&self.metrics, &key.role, &key.system, &key.address.to_string());
            }
        }
        // The numbers of one that has come back are read when they are asked for, with those of the others that serve.
        draining.retain(|key, _| !self.endpoints.contains_key(key));
        for (in_flight, metrics) in draining.into_values() {
            metrics.inflight.set(f64::from(in_flight));
        }
        self.forget_roles();
        &self.leaving
    }

    /// A role goes after its last endpoint, a boundary group with the configuration that had it. One that comes back sooner goes
    /// on, one that comes back later begins anew.
    fn forget_roles(&mut self) {
        let Self { metrics, roles, groups, leaving, round, .. } = self;
        groups.retain(|(role, group), entry| {
            let stays = entry.round == *round;
            if !stays {
                GroupMetrics::forget(metrics, role, group.as_deref());
            }
            stays
        });
        roles.retain(|(role, site), entry| {
            let stays = entry.round == *round || leaving.iter().any(|leaving| leaving.role == *role);
            if !stays {
                RoleMetrics::forget(metrics, role, site.as_deref());
            }
            stays
        });
    }
}

impl Leaving {
    fn key(&self) -> EndpointKey {
        EndpointKey { role: self.role.clone(), system: Arc::clone(&self.system), address: self.address }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
