//! Makes snapshots and publishes them. Knows which clusters have changed, so that a health flip copies one cluster's
//! standings and a list of pointers, whatever the size of the site.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use metrics::Gauge;

use crate::metrics::Metrics;
use crate::model::cluster::{Class, Cluster, EndpointIndex, Standing, Topology};
use crate::model::live::Live;
use crate::model::snapshot::{Departed, ListenerId, Site, Snapshot, Snapshots};
use crate::model::steering::{Steer, Steering};

/// The only one that publishes.
#[derive(Debug)]
pub struct Publisher {
    snapshots: Arc<Snapshots>,
    site: Arc<Site>,
    live: Arc<Live>,
    departed: Arc<[Departed]>,
    clusters: Vec<Arc<Cluster>>,
    /// By endpoint id; lives as long as the endpoint.
    standings: HashMap<u32, Standing>,
    places: HashMap<u32, (usize, EndpointIndex)>,
    steering: Arc<Steering>,
    /// When that was looked at, in seconds since 1970.
    steered_at: u64,
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
            steering: Arc::default(),
            steered_at: 0,
            live: Arc::clone(&live),
            departed: Arc::default(),
        };
        let mut publisher = Self {
            snapshots: Arc::new(Snapshots::new(first)),
            site,
            live,
            departed: Arc::default(),
            clusters,
            standings: HashMap::new(),
            places: HashMap::new(),
            steering: Arc::default(),
            steered_at: 0,
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
        // An address that is new may be one of a site system that was taken out.
        self.put_steering(None);
    }

    /// Another configuration.
    pub fn replace_site(&mut self, site: Arc<Site>, topologies: Vec<Arc<Topology>>) {
        self.site = site;
        self.generation += 1;
        self.generation_gauge.set(self.generation as f64);
        self.replace(topologies);
    }

    /// These listeners leave with the next configuration: their clients go on with the snapshot that is served now.
    pub fn depart(&mut self, listeners: Box<[ListenerId]>) {
        if listeners.is_empty() {
            return;
        }
        let current = self.snapshots.current();
        let last = Arc::new(Snapshot {
            version: current.version,
            generation: current.generation,
            published: current.published,
            site: Arc::clone(&current.site),
            clusters: current.clusters.clone(),
            steering: Arc::clone(&current.steering),
            steered_at: current.steered_at,
            live: Arc::clone(&current.live),
            // Otherwise each would keep all before it.
            departed: Arc::default(),
        });
        self.departed = self.departed.iter().cloned().chain([Departed { listeners, last }]).collect();
        self.dirty = true;
    }

    /// Nobody is left of these listeners.
    pub fn forget_departed(&mut self, gone: &[ListenerId]) {
        if gone.is_empty() {
            return;
        }
        let stays = |departed: &&Departed| !departed.listeners.iter().all(|listener| gone.contains(listener));
        self.departed = self.departed.iter().filter(stays).cloned().collect();
        self.dirty = true;
    }

    /// Listeners that have left and must not be taken for new ones.
    pub fn departed(&self) -> impl Iterator<Item = ListenerId> + '_ {
        self.departed.iter().flat_map(|departed| departed.listeners.iter().copied())
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
            let up = if standing.own_class() == Class::Well { 1.0 } else { 0.0 };
            let metrics = &self.clusters[cluster].endpoint(index).metrics;
            metrics.up.set(up);
            metrics.steered.set(f64::from(standing.steer.number()));
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
            steering: Arc::clone(&self.steering),
            steered_at: self.steered_at,
            live: Arc::clone(&self.live),
            departed: Arc::clone(&self.departed),
        }));
        self.version_gauge.set(self.version as f64);
        Some(self.version)
    }

    /// What people have decided, as it is at `now` (seconds since 1970). Those that come back at `now_ms` of the process clock have a
    /// slow start.
    pub fn steer(&mut self, steering: Arc<Steering>, now: u64, now_ms: u64) {
        self.dirty |= self.steering != steering;
        (self.steering, self.steered_at) = (steering, now);
        self.put_steering(Some(now_ms.max(1)));
    }

    /// Says to each endpoint what is decided about it.
    fn put_steering(&mut self, back_ms: Option<u64>) {
        let steered = |standing: &Standing| standing.steer != Steer::None;
        if self.steering.is_empty() && !self.standings.values().any(steered) {
            return;
        }
        let clusters = self.clusters.clone();
        for cluster in &clusters {
            let role = &cluster.topology.role.name;
            for endpoint in &cluster.topology.endpoints {
                let steer = self.steering.steer(&endpoint.system, role, self.steered_at);
                self.stand(endpoint.state.id, |standing| {
                    if let (Steer::None, true, Some(back_ms)) = (steer, steered(standing), back_ms) {
                        standing.ramp_from_ms = back_ms;
                    }
                    standing.steer = steer;
                });
            }
        }
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
