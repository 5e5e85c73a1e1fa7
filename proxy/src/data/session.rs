//! What one client connection knows: its deadline, what it is doing, and the upstream connections that are its alone.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;

use super::client::Client;
use super::exchange::Exchange;
use super::headers::{ForwardingValues, Secured};
use super::io::Early;
use super::pin::{PinEnd, Pins};
use super::splice::Pipe;
use super::ticker::Timer;
use super::worker::Worker;
use crate::error::Error;
use crate::model::role::Role;
use crate::model::snapshot::{Limits, Snapshot};
use crate::model::tls::Proof;

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

/// How long a connection that waits for its next request keeps its parser and buffers.
const PARK_AFTER: Duration = Duration::from_millis(500);

/// As [`PARK_AFTER`], when so many connections hold theirs that the memory matters more than making new ones.
const PARK_SOON: Duration = Duration::from_millis(100);
/// So many.
const CROWD: usize = 512;

/// A response that could go on would have been ended by its own deadline by then.
const STALLED: Duration = Duration::from_secs(2);

/// One client connection; over HTTP/2, one request.
#[derive(Debug)]
pub struct Session {
    /// The data thread it lives on.
    pub worker: Rc<Worker>,
    /// Position of the listener it came through.
    pub listener: u16,
    /// The other end of the socket, or what a trusted PROXY protocol header says.
    pub peer: SocketAddr,
    /// Where the client has connected to.
    pub to: Option<SocketAddr>,
    /// TLS that ends here.
    pub secured: Option<Secured>,
    /// Many requests share the connection.
    pub http2: bool,
    /// Its deadline.
    pub timer: Timer,
    /// Upstream connections that no other client may use.
    pub pins: RefCell<Pins>,
    /// An upgrade that was agreed to: runs when hyper lets go of the socket.
    pub tunnel: RefCell<Option<PendingTunnel>>,
    /// The request body of the exchange under way.
    pub upload: Upload,
    /// Bytes of a response body that hyper has been told of and that are still to be written.
    piped: RefCell<Option<Pipe>>,
    /// Somebody waits until they are.
    piped_awaited: Cell<bool>,
    phase: Cell<Phase>,
    served: Cell<bool>,
    ended: Cell<bool>,
    close: Cell<bool>,
    last: Cell<bool>,
    body_idle: Cell<Duration>,
    limits: Limits,
    /// Requests that have begun.
    begun: Cell<u64>,
    /// The number of the first that must not be served.
    refused_from: Cell<u64>,
    forwarding: RefCell<(u64, ForwardingValues)>,
}

/// What a session is told of its socket.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Where the client has connected to.
    pub to: Option<SocketAddr>,
    /// TLS that ends here.
    pub secured: Option<Secured>,
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

/// The upstream connection of an upgrade.
#[derive(Debug)]
pub enum Upgraded {
    /// Here it is.
    Now(Early),
    /// When hyper lets go of it.
    Soon(hyper::upgrade::OnUpgrade),
}

/// An upgrade that both sides agreed to.
#[derive(Debug)]
pub struct PendingTunnel {
    /// The upstream connection.
    pub upstream: Upgraded,
    /// Finished when the tunnel ends.
    pub exchange: Box<Exchange>,
    /// How long it may be silent.
    pub idle: Duration,
}

impl Session {
    /// A new client connection. Its first request's head must come within the deadline for heads.
    pub fn new(client: &Client, on: &Socket, http2: bool) -> Rc<Self> {
        let (worker, snapshot) = (Rc::clone(&client.worker), client.snapshot());
        let timer = worker.ticker.timer();
        let limits = snapshot.site.limits;
        timer.set(limits.request_header_timeout);
        let (peer, listener) = (client.peer, client.listener);
        let values = ForwardingValues::new(peer.ip(), (on.secured.as_ref(), http2), &snapshot.site, listener);
        let forwarding = (snapshot.generation, values);
        Rc::new(Self {
            worker,
            listener,
            peer,
            to: on.to,
            secured: on.secured.clone(),
            http2,
            timer,
            pins: RefCell::default(),
            tunnel: RefCell::default(),
            upload: Upload::default(),
            piped: RefCell::default(),
            piped_awaited: Cell::new(false),
            phase: Cell::new(Phase::Idle),
            served: Cell::new(false),
            ended: Cell::new(false),
            close: Cell::new(false),
            last: Cell::new(false),
            body_idle: Cell::new(Duration::ZERO),
            limits,
            begun: Cell::new(0),
            refused_from: Cell::new(u64::MAX),
            forwarding: RefCell::new(forwarding),
        })
    }

