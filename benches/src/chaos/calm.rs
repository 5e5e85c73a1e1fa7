//! What must be so when all faults are over.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::process::{Admin, Metrics, Usage, usage};
use super::schedule::SERVERS;
use super::stage::Stage;

/// Every server is used again in this time after the last fault.
pub(super) const AGAIN: Duration = Duration::from_secs(15);
/// Idle connections are gone, and nothing is under way, in this time after the last client.
const QUIET: Duration = Duration::from_secs(20);
/// Longer than rolegate keeps an idle connection here, and looks for those.
const IDLE: Duration = Duration::from_millis(3500);
/// So long no descriptor is closed any more.
const STEADY: Duration = Duration::from_millis(500);
/// How much more memory is resident afterwards, at most.
pub(super) const MORE_MEMORY: u64 = 48 << 20;
/// How many more descriptors are open afterwards, at most: probes that are under way.
pub(super) const MORE_DESCRIPTORS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(100);
const GAUGES: [&str; 4] = ["rolegate_endpoint_inflight", "rolegate_pins", "rolegate_tunnels", "rolegate_connections"];

/// Waits until every server is up and is used again. Says which is not.
pub(super) async fn all_used(stage: &Stage, address: SocketAddr) -> Duration {
    let begun = Instant::now();
    let before: Vec<_> = (0..SERVERS.len()).map(|server| stage.ledger.used(server)).collect();
    let mut admin = Admin::new(address);
    loop {
        let metrics = admin.metrics().await.ok();
        let missing: Vec<_> = SERVERS
            .iter()
            .enumerate()
            .filter(|(server, name)| {
                let label = format!("site_system=\"{name}\"");
                let up = metrics.as_ref().is_some_and(|all| all.sum("rolegate_endpoint_up", &label) > 0.5);
                !up || stage.ledger.used(*server) == before[*server]
            })
            .map(|(_, name)| *name)
            .collect();
        if missing.is_empty() {
            return begun.elapsed();
        }
        if begun.elapsed() > AGAIN {
            stage.ledger.violation(format_args!("{missing:?} are not used {AGAIN:?} after the last fault"));
            return begun.elapsed();
        }
        sleep(PAUSE).await;
    }
}

/// Waits until nothing is under way and no descriptors are opened or closed any more. Returns what is used then.
pub(super) async fn quiet(stage: &Stage, address: SocketAddr) -> anyhow::Result<Usage> {
    let id = stage.process().id();
    let begun = Instant::now();
    let mut admin = Admin::new(address);
    let (mut most, mut since) = (u64::MAX, Instant::now());
    loop {
        let now = usage(id)?;
        let metrics = admin.metrics().await?;
        let busy: Vec<_> = GAUGES.iter().filter(|gauge| metrics.sum(gauge, "") != 0.0).collect();
        if now.descriptors < most {
            (most, since) = (now.descriptors, Instant::now());
        }
        if busy.is_empty() && begun.elapsed() > IDLE && since.elapsed() > STEADY {
            return Ok(Usage { descriptors: most, ..now });
        }
        if begun.elapsed() > QUIET {
            for gauge in busy {
                let value = metrics.sum(gauge, "");
                stage.ledger.violation(format_args!("{gauge} is {value} {QUIET:?} after the last client"));
            }
            return Ok(now);
        }
        sleep(PAUSE).await;
    }
}

/// Whether the process uses no more than before, within a margin.
pub(super) fn nothing_stays(stage: &Stage, before: Usage, after: Usage) {
    if after.memory > before.memory + MORE_MEMORY {
        stage.ledger.violation(format_args!("{} bytes are resident, {} before", after.memory, before.memory));
    }
    if after.descriptors > before.descriptors + MORE_DESCRIPTORS {
        stage
            .ledger
            .violation(format_args!("{} descriptors are open, {} before", after.descriptors, before.descriptors));
    }
}

/// What clients saw, and what rolegate says that they saw.
pub(super) fn counts_agree(stage: &Stage, metrics: &Metrics) {
    let seen = stage.ledger.seen();
    let mut all = 0.0;
    for class in 2..=5 {
        let told = metrics.sum("rolegate_requests_total", &format!("code=\"{class}xx\""));
        let whole = seen.whole.get(&class).copied().unwrap_or(0) as f64;
        let most = seen.heads.get(&class).copied().unwrap_or(0) as f64 + seen.unsure as f64;
        if told < whole || told > most {
            stage.ledger.violation(format_args!(
                "rolegate counts {told} answers of {class}xx, and clients saw {whole} whole ones and {most} at most"
            ));
        }
        all += told;
    }
    let asked = stage.ledger.requests() as f64;
    if all > asked {
        stage.ledger.violation(format_args!("rolegate counts {all} requests, and clients sent {asked}"));
    }
}
