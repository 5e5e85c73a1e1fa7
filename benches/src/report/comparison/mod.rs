//! Several proxies at the same works, round by round on one machine, and how rolegate stands among them.
//!
//! A round measures every proxy once, one after the other, so that figures of the same round belong together. Ratios are
//! therefore made pair by pair within a round and only then summed up: what the machine does to a whole round cancels out.
//!
//! A [`Verdict`] is made against all peers, and only where chance does not explain the difference. [`FORWARDER`] only moves
//! bytes and is a floor, [`BEFORE`] is rolegate itself: neither can win or lose. [`CONTROL`] is the same rolegate once more, and
//! says what chance does.

use serde::{Deserialize, Deserializer, Serialize};

use crate::record::Machine;

mod interval;
mod markdown;
mod page;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod text;
mod told;
mod verdict;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod verdict_simulation;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod verdict_tests;
mod words;

pub use interval::Interval;
pub use markdown::comparison_markdown;
pub use page::write_comparison_html;
pub use text::comparison_text;
pub(super) use told::Told;
pub(super) use verdict::Side;
pub use verdict::{Outcome, ROUNDS, Spread, Tally, Verdict, Why};

/// The version of the JSON file. Another one is refused.
pub const FORMAT: u32 = 1;
/// The name of the proxy that all ratios are made with.
pub const ROLEGATE: &str = "rolegate";
/// The name of a bare TCP forwarder: what any proxy costs at least.
pub const FORWARDER: &str = "forwarder";
/// The name of an older build of rolegate.
pub const BEFORE: &str = "before";
/// The name of the same rolegate once more: what differs there is chance.
pub const CONTROL: &str = "control";
/// The names of more of the same rolegate, which are peers: a winner among them is a mistake.
pub const SAME: [&str; 6] = ["same-1", "same-2", "same-3", "same-4", "same-5", "same-6"];
/// Figures that are closer to each other than this are even.
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
    /// [`ROLEGATE`], [`FORWARDER`], [`BEFORE`], [`CONTROL`], one of [`SAME`] or a peer's name: `haproxy`.
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
    /// How much of its core it used meanwhile, the median of the rounds: 1 is all of it. Nothing if that says nothing here.
    #[serde(default)]
    pub busy: Option<f64>,
    /// The share of its requests that failed meanwhile, 0 to 1.
    #[serde(default)]
    pub failed: f64,
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
    /// The same rolegate once more.
    Control,
}

impl Place {
    /// The place of the proxy of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            ROLEGATE => Self::Subject,
            FORWARDER => Self::Floor,
            BEFORE => Self::Before,
            CONTROL => Self::Control,
            _ => Self::Peer,
        }
    }
}

fn rounds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let figures: Vec<Option<f64>> = Vec::deserialize(from)?;
    Ok(figures.into_iter().map(|figure| figure.unwrap_or(f64::NAN)).collect())
}
