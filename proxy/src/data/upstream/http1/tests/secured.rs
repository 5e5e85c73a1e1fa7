//! What is different when the connection has TLS: it takes more than it has sent.

use std::sync::Arc;

use rolegate_bench::pki::Authority;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    fn new() -> Self {
        let authority = Authority::new("Lab CA");
        let identity = authority.server(&["h"]);
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(authority.certificate_pem())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate(&identity.certificate_pem)], key).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        Self { acceptor: TlsAcceptor::from(Arc::new(server)), connector: TlsConnector::from(Arc::new(client)) }
    }

    /// A connection whose sockets hold little, and the server's end of it.
    async fn pair(&self) -> (Upstream, TlsStream<TcpStream>) {
        let Pair { up, server, .. } = Pair::silent().await;
        let (Transport::Plain(ours), _) = up.into_parts() else { panic!("it has TLS") };
        socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
        socket2::SockRef::from(&server).set_recv_buffer_size(4096).unwrap();
        let connect = self.connector.connect(ServerName::try_from("h").unwrap(), ours);
        let (ours, server) = within(async { tokio::join!(connect, self.acceptor.accept(server)) }).await;
        (Upstream::new(Transport::Tls(Box::new(ours.unwrap().into())), Made::plain()), server.unwrap())
    }
}

#[tokio::test]
async fn what_may_have_been_sent_in_part_does_not_come_back() {
    let (mut up, server) = Tls::new().pair().await;
    socket2::SockRef::from(server.get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    within(up.transport.tcp().readable()).await.unwrap();
    up.begin(request(), RequestBody::Kept(Some("x".into())));
    let reading = Reading::default();
    let answer = within(poll_fn(|cx| up.poll_head(cx, &reading, drop))).await;
    assert_eq!((answer.unwrap_err(), up.sent()), (Error::Terminated, 0), "nobody knows");
    assert!(up.take_unsent().is_none() && !up.is_idle());
}

#[tokio::test]
async fn a_request_is_sent_when_all_of_it_is_on_its_way() {
    let tls = Tls::new();
    let mut waited = 0;
    // One of these fills the sockets and what TLS holds back, which is less than 64 KiB, and no more.
    for size in (1..=32).map(|number| number * 16 * 1024) {
        let (mut up, mut server) = tls.pair().await;
        up.begin(request(), RequestBody::Kept(Some(vec![b'x'; size].into())));
        // Nobody reads meanwhile.
        if poll_fn(|cx| Poll::Ready(up.poll_sent(cx))).await.is_pending() {
            assert!(up.is_sending() && !up.is_idle(), "{size}");
            waited += 1;
            continue;
        }
        let mut heard = vec![0; REQUEST.len() + size];
        within(server.read_exact(&mut heard)).await.unwrap();
    }
    assert!(waited > 4, "{waited}: the sockets hold too much");
}
