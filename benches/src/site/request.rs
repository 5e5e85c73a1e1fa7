//! A request as its handler is given it.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::link::Link;
use super::shared::Shared;
use crate::content::Hash;

/// What IIS takes in one request unless told otherwise.
const MAX_BODY: usize = 30_000_000;

/// The body of a request, read to its end or to where it broke; by default, one that was not read.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) data: Bytes,
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<Hash>,
    pub(crate) complete: bool,
    pub(crate) too_large: bool,
}

/// Reads a body to its end, and keeps it if its handler will want it.
pub(crate) async fn receive(mut body: Incoming, keep: bool) -> Received {
    let mut received = Received { complete: true, ..Received::default() };
    if body.is_end_stream() {
        return received;
    }
    let mut hasher = Sha256::new();
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            received.complete = false;
            return received;
        };
        let Ok(data) = frame.into_data() else { continue };
        received.bytes += data.len() as u64;
        hasher.update(&data);
        received.too_large |= keep && kept.len() + data.len() > MAX_BODY;
        if keep && !received.too_large {
            kept.extend_from_slice(&data);
        }
    }
    received.sha256 = Some(hasher.finalize().into());
    received.data = kept.freeze();
    received
}

/// One request, from its head to the head of its answer.
pub(crate) struct Asked<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) link: &'a Link,
    pub(crate) head: &'a Parts,
    pub(crate) body: &'a Received,
    /// The path below the application's own, with its leading slash.
    pub(crate) rest: &'a str,
}

impl Asked<'_> {
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.head.method.as_str()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn client(&self) -> SocketAddr {
        self.link.peer
    }
}
