//! TLS towards site systems: whom it trusts, and what we show them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};

use super::SpannedName;
use super::files::Files;
use super::pem;
use crate::control::config::fields::word;
use crate::control::config::{Config, Problems, SiteSystem};
use crate::model::role::{Protocol, Role};
use crate::model::tls::{Offer, Tls};

/// Versions up to the one of that name, newest first.
pub(super) const UP_TO: [(&str, &[&SupportedProtocolVersion]); 2] =
    [("1.2", &[&version::TLS12]), ("1.3", &[&version::TLS13, &version::TLS12])];

/// TLS settings towards site systems: equal ones are made once, because a large site has ten thousand endpoints.
pub(super) struct Trust<'a> {
    files: &'a Files,
    shared: Settings<'a>,
    versions: &'static [&'static SupportedProtocolVersion],
    provider: Arc<CryptoProvider>,
    /// `None` for those that cannot be made: their mistake was reported once.
    made: RefCell<HashMap<Key, Option<Offer>>>,
}

/// Files, as written for all site systems or for one.
#[derive(Clone, Copy)]
struct Settings<'a> {
    ca_file: Option<&'a SpannedName>,
    certificate: Option<&'a SpannedName>,
    key: Option<&'a SpannedName>,
}

/// What tells one setting from another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    ca_file: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    insecure: bool,
    alpn: Alpn,
}

/// What is offered by ALPN.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Alpn {
    None,
    Http1,
    Http2,
}

impl<'a> Trust<'a> {
    /// Reads `[tls]`.
    pub(super) fn load(config: &'a Config, files: &'a Files, problems: &mut Problems) -> Self {
        let tls = &config.tls;
        let shared = Settings {
            ca_file: tls.ca_file.as_ref(),
            certificate: tls.client_certificate.as_ref(),
            key: tls.client_key.as_ref(),
        };
        let mut versions = UP_TO[1].1;
        word(&mut versions, tls.max_version.as_ref(), "max_version", &UP_TO, problems);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trust = Self { files, shared, versions, provider, made: RefCell::default() };
        // Mistakes in it are shown even when no site system uses TLS.
        let _ = trust.offer(shared, false, Alpn::Http1, problems);
        trust
    }

    /// TLS towards one site system in one role.
    pub(super) fn for_system(
        &self,
        address: &'a SpannedName,
        system: &'a SiteSystem,
        role: &Role,
        problems: &mut Problems,
    ) -> Option<Tls> {
        let named = system.server_name.as_ref().unwrap_or(address);
        let text = named.get_ref().trim().trim_matches(['[', ']']);
        let Ok(server_name) = ServerName::try_from(text.to_owned()) else {
            problems.error(
                named.span(),
                format!("no certificate can be for {text:?}"),
                "write server_name = \"...\" with the DNS name or address that is in the certificate of this site system",
            );
            return None;
        };
        if system.insecure {
            problems.warning(
                address.span(),
                format!("any certificate is accepted from {text:?}"),
                "set [tls] ca_file and take insecure out; whoever is between can read and change everything",
            );
        }
        let (certificate, key) = match (&system.client_certificate, &system.client_key) {
            (None, None) => (self.shared.certificate, self.shared.key),
            // A certificate of one and a key of the other never belong together.
            (certificate, key) => (certificate.as_ref(), key.as_ref()),
        };
        let own = Settings { ca_file: system.ca_file.as_ref().or(self.shared.ca_file), certificate, key };
        let alpn = match (role.protocol, role.http2) {
            (Protocol::Tcp, _) => Alpn::None,
            (Protocol::Http, false) => Alpn::Http1,
            (Protocol::Http, true) => Alpn::Http2,
        };
        let ours = self.offer(own, system.insecure, alpn, problems)?;
        let nothing = Settings { certificate: None, key: None, ..own };
        let bare = self.offer(nothing, system.insecure, alpn, problems)?;
        Some(Tls { server_name, ours, bare })
    }

    fn offer(&self, settings: Settings<'_>, insecure: bool, alpn: Alpn, problems: &mut Problems) -> Option<Offer> {
        let text = |path: Option<&SpannedName>| path.map(|path| path.get_ref().clone());
        let (certificate, own_key) = (text(settings.certificate), text(settings.key));
        let key = Key { ca_file: text(settings.ca_file), certificate, key: own_key, insecure, alpn };
        if let Some(known) = self.made.borrow().get(&key) {
            return known.clone();
        }
        let made = self.make(settings, insecure, alpn, problems);
        let made = made.map(|config| Offer::new(config, self.terms(settings, insecure)));
        self.made.borrow_mut().insert(key, made.clone());
        made
    }

