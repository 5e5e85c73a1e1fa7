//! Requests on an HTTP/1.1 client connection.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::client::Client;
use super::connection::Next;
use super::exchange::End;
use super::headers::Secured;
use super::http2;
use super::idle::Waiting;
use super::inbound::Inbound;
use super::io::{Downstream, Transport};
use super::pin::PinEnd;
use super::proxy;
use super::session::{Over, PendingTunnel, Phase, Session, Socket, Upgraded};
use super::ticker::Timer;
use super::tunnel;
use super::worker::Worker;
use crate::error::Error;
use crate::model::snapshot::Limits;

/// Most bytes that hyper buffers of one request or response.
const BUFFER: usize = 128 * 1024;
/// How long a closing connection waits for the client to have read the last response.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are thrown away meanwhile.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// So many at a time.
const SCRATCH: usize = 4096;

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
    let working = Working::new(&client.worker);
    let io = TokioIo::new(Downstream {
        stream: transport,
        early,
        inbound: Inbound::default(),
        session: Rc::clone(&session),
    });
    // In a box, because hyper lends its connection out only when nothing in it is pinned.
    let service = service_fn(|request: Request<Incoming>| Box::pin(proxy::handle(Rc::clone(&session), request)));
    let mut connection = builder(session.limits()).serve_connection(io, service);
    let ended = poll_fn(|cx: &mut Context<'_>| {
        let done = match connection.poll_without_shutdown(cx) {
            // It can be done when nothing more is to be read, and not all is written.
            Poll::Ready(Ok(())) if session.phase() == Phase::Flush => Pin::new(&mut connection).poll(cx),
            done => done,
        };
        match done {
            Poll::Ready(result) => Poll::Ready(Ended::Hyper(result)),
            Poll::Pending => session.poll_over(cx).map(Ended::Over),
        }
    })
    .await;
    session.end();
    let pin_closed = matches!(ended, Ended::Over(Over::PinClosed));
    session.end_pins(if pin_closed { PinEnd::Server } else { PinEnd::Client });
    if let Some(reason) = spoiled(&ended) {
        if reason {
            client.metrics.protocol_errors.increment(1);
        }
        // The client left before it heard of its upgrade, whose exchange holds the session that holds it.
        let unheard = session.tunnel.borrow_mut().take();
        if let Some(pending) = unheard {
            pending.exchange.end(End::ClientGone);
        }
        return Next::Over;
    }
    let parts = connection.into_parts();
    let Downstream { mut stream, early, .. } = parts.io.into_inner();
    // What hyper has read and not used comes before what it has not read.
    let rest = [&parts.read_buf[..], &early].concat();
    drop((parts.read_buf, parts.service, working));
    let upgraded = session.tunnel.borrow_mut().take();
    match (upgraded, ended) {
        (Some(pending), _) => run_tunnel(stream, rest, pending).await,
        // The next request has begun already.
        (None, Ended::Over(Over::Parked)) if !rest.is_empty() => {
            return Next::Work(Box::pin(serve(stream, rest, client)));
        }
        (None, Ended::Over(Over::Parked)) => {
            client.worker.parked.set(client.worker.parked.get() + 1);
            return Next::Wait(Waiting::new(stream, client, session.patience()));
        }
        (None, Ended::Over(_)) => say_goodbye(&mut stream).await,
        // What was written is sent all the same when a plain socket is closed.
        (None, Ended::Hyper(_)) if session.heard_all() && rest.is_empty() && stream.is_plain() => {}
        (None, Ended::Hyper(_)) => linger(&mut stream, &session.timer).await,
    }
    Next::Over
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(limits.max_header_size)
        .max_buf_size(BUFFER.max(limits.max_header_size))
        .preserve_header_case(limits.preserve_header_case)
        .auto_date_header(true);
    builder
}

/// How the work on a connection ended.
enum Ended {
    /// hyper has nothing more to do, or cannot go on.
    Hyper(hyper::Result<()>),
    /// The session says that the connection has no reason to live, or none to be worked on.
    Over(Over),
}

