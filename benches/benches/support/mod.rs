//! Sites of any size, as configuration text and as snapshots.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rolegate::control::assemble::{Addresses, assemble};
use rolegate::control::compile::{Compiled, compile};
use rolegate::control::config::{Config, Problems, parse};
use rolegate::control::publish::Publisher;
use rolegate::control::registry::Registry;
use rolegate::metrics::Metrics;
use rolegate::model::cluster::Standing;
use rolegate_health::Health;

/// The same sites in every run.
pub const SEED: u64 = 0x5eed_0002;

/// A site whose distribution points and management points are `endpoints` site systems in `groups` boundary groups, each of
/// which has the one after it as a neighbor. Clients of 10.0.0.0/8 are in all groups of `overlap`.
pub fn site(endpoints: usize, groups: usize, overlap: usize) -> String {
    let mut text = "[site]\ncode = \"P01\"\n[proxy]\nname = \"rolegate-hq\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"MP\", \"DP\", \"SUP\", \"FSP\"]\n"
        .to_owned();
    for server in 0..endpoints {
        let address = Ipv4Addr::from(0xac10_0000 + u32::try_from(server).unwrap());
        writeln!(
            text,
            "[[site_systems]]\nname = \"s{server}\"\naddress = \"{address}\"\nroles = [\"MP\", \"DP\", \"SUP\", \"FSP\"]"
        )
        .unwrap();
    }
    for group in 0..groups {
        let boundary = if group < overlap { "\"10.0.0.0/8\"" } else { "" };
        let servers = (0..endpoints).filter(|server| server % groups == group).map(|server| format!("\"s{server}\""));
        writeln!(
            text,
            "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [{boundary}]\nsite_systems = [{}]\n\
             neighbors = [{}]",
            servers.collect::<Vec<_>>().join(", "),
            if groups > 1 { format!("{{ group = \"g{}\" }}", (group + 1) % groups) } else { String::new() }
        )
        .unwrap();
    }
    text
}

pub fn parsed(text: &str) -> Config {
    let mut problems = Problems::new();
    let config = parse(text, &mut problems);
    assert!(!problems.is_fatal(), "{}", problems.render("bench.toml", text, false));
    config
}

pub fn compiled(config: &Config, text: &str) -> Compiled {
    let mut problems = Problems::new();
    compile(config, &mut problems).unwrap_or_else(|| panic!("{}", problems.render("bench.toml", text, false)))
}

pub struct World {
    pub compiled: Compiled,
    pub registry: Registry,
    pub publisher: Publisher,
}

impl World {
    /// With every endpoint up.
    pub fn new(text: &str) -> Self {
        let compiled = compiled(&parsed(text), text);
        let metrics = Arc::new(Metrics::new());
        let mut registry = Registry::new(Arc::clone(&metrics));
        let assembled = assemble(&compiled, &Addresses::new(), &mut registry);
        let mut publisher = Publisher::new(Arc::clone(&compiled.site), assembled.topologies, Arc::default(), &metrics);
        let endpoints = publisher.clusters().iter().flat_map(|cluster| cluster.topology.endpoints.iter());
        let ids: Vec<u32> = endpoints.map(|endpoint| endpoint.state.id).collect();
        for id in ids {
            publisher.stand(id, |standing| {
                *standing = Standing { health: Health::Up, ejected: false, ramp_from_ms: 0, ..Standing::UNPROVEN }
            });
        }
        publisher.publish();
        Self { compiled, registry, publisher }
    }
}
