//! Random sites: what a configuration says, in numbers, and what must follow from it, computed the slow and plain way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use proptest::prelude::*;
use rolegate::model::cluster::{Class, Standing};
use rolegate::model::tier::TierKind;
use rolegate_health::Health;

/// Where the client of every test is.
pub const CLIENT: &str = "10.1.1.1";
pub const LOCALITIES: [&str; 4] = ["boundary-groups", "boundary-groups-or-site", "prefer", "site"];
pub const BALANCES: [&str; 4] = ["least-requests", "random", "client", "content"];

#[derive(Clone, Debug)]
pub struct Server {
    pub weight: u32,
    pub max_requests: u32,
    pub in_flight: u32,
    pub fallback_source: bool,
    pub standing: Standing,
    pub tried: bool,
}

/// Minutes, `Some(None)` is never, `None` is not written.
pub type Time = Option<Option<u32>>;

#[derive(Clone, Debug)]
pub struct Group {
    pub has_client: bool,
    pub servers: BTreeSet<usize>,
    /// By group; the number of groups means the default group.
    pub neighbors: BTreeMap<usize, Time>,
}

#[derive(Clone, Debug)]
pub struct Site {
    pub servers: Vec<Server>,
    pub groups: Vec<Group>,
    pub default_servers: BTreeSet<usize>,
    pub default_time: Time,
    pub role_time: Option<u32>,
    pub locality: &'static str,
    pub balance: &'static str,
    pub panic: bool,
}

/// A tier as it must be: offset, kind, servers.
pub type ExpectedTier = (u32, TierKind, BTreeSet<usize>);

fn standing() -> impl Strategy<Value = Standing> {
    let health = prop_oneof![3 => Just(Health::Up), 1 => Just(Health::Degraded), 1 => Just(Health::Unproven), 2 => Just(Health::Down)];
    let of = |(health, ejected): (Health, u8)| Standing {
        health,
        ejected: ejected == 0,
        ramp_from_ms: 0,
        ..Standing::UNPROVEN
    };
    (health, 0_u8..8).prop_map(of)
}

fn server() -> impl Strategy<Value = Server> {
    (1_u32..=1000, 1_u32..4, 0_u32..4, any::<bool>(), standing(), 0_u8..5).prop_map(
        |(weight, max_requests, in_flight, fallback_source, standing, tried)| Server {
            weight,
            max_requests,
            in_flight: in_flight.min(max_requests),
            fallback_source,
            standing,
            tried: tried == 0,
        },
    )
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(None)),
        4 => prop::sample::select(vec![0_u32, 30, 60, 120]).prop_map(|minutes| Some(Some(minutes))),
    ]
}

pub fn site() -> impl Strategy<Value = Site> {
    (1_usize..10, 0_usize..6).prop_flat_map(|(servers, groups)| {
        let few = || prop::collection::btree_set(0..servers, 0..=servers.min(3));
        let neighbors = move |own: usize| {
            let all = prop::collection::btree_map(0..=groups, time(), 0..=groups.min(3));
            all.prop_map(move |mut all| {
                all.remove(&own);
                all
            })
        };
        let group = |own: usize| {
            (any::<bool>(), few(), neighbors(own)).prop_map(|(has_client, servers, neighbors)| Group {
                has_client,
                servers,
                neighbors,
            })
        };
        let rest = (
            prop::sample::select(LOCALITIES.to_vec()),
            prop::sample::select(BALANCES.to_vec()),
            any::<bool>(),
            prop::option::of(prop::sample::select(vec![0_u32, 30, 90])),
        );
        (prop::collection::vec(server(), servers), (0..groups).map(group).collect::<Vec<_>>(), few(), time(), rest)
            .prop_map(|(servers, groups, default_servers, default_time, rest)| {
                let (locality, balance, panic, role_time) = rest;
                Site { servers, groups, default_servers, default_time, role_time, locality, balance, panic }
            })
    })
}

fn minutes(time: Option<u32>) -> String {
    time.map_or("\"never\"".to_owned(), |minutes| minutes.to_string())
}

fn fallback(time: Time) -> String {
    time.map_or(String::new(), |time| format!("pages = {}", minutes(time)))
}

fn names(servers: &BTreeSet<usize>) -> String {
    servers.iter().map(|server| format!("\"s{server}\"")).collect::<Vec<_>>().join(", ")
}

