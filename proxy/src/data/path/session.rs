//! What the request path knows of a client connection: its deadline, how far the exchange is, and the upstream connections that
//! are its alone.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderMap;

use crate::data::path::admission::{self, Admission};
use crate::data::path::client::Client;
use crate::data::path::forwarding::{ForwardingValues, Secured};
use crate::data::thread::log_texts::{Line, Own};
use crate::data::thread::ticker::Timer;
use crate::data::upstream::pin::{PinEnd, Pins};
use crate::data::upstream::worker::Worker;
use crate::error::Error;
use crate::model::role::{Role, Tells};
use crate::model::snapshot::{Limits, Snapshot};
use crate::model::tls::Proof;
use crate::wire::fields::{Field, Fields};
use crate::wire::head::{RequestHead, ResponseHead};

/// How far an exchange is. The deadline means something else in each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A request is being served: the request path owns the deadline.
    Request,
    /// A response body is on its way: it must move within the deadline.
    Response,
    /// The response is complete and the client has not taken all of it: closing now would cut it.
    Flush,
}

/// What has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The client does not take its response.
    Client,
    /// The exchange has taken all the time that it has.
    Exchange,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.0 or HTTP/1.1: a session for each connection.
    Http1,
    /// HTTP/2: a session for each request.
    Http2,
}

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
    /// Its deadline.
    pub timer: Timer,
    /// Upstream connections that no other client may use.
    pub pins: RefCell<Pins>,
    /// The request body of the exchange under way.
    pub upload: Upload,
    /// Interim responses that are still to be handed on.
    pub interims: Interims,
    /// On what grounds the connection was let in.
    admission: Option<Rc<Admission>>,
    /// When it has been there for long enough.
    ends_ms: u64,
    spoken: Spoken,
    phase: Cell<Phase>,
    close: Cell<bool>,
    body_idle: Cell<Duration>,
    limits: Limits,
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
    /// All of it was read.
    pub done: Cell<bool>,
    /// It is the client that we wait for.
    pub waiting: Cell<bool>,
    /// Why it ended early.
    pub error: Cell<Option<Error>>,
    /// The client waits to be asked for it.
    pub expects: Cell<bool>,
    /// The client must send a piece within this time.
    pub idle: Cell<Duration>,
    /// When all is sent, the response head must come within this time.
    pub response_header: Cell<Duration>,
}

/// Interim responses on their way to a client that understands them.
#[derive(Debug, Default)]
pub struct Interims {
    heads: RefCell<Vec<ResponseHead>>,
    wanted: Cell<bool>,
}

impl Interims {
    /// Whether the client understands any.
    pub fn want(&self, wanted: bool) {
        self.wanted.set(wanted);
        self.heads.borrow_mut().clear();
    }

    /// One has come.
    pub fn put(&self, head: ResponseHead) {
        if self.wanted.get() {
            self.heads.borrow_mut().push(head);
        }
    }

    /// Those that have come since it was asked last.
    pub fn take(&self) -> Vec<ResponseHead> {
        self.heads.take()
    }
}

impl Session {
    /// A new client connection, or a new request of one.
    pub fn new(client: &Client, on: &Socket, spoken: Spoken) -> Rc<Self> {
        let (worker, snapshot) = (Rc::clone(&client.worker), client.snapshot());
        let (peer, listener, limits) = (client.peer, client.listener, snapshot.site.limits);
        let values =
            ForwardingValues::new(peer.ip(), (on.secured.as_ref(), spoken == Spoken::Http2), &snapshot, listener);
        let forwarding = RefCell::new((snapshot.generation, values));
        Rc::new(Self {
            timer: worker.ticker.timer(),
            worker,
            listener,
            peer,
            to: on.to,
            secured: on.secured.clone(),
            admission: client.admission.clone(),
            ends_ms: client.ends_ms(&limits),
            spoken,
            pins: RefCell::default(),
            upload: Upload::default(),
            interims: Interims::default(),
            phase: Cell::new(Phase::Request),
            close: Cell::new(false),
            body_idle: Cell::new(Duration::ZERO),
            limits,
            forwarding,
        })
    }

