//! Simulated clients.
//!
//! A [`Client`] is one Configuration Manager client behind one address, with one keep-alive connection, or with several
//! while it downloads. What it repeats is what a real one repeats, and every repetition is in the [`Step`] that it
//! returns, so that a test can say that there was none. A request that a proxy could have tried elsewhere and did not
//! is an error.

mod access;
mod download;
mod exchange;
mod location;
mod logon;
mod management;
mod messaging;
mod observe;
mod policy;
mod ranges;
mod scan;
mod subject;
mod tls;
mod upload;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::message::guid;
use crate::record::Failure;
use crate::site::DEFAULT_USER;
pub use access::Access;
use exchange::{Ask, Line, Open, Patience, Way};
pub use logon::Credentials;
use observe::Observer;
pub use observe::{Begun, Exchange, Observe};
pub use scan::Scan;
pub use subject::Subject;
pub use tls::{Connector, Tls};
pub use upload::Report;

const MAX_SERVED_BY: usize = 65_536;
const MAX_CONCURRENCY: usize = 64;

/// What one activity of a client took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Requests sent, repeated ones included.
    pub requests: u32,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// Who answered each request, from `X-Site-System`. Holds 65,536 names at most.
    pub served_by: Vec<String>,
    /// Bodies that were cut and continued at the same place.
    pub resumed: u32,
    /// Files, or scans, that were begun again because the server's idea of them had changed.
    pub restarted: u32,
    /// Bytes of files that were thrown away because the file was begun again.
    pub discarded: u64,
    /// Requests of a download or an upload that were repeated, after a pause, because the answer was 502, 503 or 504 or
    /// there was none.
    pub retried: u32,
    /// Messages that were sent again after 502, 503, 504 or a cut.
    pub resent: u32,
    /// Reads that were repeated because a kept connection ended before any answer.
    pub reopened: u32,
    /// Uploads that were begun again because the server did not know their session.
    pub sessions_lost: u32,
    /// The last host that an upload was sent to by `BITS-Host-Id`, past the proxy.
    pub led_away: Option<String>,
}

impl Step {
    /// Adds what `other` took.
    pub fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.resumed += other.resumed;
        self.restarted += other.restarted;
        self.discarded += other.discarded;
        self.retried += other.retried;
        self.resent += other.resent;
        self.reopened += other.reopened;
        self.sessions_lost += other.sessions_lost;
        self.led_away = other.led_away.or_else(|| self.led_away.take());
        let room = MAX_SERVED_BY.saturating_sub(self.served_by.len());
        self.served_by.extend(other.served_by.into_iter().take(room));
    }

    /// Whether nothing had to be repeated.
    #[must_use]
    pub const fn is_smooth(&self) -> bool {
        let repeated = self.resumed + self.restarted + self.retried + self.resent + self.reopened + self.sessions_lost;
        repeated == 0
    }

    fn served(&mut self, headers: &HeaderMap) {
        let name = headers.get("x-site-system").and_then(|name| name.to_str().ok());
        if let Some(name) = name.filter(|_| self.served_by.len() < MAX_SERVED_BY) {
            self.served_by.push(name.to_owned());
        }
    }
}

/// Why a client gave up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect from {from} to {to}: {source}")]
    Connect {
        /// The client's own address.
        from: IpAddr,
        /// Where it wanted to go.
        to: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An answer, but not the one that was needed.
    #[error("{method} {target}: status {status} from {}", served_by.as_deref().unwrap_or("no site system"))]
    Status {
        /// The method.
        method: String,
        /// The request target.
        target: String,
        /// The status.
        status: StatusCode,
        /// The site system that answered; `None` when the proxy did.
        served_by: Option<String>,
    },
    /// The connection ended before the answer did.
    #[error("{method} {target}: {how} after {received} bytes: {why}")]
    Cut {
        /// The method.
        method: String,
        /// The request target.
        target: String,
        /// How much of the response body had arrived.
        received: u64,
        /// What that counts as.
        how: Failure,
        /// What the connection said.
        why: String,
    },
    /// A file that had other validators every time it was begun.
    #[error("{file}: {was} became {is}, after it was begun again {restarts} times")]
    Changed {
        /// The target of the file.
        file: String,
        /// How often it was begun again before.
        restarts: u32,
        /// The validators that it was last begun with.
        was: String,
        /// The validators that it was then found with.
        is: String,
    },
    /// A file that is not the one that was distributed.
    #[error("{file}: SHA-256 {found} where {expected} was distributed")]
    Hash {
        /// The target of the file.
        file: String,
        /// The hash that it should have.
        expected: String,
        /// The hash that it has.
        found: String,
    },
    /// An answer with other bytes of a file than were distributed.
    #[error("{file}: other bytes than were distributed, from {offset} on")]
    Content {
        /// The target of the file.
        file: String,
        /// The first byte that may be wrong.
        offset: u64,
    },
    /// Bytes that make no sense.
    #[error("{0}")]
    Protocol(String),
    /// No answer, or no more of a body, in time.
    #[error("{method} {target}: nothing for {after:?}")]
    Timeout {
        /// The method.
        method: String,
        /// The request target.
        target: String,
        /// How long it waited.
        after: Duration,
    },
}

