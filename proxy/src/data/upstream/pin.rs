//! Connection-bound authentication: one client connection, one upstream connection.
//!
//! NTLM and Negotiate authenticate a TCP connection, not a request. From the first 401 that offers one of them, or the first
//! `Authorization` that uses one, the upstream connection belongs to this client connection: it never sees the pool, no
//! other client ever uses it, and both close together. A connection that has been pooled is never authenticated on: a 401
//! that comes on one goes to the client, and what the client answers goes to a new connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Context;

use http::StatusCode;

use crate::data::thread::held::Held;
use crate::data::upstream::pool::Sender;
use crate::metrics::RoleMetrics;
use crate::model::cluster::{Cluster, EndpointIndex};
use crate::model::decision::Decision;
use crate::model::endpoint::Hold;
use crate::model::route::ClusterId;
use crate::model::steering::Steer;
use crate::model::tls::Proof;
use crate::wire::fields::Fields;
use crate::wire::known::Known;
use crate::wire::list::list_elements;

/// An upstream connection that belongs to one client connection. Between two requests it takes no place at its endpoint: a
/// client that signs in and says nothing more takes nothing away from others.
#[derive(Debug)]
pub struct Pinned {
    /// The version of the world it was made in. It keeps to it: a reload may have moved or removed its endpoint, and an
    /// authenticated connection cannot change its server.
    pub snapshot: Held,
    /// The role in that version.
    pub role: ClusterId,
    /// The endpoint in that version.
    pub endpoint: EndpointIndex,
    /// Whose it is. A proxy in front of us may send requests of several clients on one connection.
    pub client: IpAddr,
    /// The site system that its first request named.
    pub named: Option<Arc<str>>,
    /// The connection.
    pub sender: Sender,
    /// Keeps what is known of the endpoint.
    pub hold: Hold,
}

impl Pinned {
    /// Whether its connection would be made in the same way to its role as it is now, for a client that has shown this. An endpoint
    /// that is gone has no new rules.
    pub fn keeps_terms(&self, cluster: &Cluster, proof: Proof) -> bool {
        let old = self.snapshot.cluster(self.role).endpoint(self.endpoint);
        let new = cluster.topology.by_id(old.state.id).map(|index| cluster.endpoint(index));
        new.is_none_or(|new| new.keeps_terms(old, proof))
    }

    /// Whether its endpoint has what a request needs, and is not in maintenance. One that is gone has what it had.
    pub fn suits(&self, decision: &Decision<'_>) -> bool {
        let id = self.snapshot.cluster(self.role).endpoint(self.endpoint).state.id;
        decision.cluster.topology.by_id(id).is_none_or(|endpoint| {
            let steer = decision.cluster.standing(endpoint).steer;
            decision.suits(endpoint) && steer != Steer::Maintenance
        })
    }

    /// It ends before its client does.
    pub fn end(self, ended: PinEnd) {
        ended.count(self.metrics());
    }

    fn is_for(&self, role: u64) -> bool {
        self.snapshot.cluster(self.role).topology.hash == role
    }

    fn metrics(&self) -> &RoleMetrics {
        &self.snapshot.cluster(self.role).topology.metrics
    }
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

/// Pinned connections of one client connection, at most. One for each role is enough for a client; more are those of several, whose
/// requests a proxy in front of us sends on one connection.
const MOST: usize = 16;

/// The pinned connections of one client connection, at most one for each role, client and site system that it names.
#[derive(Debug, Default)]
pub struct Pins {
    pins: Vec<Pinned>,
}

impl Pins {
    /// Takes the pinned connection of a role ([`crate::model::cluster::Topology::hash`]) for a request of this client that names this
    /// site system. Others, and those of another site's role, stay where they are.
    pub fn take(&mut self, role: u64, client: IpAddr, named: Option<&str>) -> Option<Pinned> {
        let is = |pin: &Pinned| pin.client == client && pin.named.as_deref() == named && pin.is_for(role);
        let place = self.pins.iter().position(is)?;
        Some(self.remove(place))
    }

    fn remove(&mut self, place: usize) -> Pinned {
        let pin = self.pins.remove(place);
        pin.metrics().pins.decrement(1.0);
        pin
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// Keeps a connection for the next request. When there are too many, the one ends that was used longest ago.
    pub fn keep(&mut self, pin: Pinned) {
        if self.pins.len() >= MOST {
            self.remove(0).end(PinEnd::Client);
        }
        pin.metrics().pins.increment(1.0);
        self.pins.push(pin);
    }

    /// All of them end.
    pub fn end(&mut self, ended: PinEnd) {
        for pin in self.pins.drain(..) {
            pin.metrics().pins.decrement(1.0);
            ended.count(pin.metrics());
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

/// Schemes that authenticate each request by itself (the registry of HTTP authentication schemes, without `Negotiate`). Every
/// other one is taken for one that authenticates the connection, as `NTLM`, `Negotiate` and `Nego2` do: to be wrong about it
/// costs a connection, and the other way round one client would speak with the rights of another.
const OF_A_REQUEST: [&str; 13] = [
    "Basic",
    "Bearer",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Mutual",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
];

/// Whether a request authenticates its connection.
pub fn authorizes_connection(fields: &Fields) -> bool {
    let scheme = |value: &[u8]| {
        let value = value.trim_ascii();
        let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
        !value.is_empty() && is_of_a_connection(&value[..end])
    };
    fields.all(Known::Authorization).any(scheme)
}

/// Whether a response asks the client to authenticate its connection.
pub fn challenges(status: StatusCode, fields: &Fields) -> bool {
    let offers = |value| list_elements(value).filter_map(scheme).any(is_of_a_connection);
    status == StatusCode::UNAUTHORIZED && fields.all(Known::WwwAuthenticate).any(offers)
}

fn is_of_a_connection(scheme: &[u8]) -> bool {
    !OF_A_REQUEST.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(scheme))
}

/// The scheme that an element of a challenge begins with. `None` for a parameter of the challenge before it.
fn scheme(element: &[u8]) -> Option<&[u8]> {
    let element = element.trim_ascii();
    let end = element.iter().position(u8::is_ascii_whitespace).unwrap_or(element.len());
    let first = &element[..end];
    // `name=value`, also with blanks around the `=` (RFC 9110, section 11.2).
    let parameter = first.contains(&b'=') || element[end..].trim_ascii_start().starts_with(b"=");
    (!first.is_empty() && !parameter).then_some(first)
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
            ("Bearer NTLM", false),
            ("", false),
            ("Nego2", true),
            ("Basic realm=\"x\", nego2 abc==", true),
            ("Kerberos", true),
            ("Digest realm = \"a, b\", nonce=\"x\", qop = auth", false),
            ("Bearer realm=\"x, Negotiate\", error=\"y\"", false),
            ("Basic realm=\"a \\\", NTLM\", charset=\"UTF-8\"", false),
        ] {
            let fields = Fields::of(&[("www-authenticate", value)]);
            assert_eq!(challenges(StatusCode::UNAUTHORIZED, &fields), expected, "{value}");
        }
    }
}
