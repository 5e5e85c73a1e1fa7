//! Who is better at a work, and when that cannot be said.
//!
//! A difference is one only if all of this holds: there are [`ROUNDS`] rounds or more; neither had more than 1 % of its requests
//! fail, because what fails is fast; the rounds agree, by a sign test; 1 is not in the interval of the ratio; and the difference is
//! larger than what the same rolegate shows beside itself, the [`CONTROL`]. The interval is wider the more peers there are, after
//! Bonferroni: the best of many is ahead by chance more easily. Few rounds cannot give that much confidence, so it is the control
//! that keeps a lucky peer from being called better: see the simulated sittings in the tests.
//!
//! [`CONTROL`]: super::CONTROL

use std::cell::LazyCell;
use std::cmp::Ordering;

use serde::Serialize;

use super::interval::{Interval, middle};
use super::{Better, CONTROL, Comparison, EVEN, Place, ROLEGATE, Work};

/// The share of requests that may fail where something is to be decided.
const FAILURES: f64 = 0.01;
/// Fewer rounds decide nothing.
pub const ROUNDS: usize = 6;
/// How often a difference may be seen where there is none, over all peers of a work.
const CHANCE: f64 = 0.05;

/// The middle of some figures, and how far they go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one, or between the two middle ones.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
    /// How many.
    pub count: usize,
}

impl Spread {
    /// Of all figures that are numbers; nothing if there are none.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        Self::of_any(figures.into_iter().filter(|figure| figure.is_finite()))
    }

    /// Of ratios, which may be infinite.
    fn of_any(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().filter(|figure| !figure.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let (&lowest, &highest) = (sorted.first()?, sorted.last()?);
        Some(Self { median: middle(&sorted), lowest, highest, count: sorted.len() })
    }
}

/// How rolegate stands at a work, among its peers.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who won.
    pub outcome: Outcome,
    /// The peer that decides it: the best of those that are better than rolegate, or else the best.
    pub peer: String,
    /// Its figures divided by rolegate's, pair by pair.
    pub ratio: Spread,
    /// In which the median of these ratios lies; nothing if there is one round only.
    pub interval: Option<Interval>,
}

/// Who won.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// rolegate is better than every peer.
    Win,
    /// The difference to the best peer is within 1 %, with all of its interval.
    Even,
    /// A peer is better than rolegate.
    Loss,
    /// It cannot be said.
    Undecided(Why),
}

/// Why it cannot be said who is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// So many rounds are too few.
    FewRounds(usize),
    /// More than 1 % of the requests of one of them failed.
    Failures,
    /// rolegate was not measured beside itself.
    NoControl,
    /// In too many rounds it was the other way round: one of six is too many.
    RoundsDisagree,
    /// The ratio may as well be 1.
    Chance,
    /// rolegate beside itself differs by this factor, and so little or less is no difference.
    Control(f64),
}

impl Outcome {
    /// The word for it, from rolegate's side: `wins`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Win => "wins",
            Self::Even => "even",
            Self::Loss => "loses",
            Self::Undecided(_) => "undecided",
        }
    }
}

/// At how many works rolegate wins and loses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Works that rolegate won.
    pub wins: usize,
    /// Works that are even.
    pub even: usize,
    /// Works that it lost.
    pub losses: usize,
    /// Works at which it cannot be said.
    pub undecided: usize,
    /// Works without rolegate or without a peer.
    pub open: usize,
}

impl Tally {
    /// The works that could be decided.
    #[must_use]
    pub const fn decided(&self) -> usize {
        self.wins + self.even + self.losses
    }
}

/// To which side a ratio leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Side {
    /// To what the other is divided by: rolegate, or the base of several runs.
    Own,
    /// It is within 1 %.
    Neither,
    /// To the other.
    Other,
}

impl Better {
    /// For whom it speaks if the figures of another are so many times one's own; within 1 % for neither.
    pub(in crate::report) fn side(self, ratio: f64) -> Side {
        if (ratio - 1.0).abs() < EVEN {
            return Side::Neither;
        }
        if (ratio > 1.0) == (self == Self::Lower) { Side::Own } else { Side::Other }
    }

