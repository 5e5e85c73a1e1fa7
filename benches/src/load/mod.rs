//! Plain load: the same few requests as fast as the target answers, or at a rate.
//!
//! [`run`] starts threads that share nothing. Each has a runtime, connections and a [`Recorder`]
//! of its own; requests are written once, before it all begins, and answers are read into one buffer for each thread.
//!
//! A rate is an *open loop*: requests are due at times that were fixed before, and their latency counts from then. A target
//! that stands still for a second is seen by all requests that were due in it, not only by those that were under way. What
//! is the generator's own fault is said in [`Generator::doubts`].
//!
//! Connections that are kept are opened before the first request, and cost it nothing: times count from when all are open. One that the target ended while it
//! was idle is replaced without a word; one that ends after a request was sent is a failure, and nothing is sent again.
//!
//! In an open loop a request counts if it was due within the measured time, and in the second in which it was. What is due and
//! not sent by the end is an error. What is under way at the end is waited for, for as long as its timeout lets it, unless the
//! run was ended early. In a closed loop an answer counts that is over within the measured time; what is under way at the end
//! is dropped, as what was under way when measuring began was counted. What is dropped is told in [`Measured::dropped`].

mod arrivals;
pub mod bounds;
mod client;
mod connection;
mod plan;
mod response;
mod schedule;
mod shared;
mod timer;
mod worker;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use connection::{Connection, Dialer, Outgoing, Scratch};
pub(crate) use plan::message_types;
pub use plan::{Mode, PlainRequest, Plan, Slice, Spacing};
pub(crate) use response::Answer;
pub(crate) use shared::SCRATCH;
pub(crate) use timer::Timer;

use crate::hold::raise_open_files;
use crate::record::{self, Collected, Collector, Generator, Histograms, Interval, Live, Recorder, Series, SeriesKey};
use shared::Job;
use worker::Ended;

/// Intervals that nobody has looked at yet, before new ones are not shown.
const UNSEEN: usize = 64;
/// Threads that waited for a processor for more than this part of the time have been hindered.
const HINDERED: f64 = 0.1;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan makes no sense.
    #[error("{0}")]
    Plan(&'static str),
    /// A request is none that can be sent.
    #[error("'{0}' with its fields is no request that can be sent")]
    Request(String),
    /// The TLS is not usable.
    #[error("TLS: {0}")]
    Tls(String),
    /// The system does not let it.
    #[error("the system refuses what load needs: {0}")]
    System(#[from] io::Error),
}

/// How another thread follows a run and ends it. One is for one run.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Ends the run soon after it is set. What was measured until then is the result.
    pub stop: Arc<AtomicBool>,
    /// Where whole seconds go as soon as they are over. A receiver that is slow misses some. What was due in one and is over
    /// later is in the result only.
    pub intervals: Option<SyncSender<Interval>>,
    /// When the first request of plain load could be sent, once that is known.
    pub began: Arc<OnceLock<Instant>>,
    /// Where the figures come that are counted while it runs, if they are to be.
    pub live: Option<Arc<OnceLock<Live>>>,
}

impl Watch {
    /// And where the seconds come out.
    #[must_use]
    pub fn new() -> (Self, Receiver<Interval>) {
        let (to, from) = sync_channel(UNSEEN);
        (Self { intervals: Some(to), ..Self::default() }, from)
    }

    /// Recorders for a run, which count where it can be seen meanwhile if that is wanted.
    pub(crate) fn recorders(
        &self,
        keys: Vec<SeriesKey>,
        threads: usize,
        warm_up: Duration,
    ) -> (Vec<Recorder>, Collector) {
        let live = self.live.as_ref().map(|live| (live, keys.clone()));
        let (mut recorders, collector) = record::recorders(keys, threads, warm_up);
        if let Some((live, keys)) = live {
            // A watch is for one run, so that there is none yet.
            let _ = live.set(record::watched(&mut recorders, &keys));
        }
        (recorders, collector)
    }

    /// Collects what the recorders tell, and passes each second on.
    pub(crate) fn collect(&self, collector: Collector) -> Collected {
        collector.collect(|interval| {
            if let Some(to) = &self.intervals {
                // Who does not look in time misses it.
                let _ = to.try_send(interval.clone());
            }
        })
    }

    /// Ends the run.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }
}

