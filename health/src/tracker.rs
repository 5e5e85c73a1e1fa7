//! From a row of verdicts to one state.
//!
//! A tracker is slow on purpose: a state changes after several results in a row that contradict it, so one lost
//! packet changes nothing. The very first result is the exception. Until it is there nothing is known, and any
//! knowledge is better than none.
//!
//! | state | leaves after | to |
//! |---|---|---|
//! | unproven | the first result | up, degraded or down, as it says |
//! | up | `fall` results in a row that are no pass | down if the last one is a failure, else degraded |
//! | degraded | `fall` failures in a row | down |
//! | degraded | `rise` passes in a row | up |
//! | down | `rise` passes in a row | up |
//! | down | `rise` results in a row without a failure, the last one degraded | degraded |

use std::time::{Duration, SystemTime};

use crate::history::{History, Record};
use crate::schedule::{Phase, Schedule};
use crate::status::Health;
use crate::verdict::{Failure, Outcome, Verdict};

/// A change of a server's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The state before.
    pub from: Health,
    /// The state now.
    pub to: Health,
    /// When the result that decided it was there.
    pub at: SystemTime,
    /// The failure that decided it; `None` for a change to the better.
    pub cause: Option<Failure>,
}

/// The state of one server. Pure: it neither asks anybody nor looks at a clock.
#[derive(Clone, Debug)]
pub struct Tracker {
    rise: u32,
    fall: u32,
    health: Health,
    since: Option<SystemTime>,
    streaks: Streaks,
    history: History,
    last_failure: Option<Record>,
}

/// How many of the last results in a row were of one sort. The sorts overlap: a degraded result is an answer, and no pass.
#[derive(Clone, Copy, Debug, Default)]
struct Streaks {
    passes: u32,
    failures: u32,
    /// Pass or degraded.
    answers: u32,
    /// Degraded or fail.
    complaints: u32,
}

impl Streaks {
    fn count(&mut self, outcome: Outcome) {
        let extend = |streak: &mut u32, goes_on: bool| *streak = if goes_on { streak.saturating_add(1) } else { 0 };
        extend(&mut self.passes, outcome == Outcome::Pass);
        extend(&mut self.failures, outcome == Outcome::Fail);
        extend(&mut self.answers, outcome != Outcome::Fail);
        extend(&mut self.complaints, outcome != Outcome::Pass);
    }
}

impl Tracker {
    /// A server about which nothing is known yet.
    pub fn new(schedule: &Schedule) -> Self {
        Self {
            rise: schedule.rise.max(1),
            fall: schedule.fall.max(1),
            health: Health::Unproven,
            since: None,
            streaks: Streaks::default(),
            history: History::new(),
            last_failure: None,
        }
    }

    /// Takes in one result, which was there at `at` after `took`, and says whether it changed the state. One that says
    /// nothing changes nothing and leaves no record.
    pub fn observe(
        &mut self,
        at: SystemTime,
        took: Duration,
        verdict: Verdict,
        status: Option<u16>,
    ) -> Option<Transition> {
        let outcome = verdict.outcome()?;
        let record = Record { at, took, outcome, status, failure: verdict.into_failure() };
        self.streaks.count(outcome);
        if outcome != Outcome::Pass {
            self.last_failure = Some(record.clone());
        }
        let cause = record.failure.clone();
        self.history.push(record);
        self.enter(self.next(outcome), at, cause)
    }

    /// Declares a server up that nobody asks. It leaves no record: no question was put.
    pub fn assume_up(&mut self, at: SystemTime) -> Option<Transition> {
        self.streaks = Streaks::default();
        self.enter(Health::Up, at, None)
    }

    /// The state.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Which wait of the schedule applies now.
    pub fn phase(&self) -> Phase {
        let streaks = &self.streaks;
        let contradicted = match self.health {
            Health::Unproven => true,
            Health::Up => streaks.complaints > 0,
            Health::Degraded => streaks.passes > 0 || streaks.failures > 0,
            Health::Down => streaks.answers > 0,
        };
        match self.health {
            _ if contradicted => Phase::Changing,
            Health::Down => Phase::Down,
            Health::Unproven | Health::Up | Health::Degraded => Phase::Steady,
        }
    }

    /// The last results.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Since when the state holds; `None` while it is unproven.
    pub fn since(&self) -> Option<SystemTime> {
        self.since
    }

    /// The newest result that was no pass. It stays even when the history has moved on.
    pub fn last_failure(&self) -> Option<&Record> {
        self.last_failure.as_ref()
    }

    /// Takes over `rise` and `fall` of a new schedule. They apply from the next result on; the state stays.
    pub fn set_schedule(&mut self, schedule: &Schedule) {
        self.rise = schedule.rise.max(1);
        self.fall = schedule.fall.max(1);
    }

    fn next(&self, last: Outcome) -> Health {
        let Streaks { passes, failures, answers, complaints } = self.streaks;
        let verdict = match last {
            Outcome::Pass => Health::Up,
            Outcome::Degraded => Health::Degraded,
            Outcome::Fail => Health::Down,
        };
        let ripe = match (self.health, verdict) {
            (Health::Unproven, _) => true,
            (Health::Up, _) => complaints >= self.fall,
            (Health::Degraded, Health::Up) => passes >= self.rise,
            (Health::Degraded, _) => failures >= self.fall,
            (Health::Down, Health::Up) => passes >= self.rise,
            (Health::Down, _) => answers >= self.rise,
        };
        if ripe { verdict } else { self.health }
    }

    fn enter(&mut self, to: Health, at: SystemTime, cause: Option<Failure>) -> Option<Transition> {
        if to == self.health {
            return None;
        }
        let from = std::mem::replace(&mut self.health, to);
        self.since = Some(at);
        Some(Transition { from, to, at, cause })
    }
}

#[cfg(test)]
mod tests;
