//! What is looked at all the time: that the process lives, that it answers, and whom it takes for well.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::process::Admin;
use super::schedule::SERVERS;
use super::stage::{Stage, State};

/// `/health` answers in this time.
const HEALTH: Duration = Duration::from_secs(2);
/// No timer of this program is later, unless the machine is very busy.
const LATE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(150);
/// After the process stood still or had no descriptors, it has this time before it must answer.
const GRACE: Duration = Duration::from_secs(1);

/// Looks until it is dropped. Returns when the process has ended.
pub(super) async fn watch(stage: &Stage, address: std::net::SocketAddr) {
    let mut admin = Admin::new(address);
    loop {
        if let Some(how) = stage.process().ended() {
            stage.ledger.violation(format_args!("the process has ended: {how}"));
            return;
        }
        let begun = Instant::now();
        let health = admin.health(HEALTH).await;
        let excused = match stage.state() {
            State::Held => true,
            State::Free(since) => since + GRACE > begun,
        };
        match health {
            Some(time) if !excused => stage.ledger.time("health", time),
            Some(_) => {}
            None if excused => {}
            // Then it is this program that has no time.
            None if begun.elapsed() > HEALTH + LATE => stage.ledger.event("the machine is too busy to ask for /health"),
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
