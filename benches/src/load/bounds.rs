//! What load can be made of: the bounds of every plan, whether it comes from a scenario or from flags.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Requests a second. A ramp may also begin or end at nothing in a [`Plan`](super::Plan) that is made by a program.
pub const RATES: RangeInclusive<f64> = 0.01..=1e7;
/// Connections.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;
/// The longest that a run may take, warm-up and all: the clock of a fleet has room for it.
pub const LONGEST_RUN: Duration = Duration::from_secs(4 * 24 * 3600);
/// The longest that anything is waited for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);
