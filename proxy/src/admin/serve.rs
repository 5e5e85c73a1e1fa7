//! Connections of the admin listener. There is always room for another one: the oldest makes place. So those who connect and
//! say nothing, or do not read, keep no one out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
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
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_rustls::TlsAcceptor;
use tower::{ServiceBuilder, ServiceExt};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Admin;
use super::answer::{Reader, sent};
use super::desk::Desk;
use super::peer::Peer;
use super::router::router;

/// Connections at the same time.
const CONNECTIONS: usize = 64;
/// A connection must send its request within this time, and before that complete its handshake.
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

/// Where the admin listener is reached.
#[derive(Debug)]
pub struct Doors {
    /// Its address.
    pub tcp: TcpListener,
    /// Its Unix socket.
    pub unix: Option<UnixListener>,
}

/// A connection that has come.
enum Guest {
    Tcp(TcpStream, std::net::SocketAddr),
    Unix(UnixStream),
}

impl Doors {
    async fn accept(&self) -> io::Result<Guest> {
        let unix = async {
            match &self.unix {
                Some(unix) => unix.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.tcp.accept() => accepted.map(|(stream, from)| Guest::Tcp(stream, from)),
            accepted = unix => accepted.map(|(stream, _)| Guest::Unix(stream)),
        }
    }
}

/// Serves the admin listener until the process ends.
pub async fn serve(doors: Doors, admin: Admin) {
    let desk = Desk::new(admin);
    let router = router(Arc::clone(&desk));
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    let mut quiet_until: Option<Instant> = None;
    loop {
        match doors.accept().await {
            Ok(guest) => {
                open.retain(|connection| !connection.is_finished());
                while open.len() >= CONNECTIONS {
                    open.pop_front().iter().for_each(AbortHandle::abort);
                }
                open.push_back(tokio::spawn(receive(guest, Arc::clone(&desk), router.clone())).abort_handle());
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

async fn receive(guest: Guest, desk: Arc<Desk>, router: Router) {
    match guest {
        Guest::Tcp(stream, from) => {
            let rules = Arc::clone(&desk.admin.handles.snapshots.current().site);
            let Some(tls) = &rules.admin.tls else {
                return connection(stream, Peer::Tcp { from, certificate: None }, router).await;
            };
            let accepting = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
            // One that breaks off, or speaks another language, needs no word.
            let Ok(Ok(stream)) = timeout(HEADER_TIMEOUT, accepting).await else { return };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(subject);
            connection(stream, Peer::Tcp { from, certificate }, router).await;
        }
        Guest::Unix(stream) => {
            // The kernel knows who has connected.
            let Ok(credentials) = stream.peer_cred() else { return };
            connection(stream, Peer::Unix { uid: credentials.uid() }, router).await;
        }
    }
}

/// Whom a certificate is for, in words.
fn subject(certificate: &CertificateDer<'static>) -> Arc<str> {
    let read = X509Certificate::from_der(certificate).ok();
    let subject = read.map(|(_, certificate)| certificate.subject().to_string()).filter(|subject| !subject.is_empty());
    subject.map_or_else(|| Arc::from("without a subject"), Arc::from)
}

async fn connection<S>(stream: S, from: Peer, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let reader = Reader::new();
    let asked = Arc::clone(&reader);
    let answer = move |request: Request<Incoming>| {
        let (router, reader) = (router.clone(), Arc::clone(&asked));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(from.clone());
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
