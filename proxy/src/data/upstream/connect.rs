//! A new connection to an endpoint.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use rolegate_health::is_own_shortage;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::data::thread::executor::LocalExecutor;
use crate::data::thread::ticker::Timer;
use crate::data::transport::descriptors;
use crate::data::transport::keepalive::keep_alive;
use crate::data::transport::proxy_protocol;
use crate::data::transport::stream::Transport;
use crate::data::upstream::http1::Upstream;
use crate::data::upstream::made::Made;
use crate::data::upstream::pool::{Driven, Lifetime, STREAMS, Sender};
use crate::data::upstream::request_body::RequestBody;
use crate::data::upstream::worker::Worker;
use crate::error::Error;
use crate::model::endpoint::Endpoint;
use crate::model::role::{Protocol, ProxyProtocol};
use crate::model::tls::Proof;

/// Largest response head in bytes.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// Bytes that one stream of an HTTP/2 connection may have under way.
const WINDOW: u32 = 64 * 1024;

/// How long a connection that has no use any more may take to end, at least; twice as long at most.
const GOODBYE: Duration = Duration::from_secs(30);

/// An HTTP/2 connection.
type Connection = http2::Connection<TokioIo<Transport>, RequestBody, LocalExecutor>;

/// For whom a connection is opened.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// The client.
    pub peer: SocketAddr,
    /// Where it has connected to.
    pub to: Option<SocketAddr>,
    /// The data thread.
    pub worker: &'a Worker,
    /// What it has shown.
    pub proof: Proof,
    /// The bytes are TLS already: the client's own.
    pub raw: bool,
}

/// Opens a connection, PROXY protocol header and TLS handshake included. The caller bounds the time.
///
/// # Errors
/// Refused, unroutable, or a failed handshake.
pub async fn stream(endpoint: &Endpoint, from: &Dial<'_>) -> Result<Transport, Error> {
    secured(endpoint, from, Speaks::Any).await
}

/// What may be agreed on in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// Whatever the role speaks.
    Any,
    /// HTTP/1.1.
    Http1,
}

async fn secured(endpoint: &Endpoint, from: &Dial<'_>, speaks: Speaks) -> Result<Transport, Error> {
    let mut stream = match tcp(endpoint, from.worker, from.raw).await {
        // Idle connections have what this one needs.
        Err(Error::OutOfResources) if from.worker.pool.shed() => tcp(endpoint, from.worker, from.raw).await?,
        opened => opened?,
    };
    if endpoint.role.proxy_protocol != ProxyProtocol::Off {
        let to = from.to.unwrap_or(endpoint.address);
        let header = proxy_protocol::header(endpoint.role.proxy_protocol, from.peer, to);
        let header = header.map_err(|_| Error::ConnectFailed)?;
        stream.write_all(&header).await.map_err(|error| connect_error(&error, endpoint.address))?;
    }
    let tls = endpoint.tls.as_ref().zip(endpoint.offer(from.proof)).filter(|_| !from.raw);
    let Some((tls, offer)) = tls else { return Ok(Transport::Plain(stream)) };
    let config = match speaks {
        Speaks::Any => &offer.any,
        Speaks::Http1 => &offer.http1,
    };
    let handshake = TlsConnector::from(Arc::clone(config)).connect(tls.server_name.clone(), stream).await;
    handshake.map(|stream| Transport::Tls(Box::new(stream.into()))).map_err(|error| tls_error(&error))
}

