//! Our own certificates: chosen by server name, and among those for one name by what the client can verify.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use toml::Spanned;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pem;
use crate::control::config::{CertificateEntry, Problems};
use crate::model::entry::ServerCertificate;

/// All certificates of a listener.
pub(super) struct Certificates {
    /// In the order of the file; the first is for everybody who asks for no name that we know.
    keys: Vec<Arc<CertifiedKey>>,
    /// Positions by lower-cased name. `*.contoso.com` stands under `contoso.com` in `wildcards`.
    names: HashMap<String, Vec<usize>>,
    wildcards: HashMap<String, Vec<usize>>,
}

// Keys never appear in a text.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("names", &self.names.keys()).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads all of them. `None` when one of them cannot be used.
    pub(super) fn read(
        entries: &[Spanned<CertificateEntry>],
        provider: &CryptoProvider,
        problems: &mut Problems,
    ) -> Option<(Self, Vec<ServerCertificate>)> {
        let mut all = Self { keys: Vec::new(), names: HashMap::new(), wildcards: HashMap::new() };
        let mut shown = Vec::new();
        for entry in entries {
            let Some((key, about)) = read(entry, provider, problems) else { continue };
            all.add(key, &about.names);
            shown.push(about);
        }
        (shown.len() == entries.len()).then_some((all, shown))
    }

    fn add(&mut self, key: CertifiedKey, names: &[String]) {
        let position = self.keys.len();
        self.keys.push(Arc::new(key));
        for name in names {
            match name.strip_prefix("*.") {
                Some(parent) => self.wildcards.entry(parent.to_owned()).or_default().push(position),
                None => self.names.entry(name.clone()).or_default().push(position),
            }
        }
    }

    fn find(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let name = server_name.map(str::to_ascii_lowercase);
        let name = name.as_deref();
        let exact = name.and_then(|name| self.names.get(name));
        let parent = name.and_then(|name| name.split_once('.')).map(|(_, parent)| parent);
        let candidates = exact.or_else(|| parent.and_then(|parent| self.wildcards.get(parent)));
        let usable = |position: &&usize| self.keys[**position].key.choose_scheme(schemes).is_some();
        let named = candidates.and_then(|list| list.iter().find(usable).or(list.first()));
        named.map(|position| &self.keys[*position]).or_else(|| self.keys.first())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

fn read(
    entry: &Spanned<CertificateEntry>,
    provider: &CryptoProvider,
    problems: &mut Problems,
) -> Option<(CertifiedKey, ServerCertificate)> {
    let files = entry.get_ref();
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
        problems.missing(
            entry.span(),
            "a certificate needs both its files",
            "write { certificate = \"mp1.crt\", key = \"mp1.key\" }",
        );
        return None;
    };
    let chain = pem::certificates(certificate, problems);
    let read = pem::key(key, problems);
    let ocsp = files.ocsp.as_ref().map(|ocsp| pem::bytes(ocsp, problems));
    let (chain, read) = (chain?, read?);
    let Some(about) = about(&chain[0], certificate.get_ref()) else {
        let text = format!("{:?} has no certificate that can be read first", certificate.get_ref());
        problems.error(certificate.span(), text, "put the certificate first and those of its authorities after it");
        return None;
    };
    let Ok(signing) = provider.key_provider.load_private_key(read) else {
        let text = format!("the kind of key in {:?} is not supported", key.get_ref());
        problems.error(key.span(), text, "use an RSA key of 2048 bits or more, or ECDSA P-256, P-384 or P-521");
        return None;
    };
    let mut certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // Some kinds of key cannot tell; the handshake would.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => {
            let text = format!("{:?} is not the key of {:?}", key.get_ref(), certificate.get_ref());
            problems.error(key.span(), text, "name the key that the certificate was made for");
            return None;
        }
    }
    if let Some(ocsp) = ocsp {
        certified.ocsp = Some(ocsp?);
    }
    Some((certified, about))
}

/// Names and validity.
fn about(certificate: &CertificateDer<'_>, file: &str) -> Option<ServerCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    Some(ServerCertificate {
        file: file.to_owned(),
        names: names.collect(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| v6()).ok()
}
