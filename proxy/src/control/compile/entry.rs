//! How client connections of a listener begin: PROXY protocol, TLS that ends here, TLS that does not.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::server::danger::ClientCertVerifier;
use rustls::{SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::certificates::Certificates;
use super::{finite, networks, pem};
use crate::control::config::fields::word;
use crate::control::config::{Config, Listener, ListenerTls, Problems, text};
use crate::model::entry::{CertificateField, ClientCertificates, Entry, Security, Terminated};
use crate::model::role::Protocol;

const MODES: [(&str, ClientCertificates); 3] = [
    ("none", ClientCertificates::None),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
];
const FIELDS: [(&str, CertificateField); 3] = [
    ("off", CertificateField::Off),
    ("client-cert", CertificateField::ClientCert),
    ("x-arr-clientcert", CertificateField::ArrClientCert),
];
const VERSIONS: [(&str, u8); 2] = [("1.2", 2), ("1.3", 3)];
/// By name or by documentation these take no client certificate. Not all of it is confirmed, so it is configuration.
const EXEMPT: [&str; 9] = [
    "/SMS_MP_AltAuth",
    "/CCM_System_AltAuth",
    "/SMS_MP_TokenAuth",
    "/CCM_System_TokenAuth",
    "/CCM_STS",
    "/NOCERT_SMS_DP_SMSPKG$",
    "/NOCERT_SMS_DP_SMSSIG$",
    "/CCMTOKENAUTH_SMS_DP_SMSPKG$",
    "/CCMTOKENAUTH_SMS_DP_SMSSIG$",
];

/// How connections of a listener begin. `None` when something in it is wrong.
pub(super) fn compile(
    config: &Config,
    listener: &Listener,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<Entry> {
    let proxy_protocol = proxy_protocol(config, listener, problems);
    let passthrough = listener.passthrough.as_ref().filter(|passthrough| *passthrough.get_ref());
    let http2 = listener.http2.as_ref().is_some_and(|http2| *http2.get_ref());
    if let Some(written) = listener.http2.as_ref().filter(|_| http2 && (passthrough.is_some() || protocol == Protocol::Tcp))
    {
        problems.error(
            written.span(),
            "this listener passes bytes on, so it cannot offer HTTP/2",
            "take http2 out; with passthrough, client and site system agree on it themselves",
        );
    }
    let security = match (&listener.tls, passthrough) {
        (None, None) => Some(Security::Plain),
        (Some(tls), None) => terminated(tls, listener, http2, protocol, problems).map(Security::Terminated),
        (None, Some(_)) => Some(Security::Passthrough {
            timeout: listener.client_hello_timeout.finite().unwrap_or(Duration::from_secs(5)),
        }),
        (Some(_), Some(passthrough)) => {
            problems.error(
                passthrough.span(),
                "TLS either ends here or is passed through",
                "take passthrough or [listeners.tls] out",
            );
            None
        }
    };
    Some(Entry { proxy_protocol: proxy_protocol?, security: security?, http2 })
}

/// `Some(None)`: it is off.
#[expect(clippy::option_option, reason = "the outer one is a mistake that was reported")]
fn proxy_protocol(
    config: &Config,
    listener: &Listener,
    problems: &mut Problems,
) -> Option<Option<Box<[ipnet::IpNet]>>> {
    let on = listener.proxy_protocol.as_ref().filter(|on| *on.get_ref());
    let Some(on) = on else {
        if let Some(first) = listener.proxy_protocol_from.as_ref().and_then(|list| list.first()) {
            let text = "proxy_protocol_from has no meaning without proxy_protocol";
            problems.error(first.span(), text, "write proxy_protocol = true, or take it out");
            return None;
        }
        return Some(None);
    };
    let listed = match &listener.proxy_protocol_from {
        Some(listed) => networks(listed, problems),
        // Mistakes in it are reported where it is.
        None => networks(&config.proxy.trusted_proxies, &mut Problems::new()),
    };
    if listed.is_empty() {
        problems.error(
            on.span(),
            "no load balancer is trusted to send the PROXY protocol",
            "write proxy_protocol_from = [\"10.0.0.5\"] with the addresses of those in front of this listener",
        );
        return None;
    }
    Some(Some(listed.into_boxed_slice()))
}

fn terminated(
    tls: &ListenerTls,
    listener: &Listener,
    http2: bool,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<Arc<Terminated>> {
    let near = listener.address.as_ref().map_or(0..0, Spanned::span);
    let provider = Arc::new(aws_lc_rs::default_provider());
    if tls.certificates.is_empty() {
        problems.missing(
            near,
            "this listener has TLS and no certificate",
            "add certificates = [{ certificate = \"mp1.crt\", key = \"mp1.key\" }] to its [listeners.tls]",
        );
    }
    let certificates = Certificates::read(&tls.certificates, &provider, problems);
    let versions = versions(tls, problems);
    let clients = clients(tls, listener, &provider, problems);
    let (certificates, shown) = certificates.filter(|(_, shown)| !shown.is_empty())?;
    let Clients { mode, verifier, exempt, forward, fingerprint } = clients?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions?).ok()?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = match (protocol, http2) {
        (Protocol::Tcp, _) => Vec::new(),
        (Protocol::Http, false) => vec![b"http/1.1".to_vec()],
        (Protocol::Http, true) => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    if tls.session_tickets {
        // Without randomness there would be no TLS at all.
        config.ticketer = Ticketer::new().ok()?;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Some(Arc::new(Terminated {
        config: Arc::new(config),
        handshake_timeout: finite(tls.handshake_timeout),
        client_certificates: mode,
        exempt,
        forward,
        certificates: shown.into_boxed_slice(),
        trust: fingerprint,
    }))
}

fn versions(tls: &ListenerTls, problems: &mut Problems) -> Option<Vec<&'static SupportedProtocolVersion>> {
    let (mut least, mut most) = (2, 3);
    word(&mut least, tls.min_version.as_ref(), "min_version", &VERSIONS, problems);
    word(&mut most, tls.max_version.as_ref(), "max_version", &VERSIONS, problems);
    if least > most {
        let span = tls.max_version.as_ref().or(tls.min_version.as_ref()).map_or(0..0, Spanned::span);
        problems.error(span, "max_version is below min_version", "no client could connect: raise it");
        return None;
    }
    let all = [(3, &version::TLS13), (2, &version::TLS12)];
    Some(all.into_iter().filter(|(number, _)| (least..=most).contains(number)).map(|(_, version)| version).collect())
}

/// What a listener wants of client certificates.
struct Clients {
    mode: ClientCertificates,
    verifier: Arc<dyn ClientCertVerifier>,
    exempt: Box<[String]>,
    forward: CertificateField,
    /// Changes when a certificate that was accepted may not be any more.
    fingerprint: [u8; 32],
}

fn clients(
    tls: &ListenerTls,
    listener: &Listener,
    provider: &Arc<rustls::crypto::CryptoProvider>,
    problems: &mut Problems,
) -> Option<Clients> {
    let mut mode = ClientCertificates::None;
    word(&mut mode, tls.client_certificates.as_ref(), "client_certificates", &MODES, problems);
    let mut forward = CertificateField::Off;
    word(&mut forward, tls.forward_client_certificate.as_ref(), "forward_client_certificate", &FIELDS, problems);
    let exempt = match &tls.client_certificate_exempt {
        Some(list) => text::each(list, text::path, problems),
        None => EXEMPT.map(str::to_owned).to_vec(),
    };
    let mut digest = Sha256::new();
    digest.update([mode as u8]);
    let without = |fingerprint| Clients {
        mode,
        verifier: Arc::new(NoClientAuth),
        exempt: Box::default(),
        forward: CertificateField::Off,
        fingerprint,
    };
    if mode == ClientCertificates::None {
        let unused = tls.client_ca_file.as_ref().or(tls.client_crl_files.first());
        if let Some(unused) = unused.or(tls.forward_client_certificate.as_ref().filter(|_| forward != CertificateField::Off))
        {
            let text = "clients are not asked for a certificate, so this has no meaning";
            problems.error(unused.span(), text, "write client_certificates = \"optional\" or \"required\", or take it out");
        }
        return Some(without(digest.finalize().into()));
    }
    let Some(authorities) = &tls.client_ca_file else {
        let near = tls.client_certificates.as_ref().or(listener.name.as_ref()).map_or(0..0, Spanned::span);
        let help = "add client_ca_file with the certification authority that issued them";
        problems.missing(near, "nobody is trusted to have issued the clients' certificates", help);
        return None;
    };
    let roots = pem::authorities(authorities, problems);
    let lists: Vec<_> = tls.client_crl_files.iter().filter_map(|path| pem::revocations(path, problems)).collect();
    for path in std::iter::once(authorities).chain(&tls.client_crl_files) {
        digest.update(pem::read(path.get_ref()).unwrap_or_default());
    }
    if lists.len() < tls.client_crl_files.len() {
        return None;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots?), Arc::clone(provider))
        .with_crls(lists.into_iter().flatten())
        // Who needs one is decided for each path: see `Terminated::allows_anonymous`.
        .allow_unauthenticated();
    match verifier.build() {
        Ok(verifier) => {
            let exempt = exempt.into_boxed_slice();
            Some(Clients { mode, verifier, exempt, forward, fingerprint: digest.finalize().into() })
        }
        Err(error) => {
            let text = format!("the authorities and revocation lists cannot be used: {error}");
            problems.error(authorities.span(), text, "check the files");
            None
        }
    }
}
