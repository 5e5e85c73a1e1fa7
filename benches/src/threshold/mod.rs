//! Thresholds: what has to hold of a run, in one line each.
//!
//! A threshold names a figure, a comparison and a limit, and before a colon the requests that it is about:
//!
//! ```text
//! p99 < 200ms
//! errors < 1%
//! policy request: p99.9 <= 1s
//! role MP: rate > 500
//! group Branch: requests >= 1000
//! ```
//!
//! A figure of which too little was measured is not judged, and that is a failure: a run that measured nothing meets nothing.

mod judge;
mod parse;

use std::collections::BTreeSet;
use std::fmt;

pub use judge::judge;

use crate::record::{JudgedUnit, Run, SeriesKey};

/// Something that has to hold of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it was written.
    text: String,
    scope: Scope,
    figure: Figure,
    operator: Operator,
    /// In the unit of the figure.
    limit: f64,
}

/// What requests a threshold is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Whole,
    Message(String),
    Role(String),
    Group(String),
}

/// What is compared with the limit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    /// Of the latency: so many percent were not slower.
    Percentile(f64),
    /// Of the latency.
    Mean,
    /// The part of all requests that failed.
    FailedPart,
    /// How many failed.
    Failed,
    /// Good answers a second.
    Rate,
    Requests,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Operator {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::More => value > limit,
            Self::AtLeast => value >= limit,
        }
    }
}

impl Figure {
    const fn unit(self) -> JudgedUnit {
        match self {
            Self::Percentile(_) | Self::Mean => JudgedUnit::Microseconds,
            Self::FailedPart => JudgedUnit::Part,
            Self::Rate => JudgedUnit::PerSecond,
            Self::Failed | Self::Requests => JudgedUnit::Count,
        }
    }
}

/// What thresholds can be about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Message types; nothing while they are not known.
    messages: Option<BTreeSet<String>>,
    roles: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Names {
    /// Those of these series.
    #[must_use]
    pub fn of(keys: &[SeriesKey]) -> Self {
        let named = |name: fn(&SeriesKey) -> &String| {
            keys.iter().map(name).filter(|name| !name.is_empty()).cloned().collect::<BTreeSet<_>>()
        };
        Self {
            messages: Some(named(|key| &key.message)),
            roles: named(|key| &key.role),
            groups: named(|key| &key.group),
        }
    }

    /// Those of a run in which something happened.
    #[must_use]
    pub fn of_run(run: &Run) -> Self {
        let key = |series: &crate::record::Series| SeriesKey {
            message: series.message.clone(),
            role: series.role.clone(),
            group: series.group.clone(),
        };
        Self::of(&run.series.iter().map(key).collect::<Vec<_>>())
    }

    /// All that is known of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.roles.extend(other.roles);
        self.groups.extend(other.groups);
        if let Some(others) = other.messages {
            self.messages.get_or_insert_default().extend(others);
        }
        self
    }
}

impl Threshold {
    /// Says what is wrong if it is about something that there is not.
    #[must_use]
    pub fn unknown(&self, names: &Names) -> Option<String> {
        let (what, name, known) = match &self.scope {
            Scope::Whole => return None,
            Scope::Message(name) => ("message type", name, names.messages.as_ref()?),
            Scope::Role(name) => ("role", name, &names.roles),
            Scope::Group(name) => ("boundary group", name, &names.groups),
        };
        if known.contains(name) {
            return None;
        }
        let close = known.iter().find(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let list = || known.iter().map(|known| format!("'{known}'")).collect::<Vec<_>>().join(", ");
        let advice = match close {
            Some(close) => format!("did you mean '{close}'?"),
            None if known.is_empty() => "there is none here".to_owned(),
            None => format!("there are {}", list()),
        };
        Some(format!("'{self}': there is no {what} '{name}'; {advice}"))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
