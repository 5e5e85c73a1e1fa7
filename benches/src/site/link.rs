//! What is known about one connection, and what may be done to it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::life::Life;
use super::ntlm::Pending;
use super::tls::Secured;

const PLAIN: u8 = 0;
const RESET: u8 = 1;
const CLOSE: u8 = 2;
const SPOIL: u8 = 3;

/// What a connection knows about its user.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    pub(crate) pending: Option<Pending>,
    pub(crate) user: Option<String>,
}

/// What the handlers of one connection know about it and may do to it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) life: Arc<Life>,
    pub(crate) auth: Mutex<Auth>,
    pub(crate) secured: OnceLock<Secured>,
    mode: AtomicU8,
    lingers: AtomicBool,
}

impl Link {
    pub(crate) fn new(id: u64, peer: SocketAddr, life: Arc<Life>) -> Self {
        let (mode, lingers) = (AtomicU8::new(PLAIN), AtomicBool::new(false));
        Self { id, peer, life, auth: Mutex::default(), secured: OnceLock::new(), mode, lingers }
    }

    /// Who this connection belongs to.
    pub(crate) fn user(&self) -> Option<String> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner).user.clone()
    }

    /// Resets the connection as soon as what was written so far is out.
    pub(crate) fn reset_when_flushed(&self) {
        self.mode.store(RESET, Relaxed);
    }

    /// Closes the connection as soon as what was written so far is out.
    pub(crate) fn close_when_flushed(&self) {
        self.mode.store(CLOSE, Relaxed);
    }

    /// Whatever is written next goes out as garbage.
    pub(crate) fn spoil(&self) {
        self.mode.store(SPOIL, Relaxed);
    }

    /// Reads on after the last answer, so that unread bytes do not reset the connection and the answer with it.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    /// Whether it ends with a reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.mode.load(Relaxed) == RESET
    }

    /// Whether what is written next goes out as garbage.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.mode.load(Relaxed) == SPOIL
    }

    /// Whether it ends when what was written so far is out.
    pub(crate) fn ends_when_flushed(&self) -> bool {
        matches!(self.mode.load(Relaxed), RESET | CLOSE)
    }

    /// Whether it is read after the last answer.
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }
}
