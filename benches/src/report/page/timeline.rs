//! A run's timeline as lines.

use crate::record::{Interval, Run};
use crate::report::chart::Line;
use crate::report::figures::per_second;

/// More points than this are not told apart, and make pages large.
const POINTS: usize = 240;

/// Neighbouring intervals, put together until there are at most 240: counts are added, of latencies and levels the
/// highest stays.
pub(super) fn thinned(run: &Run) -> Vec<Interval> {
    let together = run.timeline.len().div_ceil(POINTS).max(1);
    run.timeline.chunks(together).map(merged).collect()
}

/// What a note has to say about this.
pub(super) fn note(run: &Run) -> String {
    match run.timeline.len().div_ceil(POINTS) {
        0 | 1 => String::new(),
        together => format!("A point stands for {together} intervals; of latencies and levels the highest is shown."),
    }
}

fn merged(intervals: &[Interval]) -> Interval {
    let mut all = Interval { at_s: intervals.first().map_or(0.0, |first| first.at_s), ..Interval::default() };
    for one in intervals {
        all.length_s += one.length_s;
        all.done = all.done.saturating_add(one.done);
        all.errors = all.errors.saturating_add(one.errors);
        all.received = all.received.saturating_add(one.received);
        all.p50_us = all.p50_us.max(one.p50_us);
        all.p99_us = all.p99_us.max(one.p99_us);
        all.p999_us = all.p999_us.max(one.p999_us);
        all.max_us = all.max_us.max(one.max_us);
        all.open = all.open.max(one.open);
        all.under_way = all.under_way.max(one.under_way);
        for (role, part) in &one.roles {
            let sum = all.roles.entry(role.clone()).or_default();
            sum.done = sum.done.saturating_add(part.done);
            sum.errors = sum.errors.saturating_add(part.errors);
            sum.p50_us = sum.p50_us.max(part.p50_us);
            sum.p99_us = sum.p99_us.max(part.p99_us);
        }
    }
    all
}

/// A line of counts in a second.
pub(super) fn rate(name: &str, colour: usize, intervals: &[Interval], count: impl Fn(&Interval) -> u64) -> Line {
    line(name, colour, intervals, |one| Some(per_second(count(one), one.length_s)))
}

/// A line of latencies. Where nothing was done there is no point.
#[allow(clippy::cast_precision_loss)]
pub(super) fn latency(name: &str, colour: usize, intervals: &[Interval], us: impl Fn(&Interval) -> u64) -> Line {
    line(name, colour, intervals, |one| Some(us(one)).filter(|us| *us > 0).map(|us| us as f64))
}

/// A line of things that there are.
#[allow(clippy::cast_precision_loss)]
pub(super) fn level(name: &str, colour: usize, intervals: &[Interval], count: impl Fn(&Interval) -> u64) -> Line {
    line(name, colour, intervals, |one| Some(count(one) as f64))
}

fn line(name: &str, colour: usize, intervals: &[Interval], figure: impl Fn(&Interval) -> Option<f64>) -> Line {
    let middle = |one: &Interval| one.at_s + one.length_s / 2.0;
    let points = intervals.iter().filter_map(|one| Some((middle(one), figure(one)?)));
    let points = points.filter(|(at, figure)| at.is_finite() && figure.is_finite()).collect();
    Line { name: name.to_owned(), colour, points, filled: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn long_runs_are_thinned_and_lose_no_request_and_no_peak() {
        let mut run = sample::run("a", 1, 1, 1.0);
        let one = run.timeline[0].clone();
        run.timeline = (0..1_000).map(|i| Interval { at_s: f64::from(i), done: 2, p50_us: 5, ..one.clone() }).collect();
        run.timeline[777].p50_us = 900;
        let thinned = thinned(&run);
        assert_eq!(thinned.len(), 200);
        assert_eq!(thinned.iter().map(|one| one.done).sum::<u64>(), 2_000);
        assert_eq!(thinned.iter().map(|one| one.p50_us).max(), Some(900));
        assert_eq!((thinned[1].at_s, thinned[1].length_s), (5.0, 5.0));
        assert!(note(&run).contains("5 intervals"));
    }
}
