use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;

const NAME: &str = "mp1.corp.example";

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn identity() -> Identity {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    Identity { certificate: cert.der().clone(), key: PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap() }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(identity: &Identity) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    roots
}

/// A server with this identity; with `wants_client`, it demands a client certificate.
fn acceptor(identity: &Identity, wants_client: bool) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = if wants_client {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(identity)), provider()).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key()).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A probe that trusts this identity and expects this name.
fn trusting(identity: &Identity, name: &'static str) -> TlsProbe {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots(identity)).with_no_client_auth();
    TlsProbe { config: Arc::new(config), server_name: ServerName::try_from(name).unwrap() }
}

fn https(tls: TlsProbe) -> Probe {
    let Probe::Http(mut probe) = http::question("/SMS_MP/.sms_aut?MPCERT") else { panic!("an HTTP probe") };
    probe.tls = Some(tls);
    Probe::Http(probe)
}

fn fine() -> Vec<(&'static str, Answer)> {
    vec![("*", Answer::new(200, "3082"))]
}

#[tokio::test]
async fn a_good_certificate_passes() {
    let server = identity();
    let site = Site::open_tls(fine(), acceptor(&server, false)).await;
    let tls = trusting(&server, NAME);
    let attempt = https(tls.clone()).attempt(site.address, LONG).await;
    assert_eq!((attempt.verdict, attempt.status), (Verdict::Pass, Some(200)));
    assert_eq!(site.targets(), ["/SMS_MP/.sms_aut?MPCERT"]);
    let attempt = Probe::Tcp { tls: Some(tls), greeting: b"" }.attempt(site.address, LONG).await;
    assert_eq!((attempt.verdict, attempt.status), (Verdict::Pass, None));
}

#[tokio::test]
async fn a_bad_certificate_fails_and_says_why() {
    let (server, stranger) = (identity(), identity());
    let site = Site::open_tls(fine(), acceptor(&server, false)).await;
    let tls = |trusted, name| trusting(trusted, name);
    for (tls, reason) in [(tls(&stranger, NAME), "certificate"), (tls(&server, "mp2.corp.example"), "mp2.corp.example")]
    {
        for probe in [https(tls.clone()), Probe::Tcp { tls: Some(tls), greeting: b"" }] {
            let attempt = probe.attempt(site.address, LONG).await;
            assert_eq!(kind(&attempt), Some(FailureKind::Tls), "{:?}", attempt.verdict);
            assert!(detail(&attempt).contains(reason), "{}", detail(&attempt));
        }
    }
    assert!(site.heads().is_empty(), "nothing is said to a stranger");
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_is_a_tls_failure() {
    let server = identity();
    let site = Site::open_tls(fine(), acceptor(&server, true)).await;
    // With TLS 1.3 the alert comes after the handshake, as the answer to the question.
    let attempt = https(trusting(&server, NAME)).attempt(site.address, LONG).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Tls), "{:?}", attempt.verdict);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_fails() {
    let server = identity();
    // A client hello does not end like a request head, so the first bytes must come without one.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            // Closing with unread bytes would make a reset of it, so wait for the client.
            while tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 512]).await.is_ok_and(|n| n > 0) {}
        }
    });
    let attempt = https(trusting(&server, NAME)).attempt(address, LONG).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Tls), "{:?}", attempt.verdict);
}

#[tokio::test]
async fn a_handshake_that_is_hung_up_on_is_about_tls_and_a_reset_is_not() {
    let server = identity();
    for (reset, expected) in [(false, FailureKind::Tls), (true, FailureKind::Reset)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap();
            if reset {
                stream.set_zero_linger().unwrap();
            } else {
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
                while tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 512]).await.is_ok_and(|n| n > 0) {}
            }
        });
        let attempt = https(trusting(&server, NAME)).attempt(address, LONG).await;
        assert_eq!(kind(&attempt), Some(expected), "{:?}", attempt.verdict);
    }
}

#[tokio::test]
async fn a_silent_handshake_ends_at_the_deadline() {
    let server = identity();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = trusting(&server, NAME);
    for probe in [https(tls.clone()), Probe::Tcp { tls: Some(tls), greeting: b"" }] {
        let attempt = probe.attempt(listener.local_addr().unwrap(), SHORT).await;
        assert_eq!(kind(&attempt), Some(FailureKind::Timeout));
        assert!(detail(&attempt).starts_with("TLS handshake with "), "{}", detail(&attempt));
    }
}
