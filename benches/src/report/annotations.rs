//! What a run of a workflow on GitHub is to show: missed thresholds as errors, doubts as warnings.

use std::fmt::Write as _;

use super::figures::doubts;
use super::thresholds::{Line, lines, nothing_answered};
use crate::record::{Outcome, Run};

/// A line for each threshold that was not met, and for each doubt. Empty if there is neither.
#[must_use]
pub fn annotations(run: &Run) -> String {
    let mut out = String::new();
    let mut write = |command: &str, title: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "::{command} title={}::{}", property(title), data(text));
    };
    if let Some(why) = nothing_answered(run) {
        write("error", &format!("{}: nothing answered", run.name), &why);
    }
    for Line { threshold, outcome, found, .. } in lines(run) {
        match outcome {
            Outcome::Met => {}
            Outcome::Missed | Outcome::NotJudged => {
                write(
                    "error",
                    &format!("{}: threshold {}", run.name, outcome.word()),
                    &format!("{threshold}: {found}"),
                );
            }
        }
    }
    for doubt in doubts(run) {
        write("warning", &format!("{}: doubt", run.name), &doubt);
    }
    out
}

/// A text as GitHub reads it after the second pair of colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A text as GitHub reads it as the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
