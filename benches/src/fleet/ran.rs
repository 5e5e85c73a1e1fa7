//! The record of a run, whatever kind of load it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::engine::Running;
use super::scenario::Scenario;
use crate::load::Measured;
use crate::record::{FORMAT, Machine, Run};
use crate::threshold::judge;

/// How a scenario was run.
pub(super) struct Ran<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) running: &'a Running,
    pub(super) began: SystemTime,
    /// How long was to be measured.
    pub(super) planned: Duration,
    pub(super) speedup: f64,
    /// Or connections of plain load.
    pub(super) clients: u32,
}

impl Ran<'_> {
    /// With what was measured, all that a report needs, judged by the scenario's thresholds.
    pub(super) fn record(&self, measured: Measured) -> Run {
        let mut run = Run {
            format: FORMAT,
            name: self.scenario.name.clone(),
            label: self.running.label.clone(),
            started_unix_ms: unix_ms(self.began),
            target: self.running.address.clone(),
            scenario: self.scenario.text.clone(),
            machine: Machine::here(),
            planned_s: self.planned.as_secs_f64(),
            measured_s: measured.measured_s,
            interrupted: measured.interrupted,
            speedup: self.speedup,
            clients: u64::from(self.clients),
            generator: measured.generator,
            dropped: measured.dropped,
            thresholds: Vec::new(),
            series: measured.series,
            timeline: measured.timeline,
        };
        run.thresholds = judge(&self.scenario.thresholds, &run);
        run
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
