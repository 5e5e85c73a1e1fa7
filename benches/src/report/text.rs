//! Runs for a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::comparison::Spread;
use super::figures::{self, By, PERCENTILES, Total, by_count, dropped, latency_text, machine, not_in_figures, samples};
use super::format::{bytes, count, latency, length, moment, number, percent, percentile, rate, ratio};
use super::parts;
use super::rows::{self, Row, Sample, differences, how_to_read, names, rows, rows_by};
use super::thresholds::{Line, lines, tally};
use crate::record::{Failure, Run};

/// How wide tables are at most, as far as their figures let them.
const WIDTH: usize = 80;
/// The longest title before rows of a table that has a name behind it, and the longest name.
const TITLE: usize = WIDTH - 2 - NAME;
pub(super) const NAME: usize = 22;

/// A run in a few lines: doubts first, then what, how much and how fast.
#[must_use]
pub fn text(run: &Run) -> String {
    let total = Total::of(run);
    let mut out = doubts(std::slice::from_ref(run));
    out += &head(run);
    out += &of_parts(run);
    let failed = total.failed();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} requests were answered, {}; {} failed ({}). {} received, {} sent.",
        count(total.done),
        rate(total.rate(run)),
        count(failed),
        percent(total.failed_part()),
        bytes(total.received),
        bytes(total.sent),
    );
    for (kind, times) in by_count(&total) {
        let why = Failure::advice_for(kind).map(|advice| format!(" ({advice})")).unwrap_or_default();
        let _ = writeln!(out, "  {kind}: {}{why}", count(times));
    }
    if let Some(left) = dropped(run) {
        let _ = writeln!(out, "{left}");
    }
    if let Some(tally) = tally(run) {
        let _ = writeln!(out, "\nThresholds: {tally}.");
        for Line { threshold, outcome, found, .. } in lines(run) {
            let word = if outcome.is_failure() { outcome.word().to_uppercase() } else { outcome.word().to_owned() };
            let _ = writeln!(out, "  {word:<10}  {threshold}: {found}");
        }
    }
    let mut overall = table(["good answers", "of"].map(str::to_owned).into_iter().chain(PERCENTILES.map(percentile)));
    for (what, latencies) in [("latency", &total.latency), ("without waiting", &total.service)] {
        let cells = [what.to_owned(), count(latencies.count())];
        overall.add_row(cells.into_iter().chain(PERCENTILES.map(|percent| latency_text(latencies, percent))));
    }
    let _ = writeln!(out, "\n{}\n{}", aligned(overall), samples(&total));
    if failed > 0 {
        let _ = writeln!(out, "{}", not_in_figures(&total));
    }
    for by in By::ALL {
        let parts = by.parts_worth_showing(run);
        if !parts.is_empty() {
            let _ = writeln!(out, "\nBy {}:\n{}", by.title(), parts_table(run, &parts));
        }
    }
    out
}

