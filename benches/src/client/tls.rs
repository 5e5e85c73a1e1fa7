//! TLS as a client speaks it: with or without a certificate of its own, under any name.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, NamedGroup};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pki::Identity;
use crate::record::Handshake;
use crate::tls;

const AES_256: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// How a client secures its connections.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    authorities: Option<String>,
    identity: Option<Identity>,
    name: Option<String>,
    unnamed: bool,
    protocols: Option<Vec<String>>,
    only_1_2: bool,
    only_aes_256: bool,
    forgets: bool,
}

impl Tls {
    /// A client that takes any server for the right one, has no certificate, names the host that it asks for, and offers
    /// `http/1.1`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes only servers that these authorities (PEM) vouch for, and only under the name that it asked for.
    #[must_use]
    pub fn trusting(mut self, authorities_pem: &str) -> Self {
        self.authorities = Some(authorities_pem.to_owned());
        self
    }

    /// Shows this certificate to a server that asks for one.
    #[must_use]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Asks for a server of this name instead of the host.
    #[must_use]
    pub fn sni(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Names no server in its handshake.
    #[must_use]
    pub const fn without_sni(mut self) -> Self {
        self.unnamed = true;
        self
    }

    /// Offers these protocols, or none at all.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.protocols = Some(protocols.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Speaks no version beyond TLS 1.2, as most site systems do.
    #[must_use]
    pub const fn only_1_2(mut self) -> Self {
        self.only_1_2 = true;
        self
    }

    /// Offers ciphers with AES-256-GCM only, so that servers that would choose different ones do the same work.
    #[must_use]
    pub const fn only_aes_256(mut self) -> Self {
        self.only_aes_256 = true;
        self
    }

    /// Remembers no session: every handshake is a full one, as those of many clients that have never been here.
    #[must_use]
    pub const fn without_resumption(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// Checks it, so that connections can be made with it.
    ///
    /// # Errors
    /// There is no certificate, key or authority where one should be.
    pub fn connector(&self) -> Result<Connector, String> {
        let mut provider = tls::provider();
        if self.only_aes_256 {
            Arc::make_mut(&mut provider).cipher_suites.retain(|suite| AES_256.contains(&suite.suite()));
        }
        let versions: &[_] = if self.only_1_2 { &[&rustls::version::TLS12] } else { rustls::DEFAULT_VERSIONS };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).map_err(|error| error.to_string())?;
        let builder = match &self.authorities {
            Some(authorities) => builder.with_root_certificates(tls::roots(authorities)?),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(tls::AnyServer(provider))),
        };
        let mut config = match &self.identity {
            Some(identity) => {
                let (chain, key) = identity.chain_and_key()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
            }
            None => builder.with_no_client_auth(),
        };
        if self.forgets {
            config.resumption = Resumption::store(Arc::new(Forgetful));
        }
        config.enable_sni = !self.unnamed;
        config.alpn_protocols = match &self.protocols {
            Some(protocols) => protocols.iter().map(|name| name.clone().into_bytes()).collect(),
            None => vec![b"http/1.1".to_vec()],
        };
        Ok(Connector { connector: TlsConnector::from(Arc::new(config)), name: self.name.clone() })
    }
}

/// Remembers no session. A client with it still says that it could resume one, so that servers do what they do for a client
/// that they see for the first time.
#[derive(Debug)]
struct Forgetful;

impl ClientSessionStore for Forgetful {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// A [`Tls`] that was checked. Copies of it resume each other's sessions, unless it remembers none.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    name: Option<String>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Connector {
    /// Secures a connection to `host`, which may have a port. What is no name is asked for as the address `peer`.
    ///
    /// # Errors
    /// The handshake failed: a [`Handshake`].
    pub async fn secure(&self, stream: TcpStream, host: &str, peer: IpAddr) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name.as_deref().unwrap_or_else(|| without_port(host));
        let name = ServerName::try_from(name.to_owned()).unwrap_or_else(|_| ServerName::from(peer));
        let secured = self.connector.connect(name, stream).await;
        secured.map_err(|error| Handshake(error).into())
    }
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(name, _)| name)
}
