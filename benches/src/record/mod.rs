//! What a run of load measured: the JSON file, and what every report is made of.
//!
//! A [`Run`] is one scenario against one address. Its latencies are whole HDR histograms, so that runs can be compared and
//! merged afterwards; its [`Interval`]s say how it went over time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod failure;
mod histogram;
mod judged;
mod live;
mod merge;
mod part;
mod recorder;
mod sample;

pub use failure::{ConnectFault, Failure, Handshake, TlsFault};
pub(crate) use histogram::LONGEST_US;
pub use histogram::{Latencies, Packed, is_enough};
pub use judged::{Judged, JudgedUnit, Outcome};
pub(crate) use live::BUCKETS_US;
pub use live::{Live, LiveSeries};
pub use merge::{Missing, merge};
pub use part::{Contribution, MOST_PARTS, Part};
pub(crate) use recorder::watched;
pub use recorder::{Collected, Collector, CpuTime, Histograms, Recorder, doubts, recorders};
pub use sample::{Sample, SeriesKey};

/// The version of the JSON file. Another one is refused.
pub const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenario's name.
    pub name: String,
    /// What was measured, as its user calls it: `rolegate 0.1.0`.
    pub label: String,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The address.
    pub target: String,
    /// The scenario, as it was read.
    pub scenario: String,
    /// Where the load came from.
    pub machine: Machine,
    /// How long it should take, in seconds.
    pub planned_s: f64,
    /// How long was measured, in seconds: warm-up and waiting for the last answers are not counted.
    pub measured_s: f64,
    /// Ended before its time.
    pub interrupted: bool,
    /// Seconds of the clients' schedules in a second of ours.
    pub speedup: f64,
    /// Simulated clients, or connections of a plain mode; of a part those that it had.
    pub clients: u64,
    /// Where the dice of the schedule began. Plain load has none but at random times, and files of before do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Which part of the load this is, if others made the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// What each part was, if this was merged of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Contribution>,
    /// What the generator itself needed.
    pub generator: Generator,
    /// Requests that were under way when the run was over and whose answers nobody waited for: neither good answers nor
    /// errors, and in no other figure. Files of before do not tell.
    #[serde(default)]
    pub dropped: u64,
    /// Its thresholds and what they came to. Empty if it had none.
    #[serde(default)]
    pub thresholds: Vec<Judged>,
    /// What was measured, for each message type and boundary group.
    pub series: Vec<Series>,
    /// How it went, a second or more each.
    pub timeline: Vec<Interval>,
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many cores the process may use.
    pub cores: u32,
    /// The operating system and its version.
    pub system: String,
}

/// The generator's own limits: whether it could send what it should.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Threads that made load.
    pub threads: u32,
    /// User and system time of the process within the measured time, in seconds.
    pub cpu_s: f64,
    /// How much later than intended requests were sent, 99th percentile, in microseconds: only of those that found a free
    /// connection, or a place in a fleet. Those that had to wait for the target have their waiting in the latencies.
    pub late_p99_us: u64,
    /// The same, at most.
    pub late_max_us: u64,
    /// Most connections that were open at a time.
    pub open_max: u64,
    /// In sentences, why the figures may be the generator's and not the target's. Empty: they are the target's.
    pub doubts: Vec<String>,
}

/// Requests of one kind from one boundary group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The message type: `policy request`, `state message`, `content range`; in a plain mode the method and target.
    pub message: String,
    /// The role that answers it: `MP`. Empty in a plain mode.
    pub role: String,
    /// The boundary group of the clients. Empty if there is only one.
    pub group: String,
    /// Requests that were answered as they should be.
    pub done: u64,
    /// The others, by kind, as [`Failure`] writes it.
    pub errors: BTreeMap<String, u64>,
    /// Bytes of response bodies.
    pub received: u64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// From when a request should have been sent to the last byte of its answer.
    pub latency: Latencies,
    /// From when it was sent.
    pub service: Latencies,
}

/// A piece of a run's time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// When it begins, in seconds since the run began.
    pub at_s: f64,
    /// How long it is, in seconds.
    pub length_s: f64,
    /// Answered as they should be.
    pub done: u64,
    /// Not.
    pub errors: u64,
    /// Bytes of response bodies.
    pub received: u64,
    /// Latency in microseconds, 0 if nothing was done: half were faster.
    pub p50_us: u64,
    /// 99 % were faster.
    pub p99_us: u64,
    /// 99.9 % were faster.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// Connections open at its end.
    pub open: u64,
    /// Requests under way at its end.
    pub under_way: u64,
    /// Role by role, if there are roles.
    pub roles: BTreeMap<String, RoleInterval>,
    /// All latencies, in a part of a run only: percentiles of several parts follow from nothing less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Packed>,
}

/// A role's part of an [`Interval`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleInterval {
    /// Answered as they should be.
    pub done: u64,
    /// Not.
    pub errors: u64,
    /// Latency in microseconds: half were faster.
    pub p50_us: u64,
    /// 99 % were faster.
    pub p99_us: u64,
    /// See [`Interval::latency`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Packed>,
}
