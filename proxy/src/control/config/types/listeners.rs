//! Where clients come in, and TLS on both sides.

use std::fmt;
use std::net::SocketAddr;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::super::units::{self, HumanDuration};

/// `[[listeners]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Name in metrics and logs; absent = the address.
    pub name: Option<Spanned<String>>,
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
    /// Address and port. Required. Port 0 picks a free one.
    pub address: Option<Spanned<SocketAddr>>,
    /// Code of the site of clients of whom nothing else tells it, with `[[sites]]`.
    pub site: Option<Spanned<String>>,
    /// Roles served here. Required. One TCP role, or any number of HTTP roles.
    pub roles: Vec<Spanned<String>>,
    /// HTTP/2 is offered to clients.
    pub http2: Option<Spanned<bool>>,
    /// Connections from `proxy_protocol_from` begin with a PROXY protocol header.
    pub proxy_protocol: Option<Spanned<bool>>,
    /// Load balancers that send it (CIDR); absent = `trusted_proxies`.
    pub proxy_protocol_from: Option<Vec<Spanned<String>>>,
    /// Clients are sent to HTTPS, and nothing is served here: `true` for port 443, or another port.
    pub redirect_to_https: Option<Spanned<RedirectPort>>,
    /// TLS is not ended here: its server name chooses the role.
    pub passthrough: Option<Spanned<bool>>,
    /// Time a client may take to send its `ClientHello`, with `passthrough`; 5 s when absent.
    #[serde(deserialize_with = "units::finite_spanned")]
    pub client_hello_timeout: Option<Spanned<HumanDuration>>,
    /// `[listeners.tls]`: TLS ends here.
    pub tls: Option<ListenerTls>,
}

/// `true`, `false`, or a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RedirectPort(Option<u16>);

impl RedirectPort {
    /// The port; `None` for `false`.
    pub const fn get(self) -> Option<u16> {
        self.0
    }
}

impl<'de> Deserialize<'de> for RedirectPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RedirectVisitor)
    }
}

struct RedirectVisitor;

impl Visitor<'_> for RedirectVisitor {
    type Value = RedirectPort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or the port of HTTPS")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<RedirectPort, E> {
        Ok(RedirectPort(on.then_some(443)))
    }

    fn visit_i64<E: Error>(self, port: i64) -> Result<RedirectPort, E> {
        match u16::try_from(port) {
            Ok(port @ 1..) => Ok(RedirectPort(Some(port))),
            Ok(0) | Err(_) => {
                Err(units::refuse(format_args!("{port} is not a port"), "write true, or a number from 1 to 65535"))
            }
        }
    }
}

/// `[listeners.tls]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerTls {
    /// Certificates with their keys, chosen by server name; the first is for clients that ask for none of them. Required.
    pub certificates: Vec<Spanned<CertificateEntry>>,
    /// `1.2` or `1.3`.
    pub min_version: Option<Spanned<String>>,
    /// `1.2` or `1.3`.
    pub max_version: Option<Spanned<String>>,
    /// Time a client may take for the handshake.
    #[serde(deserialize_with = "units::finite")]
    pub handshake_timeout: HumanDuration,
    /// Sessions can be resumed, with tickets; without them every handshake is a full one.
    pub session_tickets: bool,
    /// `none`, `optional` or `required`.
    pub client_certificates: Option<Spanned<String>>,
    /// PEM file with the certification authorities of client certificates.
    pub client_ca_file: Option<Spanned<String>>,
    /// PEM or DER files with revocation lists of these authorities.
    pub client_crl_files: Vec<Spanned<String>>,
    /// Path prefixes that need no client certificate although it is `required`.
    pub client_certificate_exempt: Option<Vec<Spanned<String>>>,
    /// `off`, `client-cert` or `x-arr-clientcert`.
    pub forward_client_certificate: Option<Spanned<String>>,
}

impl Default for ListenerTls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            min_version: None,
            max_version: None,
            handshake_timeout: HumanDuration::from_secs(10),
            session_tickets: true,
            client_certificates: None,
            client_ca_file: None,
            client_crl_files: Vec::new(),
            client_certificate_exempt: None,
            forward_client_certificate: None,
        }
    }
}

/// One certificate with its key: `certificate` and `key`, or `pkcs12` and `password_file`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateEntry {
    /// PEM file with the certificate and those of its authorities, in this order.
    pub certificate: Option<Spanned<String>>,
    /// PEM file with its key.
    pub key: Option<Spanned<String>>,
    /// PKCS #12 file with the certificate, those of its authorities and the key.
    pub pkcs12: Option<Spanned<String>>,
    /// File with the password of `pkcs12`.
    pub password_file: Option<Spanned<String>>,
    /// DER file with an OCSP response for it, which is handed to clients.
    pub ocsp: Option<Spanned<String>>,
}

/// `[tls]`: TLS towards site systems.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file with the certification authorities of the site; absent = the public ones.
    pub ca_file: Option<Spanned<String>>,
    /// PEM file with the proxy's own certificate for site systems that ask for one.
    pub client_certificate: Option<Spanned<String>>,
    /// PEM file with its key.
    pub client_key: Option<Spanned<String>>,
    /// `1.2` or `1.3`.
    pub max_version: Option<Spanned<String>>,
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
