//! Who is told of each request: a measurement.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};

use super::ClientError;
use super::subject::Subject;

/// One request that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub target: &'a str,
    /// What it is about; `None` if its sender does not say.
    pub subject: Option<Subject>,
    /// When: before the connection is opened, if one has to be.
    pub began: Instant,
}

/// One request that is over.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// What it was when it began.
    pub begun: Begun<'a>,
    /// Bytes of its body.
    pub sent: u64,
    /// Bytes of the answer's body.
    pub received: u64,
    /// When the last byte of its answer was there, or the error.
    pub ended: Instant,
    /// The status of a whole answer that is what the client can use, or why there is none. A challenge is such an answer
    /// when a user signs in, although its status is 401.
    pub outcome: Result<StatusCode, &'a ClientError>,
}

/// Is told what a client does.
pub trait Observe: Send + Sync {
    /// A request is over, and this is its one outcome. Requests whose answer the client does not care for any more are not
    /// told of.
    fn ended(&self, exchange: &Exchange<'_>);

    /// A request has begun.
    fn begun(&self, _: &Begun<'_>) {}

    /// The client does not care any more for the answer to the request that began then.
    fn forgotten(&self, _: Instant) {}

    /// A connection was opened.
    fn opened(&self) {}

    /// A connection was closed.
    fn closed(&self) {}
}

#[derive(Clone)]
pub(super) struct Observer(pub(super) Arc<dyn Observe>);

impl Observer {
    pub(super) fn ended(&self, exchange: &Exchange<'_>) {
        self.0.ended(exchange);
    }

    pub(super) fn begun(&self, begun: &Begun<'_>) {
        self.0.begun(begun);
    }

    pub(super) fn forgotten(&self, began: Instant) {
        self.0.forgotten(began);
    }

    pub(super) fn opened(&self) -> Counted {
        self.0.opened();
        Counted(self.clone())
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// A connection that the observer was told of.
#[derive(Debug)]
pub(super) struct Counted(Observer);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.closed();
    }
}
