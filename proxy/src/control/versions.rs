//! Which configurations were served and which were rejected: what changed, and when.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::changes::within;

/// How many are kept.
const KEPT: usize = 50;
/// Sentences that are kept of one.
const SENTENCES: usize = 60;
/// Bytes of the errors that are kept of one.
const LONGEST_ERRORS: usize = 16 << 10;

/// A configuration that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// When; of a rejected one that was tried several times, the last time.
    pub at: SystemTime,
    /// The generation that was served afterwards.
    pub generation: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The process has started with it.
    Started,
    /// It was taken: what it changed, a sentence each.
    Taken(Vec<String>),
    /// It was not.
    Rejected {
        /// The rendered errors.
        errors: String,
        /// How many times in a row it was tried.
        times: u32,
    },
}

/// The last of them.
#[derive(Clone, Debug)]
pub struct Versions {
    kept: VecDeque<Version>,
}

impl Versions {
    /// The process has started.
    pub fn new(at: SystemTime) -> Self {
        Self { kept: VecDeque::from([Version { at, generation: 1, outcome: Outcome::Started }]) }
    }

    /// A configuration is served.
    pub fn taken(&mut self, at: SystemTime, generation: u64, mut changes: Vec<String>) {
        let more = changes.len().saturating_sub(SENTENCES);
        if more > 0 {
            changes.truncate(SENTENCES);
            changes.push(format!("{more} more"));
        }
        self.push(Version { at, generation, outcome: Outcome::Taken(changes) });
    }

    /// A configuration was rejected, and this generation goes on.
    pub fn rejected(&mut self, at: SystemTime, generation: u64, errors: &str) {
        let errors = match errors.len() > LONGEST_ERRORS {
            true => format!("{}…", within(errors, LONGEST_ERRORS)),
            false => errors.to_owned(),
        };
        if let Some(Version { at: last, outcome: Outcome::Rejected { errors: before, times }, .. }) =
            self.kept.back_mut()
            && *before == errors
        {
            *last = at;
            *times = times.saturating_add(1);
            return;
        }
        self.push(Version { at, generation, outcome: Outcome::Rejected { errors, times: 1 } });
    }

    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Version> {
        self.kept.iter().rev()
    }

    fn push(&mut self, version: Version) {
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(version);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_the_same_rejection_once() {
        let (mut versions, at) = (Versions::new(SystemTime::UNIX_EPOCH), SystemTime::UNIX_EPOCH);
        versions.rejected(at, 1, "error: a");
        versions.rejected(at, 1, "error: a");
        versions.rejected(at, 1, "error: b");
        let told: Vec<&Outcome> = versions.iter().map(|version| &version.outcome).collect();
        let rejected = |errors: &str, times| Outcome::Rejected { errors: errors.to_owned(), times };
        assert_eq!(told, [&rejected("error: b", 1), &rejected("error: a", 2), &Outcome::Started]);
        for generation in 2..200 {
            versions.taken(at, generation, vec!["x".to_owned(); 100]);
        }
        assert_eq!(versions.iter().count(), KEPT);
        let newest = versions.iter().next().unwrap();
        let Outcome::Taken(changes) = &newest.outcome else { panic!("{newest:?}") };
        assert_eq!((newest.generation, changes.len()), (199, SENTENCES + 1));
        assert_eq!(changes[SENTENCES], "40 more");
        versions.rejected(at, 199, &"é".repeat(LONGEST_ERRORS));
        let Outcome::Rejected { errors, .. } = &versions.iter().next().unwrap().outcome else { panic!() };
        assert!(errors.len() <= LONGEST_ERRORS + 3);
    }
}
