//! A configuration and its snapshots, without threads, sockets or a clock.

use std::net::IpAddr;
use std::sync::Arc;

use rolegate::control::assemble::{Addresses, assemble};
use rolegate::control::compile::Compiled;
use rolegate::control::config::Source;
use rolegate::control::director;
use rolegate::control::publish::Publisher;
use rolegate::control::registry::Registry;
use rolegate::metrics::Metrics;
use rolegate::model::cluster::{Cluster, EndpointIndex, Standing};
use rolegate::model::decision::{Decision, Refusal};
use rolegate::model::facts::Facts;
use rolegate::model::live::Live;
use rolegate::model::snapshot::Snapshot;
use rolegate_health::Health;

pub struct World {
    pub compiled: Compiled,
    pub addresses: Addresses,
    pub registry: Registry,
    pub publisher: Publisher,
}

pub fn compiled(text: &str) -> Compiled {
    let source = Source { name: "test.toml".to_owned(), text: text.to_owned() };
    match director::read(&source, false) {
        Ok((compiled, _)) => compiled,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

pub const UP: Standing = Standing { health: Health::Up, ejected: false, ramp_from_ms: 0, ..Standing::UNPROVEN };
pub const DOWN: Standing = Standing { health: Health::Down, ejected: false, ramp_from_ms: 0, ..Standing::UNPROVEN };
pub const DEGRADED: Standing =
    Standing { health: Health::Degraded, ejected: false, ramp_from_ms: 0, ..Standing::UNPROVEN };
pub const EJECTED: Standing = Standing { health: Health::Up, ejected: true, ramp_from_ms: 0, ..Standing::UNPROVEN };

impl World {
    pub fn new(text: &str) -> Self {
        let compiled = compiled(text);
        let metrics = Arc::new(Metrics::new());
        let mut registry = Registry::new(Arc::clone(&metrics));
        let addresses = Addresses::new();
        let assembled = assemble(&compiled, &addresses, &mut registry);
        let live = Arc::new(Live::new(compiled.fixed.capacity));
        let publisher = Publisher::new(Arc::clone(&compiled.site), assembled.topologies, live, &metrics);
        Self { compiled, addresses, registry, publisher }
    }

    /// Another configuration, as a reload does it.
    pub fn reload(&mut self, text: &str) {
        self.compiled = compiled(text);
        let assembled = assemble(&self.compiled, &self.addresses, &mut self.registry);
        self.publisher.replace_site(Arc::clone(&self.compiled.site), assembled.topologies);
    }

    /// An answer of DNS, as the Director takes it.
    pub fn resolve(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.addresses.insert(Arc::from(name), addresses);
        let assembled = assemble(&self.compiled, &self.addresses, &mut self.registry);
        self.publisher.replace(assembled.topologies);
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.publisher.snapshots().current()
    }

    /// Makes one endpoint of the first cluster stand like this; it is seen after [`Publisher::publish`].
    pub fn stand(&mut self, endpoint: EndpointIndex, standing: Standing) {
        let id = self.cluster().endpoint(endpoint).state.id;
        assert!(self.publisher.stand(id, |own| *own = standing));
    }

    /// All endpoints of a site system, in all roles.
    pub fn stand_system(&mut self, system: &str, standing: Standing) {
        let endpoints = |cluster: &Arc<Cluster>| {
            let own = cluster.topology.endpoints.iter().filter(|endpoint| &*endpoint.system == system);
            own.map(|endpoint| endpoint.state.id).collect::<Vec<_>>()
        };
        let ids: Vec<u32> = self.publisher.clusters().iter().flat_map(endpoints).collect();
        assert!(!ids.is_empty(), "{system}");
        for id in ids {
            assert!(self.publisher.stand(id, |own| *own = standing));
        }
    }

    pub fn all_up(&mut self) {
        let ids = self.publisher.clusters().iter().flat_map(|cluster| cluster.topology.endpoints.iter());
        let ids: Vec<u32> = ids.map(|endpoint| endpoint.state.id).collect();
        for id in ids {
            self.publisher.stand(id, |standing| *standing = UP);
        }
        self.publisher.publish();
    }

    /// The first cluster.
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.publisher.clusters()[0])
    }
}

/// What a `GET` is about.
pub fn facts<'a>(client: &str, path: &'a str) -> Facts<'a, 'static> {
    Facts {
        listener: 0,
        host: None,
        method: "GET",
        path,
        query: None,
        client: client.parse().unwrap(),
        fields: None,
        subject: None,
    }
}

/// The decision for a `GET` in the first second.
pub fn decide<'a>(snapshot: &'a Snapshot, client: &str, path: &'a str) -> Result<Decision<'a>, Refusal> {
    Decision::new(snapshot, &facts(client, path), 1000)
}
