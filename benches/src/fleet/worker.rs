//! A thread of clients: begins what is due, and hears of what is over.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::act::{Back, act};
use super::activity::Activity;
use super::crowd::{Crowd, Occasion};
use super::desk::{Desk, GRACE, add};
use super::kept::Kept;
use super::notify;
use super::schedule::Tick;
use crate::client::Client;
use crate::load::Timer;
use crate::record::{CpuTime, Recorder};

/// Activities that wait for a place, for each thread.
const MAX_WAITING: usize = 1_000_000;
/// The recorder hands over its seconds, and connections are looked through, this often.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// What is begun in a row before the tasks of others have their turn.
const BATCH: u32 = 64;
/// How long what was due and has not begun is counted after the end.
const COUNTING: Duration = Duration::from_secs(2);

/// What a thread may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// The number of its first client.
    pub(super) first: u32,
    /// From one of its clients to the next: as many as there are threads, those of other parts included.
    pub(super) stride: u32,
    /// Activities under way.
    pub(super) under_way: usize,
    /// Connections kept between activities.
    pub(super) kept: usize,
    /// Clients that hold a connection for notification, of the whole fleet.
    pub(super) notified: u32,
}

pub(super) struct Worker {
    desk: Arc<Desk>,
    crowd: Crowd,
    share: Share,
    under_way: JoinSet<Back>,
    waiting: VecDeque<Occasion>,
    kept: Kept<Box<Client>>,
    /// When measuring begins and ends.
    from: Instant,
    end: Instant,
    cpu: Cpu,
}

/// The time of the processor in the measured time.
#[derive(Debug, Default)]
struct Cpu {
    before: Option<CpuTime>,
}

impl Cpu {
    /// Call it as soon as measuring begins.
    fn begin(&mut self) {
        self.before.get_or_insert_with(CpuTime::now);
    }

    /// What was needed since then; nothing if measuring has not begun.
    fn used(&self) -> Duration {
        self.before.map(|before| CpuTime::now().since(before)).unwrap_or_default()
    }
}

impl Worker {
    pub(super) fn new(desk: &Arc<Desk>, share: Share) -> Self {
        let fleet = &desk.fleet;
        let keep = fleet.kept().unwrap_or_default();
        Self {
            crowd: Crowd::new(&desk.schedule, fleet.clients, share.first, share.stride),
            share,
            under_way: JoinSet::new(),
            waiting: VecDeque::new(),
            kept: Kept::new(if keep.is_zero() { 0 } else { share.kept }, keep),
            from: desk.started + fleet.warm_up,
            end: desk.started + fleet.total(),
            cpu: Cpu::default(),
            desk: Arc::clone(desk),
        }
    }

    /// Runs until the end, or until `stop` says so. Returns the time of the processor that this process needed within the
    /// measured time.
    ///
    /// # Errors
    /// The system has no timer.
    pub(super) async fn run(mut self, stop: &AtomicBool) -> io::Result<Duration> {
        let timer = Timer::new()?;
        let (said, mut heard) = mpsc::unbounded_channel();
        let mut held = JoinSet::new();
        if let Some(to) = self.desk.target.notification {
            let numbers = (self.share.first..self.share.notified).step_by(self.share.stride as usize);
            for client in numbers {
                held.spawn(notify::hold(Arc::clone(&self.desk), to, client, said.clone()));
            }
        }
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let interrupted = loop {
            let now = Instant::now();
            if now >= self.from {
                self.cpu.begin();
            }
            if now >= self.end {
                break false;
            }
            let more = self.begin_due();
            let next = self.next_wake();
            tokio::select! {
                Some(back) = self.under_way.join_next() => self.over(back),
                Some(client) = heard.recv() => self.called(client),
                _ = beat.tick() => {
                    let now = Instant::now();
                    self.kept.sweep(now);
                    self.desk.record(|recorder| recorder.tick(self.desk.since_start(now)));
                    if stop.load(Ordering::Relaxed) {
                        break true;
                    }
                }
                () = tokio::task::yield_now(), if more => {}
                rung = timer.sleep(next.saturating_duration_since(Instant::now())), if !more => rung?,
            }
        };
        let cpu = self.cpu.used();
        self.end(interrupted, stop).await;
        held.shutdown().await;
        self.desk.finish();
        Ok(cpu)
    }

