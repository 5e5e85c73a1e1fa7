//! Our own certificates: chosen by server name, and among those for one name by what the client can verify.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, SignatureAlgorithm, SignatureScheme};
use toml::Spanned;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::Files;
use super::{SpannedName, pem, pkcs12};
use crate::control::config::{CertificateEntry, Problems};
use crate::model::entry::{KeyKind, ServerCertificate};

/// All certificates of a listener.
pub(super) struct Certificates {
    /// In the order of the file.
    keys: Vec<Arc<CertifiedKey>>,
    /// The first one and those that share a name with it: for everybody who asks for no name that we know.
    others: Vec<usize>,
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
        files: &Files,
        problems: &mut Problems,
    ) -> Option<(Self, Vec<ServerCertificate>)> {
        let mut all = Self { keys: Vec::new(), others: Vec::new(), names: HashMap::new(), wildcards: HashMap::new() };
        let mut shown = Vec::new();
        for entry in entries {
            let Some((key, about)) = read(entry, provider, files, problems) else { continue };
            all.add(key, &about.names);
            shown.push(about);
        }
        all.find_others(&shown);
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

    fn find_others(&mut self, shown: &[ServerCertificate]) {
        let Some(first) = shown.first() else { return };
        let shares = |other: &ServerCertificate| other.names.iter().any(|name| first.names.contains(name));
        self.others = (0..shown.len()).filter(|&position| position == 0 || shares(&shown[position])).collect();
    }

    fn find(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let name = server_name.map(str::to_ascii_lowercase);
        let name = name.as_deref();
        let exact = name.and_then(|name| self.names.get(name));
        let parent = name.and_then(|name| name.split_once('.')).map(|(_, parent)| parent);
        let candidates = exact.or_else(|| parent.and_then(|parent| self.wildcards.get(parent))).unwrap_or(&self.others);
        let usable = |position: &&usize| self.keys[**position].key.choose_scheme(schemes).is_some();
        candidates.iter().find(usable).or(candidates.first()).map(|position| &self.keys[*position])
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

/// The files of an entry as they are: chain, key, where the certificate and where the key were written.
type Parts<'a> = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, &'a SpannedName, &'a SpannedName);

fn parts<'a>(entry: &'a Spanned<CertificateEntry>, files: &Files, problems: &mut Problems) -> Option<Parts<'a>> {
    let CertificateEntry { certificate, key, pkcs12, password_file, ocsp: _ } = entry.get_ref();
    match (certificate, key, pkcs12, password_file) {
        (Some(certificate), Some(key), None, None) => {
            let chain = pem::certificates(certificate, files, problems);
            let read = pem::key(key, files, problems);
            Some((chain?, read?, certificate, key))
        }
        (None, None, Some(pkcs12), Some(password)) => {
            let (chain, key) = pkcs12::open(pkcs12, password, files, problems)?;
            Some((chain, key, pkcs12, pkcs12))
        }
        (Some(_), Some(_), Some(other), _) | (Some(_), Some(_), None, Some(other)) => {
            let help = "write certificate and key, or pkcs12 and password_file, and two entries for two certificates";
            problems.error(other.span(), "this entry names two certificates", help);
            None
        }
        _ => {
            problems.missing(
                entry.span(),
                "a certificate needs both its files",
                "write { certificate = \"mp1.crt\", key = \"mp1.key\" } or \
                 { pkcs12 = \"mp1.pfx\", password_file = \"mp1.pass\" }",
            );
            None
        }
    }
}

fn read(
    entry: &Spanned<CertificateEntry>,
    provider: &CryptoProvider,
    files: &Files,
    problems: &mut Problems,
) -> Option<(CertifiedKey, ServerCertificate)> {
    let parts = parts(entry, files, problems);
    let ocsp = entry.get_ref().ocsp.as_ref().map(|ocsp| pem::ocsp(ocsp, files, problems));
    let (chain, key, certificate, key_file) = parts?;
    let Some(mut about) = about(&chain[0], certificate.get_ref()) else {
        let text = format!("{:?} has no certificate that can be read first", certificate.get_ref());
        problems.error(certificate.span(), text, "put the certificate first and those of its authorities after it");
        return None;
    };
    let Ok(signing) = provider.key_provider.load_private_key(key) else {
        let text = format!("the kind of key in {:?} is not supported", key_file.get_ref());
        problems.error(key_file.span(), text, "use an RSA key of 2048 bits or more, or ECDSA P-256, P-384 or P-521");
        return None;
    };
    about.key = kind(&*signing);
    let mut certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // Some kinds of key cannot tell; the handshake would.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => {
            let text = format!("{:?} is not the key of {:?}", key_file.get_ref(), certificate.get_ref());
            problems.error(key_file.span(), text, "name the key that the certificate was made for");
            return None;
        }
    }
    if let Some(ocsp) = ocsp {
        certified.ocsp = Some(ocsp?);
    }
    if about.names.is_empty() {
        let text = format!("the certificate {:?} is for no name (subject alternative name)", certificate.get_ref());
        let help = "have it issued with the DNS names that clients use; most clients refuse it as it is";
        problems.warning(certificate.span(), text, help);
    }
    Some((certified, about))
}

