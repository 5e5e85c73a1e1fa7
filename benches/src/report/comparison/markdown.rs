//! A comparison for README and documentation.

use std::fmt::Write as _;

use super::words::{self, HOW_TO_READ, OPEN};
use super::{Comparison, Outcome, Work};
use crate::report::figures::machine;
use crate::report::format::moment;

/// What it comes to, a table of the works, and lists of proxies, goals and notes, in Markdown as GitHub shows it.
#[must_use]
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let (when, machine) = (moment(comparison.started_unix_ms), machine(&comparison.machine));
    let _ = writeln!(out, "{} Measured {when} on {}.\n", words::tally(comparison), escaped(&machine));
    list(&mut out, "It loses these:", words::losses(comparison).into_iter());
    list(&mut out, "Doubts:", words::doubts(comparison).into_iter());
    table(&mut out, comparison);
    let _ = writeln!(out, "\n{HOW_TO_READ}\n");
    list(&mut out, "The sitting:", comparison.sitting.iter().cloned());
    let noted = |text: String, note: &str| if note.is_empty() { text } else { format!("{text}: {note}") };
    let proxies = comparison.proxies.iter().map(|proxy| {
        let notes: Vec<_> = Some(proxy.note.clone()).into_iter().chain(words::build(proxy)).collect();
        noted(words::proxy(proxy), notes.join(". ").trim_start_matches(". "))
    });
    list(&mut out, "The proxies:", proxies);
    let notes = comparison.works.iter().filter_map(|work| {
        let goal = work.goal.iter().map(|goal| format!("Goal: {goal}."));
        let note = Some(work.note.clone()).filter(|note| !note.is_empty());
        let busy = words::busy(work).map(|busy| format!("P{}.", &busy[1..]));
        let texts: Vec<_> = goal.chain(note).chain(busy).collect();
        (!texts.is_empty()).then(|| format!("{}: {}", work.title, texts.join(" ")))
    });
    list(&mut out, "The works:", notes);
    format!("{}\n", out.trim_end())
}

fn table(out: &mut String, comparison: &Comparison) {
    let names = comparison.proxies.iter().map(|proxy| escaped(&proxy.name)).collect::<Vec<_>>();
    let _ = writeln!(out, "| work | {} | rolegate against the best peer |", names.join(" | "));
    let _ = writeln!(out, "|---|{}---|", "--:|".repeat(names.len()));
    for work in &comparison.works {
        let figures = comparison.proxies.iter().map(|proxy| escaped(&words::figure_with_ratio(work, &proxy.name)));
        let figures: Vec<_> = figures.collect();
        let title = escaped(&format!("{}, {} ({})", work.title, work.unit, words::better(work)));
        let _ = writeln!(out, "| {title} | {} | {} |", figures.join(" | "), mark(work));
    }
}

/// The verdict; a loss is as plain as a win.
fn mark(work: &Work) -> String {
    let Some(verdict) = work.verdict() else { return OPEN.to_owned() };
    let text = escaped(&words::verdict(&verdict));
    match verdict.outcome {
        Outcome::Win => format!("✅ {text}"),
        Outcome::Even => format!("➖ {text}"),
        Outcome::Loss => format!("❌ **{text}**"),
        Outcome::Undecided(_) => format!("❔ {text}"),
    }
}

fn list(out: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.map(|line| format!("- {}\n", escaped(&line))).collect();
    if !lines.is_empty() {
        let _ = writeln!(out, "{heading}\n\n{}", lines.concat());
    }
}

/// Text that stays in its cell and is neither markup nor HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => out.extend(['\\', letter]),
            letter => out.push(letter),
        }
    }
    out
}
