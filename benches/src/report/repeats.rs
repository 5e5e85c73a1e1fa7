//! Runs of one scenario as one sample: the median of each figure, and how far it goes.

use std::fmt::Write as _;

use super::comparison::Spread;
use super::figures::{By, Total};
use super::format::{count, length, number};
use super::rows::{Row, Sample, differences, rows, rows_by};
use super::text::{aligned, table};
use crate::record::Run;

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
    let heads = ["", "median", "lowest", "highest", "spread", "runs"];
    let mut table = table(heads.into_iter().map(str::to_owned));
    let all = [Sample { name: first.label.clone(), runs: (0..runs.len()).collect() }];
    let parts = By::ALL.into_iter().flat_map(|by| rows_by(by, runs, &all));
    for row in rows(runs, &all).into_iter().chain(parts) {
        table.add_row(cells(&row));
    }
    let _ = writeln!(out, "\n{}", aligned(table));
    let _ = writeln!(
        out,
        "The spread is from the lowest to the highest, in parts of the median. A run that\nhas too few answers for a percentile has none."
    );
    out
}

fn cells(row: &Row) -> [String; 6] {
    let dash = || "–".to_owned();
    match row.figures.first().copied().flatten().map(|figure| figure.spread) {
        None => [row.title.clone(), dash(), dash(), dash(), dash(), "0".to_owned()],
        Some(spread) => {
            let figures = [spread.median, spread.lowest, spread.highest];
            let [median, lowest, highest] = figures.map(|figure| row.unit.text(figure));
            [
                row.title.clone(),
                median,
                lowest,
                highest,
                width(spread).map_or_else(dash, |width| format!("{} %", number(width * 100.0))),
                spread.count.to_string(),
            ]
        }
    }
}

/// From the lowest to the highest, as a part of the median.
fn width(spread: Spread) -> Option<f64> {
    (spread.median > 0.0).then(|| (spread.highest - spread.lowest) / spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn how_far_runs_go_is_told_in_parts_of_their_median() {
        let of = |figures: &[f64]| Spread::of(figures.iter().copied()).and_then(width);
        assert_eq!(of(&[5.0, 1.0, 2.0]), Some(2.0));
        assert_eq!((of(&[0.0]), of(&[])), (None, None));
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
