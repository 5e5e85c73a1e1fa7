//! A comparison for a terminal.

use std::fmt::Write as _;

use super::words::{self, HOW_TO_READ, OPEN};
use super::{Comparison, ROLEGATE, Work};
use crate::report::figures::machine;
use crate::report::format::moment;
use crate::report::text::{NAME, blocks, cut, table, wrapped};

/// The works and what they come to: losses first.
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
    let _ = writeln!(out, "\n{}\n", works(comparison));
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

/// The works, each with its verdict and a line for each proxy.
fn works(comparison: &Comparison) -> String {
    let heads = ["", "median", "ratio to rolegate", "rounds"].map(str::to_owned);
    let mut rows = table(heads.into_iter());
    let mut titles = Vec::new();
    for work in &comparison.works {
        let verdict = work.verdict().map_or_else(|| OPEN.to_owned(), |found| words::verdict(&found));
        titles.push(format!("{}, {} ({})\n{}", work.title, work.unit, words::better(work), wrapped(&verdict)));
        for proxy in &comparison.proxies {
            rows.add_row(row(work, &proxy.name));
        }
    }
    blocks(rows, &titles, comparison.proxies.len())
}

fn row(work: &Work, proxy: &str) -> [String; 4] {
    let ratio = work.ratio(proxy).filter(|_| proxy != ROLEGATE);
    let ratio = ratio.map(|spread| words::ratio_range(spread.median, work.interval(proxy))).unwrap_or_default();
    let rounds = work.spread(proxy).map(|spread| spread.count.to_string()).unwrap_or_default();
    [cut(proxy, NAME), words::figure(work, proxy), ratio, rounds]
}
