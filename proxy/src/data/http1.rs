//! Requests on an HTTP/1.1 client connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::Client;
use super::connection::Next;
use super::exchange::End;
use super::headers::Secured;
use super::http2;
use super::idle::Waiting;
use super::io::{Downstream, Transport};
use super::pin::PinEnd;
use super::proxy;
use super::session::{Over, PendingTunnel, Session, Socket};
use super::tunnel;
use super::worker::Worker;
use crate::error::Error;

/// Most bytes that hyper buffers of one request or response.
const BUFFER: usize = 128 * 1024;
/// How long a closing connection waits for the client to have read the last response.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are thrown away meanwhile.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Serves requests until the connection ends, or has been idle for a while: then it waits without a parser.
pub async fn serve(mut transport: Transport, mut early: Vec<u8>, client: Client) -> Next {
    let socket = Socket { to: transport.tcp().local_addr().ok(), secured: Secured::of(&transport) };
    match http2::begins(&mut transport, &mut early, &client).await {
        Some(false) => {}
        Some(true) => {
            http2::serve(transport, early, &client, &socket).await;
            return Next::Over;
        }
        None => return Next::Over,
    }
    let session = Session::new(&client, &socket, false);
    let _working = Working::new(&client.worker);
    let limits = *session.limits();
    let io = TokioIo::new(Downstream { stream: transport, early, session: Rc::clone(&session) });
    let service = service_fn(|request: Request<Incoming>| proxy::handle(Rc::clone(&session), request));
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(limits.max_header_size)
        .max_buf_size(BUFFER.max(limits.max_header_size))
        .preserve_header_case(limits.preserve_header_case)
        .auto_date_header(true);
    let connection = builder.serve_connection(io, service).without_shutdown();
    let (over, ended) = until_over(connection, &session).await;
    session.end_pins(if over == Some(Over::PinClosed) { PinEnd::Server } else { PinEnd::Client });
    match ended {
        Some(Ok(parts)) => {
            let Downstream { mut stream, early, .. } = parts.io.into_inner();
            let upgraded = session.tunnel.borrow_mut().take();
            match upgraded {
                Some(pending) => run_tunnel(stream, [early, parts.read_buf.to_vec()].concat(), pending).await,
                // Nobody has looked at the socket since the last response went.
                None if over == Some(Over::Parked) => {
                    let patience = session.patience();
                    client.worker.parked.set(client.worker.parked.get() + 1);
                    return Next::Wait(Waiting::new(stream, client, patience));
                }
                None if over.is_some() => say_goodbye(&mut stream).await,
                None => linger(&mut stream, &session).await,
            }
        }
        Some(Err(error)) => {
            if error.is_parse() || error.is_timeout() {
                client.metrics.protocol_errors.increment(1);
            }
            // The client left before it heard of its upgrade, whose exchange holds the session that holds it.
            let unheard = session.tunnel.borrow_mut().take();
            if let Some(pending) = unheard {
                pending.exchange.end(End::ClientGone);
            }
        }
        None if matches!(over, Some(Over::SlowHead | Over::SlowReader)) => client.metrics.protocol_errors.increment(1),
        None => {}
    }
    Next::Over
}

/// As far as that is possible at once.
async fn say_goodbye(stream: &mut Transport) {
    poll_fn(|cx: &mut Context<'_>| {
        stream.farewell(cx);
        Poll::Ready(())
    })
    .await;
}

/// Counts a connection that holds a parser and buffers.
struct Working(Rc<Worker>);

impl Working {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.working.set(worker.working.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.set(self.0.working.get() - 1);
    }
}

/// Drives hyper until it is done or the session says that the connection has no reason to live. Between two requests hyper is
/// made to let go of the socket then, so that there can be more to it, if only a goodbye.
async fn until_over<F: Future>(connection: F, session: &Session) -> (Option<Over>, Option<F::Output>) {
    let mut connection = pin!(connection);
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready((session.parking().then_some(Over::Parked), Some(result)));
        }
        let over = ready!(session.poll_over(cx));
        if matches!(over, Over::SlowHead | Over::SlowReader) {
            return Poll::Ready((Some(over), None));
        }
        session.park();
        // It sees the end of the connection, and that nothing is under way.
        match connection.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready((Some(over), Some(result))),
            Poll::Pending if over == Over::Parked => Poll::Pending,
            Poll::Pending => Poll::Ready((Some(over), None)),
        }
    })
    .await
}

async fn run_tunnel(mut client: Transport, early: Vec<u8>, pending: PendingTunnel) {
    let PendingTunnel { upgrade, exchange, idle } = pending;
    let timer = exchange.session.worker.ticker.timer();
    let upstream = timer.within(super::tunnel::HANDOVER, upgrade).await;
    let Ok(Ok(upgraded)) = upstream else {
        exchange.end(End::Cut(Error::UpgradeFailed));
        return;
    };
    let mut server = TokioIo::new(upgraded);
    if let Some(endpoint) = exchange.endpoint() {
        timer.belongs_to(endpoint.state.id);
    }
    tunnel::run(&mut client, &mut server, early, (&timer, idle), exchange.role_metrics()).await;
    exchange.end(End::Complete);
}

/// Closes a connection so that the client can read the last response. Closing a socket with unread bytes in it resets the
/// connection, and a reset may overtake the response: a client that is still sending an upload would never see the 413.
async fn linger(stream: &mut Transport, session: &Session) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0_u8; 4096];
    let read_to_end = async {
        let mut left = LINGER_BYTES;
        while let Ok(count) = stream.read(&mut scratch).await
            && count > 0
            && left > 0
        {
            left = left.saturating_sub(count);
        }
    };
    // Either way the connection is dropped now.
    let _ = session.timer.within(LINGER, read_to_end).await;
}
