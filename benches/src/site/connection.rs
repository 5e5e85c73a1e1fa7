//! The life of a connection to a site system, from its acceptance to its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::body::SiteBody;
use super::gate::Gate;
use super::life::Phase;
use super::link::Link;
use super::server::handle;
use super::shared::Shared;
use super::tls::{Secured, Terminator};
use super::wire::Wire;

/// Accepts until the task is ended, and has `serve` take each connection.
pub(crate) async fn accept<S, F>(shared: Arc<Shared>, gate: Arc<Gate>, serve: S)
where
    S: Fn(Arc<Shared>, Arc<Link>, TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut acceptor = gate.acceptor();
    loop {
        let (stream, peer) = acceptor.accept().await;
        let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() else {
            continue;
        };
        let id = shared.counters.opened();
        if shared.faults.closes_on_accept() {
            shared.counters.closed();
            continue;
        }
        // A small answer that waits for an acknowledgement would be measured as latency of the proxy.
        let _ = stream.set_nodelay(true);
        let link = Arc::new(Link::new(id, peer, shared.life.load_full()));
        let served = serve(Arc::clone(&shared), link, stream);
        tokio::spawn(async move {
            served.await;
            drop(permit);
        });
    }
}

/// Serves HTTP on one connection.
pub(crate) async fn http(shared: Arc<Shared>, link: Arc<Link>, stream: TcpStream) {
    let wire = Wire::new(stream, Arc::clone(&link), Arc::clone(&shared));
    match &shared.terminators.http {
        None => first_version(Arc::clone(&shared), link, wire).await,
        Some(terminator) => {
            let Some(stream) = secure(&shared, &link, terminator, wire).await else { return };
            if link.secured.get().is_some_and(Secured::speaks_http2) {
                second_version(Arc::clone(&shared), link, stream).await;
            } else {
                first_version(Arc::clone(&shared), link, stream).await;
            }
        }
    }
}

/// A handshake, unless it fails, takes too long or is interrupted by the end of the site system.
pub(crate) async fn secure(
    shared: &Shared,
    link: &Link,
    terminator: &Terminator,
    wire: Wire,
) -> Option<TlsStream<Wire>> {
    let mut phase = link.life.watch();
    let accepted = tokio::select! {
        biased;
        _ = phase.wait_for(|now| *now != Phase::Running) => None,
        accepted = tokio::time::timeout(shared.spec.idle_timeout, terminator.accept(wire)) => accepted.ok().flatten(),
    };
    let Some((stream, secured)) = accepted else {
        shared.counters.handshake_failed();
        return None;
    };
    if shared.spec.recording {
        shared.counters.shook_hands(secured.seen.clone());
    }
    let _ = link.secured.set(secured);
    Some(stream)
}

/// Answers the requests of one connection.
fn answering(
    shared: Arc<Shared>,
    link: Arc<Link>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<SiteBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<SiteBody>, Infallible>> + Send,
> {
    service_fn(move |request| {
        let (shared, link) = (Arc::clone(&shared), Arc::clone(&link));
        async move { Ok(handle(&shared, &link, request).await) }
    })
}

async fn first_version<S>(shared: Arc<Shared>, link: Arc<Link>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle_timeout = shared.spec.idle_timeout;
    let service = answering(shared, Arc::clone(&link));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(idle_timeout);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    drive(&link, connection, |connection| connection.graceful_shutdown()).await;
}

async fn second_version<S>(shared: Arc<Shared>, link: Arc<Link>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle_timeout = shared.spec.idle_timeout;
    let service = answering(shared, Arc::clone(&link));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(idle_timeout);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    drive(&link, connection, |connection| connection.graceful_shutdown()).await;
}

/// Lets a connection run to its end, or to that of the site system.
async fn drive<C: Future>(link: &Link, connection: C, stop: impl Fn(Pin<&mut C>)) {
    let mut phase = link.life.watch();
    let mut connection = pin!(connection);
    let mut watching = true;
    loop {
        let now = *phase.borrow_and_update();
        match now {
            Phase::Running => {}
            Phase::Stopping => stop(connection.as_mut()),
            Phase::Killed => return,
        }
        tokio::select! {
            biased;
            changed = phase.changed(), if watching => watching = changed.is_ok(),
            // How a connection ended is for its peer to judge.
            _ = &mut connection => return,
        }
    }
}
