//! One client: a connection after the other, a request after the other, and what became of each.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::arrivals::{Arrivals, Due, Place};
use super::connection::{Connection, Outgoing};
use super::plan::Prepared;
use super::response::Answer;
use super::shared::Shared;
use crate::record::{ConnectFault, Failure, Sample};

/// How long a closed loop pauses after a connection has failed, at first and at most. It would do nothing but fail.
const PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// How long a connection that the other side wants to end is waited for.
const FAREWELL: Duration = Duration::from_millis(100);

pub(super) struct Client {
    shared: Rc<Shared>,
    connection: Option<Connection>,
    deadline: Deadline,
}

impl Client {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self { shared, connection: None, deadline: Deadline::new() }
    }

    /// Asks again whenever it was answered.
    pub(super) async fn in_closed_loop(mut self, begin: Instant) {
        tokio::time::sleep_until(begin.into()).await;
        let mut pause = PAUSE;
        let mut now = Instant::now();
        loop {
            let result;
            (now, result) = self.ask(now, now).await;
            match result {
                Ok(()) | Err(Failure::Status(_)) => pause = PAUSE,
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                    now = Instant::now();
                }
            }
        }
    }

    /// Opens a connection that is to be kept before there is something to ask, not too many at a time, and not for longer.
    pub(super) async fn open_first(&mut self, until: Instant) {
        if !self.shared.job.plan.keep_alive {
            return;
        }
        let shared = Rc::clone(&self.shared);
        let opening = Box::pin(async {
            let _permit = shared.opening.acquire().await.ok()?;
            open(&shared).await.ok()
        });
        // Should it have failed, the first request will tell.
        self.connection = self.deadline.guard(until, opening).await.flatten();
    }

    /// Asks whenever something is due.
    pub(super) async fn in_open_loop(mut self, arrivals: Rc<Arrivals>) {
        let place = Rc::new(Place::default());
        while let Some(Due { since, was_free }) = arrivals.next(&place).await {
            let now = Instant::now();
            let waited = now.saturating_duration_since(since);
            if was_free {
                self.shared.recorder.borrow_mut().late(self.shared.since_begin(since), waited);
            }
            if waited < self.shared.job.plan.timeout {
                // What became of it is recorded, and the next comes when it is due.
                let _ = self.ask(since, now).await;
            } else {
                self.give_up(since, now);
                // There may be very many more of this kind.
                tokio::task::yield_now().await;
            }
        }
    }

    /// A request that waited too long for a connection.
    fn give_up(&self, since: Instant, now: Instant) {
        let request = self.shared.next_request();
        let (at, latency) = (self.shared.counts_at(since, now), now - since);
        let result = Err(Failure::Timeout);
        let sample = Sample { at, latency, service: Duration::ZERO, sent: 0, received: 0, result };
        self.shared.recorder.borrow_mut().record(request.series, &sample);
    }

    /// Sends the next request, which is due since `since`, and returns when it was over and how.
    async fn ask(&mut self, since: Instant, now: Instant) -> (Instant, Result<(), Failure>) {
        let shared = &self.shared;
        let request = shared.next_request();
        shared.recorder.borrow_mut().begun();
        let mut sent_at = None;
        let asked = exchange(shared, request, &mut self.connection, &mut sent_at);
        let answer = self.deadline.guard(now + shared.job.plan.timeout, asked).await.unwrap_or(Err(Failure::Timeout));
        let over = Instant::now();
        let received = answer.map_or(0, |answer| answer.body);
        let result = match answer {
            Ok(Answer { status: status @ 400.., .. }) => Err(Failure::Status(status)),
            Ok(Answer { status, .. }) => {
                let is_elsewhere = matches!(status, 300..=303 | 305..=399);
                shared.redirected.set(shared.redirected.get() + u64::from(is_elsewhere));
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        let sample = Sample {
            at: shared.counts_at(since, over),
            latency: over.saturating_duration_since(since),
            service: over.saturating_duration_since(sent_at.unwrap_or(now)),
            sent: request.body,
            received,
            result,
        };
        {
            let mut recorder = shared.recorder.borrow_mut();
            recorder.record(request.series, &sample);
            recorder.ended();
        }
        match answer {
            Ok(Answer { keep: true, .. }) if shared.job.plan.keep_alive => (over, result),
            answer => {
                self.close(answer.is_ok_and(|answer| !answer.keep)).await;
                (Instant::now(), result)
            }
        }
    }

    /// Lets go of the connection, which the other side wants to end or not.
    async fn close(&mut self, farewell: bool) {
        let Some(mut connection) = self.connection.take() else { return };
        let until = Instant::now() + FAREWELL;
        if farewell && self.deadline.guard(until, connection.ended(&self.shared.scratch)).await.is_some() {
            drop(connection);
        } else {
            connection.abandon();
        }
        self.shared.recorder.borrow_mut().closed();
    }
}

/// Opens a connection from the next address.
async fn open(shared: &Shared) -> Result<Connection, Failure> {
    let opened = shared.job.dialer.open(shared.next_connection()).await;
    let connection = opened.inspect_err(|failure| {
        if *failure == Failure::Connect(ConnectFault::Lacking) {
            shared.lacking.set(shared.lacking.get() + 1);
        }
    })?;
    shared.recorder.borrow_mut().opened();
    Ok(connection)
}

/// Sends a request on the connection if that is still good, and otherwise on a new one.
async fn exchange(
    shared: &Shared,
    request: &Prepared,
    connection: &mut Option<Connection>,
    sent_at: &mut Option<Instant>,
) -> Result<Answer, Failure> {
    if let Some(idle) = connection
        && idle.is_stale(&shared.scratch).await
    {
        *connection = None;
        shared.recorder.borrow_mut().closed();
    }
    let open = match connection {
        Some(open) => open,
        None => {
            // Boxed, as it is large and rare: a client that has a connection keeps no room for it.
            let new = Box::pin(open(shared)).await?;
            *sent_at = Some(Instant::now());
            connection.insert(new)
        }
    };
    let outgoing = Outgoing { bytes: &request.bytes, filler: 0, head_only: request.head };
    open.exchange(outgoing, &shared.scratch).await
}

/// Ends what takes too long, with a timer that is touched only when it rings: most requests are over long before.
struct Deadline(Pin<Box<Sleep>>);

impl Deadline {
    fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }

    /// `None` if it is not done by then.
    async fn guard<T>(&mut self, until: Instant, what: impl Future<Output = T>) -> Option<T> {
        let mut what = std::pin::pin!(what);
        let until = until.into();
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = what.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if self.0.deadline() > until {
                self.0.as_mut().reset(until);
            }
            // It rings for an earlier request, or for this one.
            while self.0.as_mut().poll(cx).is_ready() {
                if tokio::time::Instant::now() >= until {
                    return Poll::Ready(None);
                }
                self.0.as_mut().reset(until);
            }
            Poll::Pending
        })
        .await
    }
}
