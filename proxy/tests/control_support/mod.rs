//! What the tests of the control plane share: configurations to snapshots without a process, a running proxy with
//! clients, and a small DNS server.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod client;
pub mod dns;
pub mod minutes;
pub mod plan;
pub mod proxy;
pub mod world;

use std::future::Future;
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `check` gives something; panics with `what` when it never does.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As [`until`], for a question without waiting.
pub async fn until_true(what: &str, mut check: impl FnMut() -> bool) {
    until(what, || std::future::ready(check().then_some(()))).await;
}
