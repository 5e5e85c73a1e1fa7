//! A replay: threads that send the requests of a log, and what they recorded put together.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::drive::{Ended, Job, work};
use super::log::Log;
use super::message::keys;
use super::plan::{Error, Plan, Tempo};
use crate::fleet::{Ran, Running};
use crate::hold::raise_open_files;
use crate::load::{Dialer, Measured, Watch};
use crate::record::{CpuTime, Run};

/// How long after its threads were started a replay begins: all of them are ready by then.
const LEAD: Duration = Duration::from_millis(50);
/// Files that a process needs besides its connections.
const OTHER_FILES: u64 = 200;
/// Sends the requests of a log, and returns when all are over or `watch` ends it. It blocks the thread.
///
/// # Errors
/// The plan makes no sense, or the system does not let this process do it.
pub fn run(log: &Arc<Log>, plan: &Plan, running: &Running, watch: &Watch) -> Result<Run, Error> {
    let total = plan.length(log)?;
    let threads = usize::try_from(running.threads.clamp(1, 256)).unwrap_or(1).min(log.clients().max(1));
    let needed = u64::from(plan.under_way) + log.clients() as u64 + OTHER_FILES;
    // A system that does not tell lets us have the usual number.
    let files = raise_open_files(needed).unwrap_or(1024).saturating_sub(OTHER_FILES).max(16);
    let under_way = u64::from(plan.under_way).min(files / 2);
    let messages = log.messages();
    let (recorders, collector) = watch.recorders(keys(&messages), threads, Duration::ZERO);
    let secured = plan.tls.clone().map(|tls| tls.connector()).transpose().map_err(Error::Tls)?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let share = |all: u64| usize::try_from(all / threads as u64).unwrap_or(usize::MAX).max(1);
    let (began, begin) = (SystemTime::now() + LEAD, Instant::now() + LEAD);
    let job = Job {
        series: log.shapes.iter().map(|shape| messages.binary_search(&shape.message).unwrap_or_default()).collect(),
        sources: log.clients.iter().map(|client| plan.sources.of(*client).unwrap_or(any)).collect(),
        dialer: Dialer::to(plan.to.socket, plan.to.host.clone(), secured),
        log: Arc::clone(log),
        plan: plan.clone(),
        stop: Arc::clone(&watch.stop),
        threads,
        begin,
        total,
        under_way: share(under_way),
        kept: share(files - under_way),
    };
    let (job, cpu) = (Arc::new(job), CpuTime::now());
    let mut workers = Vec::new();
    for (number, recorder) in recorders.into_iter().enumerate() {
        let (job, stop) = (Arc::clone(&job), Arc::clone(&watch.stop));
        // If one cannot work, the others are of no use.
        let work = move || work(&job, number, recorder).inspect_err(|_| stop.store(true, Relaxed));
        let builder = thread::Builder::new().name(format!("replay-{number}"));
        workers.push(builder.spawn(work).inspect_err(|_| watch.stop())?);
    }
    let collected = watch.collect(collector);
    let mut ended = Ended::default();
    for worker in workers {
        match worker.join() {
            Ok(its) => ended.add(its?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    let cpu = CpuTime::now().since(cpu);
    let mut generator = collected.generator(u32::try_from(threads).unwrap_or(u32::MAX), cpu);
    generator.doubts.extend(ended.doubts(under_way));
    generator.doubts.extend(log.counts().doubts());
    let measured = Measured {
        generator,
        interrupted: ended.was_stopped,
        measured_s: collected.measured_s,
        dropped: collected.dropped,
        series: collected.series,
        timeline: collected.timeline,
    };
    let speedup = match plan.tempo {
        Tempo::Logged(speedup) => speedup,
        Tempo::Rate(_) => 1.0,
    };
    let clients = u32::try_from(log.clients()).unwrap_or(u32::MAX);
    let (name, text) = (plan.name.as_str(), plan.text.as_str());
    let (thresholds, planned) = (plan.thresholds.as_slice(), total);
    let ran = Ran { name, text, thresholds, running, began, planned, speedup, clients, seed: None, part: None };
    Ok(ran.record(measured))
}