/// `Some` when the connection is of no use any more; whether the client broke the rules.
fn spoiled(ended: &Ended) -> Option<bool> {
    match ended {
        Ended::Hyper(Ok(())) => None,
        Ended::Hyper(Err(error)) => Some(error.is_parse() || error.is_timeout()),
        Ended::Over(Over::SlowHead | Over::SlowReader) => Some(true),
        Ended::Over(Over::TooLong) => Some(false),
        Ended::Over(Over::Drained | Over::Idle | Over::Parked | Over::PinClosed) => None,
    }
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

async fn run_tunnel(mut client: Transport, early: Vec<u8>, pending: PendingTunnel) {
    let PendingTunnel { upstream, exchange, idle } = pending;
    let timer = exchange.session.worker.ticker.timer();
    if let Some(endpoint) = exchange.endpoint() {
        timer.belongs_to(endpoint.state.id);
    }
    let metrics = exchange.role_metrics();
    match upstream {
        Upgraded::Now(mut server) => tunnel::run(&mut client, &mut server, early, (&timer, idle), metrics).await,
        Upgraded::Soon(upgrade) => match timer.within(tunnel::HANDOVER, upgrade).await {
            Ok(Ok(upgraded)) => {
                let mut server = TokioIo::new(upgraded);
                tunnel::run(&mut client, &mut server, early, (&timer, idle), metrics).await;
            }
            Ok(Err(_)) | Err(_) => return exchange.end(End::Cut(Error::UpgradeFailed)),
        },
    }
    exchange.end(End::Complete);
}

/// Closes a connection so that the client can read the last response. Closing a socket with unread bytes in it resets the
/// connection, and a reset may overtake the response: a client that is still sending an upload would never see the 413.
async fn linger(stream: &mut Transport, timer: &Timer) {
    // A client that reads nothing takes no end of TLS either.
    if !matches!(timer.within(LINGER, stream.shutdown()).await, Ok(Ok(()))) {
        return;
    }
    let mut left = LINGER_BYTES;
    let read_to_end = poll_fn(|cx| {
        while left > 0 {
            // Not part of the future, and not zeroed.
            let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
            let mut scratch = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut scratch)) {
                Ok(()) if !scratch.filled().is_empty() => left = left.saturating_sub(scratch.filled().len()),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    });
    // Either way the connection is dropped now.
    let _ = timer.within(LINGER, read_to_end).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::AsyncWrite;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::data::ticker::{TICK, Ticker};

    /// Both ends of a TLS connection. Nothing reads the client's.
    async fn secured() -> (Transport, impl Sized) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["h".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
        let (accepted, connected) = tokio::join!(
            TlsAcceptor::from(Arc::new(server)).accept(ours.unwrap().0),
            TlsConnector::from(Arc::new(client)).connect("h".try_into().unwrap(), theirs.unwrap()),
        );
        (Transport::Tls(Box::new(accepted.unwrap().into())), connected.unwrap())
    }

    #[tokio::test]
    async fn a_client_that_takes_no_end_of_tls_is_not_waited_for() {
        let (mut stream, _client) = secured().await;
        // As much as the system takes, and then the end does not fit any more.
        let full = poll_fn(|cx| {
            let block = [0; 64 * 1024];
            while Pin::new(&mut stream).poll_write(cx, &block)?.is_ready() {}
            Poll::Ready(io::Result::Ok(()))
        });
        full.await.unwrap();
        let ticker = Ticker::new(Instant::now());
        let timer = ticker.timer();
        let ticks = async {
            loop {
                tokio::time::sleep(TICK).await;
                ticker.tick();
            }
        };
        let begun = Instant::now();
        tokio::select! {
            () = linger(&mut stream, &timer) => {}
            () = ticks => {}
            () = tokio::time::sleep(4 * LINGER) => panic!("it is waited for"),
        }
        assert!(begun.elapsed() >= LINGER, "it has had its time");
    }
}