    /// What the client has shown in its handshake, if TLS ends here: one that is shown has been verified.
    pub fn proof(&self) -> Proof {
        let certificate = self.secured.as_ref().and_then(|secured| secured.certificate.as_ref());
        if certificate.is_some() { Proof::Certificate } else { Proof::Nothing }
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
    pub fn begin_request(&self, bodiless: bool) {
        self.phase.set(Phase::Request);
        self.begun.set(self.begun.get() + 1);
        self.timer.clear();
        self.upload.bytes.set(0);
        self.upload.started.set(false);
        self.upload.done.set(bodiless);
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
            self.served.set(true);
            let keepalive = self.limits.client_keepalive_timeout;
            // A pinned upstream connection must be watched, and whoever watches it is this session.
            let wait = if self.may_park() { self.park_after().min(keepalive) } else { keepalive };
            self.timer.set(wait);
        }
    }

    /// A rest of a request body that nobody wants may still come: it must not be taken for the next request.
    fn may_park(&self) -> bool {
        self.served.get() && self.upload.done.get() && self.pins.borrow().is_empty()
    }

    fn park_after(&self) -> Duration {
        if self.worker.working.get() < CROWD { PARK_AFTER } else { PARK_SOON }
    }

    /// How long the connection still waits for its next request after it was parked.
    pub fn patience(&self) -> Duration {
        self.limits.client_keepalive_timeout.saturating_sub(PARK_AFTER)
    }

    /// The client sent something.
    pub fn bytes_came(&self) {
        let belated = self.served.get() && !self.upload.done.get();
        if self.phase.get() == Phase::Idle && !belated {
            self.phase.set(Phase::Head);
            self.timer.set(self.limits.request_header_timeout);
        }
    }

    /// The request with this number and all after it must not be served: the parser has dropped the fragment of its target, or
    /// it may begin elsewhere than the parser believes.
    pub fn refuse_from(&self, number: u64) {
        self.refused_from.set(number);
    }

    /// Whether the request under way must not be served.
    pub fn refuses_request(&self) -> bool {
        self.begun.get() >= self.refused_from.get()
    }

    /// The client took something.
    pub fn bytes_went(&self) {
        match self.phase.get() {
            Phase::Response => self.timer.set(self.body_idle.get()),
            Phase::Flush => self.timer.set(self.limits.client_keepalive_timeout),
            Phase::Idle | Phase::Head | Phase::Request => {}
        }
    }

    /// Whether bytes can go to this client that never come into our memory.
    pub fn takes_spliced(&self) -> bool {
        self.secured.is_none() && !self.http2
    }

    /// Whether such bytes wait for the client.
    pub fn has_piped(&self) -> bool {
        self.piped.borrow().is_some()
    }

