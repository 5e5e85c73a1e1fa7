//! A short run of the program under faults that come at random; `compare chaos` makes long ones.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::future::pending;
use std::time::Duration;

use rolegate_bench::chaos::{Plan, run};

/// The same faults in each run of the tests. What they meet is up to the machine.
const SEED: u64 = 2403;

#[tokio::test]
async fn rolegate_keeps_its_promises_while_everything_around_it_fails() {
    let program = vec![env!("CARGO_BIN_EXE_rolegate").into()];
    let plan = Plan { seed: SEED, duration: Duration::from_secs(4), clients: 32, program };
    let report = run(&plan, pending()).await.unwrap();
    println!("{report}");
    assert!(report.holds() && report.requests() > 100, "{report}");
}
