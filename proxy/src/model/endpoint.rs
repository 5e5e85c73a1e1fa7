//! One address of one site system in one role, and the right to use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rolegate_health::Passive;

use super::boundary::SubnetId;
use super::role::Role;
use super::tls::{Offer, Proof, Tls};
use crate::error::Error;
use crate::metrics::EndpointMetrics;

/// One address of a cluster, as the configuration and DNS have it. Rebuilt when either changes.
#[derive(Debug)]
pub struct Endpoint {
    /// The site system's name.
    pub system: Arc<str>,
    /// Position of the site system in the configuration.
    pub system_index: u16,
    /// Where connections go.
    pub address: SocketAddr,
    /// `Host` of the proxy's own questions.
    pub host: Arc<str>,
    /// The most specific subnet that contains its address.
    pub subnet: Option<SubnetId>,
    /// Share of the traffic.
    pub weight: u32,
    /// The share that the configuration says.
    pub configured_weight: u32,
    /// The role as this site system holds it: timeouts, limits and passive detection may differ from its peers'.
    pub role: Arc<Role>,
    /// TLS towards this endpoint.
    pub tls: Option<Tls>,
    /// The same in every process: what rendezvous hashing ranks by.
    pub hash: u64,
    /// What survives a reload.
    pub state: Arc<EndpointState>,
    /// Handles, resolved once.
    pub metrics: EndpointMetrics,
}

impl Endpoint {
    /// What is offered in TLS handshakes for a client that has shown this. A certificate of ours vouches for whoever comes with
    /// it, so it is for clients that have shown their own.
    pub fn offer(&self, proof: Proof) -> Option<&Offer> {
        let tls = self.tls.as_ref()?;
        let ours = proof == Proof::Certificate || self.role.lend_certificate;
        Some(if ours { &tls.ours } else { &tls.bare })
    }

    /// Whether TLS to it is on the same terms as to this one, its old self, for a client that has shown this.
    pub fn keeps_terms(&self, old: &Self, proof: Proof) -> bool {
        let terms = |endpoint: &Self| {
            let offer = endpoint.offer(proof)?;
            Some((offer.terms, endpoint.tls.as_ref()?.server_name.clone()))
        };
        terms(self) == terms(old)
    }

    /// Whether a failure may be the server's answer to a client that was lent no certificate of ours. Strangers would take
    /// every server out that wants one if that were a fault of the server's.
    pub fn may_want_certificate(&self, proof: Proof, error: Error) -> bool {
        let withheld = |tls: &Tls| tls.has_certificate() && proof == Proof::Nothing && !self.role.lend_certificate;
        // In TLS 1.3 the server says so when we believe that the handshake is over.
        matches!(error, Error::TlsFailed | Error::Terminated) && self.tls.as_ref().is_some_and(withheld)
    }
}

/// The live part of an endpoint: found again after a reload, shared by all threads.
#[derive(Debug)]
pub struct EndpointState {
    /// Never used again for another endpoint while the process lives.
    pub id: u32,
    in_flight: AtomicU32,
    /// Connections that clients are signed in on.
    held: AtomicU32,
    /// What live traffic says about it.
    pub passive: Passive,
    trial: Trials,
    silence: Silence,
}

/// What is known of requests that have waited for longer than [`QUIET`].
#[derive(Debug, Default)]
struct Silence {
    /// 0 where nothing of what follows is of interest: every pick reads it, and no more than it while all is well.
    noted: AtomicU32,
    waiting: AtomicU32,
    /// The client of the first of them.
    first: AtomicU64,
    /// Another client waits too, or has.
    several: AtomicBool,
    /// When one of them left for another server last, in milliseconds of the process clock; 0 after an answer.
    left_ms: AtomicU64,
    /// When some request was answered last while others waited so, in milliseconds of the process clock.
    answered_ms: AtomicU64,
}

/// A request that has waited for its answer for this long has waited for long. Most answers come within a tenth of it.
pub const QUIET: Duration = Duration::from_secs(1);

/// A server at which this many requests of several clients have waited for long, and which has answered none meanwhile, is silent. A
/// report alone may take its time.
const WAITING_AT_A_SILENT_ONE: u32 = 3;

/// How long a server is taken for silent after requests have left it, if it answers none. Probes have had their say by then.
const SILENT_FOR_MS: u64 = 10_000;

/// Requests that go there although it is said to be down.
#[derive(Debug, Default)]
struct Trials {
    under_way: AtomicBool,
    /// When one was answered last, in milliseconds of the process clock; 0 after one that was not.
    answered_ms: AtomicU64,
}

/// One that was answered speaks for those that come within this time.
const ANSWERED_COUNTS_MS: u64 = 2000;

