//! Runs of one scenario as one sample: the median of each figure, and how far it goes.

use std::fmt::Write as _;

use super::figures::{By, Total};
use super::format::{count, length, number};
use super::rows::{Row, differences, rows, rows_by};
use super::text::{aligned, table};
use crate::record::Run;

/// The middle of some figures, and the least and the most of them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
    runs: usize,
}

impl Spread {
    /// `None` of no figures. The median of an even number is the mean of the two in the middle.
    fn of(figures: &[Option<f64>]) -> Option<Self> {
        let mut known: Vec<f64> = figures.iter().flatten().copied().collect();
        known.sort_by(f64::total_cmp);
        let runs = known.len();
        let (least, most) = (*known.first()?, *known.last()?);
        let median = f64::midpoint(known[(runs - 1) / 2], known[runs / 2]);
        Some(Self { median, least, most, runs })
    }

    /// From the least to the most, as a part of the median.
    fn width(self) -> Option<f64> {
        (self.median > 0.0).then(|| (self.most - self.least) / self.median)
    }
}

/// Several runs of one scenario as one sample.
#[must_use]
pub fn repeats_text(runs: &[Run]) -> String {
    let Some(first) = runs.first() else { return "There is no run.\n".to_owned() };
    let mut out = String::new();
    // Writing to a string cannot fail.
    for (place, run) in runs.iter().enumerate() {
        for doubt in &run.generator.doubts {
            let _ = writeln!(out, "DOUBT: run {}: {doubt}", place + 1);
        }
        if run.interrupted {
            let _ = writeln!(out, "DOUBT: run {}: it was ended after {}.", place + 1, length(run.measured_s));
        }
    }
    for difference in differences(runs) {
        let _ = writeln!(out, "WARNING: {difference}");
    }
    let requests = runs.iter().map(|run| Total::of(run).requests()).sum();
    let seeds: Vec<_> = runs.iter().filter_map(|run| run.seed).map(|seed| seed.to_string()).collect();
    let seeds = if seeds.is_empty() { String::new() } else { format!(", with the seeds {}", seeds.join(", ")) };
    let _ = writeln!(
        out,
        "{}: {} runs of {} against {} ({}){seeds}; {} requests in all.",
        first.name,
        runs.len(),
        length(first.planned_s),
        first.target,
        first.label,
        count(requests),
    );
    let heads = ["", "median", "least", "most", "spread", "runs"];
    let mut table = table(heads.into_iter().map(str::to_owned));
    for row in rows(runs).iter().chain(&By::ALL.into_iter().flat_map(|by| rows_by(by, runs)).collect::<Vec<_>>()) {
        table.add_row(cells(row));
    }
    let _ = writeln!(out, "\n{}", aligned(table));
    let _ = writeln!(
        out,
        "The spread is from the least to the most, in parts of the median. A run that\nhas too few answers for a percentile has none."
    );
    out
}

fn cells(row: &Row) -> [String; 6] {
    let dash = || "–".to_owned();
    match Spread::of(&row.figures) {
        None => [row.title.clone(), dash(), dash(), dash(), dash(), "0".to_owned()],
        Some(spread) => {
            let [median, least, most] = [spread.median, spread.least, spread.most].map(|figure| row.unit.text(figure));
            let width = spread.width().map_or_else(dash, |width| format!("{} %", number(width * 100.0)));
            [row.title.clone(), median, least, most, width, spread.runs.to_string()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_sample_has_a_middle_and_ends() {
        let spread = |figures: &[f64]| {
            let figures: Vec<_> = figures.iter().map(|figure| Some(*figure)).chain([None]).collect();
            Spread::of(&figures)
        };
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[5.0, 1.0, 3.0]), Some(Spread { median: 3.0, least: 1.0, most: 5.0, runs: 3 }));
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(spread(&[1.0, 2.0, 3.0]).and_then(Spread::width), Some(1.0));
        assert_eq!(spread(&[0.0]).and_then(Spread::width), None);
    }

    #[test]
    fn repeats_are_told_as_one_sample_that_fits_a_terminal() {
        let mut runs = [(1, 1.0), (2, 3.0), (3, 2.0)].map(|(seed, slower)| sample::run("rolegate", seed, 20, slower));
        for (seed, run) in (1..).zip(&mut runs) {
            run.seed = Some(seed);
        }
        runs[1].generator.doubts.push("It was late.".to_owned());
        let text = repeats_text(&runs);
        assert!(text.starts_with("DOUBT: run 2: It was late.\n"), "{text}");
        assert!(text.contains("3 runs of 20s") && text.contains("with the seeds 1, 2, 3"), "{text}");
        let row = text.lines().find(|line| line.trim_start().starts_with("p50")).unwrap_or_default();
        let [fast, slow, middle] = [0, 1, 2].map(|run: usize| Total::of(&runs[run]).latency_text(50.0));
        let places: Vec<_> = [&middle, &fast, &slow].iter().filter_map(|figure| row.find(*figure)).collect();
        assert!(places.len() == 3 && places.is_sorted(), "median, least and most: {row:?}");
        assert!(!text.contains("WARNING"), "{text}");
        let table = text.lines().filter(|line| !line.contains(": "));
        assert!(table.map(|line| line.chars().count()).max() <= Some(80), "{text}");
    }
}
