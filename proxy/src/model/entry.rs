//! What happens to a client connection between its accept and its first request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use super::role::CertificateRule;

/// How client connections of one listener begin.
#[derive(Debug, Default)]
pub struct Entry {
    /// Peers that begin every connection with a PROXY protocol header; `None` when the listener knows no such header.
    pub proxy_protocol: Option<Box<[IpNet]>>,
    /// Plain, TLS, or TLS that is not ours.
    pub security: Security,
    /// HTTP/2 is offered by ALPN (RFC 7301), or taken with prior knowledge on a plain listener.
    pub http2: bool,
    /// Every request is sent to HTTPS, at this port.
    pub redirect: Option<u16>,
}

/// What the bytes of a client connection are.
#[derive(Debug, Default)]
pub enum Security {
    /// HTTP, or the bytes of a TCP role.
    #[default]
    Plain,
    /// TLS that ends here.
    Terminated(Arc<Terminated>),
    /// TLS that ends at the site system: only the server name of its `ClientHello` is read.
    Passthrough {
        /// The `ClientHello` must be complete after this time.
        timeout: Duration,
    },
}

/// TLS that ends here.
#[derive(Debug)]
pub struct Terminated {
    /// Certificates, versions, tickets, trust.
    pub config: Arc<rustls::ServerConfig>,
    /// Whether TLS 1.2 is among the versions.
    pub speaks_1_2: bool,
    /// The handshake must be complete after this time.
    pub handshake_timeout: Duration,
    /// Whether clients show a certificate.
    pub client_certificates: ClientCertificates,
    /// Path prefixes that need no client certificate although others do.
    pub exempt: Box<[String]>,
    /// How site systems are told the client's certificate.
    pub forward: CertificateField,
    /// What is shown, for people.
    pub certificates: Box<[ServerCertificate]>,
    /// Changes when a client certificate that was accepted may not be any more: sessions from before are not resumed then,
    /// because a resumed one is not verified again.
    pub trust: [u8; 32],
    /// Verifies clients' certificates; `None` where they are not asked for one.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked; one that is shown must be trusted.
    Optional,
    /// As `Optional`, and a request without one is answered 403 as IIS does (403.7), but for exempt paths.
    Required,
}

/// The request field that tells a site system the client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateField {
    /// None.
    #[default]
    Off,
    /// `Client-Cert`, the DER in base64 between colons (RFC 9440, section 2.1).
    ClientCert,
    /// `X-ARR-ClientCert`, the DER in base64, as IIS Application Request Routing writes it.
    ArrClientCert,
}

/// One of our certificates, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Where it was read from.
    pub file: String,
    /// What its key is.
    pub key: KeyKind,
    /// DNS names and addresses that it is for.
    pub names: Box<[String]>,
    /// Start of its validity, in seconds since 1970.
    pub not_before: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after: i64,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa,
    /// ECDSA.
    Ecdsa,
    /// Another one, which only new clients know.
    Other,
}

impl Entry {
    /// Whether a connection from this peer begins with a PROXY protocol header; `None` when no connection does.
    pub fn announces(&self, peer: IpAddr) -> Option<bool> {
        let peer = peer.to_canonical();
        let trusted = self.proxy_protocol.as_ref()?;
        Some(trusted.iter().any(|net| net.contains(&peer)))
    }

    /// TLS that ends here.
    pub fn terminated(&self) -> Option<&Arc<Terminated>> {
        match &self.security {
            Security::Terminated(terminated) => Some(terminated),
            Security::Plain | Security::Passthrough { .. } => None,
        }
    }
}

impl Terminated {
    /// Whether a client with this certificate, which comes first, and those of its authorities would be let in.
    pub fn trusts(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let (Some(verifier), Some((own, authorities))) = (&self.verifier, chain.split_first()) else { return false };
        verifier.verify_client_cert(own, authorities, now).is_ok()
    }

    /// Whether requests for a role with this rule need a client certificate, but on exempt paths.
    pub fn demands(&self, rule: CertificateRule) -> bool {
        match rule {
            CertificateRule::Listener => self.client_certificates == ClientCertificates::Required,
            CertificateRule::None => false,
            CertificateRule::Required => true,
        }
    }

    /// Whether a request for this path may come without a client certificate, to a role with this rule. The path leads where it
    /// seems to: one that does not was refused before.
    pub fn allows_anonymous(&self, rule: CertificateRule, path: &str) -> bool {
        !self.demands(rule) || self.exempt.iter().any(|prefix| under(prefix, path))
    }

    /// Whether some request for one of these path prefixes is for an exempt path.
    pub fn exempts_some(&self, prefixes: &[String]) -> bool {
        let meet = |one: &str, other: &str| under(one, other) || under(other, one);
        self.exempt.iter().any(|exempt| prefixes.iter().any(|prefix| meet(exempt, prefix)))
    }
}

/// Whether a path is below a prefix: ASCII-case-insensitively and only up to a whole segment.
fn under(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/').as_bytes();
    let path = path.as_bytes();
    path.len() >= prefix.len()
        && path[..prefix.len()].eq_ignore_ascii_case(prefix)
        && path.get(prefix.len()).is_none_or(|&byte| byte == b'/')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_a_segment() {
        for (prefix, path, expected) in [
            ("/SMS_MP_AltAuth", "/sms_mp_altauth/.sms_aut", true),
            ("/SMS_MP_AltAuth/", "/SMS_MP_AltAuth", true),
            ("/SMS_MP_AltAuth", "/SMS_MP_AltAuthX/", false),
            ("/SMS_MP_AltAuth", "/SMS_MP/", false),
            ("/SMS_MP_AltAuth", "/", false),
            ("/", "/anything", true),
        ] {
            assert_eq!(under(prefix, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn only_listed_peers_announce_their_clients() {
        let none = Entry::default();
        assert_eq!(none.announces("10.0.0.1".parse().unwrap()), None);
        let trusted = Some(Box::from(["10.0.0.0/8".parse().unwrap()]));
        let entry = Entry { proxy_protocol: trusted, ..Entry::default() };
        assert_eq!(entry.announces("::ffff:10.0.0.1".parse().unwrap()), Some(true));
        assert_eq!(entry.announces("192.0.2.1".parse().unwrap()), Some(false));
    }
}
