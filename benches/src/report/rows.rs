//! The figures in which runs are compared, and why they may not be comparable.

use std::collections::BTreeSet;

use super::comparison::{Better, EVEN, Spread};
use super::figures::{By, PERCENTILES, Total, Unit, doubts, machine};
use super::format::{count, number, percentile};
use crate::record::Run;

/// From so many runs of each on, one of two may be named the better. If both are the same, all five of one are ahead of all
/// five of the other in one of 126 cases; with four it would be one of 35.
pub(super) const RUNS: usize = 5;

/// Runs of one label, which are one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// The label.
    pub(super) name: String,
    /// Where its runs are.
    pub(super) runs: Vec<usize>,
}

/// The samples of these runs, in the order in which they come. Runs without a label have nothing in common.
pub(super) fn samples(runs: &[Run]) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        let same = samples.iter_mut().find(|sample| !run.label.is_empty() && sample.name == run.label);
        match same {
            Some(sample) => sample.runs.push(place),
            None if run.label.is_empty() => {
                samples.push(Sample { name: format!("run {}", place + 1), runs: vec![place] })
            }
            None => samples.push(Sample { name: run.label.clone(), runs: vec![place] }),
        }
    }
    samples
}

/// A figure of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    /// The middle of its runs, and how far they go.
    pub(super) spread: Spread,
    /// Of how many requests or good answers it is, over all runs.
    pub(super) of: u64,
    /// A run of it has doubts.
    pub(super) doubted: bool,
}

/// One figure of several samples. The first one is the base.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// One for each sample; nothing if it was not measured there.
    pub(super) figures: Vec<Option<Figure>>,
}

/// How samples stand to each other in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// There are not two of them.
    Alone,
    /// One of them has doubts.
    Doubted,
    /// One of them has too few runs.
    FewRuns,
    /// All medians are within 1 %.
    Even,
    /// Their runs overlap.
    Undecided,
    /// Every run of this one is better than every run of all others.
    Best(usize),
}

impl Row {
    /// A sample's figure as a ratio to the base; 1 if both are 0.
    pub(super) fn ratio(&self, sample: usize) -> Option<f64> {
        let median = |at: usize| self.figures.get(at).copied().flatten().map(|figure| figure.spread.median);
        let (base, own) = (median(0)?, median(sample)?);
        match base {
            _ if own == base => Some(1.0),
            0.0 => None,
            _ => Some(own / base),
        }
    }

    /// Who is the best, if that can be said.
    pub(super) fn standing(&self) -> Standing {
        let known = || self.figures.iter().enumerate().filter_map(|(at, figure)| Some((at, (*figure)?)));
        let ahead = |one: f64, other: f64| match self.better {
            Better::Lower => one < other,
            Better::Higher => one > other,
        };
        let best =
            known().reduce(|best, next| if ahead(next.1.spread.median, best.1.spread.median) { next } else { best });
        let Some((place, best)) = best.filter(|_| known().count() > 1) else { return Standing::Alone };
        if known().any(|(_, figure)| figure.doubted) {
            return Standing::Doubted;
        }
        if known().any(|(_, figure)| figure.spread.count < RUNS) {
            return Standing::FewRuns;
        }
        let middle = best.spread.median;
        if known().all(|(_, figure)| (figure.spread.median - middle).abs() <= middle.abs() * EVEN) {
            return Standing::Even;
        }
        let worst = |spread: Spread| if self.better == Better::Lower { spread.highest } else { spread.lowest };
        let first = |spread: Spread| if self.better == Better::Lower { spread.lowest } else { spread.highest };
        let apart = |figure: Figure| ahead(worst(best.spread), first(figure.spread));
        if known().all(|(at, figure)| at == place || apart(figure)) {
            Standing::Best(place)
        } else {
            Standing::Undecided
        }
    }

    /// The same for people.
    pub(super) fn winner(&self, samples: &[Sample]) -> String {
        match self.standing() {
            Standing::Alone => "–".to_owned(),
            Standing::Doubted => "doubted".to_owned(),
            Standing::FewRuns => "too few runs".to_owned(),
            Standing::Even => "even".to_owned(),
            Standing::Undecided => "undecided".to_owned(),
            Standing::Best(place) => samples.get(place).map(|sample| sample.name.clone()).unwrap_or_default(),
        }
    }
}

/// How a comparison is to be read.
pub(super) fn how_to_read(base: &str) -> String {
    format!(
        "Runs of one label are one sample: its figure is their median, with the lowest and the highest run, of so many good answers \
         or requests in all. Ratios are to {base}. A winner is named if each has {RUNS} runs or more, none of them has doubts, and its \
         worst run is better than the best one of all others; medians within 1 % are even."
    )
}

