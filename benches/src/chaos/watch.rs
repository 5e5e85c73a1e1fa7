//! What is looked at all the time: that the process lives, that it answers, and whom it takes for well.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::process::Admin;
use super::schedule::SERVERS;
use super::stage::Stage;

/// `/health` answers in this time.
const HEALTH: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(150);
/// After the process stood still or had no descriptors, it has this time before it must answer.
const GRACE: Duration = Duration::from_secs(1);

/// Looks until it is dropped. Returns when the process has ended.
pub(super) async fn watch(stage: &Stage, address: std::net::SocketAddr) {
    let mut admin = Admin::new(address);
    let mut held = Instant::now();
    loop {
        if let Some(how) = stage.process().ended() {
            stage.ledger.violation(format_args!("the process has ended: {how}"));
            return;
        }
        let begun = Instant::now();
        let health = admin.health(HEALTH).await;
        // It may have been held at any time since the question.
        if stage.held.load(Relaxed) {
            held = Instant::now();
        }
        let excused = begun.saturating_duration_since(held) < GRACE || held >= begun;
        match health {
            Some(time) if !excused => stage.ledger.time("health", time),
            Some(_) => {}
            None if excused => {}
            None => stage.ledger.violation(format_args!("/health did not answer within {HEALTH:?}")),
        }
        if let Ok(Ok(metrics)) = tokio::time::timeout(HEALTH, admin.metrics()).await {
            for (number, name) in SERVERS.iter().enumerate() {
                let label = format!("site_system=\"{name}\"");
                if metrics.values("rolegate_endpoint_up", &label).any(|up| up < 0.5) {
                    stage.ledger.detected(number);
                }
            }
        } else {
            admin = Admin::new(address);
        }
        sleep(PAUSE).await;
    }
}
