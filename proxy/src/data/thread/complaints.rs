//! Says in the log what goes wrong with client connections, but not a thousand times.

use std::cell::Cell;

use crate::connection_error::ConnectionError;

/// The same complaint is not repeated sooner, in milliseconds.
const PAUSE_MS: u64 = 60_000;

/// What was said when, on one data thread.
#[derive(Debug, Default)]
pub struct Complaints {
    said: [Said; ConnectionError::ALL.len()],
}

#[derive(Debug, Default)]
struct Said {
    next_ms: Cell<u64>,
    unsaid: Cell<u64>,
}

impl Complaints {
    /// It has happened again. `Some` when that is to be said, with how often it happened since the last time.
    pub fn about(&self, error: ConnectionError, now_ms: u64) -> Option<u64> {
        let said = &self.said[error.index()];
        let since = said.unsaid.get() + 1;
        if now_ms < said.next_ms.get() {
            said.unsaid.set(since);
            return None;
        }
        said.next_ms.set(now_ms + PAUSE_MS);
        said.unsaid.set(0);
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_made_once_a_minute_and_counts_what_was_not_said() {
        let complaints = Complaints::default();
        let about = |error, now_ms| complaints.about(error, now_ms);
        assert_eq!(about(ConnectionError::TlsProtocol, 5), Some(1));
        assert_eq!(about(ConnectionError::TlsProtocol, 6), None);
        assert_eq!(about(ConnectionError::TlsTimeout, 6), Some(1));
        assert_eq!(about(ConnectionError::TlsProtocol, 60_004), None);
        assert_eq!(about(ConnectionError::TlsProtocol, 60_005), Some(3));
    }
}