    /// Ready when none do. Without a context, because it is this task that writes them: hyper goes on writing after a body has
    /// nothing for it, and [`Self::poll_drain`] wakes the task when that was the last.
    pub fn poll_unpiped(&self) -> Poll<()> {
        self.piped_awaited.set(self.has_piped());
        if self.piped_awaited.get() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Such bytes are next in the response.
    pub fn pipe(&self, filled: Pipe) {
        self.piped.replace(Some(filled));
    }

    /// Writes them, but no more than this.
    ///
    /// # Errors
    /// As the socket.
    pub fn poll_drain(&self, cx: &mut Context<'_>, to: &TcpStream, most: usize) -> Poll<io::Result<usize>> {
        let mut piped = self.piped.borrow_mut();
        let Some(pipe) = &mut *piped else { return Poll::Ready(Ok(0)) };
        let count = ready!(pipe.poll_drain(cx, to, most))?;
        if let Some(emptied) = piped.take_if(|pipe| pipe.is_empty()) {
            self.worker.pipes.give_back(emptied);
            if self.piped_awaited.take() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(count))
    }

    /// hyper has given the connection back, or lost it: nothing more will come of a request body.
    pub fn end(&self) {
        self.ended.set(true);
    }

    /// Whether it has.
    pub fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Closes the connection after the response.
    pub fn close_after_response(&self) {
        self.close.set(true);
    }

    /// The client has said that it sends nothing after this request.
    pub fn last_request(&self) {
        self.last.set(true);
        self.close_after_response();
    }

    /// Whether everything was read that the client will ever send, so that to close loses nothing.
    pub fn heard_all(&self) -> bool {
        self.last.get() && self.upload.done.get()
    }

    /// Whether the connection closes after the response.
    pub fn closes(&self) -> bool {
        self.close.get() || self.worker.draining()
    }

    /// Ready when the connection has no reason to live: an idle one in a shutdown, one whose deadline passed, one whose
    /// pinned upstream connection is gone. Asked after hyper, so a request that has just come is served.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<Over> {
        self.pins.borrow_mut().poll_leftovers(cx);
        let phase = self.phase.get();
        if phase == Phase::Idle {
            if self.worker.draining() {
                return Poll::Ready(Over::Drained);
            }
            if self.pins.borrow_mut().any_closed(cx) {
                return Poll::Ready(Over::PinClosed);
            }
        }
        let elapsed = self.timer.poll_elapsed(cx);
        match (phase, elapsed) {
            (_, Poll::Pending) | (Phase::Request, Poll::Ready(_)) => Poll::Pending,
            (Phase::Idle, Poll::Ready(_)) if self.may_park() => Poll::Ready(Over::Parked),
            (Phase::Idle, Poll::Ready(_)) => Poll::Ready(Over::Idle),
            (Phase::Head, Poll::Ready(_)) => Poll::Ready(Over::SlowHead),
            (Phase::Response, Poll::Ready(_)) if self.timer.cap_passed() => Poll::Ready(Over::TooLong),
            (Phase::Response | Phase::Flush, Poll::Ready(_)) => Poll::Ready(Over::SlowReader),
        }
    }

    /// Whether its response waits for the client although its deadline has passed a while ago.
    pub fn stalled(&self) -> bool {
        matches!(self.phase.get(), Phase::Response | Phase::Flush) && self.timer.overdue(STALLED)
    }

    /// The client's address, for boundary groups.
    pub fn client(&self, headers: &HeaderMap, snapshot: &Snapshot) -> IpAddr {
        self.renew_forwarding(snapshot);
        self.forwarding.borrow_mut().1.client(headers, &snapshot.site)
    }

    /// Takes out of the head of a request what the client may not say.
    pub fn strip(&self, headers: &mut HeaderMap, role: &Role) {
        self.forwarding.borrow().1.strip(headers, &role.strip_fields);
    }

    /// As [`Self::strip`], of trailers.
    pub fn strip_trailers(&self, trailers: &mut HeaderMap, role: &Role) {
        self.forwarding.borrow().1.strip_trailers(trailers, &role.strip_fields);
    }

    /// The client connection has ended, and with it the upstream connections that are its alone.
    pub fn end_pins(&self, ended: PinEnd) {
        self.pins.borrow_mut().end(ended);
    }

    /// Gives every field of a request as a site system gets it to `put`.
    pub fn each_field(&self, headers: &HeaderMap, put: impl FnMut(&HeaderName, &HeaderValue)) {
        self.forwarding.borrow_mut().1.each(headers, put);
    }

    /// A new configuration may trust other proxies.
    fn renew_forwarding(&self, snapshot: &Snapshot) {
        if self.forwarding.borrow().0 != snapshot.generation {
            let on = (self.secured.as_ref(), self.http2);
            let values = ForwardingValues::new(self.peer.ip(), on, &snapshot.site, self.listener);
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
    /// No request has come for a while: the connection waits without a parser.
    Parked,
    /// A request's head came too slowly.
    SlowHead,
    /// The client does not take its response.
    SlowReader,
    /// The exchange has taken all the time that it has, and its response is not complete.
    TooLong,
    /// The upstream connection that belongs to it closed.
    PinClosed,
}
