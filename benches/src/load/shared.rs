//! What the threads of a load share, and what the clients of one thread do.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::connection::{Dialer, Scratch};
use super::plan::Prepared;
use super::{Mode, Plan};
use crate::record::{Failure, Recorder};

/// Bodies are read in pieces of at most this size.
pub(crate) const SCRATCH: usize = 128 * 1024;
/// Connections that a thread opens at a time at the start: more than a target's queue holds would wait for a second.
const OPENING: usize = 64;
/// How often a thread sees whether the others are ready, and how long after the last one they begin: all know of it by then.
const READY: Duration = Duration::from_millis(1);
const LEAD: Duration = Duration::from_millis(10);

/// When the threads begin: together, once all have opened what is to be open before the first request.
#[derive(Debug)]
pub(super) struct Start {
    ready: AtomicUsize,
    begin: Arc<OnceLock<Instant>>,
    /// Not before this.
    agreed: Option<Instant>,
}

impl Start {
    /// `begin` is where it is told. It is not before `agreed`.
    pub(super) const fn new(begin: Arc<OnceLock<Instant>>, agreed: Option<Instant>) -> Self {
        Self { ready: AtomicUsize::new(0), begin, agreed }
    }

    /// A thread is ready. Returns when they begin, as soon as that is known.
    pub(super) async fn together(&self, job: &Job) -> Instant {
        self.ready.fetch_add(1, Relaxed);
        loop {
            if let Some(begin) = self.begin.get() {
                return *begin;
            }
            if self.ready.load(Relaxed) >= job.threads || job.is_stopped() {
                let lead = if job.threads > 1 { LEAD } else { Duration::ZERO };
                return *self.begin.get_or_init(|| {
                    let ready = Instant::now() + lead;
                    self.agreed.map_or(ready, |agreed| agreed.max(ready))
                });
            }
            tokio::time::sleep(READY).await;
        }
    }
}

/// What a thread has to do.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) plan: Arc<Plan>,
    pub(super) requests: Arc<[Prepared]>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) stop: Arc<AtomicBool>,
    /// Which of them it is.
    pub(super) number: usize,
    pub(super) threads: usize,
    pub(super) start: Arc<Start>,
}

impl Job {
    /// This thread's part of them.
    pub(super) fn connections(&self) -> usize {
        let all = self.plan.mode.connections();
        all / self.threads + if self.number < all % self.threads { 1 } else { 0 }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// What the clients of a thread share.
pub(super) struct Shared {
    pub(super) job: Job,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) scratch: Scratch,
    /// Connections that this machine could not open.
    pub(super) lacking: Cell<u64>,
    /// Answers that said to ask elsewhere.
    pub(super) redirected: Cell<u64>,
    /// For those that open their first connection.
    pub(super) opening: Semaphore,
    next_request: Cell<usize>,
    next_connection: Cell<usize>,
    /// Once it is known.
    pub(super) begin: OnceCell<Instant>,
    pub(super) total: Duration,
}

impl Shared {
    pub(super) fn new(job: Job, recorder: Recorder) -> Self {
        let (number, threads) = job.plan.turn(job.number, job.threads);
        Self {
            recorder: RefCell::new(recorder),
            scratch: Scratch::new(SCRATCH),
            lacking: Cell::new(0),
            redirected: Cell::new(0),
            opening: Semaphore::new(OPENING),
            // Threads begin at different places of the list.
            next_request: Cell::new(number * job.requests.len() / threads),
            next_connection: Cell::new(number),
            begin: OnceCell::new(),
            total: job.plan.total(),
            job,
        }
    }

    pub(super) fn next_request(&self) -> &Prepared {
        let place = self.next_request.get();
        let next = place + 1;
        self.next_request.set(if next < self.job.requests.len() { next } else { 0 });
        &self.job.requests[place]
    }

    /// A number of its own for each connection of all threads.
    pub(super) fn next_connection(&self) -> usize {
        let number = self.next_connection.get();
        let (_, threads) = self.job.plan.turn(self.job.number, self.job.threads);
        self.next_connection.set(number.wrapping_add(threads));
        number
    }

    /// Counts requests that were due and not sent, as if they had been sent in turn, each when it was due.
    pub(super) fn unsent(&self, left: &[(Duration, u64)]) {
        let requests = &self.job.requests;
        let mut recorder = self.recorder.borrow_mut();
        let mut next = self.next_request.get();
        for (due, count) in left {
            let (each, more) = (count / requests.len() as u64, count % requests.len() as u64);
            let touched = if each > 0 { requests.len() } else { usize::try_from(more).unwrap_or(requests.len()) };
            for place in 0..touched {
                let turn = (next + place) % requests.len();
                let its = each + u64::from((place as u64) < more);
                recorder.fail(requests[turn].series, *due, Failure::Unsent, its);
            }
            next = (next + usize::try_from(more).unwrap_or_default()) % requests.len();
        }
    }

    /// When the first request may be sent.
    pub(super) fn begin(&self) -> Instant {
        *self.begin.get_or_init(Instant::now)
    }

    /// When a request counts that was due and over then. In an open loop it is when it was due, whenever it is over. A closed
    /// loop has as many under way at its end as when measuring began.
    pub(super) fn counts_at(&self, due: Instant, over: Instant) -> Duration {
        match self.job.plan.mode {
            Mode::Closed { .. } => self.since_begin(over),
            Mode::Rate { .. } | Mode::Ramp { .. } => self.since_begin(due),
        }
    }

    /// Since the first request could be sent, and within the run.
    pub(super) fn since_begin(&self, at: Instant) -> Duration {
        let last = self.total.saturating_sub(Duration::from_nanos(1));
        at.saturating_duration_since(self.begin()).min(last)
    }
}
