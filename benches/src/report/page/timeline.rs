//! A run's timeline as lines.

use crate::record::{Interval, Run, is_enough};
use crate::report::chart::Line;
use crate::report::figures::per_second;

/// More points than twice this are not told apart, and make pages large.
const COLUMNS: usize = 240;

/// So many neighbouring intervals share a column of the drawing.
fn together(run: &Run) -> usize {
    run.timeline.len().div_ceil(COLUMNS).max(1)
}

/// What a note has to say about this.
pub(super) fn note(run: &Run) -> String {
    match together(run) {
        1 => String::new(),
        together => format!("Of each {together} intervals the lowest and the highest are drawn."),
    }
}

/// A line of counts in a second.
pub(super) fn rate(name: &str, colour: usize, run: &Run, count: impl Fn(&Interval) -> u64) -> Line {
    line(name, colour, run, |one| Some(per_second(count(one), one.length_s)))
}

/// A percentile of some latencies.
pub(super) struct Percentile {
    /// So many of 100.
    pub(super) percent: f64,
    /// In microseconds.
    pub(super) us: u64,
    /// Of so many answers.
    pub(super) of: u64,
}

/// A line of a percentile. Where there were too few answers for it there is no point.
#[allow(clippy::cast_precision_loss)]
pub(super) fn latency(name: &str, colour: usize, run: &Run, percentile: impl Fn(&Interval) -> Percentile) -> Line {
    line(name, colour, run, |one| {
        let Percentile { percent, us, of } = percentile(one);
        (is_enough(of, percent) && us > 0).then_some(us as f64)
    })
}

/// A line of things that there are.
#[allow(clippy::cast_precision_loss)]
pub(super) fn level(name: &str, colour: usize, run: &Run, count: impl Fn(&Interval) -> u64) -> Line {
    line(name, colour, run, |one| Some(count(one) as f64))
}

fn line(name: &str, colour: usize, run: &Run, figure: impl Fn(&Interval) -> Option<f64>) -> Line {
    let middle = |one: &Interval| one.at_s + one.length_s / 2.0;
    let point = |one: &Interval| {
        let (at, figure) = (middle(one), figure(one)?);
        (at.is_finite() && figure.is_finite()).then_some((at, figure))
    };
    let points =
        run.timeline.chunks(together(run)).flat_map(|column| extremes(column.iter().filter_map(point))).collect();
    Line { name: name.to_owned(), colour, points, filled: false }
}

/// The lowest and the highest point, in the order in which they come: dips and peaks are drawn where they were.
fn extremes(points: impl Iterator<Item = (f64, f64)>) -> impl Iterator<Item = (f64, f64)> {
    let mut found: Option<[(f64, f64); 2]> = None;
    for point in points {
        let [lowest, highest] = found.get_or_insert([point, point]);
        if point.1 < lowest.1 {
            *lowest = point;
        }
        if point.1 > highest.1 {
            *highest = point;
        }
    }
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_by(|one, other| one.0.total_cmp(&other.0));
    found.dedup();
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn long_runs_keep_their_dips_and_peaks_where_they_were() {
        let mut run = sample::run("a", 1, 1, 1.0);
        let one = run.timeline[0].clone();
        let interval = |i: u32| Interval { at_s: f64::from(i), done: 20, p50_us: 5, ..one.clone() };
        run.timeline = (0..3_600).map(interval).collect();
        run.timeline[777].p50_us = 900;
        run.timeline[1_801].done = 0;
        run.timeline[1_803].done = 95;
        let rates = rate("a", 0, &run, |one| one.done);
        assert!(rates.points.len() <= 2 * COLUMNS, "{}", rates.points.len());
        let other: Vec<_> = rates.points.iter().copied().filter(|(_, rate)| *rate != 20.0).collect();
        assert_eq!(other, [(1_801.5, 0.0), (1_803.5, 95.0)]);
        let latencies = latency("a", 0, &run, |one| Percentile { percent: 50.0, us: one.p50_us, of: one.done });
        assert!(latencies.points.contains(&(777.5, 900.0)));
        assert!(rates.points.is_sorted_by(|one, next| one.0 < next.0));
        assert!(note(&run).contains("each 15 intervals"));
        run.timeline.truncate(240);
        assert_eq!((rate("a", 0, &run, |one| one.done).points.len(), note(&run)), (240, String::new()));
    }

    #[test]
    fn nothing_is_drawn_where_nothing_was_done() {
        let mut run = sample::run("a", 1, 3, 1.0);
        run.timeline[1].p99_us = 0;
        run.timeline[2].at_s = f64::NAN;
        let points = |run: &Run, percent| {
            latency("a", 0, run, |one| Percentile { percent, us: one.p99_us, of: one.done }).points.len()
        };
        assert_eq!(points(&run, 99.0), 1);
        run.timeline[0].done = 99;
        assert_eq!((points(&run, 99.0), points(&run, 98.0)), (0, 1), "one of 99 is not slower than p99");
    }
}
