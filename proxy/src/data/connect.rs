//! A new connection to an endpoint.

use std::io;
use std::rc::Rc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::body::RequestBody;
use super::io::Upstream;
use super::pool::{Lifetime, Sender};
use crate::error::Error;
use crate::model::endpoint::Endpoint;

/// Largest response head in bytes.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// Most bytes that hyper buffers of one response.
const READ_BUFFER: usize = 128 * 1024;

/// Opens a connection, TLS handshake included. The caller bounds the time.
///
/// # Errors
/// Refused, unroutable, or a failed handshake.
pub async fn stream(endpoint: &Endpoint) -> Result<Upstream, Error> {
    let stream = TcpStream::connect(endpoint.address).await.map_err(|error| connect_error(&error))?;
    // Nagle would hold back the last piece of every request; a socket without the option still works.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &endpoint.tls else { return Ok(Upstream::Plain(stream)) };
    let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
    let handshake = connector.connect(tls.server_name.clone(), stream).await;
    handshake.map(|stream| Upstream::Tls(Box::new(stream))).map_err(|error| tls_error(&error))
}

/// Opens a connection and hands its driving to this thread.
///
/// # Errors
/// As [`stream`].
pub async fn http(endpoint: &Endpoint, preserve_header_case: bool) -> Result<Sender, Error> {
    let io = TokioIo::new(stream(endpoint).await?);
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_RESPONSE_HEAD).max_buf_size(READ_BUFFER).preserve_header_case(preserve_header_case);
    let handshake = builder.handshake::<_, RequestBody>(io).await;
    let (requests, connection) = handshake.map_err(|_| Error::ConnectFailed)?;
    let lifetime = Rc::new(Lifetime::default());
    let driven = Rc::clone(&lifetime);
    // A failure of the connection reaches whoever waits for its response; an idle one has nobody to tell.
    tokio::task::spawn_local(async move {
        let _ = connection.with_upgrades().await;
        driven.end();
    });
    Ok(Sender { requests, lifetime })
}

fn connect_error(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Error::ConnectRefused,
        io::ErrorKind::TimedOut => Error::ConnectTimeout,
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