/// Opens a connection for requests. `alone`: it will belong to one client, or leave HTTP, and so must not be HTTP/2.
///
/// # Errors
/// As [`stream`].
pub async fn http(endpoint: &Endpoint, from: &Dial<'_>, alone: bool) -> Result<Sender, Error> {
    let wants_http2 = endpoint.role.http2 && !alone;
    let speaks = if wants_http2 { Speaks::Any } else { Speaks::Http1 };
    let transport = secured(endpoint, from, speaks).await?;
    let made = Made::new(endpoint, from.proof);
    let knows_http2 = match &transport {
        Transport::Plain(_) => wants_http2,
        Transport::Tls(_) => transport.speaks_http2(),
    };
    if !knows_http2 {
        return Ok(Sender::Direct(Box::new(Upstream::new(transport, made))));
    }
    let secure = matches!(transport, Transport::Tls(_));
    let mut builder = http2::Builder::new(LocalExecutor);
    // Clients that do not take their responses hold back no others.
    let all = WINDOW * u32::try_from(STREAMS).unwrap_or(1);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(all);
    builder.max_header_list_size(u32::try_from(MAX_RESPONSE_HEAD).unwrap_or(u32::MAX));
    let handshake = builder.handshake::<_, RequestBody>(TokioIo::new(transport)).await;
    let (requests, connection) = handshake.map_err(|_| Error::ConnectFailed)?;
    let lifetime = Rc::new(Lifetime::new(made));
    // A failure of the connection reaches the request that waits for its response; an idle one has none to tell.
    tokio::task::spawn_local(drive(connection, Rc::clone(&lifetime), from.worker.ticker.timer()));
    Ok(Sender::Driven(Driven { requests, secure, lifetime }))
}

/// Drives a connection until it ends. One that the pool and all requests have let go of says goodbye to its server, which need
/// not listen: then it ends here.
async fn drive(mut connection: Connection, lifetime: Rc<Lifetime>, timer: Timer) {
    let mut left = false;
    let ended = |connection: &mut Connection, cx: &mut Context<'_>| {
        let ended = Pin::new(&mut *connection).poll(cx).map(drop);
        lifetime.allow(connection.current_max_send_streams());
        ended
    };
    while timer.within(GOODBYE, poll_fn(|cx| ended(&mut connection, cx))).await.is_err() {
        let was_left = std::mem::replace(&mut left, Rc::strong_count(&lifetime) == 1);
        if left && was_left {
            break;
        }
    }
    lifetime.end();
}

/// Opens a TCP connection, from one of the role's own source addresses if it has some.
async fn tcp(endpoint: &Endpoint, worker: &Worker, raw: bool) -> Result<TcpStream, Error> {
    let sources = &endpoint.role.source_addresses;
    let stream = if sources.is_empty() {
        connect(endpoint.address).await
    } else {
        from_sources(endpoint.address, sources, worker.turn()).await
    };
    let stream = stream.map_err(|error| connect_error(&error, endpoint.address))?;
    // Nagle would hold back the last piece of every request; a socket without the option still works.
    let _ = stream.set_nodelay(true);
    if endpoint.role.protocol == Protocol::Tcp || raw {
        // It will be silent for hours, and so will its client.
        keep_alive(&stream, worker.snapshot().site.limits.tcp_keepalive);
    }
    Ok(stream)
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    socket(to)?.connect(to).await
}

fn socket(to: SocketAddr) -> io::Result<TcpSocket> {
    descriptors::usable(if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? })
}

/// Dial the source address whose turn it is; one that has no port left gives its turn to the next.
async fn from_sources(to: SocketAddr, sources: &[IpAddr], turn: usize) -> io::Result<TcpStream> {
    let family = |source: &&IpAddr| source.is_ipv4() == to.is_ipv4();
    let count = sources.iter().filter(family).count();
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for source in sources.iter().filter(family).cycle().skip(turn % count.max(1)).take(count) {
        match from_source(to, *source).await {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => last = error,
            result => return result,
        }
    }
    Err(last)
}

async fn from_source(to: SocketAddr, source: IpAddr) -> io::Result<TcpStream> {
    let socket = socket(to)?;
    // Without it the port would be taken for all destinations, and not only for this one.
    #[cfg(target_os = "linux")]
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(to).await
}

fn connect_error(error: &io::Error, to: SocketAddr) -> Error {
    if is_own_shortage(error, to) {
        return Error::OutOfResources;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Error::ConnectRefused,
        io::ErrorKind::TimedOut => Error::ConnectTimeout,
        // None of the role's source addresses has a port left.
        io::ErrorKind::AddrNotAvailable => Error::OutOfResources,
        _ => Error::ConnectFailed,
    }
}

fn tls_error(error: &io::Error) -> Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Error::TlsCertificate,
        _ => Error::TlsFailed,
    }
}