    /// Waits for what is under way, and counts what does not come to its end and what has not begun.
    async fn end(&mut self, interrupted: bool, stop: &AtomicBool) {
        if interrupted {
            self.desk.cut_short.store(true, Ordering::Relaxed);
        } else {
            self.count_late(stop);
            if !self.drain(stop).await {
                self.desk.cut_short.store(true, Ordering::Relaxed);
            }
        }
        let troubles = &self.desk.troubles;
        troubles.unfinished.fetch_add(self.under_way.len() as u64, Ordering::Relaxed);
        troubles.closed_early.fetch_add(self.kept.closed_early, Ordering::Relaxed);
        for occasion in self.waiting.drain(..) {
            if self.desk.is_overdue(self.desk.started + occasion.due.time()) {
                add(&troubles.never_begun);
                self.desk.unsent(&occasion);
            }
        }
        // Whoever is given up counts what is under way.
        self.under_way.shutdown().await;
    }

    /// What was due before the end and had no turn is not passed over in silence.
    fn count_late(&mut self, stop: &AtomicBool) {
        let (until, end) = (Instant::now() + COUNTING, Tick::at(self.desk.fleet.total()));
        while let Some(occasion) = self.crowd.pop(end) {
            if self.is_measured(&occasion) {
                add(&self.desk.troubles.due);
                add(&self.desk.troubles.never_begun);
            }
            self.desk.unsent(&occasion);
            // There may be more than can ever be counted.
            if Instant::now() >= until || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }

    fn is_measured(&self, occasion: &Occasion) -> bool {
        occasion.due.time() >= self.desk.fleet.warm_up
    }

    /// Lets what is under way come to its end, for a while. Says whether it had its time.
    async fn drain(&mut self, stop: &AtomicBool) -> bool {
        let until = Instant::now() + GRACE.min(self.desk.fleet.timeout + HEARTBEAT);
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            match tokio::time::timeout(HEARTBEAT, self.under_way.join_next()).await {
                Ok(None) => return true,
                Ok(Some(_)) => self.desk.record(Recorder::ended),
                Err(_) => {}
            }
        }
        Instant::now() >= until
    }

    fn now(&self) -> Tick {
        Tick::at(self.desk.started.elapsed())
    }

    fn next_wake(&self) -> Instant {
        let due = self.crowd.next_due().map(|due| self.desk.started + due.time());
        let wake = due.unwrap_or(self.end).min(self.end);
        if self.cpu.before.is_none() { wake.min(self.from) } else { wake }
    }

    /// Begins what is due; says whether there is more.
    fn begin_due(&mut self) -> bool {
        let now = self.now();
        for _ in 0..BATCH {
            let Some(occasion) = self.crowd.pop(now) else { return false };
            let is_measured = self.is_measured(&occasion);
            if is_measured {
                add(&self.desk.troubles.due);
            }
            if self.under_way.len() < self.share.under_way {
                let due = occasion.due.time();
                let late = self.desk.started.elapsed().saturating_sub(due);
                self.desk.record(|recorder| recorder.late(due, late));
                self.begin(occasion);
            } else if self.waiting.len() < MAX_WAITING {
                if is_measured {
                    add(&self.desk.troubles.waited);
                }
                self.waiting.push_back(occasion);
            } else {
                add(&self.desk.troubles.left_out);
                self.desk.unsent(&occasion);
            }
        }
        true
    }

    fn begin(&mut self, occasion: Occasion) {
        let kept = self.kept.take(occasion.client, Instant::now());
        self.desk.record(Recorder::begun);
        self.under_way.spawn(act(Arc::clone(&self.desk), occasion, kept));
    }

    fn over(&mut self, back: Result<Back, JoinError>) {
        self.desk.record(Recorder::ended);
        if back.as_ref().is_err_and(JoinError::is_panic) {
            add(&self.desk.troubles.panicked);
        }
        if let Ok(back) = back {
            let Occasion { client, activity, .. } = back.occasion;
            if let Some(connected) = back.client {
                self.kept.put(client, connected, Instant::now());
            }
            if back.succeeded {
                self.crowd.succeeded(client, activity);
            } else {
                self.crowd.failed(client, activity, self.now());
            }
        }
        if let Some(occasion) = self.waiting.pop_front() {
            self.begin(occasion);
        }
    }

    /// The server has said something to a client, which asks for policy then.
    fn called(&mut self, client: u32) {
        let now = self.now();
        let when = self.desk.schedule.answer(client, now, self.desk.fleet.notification.push_within);
        self.crowd.call(client, Activity::Policy, when);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_processor_counts_from_the_end_of_the_warm_up() {
        let burn = |length: Duration| {
            let before = CpuTime::now();
            while CpuTime::now().since(before) < length {}
        };
        let mut cpu = Cpu::default();
        burn(Duration::from_millis(20));
        assert_eq!(cpu.used(), Duration::ZERO, "measuring has not begun");
        cpu.begin();
        let before = CpuTime::now();
        cpu.begin();
        burn(Duration::from_millis(30));
        // Only what came after it, and all of that.
        assert!(cpu.used() >= Duration::from_millis(30) && cpu.before <= Some(before));
    }
}
