//! What becomes of the connections, in numbers.

use std::io;
use std::time::Instant;

use serde::Serialize;

use super::{Event, Memory};

/// Something to tell about the connections.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// So many are open.
    Step {
        /// Open now.
        alive: usize,
        /// Could not be opened.
        failed: usize,
        /// Since the start.
        seconds: f64,
        /// The memory of the process.
        #[serde(flatten)]
        memory: Option<Memory>,
        /// How much more of it is resident than before, for each that is open.
        #[serde(skip_serializing_if = "Option::is_none")]
        rss_per_connection: Option<i64>,
        /// How much more of it is its own than before, for each that is open.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_per_connection: Option<i64>,
    },
    /// A second in which something happened.
    Second {
        /// Since the start.
        seconds: f64,
        /// Closed in this second.
        closed: usize,
        /// Opened again in this second.
        reopened: usize,
        /// Tried again in this second, and failed.
        failed: usize,
        /// Open now.
        alive: usize,
    },
    /// The sum of it all.
    End {
        /// Opened for the first time.
        opened: usize,
        /// Open at the end.
        alive: usize,
        /// Could not be opened.
        failed: usize,
        /// Closed by the other side.
        closed: usize,
        /// Opened again.
        reopened: usize,
        /// Why the first that failed did so.
        #[serde(skip_serializing_if = "Option::is_none")]
        first_error: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    failed_again: usize,
    closed: usize,
    reopened: usize,
}

#[derive(Debug)]
pub(super) struct Tally {
    pid: Option<u32>,
    before: Option<Memory>,
    started: Instant,
    opened: usize,
    failed: usize,
    all: Counts,
    told: Counts,
    first_error: Option<String>,
}

impl Tally {
    pub(super) fn new(pid: Option<u32>) -> io::Result<Self> {
        let before = pid.map(Memory::of).transpose()?;
        let (all, told) = (Counts::default(), Counts::default());
        Ok(Self { pid, before, started: Instant::now(), opened: 0, failed: 0, all, told, first_error: None })
    }

    pub(super) fn count(&mut self, event: Event) {
        match event {
            Event::Opened { again: false } => self.opened += 1,
            Event::Opened { again: true } => self.all.reopened += 1,
            Event::Closed => self.all.closed += 1,
            Event::Failed { again, error } => {
                *(if again { &mut self.all.failed_again } else { &mut self.failed }) += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// How many were tried once, with whatever success.
    pub(super) const fn tried(&self) -> usize {
        self.opened + self.failed
    }

    const fn alive(&self) -> usize {
        (self.opened + self.all.reopened).saturating_sub(self.all.closed)
    }

    pub(super) fn step(&self) -> Report {
        // A process that has ended meanwhile, as one that drains does, has no memory to tell of.
        let memory = self.pid.and_then(|pid| Memory::of(pid).ok());
        let alive = self.alive();
        let per_connection = |part: fn(&Memory) -> u64| {
            let (before, now) = (part(self.before.as_ref()?), part(memory.as_ref()?));
            let more = i64::try_from(now).ok()?.checked_sub(i64::try_from(before).ok()?)?;
            more.checked_div(i64::try_from(alive).ok()?)
        };
        Report::Step {
            alive,
            failed: self.failed,
            seconds: self.seconds(),
            rss_per_connection: per_connection(|memory| memory.rss),
            bytes_per_connection: per_connection(|memory| memory.private),
            memory,
        }
    }

    /// What happened since this was asked last; `None` if nothing did.
    pub(super) fn second(&mut self) -> Option<Report> {
        let told = std::mem::replace(&mut self.told, self.all);
        let closed = self.all.closed - told.closed;
        let reopened = self.all.reopened - told.reopened;
        let failed = self.all.failed_again - told.failed_again;
        let seconds = self.seconds();
        (closed + reopened + failed > 0).then(|| Report::Second {
            seconds,
            closed,
            reopened,
            failed,
            alive: self.alive(),
        })
    }

    pub(super) fn end(&mut self) -> Report {
        let (closed, reopened) = (self.all.closed, self.all.reopened);
        let first_error = self.first_error.take();
        Report::End { opened: self.opened, alive: self.alive(), failed: self.failed, closed, reopened, first_error }
    }

    fn seconds(&self) -> f64 {
        // Milliseconds are enough for people, and shorter.
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}
