//! Many servers, asked again and again.
//!
//! Every target has a task of its own: ask, note the result, tell of a transition, wait, ask again. The wait begins
//! when the result is there, so a server is never asked twice at once, and after a stall (a suspended machine, a busy
//! thread) no missed question is made up for. A limit on concurrent attempts keeps ten thousand silent servers from
//! using up all sockets, and those that are known to be silent have at most half of it: a server that answers is asked
//! in time however many others do not.
//!
//! A transition is kept until the receiver has taken it, even when its task is replaced meanwhile. So whoever follows
//! the events knows every server's state.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::AbortHandle;

use crate::history::Record;
use crate::probe::{Attempt, Probe};
use crate::schedule::{Phase, Schedule};
use crate::status::Health;
use crate::tracker::{Tracker, Transition};
use crate::verdict::{FailureKind, Verdict};

/// A server to ask.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which endpoint. It stays the same as long as the server does.
    pub id: u32,
    /// Where it is.
    pub address: SocketAddr,
    /// How to ask it. `None`: it is not asked, and counts as up at once.
    pub probe: Option<Probe>,
    /// When to ask it.
    pub schedule: Schedule,
    /// A hash of all other fields, made by the caller. When it changes, the new question is asked at once; what is
    /// known about the server stays.
    pub fingerprint: u64,
}

/// The state of a server changed.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthEvent {
    /// Which endpoint.
    pub id: u32,
    /// From what to what, and why.
    pub transition: Transition,
}

/// What is known about one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The state.
    pub health: Health,
    /// Since when; `None` while unproven.
    pub since: Option<SystemTime>,
    /// The newest result that was no pass, however long ago.
    pub last_failure: Option<Record>,
    /// The last results, oldest first, at most [`crate::HISTORY_LENGTH`].
    pub history: Vec<Record>,
    /// Probes that passed since the server became a target.
    pub passes: u64,
    /// Probes that did not, degraded ones included.
    pub failures: u64,
    /// Probes that could not be made, for want of something of our own.
    pub unknown: u64,
}

/// How the probes of one server ended since it became a target: [`Report`] without what takes longer to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// As [`Report::passes`].
    pub passes: u64,
    /// As [`Report::failures`].
    pub failures: u64,
    /// As [`Report::unknown`].
    pub unknown: u64,
}

/// Asks many servers and tells of every change. Dropping it ends all questions.
#[derive(Debug)]
pub struct Checker {
    shared: Arc<Shared>,
    running: HashMap<u32, Running>,
}

/// What all tasks have in common.
#[derive(Debug)]
struct Shared {
    permits: Semaphore,
    /// Needed besides by those whose question may take all of its time.
    patience: Semaphore,
    seed: u64,
    events: mpsc::Sender<HealthEvent>,
    probes: AtomicU64,
}

#[derive(Debug)]
struct Running {
    fingerprint: u64,
    server: Arc<Server>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checker {
    /// A checker without targets.
    ///
    /// At most `limit` attempts run at once (0 counts as 1), half of them to servers that are silent. `seed` feeds the dice of the waits.
    /// Events go to `events`; while its queue is full, the servers with news are not asked again.
    pub fn new(limit: usize, seed: u64, events: mpsc::Sender<HealthEvent>) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let (permits, patience) = (Semaphore::new(limit), Semaphore::new(limit.div_ceil(2)));
        let shared = Shared { permits, patience, seed, events, probes: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), running: HashMap::new() }
    }

    /// Makes `targets` the servers to ask: new ones are asked at once, changed ones at once with the new question,
    /// missing ones are forgotten, and the others go on undisturbed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn set_targets(&mut self, targets: Vec<Target>) {
        let wanted: HashSet<u32> = targets.iter().map(|target| target.id).collect();
        self.running.retain(|id, _| wanted.contains(id));
        for target in targets {
            let server = match self.running.get(&target.id) {
                Some(running) if running.fingerprint == target.fingerprint => continue,
                Some(running) => running.server.clone(),
                None => Arc::new(Server::new(&target)),
            };
            self.start(target, server);
        }
    }

    /// What is known about one server; `None` when it is no target.
    pub fn report(&self, id: u32) -> Option<Report> {
        self.running.get(&id).map(|running| running.server.report())
    }

    /// How many probes of one server have passed, failed and said nothing; `None` when it is no target.
    pub fn counts(&self, id: u32) -> Option<Counts> {
        self.running.get(&id).map(|running| running.server.counts())
    }

    /// How many probes were made since the start, of all servers.
    pub fn probes_total(&self) -> u64 {
        self.shared.probes.load(Relaxed)
    }

    fn start(&mut self, target: Target, server: Arc<Server>) {
        server.adopt(&target, SystemTime::now());
        let (id, fingerprint) = (target.id, target.fingerprint);
        let task = tokio::spawn(watch(self.shared.clone(), server.clone(), target)).abort_handle();
        // This drops, and thereby ends, the task that asked the old question.
        self.running.insert(id, Running { fingerprint, server, task });
    }
}

