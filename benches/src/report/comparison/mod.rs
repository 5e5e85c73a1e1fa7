//! Several proxies at the same works, round by round on one machine, and how rolegate stands among them.
//!
//! A round measures every proxy once, one after the other, so that figures of the same round belong together. Ratios are
//! therefore made pair by pair within a round and only then summed up: what the machine does to a whole round cancels out.
//!
//! A [`Verdict`] is made against the best peer. [`FORWARDER`] only moves bytes and is a floor, [`BEFORE`] is rolegate
//! itself: neither can win or lose.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize};

use crate::record::Machine;

mod markdown;
mod page;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod text;
mod words;

pub use markdown::comparison_markdown;
pub use page::write_comparison_html;
pub use text::comparison_text;

/// The version of the JSON file. Another one is refused.
pub const FORMAT: u32 = 1;
/// The name of the proxy that all ratios are made with.
pub const ROLEGATE: &str = "rolegate";
/// The name of a bare TCP forwarder: what any proxy costs at least.
pub const FORWARDER: &str = "forwarder";
/// The name of an older build of rolegate.
pub const BEFORE: &str = "before";
/// Medians that are closer to each other than this are even.
pub(super) const EVEN: f64 = 0.01;

/// Proxies, works and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`FORMAT`].
    pub format: u32,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Where all of them ran.
    pub machine: Machine,
    /// In sentences, what holds for all of it: who ran where, in which order.
    #[serde(default)]
    pub sitting: Vec<String>,
    /// The proxies, in the order of the tables' columns.
    pub proxies: Vec<Proxy>,
    /// The works, in the order of the tables' rows.
    pub works: Vec<Work>,
    /// Whether it ended before all works were done.
    #[serde(default)]
    pub interrupted: bool,
    /// In sentences, what went wrong meanwhile.
    #[serde(default)]
    pub doubts: Vec<String>,
}

/// A proxy that took part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// [`ROLEGATE`], [`FORWARDER`], [`BEFORE`] or a peer's name: `haproxy`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What a reader should know: how it was configured. May be empty.
    pub note: String,
    /// How it was built, as far as that makes a difference: `-O2`. Empty if it does not say.
    #[serde(default)]
    pub build: String,
    /// Its TLS library. May be empty.
    #[serde(default)]
    pub tls: String,
    /// All that it says about its version and its build.
    #[serde(default)]
    pub said: String,
}

/// Something that every proxy was made to do, and measured at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// A short name that is unique: `idle-memory`.
    pub name: String,
    /// For people: `Memory of 20,000 idle connections`.
    pub title: String,
    /// The unit of all its figures: `MiB`.
    pub unit: String,
    /// Which figures are good.
    pub better: Better,
    /// What rolegate should reach, in words.
    pub goal: Option<String>,
    /// How it was measured. May be empty.
    pub note: String,
    /// In sentences, what makes its figures weak: requests that failed, a generator that may have been the limit. Files of
    /// before have this in `note`.
    #[serde(default)]
    pub doubts: Vec<String>,
    /// One entry a proxy; a proxy that cannot do this work has none.
    pub figures: Vec<Figures>,
}

/// Which figures are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Small ones: time, memory.
    Lower,
    /// Large ones: requests a second.
    Higher,
}

/// What one proxy reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Its [`Proxy::name`].
    pub proxy: String,
    /// One figure a round, in [`Work::unit`]; `NaN`, in JSON `null`, for a round that gave none.
    #[serde(deserialize_with = "rounds")]
    pub rounds: Vec<f64>,
}

/// What place a proxy has in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// rolegate: all others are compared with it.
    Subject,
    /// A proxy that does the same: it wins or loses.
    Peer,
    /// The bare forwarder.
    Floor,
    /// An older rolegate.
    Before,
}

impl Place {
    /// The place of the proxy of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            ROLEGATE => Self::Subject,
            FORWARDER => Self::Floor,
            BEFORE => Self::Before,
            _ => Self::Peer,
        }
    }
}

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
        let half = sorted.len() / 2;
        let upper = sorted[half];
        let median = if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[half - 1], upper) };
        Some(Self { median, lowest, highest, count: sorted.len() })
    }
}

/// How rolegate stands at a work, against the best peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who won.
    pub outcome: Outcome,
    /// The best peer's name.
    pub peer: String,
    /// Its figures divided by rolegate's, pair by pair.
    pub ratio: Spread,
    /// No round says the opposite.
    pub agreed: bool,
}

/// Who won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// rolegate is better than the best peer.
    Win,
    /// The medians are within 1 %.
    Even,
    /// The best peer is better than rolegate.
    Loss,
}

impl Outcome {
    /// The word for it, from rolegate's side: `wins`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Win => "wins",
            Self::Even => "even",
            Self::Loss => "loses",
        }
    }
}

/// How many works were won and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Works that rolegate won.
    pub wins: usize,
    /// Works that are even.
    pub even: usize,
    /// Works that it lost.
    pub losses: usize,
    /// Works without rolegate or without a peer.
    pub open: usize,
}

impl Better {
    /// Where rolegate stands if a proxy's figures are so many times its own.
    #[must_use]
    pub fn outcome(self, ratio: f64) -> Outcome {
        if (ratio - 1.0).abs() < EVEN {
            return Outcome::Even;
        }
        if (ratio > 1.0) == (self == Self::Lower) { Outcome::Win } else { Outcome::Loss }
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

    /// A proxy's figures, summed up.
    #[must_use]
    pub fn spread(&self, proxy: &str) -> Option<Spread> {
        Spread::of(self.rounds(proxy).iter().copied())
    }

    /// A proxy's figures divided by rolegate's of the same round, summed up. A pair in which one has no figure is left out.
    /// If both are 0, they are the same; if rolegate's alone is, the ratio is infinite.
    #[must_use]
    pub fn ratio(&self, proxy: &str) -> Option<Spread> {
        let pairs = self.rounds(proxy).iter().zip(self.rounds(ROLEGATE));
        Spread::of_any(pairs.map(|(other, own)| ratio_of(*other, *own)))
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

    /// How rolegate stands against the best peer; nothing if there is no pair of figures.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let (peer, ratio) = self.peers().into_iter().next()?;
        let outcome = self.better.outcome(ratio.median);
        let opposite = match outcome {
            Outcome::Win => Outcome::Loss,
            Outcome::Loss => Outcome::Win,
            Outcome::Even => return Some(Verdict { outcome, peer: peer.to_owned(), ratio, agreed: true }),
        };
        let agreed = ![ratio.lowest, ratio.highest].map(|end| self.better.outcome(end)).contains(&opposite);
        Some(Verdict { outcome, peer: peer.to_owned(), ratio, agreed })
    }
}

impl Comparison {
    /// How many works rolegate won and lost.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for work in &self.works {
            match work.verdict().map(|verdict| verdict.outcome) {
                Some(Outcome::Win) => tally.wins += 1,
                Some(Outcome::Even) => tally.even += 1,
                Some(Outcome::Loss) => tally.losses += 1,
                None => tally.open += 1,
            }
        }
        tally
    }
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

fn rounds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let figures: Vec<Option<f64>> = Vec::deserialize(from)?;
    Ok(figures.into_iter().map(|figure| figure.unwrap_or(f64::NAN)).collect())
}
