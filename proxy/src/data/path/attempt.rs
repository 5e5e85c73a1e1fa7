//! One attempt at one endpoint: send the request, wait for the response head.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::Scheme;
use http::{Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::data::path::call::Call;
use crate::data::path::patience::{Leave, Patience, in_time};
use crate::data::path::session::Session;
use crate::data::upstream::connect::{self, Dial};
use crate::data::upstream::http1::Upstream;
use crate::data::upstream::pool::{Driven, Sender};
use crate::data::upstream::request_body::RequestBody;
use crate::error::Error;
use crate::model::endpoint::Endpoint;
use crate::model::role::ProxyProtocol;
use crate::model::snapshot::Snapshot;
use crate::wire::fields::Fields;
use crate::wire::head::ResponseHead;
use crate::wire::hop_by_hop;

/// Idle connections that are tried before a new one is opened. An endpoint that has restarted has closed them all.
const STALE_LIMIT: usize = 2;

/// Largest body of an answer that is read before it is known whether a client gets it, in bytes. An error page of IIS has less.
const SMALL: u64 = 16 * 1024;
/// How long the rest of one is waited for. It nearly always comes with the head.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a server is waited for that does not say whether it wants a body; then it gets it (RFC 9110, section 10.1.1). As
/// long as curl waits.
const SILENCE: Duration = Duration::from_secs(1);

/// A response head, and its body.
#[derive(Debug)]
pub struct Answer {
    /// The head.
    pub head: ResponseHead,
    /// Its body.
    pub source: Source,
}

/// Where the body of an answer is.
#[derive(Debug)]
pub enum Source {
    /// Still to come on its connection.
    Connection(Coming),
    /// Here, all of it.
    Whole(Bytes),
}

/// A body that is still to come.
#[derive(Debug)]
pub struct Coming {
    /// The body, where a task of its own drives the connection.
    pub incoming: Option<Incoming>,
    /// The connection.
    pub sender: Sender,
    /// Other clients may have used it, or do.
    pub reused: bool,
}

impl Answer {
    /// Reads a small body to its end, so that its connection serves others while it is found out what becomes of the answer. A
    /// connection that belongs to one client, or closes after this answer, stays as it is, and so does one with a large body.
    pub async fn take_in(&mut self, session: &Session, snapshot: &Snapshot, endpoint: &Endpoint) {
        let closes = hop_by_hop::closes(&self.head) || endpoint.role.proxy_protocol != ProxyProtocol::Off;
        let Source::Connection(coming) = &mut self.source else { return };
        let Sender::Direct(upstream) = &mut coming.sender else { return };
        if closes || upstream.is_sending() {
            return;
        }
        let here = session.timer.within(PATIENCE, poll_fn(|cx| upstream.poll_whole(cx, SMALL))).await;
        if !here.unwrap_or(false) {
            return;
        }
        let mut body = BytesMut::new();
        // It is in memory, and its length is known.
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = upstream.poll_frame(&mut cx) {
            body.extend(frame.into_data().ok());
        }
        let whole = Source::Whole(body.freeze());
        if let Source::Connection(coming) = mem::replace(&mut self.source, whole) {
            session.worker.give_back(snapshot, endpoint, coming.sender);
        }
    }
}

/// An attempt that brought no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The connection had been used before: the endpoint may just have closed an idle connection.
    pub reused: bool,
}

