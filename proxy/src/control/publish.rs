//! Makes snapshots and publishes them. Knows which clusters have changed, so that a health flip copies one cluster's
//! standings and a list of pointers, whatever the size of the site.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use metrics::Gauge;

use crate::metrics::Metrics;
use crate::model::cluster::{Class, Cluster, EndpointIndex, Standing, Topology};
use crate::model::live::Live;
use crate::model::snapshot::{Site, Snapshot, Snapshots};

/// The only one that publishes.
#[derive(Debug)]
pub struct Publisher {
    snapshots: Arc<Snapshots>,
    site: Arc<Site>,
    live: Arc<Live>,
    clusters: Vec<Arc<Cluster>>,
    /// By endpoint id; lives as long as the endpoint.
    standings: HashMap<u32, Standing>,
    places: HashMap<u32, (usize, EndpointIndex)>,
    changed: Vec<bool>,
    dirty: bool,
    version: u64,
    generation: u64,
    version_gauge: Gauge,
    generation_gauge: Gauge,
}

impl Publisher {
    /// Publishes the first snapshot.
    pub fn new(site: Arc<Site>, topologies: Vec<Arc<Topology>>, live: Arc<Live>, metrics: &Metrics) -> Self {
        let clusters: Vec<_> =
            topologies.into_iter().map(|topology| Arc::new(Cluster::new(topology, Vec::new()))).collect();
        let first = Snapshot {
            version: 1,
            generation: 1,
            published: SystemTime::now(),
            site: Arc::clone(&site),
            clusters: clusters.clone().into_boxed_slice(),
            live: Arc::clone(&live),
        };
        let mut publisher = Self {
            snapshots: Arc::new(Snapshots::new(first)),
            site,
            live,
            clusters,
            standings: HashMap::new(),
            places: HashMap::new(),
            changed: Vec::new(),
            dirty: false,
            version: 1,
            generation: 1,
            version_gauge: metrics.scope(&[]).gauge("rolegate_snapshot_version"),
            generation_gauge: metrics.scope(&[]).gauge("rolegate_config_generation"),
        };
        publisher.find_places();
        publisher.version_gauge.set(1.0);
        publisher.generation_gauge.set(1.0);
        publisher
    }

    /// Where the snapshots are.
    pub fn snapshots(&self) -> &Arc<Snapshots> {
        &self.snapshots
    }

    /// The clusters as they will be published next, except for their standings.
    pub fn clusters(&self) -> &[Arc<Cluster>] {
        &self.clusters
    }

    /// Number of accepted configurations.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How an endpoint stands.
    pub fn standing(&self, id: u32) -> Standing {
        self.standings.get(&id).copied().unwrap_or(Standing::UNPROVEN)
    }

    /// Whether there is an endpoint with this id.
    pub fn has(&self, id: u32) -> bool {
        self.places.contains_key(&id)
    }

    /// Other topologies, with the standings of the endpoints that stay.
    pub fn replace(&mut self, topologies: Vec<Arc<Topology>>) {
        let standing = |id: u32| self.standings.get(&id).copied().unwrap_or(Standing::UNPROVEN);
        self.clusters = topologies
            .into_iter()
            .map(|topology| {
                let standings = topology.endpoints.iter().map(|endpoint| standing(endpoint.state.id)).collect();
                Arc::new(Cluster::new(topology, standings))
            })
            .collect();
        self.find_places();
        let places = &self.places;
        self.standings.retain(|id, _| places.contains_key(id));
        self.dirty = true;
    }

    /// Another configuration.
    pub fn replace_site(&mut self, site: Arc<Site>, topologies: Vec<Arc<Topology>>) {
        self.site = site;
        self.generation += 1;
        self.generation_gauge.set(self.generation as f64);
        self.replace(topologies);
    }

    /// Changes how an endpoint stands. Says whether there is such an endpoint.
    pub fn stand(&mut self, id: u32, change: impl FnOnce(&mut Standing)) -> bool {
        let Some(&(cluster, index)) = self.places.get(&id) else { return false };
        let standing = self.standings.entry(id).or_insert(Standing::UNPROVEN);
        let before = *standing;
        change(standing);
        if *standing != before {
            self.changed[cluster] = true;
            self.dirty = true;
            let up = if standing.class() == Class::Well { 1.0 } else { 0.0 };
            self.clusters[cluster].endpoint(index).metrics.up.set(up);
        }
        true
    }

    /// Publishes what has changed, if anything has.
    pub fn publish(&mut self) -> Option<u64> {
        if !self.dirty {
            return None;
        }
        for (place, changed) in self.changed.iter_mut().enumerate() {
            if std::mem::take(changed) {
                let topology = Arc::clone(&self.clusters[place].topology);
                let id = |index: usize| topology.endpoints[index].state.id;
                let standings = (0..topology.endpoints.len())
                    .map(|index| self.standings.get(&id(index)).copied().unwrap_or(Standing::UNPROVEN))
                    .collect();
                self.clusters[place] = Arc::new(Cluster::new(topology, standings));
            }
        }
        self.dirty = false;
        self.version += 1;
        self.snapshots.publish(Arc::new(Snapshot {
            version: self.version,
            generation: self.generation,
            published: SystemTime::now(),
            site: Arc::clone(&self.site),
            clusters: self.clusters.clone().into_boxed_slice(),
            live: Arc::clone(&self.live),
        }));
        self.version_gauge.set(self.version as f64);
        Some(self.version)
    }

    fn find_places(&mut self) {
        self.changed = vec![false; self.clusters.len()];
        self.places.clear();
        for (place, cluster) in self.clusters.iter().enumerate() {
            for (index, endpoint) in cluster.topology.endpoints.iter().enumerate() {
                self.places.insert(endpoint.state.id, (place, index as EndpointIndex));
            }
        }
    }
}