impl Site {
    pub fn toml(&self) -> String {
        let mut text = format!(
            "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"pages\"]\n\
             [roles.pages]\npreset = \"plain\"\npaths = [\"/pages\"]\nlocality = \"{}\"\nbalance = \"{}\"\npanic = \"{}\"\n\
             default_fallback = {}\nclock = \"immediate\"\n",
            self.locality,
            self.balance,
            if self.panic { "serve" } else { "refuse" },
            minutes(self.role_time)
        );
        for (place, server) in self.servers.iter().enumerate() {
            let Server { weight, max_requests, fallback_source, .. } = server;
            writeln!(
                text,
                "[[site_systems]]\nname = \"s{place}\"\naddress = \"10.9.0.{place}\"\nweight = {weight}\n\
                 fallback_source = {fallback_source}\nroles = [{{ role = \"pages\", max_requests = {max_requests} }}]"
            )
            .unwrap();
        }
        for (place, group) in self.groups.iter().enumerate() {
            let boundary = if group.has_client { "\"10.1.0.0/16\"" } else { "\"10.2.0.0/16\"" };
            let neighbors = group.neighbors.iter().map(|(other, time)| {
                let name = if *other == self.groups.len() { "default".to_owned() } else { format!("g{other}") };
                format!("{{ group = \"{name}\", fallback = {{ {} }} }}", fallback(*time))
            });
            writeln!(
                text,
                "[[boundary_groups]]\nname = \"g{place}\"\nboundaries = [{boundary}]\nsite_systems = [{}]\nneighbors = [{}]",
                names(&group.servers),
                neighbors.collect::<Vec<_>>().join(", ")
            )
            .unwrap();
        }
        writeln!(
            text,
            "[default_boundary_group]\nsite_systems = [{}]\nfallback = {{ {} }}",
            names(&self.default_servers),
            fallback(self.default_time)
        )
        .unwrap();
        text
    }

    fn everyone(&self) -> BTreeSet<usize> {
        (0..self.servers.len()).collect()
    }

    /// The tiers for [`CLIENT`], as the documentation describes them.
    pub fn tiers(&self) -> Vec<ExpectedTier> {
        let named = self.default_servers.len() + self.groups.iter().map(|group| group.servers.len()).sum::<usize>();
        if self.locality == "site" || named == 0 {
            return vec![(0, TierKind::Site, self.everyone())];
        }
        let own: Vec<&Group> = self.groups.iter().filter(|group| group.has_client).collect();
        let current: BTreeSet<usize> = match own.as_slice() {
            [] => self.default_servers.clone(),
            own => own.iter().flat_map(|group| group.servers.clone()).collect(),
        };
        let nobody_near = current.is_empty();
        let mut tiers: BTreeMap<(u32, TierKind), BTreeSet<usize>> = BTreeMap::new();
        tiers.insert((0, TierKind::Current), current);
        let to_default = self.default_time.unwrap_or(self.role_time);
        for group in own {
            let mut links: Vec<(usize, Option<u32>)> = Vec::new();
            for (other, time) in &group.neighbors {
                let otherwise = if *other == self.groups.len() { to_default } else { self.role_time };
                links.push((*other, time.unwrap_or(otherwise)));
            }
            if !group.neighbors.contains_key(&self.groups.len()) {
                links.push((self.groups.len(), to_default));
            }
            for (other, time) in links {
                let Some(offset) = time else { continue };
                let offset = if self.locality == "prefer" { 0 } else { offset };
                let (kind, servers) = match self.groups.get(other) {
                    Some(group) => (TierKind::Neighbor, &group.servers),
                    None => (TierKind::Default, &self.default_servers),
                };
                tiers.entry((offset, kind)).or_default().extend(servers);
            }
        }
        if self.balance == "content" {
            let sources = self.everyone().into_iter().filter(|server| self.servers[*server].fallback_source);
            tiers.insert((u32::MAX, TierKind::FallbackSource), sources.collect());
        }
        if self.locality == "prefer" || nobody_near && self.locality == "boundary-groups-or-site" {
            tiers.insert((u32::MAX, TierKind::Site), self.everyone());
        }
        let full = tiers.into_iter().filter(|(_, servers)| !servers.is_empty());
        full.map(|((offset, kind), servers)| (offset, kind, servers)).collect()
    }

    pub fn panics(&self) -> bool {
        self.panic && self.servers.iter().all(|server| server.standing.class() == Class::Out)
    }

    /// Class, tier and candidates of the next pick; `None` when there must be none.
    pub fn expected(&self) -> Option<(Class, (u32, TierKind), BTreeSet<usize>)> {
        let classes = if self.panics() { vec![Class::Out] } else { vec![Class::Well, Class::Second] };
        for class in classes {
            for (offset, kind, servers) in self.tiers() {
                let may = |server: &usize| {
                    let server = &self.servers[*server];
                    server.standing.class() == class && !server.tried && server.in_flight < server.max_requests
                };
                let candidates: BTreeSet<usize> = servers.into_iter().filter(may).collect();
                if !candidates.is_empty() {
                    return Some((class, (offset, kind), candidates));
                }
            }
        }
        None
    }
}