/// Several runs, figure by figure. Runs of one label are one sample; the first one is the base, and every figure is given as a
/// ratio to it too.
#[must_use]
pub fn compare_text(runs: &[Run]) -> String {
    let samples = rows::samples(runs);
    let Some(base) = samples.first() else { return "There is no run to compare.\n".to_owned() };
    let mut out = doubts(runs);
    for difference in differences(runs) {
        let _ = writeln!(out, "WARNING: {difference}");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for (name, run) in names(runs).iter().zip(runs) {
        let _ = write!(out, "{name}: {}", head(run));
        if let Some(left) = dropped(run) {
            let _ = writeln!(out, "{left}");
        }
        if let Some(tally) = tally(run) {
            let _ = writeln!(out, "Thresholds: {tally}.");
        }
    }
    let counted: Vec<_> = samples.iter().map(|sample| format!("{} ({})", sample.name, sample.runs.len())).collect();
    let _ = writeln!(out, "\nRuns of each: {}. {}\n", counted.join(", "), how_to_read(&base.name));
    let mut rows = rows(runs, &samples);
    rows.extend(By::ALL.into_iter().flat_map(|by| rows_by(by, runs, &samples)));
    let mut all = table(["", "median", "lowest–highest", "of", "ratio"].map(str::to_owned).into_iter());
    for row in &rows {
        for sample in 0..samples.len() {
            all.add_row(compared(row, sample, &samples));
        }
    }
    let heading = |row: &Row| format!("{}: {}", cut(&row.title, TITLE), cut(&row.winner(&samples), NAME));
    let _ = writeln!(out, "{}", blocks(all, &rows.iter().map(heading).collect::<Vec<_>>(), samples.len()));
    out
}

/// A figure of a sample, how far its runs go, of how many it is, and its ratio to the base.
fn compared(row: &Row, sample: usize, samples: &[Sample]) -> [String; 5] {
    let name = samples.get(sample).map(|sample| cut(&sample.name, NAME)).unwrap_or_default();
    let Some(figure) = row.figures.get(sample).copied().flatten() else {
        return [name, "–".to_owned(), String::new(), String::new(), String::new()];
    };
    let Spread { median, lowest, highest, count: runs } = figure.spread;
    let [low, high] = [lowest, highest].map(|figure| row.unit.text(figure));
    let spread = if runs > 1 { format!("{low}–{high}") } else { String::new() };
    let ratio = Some(sample).filter(|sample| *sample > 0).and_then(|sample| row.ratio(sample)).map(ratio);
    [name, row.unit.text(median), spread, count(figure.of), ratio.unwrap_or_default()]
}

/// What may make the figures wrong.
fn doubts(runs: &[Run]) -> String {
    let several = runs.len() > 1;
    let mut out = String::new();
    for (name, run) in names(runs).iter().zip(runs) {
        let whose = if several { format!("{name}: ") } else { String::new() };
        for doubt in figures::doubts(run) {
            let _ = writeln!(out, "DOUBT: {whose}{doubt}");
        }
    }
    out
}

fn head(run: &Run) -> String {
    let speedup =
        if run.speedup == 1.0 { String::new() } else { format!(" at {} times their speed", number(run.speedup)) };
    let late = match run.generator.late_p99_us {
        0 => String::new(),
        #[allow(clippy::cast_precision_loss)]
        us => {
            format!(" Of the requests that found a free connection, it sent 99 % at most {} late.", latency(us as f64))
        }
    };
    format!(
        "{}: {} clients{speedup} against {} ({}) for {}, {}.\nFrom {}, {} threads, {} of processor time.{late}\n",
        run.name,
        count(run.clients),
        run.target,
        run.label,
        length(run.measured_s),
        moment(run.started_unix_ms),
        machine(&run.machine),
        run.generator.threads,
        length(run.generator.cpu_s),
    )
}

/// What there is to say of parts, for a terminal; nothing of a run that has none.
fn of_parts(run: &Run) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    if let Some(which) = parts::which(run) {
        let _ = writeln!(out, "{which}");
    }
    if run.parts.is_empty() {
        return out;
    }
    let mut table = table(parts::HEADS.into_iter().map(str::to_owned));
    for part in &run.parts {
        let _ = writeln!(out, "{}", parts::whence(part));
        table.add_row(parts::row(part));
    }
    let _ = writeln!(out, "\n{}\n", aligned(table));
    out
}

fn parts_table(run: &Run, parts: &[(String, Total)]) -> String {
    let heads = ["good answers", "rate", "errors"].map(str::to_owned);
    let mut table = table(heads.into_iter().chain(PERCENTILES.map(percentile)));
    for (_, total) in parts {
        let figures = [count(total.done), rate(total.rate(run)), count(total.failed())];
        table.add_row(figures.into_iter().chain(PERCENTILES.map(|percent| total.latency_text(percent))));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_cell_alignment(CellAlignment::Right);
    }
    blocks(table, &parts.iter().map(|(name, _)| cut(name, WIDTH)).collect::<Vec<_>>(), 1)
}

/// A table with a line before each so many rows. There is no room for both in a line.
pub(super) fn blocks(table: Table, titles: &[String], rows: usize) -> String {
    let text = aligned(table);
    let mut lines = text.lines();
    let mut out: Vec<&str> = lines.next().into_iter().collect();
    for title in titles {
        out.push(title);
        out.extend(lines.by_ref().take(rows));
    }
    out.join("\n")
}

/// A text in lines of at most 80 letters, as far as its words are not longer; all begin with two blanks.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = vec!["  ".to_owned()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 2 && last + 1 + word.chars().count() > WIDTH {
            lines.push("  ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            if line.len() > 2 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// A text of at most so many letters.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A table with these heads.
pub(super) fn table(heads: impl Iterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads);
    table
}

/// Names to the left, figures to the right, no blanks at the ends of lines.
pub(super) fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
