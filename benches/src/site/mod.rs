//! Simulated site systems.
//!
//! A [`SiteSystem`] listens on one address and answers for the roles it holds, in the documented shapes. It can be made
//! ill while it runs ([`Faults`]), killed, stopped and started again, and it tells what it has seen ([`Counters`]).
//! Every answer names its server in `X-Site-System`.
//!
//! Its files stand on each other. Each uses only those in the rows above its own:
//!
//! | files | what they are |
//! |---|---|
//! | `gate`, `life`, `ntlm`, `policies`, `tls` | listeners, running and stopping, logons, policies, handshakes |
//! | `spec`, `faults`, `counters`, `link` | what a site system is to be, what is wrong with it, what it has seen; one connection |
//! | `stamp`, `sessions` | the time stamps of files, and uploads on their way |
//! | `shared` | all of that in one place, for connections and handlers |
//! | `wire`, `body` | the socket and the bodies of responses, where faults are made |
//! | `reply`, `request` | the forms of responses, and a request as its handler is given it |
//! | `files` | a file as the response |
//! | `management_point`, `messaging`, `upload` | handlers, which know nothing of each other |
//! | `distribution_point`, `update_point`, `pages` | more of them |
//! | `apps`, `auth` | which handler a path belongs to, and what a client must prove first |
//! | `server` | a request, from its head to the head of its response |
//! | `connection` | a connection of HTTP |
//! | `notification` | a connection of client notification |

mod apps;
mod auth;
mod body;
mod connection;
mod counters;
mod distribution_point;
mod faults;
mod files;
pub(crate) mod gate;
mod life;
mod link;
mod management_point;
mod messaging;
mod notification;
mod ntlm;
mod pages;
mod policies;
mod reply;
mod request;
mod server;
mod sessions;
mod shared;
mod spec;
mod stamp;
mod tls;
mod update_point;
mod upload;
mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::HeaderValue;
use tokio::task::JoinHandle;

pub use counters::{ContentSeen, Counters, Kind, Seen, Uploaded};
pub(crate) use distribution_point::file_target;
pub use faults::Faults;
pub use ntlm::DEFAULT_USER;
pub use policies::MAX_ANSWER;
pub use spec::{MAX_POLICIES, MAX_ROUNDS, Names, Role, ScanRounds, Spec, names};
pub use tls::{ClientCertificate, Tls, TlsSeen};
pub(crate) use upload::{PROTOCOL, SESSION_NOT_FOUND};

use gate::Gate;
use life::{Life, Phase};
use shared::{Shared, Terminators};

/// One simulated server.
pub struct SiteSystem {
    shared: Arc<Shared>,
    gates: Vec<Arc<Gate>>,
    acceptors: Vec<JoinHandle<()>>,
}

impl SiteSystem {
    /// Binds the addresses and serves on the current runtime.
    ///
    /// # Errors
    /// An address cannot be bound, the name cannot stand in a header, or the TLS does not fit.
    pub async fn start(spec: Spec) -> io::Result<Self> {
        let name = HeaderValue::from_str(&spec.name)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("'{}' cannot be a name", spec.name)))?;
        let terminators = Terminators::new(&spec)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("TLS of {}: {error}", spec.name)))?;
        let notifies = spec.roles.contains(&Role::ClientNotification);
        let speaks_http = !notifies || spec.roles.len() > 1;
        let mut gates = vec![Arc::new(Gate::open(spec.address)?)];
        if notifies && speaks_http {
            gates.push(Arc::new(Gate::open(spec.notification_address)?));
        }
        let shared = Arc::new(Shared::new(spec, terminators, Faults::new(gates.clone()), name));
        let mut acceptors = Vec::new();
        if speaks_http {
            let accept = connection::accept(Arc::clone(&shared), Arc::clone(&gates[0]), connection::http);
            acceptors.push(tokio::spawn(accept));
        }
        if let Some(gate) = gates.last().filter(|_| notifies) {
            let accept = connection::accept(Arc::clone(&shared), Arc::clone(gate), notification::serve);
            acceptors.push(tokio::spawn(accept));
        }
        Ok(Self { shared, gates, acceptors })
    }

    /// Where it listens: HTTP, or client notification if that is its only role.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.gates[0].address()
    }

    /// Where it listens for client notification, if it does.
    #[must_use]
    pub fn notification_address(&self) -> Option<SocketAddr> {
        let notifies = self.shared.spec.roles.contains(&Role::ClientNotification);
        self.gates.last().filter(|_| notifies).map(|gate| gate.address())
    }

    /// Its name, as `X-Site-System` gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.spec.name
    }

    /// Whether it speaks TLS where it listens for HTTP.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.shared.spec.tls.is_some()
    }

    /// What is wrong with it.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What it has seen.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Says something to every client that listens for notifications, and returns how many there are.
    pub fn push(&self, message: impl Into<Bytes>) -> usize {
        self.shared.pushes.send(message.into()).unwrap_or(0)
    }

    /// A power cut: when this returns, connecting is refused and no request is answered any more. Open connections are
    /// reset and uploads forgotten.
    pub fn kill(&self) {
        self.end(Phase::Killed);
        self.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }

    /// An orderly stop: when this returns, connecting is refused. Requests in flight are answered, then their
    /// connections close.
    pub fn stop(&self) {
        self.end(Phase::Stopping);
    }

    /// Returns when every connection is gone, after [`SiteSystem::kill`] or [`SiteSystem::stop`].
    pub async fn gone(&self) {
        self.shared.gone().await;
    }

    /// Listens on the same address again. The faults are as they were left.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn restart(&self) -> io::Result<()> {
        self.end(Phase::Stopping);
        self.shared.life.store(Arc::new(Life::new()));
        self.gates.iter().try_for_each(|gate| gate.run(true))
    }

    fn end(&self, phase: Phase) {
        for gate in &self.gates {
            // Only opening can fail.
            let _ = gate.run(false);
        }
        self.shared.life.load().end(phase);
    }
}

impl Drop for SiteSystem {
    fn drop(&mut self) {
        self.kill();
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }
}

impl fmt::Debug for SiteSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteSystem")
            .field("name", &self.name())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
