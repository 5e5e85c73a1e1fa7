//! What happens to a client connection before its first request: PROXY protocol, TLS, the server of a tunnel.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, HandshakeKind, PeerIncompatible};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::connection_error::ConnectionError;
use crate::data::downstream::hello;
use crate::data::downstream::idle::Waiting;
use crate::data::downstream::next::Next;
use crate::data::downstream::not_tls;
use crate::data::path::admission::Shown;
use crate::data::path::client::Client;
use crate::data::thread::ticker::{Overdue, Timer};
use crate::data::transport::proxy_protocol;
use crate::data::transport::stream::Transport;
use crate::data::tunnel::line::Told;
use crate::data::tunnel::tcp::{self, Asked, Opened, Tunnel};
use crate::data::upstream::connect::Dial;
use crate::model::entry::{Security, Terminated};
use crate::model::snapshot::Snapshot;
use crate::model::tls::Proof;

/// What a connection turned out to be.
enum Begun {
    /// Requests follow.
    Http(Transport),
    /// Bytes for one server.
    Tunnel(Transport, Opened),
    /// A tunnel that no server took: it is counted at its role.
    Nobody,
}

/// From the accept to the first request, or to the tunnel.
pub async fn begin(stream: TcpStream, mut client: Client) -> Next {
    match before_the_first_request(stream, &mut client).await {
        Ok(Begun::Http(transport)) => {
            let patience = client.snapshot().site.limits.request_header_timeout;
            Next::Wait(Waiting::new(transport, client, patience))
        }
        Ok(Begun::Tunnel(transport, opened)) => {
            tokio::task::spawn_local(Tunnel::new(transport, opened, client));
            Next::Over
        }
        Ok(Begun::Nobody) => Next::Over,
        Err(error) => {
            client.refuse(error);
            Next::Over
        }
    }
}

async fn before_the_first_request(mut stream: TcpStream, client: &mut Client) -> Result<Begun, ConnectionError> {
    let snapshot = client.snapshot();
    // It is there: the snapshot is one that has it.
    let Some(routes) = snapshot.site.listener(client.listener()) else { return Ok(Begun::Nobody) };
    let timer = client.worker.ticker.timer();
    let tls = !matches!(routes.entry.security, Security::Plain);
    let told_by = announce(&mut stream, client, &snapshot, &timer, tls || routes.tcp.is_none()).await?;
    if told_by.is_some() {
        client.admit(told_by, None, snapshot.generation);
    }
    let transport = match &routes.entry.security {
        Security::Plain => Transport::Plain(stream),
        Security::Terminated(terminated) => {
            let stream = match routes.tcp {
                Some(_) => stream,
                None => unless_plain_http(stream, terminated, &timer).await?,
            };
            let transport = accept(stream, terminated, client, &timer).await?;
            let shown = Shown { chain: transport.peer_chain(), trust: terminated.trust };
            client.admit(told_by, Some(shown), snapshot.generation);
            transport
        }
        Security::Passthrough { timeout } => return pass(stream, *timeout, client, &snapshot, timer).await,
    };
    let Some(role) = routes.tcp else { return Ok(Begun::Http(transport)) };
    let to = transport.tcp().local_addr().ok();
    let proof = if transport.peer_certificate().is_some() { Proof::Certificate } else { Proof::Nothing };
    let from = Dial { peer: client.peer, to, worker: &client.worker, proof, raw: false };
    let subject = client.admission.as_ref().and_then(|admission| admission.subject());
    let asked = Asked { listener: client.listener(), host: None, subject, told: Told::of(&client.worker, &transport) };
    let opened = tcp::open(&from, role, &asked, timer).await;
    Ok(opened.map_or(Begun::Nobody, |opened| Begun::Tunnel(transport, opened)))
}

/// Waits for the first bytes of a client. Until then its connection is idle.
async fn first_bytes(stream: &TcpStream, timer: &Timer) {
    // Only a look tells: the runtime guesses that something is there. What is wrong with it is found out by the one who reads.
    let _ = stream.peek(&mut [0]).await;
    timer.stir();
}

/// The PROXY protocol, on a listener that knows it. Who has sent a header that was believed.
async fn announce(
    stream: &mut TcpStream,
    client: &mut Client,
    snapshot: &Snapshot,
    timer: &Timer,
    client_speaks_first: bool,
) -> Result<Option<IpAddr>, ConnectionError> {
    let patience = snapshot.site.limits.request_header_timeout;
    let from = client.peer.ip();
    match client.entry(snapshot).and_then(|entry| entry.announces(from)) {
        None => Ok(None),
        Some(true) => {
            let read = async {
                first_bytes(stream, timer).await;
                proxy_protocol::read(stream).await
            };
            let told = timer
                .within_idle(patience, read)
                .await
                .map_err(|why| or_gave_way(why, ConnectionError::ProxyTimeout))??;
            client.peer = told.unwrap_or(client.peer);
            Ok(told.map(|_| from))
        }
        Some(false) if client_speaks_first => {
            let looked = timer.within_idle(patience, proxy_protocol::refuse(stream)).await;
            looked.map_err(|why| or_gave_way(why, ConnectionError::ClientGone))?.map(|()| None)
        }
        Some(false) => Ok(None),
    }
}

