//! The figures, as they come in.

use std::collections::BTreeMap;

use crate::report::comparison::{Better, Figures, Spread, Work};

/// A row of the tables, before anything was measured.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// A short name that is unique.
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) goal: Option<&'static str>,
    pub(super) note: String,
}

impl Line {
    pub(super) fn lower(name: &'static str, title: impl Into<String>, unit: &'static str) -> Self {
        Self { name, title: title.into(), unit, better: Better::Lower, goal: None, note: String::new() }
    }

    pub(super) fn higher(name: &'static str, title: impl Into<String>, unit: &'static str) -> Self {
        Self { better: Better::Higher, ..Self::lower(name, title, unit) }
    }

    pub(super) fn goal(self, goal: &'static str) -> Self {
        Self { goal: Some(goal), ..self }
    }

    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// All rows, and which requests failed meanwhile.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    works: Vec<Work>,
    failures: BTreeMap<&'static str, BTreeMap<&'static str, Failures>>,
    doubts: BTreeMap<&'static str, Vec<Doubt>>,
    limits: BTreeMap<&'static str, Vec<f64>>,
    busy: BTreeMap<(&'static str, &'static str), Vec<f64>>,
}

/// Why figures may be the generator's: the first of its kind, and how many there were.
#[derive(Debug)]
struct Doubt {
    text: String,
    count: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    failed: u64,
    all: u64,
}

impl Sheet {
    /// Adds a row. One of the same name stays as it is.
    pub(super) fn row(&mut self, line: Line) {
        if self.works.iter().any(|work| work.name == line.name) {
            return;
        }
        self.works.push(Work {
            name: line.name.to_owned(),
            title: line.title,
            unit: line.unit.to_owned(),
            better: line.better,
            goal: line.goal.map(str::to_owned),
            note: line.note,
            doubts: Vec::new(),
            figures: Vec::new(),
        });
    }

    /// A figure of a proxy in a round, which counts from 0. Rounds in between that gave none are filled with `NaN`.
    pub(super) fn put(&mut self, row: &str, proxy: &str, round: usize, figure: f64) {
        let Some(work) = self.works.iter_mut().find(|work| work.name == row) else { return };
        let at = work.figures.iter().position(|figures| figures.proxy == proxy).unwrap_or_else(|| {
            work.figures.push(Figures { proxy: proxy.to_owned(), ..Figures::default() });
            work.figures.len() - 1
        });
        let rounds = &mut work.figures[at].rounds;
        while rounds.len() <= round {
            rounds.push(f64::NAN);
        }
        rounds[round] = figure;
    }

    /// So many of a proxy's requests failed while a row was measured.
    pub(super) fn failed(&mut self, row: &'static str, proxy: &'static str, failed: u64, all: u64) {
        let failures = self.failures.entry(row).or_default().entry(proxy).or_default();
        failures.failed += failed;
        failures.all += all;
    }

    /// A measurement of a row is doubtful. Says whether it is the first of its kind: whether none differs in numbers only.
    pub(super) fn doubt(&mut self, row: &'static str, text: &str) -> bool {
        let words =
            |text: &str| text.split(|letter: char| letter.is_ascii_digit() || letter == '.').collect::<String>();
        let doubts = self.doubts.entry(row).or_default();
        if let Some(known) = doubts.iter_mut().find(|doubt| words(&doubt.text) == words(text)) {
            known.count += 1;
            return false;
        }
        doubts.push(Doubt { text: text.to_owned(), count: 1 });
        true
    }

    /// A proxy used so much of its core while a row was measured.
    pub(super) fn busy(&mut self, row: &'static str, proxy: &'static str, part: f64) {
        self.busy.entry((row, proxy)).or_default().push(part);
    }

    /// A proxy managed so many requests a second in a closed loop. That is no figure of a row: what else runs on the machine
    /// has a part in it.
    pub(super) fn managed(&mut self, proxy: &'static str, per_second: f64) {
        self.limits.entry(proxy).or_default().push(per_second);
    }