/// Sends the call on an idle connection, or on a new one. An idle connection that turns out to be closed before anything
/// was sent costs another try here and is no failure of the endpoint.
///
/// # Errors
/// [`Failure`]; the call has its request back if none of it was sent.
pub async fn attempt(
    session: &Session,
    endpoint: &Endpoint,
    call: &mut Call,
    leave: &Leave<'_>,
    fresh: bool,
) -> Result<Answer, Failure> {
    let pool = &session.worker.pool;
    let idle = if fresh { 0 } else { STALE_LIMIT };
    if !call.repeatable() && !fresh {
        // A request that may be sent only once must not meet an idle connection that its server has just closed. The
        // runtime looks at all sockets before it comes back here, and a closed connection is not checked out.
        tokio::task::yield_now().await;
    }
    for _ in 0..idle {
        let now_ms = session.worker.ticker.now_ms();
        let Some(sender) = pool.checkout(endpoint, session.proof(), now_ms) else { break };
        if call.needs_http1() && sender.is_http2() {
            break;
        }
        endpoint.metrics.reuses.increment(1);
        match on_connection(session, endpoint, sender, call, Some(leave), true).await {
            Err(Failure { error: Error::NeverSent, .. }) => {}
            result => return result,
        }
    }
    let from = Dial { peer: session.peer, to: session.to, worker: &session.worker, proof: session.proof(), raw: false };
    // Boxed because it is seldom, and large.
    let connecting = Box::pin(connect::http(endpoint, &from, call.needs_http1()));
    let error = match session.timer.within(endpoint.role.timeouts.connect, connecting).await {
        Ok(Ok(sender)) => {
            endpoint.metrics.connects.increment(1);
            return on_connection(session, endpoint, sender, call, Some(leave), false).await;
        }
        Ok(Err(error)) => error,
        Err(_) if session.timer.cap_passed() => Error::TotalTimeout,
        Err(_) => Error::ConnectTimeout,
    };
    Err(Failure { error, reused: false })
}

/// Sends the call on this connection and waits for the response head.
///
/// # Errors
/// [`Failure`]; the call has its request back if none of it was sent.
pub async fn on_connection(
    session: &Session,
    endpoint: &Endpoint,
    mut sender: Sender,
    call: &mut Call,
    leave: Option<&Leave<'_>>,
    reused: bool,
) -> Result<Answer, Failure> {
    // What a server does not do over HTTP/2 (`HTTP_1_1_REQUIRED`), or not any more on this connection (`GOAWAY`), it may do on
    // another one: as with an idle connection that it has just closed.
    let reused = reused || sender.is_http2();
    let failure = |error| Failure { error, reused };
    let timeouts = &endpoint.role.timeouts;
    let empty = call.prepare_for(session, &endpoint.role);
    session.upload.done.set(empty);
    let patience = Patience::new(endpoint, leave, empty);
    session.timer.set(if empty { patience.first() } else { timeouts.request_body_idle });
    let result = match &mut sender {
        Sender::Direct(upstream) => direct(session, upstream, call, patience).await.map(|head| (head, None)),
        // Boxed because it is seldom, and large.
        Sender::Driven(driven) => Box::pin(driven_by_task(session, driven, call, patience)).await,
    };
    session.timer.clear();
    let (head, incoming) = result.map_err(failure)?;
    endpoint.state.answered(session.worker.ticker.now_ms());
    if reused && is_unasked(head.status, &mut sender) {
        return Err(failure(if call.repeatable() { Error::NeverSent } else { Error::Terminated }));
    }
    // The client would read what follows as its next response, or the server what is left of a body as another protocol.
    if head.status == StatusCode::SWITCHING_PROTOCOLS && (!call.asks_for(&head.fields) || sender.sending().is_some()) {
        return Err(failure(Error::BadResponse));
    }
    Ok(Answer { head, source: Source::Connection(Coming { incoming, sender, reused }) })
}

/// Whether this is what a server says before it closes an idle connection, and no answer: that it has waited for all of a request
/// for too long (RFC 9110, section 15.5.9), after all of one was sent. It came when the connection had been taken for this request.
fn is_unasked(status: StatusCode, sender: &mut Sender) -> bool {
    status == StatusCode::REQUEST_TIMEOUT && !sender.is_http2() && sender.sending().is_none()
}

