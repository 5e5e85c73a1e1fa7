//! What `/metrics` says: the numbers that are counted elsewhere and read only here, and the text.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::PoisonError;

use rolegate_health::Health;

use crate::control::director::Handles;
use crate::metrics::{Condition, Detail, Metrics};
use crate::model::cluster::Standing;
use crate::model::live::{Live, TICKS_PER_MINUTE};
use crate::model::snapshot::Snapshot;

mod process;

/// The Prometheus text format, with all numbers as they are now.
pub fn text(handles: &Handles, metrics: &Metrics) -> String {
    let snapshot = handles.snapshots.current();
    of_clocks(&snapshot, handles, metrics);
    of_roles(&snapshot);
    of_endpoints(&snapshot, handles, metrics.detail());
    process::read(metrics);
    metrics.render()
}

fn of_clocks(snapshot: &Snapshot, handles: &Handles, metrics: &Metrics) {
    let now = Live::ticks(u64::try_from(handles.epoch.elapsed().as_millis()).unwrap_or(u64::MAX));
    let idle = snapshot.site.fallback.idle_ticks();
    let process = metrics.scope(&[]);
    process.gauge("rolegate_fallback_clocks").set(snapshot.live.running_clocks(now, idle) as f64);
    let oldest = f64::from(snapshot.live.oldest_clock(now, idle)) / (TICKS_PER_MINUTE as f64 / 60.0);
    process.gauge("rolegate_fallback_clock_oldest_seconds").set(oldest);
}

fn of_roles(snapshot: &Snapshot) {
    for cluster in &snapshot.clusters {
        let mut counts = [0_u32; Condition::ALL.len()];
        cluster.standings().iter().for_each(|standing| counts[condition(standing) as usize] += 1);
        let metrics = &cluster.topology.metrics;
        for (how, count) in Condition::ALL.into_iter().zip(counts) {
            metrics.endpoints(how).set(f64::from(count));
        }
        metrics.panic.set(f64::from(u8::from(cluster.panicking())));
    }
}

fn condition(standing: &Standing) -> Condition {
    match (standing.health, standing.ejected) {
        (Health::Down, _) => Condition::Down,
        (Health::Up | Health::Degraded | Health::Unproven, true) => Condition::Ejected,
        (Health::Up, false) => Condition::Up,
        (Health::Degraded, false) => Condition::Degraded,
        (Health::Unproven, false) => Condition::Unproven,
    }
}

fn of_endpoints(snapshot: &Snapshot, handles: &Handles, detail: Detail) {
    if detail == Detail::None {
        return;
    }
    let view = handles.view.lock().unwrap_or_else(PoisonError::into_inner);
    // Of endpoints that left and came back: what is under way from before.
    let mut before: HashMap<(&str, &str, SocketAddr), u32> = HashMap::new();
    for leaving in &view.leaving {
        *before.entry((&leaving.role, &leaving.system, leaving.address)).or_default() += leaving.state.in_flight();
    }
    for cluster in &snapshot.clusters {
        for endpoint in &cluster.topology.endpoints {
            let key = (cluster.topology.role.name.as_str(), &*endpoint.system, endpoint.address);
            let earlier = if before.is_empty() { 0 } else { before.get(&key).copied().unwrap_or(0) };
            endpoint.metrics.inflight.set(f64::from(endpoint.state.in_flight() + earlier));
            // The control thread waits for this lock, so only what is shown is looked up.
            if detail == Detail::All
                && let Some(counts) = view.checker.counts(endpoint.state.id)
            {
                endpoint.metrics.checked(counts.passes, counts.failures, counts.unknown);
            }
        }
    }
}