    /// Ordered so that the better figure is the smaller.
    fn order(self, one: f64, other: f64) -> Ordering {
        match self {
            Self::Lower => one.total_cmp(&other),
            Self::Higher => other.total_cmp(&one),
        }
    }
}

impl Work {
    /// A proxy's figures, round by round. Empty if it took no part.
    #[must_use]
    pub fn rounds(&self, proxy: &str) -> &[f64] {
        self.figures.iter().find(|figures| figures.proxy == proxy).map_or(&[], |figures| &figures.rounds)
    }

    /// The share of a proxy's requests that failed.
    fn failed(&self, proxy: &str) -> f64 {
        self.figures.iter().find(|figures| figures.proxy == proxy).map_or(0.0, |figures| figures.failed)
    }

    /// A proxy's figures, summed up.
    #[must_use]
    pub fn spread(&self, proxy: &str) -> Option<Spread> {
        Spread::of(self.rounds(proxy).iter().copied())
    }

    /// A proxy's figures divided by rolegate's of the same round, summed up. A pair in which one has no figure is left out.
    /// If both are 0, they are the same; if rolegate's alone is, the ratio is infinite.
    #[must_use]
    pub fn ratio(&self, proxy: &str) -> Option<Spread> {
        Spread::of_any(self.ratios(proxy))
    }

    fn ratios(&self, proxy: &str) -> Vec<f64> {
        let pairs = self.rounds(proxy).iter().zip(self.rounds(ROLEGATE));
        pairs.map(|(other, own)| ratio_of(*other, *own)).filter(|ratio| !ratio.is_nan()).collect()
    }

    /// In which the median of [`Self::ratio`] lies; nothing with fewer than two rounds.
    #[must_use]
    pub fn interval(&self, proxy: &str) -> Option<Interval> {
        Interval::of_median(&self.ratios(proxy), self.confidence())
    }

    /// After Bonferroni: what chance may do is shared out among the peers.
    fn confidence(&self) -> f64 {
        1.0 - CHANCE / self.peers().len().max(1) as f64
    }

    /// The smallest factor that is a difference at this work: as far as rolegate beside itself goes from 1, and 1 % at least.
    /// Nothing if that was not measured.
    #[must_use]
    pub fn least(&self) -> Option<f64> {
        let Interval { low, high } = self.interval(CONTROL)?;
        let factor = |end: f64| if end > 0.0 { end.max(1.0 / end) } else { f64::INFINITY };
        Some(factor(low).max(factor(high)).max(1.0 + EVEN))
    }

    /// The peers that took part, best first.
    #[must_use]
    pub fn peers(&self) -> Vec<(&str, Spread)> {
        let names = self.figures.iter().map(|figures| figures.proxy.as_str());
        let peers = names.filter(|name| Place::of(name) == Place::Peer);
        let mut with_ratio: Vec<_> = peers.filter_map(|name| Some((name, self.ratio(name)?))).collect();
        // Infinite ratios are all the same: then the figures themselves decide.
        let figure = |name: &str| self.spread(name).map_or(f64::NAN, |spread| spread.median);
        let order = |one: f64, other: f64| self.better.order(one, other);
        with_ratio.sort_by(|one, other| {
            order(one.1.median, other.1.median).then_with(|| order(figure(one.0), figure(other.0)))
        });
        with_ratio
    }

    /// How rolegate stands against one other proxy; nothing if there is no pair of figures.
    #[must_use]
    pub fn against(&self, proxy: &str) -> Option<Outcome> {
        self.decide(proxy, || self.least())
    }

