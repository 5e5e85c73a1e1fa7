//! A run's thresholds in words, as all reports say them.

use super::figures::{Total, Unit};
use super::format::count;
use crate::record::{Judged, JudgedUnit, Outcome, Run};

/// A threshold as reports show it.
pub(super) struct Line {
    pub(super) threshold: String,
    pub(super) outcome: Outcome,
    /// The value; a dash if it was not judged.
    pub(super) value: String,
    /// Of how many the value is: `of 1,234 good answers`.
    pub(super) samples: String,
    /// Both, or why it was not judged.
    pub(super) found: String,
}

/// Those of a run, in their order.
pub(super) fn lines(run: &Run) -> Vec<Line> {
    run.thresholds.iter().map(line).collect()
}

fn line(judged: &Judged) -> Line {
    let (unit, of) = match judged.unit {
        JudgedUnit::Microseconds => (Unit::Latency, "good answers"),
        JudgedUnit::PerSecond => (Unit::Rate, "good answers"),
        JudgedUnit::Part => (Unit::Part, "requests"),
        JudgedUnit::Count => (Unit::Count, "requests"),
    };
    let value = judged.value.map_or_else(|| "–".to_owned(), |value| unit.text(value));
    let samples = format!("of {} {of}", count(judged.samples));
    let found = if judged.why.is_empty() { format!("{value} {samples}") } else { judged.why.clone() };
    Line { threshold: judged.threshold.clone(), outcome: judged.outcome, value, samples, found }
}

/// That nothing was answered as it should be, if that is so.
pub(super) fn nothing_answered(run: &Run) -> Option<String> {
    let total = Total::of(run);
    let told = || format!("of {} requests none was answered as it should be", count(total.requests()));
    (total.done == 0).then(told)
}

/// How many there are of each outcome: `2 met, 1 missed`. Nothing if there are none.
pub(super) fn tally(run: &Run) -> Option<String> {
    let of = |outcome: Outcome| run.thresholds.iter().filter(|judged| judged.outcome == outcome).count();
    let parts = [Outcome::Met, Outcome::Missed, Outcome::NotJudged].map(|outcome| (of(outcome), outcome.word()));
    let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
