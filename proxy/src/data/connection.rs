//! One client connection from its first to its last byte.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::exchange::End;
use super::io::Downstream;
use super::proxy;
use super::session::{Over, PendingTunnel, Session};
use super::tunnel;
use crate::error::Error;
use crate::metrics::ListenerMetrics;

/// Most bytes that hyper buffers of one request or response.
const BUFFER: usize = 128 * 1024;
/// How long a closing connection waits for the client to have read the last response.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are thrown away meanwhile.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Serves HTTP on a client connection until it ends.
pub async fn serve(stream: TcpStream, session: Rc<Session>, metrics: &ListenerMetrics) {
    let limits = *session.limits();
    let io = TokioIo::new(Downstream { stream, session: Rc::clone(&session) });
    let service = service_fn(|request: Request<Incoming>| proxy::handle(Rc::clone(&session), request));
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(limits.max_header_size)
        .max_buf_size(BUFFER.max(limits.max_header_size))
        .preserve_header_case(limits.preserve_header_case)
        .auto_date_header(true);
    let connection = builder.serve_connection(io, service).without_shutdown();
    match until_over(connection, &session).await {
        Ended::Hyper(Ok(parts)) => {
            let Downstream { stream, .. } = parts.io.into_inner();
            let upgraded = session.tunnel.borrow_mut().take();
            match upgraded {
                Some(pending) => run_tunnel(stream, &parts.read_buf, pending).await,
                None => linger(stream, &session).await,
            }
        }
        Ended::Hyper(Err(error)) => {
            if error.is_parse() || error.is_timeout() {
                metrics.protocol_errors.increment(1);
            }
            // The client left before it heard of its upgrade, whose exchange holds the session that holds it.
            let unheard = session.tunnel.borrow_mut().take();
            if let Some(pending) = unheard {
                pending.exchange.end(End::ClientGone);
            }
        }
        Ended::Over(Over::SlowHead | Over::SlowReader) => metrics.protocol_errors.increment(1),
        Ended::Over(Over::Drained | Over::Idle | Over::PinClosed) => {}
    }
}

enum Ended<T> {
    Hyper(T),
    Over(Over),
}

/// Drives hyper until it is done or the session says that the connection has no reason to live.
async fn until_over<F: Future>(connection: F, session: &Session) -> Ended<F::Output> {
    let mut connection = pin!(connection);
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(Ended::Hyper(result));
        }
        session.poll_over(cx).map(Ended::Over)
    })
    .await
}

async fn run_tunnel(mut client: TcpStream, early: &[u8], pending: PendingTunnel) {
    let PendingTunnel { upgrade, exchange, idle } = pending;
    let timer = exchange.session.worker.ticker.timer();
    let upstream = timer.within(super::tunnel::HANDOVER, upgrade).await;
    let Ok(Ok(upgraded)) = upstream else {
        exchange.end(End::Cut(Error::UpgradeFailed));
        return;
    };
    let mut server = TokioIo::new(upgraded);
    if server.write_all(early).await.is_ok() {
        let moved = tunnel::run(&mut client, &mut server, &timer, idle).await;
        let metrics = exchange.role_metrics();
        metrics.tunnel_up.increment(moved.up + early.len() as u64);
        metrics.tunnel_down.increment(moved.down);
    }
    exchange.end(End::Complete);
}

/// Closes a connection so that the client can read the last response. Closing a socket with unread bytes in it resets the
/// connection, and a reset may overtake the response: a client that is still sending an upload would never see the 413.
async fn linger(mut stream: TcpStream, session: &Session) {
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
