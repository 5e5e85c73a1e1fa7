//! Idle connections to endpoints, one pool for each data thread: no lock, and no connection ever changes its thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foldhash::fast::FixedState;
use hyper::client::conn::http2;

use crate::data::upstream::http1::Upstream;
use crate::data::upstream::made::Made;
use crate::data::upstream::request_body::RequestBody;
use crate::model::endpoint::Endpoint;
use crate::model::tls::Proof;

/// Requests at the same time on one HTTP/2 connection, unless its server allows fewer; another one is opened for more. As many as IIS and most other servers
/// allow (RFC 9113, section 6.5.2, recommends no smaller limit).
pub const STREAMS: usize = 100;

/// A connection to an endpoint, or a part in one.
#[derive(Debug)]
pub enum Sender {
    /// HTTP/1.1, driven by whoever waits for its response.
    Direct(Box<Upstream>),
    /// HTTP/2, driven by a task of its own.
    Driven(Driven),
}

/// The sending half of an HTTP/2 connection, which a task drives.
#[derive(Debug)]
pub struct Driven {
    /// Takes requests, many at the same time.
    pub requests: http2::SendRequest<RequestBody>,
    /// Over TLS: requests must say so.
    pub secure: bool,
    /// Shared with whoever drives the connection.
    pub lifetime: Rc<Lifetime>,
}

/// Whether a connection still lives, and who wants to know. An idle connection that is ready for a request wakes nobody
/// when it closes, so whoever drives it must.
#[derive(Debug)]
pub struct Lifetime {
    made: Made,
    over: Cell<bool>,
    /// Requests at the same time that its server allows, as far as it has said so.
    streams: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Lifetime {
    /// Of a connection that was made so, and lives.
    pub fn new(made: Made) -> Self {
        Self { made, over: Cell::new(false), streams: Cell::new(STREAMS), waker: RefCell::default() }
    }

    /// Its server allows this many requests at the same time. What is more would wait in a place of which is not known, when the
    /// connection ends, whether it was sent.
    pub fn allow(&self, streams: usize) {
        self.streams.set(streams.min(STREAMS));
    }

    /// The connection is gone.
    pub fn end(&self) {
        self.over.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Sender {
    /// Whether another request may be sent on it, as far as anybody has noticed.
    pub fn is_idle(&mut self) -> bool {
        match self {
            Self::Direct(upstream) => upstream.is_idle(),
            Self::Driven(driven) => !driven.is_closed(),
        }
    }

    /// Whether it is HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Driven(_))
    }

    /// How the connection was made.
    fn made(&self) -> &Made {
        match self {
            Self::Direct(upstream) => upstream.made(),
            Self::Driven(driven) => &driven.lifetime.made,
        }
    }

    /// Whether both are parts in one connection.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Driven(one), Self::Driven(other)) => Rc::ptr_eq(&one.lifetime, &other.lifetime),
            (Self::Direct(_), _) | (_, Self::Direct(_)) => false,
        }
    }

    /// Ready when the connection is closed.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Direct(upstream) => upstream.poll_closed(cx),
            Self::Driven(driven) => driven.poll_closed(cx),
        }
    }

    /// The connection, if some of the request is still to be sent and nobody else does it.
    pub fn sending(&mut self) -> Option<&mut Upstream> {
        match self {
            Self::Direct(upstream) if upstream.is_sending() => Some(upstream),
            Self::Direct(_) | Self::Driven(_) => None,
        }
    }
}

impl Driven {
    /// Whether the connection is closed, as far as anybody has noticed.
    fn is_closed(&self) -> bool {
        self.lifetime.over.get() || self.requests.is_closed()
    }

    /// Another one for the same connection, if it has room for one more request.
    fn share(&self) -> Option<Self> {
        // Besides those who use it, the pool and whoever drives it have one each.
        (Rc::strong_count(&self.lifetime) < self.lifetime.streams.get() + 2).then(|| Self {
            requests: self.requests.clone(),
            secure: self.secure,
            lifetime: Rc::clone(&self.lifetime),
        })
    }

    /// Nobody else is to use it: it does not answer.
    pub fn retire(&self) {
        self.lifetime.over.set(true);
    }

    /// Ready when the connection is closed.
    fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_closed() {
            return Poll::Ready(());
        }
        let mut waker = self.lifetime.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// Idle connections by the id of the endpoint's live part, so that they survive a reload.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<u32, VecDeque<Idle>, FixedState>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    expires_ms: u64,
}

impl Pool {
    /// The connection that was used last: it is the least likely to have been closed.
    /// `proof`: what the client has shown, whose request it is for.
    pub fn checkout(&self, endpoint: &Endpoint, proof: Proof, now_ms: u64) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&endpoint.state.id)?;
        let mut place = list.len();
        while place > 0 {
            place -= 1;
            let newest = &mut list[place];
            let suits = newest.sender.made().suits(endpoint, proof);
            if !suits && newest.sender.made().suits_any(endpoint) {
                // It waits for clients who have shown more, or less.
                continue;
            }
            if newest.expires_ms <= now_ms || !suits || !newest.sender.is_idle() {
                list.remove(place);
                continue;
            }
            match &newest.sender {
                Sender::Driven(driven) => {
                    if let Some(shared) = driven.share() {
                        return Some(Sender::Driven(shared));
                    }
                }
                Sender::Direct(_) => return list.remove(place).map(|idle| idle.sender),
            }
        }
        None
    }

    /// Takes a connection back; above `limit` the oldest one goes.
    pub fn give_back(&self, endpoint: &Endpoint, mut sender: Sender, now_ms: u64, keep: Duration, limit: usize) {
        if !sender.is_idle() || limit == 0 {
            return;
        }
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(endpoint.state.id).or_default();
        let expires_ms = now_ms.saturating_add(keep);
        // One that takes many requests never left.
        if sender.is_http2()
            && let Some(same) = list.iter_mut().find(|idle| idle.sender.is_same(&sender))
        {
            same.expires_ms = expires_ms;
            return;
        }
        if list.len() >= limit {
            list.pop_front();
        }
        list.push_back(Idle { sender, expires_ms });
    }

    /// Closes everything that is idle. Whether there was anything.
    pub fn shed(&self) -> bool {
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        !idle.is_empty()
    }

    /// Closes what has been idle for too long and forgets endpoints without connections.
    pub fn reap(&self, now_ms: u64) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain_mut(|idle| idle.expires_ms > now_ms && idle.sender.is_idle());
            !list.is_empty()
        });
    }
}