    /// What follows from the files, besides what is agreed on.
    fn terms(&self, settings: Settings<'_>, insecure: bool) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix([u8::from(insecure), self.versions.len() as u8]);
        for path in [settings.ca_file, settings.certificate, settings.key] {
            let content = path.and_then(|path| self.files.read(path.get_ref()).ok());
            let bytes = content.as_ref().map_or(&[][..], |content| &content.bytes);
            // None is not an empty one, and two are not read as one.
            digest.update([u8::from(path.is_some())]);
            digest.update(bytes.len().to_le_bytes());
            digest.update(bytes);
        }
        digest.finalize().into()
    }

    fn make(
        &self,
        settings: Settings<'_>,
        insecure: bool,
        alpn: Alpn,
        problems: &mut Problems,
    ) -> Option<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        // The provider has cipher suites for both versions.
        let builder = builder.with_protocol_versions(self.versions).ok()?;
        let builder = if insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(Arc::clone(&self.provider))))
        } else {
            let roots = match settings.ca_file {
                Some(path) => pem::authorities(path, self.files, problems)?,
                None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            };
            builder.with_root_certificates(roots)
        };
        let mut config = match (settings.certificate, settings.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = pem::certificates(certificate, self.files, problems);
                let read = pem::key(key, self.files, problems);
                let refused = |error| {
                    let text = format!("{:?} is not the key of the client certificate: {error}", key.get_ref());
                    problems.error(key.span(), text, "name the key that the certificate was made for");
                };
                builder.with_client_auth_cert(chain?, read?).map_err(refused).ok()?
            }
            (Some(lonely), None) | (None, Some(lonely)) => {
                let text = "a client certificate needs both its files";
                problems.error(lonely.span(), text, "write client_certificate and client_key");
                return None;
            }
        };
        config.alpn_protocols = match alpn {
            Alpn::None => Vec::new(),
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Some(config)
    }
}

/// For site systems marked `insecure`: checks signatures, not who made them.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::compile::{Compiled, compile};
    use crate::control::config::parse;

    fn look(tls: &str, systems: &[&str]) -> (Option<Compiled>, Problems) {
        let mut text = format!(
            "[site]\ncode = \"P01\"\n{tls}\n[roles.MP]\ntls = true\n[[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\"]\n"
        );
        for (place, more) in systems.iter().enumerate() {
            text.push_str(&format!(
                "[[site_systems]]\nname = \"mp{place}\"\naddress = \"10.0.0.{place}\"\nroles = [\"MP\"]\n{more}\n"
            ));
        }
        let mut problems = Problems::new();
        let compiled = compile(&parse(&text, &mut problems), &mut problems);
        (compiled, problems)
    }

    #[test]
    fn equal_settings_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (certificate, key) = (file("a.crt", certificate.pem()), file("a.key", key.serialize_pem()));
        let own = format!("client_certificate = \"{certificate}\"\nclient_key = \"{key}\"");
        let systems = ["", "server_name = \"mp.lab.test\"", &own, &own, &format!("ca_file = \"{certificate}\"")];
        let (compiled, problems) = look("", &systems);
        assert!(!problems.is_fatal(), "{problems:?}");
        let compiled = compiled.unwrap();
        let tls: Vec<&Tls> = compiled.roles[0].members.iter().map(|member| member.tls.as_ref().unwrap()).collect();
        let same = |a: usize, b: usize| tls[a].ours.is(&tls[b].ours.any);
        assert!(same(0, 1) && same(2, 3) && !same(0, 2) && !same(0, 4) && !same(2, 4));
        assert!([false, false, true, true].into_iter().eq(tls.iter().take(4).map(|tls| tls.has_certificate())));
        assert!(tls.iter().take(4).all(|each| each.bare.is(&tls[0].ours.any)));
        assert_eq!(tls[1].server_name, ServerName::try_from("mp.lab.test").unwrap());
        assert!(
            tls[2].ours.any.client_auth_cert_resolver.has_certs()
                && !tls[2].bare.any.client_auth_cert_resolver.has_certs()
        );
        assert_eq!(tls[0].ours.any.alpn_protocols, [b"http/1.1".to_vec()]);
        let named: Vec<_> = compiled.files.paths().map(|path| path.display().to_string()).collect();
        assert_eq!(named, [certificate, key]);
    }

    #[test]
    fn half_a_client_certificate_is_refused_wherever_it_stands() {
        let says = |problems: &Problems| {
            problems.iter().filter(|problem| problem.message == "a client certificate needs both its files").count()
        };
        assert_eq!(says(&look("[tls]\nclient_key = \"x\"", &[""]).1), 1);
        assert_eq!(says(&look("", &["client_certificate = \"x\""]).1), 1);
        assert_eq!(says(&look("", &["client_key = \"x\""]).1), 1);
    }
}
