//! A storm of configurations, DNS answers, health changes and requests on the parts that make snapshots, without threads
//! and without time. What must hold is looked at after every step. `SIM_SEED` repeats one storm.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use control_support::world::World;
use rolegate::model::balance::{NoPick, Tried};
use rolegate::model::cluster::{Class, Standing};
use rolegate::model::decision::Decision;
use rolegate::model::endpoint::Lease;
use rolegate::model::facts::Facts;
use rolegate::model::snapshot::Snapshot;
use rolegate_health::Health;

const STORMS: u64 = 40;
const STEPS: u32 = 400;
const NAMES: [&str; 3] = ["a.lab.test", "b.lab.test", "c.lab.test"];
const PATHS: [&str; 4] = ["/SMS_MP/.sms_pol", "/SMS_DP_SMSPKG$/P0100001/x", "/ClientWebService/x", "/SMS_FSP/x"];

/// Some of six site systems, half of them by name, in some roles and groups.
fn config(dice: &mut fastrand::Rng) -> String {
    let mut text = "[site]\ncode = \"P01\"\n[[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\n\
         roles = [\"MP\", \"DP\", \"SUP\", \"FSP\"]\n[dns]\nservers = [\"127.0.0.1:1\"]\n"
        .to_owned();
    // The first one is always there and holds everything, so that every listener has somebody.
    let mut present = vec![0];
    present.extend((1..6).filter(|_| dice.bool()));
    for &system in &present {
        let address = if system % 2 == 0 { format!("10.9.0.{system}") } else { NAMES[system / 2].to_owned() };
        let roles: Vec<&str> = ["MP", "DP", "SUP", "FSP"].into_iter().filter(|_| system == 0 || dice.bool()).collect();
        let roles = if roles.is_empty() { vec!["MP"] } else { roles };
        text.push_str(&format!(
            "[[site_systems]]\nname = \"s{system}\"\naddress = \"{address}\"\nroles = {roles:?}\nweight = {}\n",
            dice.u32(1..=1000)
        ));
    }
    for group in 0..dice.usize(0..4) {
        let own: Vec<String> = present.iter().filter(|_| dice.bool()).map(|system| format!("s{system}")).collect();
        let time = ["0", "30", "\"never\""][dice.usize(..3)];
        text.push_str(&format!(
            "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [\"10.{group}.0.0/16\", \"10.1.0.0-10.2.255.255\"]\n\
             site_systems = {own:?}\nneighbors = [{{ group = \"default\", fallback = {{ MP = {time} }} }}]\n"
        ));
    }
    text + "[default_boundary_group]\nsite_systems = [\"s0\"]\n"
}

