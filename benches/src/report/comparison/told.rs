//! What a comparison's file has besides what was measured: what that comes to, for other programs.
//!
//! It is written and never read: a report makes it again from the figures.

use serde::Serialize;

use super::{Comparison, Interval, Outcome, Tally, Work};

/// A comparison with its verdicts.
#[derive(Debug, Serialize)]
pub(in crate::report) struct Told<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    tally: Tally,
    verdicts: Vec<ToldWork<'a>>,
}

/// What a work comes to.
#[derive(Debug, Serialize)]
struct ToldWork<'a> {
    work: &'a str,
    outcome: Outcome,
    peer: String,
    /// The smallest factor that is a difference.
    least: Option<f64>,
    ratios: Vec<ToldRatio<'a>>,
}

/// A proxy's figures divided by rolegate's.
#[derive(Debug, Serialize)]
struct ToldRatio<'a> {
    proxy: &'a str,
    median: f64,
    low: Option<f64>,
    high: Option<f64>,
}

impl<'a> Told<'a> {
    pub(in crate::report) fn new(comparison: &'a Comparison) -> Self {
        let verdicts = comparison.works.iter().filter_map(told_work).collect();
        Self { comparison, tally: comparison.tally(), verdicts }
    }
}

fn told_work(work: &Work) -> Option<ToldWork<'_>> {
    let verdict = work.verdict()?;
    let names = work.figures.iter().map(|figures| figures.proxy.as_str()).filter(|name| *name != super::ROLEGATE);
    let ratios = names.filter_map(|proxy| {
        let ratio = work.ratio(proxy)?;
        let (low, high) = work.interval(proxy).map(|Interval { low, high }| (low, high)).unzip();
        Some(ToldRatio { proxy, median: ratio.median, low, high })
    });
    let ratios = ratios.collect();
    Some(ToldWork { work: &work.name, outcome: verdict.outcome, peer: verdict.peer, least: work.least(), ratios })
}
