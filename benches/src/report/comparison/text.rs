//! A comparison for a terminal.

use std::fmt::Write as _;

use super::words::{self, HOW_TO_READ, OPEN};
use super::{Comparison, ROLEGATE, Work};
use crate::report::figures::machine;
use crate::report::format::{moment, ratio};
use crate::report::text::{aligned, table};

/// A table of the works and what they come to: losses first.
#[must_use]
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    for doubt in words::doubts(comparison) {
        let _ = writeln!(out, "DOUBT: {doubt}");
    }
    let proxies: Vec<_> = comparison.proxies.iter().map(words::proxy).collect();
    let _ = writeln!(
        out,
        "{} on {}, {}.",
        proxies.join(", "),
        machine(&comparison.machine),
        moment(comparison.started_unix_ms)
    );
    for fact in &comparison.sitting {
        let _ = writeln!(out, "{fact}");
    }
    for proxy in &comparison.proxies {
        if let Some(build) = words::build(proxy) {
            let _ = writeln!(out, "{}: {build}", proxy.name);
        }
    }
    let _ = writeln!(out, "{}", words::tally(comparison));
    for loss in words::losses(comparison) {
        let _ = writeln!(out, "  {loss}");
    }
    let heads = ["work", "unit"].into_iter().map(str::to_owned);
    let names = comparison.proxies.iter().map(|proxy| proxy.name.clone());
    let mut table = table(heads.chain(names).chain(["rolegate".to_owned()]));
    for work in &comparison.works {
        table.add_row(row(comparison, work));
    }
    let _ = writeln!(out, "\n{}\n", aligned(table));
    for work in &comparison.works {
        if let Some(goal) = &work.goal {
            let _ = writeln!(out, "Goal of {}: {goal}", work.title);
        }
    }
    for work in &comparison.works {
        if let Some(busy) = words::busy(work) {
            let _ = writeln!(out, "{}: {busy}.", work.title);
        }
    }
    let _ = writeln!(out, "{HOW_TO_READ}");
    out
}

fn row(comparison: &Comparison, work: &Work) -> Vec<String> {
    let mut cells = vec![work.title.clone(), format!("{}, {}", work.unit, words::better(work))];
    cells.extend(comparison.proxies.iter().map(|proxy| figure(work, &proxy.name)));
    cells.push(work.verdict().map_or_else(|| OPEN.to_owned(), |found| words::verdict(&found)));
    cells
}

/// Without the range of the ratio, which makes too wide a table.
fn figure(work: &Work, proxy: &str) -> String {
    let figure = words::figure(work, proxy);
    match work.ratio(proxy) {
        Some(spread) if proxy != ROLEGATE => format!("{figure} ({})", ratio(spread.median)),
        Some(_) | None => figure,
    }
}
