//! One thread that makes load: its runtime, its clients, its clock.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;

use super::arrivals::Arrivals;
use super::client::Client;
use super::schedule::Schedule;
use super::shared::{Job, Shared};
use crate::record::{CpuTime, Recorder};

/// How often it is seen that a second or all is over.
const TICK: Duration = Duration::from_millis(50);
/// Tasks that run before sockets and the timer are looked at again, where time matters.
const PUNCTUAL: u32 = 13;

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
