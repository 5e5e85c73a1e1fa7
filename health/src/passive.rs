//! Watching how live requests end.
//!
//! One [`Passive`] belongs to one server and is shared by every thread that sends requests to it. It rings when too
//! many requests failed in a row, or when too large a share of the recent ones did. It only rings: whether the server
//! is taken out is for [`crate::Ejections`] to say, which sees the whole cluster.
//!
//! One client must not be able to take a server away from all others. A connection that cannot be made is the server's
//! failure, whichever client asks. A failure that comes after a request was sent may be that request's doing: in a row, those
//! of one client count less than half of what raises the alarm, and a share is judged without the failures of the client that
//! has most. Clients are told apart in a small set beside each count. One that fails more often than others is always in it,
//! with no less than its number: when the set is full, the one with the fewest failures makes room and leaves them behind.
//!
//! The recent requests are counted in two halves of the window that take turns, so a count is between half a window
//! and a whole window old. Each half is one atomic word that holds its own time stamp. A thread can therefore never
//! see the counts of one half beside the time of another, and an old count cannot raise an alarm. A race between
//! threads may lose a count or put it into the neighboring half, and nothing worse.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use crate::schedule::seconds;

/// When live traffic speaks against a server, and for how long it is then left alone.
///
/// In JSON, durations are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PassivePolicy {
    /// Failed requests in a row that raise the alarm; 0 turns this trigger off. Default 5.
    pub consecutive_failures: u32,
    /// Share of failed requests in the window that raises the alarm, in percent, 1 to 100; 0 turns this trigger off.
    /// Default 50.
    pub failure_percent: u32,
    /// Requests in the window below which the share says nothing; 0 counts as 1. Default 20.
    pub min_requests: u32,
    /// How far back the share looks, at least 2 ms. Default 30 s.
    #[serde(serialize_with = "seconds")]
    pub window: Duration,
    /// How long the first ejection lasts; the second lasts twice as long, and so on. Zero turns ejection off.
    /// Default 30 s.
    #[serde(serialize_with = "seconds")]
    pub eject_time: Duration,
    /// The longest ejection. Default 300 s.
    #[serde(serialize_with = "seconds")]
    pub max_eject_time: Duration,
}

impl Default for PassivePolicy {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_percent: 50,
            min_requests: 20,
            window: Duration::from_secs(30),
            eject_time: Duration::from_secs(30),
            max_eject_time: Duration::from_secs(300),
        }
    }
}

/// How one request to a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server has answered.
    Passed,
    /// No connection could be made: no request can be the reason.
    Unreached,
    /// It has failed after a request of this client was sent. Any number that tells clients apart.
    Failed {
        /// The client.
        client: u32,
    },
}

/// How the live requests to one server end. Only atomics: no lock, no allocation.
#[derive(Debug, Default)]
pub struct Passive {
    row: Row,
    alarm: AtomicBool,
    halves: [Half; 2],
}

impl Passive {
    /// A server without any requests yet.
    pub const fn new() -> Self {
        Self { row: Row::new(), alarm: AtomicBool::new(false), halves: [Half::new(), Half::new()] }
    }

    /// Counts one finished request.
    ///
    /// True exactly when this call raised the alarm, so one caller tells the control thread and all others go on.
    /// Only a failure can raise it. While the alarm is on, nothing is counted. `now_ms` is any clock that counts
    /// milliseconds; all callers use the same one.
    pub fn record(&self, policy: &PassivePolicy, now_ms: u64, ending: Ending) -> bool {
        if self.alarm.load(Relaxed) {
            return false;
        }
        let row_is_long = self.count_row(policy, ending);
        let share_is_large = self.count_share(policy, now_ms, ending);
        (row_is_long || share_is_large) && !self.alarm.swap(true, Relaxed)
    }

    /// Whether the alarm is on: it was raised and not yet reset.
    pub fn alarm(&self) -> bool {
        self.alarm.load(Relaxed)
    }

