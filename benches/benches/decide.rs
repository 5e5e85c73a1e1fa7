//! What every request pays: route, locate and pick, alone and together, for clusters of different sizes.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use rolegate::model::balance::Tried;
use rolegate::model::decision::Decision;
use rolegate::model::facts::Facts;
use rolegate::model::snapshot::Snapshot;
use rolegate::wire::fields::Fields;
use support::World;

const SIZES: [usize; 4] = [2, 16, 64, 10_000];
const POLICY: &str = "/SMS_MP/.sms_pol";
const PACKAGE: &str = "/SMS_DP_SMSPKG$/P0100012/sccm";
const NOW_MS: u64 = 100_000;

fn facts<'a>(path: &'a str, fields: &'a Fields) -> Facts<'a, 'a> {
    let (host, client) = (Some("mp.contoso.com"), "10.1.2.3".parse().unwrap());
    Facts {
        listener: 0,
        host,
        method: "GET",
        path,
        query: Some("/setup.msi"),
        client,
        fields: Some(fields),
        subject: None,
    }
}

/// What BITS sends for a range.
fn fields() -> Fields {
    let mut fields = Fields::default();
    fields.append(HeaderName::from_static("host"), HeaderValue::from_static("mp.contoso.com"));
    fields.append(HeaderName::from_static("accept"), HeaderValue::from_static("*/*"));
    fields.append(HeaderName::from_static("accept-encoding"), HeaderValue::from_static("identity"));
    fields.append(HeaderName::from_static("range"), HeaderValue::from_static("bytes=1048576-2097151"));
    fields.append(HeaderName::from_static("user-agent"), HeaderValue::from_static("Microsoft BITS/7.8"));
    fields
}

fn decide(criterion: &mut Criterion) {
    let fields = fields();
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
                let facts = facts(path, &fields);
                let decision = Decision::new(&snapshot, &facts, NOW_MS).unwrap();
                criterion.bench_function(&format!("pick/{role}-{scenario}/{size}"), |bencher| {
                    bencher.iter(|| black_box(decision.pick(black_box(&tried), NOW_MS, dice.u64(..))));
                });
                criterion.bench_function(&format!("decide/{role}-{scenario}/{size}"), |bencher| {
                    bencher.iter(|| whole(&snapshot, &facts, &tried, dice.u64(..)));
                });
            }
        }
    }
}

fn whole(snapshot: &Snapshot, facts: &Facts<'_, '_>, tried: &Tried, dice: u64) {
    let decision = Decision::new(black_box(snapshot), black_box(facts), NOW_MS).unwrap();
    let _ = black_box(decision.pick(tried, NOW_MS, dice));
}

/// A distribution point's request with everything that can be known: nothing, a clock that runs, a near server that lacks
/// the content, a download that stays; and after a million other contents were asked for.
fn learned(criterion: &mut Criterion) {
    let fields = fields();
    let size = 16;
    let text = support::site(size, size / 4, 3);
    let facts = facts(PACKAGE, &fields);
    let tried = Tried::new();
    let bench = |criterion: &mut Criterion, name: &str, snapshot: &Snapshot| {
        criterion.bench_function(&format!("learned/{name}/{size}"), |bencher| {
            bencher.iter(|| whole(snapshot, &facts, &tried, 7));
        });
    };
    let world = World::new(&text);
    let snapshot = world.publisher.snapshots().current();
    bench(criterion, "nothing", &snapshot);
    let missing = |snapshot: &Snapshot| {
        let decision = Decision::new(snapshot, &facts, NOW_MS).unwrap();
        let mut tried = Tried::new();
        while let Ok(pick) = decision.pick(&tried, NOW_MS, 7) {
            decision.learn(&pick, &Method::GET, StatusCode::NOT_FOUND);
            tried.push(pick.endpoint);
            if tried.len() == 3 {
                break;
            }
        }
        decision.unserved(rolegate::model::learn::Unserved::Unable);
    };
    missing(&snapshot);
    bench(criterion, "three-lack-it-and-a-clock-runs", &snapshot);
    let decision = Decision::new(&snapshot, &facts, NOW_MS).unwrap();
    let pick = decision.pick(&tried, NOW_MS, 7).unwrap();
    let said = decision.learn(&pick, &Method::GET, StatusCode::PARTIAL_CONTENT).said;
    decision.served(&pick, said, StatusCode::PARTIAL_CONTENT);
    bench(criterion, "the-download-stays", &snapshot);
    criterion.bench_function(&format!("learned/an-answer/{size}"), |bencher| {
        bencher.iter(|| {
            let learned = decision.learn(black_box(&pick), &Method::GET, StatusCode::PARTIAL_CONTENT);
            black_box(decision.served(&pick, learned.said, StatusCode::PARTIAL_CONTENT))
        });
    });
    for id in 0..1_000_000 {
        let path = format!("/SMS_DP_SMSPKG$/X{id:07}");
        let facts = Facts { path: &path, query: None, ..facts };
        let decision = Decision::new(&snapshot, &facts, NOW_MS).unwrap();
        let pick = decision.pick(&tried, NOW_MS, 7).unwrap();
        decision.learn(&pick, &Method::GET, StatusCode::NOT_FOUND);
        decision.unserved(rolegate::model::learn::Unserved::Unable);
    }
    bench(criterion, "after-a-million-contents", &snapshot);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(2));
    targets = decide, learned
}
criterion_main!(benches);