impl ClientError {
    /// Whether it may be otherwise in a while, as BITS sees it. 404 is for good.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Cut { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => is_transient(*status),
            Self::Changed { .. } | Self::Hash { .. } | Self::Content { .. } | Self::Protocol(_) => false,
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The site system that answered; `None` when the proxy did.
    #[must_use]
    pub fn served_by(&self) -> Option<&str> {
        self.headers.get("x-site-system").and_then(|name| name.to_str().ok())
    }
}

/// One Configuration Manager client.
pub struct Client {
    id: String,
    rng: fastrand::Rng,
    resends: u32,
    resend_pause: Duration,
    ranges: u32,
    concurrency: usize,
    restarts: u32,
    patience: Patience,
    credentials: Credentials,
    access: Access,
    line: Line,
    // Connections that a download opened besides the first, kept for the next file.
    spare: Vec<Open>,
}

impl Client {
    /// A client with an id that follows from `seed`, which connects from `source` (not bound if unspecified) to `proxy`
    /// and asks for `host`.
    #[must_use]
    pub fn new(source: IpAddr, proxy: SocketAddr, host: &str, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let timeout = Duration::from_secs(30);
        let way = Way { source, proxy, host: host.to_owned(), timeout, tls: None, token: None, observer: None };
        Self {
            id: guid(rng.u128(..)),
            rng,
            resends: 5,
            resend_pause: Duration::from_millis(50),
            ranges: 4,
            concurrency: 1,
            restarts: 5,
            patience: Patience { times: 0, pause: Duration::ZERO },
            credentials: Credentials::new(DEFAULT_USER.0, DEFAULT_USER.1),
            access: Access::Anonymous,
            line: Line::new(way, None),
            spare: Vec::new(),
        }
    }

    /// Speaks TLS on every connection.
    ///
    /// # Errors
    /// There is no certificate, key or authority where one should be.
    pub fn with_tls(self, tls: &Tls) -> Result<Self, String> {
        Ok(self.with_connector(tls.connector()?))
    }

    /// Speaks TLS on every connection, and resumes the sessions of others that have a copy of this.
    #[must_use]
    pub fn with_connector(mut self, connector: Connector) -> Self {
        self.line.way.tls = Some(connector);
        self
    }

    /// Waits so long for an answer, and for each piece of a body: 30 s.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.line.way.timeout = timeout;
        self
    }

    /// Sends a message again up to `times`, `pause` apart: 5 times, 50 ms.
    #[must_use]
    pub const fn with_resend(mut self, times: u32, pause: Duration) -> Self {
        self.resends = times;
        self.resend_pause = pause;
        self
    }

    /// Fetches each file in so many ranges, 1 to 1000: 4.
    #[must_use]
    pub fn with_ranges(mut self, ranges: u32) -> Self {
        self.ranges = ranges.clamp(1, 1000);
        self
    }

    /// Fetches so many ranges of a file at a time, 1 to 64: 1. Each has a connection of its own, from the same address.
    #[must_use]
    pub fn with_concurrency(mut self, ranges: usize) -> Self {
        self.concurrency = ranges.clamp(1, MAX_CONCURRENCY);
        self
    }

    /// Begins a file again up to `times` when its size, ETag or time stamp changes: 5 times, where BITS has no end.
    /// With 0 the first change is the error.
    #[must_use]
    pub const fn with_restarts(mut self, times: u32) -> Self {
        self.restarts = times;
        self
    }

    /// Repeats a request of a download or an upload up to `times` in a row, `pause` apart, when the answer was 502, 503
    /// or 504 or there was none. A byte that arrives starts the count anew. Never unless told so, where BITS waits ten
    /// minutes and has two weeks: what a proxy did not hide is to be seen.
    #[must_use]
    pub const fn with_retries(mut self, times: u32, pause: Duration) -> Self {
        self.patience = Patience { times, pause };
        self
    }

    /// Is known to its site by a token, and uses the paths for those that are.
    #[must_use]
    pub fn with_token(mut self) -> Self {
        self.access = Access::Token;
        self.line.way.token = access::token(&self.id);
        self
    }

    /// The client's id, without `GUID:`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tells `observer`, and nobody else any more, of each request that ends and of each connection.
    pub fn observed_by(&mut self, observer: std::sync::Arc<dyn Observe>) {
        self.line.way.observer = Some(Observer(observer));
    }

    /// Whether a connection is open that the next request may use.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.line.open.is_some()
    }

    /// Closes every connection but the one that the next request will use.
    pub fn keep_one_connection(&mut self) {
        self.spare.clear();
    }

    /// Closes every connection; the next request opens another.
    pub fn disconnect(&mut self) {
        self.line.open = None;
        self.spare.clear();
    }

    /// Sends any request and gives its answer, whatever the status. Only a read whose kept connection had ended is
    /// repeated.
    ///
    /// # Errors
    /// There was no whole answer.
    pub async fn request(&mut self, method: Method, target: &str, body: Bytes) -> Result<Answer, ClientError> {
        self.whole(&Ask::new(method, target).body(body), &mut Step::default()).await
    }

    /// As [`Client::request`], with header fields.
    ///
    /// # Errors
    /// There was no whole answer.
    pub async fn request_with(
        &mut self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut ask = Ask::new(method, target).body(body);
        ask.headers = headers;
        self.whole(&ask, &mut Step::default()).await
    }
}
