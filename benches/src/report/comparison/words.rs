//! What text, Markdown and page say in the same words.

use super::{Comparison, FORMAT, Outcome, Place, Proxy, ROLEGATE, Spread, Tally, Verdict, Work};
use crate::report::format::{number, ratio};

/// How ratios and marks are to be read.
pub(super) const HOW_TO_READ: &str = "A figure is the median of the rounds. The ratio beside it is that proxy's figure \
     divided by rolegate's of the same round: the median of these ratios, with the lowest and the highest; it is ∞ if rolegate's figure \
     is 0 and the other is not. rolegate wins or \
     loses against the best peer, and within 1 % it is even; the bare forwarder and older builds of rolegate are no peers.";

/// rolegate's share of a work in one line: `loses to haproxy, 0.81× (0.79–0.84)`.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let with = match verdict.outcome {
        Outcome::Win => "wins over",
        Outcome::Even => "even with",
        Outcome::Loss => "loses to",
    };
    let doubt = if verdict.agreed { "" } else { ", but the rounds disagree" };
    format!("{with} {}, {}{doubt}", verdict.peer, ratio_range(&verdict.ratio))
}

/// A ratio and how far it goes, unless all rounds say the same: `1.25× (1.20–1.31)`.
pub(super) fn ratio_range(spread: &Spread) -> String {
    let end = |end: f64| ratio(end).trim_end_matches('×').to_owned();
    match [spread.lowest, spread.highest].map(end) {
        [lowest, highest] if lowest == highest => ratio(spread.median),
        [lowest, highest] => format!("{} ({lowest}–{highest})", ratio(spread.median)),
    }
}

/// A proxy's figure at a work; a dash if it has none.
pub(super) fn figure(work: &Work, proxy: &str) -> String {
    work.spread(proxy).map_or_else(|| "–".to_owned(), |spread| number(spread.median))
}

/// A proxy's figure at a work, and its ratio to rolegate's.
pub(super) fn figure_with_ratio(work: &Work, proxy: &str) -> String {
    let figure = figure(work, proxy);
    match work.ratio(proxy) {
        Some(spread) if proxy != ROLEGATE => format!("{figure}, {}", ratio_range(&spread)),
        Some(_) | None => figure,
    }
}

/// Whether less or more is better.
pub(super) const fn better(work: &Work) -> &'static str {
    match work.better {
        super::Better::Lower => "less is better",
        super::Better::Higher => "more is better",
    }
}

/// The mark of a work without a pair of figures.
pub(super) const OPEN: &str = "not compared";

/// How many works were won and lost, and which were lost.
pub(super) fn tally(comparison: &Comparison) -> String {
    let Tally { wins, even, losses, open } = comparison.tally();
    let mut text = format!("rolegate wins {wins}, is even at {even} and loses {losses} of the works");
    if open > 0 {
        text += &format!("; {open} have nothing to compare with");
    }
    text + "."
}

/// The works that rolegate loses, each in one line.
pub(super) fn losses(comparison: &Comparison) -> Vec<String> {
    let lost = |work: &Work| {
        let found = work.verdict().filter(|verdict| verdict.outcome == Outcome::Loss)?;
        Some(format!("{}: {}", work.title, verdict(&found)))
    };
    comparison.works.iter().filter_map(lost).collect()
}

/// A proxy with its version.
pub(super) fn proxy(proxy: &Proxy) -> String {
    let place = match Place::of(&proxy.name) {
        Place::Floor => " (the floor)",
        Place::Before => " (rolegate's older build)",
        Place::Subject | Place::Peer => "",
    };
    let version = if proxy.version.is_empty() { String::new() } else { format!(" {}", proxy.version) };
    format!("{}{version}{place}", proxy.name)
}

/// How a proxy was built, and what it has TLS from; nothing if it says neither.
pub(super) fn build(proxy: &Proxy) -> Option<String> {
    let tls = if proxy.tls.is_empty() { String::new() } else { format!("TLS: {}", proxy.tls) };
    let facts: Vec<_> = [&proxy.build, &tls].into_iter().filter(|fact| !fact.is_empty()).cloned().collect();
    (!facts.is_empty()).then(|| facts.join("; "))
}

/// In sentences, what makes the figures weak.
pub(super) fn doubts(comparison: &Comparison) -> Vec<String> {
    let mut doubts = Vec::new();
    if comparison.format != FORMAT {
        doubts.push(format!("This comparison has format {}, not {FORMAT}.", comparison.format));
    }
    doubts.extend(comparison.doubts.iter().cloned());
    let known = |name: &str| comparison.proxies.iter().any(|proxy| proxy.name == name);
    for work in &comparison.works {
        doubts.extend(work.doubts.iter().map(|doubt| format!("{}: {doubt}", work.title)));
        let rounds = work.rounds(ROLEGATE).len();
        if (1..3).contains(&rounds) {
            doubts.push(format!("{}: only {rounds} round(s), so chance cannot be told from a difference.", work.title));
        }
        for figures in &work.figures {
            let missing = figures.rounds.iter().filter(|figure| !figure.is_finite()).count();
            if missing > 0 {
                doubts.push(format!("{}: {} gave no figure in {missing} round(s).", work.title, figures.proxy));
            }
            if rounds > 0 && figures.rounds.len() != rounds {
                let own = figures.rounds.len();
                doubts.push(format!("{}: {} has {own} rounds, rolegate {rounds}.", work.title, figures.proxy));
            }
            if !known(&figures.proxy) {
                doubts.push(format!("{}: {} is not among the proxies.", work.title, figures.proxy));
            }
        }
    }
    doubts
}
