//! Whom TLS connections to site systems trust.

use std::sync::Arc;

use rolegate_health::TlsProbe;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::SpannedName;
use crate::control::config::{Config, Problems};

/// TLS settings, made once for each configuration.
#[derive(Debug)]
pub(super) struct Trust {
    verified: Option<Arc<ClientConfig>>,
    unverified: Option<Arc<ClientConfig>>,
}

impl Trust {
    /// Reads the certification authorities.
    pub(super) fn load(config: &Config, problems: &mut Problems) -> Self {
        let roots = match &config.tls.ca_file {
            Some(path) => from_file(path, problems),
            None => Some(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verified = roots.and_then(|roots| {
            let builder =
                ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
            Some(Arc::new(builder.ok()?.with_root_certificates(roots).with_no_client_auth()))
        });
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let unverified = builder.ok().map(|builder| {
            let accept = Arc::new(AcceptAny(provider));
            Arc::new(builder.dangerous().with_custom_certificate_verifier(accept).with_no_client_auth())
        });
        Self { verified, unverified }
    }

    /// TLS towards one site system.
    pub(super) fn for_system(
        &self,
        address: &SpannedName,
        insecure: bool,
        problems: &mut Problems,
    ) -> Option<TlsProbe> {
        let text = address.get_ref().trim().trim_matches(['[', ']']);
        let Ok(server_name) = ServerName::try_from(text.to_owned()) else {
            problems.error(
                address.span(),
                format!("no certificate can be for {text:?}"),
                "write the DNS name or address that is in the certificate of this site system",
            );
            return None;
        };
        if insecure {
            problems.warning(
                address.span(),
                format!("any certificate is accepted from {text:?}"),
                "set [tls] ca_file and take insecure out; whoever is between can read and change everything",
            );
        }
        let config = if insecure { &self.unverified } else { &self.verified };
        Some(TlsProbe { config: Arc::clone(config.as_ref()?), server_name })
    }
}

fn from_file(path: &SpannedName, problems: &mut Problems) -> Option<RootCertStore> {
    let mut refuse = |what: String, help: &str| {
        problems.error(path.span(), what, help);
        None
    };
    let file = path.get_ref();
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = match certificates {
        Ok(certificates) => certificates,
        Err(pem::Error::Io(error)) => {
            return refuse(format!("{file:?} cannot be read: {error}"), "check the path and its permissions");
        }
        Err(_) => return refuse(format!("{file:?} is not a PEM file"), "export the certificates as Base-64 (PEM)"),
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return refuse(format!("{file:?} holds no certificate"), "it must hold the site's certification authorities");
    }
    Some(roots)
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