/// What is expected of the next question, by what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// An answer, soon.
    Answer,
    /// Nothing, until the deadline; or nothing is known yet.
    Silence,
}

/// The right to ask, given back when dropped.
struct Turn<'a> {
    _patience: Option<SemaphorePermit<'a>>,
    _permit: SemaphorePermit<'a>,
}

impl Shared {
    /// Waits for the right to ask; `None` never, because no semaphore is closed.
    async fn turn(&self, expected: Expected) -> Option<Turn<'_>> {
        let patience = match expected {
            Expected::Answer => None,
            Expected::Silence => Some(self.patience.acquire().await.ok()?),
        };
        Some(Turn { _patience: patience, _permit: self.permits.acquire().await.ok()? })
    }
}

/// The life of one target.
async fn watch(shared: Arc<Shared>, server: Arc<Server>, target: Target) {
    // Every target rolls dice of its own, so the waits of one do not depend on how many others there are.
    let mut dice =
        fastrand::Rng::with_seed(shared.seed ^ (u64::from(target.id) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // The predecessor may have ended with news that nobody heard.
    if server.tell(target.id, &shared.events).await.is_err() {
        return;
    }
    let Some(probe) = &target.probe else { return };
    // Targets that start together would stay in step: a part of the first wait, drawn by chance, parts them.
    let mut share = dice.f64();
    let mut expected = server.expected();
    loop {
        let attempt = {
            let Some(_turn) = shared.turn(expected).await else { return };
            probe.attempt(target.address, target.schedule.timeout).await
        };
        shared.probes.fetch_add(1, Relaxed);
        let silent = matches!(&attempt.verdict, Verdict::Fail(failure) if failure.kind == FailureKind::Timeout);
        let phase = server.observe(attempt);
        expected = if silent && phase == Phase::Down { Expected::Silence } else { Expected::Answer };
        if server.tell(target.id, &shared.events).await.is_err() {
            return;
        }
        tokio::time::sleep(target.schedule.wait(phase, dice.f64()).mul_f64(share)).await;
        share = 1.0;
    }
}

/// What outlives the tasks of one target.
#[derive(Debug)]
struct Server {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tracker: Tracker,
    /// What the receiver does not know yet.
    news: Option<Transition>,
    passes: u64,
    failures: u64,
    unknown: u64,
}

/// Nobody listens to events any more.
struct Deaf;

impl Server {
    fn new(target: &Target) -> Self {
        let tracker = Tracker::new(&target.schedule);
        Self { state: Mutex::new(State { tracker, news: None, passes: 0, failures: 0, unknown: 0 }) }
    }

    /// A panic elsewhere leaves the state as it was between two calls, which is a good state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adopt(&self, target: &Target, now: SystemTime) {
        let mut state = self.state();
        state.tracker.set_schedule(&target.schedule);
        if target.probe.is_none() {
            let transition = state.tracker.assume_up(now);
            state.note(transition);
        }
    }

    /// What to expect before the first question of a task.
    fn expected(&self) -> Expected {
        match self.state().tracker.health() {
            Health::Up | Health::Degraded => Expected::Answer,
            Health::Unproven | Health::Down => Expected::Silence,
        }
    }

    fn observe(&self, attempt: Attempt) -> Phase {
        let Attempt { verdict, status, took } = attempt;
        let mut state = self.state();
        match verdict {
            Verdict::Pass => state.passes += 1,
            Verdict::Degraded(_) | Verdict::Fail(_) => state.failures += 1,
            Verdict::Unknown(_) => state.unknown += 1,
        }
        let transition = state.tracker.observe(SystemTime::now(), took, verdict, status);
        state.note(transition);
        state.tracker.phase()
    }

    /// Hands the news over, waiting for room in the queue. Being dropped in the wait loses nothing.
    async fn tell(&self, id: u32, events: &mpsc::Sender<HealthEvent>) -> Result<(), Deaf> {
        if self.state().news.is_none() {
            return Ok(());
        }
        let room = events.reserve().await.map_err(|_closed| Deaf)?;
        let news = self.state().news.take();
        if let Some(transition) = news {
            room.send(HealthEvent { id, transition });
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        let state = self.state();
        Counts { passes: state.passes, failures: state.failures, unknown: state.unknown }
    }

    fn report(&self) -> Report {
        let state = self.state();
        Report {
            health: state.tracker.health(),
            since: state.tracker.since(),
            last_failure: state.tracker.last_failure().cloned(),
            history: state.tracker.history().iter().cloned().collect(),
            passes: state.passes,
            failures: state.failures,
            unknown: state.unknown,
        }
    }
}

impl State {
    /// Adds to the news. Two changes that were not told yet become one, or none when they cancel out.
    fn note(&mut self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let from = self.news.take().map_or(transition.from, |older| older.from);
        self.news = (from != transition.to).then_some(Transition { from, ..transition });
    }
}

#[cfg(test)]
pub(crate) mod tests;
