//! What text, Markdown and page say in the same words.

use super::{
    CONTROL, Comparison, FORMAT, Interval, Outcome, Place, Proxy, ROLEGATE, ROUNDS, Tally, Verdict, Why, Work,
};
use crate::report::format::{number, percent, ratio};

/// How ratios and marks are to be read.
pub(super) const HOW_TO_READ: &str = "A figure is the median of the rounds. The ratio beside it is that proxy's figure \
     divided by rolegate's of the same round: the median of these ratios, and in brackets the interval in which it lies (a \
     bootstrap over the rounds; all intervals of a row are made to hold together with 95 % confidence, after Bonferroni, which takes \
     more rounds than 6 if there are several peers). It is ∞ if rolegate's figure is 0 and \
     the other is not. rolegate wins a row if it is better than every peer, and loses it if a peer is better; it is undecided if there are \
     fewer than 6 rounds, more than 1 % of the requests of one of both failed, the rounds disagree, 1 is in the interval, or the difference is no larger than that of the control, \
     which is the same rolegate once more. It is even if all of the interval is within 1 %. The bare forwarder, the control and older builds \
     of rolegate are no peers.";

/// rolegate's share of a work in one line: `loses to haproxy, 0.81× (0.79–0.84)`.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let ratio = ratio_range(verdict.ratio.median, verdict.interval);
    let against = |with: &str| format!("{with} {}, {ratio}", verdict.peer);
    match verdict.outcome {
        Outcome::Win => against("wins over"),
        Outcome::Even => against("even with"),
        Outcome::Loss => against("loses to"),
        Outcome::Undecided(why) => format!("{}: {}", against("undecided against"), self::why(why)),
    }
}

/// Why it cannot be said who is better.
pub(super) fn why(why: Why) -> String {
    match why {
        Why::FewRounds(1) => format!("1 round, {ROUNDS} are needed"),
        Why::FewRounds(rounds) => format!("{rounds} rounds, {ROUNDS} are needed"),
        Why::Failures => "more than 1 % of the requests failed".to_owned(),
        Why::NoControl => "there is no control".to_owned(),
        Why::RoundsDisagree => "the rounds disagree".to_owned(),
        Why::Chance => "it may be chance".to_owned(),
        Why::Control(factor) => format!("rolegate beside itself differs by {}", percent(factor - 1.0)),
    }
}

/// A ratio and the interval in which it lies, unless that is no wider than the ratio: `1.25× (1.20–1.31)`.
pub(super) fn ratio_range(median: f64, interval: Option<Interval>) -> String {
    let end = |end: f64| ratio(end).trim_end_matches('×').to_owned();
    match interval.map(|Interval { low, high }| [low, high].map(end)) {
        Some([low, high]) if low != high => format!("{} ({low}–{high})", ratio(median)),
        Some(_) | None => ratio(median),
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
        Some(spread) if proxy != ROLEGATE => {
            format!("{figure}, {}", ratio_range(spread.median, work.interval(proxy)))
        }
        Some(_) | None => figure,
    }
}

/// How much of the core each proxy used at a work; nothing if that was not measured.
pub(super) fn busy(work: &Work) -> Option<String> {
    let parts = work.figures.iter().filter_map(|figures| Some((&figures.proxy, figures.busy?)));
    let parts =
        parts.filter(|(_, part)| part.is_finite()).map(|(proxy, part)| format!("{proxy} {:.0} %", part * 100.0));
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| format!("part of the core in use: {}", parts.join(", ")))
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
    let tally = comparison.tally();
    let Tally { wins, even, losses, undecided, open } = tally;
    let decided = tally.decided();
    let mut text =
        format!("rolegate wins {wins}, is even at {even} and loses {losses} of the {decided} works that are decided");
    if undecided > 0 {
        text += &format!("; {undecided} are undecided");
    }
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
        Place::Control => " (the same rolegate once more)",
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
    doubts.extend(weak(comparison));
    let known = |name: &str| comparison.proxies.iter().any(|proxy| proxy.name == name);
    for work in &comparison.works {
        doubts.extend(work.doubts.iter().map(|doubt| format!("{}: {doubt}", work.title)));
        let rounds = work.rounds(ROLEGATE).len();
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

/// Why works cannot be decided at all, once for all of them.
fn weak(comparison: &Comparison) -> Vec<String> {
    let compared = || comparison.works.iter().filter(|work| !work.peers().is_empty());
    let (few, all) = (compared().filter(|work| work.rounds(ROLEGATE).len() < ROUNDS).count(), compared().count());
    let without = compared().filter(|work| work.ratio(CONTROL).is_none()).count();
    let mut doubts = Vec::new();
    if few > 0 {
        doubts.push(format!(
            "{few} of {all} works have fewer than {ROUNDS} rounds: chance cannot be told from a difference there."
        ));
    }
    if without > 0 {
        doubts.push(format!(
            "In {without} of {all} works rolegate was not measured beside itself: what chance does is not known there."
        ));
    }
    doubts
}
