//! Whether the verdicts can be believed: sittings in which all peers are rolegate itself, so that every winner is a mistake.

use std::fmt::Write as _;
use std::pin::pin;

use super::options::Options;
use crate::report::comparison::{Comparison, Outcome, Verdict};

/// Of all rows, so many percent may name a winner.
const MISTAKES_PERCENT: usize = 10;

/// A winner that was named where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The sitting, counted from 1.
    pub sitting: usize,
    /// The row.
    pub title: String,
    /// What was said of it.
    pub verdict: Verdict,
}

/// What came of all sittings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Control {
    /// Sittings that came to their end.
    pub sittings: usize,
    /// Rows of all of them that had something to compare.
    pub rows: usize,
    /// Those that are undecided.
    pub undecided: usize,
    /// Those that name a winner.
    pub named: Vec<Named>,
}

impl Control {
    /// Whether no more than one row of ten names a winner.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows > 0 && self.named.len() * 100 <= self.rows * MISTAKES_PERCENT
    }

    /// Adds a sitting that came to its end.
    pub fn add(&mut self, comparison: &Comparison) {
        self.sittings += 1;
        for work in &comparison.works {
            let Some(verdict) = work.verdict() else { continue };
            self.rows += 1;
            match verdict.outcome {
                Outcome::Win | Outcome::Loss => {
                    self.named.push(Named { sitting: self.sittings, title: work.title.clone(), verdict });
                }
                Outcome::Undecided(_) => self.undecided += 1,
                Outcome::Even => {}
            }
        }
    }

    /// In lines, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { sittings, rows, undecided, named } = self;
        let mut text = format!(
            "{sittings} sittings of rolegate beside itself, {rows} rows: a winner is named in {}, {} are even, {undecided} are \
             undecided.\n",
            named.len(),
            rows - undecided - named.len()
        );
        for Named { sitting, title, verdict } in named {
            // Writing to a string cannot fail.
            let (word, peer, ratio) = (verdict.outcome.word(), &verdict.peer, verdict.ratio.median);
            let _ = writeln!(text, "  sitting {sitting}: {title}: rolegate {word} against {peer}, {ratio:.3}");
        }
        text + match (self.holds(), rows) {
            (_, 0) => "There was nothing to compare.",
            (true, _) => "The verdicts hold: no more than one row of ten.",
            (false, _) => "The verdicts do not hold: more than one row of ten.",
        }
    }
}

/// So many sittings, each by a seed of its own. `keep` gets each one, also one that was stopped, which does not count and is the last.
///
/// # Errors
/// As [`super::run`], or `keep` failed.
pub async fn control(
    options: Options,
    sittings: usize,
    stopped: impl Future<Output = ()>,
    tell: &mut dyn FnMut(&str),
    keep: &mut dyn FnMut(usize, &Comparison) -> anyhow::Result<()>,
) -> anyhow::Result<Control> {
    let mut stopped = pin!(stopped);
    let mut control = Control::default();
    for number in 1..=sittings {
        tell(&format!("\nSitting {number} of {sittings}."));
        let seed = options.seed.wrapping_add(number as u64);
        let comparison = super::run(Options { seed, ..options.clone() }, stopped.as_mut(), tell).await?;
        keep(number, &comparison)?;
        if comparison.interrupted {
            break;
        }
        control.add(&comparison);
    }
    Ok(control)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::comparison::{Better, CONTROL, FORMAT, Figures, ROLEGATE, SAME, Work};

    /// A sitting of one row, in which a copy of rolegate needs so many times as much.
    fn sitting(times: f64) -> Comparison {
        let figures = |proxy: &str, rounds: [f64; 6]| Figures {
            proxy: proxy.to_owned(),
            rounds: rounds.to_vec(),
            ..Figures::default()
        };
        let own = [10.0, 10.02, 9.98, 10.01, 9.99, 10.0];
        let work = Work {
            name: "small-cpu".to_owned(),
            title: "CPU".to_owned(),
            unit: "us".to_owned(),
            better: Better::Lower,
            goal: None,
            note: String::new(),
            doubts: Vec::new(),
            figures: vec![
                figures(ROLEGATE, [10.0; 6]),
                figures(CONTROL, own),
                figures(SAME[0], own.map(|figure| figure * times)),
            ],
        };
        let machine = crate::record::Machine::here();
        Comparison {
            format: FORMAT,
            started_unix_ms: 0,
            machine,
            sitting: Vec::new(),
            proxies: Vec::new(),
            works: vec![work],
            interrupted: false,
            doubts: Vec::new(),
        }
    }

    #[test]
    fn winners_are_counted_and_one_in_ten_is_the_most() {
        let mut control = Control::default();
        (0..9).for_each(|_| control.add(&sitting(1.0)));
        control.add(&sitting(1.2));
        assert_eq!((control.sittings, control.rows, control.undecided, control.named.len()), (10, 10, 0, 1));
        assert!(control.holds());
        let text = control.text();
        for words in [
            "10 sittings",
            "named in 1, 9 are even",
            "sitting 10: CPU: rolegate wins against same-1, 1.200",
            "The verdicts hold",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        control.add(&sitting(0.8));
        assert!(!control.holds());
        assert!(control.text().contains("rolegate loses against same-1") && control.text().contains("do not hold"));
        assert!(!Control::default().holds() && Control::default().text().contains("nothing to compare"));
    }
}
