//! How client connections of a listener begin: PROXY protocol, TLS that ends here, TLS that does not.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::NoServerSessionStorage;
use rustls::{SupportedProtocolVersion, version};
use toml::Spanned;

use super::certificates::Certificates;
use super::clients::{self, Clients};
use super::given::Given;
use super::{finite, networks};
use crate::control::config::fields::word;
use crate::control::config::{Config, Listener, ListenerTls, Problems};
use crate::model::entry::{ClientCertificates, Entry, Security, Terminated};
use crate::model::role::Protocol;

const VERSIONS: [(&str, u8); 2] = [("1.2", 2), ("1.3", 3)];
/// A `ClientHello` is one or two packets.
const HELLO: Duration = Duration::from_secs(5);

/// Bytes of one TLS record. The protocol allows twice as many, but then the allocator uses memory in turn that has left the
/// processor's cache meanwhile: large bodies cost a third more.
const RECORD: usize = 8100;

/// How connections of a listener begin. `None` when something in it is wrong.
pub(super) fn compile(
    given: &Given<'_>,
    listener: &Listener,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<Entry> {
    let proxy_protocol = proxy_protocol(given.config, listener, problems);
    let passthrough = listener.passthrough.as_ref().filter(|passthrough| *passthrough.get_ref());
    let http2 = listener.http2.as_ref().is_some_and(|http2| *http2.get_ref());
    if let Some(written) =
        listener.http2.as_ref().filter(|_| http2 && (passthrough.is_some() || protocol == Protocol::Tcp))
    {
        problems.error(
            written.span(),
            "this listener passes bytes on, so it cannot offer HTTP/2",
            "take http2 out; with passthrough, client and site system agree on it themselves",
        );
    }
    let patience = listener.client_hello_timeout.as_ref();
    if let (Some(written), None) = (patience, passthrough) {
        let text = "client_hello_timeout has no meaning without passthrough";
        problems.error(written.span(), text, "write passthrough = true, or handshake_timeout below [listeners.tls]");
    }
    let security = match (&listener.tls, passthrough) {
        (None, None) => Some(Security::Plain),
        (Some(tls), None) => terminated(given, tls, listener, protocol, problems).map(Security::Terminated),
        (None, Some(_)) => {
            Some(Security::Passthrough { timeout: patience.map_or(HELLO, |written| finite(*written.get_ref())) })
        }
        (Some(_), Some(passthrough)) => {
            problems.error(
                passthrough.span(),
                "TLS either ends here or is passed through",
                "take passthrough or [listeners.tls] out",
            );
            None
        }
    };
    let redirect = redirect(listener, protocol, problems);
    Some(Entry { proxy_protocol: proxy_protocol?, security: security?, http2, redirect })
}

/// Sends requests elsewhere that have come without TLS.
fn redirect(listener: &Listener, protocol: Protocol, problems: &mut Problems) -> Option<u16> {
    let written = listener.redirect_to_https.as_ref()?;
    let port = written.get_ref().get()?;
    if let Some(role) = listener.roles.first() {
        let help = if protocol == Protocol::Tcp {
            "take redirect_to_https out: its clients do not speak HTTP"
        } else {
            "take the roles out, or redirect_to_https: clients of Configuration Manager do not follow it with what they send"
        };
        problems.error(role.span(), "a listener that redirects to HTTPS serves no role", help);
    }
    let passes = listener.passthrough.as_ref().is_some_and(|passthrough| *passthrough.get_ref());
    if listener.tls.is_some() || passes {
        let help = "give it a listener without TLS, on a port of its own";
        problems.error(written.span(), "clients of this listener speak TLS already", help);
    }
    Some(port)
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
    let (written, listed) = match &listener.proxy_protocol_from {
        Some(written) => (written, networks(written, problems)),
        // Mistakes in it are reported where it is.
        None => (&config.proxy.trusted_proxies, networks(&config.proxy.trusted_proxies, &mut Problems::new())),
    };
    if written.is_empty() {
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
    given: &Given<'_>,
    tls: &ListenerTls,
    listener: &Listener,
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
    let certificates = Certificates::read(&tls.certificates, &provider, given.files, problems);
    let versions = versions(tls, problems);
    let clients = clients::compile(given, tls, listener, protocol, problems);
    let (certificates, shown) = certificates.filter(|(_, shown)| !shown.is_empty())?;
    let Clients { mode, verifier, exempt, forward, fingerprint } = clients?;
    let asked = (mode != ClientCertificates::None).then(|| Arc::clone(&verifier));
    let versions = versions?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).ok()?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(certificates));
    let http2 = listener.http2.as_ref().is_some_and(|http2| *http2.get_ref());
    config.max_fragment_size = Some(RECORD);
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
        speaks_1_2: versions.contains(&&version::TLS12),
        handshake_timeout: finite(tls.handshake_timeout),
        client_certificates: mode,
        exempt,
        forward,
        certificates: shown.into_boxed_slice(),
        trust: fingerprint,
        verifier: asked,
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
