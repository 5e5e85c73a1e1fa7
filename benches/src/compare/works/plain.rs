//! Works of a closed loop: small and large answers, new connections, TLS.

use super::super::measure::{Load, Outcome};
use super::super::options::WorkName;
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::Running;
use super::super::targets::{LARGE, LARGE_BYTES, SMALL};
use super::super::template::Bodies;
use super::super::usage;
use super::Run;
use crate::pki::Algorithm;

const MIB: f64 = 1024.0 * 1024.0;
const KIB: f64 = 1024.0;
/// Connections of a work with large bodies.
const FEW: usize = 8;
/// Connections of the others.
pub(super) const SOME: usize = 64;

fn told(outcome: &Outcome) -> String {
    let p99 = outcome.latency.percentile(99.0);
    // The generators of others tell no latencies.
    let p99 = if p99 > 0 { format!("  p99 {p99} us") } else { String::new() };
    format!("{:8.2} us CPU/request {:8.0} requests/s{p99}", outcome.cpu_us(), outcome.per_second())
}

pub(super) async fn small(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "CPU of the proxy's processes, user and system. Its inverse is requests for each second of CPU.";
    run.sheet
        .row(Line::lower("small-cpu", "CPU per request: 1 KiB, 64 connections", "us").note(note).goal("the least"));
    let mut bed = run.bed().await?;
    let load = |proxy: &Running| Load::closed(proxy.http, SMALL, SOME);
    run.rounds(&mut bed, (WorkName::Small.name(), &["small-cpu"]), load, |sheet, proxy, round, outcome| {
        sheet.put("small-cpu", proxy.name(), round, outcome.cpu_us());
        sheet.managed(proxy.name(), outcome.limit());
        told(outcome)
    })
    .await
}

pub(super) async fn small_1000(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "CPU of the proxy's processes, user and system.";
    run.sheet.row(Line::lower("small-1000-cpu", "CPU per request: 1 KiB, 1,000 connections", "us").note(note));
    let mut bed = run.bed().await?;
    let load = |proxy: &Running| Load::closed(proxy.http, SMALL, 1000);
    run.rounds(&mut bed, (WorkName::Small1000.name(), &["small-1000-cpu"]), load, |sheet, proxy, round, outcome| {
        sheet.put("small-1000-cpu", proxy.name(), round, outcome.cpu_us());
        told(outcome)
    })
    .await
}

pub(super) async fn large(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "CPU of the proxy's processes, user and system. 10,000 divided by it is MiB for each second of CPU.";
    let title = "CPU per body of 10 MiB, 8 connections";
    run.sheet.row(Line::lower("large-cpu", title, "ms").note(note).goal("the least"));
    let note = "The most that was resident during the work, less what was resident when the proxy had just started, for each \
                of 8 client connections. What a proxy needs only once is in it.";
    run.sheet.row(Line::lower("large-memory", "Memory growth for each download of 10 MiB", "KiB").note(note));
    let mut bed = run.bed_for_downloads().await?;
    let load = |proxy: &Running| Load::closed(proxy.http, LARGE, FEW);
    run.rounds(
        &mut bed,
        (WorkName::Large.name(), &["large-cpu", "large-memory"]),
        load,
        |sheet, proxy, round, outcome| {
            let cpu_ms = outcome.cpu_us() / 1e3;
            sheet.put("large-cpu", proxy.name(), round, cpu_ms);
            let growth = rates::growth_each(proxy.rest, usage::peak(proxy.id()), FEW as u64) / KIB;
            sheet.put("large-memory", proxy.name(), round, growth);
            let per_cpu = outcome.per_cpu_second() * LARGE_BYTES as f64 / MIB;
            format!("{cpu_ms:8.2} ms CPU/body {per_cpu:8.0} MiB per CPU second  {growth:8.0} KiB more per connection")
        },
    )
    .await
}

pub(super) async fn new(run: &mut Run<'_>) -> anyhow::Result<()> {
    let title = "CPU per request with a connection of its own: 1 KiB, 64 at a time";
    run.sheet.row(
        Line::lower("new-cpu", title, "us")
            .note("Each request says Connection: close. Connections to the origins are kept."),
    );
    let mut bed = run.bed().await?;
    let load = |proxy: &Running| Load { keep_alive: false, ..Load::closed(proxy.http, SMALL, SOME) };
    run.rounds(&mut bed, (WorkName::New.name(), &["new-cpu"]), load, |sheet, proxy, round, outcome| {
        sheet.put("new-cpu", proxy.name(), round, outcome.cpu_us());
        told(outcome)
    })
    .await
}

/// A kind of key, and the rows of what is done with it.
struct Keys {
    key: Algorithm,
    name: &'static str,
    handshake: &'static str,
    bulk: &'static str,
}

const KEYS: [Keys; 2] = [
    Keys { key: Algorithm::EcdsaP256, name: "ECDSA P-256", handshake: "tls-handshake", bulk: "tls-bulk" },
    Keys { key: Algorithm::Rsa2048, name: "RSA 2048", handshake: "tls-handshake-rsa", bulk: "tls-bulk-rsa" },
];

pub(super) async fn tls(run: &mut Run<'_>) -> anyhow::Result<()> {
    for keys in &KEYS {
        handshakes(run, keys).await?;
    }
    for keys in &KEYS {
        bulk(run, keys).await?;
    }
    Ok(())
}

async fn handshakes(run: &mut Run<'_>, &Keys { key, name, handshake: row, .. }: &Keys) -> anyhow::Result<()> {
    let title = format!("Full handshakes with a request of 1 KiB each, for each second of CPU: {name}");
    let note = "TLS 1.3 with AES-256-GCM and X25519, nothing is resumed, 32 at a time. Each proxy sends as many session tickets \
                as it does by itself.";
    run.sheet.row(Line::higher(row, title, "1/s").note(note).goal("the most"));
    let mut bed = run.bed_of_tls(key, Bodies::Small).await?;
    let load = |proxy: &Running| Load { keep_alive: false, tls: true, ..Load::closed(proxy.https, SMALL, 32) };
    run.rounds(&mut bed, (row, &[row]), load, |sheet, proxy, round, outcome| {
        sheet.put(row, proxy.name(), round, outcome.per_cpu_second());
        format!("{:8.0} handshakes per CPU second", outcome.per_cpu_second())
    })
    .await
}

async fn bulk(run: &mut Run<'_>, &Keys { key, name, bulk: row, .. }: &Keys) -> anyhow::Result<()> {
    let title = format!("Bodies of 10 MiB over TLS, for each second of CPU: {name}");
    let note = "TLS 1.3 with AES-256-GCM, 8 connections that are kept: the kind of key matters in 8 handshakes only.";
    run.sheet.row(Line::higher(row, title, "MiB/s").note(note));
    let mut bed = run.bed_of_tls(key, Bodies::Large).await?;
    let load = |proxy: &Running| Load { tls: true, ..Load::closed(proxy.https, LARGE, FEW) };
    run.rounds(&mut bed, (row, &[row]), load, |sheet, proxy, round, outcome| {
        let figure = outcome.per_cpu_second() * LARGE_BYTES as f64 / MIB;
        sheet.put(row, proxy.name(), round, figure);
        format!("{figure:8.0} MiB per CPU second")
    })
    .await
}
