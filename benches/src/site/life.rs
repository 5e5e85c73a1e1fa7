//! How a site system lives: it runs, is stopped in good order or killed, and starts anew.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::watch;

/// How far the life of a site system has come, from one start to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Stopping,
    Killed,
}

/// One life of a site system. Connections belong to the life that accepted them.
#[derive(Debug)]
pub(crate) struct Life {
    phase: watch::Sender<Phase>,
    killed: AtomicBool,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running), killed: AtomicBool::new(false) }
    }

    pub(crate) fn end(&self, phase: Phase) {
        self.killed.fetch_or(phase == Phase::Killed, Relaxed);
        // What was killed is not stopped in good order afterwards.
        self.phase.send_if_modified(|now| *now != Phase::Killed && std::mem::replace(now, phase) != phase);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }
}
