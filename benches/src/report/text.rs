//! Runs for a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::figures::{By, PERCENTILES, Total, by_count, dropped, latency_text, machine, not_in_figures, samples};
use super::format::{bytes, count, latency, length, moment, number, percent, percentile, rate, ratio};
use super::parts;
use super::rows::{Row, differences, names, rows, rows_by};
use crate::record::{Failure, Run};

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
    let mut overall = table(std::iter::once("good answers".to_owned()).chain(PERCENTILES.map(percentile)));
    for (what, latencies) in [("latency", &total.latency), ("without waiting to be sent", &total.service)] {
        let figures = PERCENTILES.map(|percent| latency_text(latencies, percent));
        overall.add_row(std::iter::once(what.to_owned()).chain(figures));
    }
    let _ = writeln!(out, "\n{}\n{}", aligned(overall), samples(&total));
    if failed > 0 {
        let _ = writeln!(out, "{}", not_in_figures(&total));
    }
    for by in By::ALL {
        let parts = by.parts_worth_showing(run);
        if !parts.is_empty() {
            let _ = writeln!(out, "\n{}", parts_table(run, by, &parts));
        }
    }
    out
}

/// Several runs in a table; the first one is the base, and every figure is given as a ratio to it too.
#[must_use]
pub fn compare_text(runs: &[Run]) -> String {
    let names = names(runs);
    let [base, others @ ..] = names.as_slice() else { return "There is no run to compare.\n".to_owned() };
    let mut out = doubts(runs);
    for difference in differences(runs) {
        let _ = writeln!(out, "WARNING: {difference}");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for (name, run) in names.iter().zip(runs) {
        let _ = write!(out, "{name}: {}", head(run));
        if let Some(left) = dropped(run) {
            let _ = writeln!(out, "{left}");
        }
    }
    let _ =
        writeln!(out, "\nRatios are to {base}. Figures within 1 % are even; one run each says nothing about chance.\n");
    let heads = ["", base].into_iter().map(str::to_owned);
    let heads = heads.chain(others.iter().flat_map(|name| [name.clone(), "ratio".to_owned()]));
    let mut table = table(heads.chain(["best".to_owned()]));
    let mut all = rows(runs);
    all.extend(By::ALL.into_iter().flat_map(|by| rows_by(by, runs)));
    for row in &all {
        table.add_row(compared(row, &names));
    }
    let _ = writeln!(out, "{}", aligned(table));
    out
}

fn compared(row: &Row, names: &[String]) -> Vec<String> {
    let figure = |run: usize| row.figures[run].map_or_else(|| "–".to_owned(), |figure| row.unit.text(figure));
    let mut cells = vec![row.title.clone(), figure(0)];
    for run in 1..row.figures.len() {
        cells.push(figure(run));
        cells.push(row.ratio(run).map_or_else(|| "–".to_owned(), ratio));
    }
    cells.push(row.winner(names));
    cells
}

/// What may make the figures wrong.
fn doubts(runs: &[Run]) -> String {
    let several = runs.len() > 1;
    let mut out = String::new();
    for (name, run) in names(runs).iter().zip(runs) {
        let whose = if several { format!("{name}: ") } else { String::new() };
        for doubt in &run.generator.doubts {
            let _ = writeln!(out, "DOUBT: {whose}{doubt}");
        }
        if run.interrupted {
            let (took, planned) = (length(run.measured_s), length(run.planned_s));
            let _ = writeln!(out, "DOUBT: {whose}The run was interrupted after {took} of {planned}.");
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

fn parts_table(run: &Run, by: By, parts: &[(String, Total)]) -> String {
    let heads = [by.title(), "requests", "rate", "errors"].map(str::to_owned);
    let mut table = table(heads.into_iter().chain(PERCENTILES.map(percentile)));
    for (name, total) in parts {
        let figures = [name.clone(), count(total.requests()), rate(total.rate(run)), count(total.failed())];
        table.add_row(figures.into_iter().chain(PERCENTILES.map(|percent| total.latency_text(percent))));
    }
    aligned(table)
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
