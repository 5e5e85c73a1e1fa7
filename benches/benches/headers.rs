//! What the header fields of one request cost: hop-by-hop fields out, all of them with forwarding fields to the wire.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue};
use rolegate::data::path::forwarding::ForwardingValues;
use rolegate::model::role::Tells;
use rolegate::model::snapshot::ListenerId;
use rolegate::wire::fields::Fields;
use rolegate::wire::head::put;
use rolegate::wire::hop_by_hop::strip_hop_by_hop;
use support::World;

/// A client that sends a message, and one that downloads.
const MESSAGE: [(&str, &str); 8] = [
    ("connection", "Keep-Alive"),
    ("content-length", "2914"),
    ("content-type", "multipart/mixed; boundary=\"aAbBcCdDv1234567890VxXyYzZ\""),
    ("host", "mp.contoso.com"),
    ("user-agent", "ConfigMgr Messaging HTTP Sender"),
    ("ccmclientid", "GUID:11F22A4C-6E5B-4A8F-A0B5-DD4B3DDB3B44"),
    ("ccmclienttimestamp", "2026-01-05T08:15:30Z"),
    ("ccmclientidsignature", "6F3A2B1C9D8E7F6A5B4C3D2E1F0A9B8C7D6E5F4A3B2C1D0E9F8A7B6C5D4E3F2A1B"),
];
const DOWNLOAD: [(&str, &str); 7] = [
    ("connection", "Keep-Alive"),
    ("accept", "*/*"),
    ("accept-encoding", "identity"),
    ("if-unmodified-since", "Mon, 06 Nov 2023 08:00:00 GMT"),
    ("range", "bytes=0-4194303"),
    ("user-agent", "Microsoft BITS/7.8"),
    ("host", "dp1.contoso.com"),
];

fn headers(criterion: &mut Criterion) {
    let world = World::new(&support::site(2, 1, 1));
    let snapshot = world.publisher.snapshots().current();
    let tells = Tells { via: true, forwarded: true };
    for (scenario, lines) in [("ccm-post", &MESSAGE[..]), ("bits-get", &DOWNLOAD[..])] {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let size = lines.len();
        let mut forwarding =
            ForwardingValues::new("10.1.2.3".parse().unwrap(), (None, false), &snapshot, ListenerId(0));
        criterion.bench_function(&format!("headers/strip/{scenario}/{size}"), |bencher| {
            bencher.iter_batched_ref(|| fields.clone(), |own| black_box(strip_hop_by_hop(own)), BatchSize::SmallInput);
        });
        criterion.bench_function(&format!("headers/forwarding/{scenario}/{size}"), |bencher| {
            let mut head = Vec::with_capacity(2048);
            bencher.iter(|| {
                head.clear();
                forwarding.each(black_box(&fields), tells, |field| put(&mut head, field.name.as_bytes(), field.value));
                black_box(head.len())
            });
        });
        criterion.bench_function(&format!("headers/client/{scenario}/{size}"), |bencher| {
            bencher.iter(|| black_box(forwarding.client(black_box(&fields), &snapshot.site)));
        });
    }
}

criterion_group!(benches, headers);
criterion_main!(benches);
