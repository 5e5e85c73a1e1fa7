//! Files of certificates, and handshakes in memory with what the compiler made of them.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolegate_bench::pki::{Authority, Identity, Wanted};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority and a folder with `ca.crt`; both end with the value.
pub struct Pki {
    pub authority: Authority,
    folder: TempDir,
}

impl Pki {
    pub fn new() -> Self {
        let pki = Self { authority: Authority::new("Lab"), folder: tempfile::tempdir().unwrap() };
        pki.write("ca.crt", pki.authority.certificate_pem());
        pki
    }

    /// The path of a file, as TOML writes it.
    pub fn path(&self, name: &str) -> String {
        format!("'{}'", self.folder.path().join(name).display())
    }

    /// Writes a file that only we may read, and gives its path as TOML writes it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        private(&path, 0o600);
        self.path(name)
    }

    /// Other users may read it.
    pub fn share(&self, name: &str) {
        private(&self.folder.path().join(name), 0o644);
    }

    /// Good for so long that nothing is said about it.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.authority.issue(&lasting(Wanted::server(names)))
    }

    /// Writes an identity and gives its entry of `certificates`.
    pub fn entry(&self, name: &str, identity: &Identity) -> String {
        let certificate = self.write(&format!("{name}.crt"), &identity.certificate_pem);
        let key = self.write(&format!("{name}.key"), &identity.key_pem);
        format!("{{ certificate = {certificate}, key = {key} }}")
    }

    /// A client that trusts the authority.
    pub fn client(&self) -> Client {
        Client { roots: self.roots(), ..Client::default() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(der(self.authority.certificate_pem())).unwrap();
        roots
    }
}

pub fn lasting(wanted: Wanted) -> Wanted {
    let now = SystemTime::now();
    wanted.validity(now - DAY, now + 365 * DAY)
}

fn private(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// What a client of a handshake can do.
#[derive(Clone)]
pub struct Client {
    pub roots: RootCertStore,
    pub identity: Option<Identity>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub alpn: Vec<&'static [u8]>,
    /// Kinds of signatures that it can verify: those whose names begin so.
    pub signatures: &'static str,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            roots: RootCertStore::empty(),
            identity: None,
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: Vec::new(),
            signatures: "",
        }
    }
}

impl Client {
    pub fn with(self, identity: Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider()));
        let builder =
            builder.with_protocol_versions(&self.versions).unwrap().with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![der(&identity.certificate_pem)], key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = aws_lc_rs::default_provider();
        let known = provider.signature_verification_algorithms.mapping;
        let kept = known.iter().filter(|(scheme, _)| format!("{scheme:?}").starts_with(self.signatures));
        provider.signature_verification_algorithms.mapping = Vec::leak(kept.copied().collect());
        provider
    }
}

/// A handshake that has succeeded.
#[derive(Debug)]
pub struct Done {
    /// SHA-256 of the certificate that the server has shown.
    pub shown: [u8; 32],
    pub version: ProtocolVersion,
    pub alpn: Option<Vec<u8>>,
    /// Whether the server has seen a certificate of the client.
    pub seen: bool,
    pub resumed: bool,
}

/// A handshake with a new client.
pub fn handshake(server: &Arc<ServerConfig>, client: &Client, name: &str) -> Result<Done, rustls::Error> {
    again(server, &client.config(), name)
}

/// A handshake with a client that may remember a session. The error is of the server, if it has one.
pub fn again(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Result<Done, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = Connection::Client(ClientConnection::new(Arc::clone(client), name).unwrap());
    let mut server = Connection::Server(ServerConnection::new(Arc::clone(server)).unwrap());
    for _ in 0..10 {
        pass_on(&mut client, &mut server)?;
        // An alert says less than the error that it is about.
        pass_on(&mut server, &mut client)?;
    }
    // Tickets come with the first data of TLS 1.3.
    server.writer().write_all(b"x").unwrap();
    pass_on(&mut server, &mut client)?;
    let _ = client.reader().read(&mut [0]).unwrap();
    let shown = Sha256::digest(&client.peer_certificates().unwrap()[0]).into();
    Ok(Done {
        shown,
        version: client.protocol_version().unwrap(),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        seen: server.peer_certificates().is_some(),
        resumed: server.handshake_kind() == Some(HandshakeKind::Resumed),
    })
}

fn pass_on(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}
