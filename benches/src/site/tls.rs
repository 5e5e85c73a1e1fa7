//! TLS as IIS has it: the handshake asks for a certificate and takes any, and requests are refused afterwards.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion, ServerConfig, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::content::Hash;
use crate::pki::Identity;
use crate::tls;

/// What a site system wants to know of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// No certificate is asked for.
    #[default]
    None,
    /// One is asked for, and any is taken.
    Optional,
    /// One of these authorities (PEM) is needed for all but the paths that are meant for clients without one.
    Required(String),
}

/// The TLS of a site system.
#[derive(Debug, Clone)]
pub struct Tls {
    identity: Identity,
    clients: ClientCertificate,
    http2: bool,
}

impl Tls {
    /// A server of this identity, which asks for no certificate and speaks HTTP/1.1.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity, clients: ClientCertificate::None, http2: false }
    }

    /// Asks clients for a certificate, or not.
    #[must_use]
    pub fn clients(mut self, clients: ClientCertificate) -> Self {
        self.clients = clients;
        self
    }

    /// Offers HTTP/2 besides HTTP/1.1, and before it.
    #[must_use]
    pub const fn http2(mut self, offered: bool) -> Self {
        self.http2 = offered;
        self
    }

    /// Says what is wrong with it.
    ///
    /// # Errors
    /// There is no certificate, key or authority where one should be, or they do not fit.
    pub fn check(&self) -> Result<(), String> {
        Terminator::new(self).map(drop)
    }
}

/// What a handshake told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSeen {
    /// The name that the client asked for.
    pub sni: Option<String>,
    /// The SHA-256 of the client's certificate in DER, if it gave one.
    pub client_certificate: Option<Hash>,
    /// The protocol that was agreed on, such as `http/1.1`.
    pub alpn: Option<String>,
    /// The version, such as `TLSv1_3`.
    pub version: String,
}

/// Why a client's certificate does not do, as IIS numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    Revoked,
    Untrusted,
    OutOfTime,
}

/// One connection after its handshake.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) seen: TlsSeen,
    /// Why its client's certificate does not do, where one is required.
    pub(crate) refusal: Option<Refusal>,
}

impl Secured {
    pub(crate) fn speaks_http2(&self) -> bool {
        self.seen.alpn.as_deref() == Some("h2")
    }
}

/// Turns sockets into secured connections.
pub(crate) struct Terminator {
    acceptor: TlsAcceptor,
    judge: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

impl Terminator {
    pub(crate) fn new(spec: &Tls) -> Result<Self, String> {
        let provider = tls::provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let mut judge = None;
        let builder = if spec.clients == ClientCertificate::None {
            builder.with_no_client_auth()
        } else {
            if let ClientCertificate::Required(authorities) = &spec.clients {
                let roots = Arc::new(tls::roots(authorities)?);
                let strict = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
                judge = Some(strict.map_err(|error| error.to_string())?);
            }
            let hints = judge.as_ref().map_or_else(Vec::new, |judge| judge.root_hint_subjects().to_vec());
            builder.with_client_cert_verifier(Arc::new(AnyClient { provider, hints }))
        };
        let (chain, key) = spec.identity.chain_and_key()?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| error.to_string())?;
        let offered: &[&[u8]] = if spec.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), judge })
    }

    /// A handshake; `None` when it failed, which is for the client to judge.
    pub(crate) async fn accept<S>(&self, stream: S) -> Option<(TlsStream<S>, Secured)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor.accept(stream).await.ok()?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let seen = TlsSeen {
            sni: session.server_name().map(str::to_owned),
            client_certificate: chain.first().map(|certificate| Sha256::digest(certificate).into()),
            alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            version: session
                .protocol_version()
                .as_ref()
                .and_then(ProtocolVersion::as_str)
                .unwrap_or_default()
                .to_owned(),
        };
        let refusal = self.judge.as_ref().and_then(|judge| judged(judge.as_ref(), chain));
        Some((stream, Secured { seen, refusal }))
    }
}

fn judged(judge: &dyn ClientCertVerifier, chain: &[CertificateDer<'_>]) -> Option<Refusal> {
    let Some((own, others)) = chain.split_first() else {
        return Some(Refusal::Missing);
    };
    match judge.verify_client_cert(own, others, UnixTime::now()) {
        Ok(_) => None,
        Err(Error::InvalidCertificate(CertificateError::Revoked)) => Some(Refusal::Revoked),
        Err(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => Some(Refusal::OutOfTime),
        Err(_) => Some(Refusal::Untrusted),
    }
}

/// Asks for a certificate and takes any whose key the client has: IIS refuses requests, not handshakes.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