/// What the runs are called in a comparison: their labels, numbered where two are the same.
pub(super) fn names(runs: &[Run]) -> Vec<String> {
    let same = |label: &str| runs.iter().filter(|run| run.label == label).count() > 1;
    let name = |(i, run): (usize, &Run)| match run.label.as_str() {
        "" => format!("run {}", i + 1),
        label if same(label) => format!("{label} #{}", i + 1),
        label => label.to_owned(),
    };
    runs.iter().enumerate().map(name).collect()
}

/// A part of each run, or none.
type Parts = Vec<Option<Total>>;

/// The figures of whole runs.
pub(super) fn rows(runs: &[Run], samples: &[Sample]) -> Vec<Row> {
    let all: Parts = runs.iter().map(|run| Some(Total::of(run))).collect();
    let rate = Row {
        title: "good answers".to_owned(),
        unit: Unit::Rate,
        better: Better::Higher,
        figures: figures(runs, samples, &all, &|total, run| Some(OfRun { figure: total.rate(run), of: total.done })),
    };
    let errors = Row {
        title: "errors".to_owned(),
        unit: Unit::Part,
        better: Better::Lower,
        figures: figures(runs, samples, &all, &|total, _| {
            Some(OfRun { figure: total.failed_part(), of: total.requests() })
        }),
    };
    let latencies = PERCENTILES.map(|percent| latency_row(percentile(percent), runs, samples, &all, percent));
    [rate, errors].into_iter().chain(latencies).collect()
}

/// The figures of the runs' parts: a median and a high percentile of each.
pub(super) fn rows_by(by: By, runs: &[Run], samples: &[Sample]) -> Vec<Row> {
    let parts: Vec<Vec<(String, Total)>> = runs.iter().map(|run| by.parts_worth_showing(run)).collect();
    let mut seen = BTreeSet::new();
    let names: Vec<&String> = parts.iter().flatten().map(|(name, _)| name).filter(|name| seen.insert(*name)).collect();
    let of = |name: &String| -> Parts {
        let own =
            |parts: &Vec<(String, Total)>| parts.iter().find(|(its, _)| its == name).map(|(_, total)| total.clone());
        parts.iter().map(own).collect()
    };
    let rows = |name: &&String| {
        let parts = of(name);
        [50.0, 99.0]
            .map(|percent| latency_row(format!("{name}, {}", percentile(percent)), runs, samples, &parts, percent))
    };
    names.iter().flat_map(rows).collect()
}

fn latency_row(title: String, runs: &[Run], samples: &[Sample], parts: &Parts, percent: f64) -> Row {
    let figure =
        |total: &Total, _: &Run| total.known(percent).map(|figure| OfRun { figure, of: total.latency.count() });
    Row { title, unit: Unit::Latency, better: Better::Lower, figures: figures(runs, samples, parts, &figure) }
}

/// A figure of one run, and of how many requests or good answers it is.
struct OfRun {
    figure: f64,
    of: u64,
}

/// A figure of each sample: `figure` gives that of one run.
fn figures(
    runs: &[Run],
    samples: &[Sample],
    parts: &Parts,
    figure: &dyn Fn(&Total, &Run) -> Option<OfRun>,
) -> Vec<Option<Figure>> {
    let of_sample = |sample: &Sample| {
        let of_run = |place: &usize| figure(parts.get(*place)?.as_ref()?, runs.get(*place)?);
        let found: Vec<_> = sample.runs.iter().filter_map(of_run).collect();
        let spread = Spread::of(found.iter().map(|found| found.figure))?;
        let of = found.iter().fold(0_u64, |sum, found| sum.saturating_add(found.of));
        let doubted = sample.runs.iter().any(|place| runs.get(*place).is_some_and(|run| !doubts(run).is_empty()));
        Some(Figure { spread, of, doubted })
    };
    samples.iter().map(of_sample).collect()
}

/// In sentences, why the runs may not be comparable.
pub(super) fn differences(runs: &[Run]) -> Vec<String> {
    let Some((base, others)) = runs.split_first() else { return Vec::new() };
    let names = names(runs);
    let base_name = names.first().map_or("", String::as_str);
    let mut found = Vec::new();
    for (run, name) in others.iter().zip(names.iter().skip(1)) {
        let aspects = [
            ("scenario", base.name.clone(), run.name.clone()),
            ("target machine", host(&base.target).to_owned(), host(&run.target).to_owned()),
            ("machine for the load", machine(&base.machine), machine(&run.machine)),
            ("number of clients", count(base.clients), count(run.clients)),
            ("speedup", number(base.speedup), number(run.speedup)),
        ];
        for (what, theirs, own) in aspects.iter().filter(|(_, theirs, own)| theirs != own) {
            found.push(format!("{name} had another {what} than {base_name}: {own} instead of {theirs}."));
        }
        if base.name == run.name && base.scenario != run.scenario {
            found.push(format!("The scenarios of {name} and {base_name} have the same name, but not the same text."));
        }
    }
    found
}

/// A target without its port: proxies on one machine have one each.
fn host(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    match rest.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => rest,
    }
}