    /// The middle of what a proxy managed.
    pub(super) fn limit(&self, proxy: &str) -> Option<f64> {
        Spread::of(self.limits.get(proxy)?.iter().copied()).map(|spread| spread.median)
    }

    /// The rows, with their doubts; who had failed requests is one.
    pub(super) fn finish(mut self) -> Vec<Work> {
        for work in &mut self.works {
            let failures = self.failures.get(work.name.as_str()).into_iter().flatten();
            let failures = failures.filter(|(_, failures)| failures.failed > 0);
            let told: Vec<_> =
                failures.map(|(proxy, Failures { failed, all })| format!("{proxy} {failed} of {all}")).collect();
            if !told.is_empty() {
                work.doubts.push(format!("Requests that failed: {}.", told.join(", ")));
            }
            let failures = self.failures.get(work.name.as_str());
            for figures in &mut work.figures {
                if let Some(Failures { failed, all }) = failures.and_then(|of| of.get(figures.proxy.as_str()))
                    && *all > 0
                {
                    figures.failed = *failed as f64 / *all as f64;
                }
                let of = self.busy.iter().find(|((row, proxy), _)| *row == work.name && *proxy == figures.proxy);
                let spread = of.and_then(|(_, parts)| Spread::of(parts.iter().copied()));
                figures.busy = spread.map(|spread| spread.median);
            }
            for Doubt { text, count } in self.doubts.get(work.name.as_str()).into_iter().flatten() {
                work.doubts.push(format!("Doubtful in {count} measurements, of which the first: {text}"));
            }
        }
        self.works.retain(|work| !work.figures.is_empty());
        self.works
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_to_their_rows_and_failures_to_the_doubts() {
        let mut sheet = Sheet::default();
        sheet.row(Line::lower("time", "Time", "us").note("As it was."));
        sheet.row(Line::higher("rate", "Rate", "1/s").goal("the most"));
        sheet.row(Line::higher("time", "again", "s"));
        sheet.row(Line::higher("empty", "Nothing", "s"));
        sheet.put("time", "rolegate", 0, 4.0);
        sheet.put("time", "rolegate", 2, 2.0);
        sheet.put("rate", "nginx", 0, 1.0);
        sheet.put("unknown", "nginx", 0, 1.0);
        sheet.failed("time", "nginx", 0, 10);
        sheet.failed("time", "rolegate", 1, 40);
        sheet.failed("time", "envoy", 2, 10);
        sheet.failed("time", "envoy", 1, 10);
        [0.5, 0.9, 0.7].into_iter().for_each(|part| sheet.busy("time", "rolegate", part));
        assert!(sheet.doubt("rate", "It waited for 12.5 %."));
        assert!(!sheet.doubt("rate", "It waited for 7 %."));
        assert!(sheet.doubt("rate", "Another."));
        [4.0, f64::NAN, 2.0].into_iter().for_each(|rate| sheet.managed("rolegate", rate));
        sheet.managed("envoy", f64::NAN);
        assert_eq!(["rolegate", "envoy", "nginx"].map(|proxy| sheet.limit(proxy)), [Some(3.0), None, None]);
        let works = sheet.finish();
        assert_eq!(works.iter().map(|work| work.name.as_str()).collect::<Vec<_>>(), ["time", "rate"]);
        assert_eq!((works[0].note.as_str(), works[1].note.as_str()), ("As it was.", ""));
        assert_eq!(works[0].doubts, ["Requests that failed: envoy 3 of 20, rolegate 1 of 40."]);
        let doubts = [(2, "It waited for 12.5 %."), (1, "Another.")];
        let doubts =
            doubts.map(|(count, text)| format!("Doubtful in {count} measurements, of which the first: {text}"));
        assert_eq!(works[1].doubts, doubts);
        assert!(works[0].figures[0].rounds[1].is_nan());
        assert!((works[0].figures[0].failed - 0.025).abs() < 1e-9 && works[1].figures[0].failed == 0.0);
        assert_eq!((works[0].figures[0].busy, works[1].figures[0].busy), (Some(0.7), None));
        assert_eq!((works[1].better, works[1].goal.as_deref()), (Better::Higher, Some("the most")));
    }
}