struct Storm {
    world: World,
    dice: fastrand::Rng,
    leases: Vec<(u32, Lease)>,
    /// Snapshots that a request may still hold.
    held: Vec<Arc<Snapshot>>,
    seen: (u64, u64),
    /// The address of every endpoint id that ever was.
    known: HashMap<u32, (String, String, std::net::SocketAddr)>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let world = World::new(&config(&mut dice));
        Self { world, dice, leases: Vec::new(), held: Vec::new(), seen: (0, 0), known: HashMap::new() }
    }

    fn step(&mut self) {
        match self.dice.u32(..100) {
            0..8 => {
                let text = config(&mut self.dice);
                self.world.reload(&text);
            }
            8..20 => {
                let name = NAMES[self.dice.usize(..NAMES.len())];
                let addresses: BTreeSet<IpAddr> =
                    (0..self.dice.u32(1..4)).map(|_| Ipv4Addr::new(10, 8, 0, self.dice.u8(..5)).into()).collect();
                self.world.resolve(name, addresses.into_iter().collect());
            }
            20..45 => self.change_health(),
            45..60 => drop(self.world.publisher.publish()),
            60..90 => self.request(),
            _ => {
                if !self.leases.is_empty() {
                    let place = self.dice.usize(..self.leases.len());
                    self.leases.swap_remove(place);
                }
            }
        }
        self.check();
    }

    fn change_health(&mut self) {
        let clusters = self.world.publisher.clusters();
        let ids: Vec<u32> =
            clusters.iter().flat_map(|cluster| &cluster.topology.endpoints).map(|endpoint| endpoint.state.id).collect();
        // Sometimes about one that is gone, as news that came late.
        let id = if self.dice.u8(..10) == 0 { self.dice.u32(..1000) } else { ids[self.dice.usize(..ids.len())] };
        let health = [Health::Up, Health::Degraded, Health::Down, Health::Unproven][self.dice.usize(..4)];
        let new = Standing {
            health,
            ejected: self.dice.u8(..6) == 0,
            ramp_from_ms: self.dice.u64(..3),
            ..Standing::UNPROVEN
        };
        let known = self.world.publisher.stand(id, |standing| *standing = new);
        assert_eq!(known, ids.contains(&id), "endpoint {id}");
        assert_eq!(self.world.publisher.standing(id) == new, known || new == Standing::UNPROVEN);
    }

    /// A request on the newest snapshot, or on one that it has held for a while.
    fn request(&mut self) {
        if self.held.len() > 4 {
            self.held.remove(0);
        }
        self.held.push(self.world.snapshot());
        let snapshot = Arc::clone(&self.held[self.dice.usize(..self.held.len())]);
        let client = Ipv4Addr::new(10, self.dice.u8(..5), 0, 1).into();
        let path = PATHS[self.dice.usize(..PATHS.len())];
        let facts =
            Facts { listener: 0, host: None, method: "GET", path, query: None, client, fields: None, subject: None };
        let decision = Decision::new(&snapshot, &facts, 1000).unwrap();
        let mut tried = Tried::new();
        loop {
            match decision.pick(&tried, 5, self.dice.u64(..)) {
                Ok(pick) => {
                    let endpoint = decision.cluster.endpoint(pick.endpoint);
                    let class = decision.cluster.standing(pick.endpoint).class();
                    assert!(class != Class::Out || decision.cluster.panicking());
                    assert!(!tried.contains(&pick.endpoint));
                    tried.push(pick.endpoint);
                    if self.dice.bool() || tried.is_full() {
                        self.leases.push((endpoint.state.id, Lease::take(&endpoint.state)));
                        return;
                    }
                }
                Err(nobody) => return assert!(nobody.why != NoPick::AllTried || !tried.is_empty(), "{nobody:?}"),
            }
        }
    }

    fn check(&mut self) {
        let snapshot = self.world.snapshot();
        let now = (snapshot.version, snapshot.generation);
        assert!(now.0 >= self.seen.0 && now.1 >= self.seen.1, "{:?} after {:?}", now, self.seen);
        if now != self.seen {
            self.servable(&snapshot);
        }
        self.seen = now;
        let mut expected: HashMap<u32, u32> = HashMap::new();
        self.leases.iter().for_each(|(id, _)| *expected.entry(*id).or_default() += 1);
        for (id, lease) in &self.leases {
            assert_eq!(lease.state().id, *id);
            assert_eq!(lease.state().in_flight(), expected[id], "endpoint {id}");
        }
        for leaving in self.world.registry.leaving() {
            assert!(leaving.state.in_flight() > 0, "one that nobody uses is forgotten");
        }
    }

    /// Every role has a route, every position points at something, and an endpoint never changes what it is.
    fn servable(&mut self, snapshot: &Snapshot) {
        let groups = snapshot.site.group_names.len();
        for (place, cluster) in snapshot.clusters.iter().enumerate() {
            let topology = &cluster.topology;
            assert_eq!(usize::from(topology.id.0), place);
            assert_eq!(cluster.standings().len(), topology.endpoints.len());
            assert_eq!(topology.groups.len(), groups);
            let all = topology.groups.iter().flat_map(|group| &group.members).chain(&topology.own.everyone);
            assert!(all.chain(&topology.fallback_sources).all(|index| (*index as usize) < topology.endpoints.len()));
            let links = topology.groups.iter().flat_map(|group| &group.links);
            assert!(links.clone().all(|link| usize::from(link.group.0) < groups));
            for endpoint in &topology.endpoints {
                let what = (topology.role.name.clone(), endpoint.system.to_string(), endpoint.address);
                let before = self.known.entry(endpoint.state.id).or_insert_with(|| what.clone());
                assert_eq!(*before, what, "an id is never used for another endpoint");
            }
        }
        for path in PATHS {
            for net in 0..5 {
                let client = Ipv4Addr::new(10, net, 0, 1).into();
                let facts = Facts {
                    listener: 0,
                    host: None,
                    method: "GET",
                    path,
                    query: None,
                    client,
                    fields: None,
                    subject: None,
                };
                let decision = Decision::new(snapshot, &facts, 1000).expect("every role has a route");
                // Whether there is somebody depends on health; that the answer comes is enough.
                let _ = decision.pick(&Tried::new(), 0, u64::from(net));
            }
        }
    }
}

#[test]
fn a_storm_leaves_every_snapshot_servable() {
    let replay = std::env::var("SIM_SEED").ok().map(|seed| seed.parse::<u64>().expect("SIM_SEED is a number"));
    let seeds = replay.map_or(0..STORMS, |seed| seed..seed + 1);
    for seed in seeds {
        println!("SIM_SEED={seed}");
        let mut storm = Storm::new(seed);
        (0..STEPS).for_each(|_| storm.step());
        let states: Vec<_> = storm.held.iter().flat_map(|snapshot| snapshot.clusters.clone()).collect();
        storm.leases.clear();
        let endpoints = states.iter().flat_map(|cluster| &cluster.topology.endpoints);
        assert!(endpoints.clone().all(|endpoint| endpoint.state.in_flight() == 0), "leases balance to zero");
        assert!(storm.world.registry.leaving().is_empty());
        assert!(storm.seen.0 > 20 && storm.seen.1 > 5, "the storm was calm: {:?}", storm.seen);
        assert!(storm.known.len() > 10, "only {} endpoints", storm.known.len());
    }
}
