//! What is known of a run: what was done, what became of requests, and what must not be.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::say;

/// Requests whose way is remembered; older ones are over.
const REMEMBERED: usize = 200_000;
/// Events that are told beside a violation.
const TOLD: usize = 25;
/// A question comes to servers so often at most: four servers, and each once more when an idle connection was closed.
const MOST_TIMES: usize = 8;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults come and go, or have just gone.
    Disturbed,
    /// Every server is used again: every request must be served.
    Calm,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A server's whole answer.
    Served(u16),
    /// rolegate's own answer.
    Own(u16),
    /// An answer that broke off.
    Cut,
    /// The connection closed without an answer.
    Unanswered,
    /// The client broke off.
    BrokenOff,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(status) => write!(f, "{status} of a server"),
            Self::Own(status) => write!(f, "{status} of rolegate"),
            Self::Cut => f.write_str("answer cut"),
            Self::Unanswered => f.write_str("connection closed without an answer"),
            Self::BrokenOff => f.write_str("broken off by the client"),
        }
    }
}

/// Whether a request may reach several servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Its method may be repeated.
    May,
    /// It must reach one server, once.
    Never,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<String>,
    faults: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<Outcome, u64>,
    heads: BTreeMap<u16, u64>,
    whole: BTreeMap<u16, u64>,
    seen: HashMap<u64, Vec<usize>>,
    order: VecDeque<u64>,
    sick: HashMap<usize, Instant>,
    healed: HashMap<usize, Instant>,
    used: HashMap<usize, u64>,
    times: BTreeMap<&'static str, Times>,
}

/// Several measured times.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) longest: Duration,
}

/// Counts of what clients saw, by class of the status (2 for 2xx).
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Answers whose head came.
    pub(crate) heads: BTreeMap<u16, u64>,
    /// Those of them that came whole.
    pub(crate) whole: BTreeMap<u16, u64>,
    /// Requests that may have been answered without the client's seeing it.
    pub(crate) unsure: u64,
}

/// Shared by servers, clients and faults of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) seed: u64,
    begun: Instant,
    calm: AtomicBool,
    ids: AtomicU64,
    violations: AtomicU64,
    inner: Mutex<Inner>,
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            begun: Instant::now(),
            calm: AtomicBool::new(false),
            ids: AtomicU64::new(1),
            violations: AtomicU64::new(0),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other request of the run has.
    pub(crate) fn id(&self) -> u64 {
        self.ids.fetch_add(1, Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.ids.load(Relaxed) - 1
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.calm.store(phase == Phase::Calm, Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    pub(crate) fn violations(&self) -> u64 {
        self.violations.load(Relaxed)
    }

    fn now(&self) -> String {
        format!("{:9.3} s", self.begun.elapsed().as_secs_f64())
    }

    /// Something is done.
    pub(crate) fn event(&self, what: impl fmt::Display) {
        let line = format!("{}  {what}", self.now());
        say::out(&line);
        let mut inner = self.inner();
        if inner.events.len() == TOLD {
            inner.events.pop_front();
        }
        inner.events.push_back(line);
    }

    /// Something is so that must not be.
    pub(crate) fn violation(&self, what: impl fmt::Display) {
        let number = self.violations.fetch_add(1, Relaxed);
        say::out(format_args!("{}  VIOLATION (seed {}): {what}", self.now(), self.seed));
        if number == 0 {
            say::out("    what came before the first one:");
            self.inner().events.iter().for_each(|event| say::out(format_args!("    {event}")));
        }
    }

    pub(crate) fn count_fault(&self, name: &'static str) {
        *self.inner().faults.entry(name).or_default() += 1;
    }

    /// A server has the head of a request.
    pub(crate) fn arrived(&self, id: u64, server: usize, repeat: Repeat) {
        let mut inner = self.inner();
        *inner.used.entry(server).or_default() += 1;
        if let Some(healed) = inner.healed.remove(&server) {
            inner.times.entry("recovery").or_default().add(healed.elapsed());
        }
        if !inner.seen.contains_key(&id) {
            inner.order.push_back(id);
            if inner.order.len() > REMEMBERED
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.seen.remove(&oldest);
            }
        }
        let servers = inner.seen.entry(id).or_default();
        servers.push(server);
        let times = servers.len();
        let servers = servers.clone();
        drop(inner);
        if repeat == Repeat::Never && times > 1 {
            self.violation(format_args!("request {id}, which must not be repeated, came to servers {servers:?}"));
        }
        if times > MOST_TIMES {
            self.violation(format_args!("request {id} came to servers {servers:?}"));
        }
    }

    /// How often each server was used, by its number.
    pub(crate) fn used(&self, server: usize) -> u64 {
        self.inner().used.get(&server).copied().unwrap_or(0)
    }

    /// A server does not serve from now on.
    pub(crate) fn sick(&self, server: usize) {
        let mut inner = self.inner();
        inner.healed.remove(&server);
        inner.sick.insert(server, Instant::now());
    }

    /// It could serve from now on.
    pub(crate) fn healed(&self, server: usize) {
        let mut inner = self.inner();
        inner.sick.remove(&server);
        inner.healed.insert(server, Instant::now());
    }

    /// rolegate is not meant to use it.
    pub(crate) fn away(&self, server: usize) {
        let mut inner = self.inner();
        inner.sick.remove(&server);
        inner.healed.remove(&server);
    }

    /// rolegate says that a server is not up.
    pub(crate) fn detected(&self, server: usize) {
        let mut inner = self.inner();
        if let Some(since) = inner.sick.remove(&server) {
            inner.times.entry("detection").or_default().add(since.elapsed());
        }
    }

    pub(crate) fn time(&self, name: &'static str, time: Duration) {
        self.inner().times.entry(name).or_default().add(time);
    }

    /// The head of an answer came.
    pub(crate) fn head(&self, status: u16) {
        *self.inner().heads.entry(status / 100).or_default() += 1;
    }

    pub(crate) fn outcome(&self, outcome: Outcome) {
        let mut inner = self.inner();
        *inner.outcomes.entry(outcome).or_default() += 1;
        if let Outcome::Served(status) | Outcome::Own(status) = outcome {
            *inner.whole.entry(status / 100).or_default() += 1;
        }
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.inner().faults.clone()
    }

    pub(crate) fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        self.inner().outcomes.clone()
    }

    pub(crate) fn times(&self) -> BTreeMap<&'static str, Times> {
        self.inner().times.clone()
    }

    pub(crate) fn seen(&self) -> Seen {
        let inner = self.inner();
        let all = self.requests();
        let heads = inner.heads.clone();
        let unsure = all.saturating_sub(heads.values().sum());
        Seen { heads, whole: inner.whole.clone(), unsure }
    }
}

impl Times {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.longest = self.longest.max(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_twice_is_a_violation_and_a_question_that_does_is_none() {
        let ledger = Ledger::new(1);
        ledger.arrived(1, 0, Repeat::Never);
        for server in [0, 1, 1, 2, 0, 0, 0, 0] {
            ledger.arrived(2, server, Repeat::May);
        }
        assert_eq!(ledger.violations(), 0);
        ledger.arrived(1, 1, Repeat::Never);
        ledger.arrived(2, 3, Repeat::May);
        assert_eq!((ledger.violations(), ledger.used(1)), (2, 3));
    }
}