    /// Whether many requests share the connection.
    pub fn is_http2(&self) -> bool {
        self.spoken == Spoken::Http2
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
        self.timer.clear();
        self.upload.bytes.set(0);
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

    /// The client took something.
    pub fn bytes_went(&self) {
        match self.phase.get() {
            Phase::Response => self.timer.set(self.body_idle.get()),
            Phase::Flush => self.timer.set(self.limits.client_keepalive_timeout),
            Phase::Request => {}
        }
    }

    /// Closes the connection after the response.
    pub fn close_after_response(&self) {
        self.close.set(true);
    }

    /// Whether the connection closes after the response.
    pub fn closes(&self) -> bool {
        self.close.get()
            || self.worker.draining()
            || self.ends_ms <= self.worker.ticker.now_ms()
            || !self.worker.with_held(|snapshot| self.is_welcome(snapshot))
    }

    /// Whether the connection would be let in under this configuration, and now.
    pub fn is_welcome(&self, snapshot: &Snapshot) -> bool {
        let admission = self.admission.as_deref();
        let expires_ms = admission.map_or(u64::MAX, Admission::expires_ms);
        expires_ms > self.worker.ticker.now_ms() && admission::holds(admission, snapshot, self.listener)
    }

    /// Hash of who the client's certificate is for, if it is the client's own: a proxy in front of us shows that of itself.
    pub fn subject(&self, client: IpAddr) -> Option<u64> {
        let own = self.peer.ip().to_canonical() == client.to_canonical();
        self.admission.as_deref().filter(|_| own)?.subject()
    }

    /// How long the connection may still be there; `None`: nothing says so.
    pub fn left(&self) -> Option<Duration> {
        let left_ms = self.ends_ms.saturating_sub(self.worker.ticker.now_ms());
        (self.ends_ms != u64::MAX).then(|| Duration::from_millis(left_ms))
    }

    /// Ready when the client has not taken its response in time.
    pub fn poll_late(&self, cx: &Context<'_>) -> Poll<Late> {
        ready!(self.timer.poll_elapsed(cx));
        Poll::Ready(if self.phase() == Phase::Response && self.timer.cap_passed() {
            Late::Exchange
        } else {
            Late::Client
        })
    }

    /// Whether its response waits for the client although its deadline has passed a while ago.
    pub fn stalled(&self) -> bool {
        matches!(self.phase.get(), Phase::Response | Phase::Flush) && self.timer.overdue(STALLED)
    }

    /// The client's address, for boundary groups.
    pub fn client(&self, fields: &Fields, snapshot: &Snapshot) -> IpAddr {
        self.renew_forwarding(snapshot);
        let values = &mut self.forwarding.borrow_mut().1;
        values.identify(fields, snapshot.site.request_id_field.as_ref(), || self.worker.dice());
        values.client(fields, &snapshot.site)
    }

    /// What the access log needs of a request, if it may be logged. Its client is known.
    pub fn begin_line(&self, head: &RequestHead, snapshot: &Snapshot) -> Option<Box<Line>> {
        let settings = self.worker.log.as_ref().and(snapshot.site.access_log.as_ref())?;
        let drawn = self.worker.drawn(settings.sampling)?;
        let mut line = self.worker.spare_lines.take(&head.method, drawn);
        let forwarding = self.forwarding.borrow();
        let request_id = forwarding.1.request_id().map(|(_, id)| id.as_bytes());
        let server_name = self.secured.as_ref().and_then(|secured| secured.server_name.as_deref());
        line.texts.fill(settings.has, &head.uri, &head.fields, &Own { request_id, server_name });
        Some(line)
    }

    /// Says in an answer of ours which request it is for, where requests have numbers.
    pub fn name_request(&self, fields: &mut Fields) {
        if let Some((name, id)) = self.forwarding.borrow().1.request_id() {
            fields.append(name.clone(), id.clone());
        }
    }

    /// Takes out of the head of a request what the client may not say.
    pub fn strip(&self, fields: &mut Fields, role: &Role) {
        self.forwarding.borrow().1.strip(fields, &role.strip_fields);
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
    pub fn each_field(&self, fields: &Fields, tells: Tells, put: impl FnMut(Field<'_>)) {
        self.forwarding.borrow_mut().1.each(fields, tells, put);
    }

    /// A new configuration may trust other proxies.
    fn renew_forwarding(&self, snapshot: &Snapshot) {
        if self.forwarding.borrow().0 != snapshot.generation {
            let on = (self.secured.as_ref(), self.is_http2());
            let values = ForwardingValues::new(self.peer.ip(), on, snapshot, self.listener);
            *self.forwarding.borrow_mut() = (snapshot.generation, values);
        }
    }
}