/// A client that begins with a request instead of a handshake is answered, and its connection is over.
async fn unless_plain_http(
    stream: TcpStream,
    terminated: &Terminated,
    timer: &Timer,
) -> Result<TcpStream, ConnectionError> {
    let mut first = [0];
    let look = async {
        let read = stream.peek(&mut first).await;
        timer.stir();
        read
    };
    let looked = timer.within_idle(terminated.handshake_timeout, look).await;
    let looked = looked.map_err(|why| or_gave_way(why, ConnectionError::TlsTimeout))?;
    if !matches!(looked, Ok(1..)) || !not_tls::is_http(first[0]) {
        return Ok(stream);
    }
    // Boxed because it is seldom, and all connections begin here.
    Box::pin(not_tls::tell(stream, timer)).await;
    Err(ConnectionError::TlsProtocol)
}

/// TLS that ends here.
async fn accept(
    stream: TcpStream,
    terminated: &Terminated,
    client: &Client,
    timer: &Timer,
) -> Result<Transport, ConnectionError> {
    let acceptor = TlsAcceptor::from(std::sync::Arc::clone(&terminated.config));
    let shake_hands = async {
        first_bytes(&stream, timer).await;
        acceptor.accept(stream).await
    };
    let handshake = timer.within_idle(terminated.handshake_timeout, shake_hands).await;
    let handshake = handshake.map_err(|why| or_gave_way(why, ConnectionError::TlsTimeout))?;
    let stream = handshake.map_err(|error| explain(&error))?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    if resumed && stream.get_ref().1.peer_certificates().and_then(<[_]>::first).is_some_and(has_ended) {
        return Err(ConnectionError::TlsClientCertificate);
    }
    let counter = if resumed { &client.door.metrics.handshakes_resumed } else { &client.door.metrics.handshakes_full };
    counter.increment(1);
    Ok(Transport::Tls(Box::new(stream.into())))
}

/// TLS that ends at the site system: the server name gives the role.
async fn pass(
    mut stream: TcpStream,
    timeout: Duration,
    client: &Client,
    snapshot: &Snapshot,
    timer: Timer,
) -> Result<Begun, ConnectionError> {
    let read = async {
        first_bytes(&stream, &timer).await;
        hello::read(&mut stream).await
    };
    let read = timer.within_idle(timeout, read).await;
    let hello = read.map_err(|why| or_gave_way(why, ConnectionError::HelloTimeout))??;
    let routes = snapshot.site.listener(client.listener()).map(|listener| &listener.routes);
    let name = hello.server_name.as_deref();
    let route = routes.and_then(|routes| routes.route(name, "/")).ok_or(ConnectionError::HelloNoRoute)?;
    let to = stream.local_addr().ok();
    // What the client shows goes to the site system in its own handshake.
    let from = Dial { peer: client.peer, to, worker: &client.worker, proof: Proof::Nothing, raw: true };
    let asked =
        Asked { listener: client.listener(), host: name, subject: None, told: Told::passed(&client.worker, name) };
    let opened = tcp::open(&from, route.cluster, &asked, timer).await;
    let Some(opened) = opened else { return Ok(Begun::Nobody) };
    Ok(Begun::Tunnel(Transport::Plain(stream), Opened { early: hello.bytes, ..opened }))
}

/// Whether a certificate has expired. A resumed session brings its certificate along and nobody verifies it again.
fn has_ended(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.validity().not_after < ASN1Time::now())
}

fn or_gave_way(why: Overdue, late: ConnectionError) -> ConnectionError {
    match why {
        Overdue::Late => late,
        Overdue::GivesWay => ConnectionError::GaveWay,
    }
}

fn explain(error: &io::Error) -> ConnectionError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        None => ConnectionError::ClientGone,
        Some(rustls::Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon)) => {
            ConnectionError::TlsClientCertificate
        }
        Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => {
            ConnectionError::TlsIncompatible
        }
        Some(
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented,
        ) => ConnectionError::TlsClientCertificate,
        Some(rustls::Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled)) => {
            ConnectionError::ClientGone
        }
        Some(rustls::Error::AlertReceived(_)) => ConnectionError::TlsRefusedByClient,
        Some(_) => ConnectionError::TlsProtocol,
    }
}
