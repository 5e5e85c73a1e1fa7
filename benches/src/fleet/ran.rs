//! The record of a run, whatever kind of load it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::load::Measured;
use crate::record::{FORMAT, Machine, Part, Run};
use crate::threshold::{Threshold, judge};

/// How a fleet is run.
#[derive(Debug, Clone)]
pub struct Running {
    /// What it is measured as: `rolegate 0.1.0`.
    pub label: String,
    /// The target as the user wrote it.
    pub address: String,
    /// Threads, 1 to 256.
    pub threads: u32,
}

/// How a scenario was run.
pub(crate) struct Ran<'a> {
    pub(crate) name: &'a str,
    /// What was done, in TOML.
    pub(crate) text: &'a str,
    /// What has to hold of it.
    pub(crate) thresholds: &'a [Threshold],
    pub(crate) running: &'a Running,
    pub(crate) began: SystemTime,
    /// How long was to be measured.
    pub(crate) planned: Duration,
    pub(crate) speedup: f64,
    /// Or connections of plain load, here.
    pub(crate) clients: u32,
    /// Where the dice of the schedule began, if there were any.
    pub(crate) seed: Option<u64>,
    pub(crate) part: Option<Part>,
}

impl Ran<'_> {
    /// With what was measured, all that a report needs, judged by what has to hold. A part of a load is not: it has to hold of the
    /// whole.
    pub(crate) fn record(&self, measured: Measured) -> Run {
        let mut run = Run {
            format: FORMAT,
            name: self.name.to_owned(),
            label: self.running.label.clone(),
            started_unix_ms: unix_ms(self.began),
            target: self.running.address.clone(),
            scenario: self.text.to_owned(),
            machine: Machine::here(),
            planned_s: self.planned.as_secs_f64(),
            measured_s: measured.measured_s,
            interrupted: measured.interrupted,
            speedup: self.speedup,
            clients: u64::from(self.clients),
            seed: self.seed,
            part: self.part,
            parts: Vec::new(),
            generator: measured.generator,
            dropped: measured.dropped,
            thresholds: Vec::new(),
            series: measured.series,
            timeline: measured.timeline,
        };
        if self.part.is_none() {
            run.thresholds = judge(self.thresholds, &run);
        }
        run
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
