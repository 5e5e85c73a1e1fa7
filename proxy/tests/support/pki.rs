//! Certificates for tests: an authority, files, and connections that are secured with them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rolegate_bench::client::{Connector, Tls};
use rolegate_bench::pki::{Authority, Identity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::wire::{TlsWire, Wire};
use super::within;

/// The name that connections ask for unless told otherwise.
pub const NAME: &str = "mp1.lab.test";

/// An authority and a folder with the files that a proxy reads. Both end with the value.
pub struct Pki {
    /// Issues everything.
    pub authority: Authority,
    folder: TempDir,
}

impl Pki {
    /// A new one, whose folder has `ca.crt`.
    pub fn new() -> Self {
        let pki = Self { authority: Authority::new("Lab CA"), folder: tempfile::tempdir().unwrap() };
        pki.authority.write(pki.folder.path(), "ca").unwrap();
        pki
    }

    /// The path of a file, as TOML writes it.
    pub fn path(&self, file: &str) -> String {
        quoted(&self.folder.path().join(file))
    }

    /// Writes a file and gives its path, as TOML writes it.
    pub fn write(&self, file: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(file), text).unwrap();
        self.path(file)
    }

    /// Writes an identity and gives the keys `certificate` and `key`.
    pub fn files(&self, name: &str, identity: &Identity) -> String {
        let files = identity.write(self.folder.path(), name).unwrap();
        format!("certificate = {}, key = {}", quoted(&files.certificate), quoted(&files.key))
    }

    /// Writes an identity and gives `client_certificate` and `client_key`, each on a line.
    pub fn own(&self, name: &str, identity: &Identity) -> String {
        let files = identity.write(self.folder.path(), name).unwrap();
        format!("client_certificate = {}\nclient_key = {}\n", quoted(&files.certificate), quoted(&files.key))
    }

    /// A `[listeners.tls]` with a certificate for [`NAME`], and these lines.
    pub fn terminates(&self, lines: &str) -> String {
        let files = self.files("listener", &self.authority.server(&[NAME, "127.0.0.1"]));
        format!("[listeners.tls]\ncertificates = [{{ {files} }}]\n{lines}\n")
    }

    /// As [`Pki::terminates`], with client certificates of this authority.
    pub fn asks(&self, mode: &str, lines: &str) -> String {
        let ca = self.path("ca.crt");
        self.terminates(&format!("client_certificates = \"{mode}\"\nclient_ca_file = {ca}\n{lines}"))
    }

    /// A client that trusts the authority.
    pub fn client(&self) -> Tls {
        Tls::new().trusting(self.authority.certificate_pem())
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// A handshake for [`NAME`].
pub async fn secure(wire: Wire, connector: &Connector) -> io::Result<TlsWire> {
    let peer = wire.stream.peer_addr()?.ip();
    let stream = within("handshake", connector.secure(wire.stream, NAME, peer)).await?;
    Ok(Wire::over(stream))
}

/// The fingerprint of the certificate that the server has shown.
pub fn shown(client: &TlsWire) -> [u8; 32] {
    Sha256::digest(&client.stream.get_ref().1.peer_certificates().unwrap()[0]).into()
}

/// What a client says first.
pub fn client_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}
