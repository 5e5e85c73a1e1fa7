//! The admin listener: metrics, readiness, health, status, explanations and what is known, on a thread of its own, so that it
//! answers also when the control thread does not.
//!
//! `router` puts the groups of `routes` together; `guard` and `authority` say who may ask and who may change something; `desk`
//! says who is answered when; `change` is the way of what changes something.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::control::director::Handles;
use crate::control::ledger::Ledger;
use crate::metrics::Metrics;
use crate::model::live::{Live, Ticks};

mod alive;
mod answer;
mod authority;
mod change;
mod described;
mod desk;
mod guard;
mod parameters;
mod peer;
mod router;
mod routes;
mod scrape;
mod serve;

pub use alive::Threads;
pub use change::Changed;
pub use serve::{Doors, serve};

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The Director's handles.
    pub handles: Handles,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The process is shutting down.
    pub draining: Arc<AtomicBool>,
    /// The threads that must work.
    pub threads: Threads,
}

impl Admin {
    /// Milliseconds of the process clock.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.handles.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> Ticks {
        Live::ticks(self.now_ms())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.handles.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