    /// The same; `least` says the smallest factor that is a difference, which takes a while.
    fn decide(&self, proxy: &str, least: impl Fn() -> Option<f64>) -> Option<Outcome> {
        let ratio = self.ratio(proxy)?;
        if ratio.count < ROUNDS {
            return Some(Outcome::Undecided(Why::FewRounds(ratio.count)));
        }
        if self.failed(proxy).max(self.failed(ROLEGATE)) > FAILURES {
            return Some(Outcome::Undecided(Why::Failures));
        }
        let side = self.better.side(ratio.median);
        if !agree(side, self.ratios(proxy).into_iter().map(|ratio| self.better.side(ratio))) {
            return Some(Outcome::Undecided(Why::RoundsDisagree));
        }
        let Some(least) = least() else { return Some(Outcome::Undecided(Why::NoControl)) };
        let interval = self.interval(proxy)?;
        let inside = [interval.low, interval.high].iter().all(|end| self.better.side(*end) == Side::Neither);
        let small = ratio.median < least && ratio.median > 1.0 / least;
        Some(match side {
            _ if inside => Outcome::Even,
            _ if interval.has(1.0) => Outcome::Undecided(Why::Chance),
            _ if small => Outcome::Undecided(Why::Control(least)),
            Side::Own => Outcome::Win,
            Side::Other => Outcome::Loss,
            // Its interval goes beyond 1 %, so it is not even either.
            Side::Neither => Outcome::Undecided(Why::Chance),
        })
    }

    /// How rolegate stands among the peers; nothing if there is no pair of figures. It loses if one of them is better, and
    /// wins if all are worse.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let (peers, least) = (self.peers(), LazyCell::new(|| self.least()));
        let found: Vec<_> =
            peers.into_iter().filter_map(|(peer, ratio)| Some((peer, ratio, self.decide(peer, || *least)?))).collect();
        let lost = found.iter().find(|(_, _, outcome)| *outcome == Outcome::Loss);
        let open = || found.iter().find(|(_, _, outcome)| matches!(outcome, Outcome::Undecided(_)));
        let even = || found.iter().find(|(_, _, outcome)| *outcome == Outcome::Even);
        let (peer, ratio, outcome) = lost.or_else(open).or_else(even).or_else(|| found.first())?;
        Some(Verdict { outcome: *outcome, peer: (*peer).to_owned(), ratio: *ratio, interval: self.interval(peer) })
    }
}

impl Comparison {
    /// How many works rolegate won and lost, of those that could be decided.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for work in &self.works {
            match work.verdict().map(|verdict| verdict.outcome) {
                Some(Outcome::Win) => tally.wins += 1,
                Some(Outcome::Even) => tally.even += 1,
                Some(Outcome::Loss) => tally.losses += 1,
                Some(Outcome::Undecided(_)) => tally.undecided += 1,
                None => tally.open += 1,
            }
        }
        tally
    }
}

/// Whether so few rounds lean to the other side that chance does not explain it: an exact sign test. Of 6 rounds none may, of 9
/// one, of 12 two. So more rounds decide more, also where something else disturbs one of them.
fn agree(side: Side, rounds: impl Iterator<Item = Side>) -> bool {
    let opposite = match side {
        Side::Own => Side::Other,
        Side::Other => Side::Own,
        Side::Neither => return true,
    };
    let (mut all, mut against) = (0_u32, 0_u32);
    for round in rounds {
        all += 1;
        against += u32::from(round == opposite);
    }
    // How likely it is that of so many coins as few or fewer fall on one side, whichever that is.
    let (mut ways, mut sum) = (1.0, 1.0);
    for number in 1..=against {
        ways *= f64::from(all - number + 1) / f64::from(number);
        sum += ways;
    }
    2.0 * sum / 2_f64.powf(f64::from(all)) <= CHANCE
}

/// One figure divided by rolegate's; `NaN` if one of them is none.
fn ratio_of(other: f64, own: f64) -> f64 {
    match (other, own) {
        _ if !(other.is_finite() && own.is_finite()) => f64::NAN,
        (0.0, 0.0) => 1.0,
        (_, 0.0) => f64::INFINITY.copysign(other),
        _ => other / own,
    }
}
