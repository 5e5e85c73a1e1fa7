//! One thread that makes load: its runtime, its clients, its clock.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;

use super::arrivals::Arrivals;
use super::client::Client;
use super::connection::{Dialer, Scratch};
use super::plan::Prepared;
use super::schedule::Schedule;
use super::{Mode, Plan};
use crate::record::{CpuTime, Failure, Recorder};

/// Bodies are read in pieces of at most this size.
pub(crate) const SCRATCH: usize = 128 * 1024;
/// How often it is seen that a second or all is over.
const TICK: Duration = Duration::from_millis(50);
/// Tasks that run before sockets and the timer are looked at again, where time matters.
const PUNCTUAL: u32 = 13;
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
    async fn together(&self, job: &Job) -> Instant {
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
    fn connections(&self) -> usize {
        let all = self.plan.mode.connections();
        all / self.threads + if self.number < all % self.threads { 1 } else { 0 }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// What a thread tells in the end, besides what it recorded.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// What the process needed in the measured time.
    pub(super) cpu: Duration,
    /// How long this thread could have run and did not.
    pub(super) waited_for_cpu: Duration,
    /// Connections that this machine could not open.
    pub(super) lacking: u64,
    /// Answers that said to ask elsewhere.
    pub(super) redirected: u64,
    /// Requests that were due and not sent.
    pub(super) unsent: u64,
    /// When it was ended before its time.
    pub(super) stopped_at: Option<Instant>,
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
    begin: OnceCell<Instant>,
    total: Duration,
}

impl Shared {
    fn new(job: Job, recorder: Recorder) -> Self {
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
    fn unsent(&self, left: &[(Duration, u64)]) {
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
    fn begin(&self) -> Instant {
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

/// Makes load until the time is over or it is stopped.
pub(super) fn work(job: Job, recorder: Recorder) -> io::Result<Ended> {
    let schedule = Schedule::new(&job.plan, job.number, job.threads);
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    if schedule.is_some() {
        builder.event_interval(PUNCTUAL);
    }
    let runtime = builder.build_local(LocalOptions::default())?;
    let total = job.plan.total();
    let shared = Rc::new(Shared::new(job, recorder));
    let mut ended = runtime.block_on(drive(&shared, schedule))?;
    // The clients go with it.
    drop(runtime);
    (ended.lacking, ended.redirected) = (shared.lacking.get(), shared.redirected.get());
    if let Some(shared) = Rc::into_inner(shared) {
        let stopped = ended.stopped_at.map(|at| at.saturating_duration_since(shared.begin()));
        let mut recorder = shared.recorder.into_inner();
        recorder.drop_under_way();
        recorder.finish(stopped.unwrap_or(total).min(total));
    }
    Ok(ended)
}

async fn drive(shared: &Rc<Shared>, schedule: Option<Schedule>) -> io::Result<Ended> {
    let job = &shared.job;
    let clients = open(shared).await;
    let begin = job.start.together(job).await;
    let begin = *shared.begin.get_or_init(|| begin);
    let mut tasks = JoinSet::new();
    let arrivals = schedule.map(|schedule| Rc::new(Arrivals::new(schedule, begin)));
    for client in clients {
        let arrivals = arrivals.clone();
        tasks.spawn_local(async move {
            match arrivals {
                Some(arrivals) => client.in_open_loop(arrivals).await,
                None => client.in_closed_loop(begin).await,
            }
            Ok(())
        });
    }
    if let Some(arrivals) = arrivals.clone() {
        tasks.spawn_local(async move { arrivals.pace().await });
    }
    let mut ended = until_the_end(shared).await;
    if let Some(arrivals) = arrivals {
        let end = begin + shared.total;
        let left = arrivals.close_at(ended.stopped_at.unwrap_or(end).min(end), job.plan.warm_up);
        ended.unsent = left.iter().map(|(_, count)| count).sum();
        shared.unsent(&left);
        let late = Instant::now() + job.plan.timeout;
        while ended.stopped_at.is_none() && !tasks.is_empty() && Instant::now() < late && !job.is_stopped() {
            // Whoever is still under way has this long, and longer answers are seen in time.
            if let Ok(Some(task)) = tokio::time::timeout(TICK, tasks.join_next()).await {
                outcome(task)?;
            }
        }
    }
    while let Some(task) = tasks.try_join_next() {
        outcome(task)?;
    }
    Ok(ended)
}

/// Makes clients and has them open what is to be open before the first request, for as long as one may take to open.
async fn open(shared: &Rc<Shared>) -> Vec<Client> {
    let until = Instant::now() + shared.job.plan.timeout;
    let mut opening = JoinSet::new();
    for _ in 0..shared.job.connections() {
        let mut client = Client::new(Rc::clone(shared));
        opening.spawn_local(async move {
            client.open_first(until).await;
            client
        });
    }
    let mut clients = Vec::new();
    // Who stops it does not wait for those that are left.
    while !opening.is_empty() && !shared.job.is_stopped() {
        match tokio::time::timeout(TICK, opening.join_next()).await {
            Ok(Some(Ok(client))) => clients.push(client),
            Ok(Some(Err(error))) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
            Ok(None) | Err(_) => {}
        }
    }
    clients
}

fn outcome(task: Result<io::Result<()>, JoinError>) -> io::Result<()> {
    match task.map_err(JoinError::try_into_panic) {
        Ok(outcome) => outcome,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Nobody aborts one.
        Err(Err(_)) => Ok(()),
    }
}

/// Returns when the time is over or it was stopped. Meanwhile seconds go to the collector also if nothing happens.
async fn until_the_end(shared: &Shared) -> Ended {
    let job = &shared.job;
    let measured_from = shared.begin() + job.plan.warm_up;
    let end = shared.begin() + shared.total;
    let mut before = None;
    loop {
        let now = Instant::now();
        if before.is_none() && now >= measured_from {
            before = Some((CpuTime::now(), waited_for_cpu()));
        }
        shared.recorder.borrow_mut().tick(shared.since_begin(now));
        let stopped_at = job.is_stopped().then_some(now);
        if now >= end || stopped_at.is_some() {
            let (cpu, waited) = before.unwrap_or_else(|| (CpuTime::now(), waited_for_cpu()));
            return Ended {
                cpu: CpuTime::now().since(cpu),
                waited_for_cpu: waited_for_cpu().saturating_sub(waited),
                stopped_at,
                ..Ended::default()
            };
        }
        let next = if before.is_none() { measured_from } else { end };
        sleep_until((now + TICK).min(next).into()).await;
    }
}

/// How long this thread could have run and did not, if Linux tells.
fn waited_for_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = text.split_whitespace().nth(1).and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(waited.unwrap_or_default())
}
