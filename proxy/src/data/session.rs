//! What one client connection knows: its deadline, what it is doing, and the upstream connections that are its alone.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::exchange::Exchange;
use super::headers::ForwardingValues;
use super::pin::Pins;
use super::ticker::Timer;
use super::worker::Worker;
use crate::error::Error;
use crate::model::snapshot::{Limits, Snapshot};

/// What a client connection is doing. Its only deadline means something else in each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a request.
    Idle,
    /// A request's head has begun.
    Head,
    /// A request is being served: the request path owns the deadline.
    Request,
    /// A response body is on its way: it must move within the deadline.
    Response,
    /// The response is complete and the client has not taken all of it: closing now would cut it.
    Flush,
}

/// One client connection.
#[derive(Debug)]
pub struct Session {
    /// The data thread it lives on.
    pub worker: Rc<Worker>,
    /// Position of the listener it came through.
    pub listener: u16,
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// Its deadline.
    pub timer: Timer,
    /// Upstream connections that no other client may use.
    pub pins: RefCell<Pins>,
    /// An upgrade that was agreed to: runs when hyper lets go of the socket.
    pub tunnel: RefCell<Option<PendingTunnel>>,
    /// The request body of the exchange under way.
    pub upload: Upload,
    phase: Cell<Phase>,
    close: Cell<bool>,
    body_idle: Cell<Duration>,
    limits: Limits,
    forwarding: RefCell<(u64, ForwardingValues)>,
}

/// How far the request body of the exchange under way is.
#[derive(Debug, Default)]
pub struct Upload {
    /// Bytes forwarded.
    pub bytes: Cell<u64>,
    /// Someone has begun to read it.
    pub started: Cell<bool>,
    /// All of it was read.
    pub done: Cell<bool>,
    /// It is the client that we wait for.
    pub waiting: Cell<bool>,
    /// Why it ended early.
    pub error: Cell<Option<Error>>,
}

/// An upgrade that both sides agreed to.
#[derive(Debug)]
pub struct PendingTunnel {
    /// Becomes the upstream connection.
    pub upgrade: hyper::upgrade::OnUpgrade,
    /// Finished when the tunnel ends.
    pub exchange: Box<Exchange>,
    /// How long it may be silent.
    pub idle: Duration,
}

impl Session {
    /// A new client connection. Its first request's head must come within the deadline for heads.
    pub fn new(worker: Rc<Worker>, listener: u16, peer: SocketAddr, snapshot: &Snapshot) -> Rc<Self> {
        let timer = worker.ticker.timer();
        let limits = snapshot.site.limits;
        timer.set(limits.request_header_timeout);
        let forwarding = (snapshot.generation, ForwardingValues::new(peer.ip(), &snapshot.site));
        Rc::new(Self {
            worker,
            listener,
            peer,
            timer,
            pins: RefCell::default(),
            tunnel: RefCell::default(),
            upload: Upload::default(),
            phase: Cell::new(Phase::Idle),
            close: Cell::new(false),
            body_idle: Cell::new(Duration::ZERO),
            limits,
            forwarding: RefCell::new(forwarding),
        })
    }

    /// The bounds it was accepted with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request begins.
    pub fn begin_request(&self) {
        self.phase.set(Phase::Request);
        self.timer.clear();
        self.upload.bytes.set(0);
        self.upload.started.set(false);
        self.upload.done.set(false);
        self.upload.waiting.set(false);
        self.upload.error.set(None);
    }

    /// The response body begins: it must move within `idle`.
    pub fn begin_response(&self, idle: Duration) {
        self.phase.set(Phase::Response);
        self.body_idle.set(idle);
        self.timer.set(idle);
    }

    /// The exchange is over.
    pub fn end_exchange(&self) {
        self.phase.set(Phase::Flush);
        self.timer.cap(None);
        self.timer.set(self.limits.client_keepalive_timeout);
    }

    /// All that there was to send is sent.
    pub fn flushed(&self) {
        if self.phase.get() == Phase::Flush {
            self.phase.set(Phase::Idle);
            self.timer.set(self.limits.client_keepalive_timeout);
        }
    }

    /// The client sent something.
    pub fn bytes_came(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.timer.set(self.limits.request_header_timeout);
        }
    }

    /// The client took something.
    pub fn bytes_went(&self) {
        match self.phase.get() {
            Phase::Response => self.timer.set(self.body_idle.get()),
            Phase::Flush => self.timer.set(self.limits.client_keepalive_timeout),
            Phase::Idle | Phase::Head | Phase::Request => {}
        }
    }

    /// Closes the connection after the response.
    pub fn close_after_response(&self) {
        self.close.set(true);
    }

    /// Whether the connection closes after the response.
    pub fn closes(&self) -> bool {
        self.close.get() || self.worker.draining()
    }

    /// Ready when the connection has no reason to live: an idle one in a shutdown, one whose deadline passed, one whose
    /// pinned upstream connection is gone. Asked after hyper, so a request that has just come is served.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<Over> {
        let phase = self.phase.get();
        if phase == Phase::Idle {
            if self.worker.draining() {
                return Poll::Ready(Over::Drained);
            }
            if self.pins.borrow().any_closed(cx) {
                return Poll::Ready(Over::PinClosed);
            }
        }
        let elapsed = self.timer.poll_elapsed(cx);
        match (phase, elapsed) {
            (_, Poll::Pending) | (Phase::Request, Poll::Ready(_)) => Poll::Pending,
            (Phase::Idle, Poll::Ready(_)) => Poll::Ready(Over::Idle),
            (Phase::Head, Poll::Ready(_)) => Poll::Ready(Over::SlowHead),
            (Phase::Response | Phase::Flush, Poll::Ready(_)) => Poll::Ready(Over::SlowReader),
        }
    }

    /// The client's address, for boundary groups.
    pub fn client(&self, headers: &http::HeaderMap, snapshot: &Snapshot) -> IpAddr {
        self.renew_forwarding(snapshot);
        self.forwarding.borrow().1.client(headers, &snapshot.site)
    }

    /// Writes the forwarding fields of a request.
    pub fn write_forwarding(&self, headers: &mut http::HeaderMap) {
        self.forwarding.borrow_mut().1.write(headers);
    }

    /// A new configuration may trust other proxies.
    fn renew_forwarding(&self, snapshot: &Snapshot) {
        if self.forwarding.borrow().0 != snapshot.generation {
            let values = ForwardingValues::new(self.peer.ip(), &snapshot.site);
            *self.forwarding.borrow_mut() = (snapshot.generation, values);
        }
    }
}

/// Why a connection ended without hyper's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The process shuts down.
    Drained,
    /// No request came.
    Idle,
    /// A request's head came too slowly.
    SlowHead,
    /// The client does not take its response.
    SlowReader,
    /// The upstream connection that belongs to it closed.
    PinClosed,
}
