//! Connections of the admin listener. There is always room for another one: the oldest makes place. So those who connect and
//! say nothing, or do not read, keep no one out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tower::{ServiceBuilder, ServiceExt};

use super::Admin;
use super::answer::{Reader, sent};
use super::desk::Desk;
use super::peer::Peer;
use super::router::router;

/// Connections at the same time.
const CONNECTIONS: usize = 64;
/// A connection must send its request within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer must be read within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection takes no more requests after this time,
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// and its last answer must be there and read within this time.
const GOODBYE: Duration = Duration::from_secs(30);
/// How often is looked whether a connection is late.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a failure to accept.
const PAUSE: Duration = Duration::from_millis(100);
/// Such a failure is not told of again sooner.
const QUIET: Duration = Duration::from_secs(60);

/// Serves the admin listener until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let router = router(Desk::new(admin));
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    let mut quiet_until: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                open.retain(|connection| !connection.is_finished());
                while open.len() >= CONNECTIONS {
                    open.pop_front().iter().for_each(AbortHandle::abort);
                }
                open.push_back(tokio::spawn(connection(stream, Peer::Tcp(from), router.clone())).abort_handle());
            }
            Err(error) => {
                if quiet_until.is_none_or(|until| Instant::now() >= until) {
                    quiet_until = Some(Instant::now() + QUIET);
                    tracing::warn!(%error, "an admin connection could not be accepted");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, from: Peer, router: Router) {
    let reader = Reader::new();
    let asked = Arc::clone(&reader);
    let answer = move |request: Request<Incoming>| {
        let (router, reader) = (router.clone(), Arc::clone(&asked));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(from);
        async move {
            let Ok(answer) = router.oneshot(request).await;
            Ok::<_, Infallible>(sent(answer, &reader))
        }
    };
    let service = TowerToHyperService::new(ServiceBuilder::new().service_fn(answer));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = false;
    loop {
        tokio::select! {
            // One that breaks off needs no word.
            _ = connection.as_mut() => return,
            _ = look.tick() => {}
        }
        let unread = reader.unread_for().is_some_and(|waits| waits >= READ_TIMEOUT);
        if unread || reader.age() >= CONNECTION_AGE + GOODBYE {
            return;
        }
        if reader.age() >= CONNECTION_AGE && !leaving {
            leaving = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}
