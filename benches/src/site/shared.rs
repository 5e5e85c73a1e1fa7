//! What all connections of a site system share, and all handlers of its requests.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::{Semaphore, broadcast};

use super::counters::Counters;
use super::faults::Faults;
use super::life::Life;
use super::policies::Policies;
use super::sessions::Sessions;
use super::spec::Spec;
use super::stamp::Stamp;
use super::tls::Terminator;

/// The TLS of both listeners.
#[derive(Debug)]
pub(crate) struct Terminators {
    pub(crate) http: Option<Terminator>,
    pub(crate) notification: Option<Terminator>,
}

impl Terminators {
    pub(crate) fn new(spec: &Spec) -> Result<Self, String> {
        let http = spec.tls.as_ref().map(Terminator::new).transpose()?;
        let notification = spec.notification_tls.as_ref().map(Terminator::new).transpose()?;
        Ok(Self { http, notification })
    }
}

/// What all connections of a site system share.
pub(crate) struct Shared {
    pub(crate) spec: Spec,
    pub(crate) terminators: Terminators,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) life: ArcSwap<Life>,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) user_states: Mutex<HashSet<String>>,
    pub(crate) policies: Policies,
    pub(crate) stamp: Stamp,
    pub(crate) pushes: broadcast::Sender<Bytes>,
    /// The name of the spec, as a header has it.
    pub(crate) name: HeaderValue,
    pub(crate) permits: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(spec: Spec, terminators: Terminators, faults: Faults, name: HeaderValue) -> Self {
        Self {
            terminators,
            faults,
            counters: Counters::default(),
            life: ArcSwap::from_pointee(Life::new()),
            sessions: Mutex::default(),
            user_states: Mutex::default(),
            policies: Policies::new(&spec.site_code, spec.policies, spec.policy_sizes),
            stamp: Stamp::new(&spec),
            pushes: broadcast::channel(16).0,
            name,
            permits: Arc::new(Semaphore::new(spec.max_connections)),
            spec,
        }
    }

    /// Waits until every connection is gone.
    pub(crate) async fn gone(&self) {
        let all = u32::try_from(self.spec.max_connections).unwrap_or(u32::MAX);
        // The semaphore is never closed, so that all permits come back in the end.
        let _ = self.permits.acquire_many(all).await;
    }
}
