//! How many series there may be of something that is counted one by one: `true`, `false`, or a number.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// `true`, `false`, or the most series that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesLimit(u32);

impl SeriesLimit {
    /// What `true` means.
    pub const USUAL: u32 = 20_000;

    /// The most series; 0 for `false`.
    pub const fn most(self) -> u32 {
        self.0
    }
}

impl Default for SeriesLimit {
    fn default() -> Self {
        Self(Self::USUAL)
    }
}

impl<'de> Deserialize<'de> for SeriesLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LimitVisitor).map(Self)
    }
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a number of series")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<u32, E> {
        Ok(if on { SeriesLimit::USUAL } else { 0 })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
        u32::try_from(number).map_err(|_| E::custom(format!("{number} is no number of series")))
    }
}
