//! A sign of life of a thread, for those who ask whether it works.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The thread has ended as it should, and gives no sign any more.
const OVER: u64 = u64::MAX;

/// When a thread was heard of last.
#[derive(Debug)]
pub struct Pulse {
    thread: String,
    patience_ms: u64,
    beaten_ms: AtomicU64,
}

impl Pulse {
    /// Of a thread that begins at `now_ms` and does not work any more when it is silent for longer than `patience`.
    pub fn new(thread: &str, patience: Duration, now_ms: u64) -> Self {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(OVER);
        Self { thread: thread.to_owned(), patience_ms, beaten_ms: AtomicU64::new(now_ms) }
    }

    /// The name of the thread.
    pub fn thread(&self) -> &str {
        &self.thread
    }

    /// The thread works.
    pub fn beat(&self, now_ms: u64) {
        self.beaten_ms.store(now_ms, Relaxed);
    }

    /// The thread ends, as it was told to.
    pub fn end(&self) {
        self.beaten_ms.store(OVER, Relaxed);
    }

    /// How long it has been silent, when that is longer than it may be.
    pub fn silent(&self, now_ms: u64) -> Option<Duration> {
        let silence_ms = now_ms.saturating_sub(self.beaten_ms.load(Relaxed));
        (silence_ms > self.patience_ms).then(|| Duration::from_millis(silence_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_last_sign_and_not_after_the_end() {
        let pulse = Pulse::new("data-0", Duration::from_secs(5), 1000);
        assert_eq!(pulse.silent(6000), None);
        assert_eq!(pulse.silent(6001), Some(Duration::from_millis(5001)));
        pulse.beat(6001);
        assert_eq!((pulse.silent(11_001), pulse.silent(500)), (None, None));
        pulse.end();
        assert_eq!(pulse.silent(u64::MAX - 1), None);
        assert_eq!(pulse.thread(), "data-0");
    }
}
