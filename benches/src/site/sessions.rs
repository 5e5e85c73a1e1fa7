//! The upload sessions of a site system: what has arrived of each.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::counters::Uploaded;
use crate::message::guid;

const MAX_SESSIONS: usize = 4096;

/// One upload on its way.
pub(crate) struct Session {
    target: String,
    received: u64,
    total: Option<u64>,
    hasher: Sha256,
}

/// What became of a fragment of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// All of it has arrived.
    All,
    /// It was left out: bytes before it are missing.
    Gap,
}

impl Session {
    /// How much has arrived, in bytes.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether the upload can have so many bytes in all: a fragment may not say otherwise than the one before.
    pub(crate) fn can_have(&self, total: u64) -> bool {
        self.total.is_none_or(|known| known == total)
    }

    /// Adds a fragment that begins at `first` of an upload of `total` bytes.
    pub(crate) fn add(&mut self, first: u64, total: u64, data: &[u8]) -> Added {
        let Some(again) = self.received.checked_sub(first) else {
            return Added::Gap;
        };
        self.total = Some(total);
        // A client that saw no Ack sends bytes again that have arrived.
        let again = usize::try_from(again).unwrap_or(usize::MAX);
        if let Some(new) = data.get(again..) {
            self.hasher.update(new);
            self.received += new.len() as u64;
        }
        Added::All
    }

    /// Whether bytes are still to come.
    pub(crate) fn lacks_bytes(&self) -> bool {
        self.total.is_some_and(|total| total != self.received)
    }

    /// What was uploaded in the session of this id.
    pub(crate) fn uploaded(self, id: &str) -> Uploaded {
        Uploaded {
            session: id.to_owned(),
            target: self.target,
            bytes: self.received,
            sha256: self.hasher.finalize().into(),
        }
    }
}

/// The upload sessions of one server.
#[derive(Default)]
pub(crate) struct Sessions {
    open: HashMap<String, Session>,
}

impl Sessions {
    /// Opens a session for an upload to this target, and returns its id; `None` while too many are open.
    pub(crate) fn open(&mut self, target: String) -> Option<String> {
        if self.open.len() >= MAX_SESSIONS {
            return None;
        }
        let id = format!("{{{}}}", guid(fastrand::u128(..)));
        self.open.insert(id.clone(), Session { target, received: 0, total: None, hasher: Sha256::new() });
        Some(id)
    }

    /// The session of this id, if it is open.
    pub(crate) fn find(&mut self, id: &str) -> Option<&mut Session> {
        self.open.get_mut(id)
    }

    /// Closes the session of this id, if it is open.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Session> {
        self.open.remove(id)
    }

    /// Forgets all of them.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}
