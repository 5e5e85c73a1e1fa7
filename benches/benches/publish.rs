//! What the control thread pays for a change: a health flip, and other topologies.
//!
//! Goal: a flip below 1 ms with 10,000 endpoints.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rolegate::control::assemble::{Addresses, assemble};
use rolegate_health::Health;
use support::World;

const SIZES: [usize; 3] = [16, 1_000, 10_000];

fn flip(criterion: &mut Criterion) {
    for size in SIZES {
        let mut world = World::new(&support::site(size, size.div_ceil(4), 3));
        let ids: Vec<u32> =
            world.publisher.clusters()[0].topology.endpoints.iter().map(|endpoint| endpoint.state.id).collect();
        let mut next = ids.iter().cycle();
        criterion.bench_function(&format!("publish/flip/{size}"), |bencher| {
            bencher.iter(|| {
                let id = *next.next().unwrap();
                world.publisher.stand(id, |standing| {
                    standing.health = if standing.health == Health::Up { Health::Down } else { Health::Up };
                });
                assert!(black_box(world.publisher.publish()).is_some());
            });
        });
    }
}

fn replace(criterion: &mut Criterion) {
    for size in SIZES {
        let mut world = World::new(&support::site(size, size.div_ceil(4), 3));
        let addresses = Addresses::new();
        let topologies = assemble(&world.compiled, &addresses, &mut world.registry).topologies;
        criterion.bench_function(&format!("publish/replace/{size}"), |bencher| {
            bencher.iter(|| {
                world.publisher.replace(topologies.iter().map(Arc::clone).collect());
                black_box(world.publisher.publish())
            });
        });
        criterion.bench_function(&format!("publish/assemble/{size}"), |bencher| {
            bencher.iter(|| black_box(assemble(&world.compiled, &addresses, &mut world.registry)));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = flip, replace
}
criterion_main!(benches);
