//! One request that is over, and what it was about.

use std::time::Duration;

use super::Failure;

/// What a series is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// See [`Series::message`](super::Series::message).
    pub message: String,
    /// See [`Series::role`](super::Series::role).
    pub role: String,
    /// See [`Series::group`](super::Series::group).
    pub group: String,
}

/// One request that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it counts, since the run began (warm-up included): when it was due, or in a closed loop when it was over.
    pub at: Duration,
    /// From when it should have been sent to its end.
    pub latency: Duration,
    /// From when it was sent to its end.
    pub service: Duration,
    /// Bytes of its body.
    pub sent: u64,
    /// Bytes of the answer's body.
    pub received: u64,
    /// Whether it was answered as it should be.
    pub result: Result<(), Failure>,
}
