//! What became of a run's thresholds.

use serde::{Deserialize, Serialize};

/// A threshold, and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written: `role MP: p99 < 200ms`.
    pub threshold: String,
    /// What was measured, in `unit`; nothing if it was not judged.
    pub value: Option<f64>,
    /// In what the value is.
    pub unit: JudgedUnit,
    /// Of how many the value is: good answers for a latency or a rate, requests for anything else.
    pub samples: u64,
    /// Whether the threshold was met.
    pub outcome: Outcome,
    /// Why it was not judged; empty if it was.
    pub why: String,
}

/// In what a judged value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedUnit {
    /// A latency in microseconds.
    Microseconds,
    /// A part of all requests, 0 to 1.
    Part,
    /// Requests.
    Count,
    /// Good answers a second.
    PerSecond,
}

/// Whether a threshold was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// Too little was measured to say. That counts as failed.
    NotJudged,
}

impl Outcome {
    /// The word for it: `met`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotJudged => "not judged",
        }
    }

    /// Whether the run fails by it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Met => false,
            Self::Missed | Self::NotJudged => true,
        }
    }
}
