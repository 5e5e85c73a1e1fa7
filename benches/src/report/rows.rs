//! The figures in which runs are compared, and why they may not be comparable.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Better, EVEN};
use super::figures::{By, PERCENTILES, Total, Unit, is_enough, machine};
use super::format::{count, number, percentile};
use crate::record::Run;

/// One figure of several runs. The first run is the base.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// One for each run; nothing if it was not measured there.
    pub(super) figures: Vec<Option<f64>>,
}

impl Row {
    /// A run's figure as a ratio to the base; 1 if both are 0.
    pub(super) fn ratio(&self, run: usize) -> Option<f64> {
        let (base, own) = ((*self.figures.first()?)?, (*self.figures.get(run)?)?);
        match base {
            _ if own == base => Some(1.0),
            0.0 => None,
            _ => Some(own / base),
        }
    }

    /// The runs that are not more than 1 % behind the best.
    pub(super) fn best(&self) -> Vec<usize> {
        let known = || self.figures.iter().flatten().copied();
        let best = match self.better {
            Better::Lower => known().reduce(f64::min),
            Better::Higher => known().reduce(f64::max),
        };
        let near = |figure: f64| best.is_some_and(|best| (figure - best).abs() <= best.abs() * EVEN);
        (0..self.figures.len()).filter(|&run| self.figures[run].is_some_and(near)).collect()
    }

    /// No run is more than 1 % behind the best.
    pub(super) fn is_even(&self) -> bool {
        self.best().len() == self.figures.iter().flatten().count()
    }

    /// Who wins, for people.
    pub(super) fn winner(&self, names: &[String]) -> String {
        if self.figures.iter().flatten().count() < 2 {
            return "–".to_owned();
        }
        if self.is_even() {
            return "even".to_owned();
        }
        self.best().into_iter().filter_map(|run| names.get(run)).cloned().collect::<Vec<_>>().join(", ")
    }
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

/// The figures of whole runs.
pub(super) fn rows(runs: &[Run]) -> Vec<Row> {
    let totals: Vec<Total> = runs.iter().map(Total::of).collect();
    let some = |totals: &[Total], figure: &dyn Fn(&Total, &Run) -> f64| -> Vec<Option<f64>> {
        totals.iter().zip(runs).map(|(total, run)| Some(figure(total, run))).collect()
    };
    let rate = Row {
        title: "good answers".to_owned(),
        unit: Unit::Rate,
        better: Better::Higher,
        figures: some(&totals, &|total, run| total.rate(run)),
    };
    let errors = Row {
        title: "errors".to_owned(),
        unit: Unit::Part,
        better: Better::Lower,
        figures: some(&totals, &|total, _| total.failed_part()),
    };
    let totals: Vec<_> = totals.iter().map(Some).collect();
    let latencies = PERCENTILES.map(|percent| latency_row(&percentile(percent), &totals, percent));
    [rate, errors].into_iter().chain(latencies).collect()
}

/// The figures of the runs' message types: a median and a high percentile of each.
pub(super) fn rows_by(by: By, runs: &[Run]) -> Vec<Row> {
    let parts: Vec<Vec<(String, Total)>> = runs.iter().map(|run| by.parts_worth_showing(run)).collect();
    let mut seen = BTreeSet::new();
    let names: Vec<&String> = parts.iter().flatten().map(|(name, _)| name).filter(|name| seen.insert(*name)).collect();
    let parts: Vec<BTreeMap<&String, &Total>> =
        parts.iter().map(|parts| parts.iter().map(|(name, total)| (name, total)).collect()).collect();
    let row = |name: &String, percent: f64| {
        let totals: Vec<_> = parts.iter().map(|parts| parts.get(name).copied()).collect();
        latency_row(&format!("{name}, {}", percentile(percent)), &totals, percent)
    };
    names.iter().flat_map(|name| [50.0, 99.0].map(|percent| row(name, percent))).collect()
}

fn latency_row(title: &str, totals: &[Option<&Total>], percent: f64) -> Row {
    let figure = |total: &Option<&Total>| {
        total.filter(|total| is_enough(&total.latency, percent)).map(|total| total.latency(percent))
    };
    Row {
        title: title.to_owned(),
        unit: Unit::Latency,
        better: Better::Lower,
        figures: totals.iter().map(figure).collect(),
    }
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
