//! What every request pays: route, locate and pick, alone and together, for clusters of different sizes.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rolegate::model::balance::Tried;
use rolegate::model::decision::{Decision, Facts};
use support::World;

const SIZES: [usize; 4] = [2, 16, 64, 10_000];
const POLICY: &str = "/SMS_MP/.sms_pol?{GUID}.1_00";
const PACKAGE: &str = "/SMS_DP_SMSPKG$/P0100012/setup.msi";

fn facts(path: &str) -> Facts<'_> {
    Facts { listener: 0, host: Some("mp.contoso.com"), method: "GET", path, client: "10.1.2.3".parse().unwrap() }
}

fn decide(criterion: &mut Criterion) {
    for size in SIZES {
        // Servers of one group: all of them are candidates. Groups of a few servers are the usual case.
        for (scenario, groups) in [("one-group", 1), ("groups", size / 4)] {
            if groups == 0 {
                continue;
            }
            let world = World::new(&support::site(size, groups, 3.min(groups)));
            let snapshot = world.publisher.snapshots().current();
            let routes = &snapshot.site.listeners[0].routes;
            let mut dice = fastrand::Rng::with_seed(support::SEED);
            let tried = Tried::new();
            if groups == 1 {
                criterion.bench_function(&format!("route/mp/{size}"), |bencher| {
                    bencher.iter(|| black_box(routes.route(black_box(Some("mp.contoso.com")), black_box(POLICY))));
                });
            }
            for (role, path) in [("mp", POLICY), ("dp", PACKAGE)] {
                let (cluster, prefix) = routes.route(None, path).unwrap();
                let facts = facts(path);
                let content = rolegate::model::content::content_id(path, prefix);
                criterion.bench_function(&format!("locate/{role}-{scenario}/{size}"), |bencher| {
                    let locate =
                        || Decision::for_cluster(&snapshot, cluster, black_box(facts.client), facts.host, content);
                    bencher.iter(|| black_box(locate().is_ok()));
                });
                let decision = Decision::new(&snapshot, &facts).unwrap();
                criterion.bench_function(&format!("pick/{role}-{scenario}/{size}"), |bencher| {
                    bencher.iter(|| black_box(decision.pick(black_box(&tried), 1000, dice.u64(..))));
                });
                criterion.bench_function(&format!("decide/{role}-{scenario}/{size}"), |bencher| {
                    bencher.iter(|| {
                        let decision = Decision::new(black_box(&snapshot), black_box(&facts)).unwrap();
                        black_box(decision.pick(&tried, 1000, dice.u64(..)))
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(2));
    targets = decide
}
criterion_main!(benches);