    /// Turns the alarm off and forgets what was counted.
    pub fn reset(&self) {
        self.row.end();
        for half in &self.halves {
            half.word.store(0, Relaxed);
            half.clients.forget();
        }
        self.alarm.store(false, Relaxed);
    }

    fn count_row(&self, policy: &PassivePolicy, ending: Ending) -> bool {
        if policy.consecutive_failures == 0 {
            return false;
        }
        if ending == Ending::Passed {
            // A store takes the cache line away from the other threads, and usually there is no row.
            if self.row.is_begun() {
                self.row.end();
            }
            return false;
        }
        self.row.count(ending, of_one(policy.consecutive_failures), policy.consecutive_failures)
    }

    fn count_share(&self, policy: &PassivePolicy, now_ms: u64, ending: Ending) -> bool {
        if policy.failure_percent == 0 {
            return false;
        }
        let epoch = (now_ms / half_window_ms(policy.window)) & EPOCH_MASK;
        let half = &self.halves[(epoch & 1) as usize];
        let before = &self.halves[(epoch & 1 ^ 1) as usize];
        let this = half.count(epoch, ending != Ending::Passed);
        match ending {
            Ending::Passed => return false,
            Ending::Unreached => {}
            Ending::Failed { client } => _ = half.clients.failed(epoch, client),
        }
        let other = Counts::of(before.word.load(Relaxed));
        let other = if other.epoch == this.epoch.wrapping_sub(1) & EPOCH_MASK { other } else { Counts::default() };
        let of_one = half.clients.most(this.epoch) + before.clients.most(this.epoch.wrapping_sub(1));
        let requests = (this.requests + other.requests).saturating_sub(of_one);
        let failures = (this.failures + other.failures).saturating_sub(of_one);
        failures > 0
            && requests >= u64::from(policy.min_requests.max(1))
            && failures * 100 >= requests * u64::from(policy.failure_percent)
    }
}

/// How many failures of one client count, of so many that raise the alarm: less than half.
fn of_one(alarming: u32) -> u64 {
    u64::from(alarming.saturating_sub(1) / 2).max(1)
}

/// Failures without a success in between.
#[derive(Debug, Default)]
struct Row {
    /// Which row it is, and how long: 32 bits each.
    word: AtomicU64,
    clients: Clients,
    /// The row in which a connection could not be made.
    unreached: AtomicU64,
}

impl Row {
    const fn new() -> Self {
        Self { word: AtomicU64::new(1 << 32), clients: Clients::new(), unreached: AtomicU64::new(0) }
    }

    fn is_begun(&self) -> bool {
        self.word.load(Relaxed) as u32 != 0
    }

    /// Another row, and nothing in it.
    fn end(&self) {
        let row = (self.word.load(Relaxed) >> 32).wrapping_add(1);
        self.word.store(row << 32, Relaxed);
    }

    /// Whether it is as long as that, with this failure.
    fn count(&self, ending: Ending, of_one: u64, alarming: u32) -> bool {
        let row = self.word.load(Relaxed) >> 32;
        match ending {
            Ending::Failed { client } if self.clients.failed(row, client) > of_one => return false,
            Ending::Failed { .. } | Ending::Passed => {}
            Ending::Unreached => self.unreached.store(row, Relaxed),
        }
        let length = self.word.fetch_add(1, Relaxed) as u32 + 1;
        length >= alarming && (self.unreached.load(Relaxed) == row || self.clients.are_several(row))
    }
}

/// Clients whose requests have failed: a few of them, in one count.
#[derive(Debug, Default)]
struct Clients {
    /// 20 bits of the count that it belongs to, then [`COUNT_BITS`] of failures, and as many of the client.
    cells: [AtomicU64; CELLS],
}

const CELLS: usize = 8;

impl Clients {
    const fn new() -> Self {
        Self { cells: [const { AtomicU64::new(0) }; CELLS] }
    }

