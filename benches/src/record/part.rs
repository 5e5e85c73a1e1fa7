//! A part of a load that several machines make together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Generator, Machine};

/// Most parts that a load can be made of.
pub const MOST_PARTS: u32 = 100;

/// Which part of a load a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number, 1 to `of`.
    pub number: u32,
    /// How many there are, 1 to [`MOST_PARTS`].
    pub of: u32,
    /// Clients or connections of all parts together.
    pub clients: u64,
    /// When all were to begin, in milliseconds since 1970, if they agreed on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_unix_ms: Option<u64>,
}

impl Part {
    /// How many of so many things are this part's: as many as the others', or one more.
    #[must_use]
    pub fn share(self, all: u32) -> u32 {
        all / self.of.max(1) + u32::from(self.number <= all % self.of.max(1))
    }

    /// The number of the first client of the whole that is not among the first so many of this part, which has every
    /// `of`th of them.
    #[must_use]
    pub const fn first_of(self, own: u32) -> u32 {
        if own == 0 { 0 } else { (own - 1).saturating_mul(self.of).saturating_add(self.number) }
    }

    /// How many parts come before it.
    #[must_use]
    pub const fn before(self) -> u32 {
        self.number.saturating_sub(1)
    }
}

impl FromStr for Part {
    type Err = String;

    /// Reads `2/5`. How many clients all parts have it does not say.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected a part and how many there are, such as 2/5: from 1/1 to {MOST_PARTS}/{MOST_PARTS}");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let [number, of] = [number, of].map(|text| text.trim().parse().ok());
        let (number, of) = number.zip(of).ok_or_else(wrong)?;
        let is_one = (1..=MOST_PARTS).contains(&of) && (1..=of).contains(&number);
        if is_one { Ok(Self { number, of, clients: 0, agreed_unix_ms: None }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// What one part was, in a run that was merged of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Which.
    pub part: Part,
    /// What its user called it.
    pub label: String,
    /// When it began, in milliseconds since 1970, by its machine's clock.
    pub started_unix_ms: u64,
    /// How long it measured, in seconds.
    pub measured_s: f64,
    /// The clients or connections that it had.
    pub clients: u64,
    /// Requests that were answered as they should be.
    pub done: u64,
    /// The others.
    pub failed: u64,
    /// Where its load came from.
    pub machine: Machine,
    /// What its generator needed; its doubts are with those of the whole.
    pub generator: Generator,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_one_of_so_many() {
        let part: Part = "2/5".parse().unwrap();
        assert_eq!((part.number, part.of, part.to_string().as_str()), (2, 5, "2/5"));
        for text in ["", "2", "0/5", "6/5", "1/0", "1/101", "-1/5", "1/5/5", "a/b", "2/"] {
            assert!(text.parse::<Part>().unwrap_err().contains("such as 2/5"), "{text}");
        }
    }

    #[test]
    fn the_first_clients_of_a_part_are_those_before_a_number() {
        for (number, of, own) in [(1, 1, 5), (2, 3, 4), (3, 3, 1), (2, 3, 0)] {
            let part = Part { number, of, clients: 0, agreed_unix_ms: None };
            let counted = (part.before()..part.first_of(own)).step_by(of as usize).count();
            assert_eq!(counted, own as usize, "{part}");
        }
    }

    #[test]
    fn shares_add_up() {
        for (all, of) in [(10, 3), (9, 3), (2, 5), (0, 4), (1, 1)] {
            let share = |number| Part { number, of, clients: 0, agreed_unix_ms: None }.share(all);
            let shares: Vec<_> = (1..=of).map(share).collect();
            assert_eq!(shares.iter().sum::<u32>(), all, "{shares:?}");
            assert!(shares.iter().max().zip(shares.iter().min()).is_some_and(|(most, least)| most - least <= 1));
        }
    }
}
