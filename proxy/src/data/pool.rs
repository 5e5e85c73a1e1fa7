//! Idle connections to endpoints, one pool for each data thread: no lock, and no connection ever changes its thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foldhash::fast::FixedState;
use hyper::client::conn::{http1, http2};

use super::body::RequestBody;

/// The sending half of a connection to an endpoint.
#[derive(Debug)]
pub struct Sender {
    /// Takes requests.
    pub requests: Requests,
    /// Shared with whoever drives the connection.
    pub lifetime: Rc<Lifetime>,
}

/// Where requests are put.
#[derive(Debug)]
pub enum Requests {
    /// One after the other.
    Http1(http1::SendRequest<RequestBody>),
    /// Many at the same time.
    Http2 {
        /// Where they are put.
        requests: http2::SendRequest<RequestBody>,
        /// Over TLS: requests must say so.
        secure: bool,
    },
}

/// Whether a connection still lives, and who wants to know. An idle connection that is ready for a request wakes nobody
/// when it closes, so whoever drives it must.
#[derive(Debug, Default)]
pub struct Lifetime {
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Lifetime {
    /// The connection is gone.
    pub fn end(&self) {
        self.over.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Sender {
    /// Whether the connection is closed, as far as anybody has noticed.
    pub fn is_closed(&self) -> bool {
        self.lifetime.over.get()
            || match &self.requests {
                Requests::Http1(requests) => requests.is_closed(),
                Requests::Http2 { requests, .. } => requests.is_closed(),
            }
    }

    /// Another one for the same connection, if it takes many requests at the same time.
    fn share(&self) -> Option<Self> {
        match &self.requests {
            Requests::Http1(_) => None,
            Requests::Http2 { requests, secure } => Some(Self {
                requests: Requests::Http2 { requests: requests.clone(), secure: *secure },
                lifetime: Rc::clone(&self.lifetime),
            }),
        }
    }

    /// Ready when the connection is closed.
    pub fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
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
    pub fn checkout(&self, endpoint_id: u32, now_ms: u64) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&endpoint_id)?;
        while let Some(newest) = list.pop_back() {
            if newest.expires_ms <= now_ms || newest.sender.is_closed() {
                continue;
            }
            let Some(shared) = newest.sender.share() else { return Some(newest.sender) };
            list.push_back(newest);
            return Some(shared);
        }
        None
    }

    /// Takes a connection back; above `limit` the oldest one goes.
    pub fn give_back(&self, endpoint_id: u32, sender: Sender, now_ms: u64, keep: Duration, limit: usize) {
        if sender.is_closed() || limit == 0 {
            return;
        }
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(endpoint_id).or_default();
        let expires_ms = now_ms.saturating_add(keep);
        // One that takes many requests never left.
        if matches!(sender.requests, Requests::Http2 { .. })
            && let Some(same) = list.iter_mut().find(|idle| Rc::ptr_eq(&idle.sender.lifetime, &sender.lifetime))
        {
            same.expires_ms = expires_ms;
            return;
        }
        if list.len() >= limit {
            list.pop_front();
        }
        list.push_back(Idle { sender, expires_ms });
    }

    /// Closes what has been idle for too long and forgets endpoints without connections.
    pub fn reap(&self, now_ms: u64) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|idle| idle.expires_ms > now_ms && !idle.sender.is_closed());
            !list.is_empty()
        });
    }
}