fn kind(key: &dyn SigningKey) -> KeyKind {
    match key.algorithm() {
        SignatureAlgorithm::RSA => KeyKind::Rsa,
        SignatureAlgorithm::ECDSA => KeyKind::Ecdsa,
        _ => KeyKind::Other,
    }
}

/// Names and validity; the key is not looked at yet.
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
        key: KeyKind::Other,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    const ED25519: &[SignatureScheme] = &[SignatureScheme::ED25519];

    fn write(
        folder: &std::path::Path,
        name: &str,
        names: &[&str],
        kind: &'static SignatureAlgorithm,
    ) -> CertificateEntry {
        let key = KeyPair::generate_for(kind).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let file = |end: &str, text: String| {
            let path = folder.join(format!("{name}.{end}"));
            std::fs::write(&path, text).unwrap();
            Some(Spanned::new(0..0, path.display().to_string()))
        };
        let (certificate, key) = (file("crt", certificate.pem()), file("key", key.serialize_pem()));
        CertificateEntry { certificate, key, ..CertificateEntry::default() }
    }

    #[test]
    fn the_name_chooses_and_then_what_the_client_can_verify() {
        let folder = tempfile::tempdir().unwrap();
        let entries = [
            ("a", &["mp1.lab.test", "10.0.0.1"][..], &PKCS_ECDSA_P256_SHA256),
            ("b", &["*.lab.test"][..], &PKCS_ECDSA_P256_SHA256),
            ("c", &["MP1.lab.test"][..], &PKCS_ED25519),
        ]
        .map(|(name, names, kind)| Spanned::new(0..0, write(folder.path(), name, names, kind)));
        let (files, provider, mut problems) = (Files::new(), aws_lc_rs::default_provider(), Problems::new());
        let (all, shown) = Certificates::read(&entries, &provider, &files, &mut problems).unwrap();
        assert_eq!(&*shown[0].names, ["mp1.lab.test", "10.0.0.1"]);
        assert_eq!(&*shown[2].names, ["mp1.lab.test"]);
        let found = |name: Option<&str>, schemes| {
            let found = all.find(name, schemes).unwrap();
            all.keys.iter().position(|key| Arc::ptr_eq(key, found)).unwrap()
        };
        for (name, schemes, expected) in [
            (Some("mp1.lab.test"), ECDSA, 0),
            (Some("MP1.Lab.Test"), ED25519, 2),
            (Some("dp1.lab.test"), ECDSA, 1),
            (Some("dp1.lab.test"), ED25519, 1),
            (Some("a.b.lab.test"), ECDSA, 0),
            (Some("lab.test"), ECDSA, 0),
            (Some("elsewhere"), ED25519, 2),
            (None, ECDSA, 0),
            (None, &[], 0),
        ] {
            assert_eq!(found(name, schemes), expected, "{name:?} {schemes:?}");
        }
        let text = format!("{all:?}");
        assert!(text.contains("mp1.lab.test") && !text.contains("key"), "{text}");
    }

    #[test]
    fn a_key_must_be_the_one_of_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let one = write(folder.path(), "a", &["mp1.lab.test"], &PKCS_ECDSA_P256_SHA256);
        let two = write(folder.path(), "b", &["mp1.lab.test"], &PKCS_ECDSA_P256_SHA256);
        let mixed = [Spanned::new(0..0, CertificateEntry { key: two.key, ..one })];
        let mut problems = Problems::new();
        let provider = aws_lc_rs::default_provider();
        assert!(Certificates::read(&mixed, &provider, &Files::new(), &mut problems).is_none());
        assert!(problems.iter().any(|problem| problem.message.contains("is not the key of")), "{problems:?}");
    }
}