impl EndpointState {
    /// A fresh endpoint without requests.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            in_flight: AtomicU32::new(0),
            held: AtomicU32::new(0),
            passive: Passive::default(),
            trial: Trials::default(),
            silence: Silence::default(),
        }
    }

    /// Whether requests wait there and it answers none: it may hang, and probes have not found it yet.
    pub fn is_silent(&self, now_ms: u64) -> bool {
        let Silence { noted, waiting, several, left_ms, answered_ms, first: _ } = &self.silence;
        if noted.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let quiet_ms = QUIET.as_millis() as u64;
        let wait = waiting.load(Ordering::Relaxed) >= WAITING_AT_A_SILENT_ONE
            && several.load(Ordering::Relaxed)
            && now_ms.saturating_sub(answered_ms.load(Ordering::Relaxed)) >= quiet_ms;
        let left_ms = left_ms.load(Ordering::Relaxed);
        wait || (left_ms > 0 && now_ms < left_ms + SILENT_FOR_MS)
    }

    /// A request has left it for another server because it is silent.
    pub fn left_silent(&self, now_ms: u64) {
        if self.silence.left_ms.swap(now_ms.max(1), Ordering::Relaxed) == 0 {
            self.silence.noted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has answered a request.
    pub fn answered(&self, now_ms: u64) {
        // Where nothing waits for long nothing is written: all data threads read this.
        let Silence { noted, waiting, left_ms, answered_ms, .. } = &self.silence;
        if noted.load(Ordering::Relaxed) == 0 {
            return;
        }
        if waiting.load(Ordering::Relaxed) > 0 {
            answered_ms.store(now_ms, Ordering::Relaxed);
        }
        if left_ms.load(Ordering::Relaxed) > 0 && left_ms.swap(0, Ordering::Relaxed) > 0 {
            noted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Requests and tunnels that are under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Connections that clients are signed in on.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether anything is under way, or may be.
    pub fn is_in_use(&self) -> bool {
        self.in_flight() > 0 || self.held() > 0
    }
}

/// The right to send a request to an endpoint that is said to be down: one has it at a time, and all when one was answered a
/// moment ago.
#[derive(Debug)]
pub struct Trial {
    state: Arc<EndpointState>,
    alone: bool,
}

impl Trial {
    /// The right, unless another request has it.
    pub fn take(state: &Arc<EndpointState>, now_ms: u64) -> Option<Self> {
        let answered_ms = state.trial.answered_ms.load(Ordering::Relaxed);
        if answered_ms > 0 && now_ms < answered_ms + ANSWERED_COUNTS_MS {
            return Some(Self { state: Arc::clone(state), alone: false });
        }
        let free = !state.trial.under_way.swap(true, Ordering::Relaxed);
        free.then(|| Self { state: Arc::clone(state), alone: true })
    }

    /// It was answered.
    pub fn answered(self, now_ms: u64) {
        self.state.trial.answered_ms.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// It was not.
    pub fn failed(self) {
        self.state.trial.answered_ms.store(0, Ordering::Relaxed);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.alone {
            self.state.trial.under_way.store(false, Ordering::Relaxed);
        }
    }
}

/// A connection that a client is signed in on: it takes no place at its endpoint, which is not forgotten before it ends.
#[derive(Debug)]
pub struct Hold {
    state: Arc<EndpointState>,
}

impl Hold {
    /// One more.
    pub fn take(state: &Arc<EndpointState>) -> Self {
        state.held.fetch_add(1, Ordering::Relaxed);
        Self { state: Arc::clone(state) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.state.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that has waited for its answer for longer than [`QUIET`], until this is dropped.
#[derive(Debug)]
pub struct Waiting {
    state: Arc<EndpointState>,
}

impl Waiting {
    /// One more, of a client with this hash.
    pub fn begin(state: &Arc<EndpointState>, client: u64) -> Self {
        let Silence { noted, waiting, first, several, .. } = &state.silence;
        noted.fetch_add(1, Ordering::Relaxed);
        if waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            first.store(client, Ordering::Relaxed);
            several.store(false, Ordering::Relaxed);
        } else if first.load(Ordering::Relaxed) != client {
            several.store(true, Ordering::Relaxed);
        }
        Self { state: Arc::clone(state) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.state.silence.waiting.fetch_sub(1, Ordering::Relaxed);
        self.state.silence.noted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to send one request to one endpoint. Dropping it gives the right back and blames nobody.
#[derive(Debug)]
pub struct Lease {
    state: Arc<EndpointState>,
}

impl Lease {
    /// Takes a place at the endpoint.
    pub fn take(state: &Arc<EndpointState>) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { state: Arc::clone(state) }
    }

    /// The endpoint's live part.
    pub fn state(&self) -> &EndpointState {
        &self.state
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_silent_when_several_wait_and_none_is_answered() {
        let state = Arc::new(EndpointState::new(1));
        let two = [1, 2].map(|client| Waiting::begin(&state, client));
        assert!(!state.is_silent(60_000), "two alone may be slow");
        let third = Waiting::begin(&state, 1);
        assert!(state.is_silent(60_000));
        state.answered(60_000);
        assert!(!state.is_silent(60_999), "it has answered another one");
        assert!(state.is_silent(61_000));
        drop(third);
        assert!(!state.is_silent(61_000));
        drop(two);
        state.answered(90_000);
        let again = [1, 1, 2].map(|client| Waiting::begin(&state, client));
        assert!(state.is_silent(90_500), "what was answered while none waited is of no interest");
        drop(again);
        let of_one = [1; 9].map(|client| Waiting::begin(&state, client));
        assert!(!state.is_silent(95_000), "one client may ask for what takes long");
        drop(of_one);
    }

    #[test]
    fn a_server_that_requests_have_left_is_silent_until_it_answers_one() {
        let state = EndpointState::new(1);
        state.left_silent(5_000);
        assert!(state.is_silent(5_000) && state.is_silent(14_999));
        assert!(!state.is_silent(15_000), "one may try again");
        state.left_silent(20_000);
        state.answered(20_500);
        assert!(!state.is_silent(20_500));
    }
}
