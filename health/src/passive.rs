//! Watching how live requests end.
//!
//! One [`Passive`] belongs to one server and is shared by every thread that sends requests to it. It rings when too
//! many requests failed in a row, or when too large a share of the recent ones did. It only rings: whether the server
//! is taken out is for [`crate::Ejections`] to say, which sees the whole cluster.
//!
//! The recent requests are counted in two halves of the window that take turns, so a count is between half a window
//! and a whole window old. Each half is one atomic word that holds its own time stamp. A thread can therefore never
//! see the counts of one half beside the time of another, and an old count cannot raise an alarm. A race between
//! threads may lose a count or put it into the neighboring half, and nothing worse.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
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

/// How the live requests to one server end. Only atomics: no lock, no allocation.
#[derive(Debug, Default)]
pub struct Passive {
    consecutive: AtomicU32,
    alarm: AtomicBool,
    halves: [Half; 2],
}

impl Passive {
    /// A server without any requests yet.
    pub const fn new() -> Self {
        Self { consecutive: AtomicU32::new(0), alarm: AtomicBool::new(false), halves: [Half::new(), Half::new()] }
    }

    /// Counts one finished request.
    ///
    /// True exactly when this call raised the alarm, so one caller tells the control thread and all others go on.
    /// Only a failure can raise it. While the alarm is on, nothing is counted. `now_ms` is any clock that counts
    /// milliseconds; all callers use the same one.
    pub fn record(&self, policy: &PassivePolicy, now_ms: u64, failed: bool) -> bool {
        if self.alarm.load(Relaxed) {
            return false;
        }
        let row_is_long = self.count_row(policy, failed);
        let share_is_large = self.count_share(policy, now_ms, failed);
        (row_is_long || share_is_large) && !self.alarm.swap(true, Relaxed)
    }

    /// Whether the alarm is on: it was raised and not yet reset.
    pub fn alarm(&self) -> bool {
        self.alarm.load(Relaxed)
    }

    /// Turns the alarm off and forgets what was counted.
    pub fn reset(&self) {
        self.consecutive.store(0, Relaxed);
        for half in &self.halves {
            half.word.store(0, Relaxed);
        }
        self.alarm.store(false, Relaxed);
    }

    fn count_row(&self, policy: &PassivePolicy, failed: bool) -> bool {
        if policy.consecutive_failures == 0 {
            return false;
        }
        if failed {
            return self.consecutive.fetch_add(1, Relaxed) >= policy.consecutive_failures - 1;
        }
        // A store takes the cache line away from the other threads, and the usual value is zero already.
        if self.consecutive.load(Relaxed) != 0 {
            self.consecutive.store(0, Relaxed);
        }
        false
    }

    fn count_share(&self, policy: &PassivePolicy, now_ms: u64, failed: bool) -> bool {
        if policy.failure_percent == 0 {
            return false;
        }
        let epoch = (now_ms / half_window_ms(policy.window)) & EPOCH_MASK;
        let this = self.halves[(epoch & 1) as usize].count(epoch, failed);
        if !failed {
            return false;
        }
        let other = Counts::of(self.halves[(epoch & 1 ^ 1) as usize].word.load(Relaxed));
        let before = if other.epoch == this.epoch.wrapping_sub(1) & EPOCH_MASK { other } else { Counts::default() };
        let requests = this.requests + before.requests;
        let failures = this.failures + before.failures;
        requests >= u64::from(policy.min_requests.max(1))
            && failures * 100 >= requests * u64::from(policy.failure_percent)
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
}

const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_MASK: u64 = (1 << 20) - 1;

/// Here a half stops counting. The rest of the field is room for the threads that saw the count just before.
const FULL: u64 = COUNT_MASK - 0xffff;

impl Half {
    const fn new() -> Self {
        Self { word: AtomicU64::new(0) }
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
