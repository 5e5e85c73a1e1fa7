//! A run: threads of clients, and what they recorded put together.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::desk::{Desk, Target, Troubles};
use super::messages::keys;
use super::ran::{Ran, Running};
use super::scenario::{Fleet, Scenario};
use super::schedule::Schedule;
use super::worker::{Share, Worker};
use crate::hold::raise_open_files;
use crate::load::{Measured, Watch};
use crate::record::{Collected, Generator, Histograms, Part, Run};

/// Files that a process needs besides its connections.
const OTHER_FILES: usize = 200;

/// Runs a fleet to its end, or until `watch` ends it. It blocks the thread.
///
/// # Errors
/// A thread or its runtime cannot be started.
pub fn run(scenario: &Scenario, fleet: &Fleet, target: &Target, running: &Running, watch: &Watch) -> io::Result<Run> {
    let threads = running.threads.clamp(1, 256);
    let limits = Limits::new(fleet, target);
    let schedule = Arc::new(Schedule::new(fleet));
    let (fleet, troubles) = (Arc::new(fleet.clone()), Arc::new(Troubles::default()));
    let (recorders, collector) = watch.recorders(keys(&fleet.groups), threads as usize, fleet.warm_up);
    let collector = collector.with(if fleet.part.is_some() { Histograms::Kept } else { Histograms::Forgotten });
    let began = SystemTime::now();
    let started = Instant::now();
    let mut workers = Vec::new();
    for (number, recorder) in (0..threads).zip(recorders) {
        let desk = Arc::new(Desk {
            fleet: Arc::clone(&fleet),
            schedule: Arc::clone(&schedule),
            target: target.clone(),
            started,
            troubles: Arc::clone(&troubles),
            cut_short: AtomicBool::new(false),
            recorder: Mutex::new(Some(recorder)),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (share, stop) = (limits.share(number, threads), Arc::clone(&watch.stop));
        let work = move || runtime.block_on(Worker::new(&desk, share).run(&stop));
        workers.push(std::thread::Builder::new().name(format!("clients {number}")).spawn(work)?);
    }
    let collected = watch.collect(collector);
    let mut cpu = Vec::new();
    for worker in workers {
        cpu.push(worker.join().map_err(|_| io::Error::other("a thread of clients has panicked"))??);
    }
    // Each tells of the whole process.
    let cpu = cpu.first().copied().unwrap_or_default();
    let generator = generator(&limits, &troubles, &collected, threads, cpu);
    let (planned, speedup, clients) = (fleet.duration, fleet.speedup, fleet.own_clients());
    let measured = Measured {
        generator,
        interrupted: watch.stop.load(Ordering::Relaxed),
        measured_s: collected.measured_s,
        dropped: collected.dropped,
        series: collected.series,
        timeline: collected.timeline,
    };
    let (name, text) = (scenario.name.as_str(), scenario.text.as_str());
    let (seed, part) = (Some(fleet.seed), fleet.part);
    let thresholds = scenario.thresholds.as_slice();
    Ok(Ran { name, text, thresholds, running, began, planned, speedup, clients, seed, part }.record(measured))
}

/// What the system lets a fleet have.
struct Limits {
    files: usize,
    under_way: usize,
    kept: usize,
    /// Clients that should hold a connection for notification, and that can.
    wished: u32,
    notified: u32,
    part: Part,
}

impl Limits {
    fn new(fleet: &Fleet, target: &Target) -> Self {
        let alone = Part { number: 1, of: 1, clients: u64::from(fleet.clients), agreed_unix_ms: None };
        let (part, clients) = (fleet.part.unwrap_or(alone), f64::from(fleet.clients));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let wished = if target.notification.is_some() { (clients * fleet.notification.share).ceil() as u32 } else { 0 };
        let concurrency = fleet.details.concurrency;
        let (own, wished) = (fleet.own_clients() as usize, part.share(wished));
        let under_way = part.share(fleet.under_way).max(1) as usize;
        let kept = if fleet.keep.is_some() { own } else { 0 };
        let needed = under_way.min(own) * concurrency + kept + wished as usize + OTHER_FILES;
        // A system that does not tell lets us have the usual number.
        let files = raise_open_files(needed as u64).map_or(1024, |files| usize::try_from(files).unwrap_or(usize::MAX));
        let free = files.saturating_sub(OTHER_FILES).max(16);
        // A quarter is left to activities, whatever else is held.
        let notified = wished.min(u32::try_from(free - free / 4).unwrap_or(u32::MAX));
        let free = free - notified as usize;
        let under_way = under_way.min((free / 2 / concurrency).max(1));
        Self { files, under_way, kept: free - (under_way * concurrency).min(free), wished, notified, part }
    }

    /// What thread `number` of so many may use. Clients are dealt to parts in turn, and in each part to threads in turn.
    fn share(&self, number: u32, threads: u32) -> Share {
        let (under_way, kept) = (self.under_way / threads as usize, self.kept / threads as usize);
        let Part { of, .. } = self.part;
        Share {
            first: self.part.before() + of * number,
            stride: of * threads,
            under_way: under_way.max(1),
            kept,
            notified: self.part.first_of(self.notified),
        }
    }
}

fn generator(limits: &Limits, troubles: &Troubles, collected: &Collected, threads: u32, cpu: Duration) -> Generator {
    let mut generator = collected.generator(threads, cpu);
    let mut said = std::mem::take(&mut generator.doubts);
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut say = |count: u64, text: &dyn Fn() -> String| {
        if count > 0 {
            said.push(text());
        }
    };
    let lacking = limits.wished - limits.notified;
    say(lacking.into(), &|| {
        format!(
            "Only {} of {} notification connections were held: the system lets this process open {} files. Raise the \
             hard limit (ulimit -n) for more.",
            limits.notified, limits.wished, limits.files
        )
    });
    let (waited, left_out) = (count(&troubles.waited), count(&troubles.left_out));
    say(waited, &|| {
        format!(
            "{waited} of {} activities had to wait because {} were under way: their waiting is in the latencies. The \
             target was too slow for this load, or under_way, or the limit of open files, is too low.",
            count(&troubles.due),
            limits.under_way
        )
    });
    let never_begun = count(&troubles.never_begun);
    say(never_begun, &|| {
        format!(
            "{never_begun} activities were due and had not begun when the time was over: they are errors (unsent), and \
             would have been the slowest."
        )
    });
    say(left_out, &|| {
        format!("{left_out} activities were left out, because too many waited already: they are errors (unsent).")
    });
    let closed_early = count(&troubles.closed_early);
    say(closed_early, &|| {
        format!(
            "{closed_early} kept connections were closed before their time, because no more than {} can be kept with \
             {} open files: clients opened more connections than they would.",
            limits.kept, limits.files
        )
    });
    let unfinished = count(&troubles.unfinished);
    say(unfinished, &|| {
        format!(
            "{unfinished} activities were under way at the end: their requests are errors (unfinished), unless the run was ended early and they had not taken 5 seconds. What would have followed is not counted."
        )
    });
    let panicked = count(&troubles.panicked);
    say(panicked, &|| {
        format!(
            "{panicked} activities ended in a panic, which is a mistake of fleet: requests of theirs may be in no figure."
        )
    });
    let no_port = count(&troubles.no_port);
    say(no_port, &|| {
        format!(
            "{no_port} connections found no free port, or not their own address: give the groups more addresses, or \
             addresses of this machine."
        )
    });
    let no_file = count(&troubles.no_file);
    say(no_file, &|| format!("{no_file} connections found no free file: {} are allowed (ulimit -n).", limits.files));
    generator.doubts = said;
    generator
}
