//! The last results of a server's probes.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::verdict::{Failure, Outcome};

/// How many records a [`History`] keeps.
pub const HISTORY_LENGTH: usize = 64;

/// One probe's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When the result was there.
    pub at: SystemTime,
    /// How long the probe took, second opinion included.
    pub took: Duration,
    /// What it found.
    pub outcome: Outcome,
    /// The HTTP status of the first question, if one came.
    pub status: Option<u16>,
    /// Why it did not pass; `None` for a pass.
    pub failure: Option<Failure>,
}

/// The last [`HISTORY_LENGTH`] records, so that an operator sees whether a server flaps.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: VecDeque<Record>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the newest record; the oldest one goes when there are too many.
    pub fn push(&mut self, record: Record) {
        if self.records.len() == HISTORY_LENGTH {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The records, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Record> + ExactSizeIterator {
        self.records.iter()
    }

    /// How many records there are, 0 to [`HISTORY_LENGTH`].
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn record(n: usize) -> Record {
        let took = Duration::from_millis(n as u64);
        Record { at: SystemTime::UNIX_EPOCH + took, took, outcome: Outcome::Pass, status: None, failure: None }
    }

    #[test]
    fn the_last_64_stay_oldest_first() {
        for (pushed, first, len) in
            [(0, None, 0), (1, Some(0), 1), (64, Some(0), 64), (65, Some(1), 64), (200, Some(136), 64)]
        {
            let mut history = History::new();
            (0..pushed).for_each(|n| history.push(record(n)));
            assert_eq!(history.len(), len);
            assert_eq!(history.is_empty(), len == 0);
            let kept: Vec<Record> = history.iter().cloned().collect();
            let expected: Vec<Record> = first.map_or(Vec::new(), |first| (first..pushed).map(record).collect());
            assert_eq!(kept, expected, "after {pushed}");
        }
    }

    #[test]
    fn outcomes_have_plain_names() {
        let names = [Outcome::Pass, Outcome::Degraded, Outcome::Fail].map(|o| serde_json::to_value(o).unwrap());
        assert_eq!(names, ["pass", "degraded", "fail"]);
    }
}
