//! What a run comes to: its series added up in different ways.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::format::{self, number};
use crate::record::{Latencies, Machine, Run, Series};

/// The percentiles that are reported.
pub(super) const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];

/// Some series, added up.
#[derive(Debug, Clone, Default)]
pub(super) struct Total {
    pub(super) done: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) latency: Latencies,
    pub(super) service: Latencies,
}

impl Total {
    /// All of a run.
    pub(super) fn of(run: &Run) -> Self {
        let mut total = Self::default();
        run.series.iter().for_each(|series| total.add(series));
        total
    }

    fn add(&mut self, series: &Series) {
        self.done = self.done.saturating_add(series.done);
        for (kind, count) in &series.errors {
            let sum = self.errors.entry(kind.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.received = self.received.saturating_add(series.received);
        self.sent = self.sent.saturating_add(series.sent);
        self.latency.merge(&series.latency);
        self.service.merge(&series.service);
    }

    /// Requests that were not answered as they should be.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// All requests.
    pub(super) fn requests(&self) -> u64 {
        self.done.saturating_add(self.failed())
    }

    /// The part of all requests that failed; 0 if there were none.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn failed_part(&self) -> f64 {
        self.failed() as f64 / self.requests().max(1) as f64
    }

    /// Good answers a second.
    pub(super) fn rate(&self, run: &Run) -> f64 {
        per_second(self.done, run.measured_s)
    }

    /// A percentile of the latency in microseconds.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn latency(&self, percent: f64) -> f64 {
        self.latency.percentile(percent) as f64
    }

    /// A percentile of the latency for people.
    pub(super) fn latency_text(&self, percent: f64) -> String {
        latency_text(&self.latency, percent)
    }
}

/// Whether there are enough for a percentile.
pub(super) fn is_enough(latencies: &Latencies, percent: f64) -> bool {
    latencies.is_enough(percent)
}

/// A percentile for people; a dash if too little was measured for it.
#[allow(clippy::cast_precision_loss)]
pub(super) fn latency_text(latencies: &Latencies, percent: f64) -> String {
    if is_enough(latencies, percent) { format::latency(latencies.percentile(percent) as f64) } else { "–".to_owned() }
}

/// What a dash in a table of latencies means, and of how many answers the figures of the whole are.
pub(super) fn samples(total: &Total) -> String {
    let few = "A percentile that is – has too few: p90 takes 10, p99 100, p99.9 1,000.";
    let all = format!("Latencies of {} good answers.", format::count(total.latency.count()));
    if PERCENTILES.iter().all(|percent| is_enough(&total.latency, *percent)) { all } else { format!("{all} {few}") }
}

/// What the tables of latencies leave out.
pub(super) fn not_in_figures(total: &Total) -> String {
    format!("{} failed, not in these figures.", format::count(total.failed()))
}

/// What no figure has in it; nothing if that is nothing.
pub(super) fn dropped(run: &Run) -> Option<String> {
    let text = || format!("Under way at the end, not waited for and in no figure: {}.", format::count(run.dropped));
    (run.dropped > 0).then(text)
}

/// A run's errors, the most frequent first.
pub(super) fn by_count(total: &Total) -> Vec<(&str, u64)> {
    let mut errors: Vec<_> = total.errors.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    errors.retain(|(_, count)| *count > 0);
    errors.sort_by_key(|(_, count)| Reverse(*count));
    errors
}

/// The latency at each percentile, in microseconds, over the nines of the percentile: 1 is 90 %, 2 is 99 %. It ends where
/// one request is left.
#[allow(clippy::cast_precision_loss)]
pub(super) fn curve(latencies: &Latencies) -> Vec<(f64, f64)> {
    const STEP: f64 = 0.05;
    if latencies.count() == 0 {
        return Vec::new();
    }
    let end = (latencies.count() as f64).log10().clamp(1.0, 6.0);
    let steps = (0..).map(|i| f64::from(i) * STEP).take_while(|nines| *nines < end);
    let at = |nines: f64| (nines, latencies.percentile(100.0 * (1.0 - 10_f64.powf(-nines))) as f64);
    steps.chain([end]).map(at).collect()
}

/// A count in a second; 0 if there was no time.
#[allow(clippy::cast_precision_loss)]
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// How a run's series can be added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Message,
    Role,
    Group,
}

impl By {
    pub(super) const ALL: [Self; 3] = [Self::Message, Self::Role, Self::Group];

    /// The heading of its column.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Message => "message type",
            Self::Role => "role",
            Self::Group => "boundary group",
        }
    }

    fn key(self, series: &Series) -> String {
        match self {
            Self::Message if series.role.is_empty() => series.message.clone(),
            Self::Message => format!("{} ({})", series.message, series.role),
            Self::Role => series.role.clone(),
            Self::Group => series.group.clone(),
        }
    }

    /// The parts of a run, those with the most requests first.
    pub(super) fn parts(self, run: &Run) -> Vec<(String, Total)> {
        let mut parts: BTreeMap<String, Total> = BTreeMap::new();
        for series in &run.series {
            parts.entry(self.key(series)).or_default().add(series);
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|(_, total)| Reverse(total.requests()));
        parts
    }

    /// The parts, if they say more than the whole: there are several, or one message type.
    pub(super) fn parts_worth_showing(self, run: &Run) -> Vec<(String, Total)> {
        let mut parts = self.parts(run);
        if parts.len() < 2 && self != Self::Message {
            parts.clear();
        }
        for (name, _) in &mut parts {
            if name.is_empty() {
                "(none)".clone_into(name);
            }
        }
        parts
    }
}

/// In what a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things a second.
    Rate,
    /// A part of 1.
    Part,
    /// Microseconds.
    Latency,
    /// Things.
    Count,
}

impl Unit {
    pub(super) fn text(self, figure: f64) -> String {
        match self {
            Self::Rate => format::rate(figure),
            Self::Part => format::percent(figure),
            Self::Latency => format::latency(figure),
            Self::Count => number(figure),
        }
    }
}

/// A machine in one line.
pub(super) fn machine(machine: &Machine) -> String {
    let cores = match machine.cores {
        0 => String::new(),
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let parts = [machine.processor.as_str(), &cores, machine.system.as_str()];
    let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    if text.is_empty() { "unknown machine".to_owned() } else { text }
}
