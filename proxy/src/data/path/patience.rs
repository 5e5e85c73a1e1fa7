//! How long an answer is waited for, and when a request that waits goes to another server instead.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::data::path::outcome::may_retry;
use crate::data::path::session::Session;
use crate::error::{Error, Retry};
use crate::model::balance::Tried;
use crate::model::cluster::Class;
use crate::model::decision::Decision;
use crate::model::endpoint::{Endpoint, QUIET, Waiting};

/// The way out of a wait at one server.
pub struct Leave<'a> {
    /// Whose request it is.
    pub decision: &'a Decision<'a>,
    /// Servers that have had it, this one included.
    pub tried: &'a Tried,
    /// Whether it may be sent again at all.
    pub may: May,
    /// Whether it has left.
    pub left: Cell<bool>,
}

/// Whether a request may be sent again to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// It may.
    Leave,
    /// It waits for its answer where it is.
    Stay,
}

impl Leave<'_> {
    /// Leaves a silent server, if another is well and the role's budget of retries has room.
    fn take(&self, session: &Session, endpoint: &Endpoint) -> bool {
        let now_ms = session.worker.ticker.now_ms();
        let may = self.may == May::Leave && endpoint.state.is_silent(now_ms) && !self.decision.keeps_to_its_server();
        let well = || self.decision.pick(self.tried, now_ms, 0).is_ok_and(|pick| pick.class == Class::Well);
        let leaves = may && well() && may_retry(session, self.decision, Retry::Repeatable);
        if leaves {
            endpoint.state.left_silent(now_ms);
            self.left.set(true);
        }
        leaves
    }
}

/// How an answer is waited for: at first for [`QUIET`], and then, as one that waits for long, for the rest of its time.
pub struct Patience<'a> {
    endpoint: &'a Endpoint,
    leave: Option<&'a Leave<'a>>,
    /// What is left after the first part; `None` when there is only one.
    rest: Option<Duration>,
}

impl<'a> Patience<'a> {
    /// For a request without a body, or with one: a body's pieces have deadlines of their own.
    pub fn new(endpoint: &'a Endpoint, leave: Option<&'a Leave<'a>>, empty: bool) -> Self {
        let rest = endpoint.role.timeouts.response_header.checked_sub(QUIET).filter(|rest| empty && !rest.is_zero());
        Self { endpoint, leave, rest }
    }

    /// How long the first part is.
    pub fn first(&self) -> Duration {
        if self.rest.is_some() { QUIET } else { self.endpoint.role.timeouts.response_header }
    }

    /// The next part, and what is left after it.
    fn next(&mut self) -> Option<Duration> {
        let rest = self.rest.take()?;
        let part = if self.leave.is_some() { rest.min(QUIET) } else { rest };
        self.rest = rest.checked_sub(part).filter(|rest| !rest.is_zero());
        Some(part)
    }

    /// Who waits, as far as clients are told apart.
    fn client(&self, session: &Session) -> u64 {
        self.leave.map_or_else(|| Decision::client_of(session.peer.ip()), |leave| leave.decision.client_key())
    }
}

/// Waits for the response head, but not beyond the deadline.
///
/// # Errors
/// Who was late; [`Error::ResponseTimeout`] too when the request leaves for another server.
pub async fn in_time<T>(
    session: &Session,
    mut patience: Patience<'_>,
    sent: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut sent = pin!(sent);
    let mut waiting = None;
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = sent.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        loop {
            ready!(session.timer.poll_elapsed(cx));
            if session.timer.cap_passed() {
                return Poll::Ready(Err(late(session)));
            }
            let Some(part) = patience.next() else { return Poll::Ready(Err(late(session))) };
            if waiting.is_none() {
                waiting = Some(Waiting::begin(&patience.endpoint.state, patience.client(session)));
            }
            if patience.leave.is_some_and(|leave| leave.take(session, patience.endpoint)) {
                return Poll::Ready(Err(Error::ResponseTimeout));
            }
            session.timer.set(part);
        }
    })
    .await
}

/// Who was late.
fn late(session: &Session) -> Error {
    if session.timer.cap_passed() {
        Error::TotalTimeout
    } else if !session.upload.done.get() && session.upload.waiting.get() {
        Error::BodyTimeout
    } else {
        Error::ResponseTimeout
    }
}