    /// A failure of this client in this count. Gives how many it has had, or more.
    fn failed(&self, count: u64, client: u32) -> u64 {
        let (count, client) = (count & EPOCH_MASK, u64::from(client) & COUNT_MASK);
        let failures = |seen: u64| {
            if seen >> (2 * COUNT_BITS) == count { seen >> COUNT_BITS & COUNT_MASK } else { 0 }
        };
        loop {
            let seen = self.cells.iter().map(|cell| (cell, cell.load(Relaxed)));
            let own = seen.clone().find(|(_, seen)| failures(*seen) > 0 && seen & COUNT_MASK == client);
            let Some((cell, seen)) = own.or_else(|| seen.min_by_key(|(_, seen)| failures(*seen))) else { return 1 };
            let more = (failures(seen) + 1).min(COUNT_MASK);
            let next = count << (2 * COUNT_BITS) | more << COUNT_BITS | client;
            if cell.compare_exchange(seen, next, Relaxed, Relaxed).is_ok() {
                return more;
            }
        }
    }

    /// Failures of the client that has most in a count.
    fn most(&self, count: u64) -> u64 {
        self.of(count).map(|cell| cell >> COUNT_BITS & COUNT_MASK).max().unwrap_or(0)
    }

    fn are_several(&self, count: u64) -> bool {
        self.of(count).nth(1).is_some()
    }

    fn of(&self, count: u64) -> impl Iterator<Item = u64> {
        let cells = self.cells.iter().map(|cell| cell.load(Relaxed));
        cells.filter(move |cell| *cell != 0 && cell >> (2 * COUNT_BITS) == count & EPOCH_MASK)
    }

    fn forget(&self) {
        self.cells.iter().for_each(|cell| cell.store(0, Relaxed));
    }
}

fn half_window_ms(window: Duration) -> u64 {
    let ms = window.as_secs().saturating_mul(1000).saturating_add(u64::from(window.subsec_millis()));
    (ms / 2).max(1)
}

/// Half a window's counts in one word: 20 bits of time stamp, 22 of failures, 22 of requests.
#[derive(Debug, Default)]
struct Half {
    word: AtomicU64,
    clients: Clients,
}

const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_MASK: u64 = (1 << 20) - 1;

/// Here a half stops counting. The rest of the field is room for the threads that saw the count just before.
const FULL: u64 = COUNT_MASK - 0xffff;

impl Half {
    const fn new() -> Self {
        Self { word: AtomicU64::new(0), clients: Clients::new() }
    }

    fn count(&self, epoch: u64, failed: bool) -> Counts {
        let one = Counts { epoch: 0, failures: u64::from(failed), requests: 1 }.word();
        let mut seen = self.word.load(Relaxed);
        loop {
            let counts = Counts::of(seen);
            // A thread whose clock reading is late finds its half in use for the next turn, two epochs on. Starting
            // over for it would throw away what the others counted.
            let ahead = counts.epoch.wrapping_sub(epoch) & EPOCH_MASK;
            if ahead == 0 || (ahead == 2 && counts.requests > 0) {
                if counts.requests >= FULL {
                    return counts;
                }
                return Counts::of(self.word.fetch_add(one, Relaxed) + one);
            }
            let fresh = Counts { epoch, failures: u64::from(failed), requests: 1 };
            match self.word.compare_exchange_weak(seen, fresh.word(), Relaxed, Relaxed) {
                Ok(_) => return fresh,
                Err(newer) => seen = newer,
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    epoch: u64,
    failures: u64,
    requests: u64,
}

impl Counts {
    fn of(word: u64) -> Self {
        Self {
            epoch: word >> (2 * COUNT_BITS),
            failures: (word >> COUNT_BITS) & COUNT_MASK,
            requests: word & COUNT_MASK,
        }
    }

    fn word(self) -> u64 {
        self.epoch << (2 * COUNT_BITS) | self.failures << COUNT_BITS | self.requests
    }
}

#[cfg(test)]
mod tests;
