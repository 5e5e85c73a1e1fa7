//! One attempt at one endpoint: send the request, wait for the response head.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::body::RequestBody;
use super::connect;
use super::pool::Sender;
use super::session::Session;
use crate::error::Error;
use crate::model::endpoint::Endpoint;

/// Idle connections that are tried before a new one is opened. An endpoint that has restarted has closed them all.
const STALE_LIMIT: usize = 2;

/// A response head, its body still to come on the connection.
#[derive(Debug)]
pub struct Answer {
    /// The head.
    pub response: Response<Incoming>,
    /// The connection.
    pub sender: Sender,
}

/// An attempt that brought no response.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The request, when none of it was sent.
    pub unsent: Option<Request<RequestBody>>,
    /// The connection had been used before: the endpoint may just have closed an idle connection.
    pub reused: bool,
}

/// Sends `request` on an idle connection, or on a new one. An idle connection that turns out to be closed before anything
/// was sent costs another try here and is no failure of the endpoint.
///
/// # Errors
/// [`Failure`], with the request if it can still be sent elsewhere.
pub async fn attempt(
    session: &Session,
    endpoint: &Endpoint,
    mut request: Request<RequestBody>,
    repeatable: bool,
    fresh: bool,
) -> Result<Answer, Failure> {
    let pool = &session.worker.pool;
    let idle = if fresh { 0 } else { STALE_LIMIT };
    if !repeatable && !fresh {
        // A request that may be sent only once must not meet an idle connection that its server has just closed. The
        // runtime looks at all sockets before it comes back here, and a closed connection is not checked out.
        tokio::task::yield_now().await;
    }
    for _ in 0..idle {
        let Some(sender) = pool.checkout(endpoint.state.id, session.worker.ticker.now_ms()) else { break };
        endpoint.metrics.reuses.increment(1);
        match on_connection(session, endpoint, sender, request, true).await {
            Err(Failure { error: Error::NeverSent, unsent: Some(unsent), .. }) => request = unsent,
            result => return result,
        }
    }
    match session.timer.within(endpoint.role.timeouts.connect, connect::http(endpoint, session.limits().preserve_header_case)).await {
        Ok(Ok(sender)) => {
            endpoint.metrics.connects.increment(1);
            on_connection(session, endpoint, sender, request, false).await
        }
        Ok(Err(error)) => Err(Failure { error, unsent: Some(request), reused: false }),
        Err(_) if session.timer.cap_passed() => Err(Failure { error: Error::TotalTimeout, unsent: None, reused: false }),
        Err(_) => Err(Failure { error: Error::ConnectTimeout, unsent: Some(request), reused: false }),
    }
}

/// Sends `request` on this connection and waits for the response head.
///
/// # Errors
/// [`Failure`], with the request if none of it was sent.
pub async fn on_connection(
    session: &Session,
    endpoint: &Endpoint,
    mut sender: Sender,
    mut request: Request<RequestBody>,
    reused: bool,
) -> Result<Answer, Failure> {
    let timeouts = &endpoint.role.timeouts;
    if let RequestBody::Stream(uploading) = request.body_mut() {
        uploading.idle = timeouts.request_body_idle;
        uploading.response_header = timeouts.response_header;
    }
    let empty = matches!(request.body(), RequestBody::Empty);
    let upgrades = request.headers().contains_key(http::header::UPGRADE);
    session.upload.done.set(empty);
    session.timer.set(if empty { timeouts.response_header } else { timeouts.request_body_idle });
    let mut sent = pin!(sender.requests.try_send_request(request));
    let result = poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = sent.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        session.timer.poll_elapsed(cx).map(|_| Err(late(session)))
    })
    .await;
    session.timer.clear();
    match result {
        // The client would read what follows as its next response.
        Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrades => {
            Err(Failure { error: Error::BadResponse, unsent: None, reused })
        }
        Ok(Ok(response)) => Ok(Answer { response, sender }),
        Ok(Err(failed)) => Err(explain(session, failed, reused)),
        Err(error) => Err(Failure { error, unsent: None, reused }),
    }
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

fn explain(session: &Session, mut failed: TrySendError<Request<RequestBody>>, reused: bool) -> Failure {
    if let Some(error) = session.upload.error.get() {
        return Failure { error, unsent: None, reused };
    }
    let unsent = failed.take_message();
    let cause = failed.into_error();
    let error = if unsent.is_some() || cause.is_canceled() {
        Error::NeverSent
    } else if cause.is_parse() {
        Error::BadResponse
    } else {
        Error::Terminated
    };
    // A canceled request without its message was dropped unread, but it cannot be sent again either.
    let error = if error == Error::NeverSent && unsent.is_none() { Error::Terminated } else { error };
    Failure { error, unsent, reused }
}
