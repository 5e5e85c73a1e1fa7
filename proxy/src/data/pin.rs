//! Connection-bound authentication: one client connection, one upstream connection.
//!
//! NTLM and Negotiate authenticate a TCP connection, not a request. From the first 401 that offers one of them, or the first
//! `Authorization` that uses one, the upstream connection belongs to this client connection: it never sees the pool, no
//! other client ever uses it, and both close together. A connection that has been pooled is never authenticated on: a 401
//! that comes on one goes to the client, and what the client answers goes to a new connection.

use std::task::Context;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::pool::Sender;
use super::worker::Held;
use crate::metrics::RoleMetrics;
use crate::model::cluster::EndpointIndex;
use crate::model::endpoint::Lease;
use crate::model::route::ClusterId;

/// An upstream connection that belongs to one client connection.
#[derive(Debug)]
pub struct Pinned {
    /// The version of the world it was made in. It keeps to it: a reload may have moved or removed its endpoint, and an
    /// authenticated connection cannot change its server.
    pub snapshot: Held,
    /// The role in that version.
    pub role: ClusterId,
    /// The endpoint in that version.
    pub endpoint: EndpointIndex,
    /// The connection.
    pub sender: Sender,
    /// Its place at the endpoint, held between requests too: the connection is taken up all the time.
    pub lease: Lease,
}

/// Who ended a pinned pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinEnd {
    /// The client went, or was idle for too long.
    Client,
    /// The server closed its side.
    Server,
    /// A request failed on it.
    Failure,
}

impl PinEnd {
    /// Counts it.
    pub fn count(self, metrics: &RoleMetrics) {
        let counter = match self {
            Self::Client => &metrics.pins_by_client,
            Self::Server => &metrics.pins_by_server,
            Self::Failure => &metrics.pins_failed,
        };
        counter.increment(1);
    }
}

/// The pinned connections of one client connection, at most one for each role.
#[derive(Debug, Default)]
pub struct Pins {
    pins: Vec<Pinned>,
}

impl Pins {
    /// Takes the pinned connection of a role for a request.
    pub fn take(&mut self, role: &str) -> Option<Pinned> {
        let same = |pin: &Pinned| pin.snapshot.cluster(pin.role).topology.role.name == role;
        let place = self.pins.iter().position(same)?;
        Some(self.pins.swap_remove(place))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// Keeps a connection for the next request.
    pub fn keep(&mut self, pin: Pinned) {
        self.pins.push(pin);
    }

    /// All of them end.
    pub fn end(&mut self, ended: PinEnd) {
        for pin in self.pins.drain(..) {
            ended.count(&pin.snapshot.cluster(pin.role).topology.metrics);
        }
    }

    /// Whether one of them was closed by the other side. If not, the task is woken when one is.
    pub fn any_closed(&mut self, cx: &mut Context<'_>) -> bool {
        self.pins.iter_mut().any(|pin| pin.sender.poll_closed(cx).is_ready())
    }

    /// A server may answer before it has all of a request's body, and takes the rest all the same.
    pub fn poll_leftovers(&mut self, cx: &mut Context<'_>) {
        for upstream in self.pins.iter_mut().filter_map(|pin| pin.sender.sending()) {
            let _ = upstream.poll_sent(cx);
        }
    }
}

/// Whether a request authenticates its connection.
pub fn authorizes_connection(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().any(|value| is_connection_scheme(value.as_bytes()))
}

/// Whether a response asks the client to authenticate its connection.
pub fn challenges(status: StatusCode, headers: &HeaderMap) -> bool {
    let offers = |value: &HeaderValue| value.as_bytes().split(|&byte| byte == b',').any(is_connection_scheme);
    status == StatusCode::UNAUTHORIZED && headers.get_all(header::WWW_AUTHENTICATE).iter().any(offers)
}

fn is_connection_scheme(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let scheme = &value[..end];
    scheme.eq_ignore_ascii_case(b"NTLM") || scheme.eq_ignore_ascii_case(b"Negotiate")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        for (value, expected) in [
            ("NTLM", true),
            ("ntlm TlRMTVNTUAAB", true),
            ("Negotiate", true),
            ("Basic realm=\"x\", Negotiate", true),
            ("Basic realm=\"NTLM\"", false),
            ("NTLMX", false),
            ("Bearer NTLM", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
            assert_eq!(challenges(StatusCode::UNAUTHORIZED, &headers), expected, "{value}");
        }
    }
}