/// Makes a connection that belongs to one client ready for its next request: the client may have sent the end of the last
/// one's body after the response to it.
///
/// # Errors
/// [`Error::Terminated`]: it is of no use any more.
pub async fn settle(session: &Session, endpoint: &Endpoint, sender: &mut Sender) -> Result<(), Error> {
    if let Some(upstream) = sender.sending() {
        let idle = endpoint.role.timeouts.request_body_idle;
        let sent = session.timer.within(idle, poll_fn(|cx| upstream.poll_sent(cx))).await;
        session.timer.clear();
        sent.map_err(|_| Error::Terminated)?;
    }
    let of_use = match sender {
        Sender::Direct(upstream) => upstream.is_idle(),
        // hyper looks itself.
        Sender::Driven(_) => true,
    };
    if of_use { Ok(()) } else { Err(Error::Terminated) }
}

/// On a connection that we drive.
async fn direct(
    session: &Session,
    upstream: &mut Upstream,
    call: &mut Call,
    patience: Patience<'_>,
) -> Result<ResponseHead, Error> {
    let waits = call.waits_to_be_asked();
    let body = call.body().ok_or(Error::Terminated)?;
    let head = call.write_head(session, &body);
    upstream.begin(head, body);
    let asks = waits.then(|| session.worker.ticker.timer());
    asks.iter().for_each(|timer| timer.set(SILENCE));
    let answer = poll_fn(|cx| {
        if asks.as_ref().is_some_and(|timer| timer.poll_elapsed(cx).is_ready()) {
            upstream.begin_body();
        }
        upstream.poll_head(cx, &session.worker.reading, |interim| session.interims.put(interim))
    });
    let answered = in_time(session, patience, answer).await?;
    answered.map_err(|error| {
        if let Some(unsent) = upstream.take_unsent().filter(|_| error == Error::NeverSent) {
            call.give_body_back(unsent);
        }
        session.upload.error.get().unwrap_or(error)
    })
}

/// On a connection that a task drives.
async fn driven_by_task(
    session: &Session,
    driven: &mut Driven,
    call: &mut Call,
    patience: Patience<'_>,
) -> Result<(ResponseHead, Option<Incoming>), Error> {
    let scheme = if driven.secure { Scheme::HTTPS } else { Scheme::HTTP };
    let request = call.http2_request(session, scheme)?;
    let result = in_time(session, patience, driven.requests.try_send_request(request)).await;
    match result {
        Ok(Ok(response)) => {
            let (parts, incoming) = response.into_parts();
            let fields = Fields::from(parts.headers);
            Ok((ResponseHead { status: parts.status, version: Version::HTTP_11, reason: None, fields }, Some(incoming)))
        }
        Ok(Err(failed)) => {
            if said_goodbye(failed.error()) {
                driven.retire();
            }
            if reason(failed.error()) == Some(h2::Reason::HTTP_1_1_REQUIRED) {
                call.insist_on_http1();
            }
            Err(explain(session, failed, call))
        }
        Err(error) => {
            // Others would wait for it in vain too.
            driven.retire();
            Err(error)
        }
    }
}

fn explain(session: &Session, mut failed: TrySendError<Request<RequestBody>>, call: &mut Call) -> Error {
    if let Some(error) = session.upload.error.get() {
        return error;
    }
    if let Some(unsent) = failed.take_message() {
        call.give_body_back(unsent.into_body());
        return Error::NeverSent;
    }
    if call.is_whole() && is_unprocessed(failed.error()) {
        return Error::NeverSent;
    }
    // A request that was canceled without coming back was dropped unread, but it cannot be sent again either.
    if failed.error().is_parse() { Error::BadResponse } else { Error::Terminated }
}

/// Whether the server has said that it has not looked at the request: that it takes none now, or not over HTTP/2, or that its last one
/// was before this (RFC 9113, sections 6.8, 7 and 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let refused = [h2::Reason::REFUSED_STREAM, h2::Reason::HTTP_1_1_REQUIRED];
    said_goodbye(error) || reason(error).is_some_and(|reason| refused.contains(&reason))
}

/// Why the server has reset the request.
fn reason(error: &hyper::Error) -> Option<h2::Reason> {
    cause(error).filter(|cause| cause.is_remote() && cause.is_reset())?.reason()
}

/// Whether the server has said that it takes no more requests on this connection, this one included.
fn said_goodbye(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| cause.is_remote() && cause.is_go_away())
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