/// What a run measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// By method and target.
    pub series: Vec<Series>,
    /// Second by second.
    pub timeline: Vec<Interval>,
    /// What the generator needed, and whether it kept up.
    pub generator: Generator,
    /// How long was measured, in seconds.
    pub measured_s: f64,
    /// Requests that were under way when it was over and that nobody waited for.
    pub dropped: u64,
    /// It was ended before its time.
    pub interrupted: bool,
}

/// Says what is wrong with a plan without doing anything.
///
/// # Errors
/// [`run`] would refuse it.
pub fn check(plan: &Plan) -> Result<(), Error> {
    plan.check()?;
    plan::prepare(plan)?;
    connection::Dialer::new(plan).map(drop)
}

/// Does what the plan says and returns when it is over. It blocks the thread: in a runtime, call it where that is allowed.
///
/// # Errors
/// The plan makes no sense, or the system does not let this process do it.
pub fn run(plan: &Plan, watch: &Watch) -> Result<Measured, Error> {
    plan.check()?;
    let threads = plan.threads.min(plan.mode.connections());
    // If it does not tell or there are too few, connections fail, and that is said.
    let _ = raise_open_files(plan.mode.connections() as u64);
    let (requests, keys) = plan::prepare(plan)?;
    let (recorders, collector) = watch.recorders(keys, threads, plan.warm_up);
    let collector = collector.with(if plan.part.is_some() { Histograms::Kept } else { Histograms::Forgotten });
    let dialer = Arc::new(connection::Dialer::new(plan)?);
    let (plan, requests, stop) = (Arc::new(plan.clone()), requests.into(), Arc::clone(&watch.stop));
    let agreed = plan.part.and_then(|part| part.begin);
    let start = Arc::new(shared::Start::new(Arc::clone(&watch.began), agreed));
    let first = Job { plan, requests, dialer, stop, number: 0, threads, start };
    let mut running = Vec::new();
    for (number, recorder) in recorders.into_iter().enumerate() {
        let job = Job { number, ..first.clone() };
        let builder = thread::Builder::new().name(format!("load-{number}"));
        // If one cannot work, the others are of no use.
        let stop = Arc::clone(&watch.stop);
        let work = move || worker::work(job, recorder).inspect_err(|_| stop.store(true, Relaxed));
        running.push(builder.spawn(work).inspect_err(|_| watch.stop())?);
    }
    let collected = watch.collect(collector);
    let joined = running.into_iter().map(|thread| match thread.join() {
        Ok(ended) => ended,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    let ended = joined.collect::<io::Result<Vec<Ended>>>()?;
    Ok(measured(collected, &ended))
}

fn measured(collected: Collected, ended: &[Ended]) -> Measured {
    let measured_s = collected.measured_s;
    let sum = |part: fn(&Ended) -> u64| ended.iter().map(part).sum::<u64>();
    let threads = u32::try_from(ended.len()).unwrap_or(u32::MAX);
    let mut generator = collected.generator(threads, ended.first().map(|first| first.cpu).unwrap_or_default());
    let waited = ended.iter().map(|one| one.waited_for_cpu.as_secs_f64()).fold(0.0, f64::max) / measured_s.max(1e-3);
    if waited > HINDERED {
        let percent = (waited * 100.0).round();
        generator.doubts.push(format!(
            "A thread of the generator waited for a processor for {percent} % of the time: something else needs the cores \
             too, and latencies are that much too long."
        ));
    }
    let lacking = sum(|one| one.lacking);
    if lacking > 0 {
        generator.doubts.push(format!(
            "{lacking} connections could not be opened because this machine lacked a local port or an open file for them. \
             More client addresses, or a higher limit of open files, would help."
        ));
    }
    let redirected = sum(|one| one.redirected);
    if redirected > 0 {
        generator.doubts.push(format!(
            "{redirected} answers said to ask elsewhere (status 3xx), which nothing here does: what was measured is how fast \
             the target sends its clients away."
        ));
    }
    let unsent = sum(|one| one.unsent);
    if unsent > 0 {
        generator.doubts.push(format!(
            "{unsent} requests were due and not yet sent when the time was over, because all connections were busy: they \
             are errors (unsent), and would have been the slowest. The target was too slow for this rate, there were too \
             few connections, or the generator itself stood still."
        ));
    }
    if collected.series.is_empty() {
        generator.doubts.push("No request was over within the measured time.".to_owned());
    }
    let interrupted = ended.iter().any(|one| one.stopped_at.is_some());
    let Collected { series, timeline, dropped, .. } = collected;
    Measured { series, timeline, generator, measured_s, dropped, interrupted }
}
