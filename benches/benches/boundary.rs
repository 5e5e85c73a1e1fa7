//! Boundary groups at the size of the largest sites: 100,000 boundaries in 1,000 groups, 50 of which contain any one
//! address.
//!
//! Goals: a lookup below 100 ns, parse and compile below 500 ms each.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rolegate::control::config::{Problems, parse};
use rolegate::model::boundary::{BoundaryTable, GroupId};
use rolegate::model::boundary_range::AddressRange;
use rolegate_bench::say;
use support::SEED;

const LAYERS: u16 = 50;
const GROUPS_OF_LAYER: u16 = 20;
const RANGES_OF_LAYER: usize = 2_000;

/// Each layer covers all addresses with ranges of uneven length, which belong to groups of that layer.
fn boundaries() -> Vec<(AddressRange, GroupId)> {
    let mut dice = fastrand::Rng::with_seed(SEED);
    let mut all = Vec::new();
    for layer in 0..LAYERS {
        let mut starts: Vec<u32> = (1..RANGES_OF_LAYER).map(|_| dice.u32(1..)).collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        for (place, &first) in starts.iter().enumerate() {
            let last = starts.get(place + 1).map_or(u32::MAX, |next| next - 1);
            let group = layer * GROUPS_OF_LAYER + dice.u16(..GROUPS_OF_LAYER);
            all.push((AddressRange::V4 { first, last }, GroupId(group)));
        }
    }
    all
}

/// The same as a configuration.
fn toml(boundaries: &[(AddressRange, GroupId)]) -> String {
    let mut text = support::site(4, 1, 0);
    for group in 0..LAYERS * GROUPS_OF_LAYER {
        let own = boundaries.iter().filter(|(_, other)| other.0 == group).map(|(range, _)| format!("  \"{range}\",\n"));
        let own = own.collect::<String>();
        writeln!(
            text,
            "[[boundary_groups]]\nname = \"Office {group}\"\nsite_systems = [\"s1\"]\nboundaries = [\n{own}]"
        )
        .unwrap();
    }
    text
}

fn lookup(criterion: &mut Criterion) {
    let table = BoundaryTable::build(&boundaries());
    let mut dice = fastrand::Rng::with_seed(SEED);
    let addresses: Vec<IpAddr> = (0..1 << 16).map(|_| Ipv4Addr::from(dice.u32(..)).into()).collect();
    assert_eq!(table.groups_of(addresses[0]).len(), usize::from(LAYERS));
    let mut next = addresses.iter().cycle();
    criterion.bench_function("boundary/lookup/random-v4/100000", |bencher| {
        bencher.iter(|| black_box(table.groups_of(*next.next().unwrap()).len()));
    });
    let one = addresses[0];
    criterion.bench_function("boundary/lookup/same-v4/100000", |bencher| {
        bencher.iter(|| black_box(table.groups_of(black_box(one)).len()));
    });
}

fn build(criterion: &mut Criterion) {
    let boundaries = boundaries();
    say::out(format_args!(
        "{} boundaries, {} distinct sets",
        boundaries.len(),
        BoundaryTable::build(&boundaries).distinct_sets()
    ));
    criterion.bench_function("boundary/build/overlap-50/100000", |bencher| {
        bencher.iter(|| black_box(BoundaryTable::build(&boundaries)));
    });
}

fn configuration(criterion: &mut Criterion) {
    let text = toml(&boundaries());
    say::out(format_args!("{:.1} MB of text", text.len() as f64 / 1e6));
    criterion.bench_function("boundary/parse/overlap-50/100000", |bencher| {
        bencher.iter_batched(Problems::new, |mut problems| parse(&text, &mut problems), BatchSize::PerIteration);
    });
    let config = support::parsed(&text);
    criterion.bench_function("boundary/compile/overlap-50/100000", |bencher| {
        bencher.iter(|| black_box(support::compiled(&config, &text)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = lookup, build, configuration
}
criterion_main!(benches);
