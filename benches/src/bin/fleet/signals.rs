//! What ends a run early: the first signal with a report, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use rolegate_bench::say;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Sets `stop` on Ctrl-C, SIGTERM or SIGHUP, and ends the process on the next of them. If `stop` is set already, the first
/// one ends it.
pub(crate) fn heed(runtime: &Runtime, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let _inside = runtime.enter();
    let hear = |kind| signal(kind).context("signals cannot be heard");
    let (mut interrupt, mut terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    // Under nohup it stays ignored.
    let mut hangup = if ignores_hangup() { None } else { Some(hear(SignalKind::hangup())?) };
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = heard(hangup.as_mut()) => {}
            }
            if stop.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
            say::err("ending it, with a report; once more ends it at once");
        }
    });
    Ok(())
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The first bit is the first signal.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
