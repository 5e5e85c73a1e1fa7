//! What site systems are told about where a request comes from.
//!
//! Forwarding fields of the client are kept only when they come from a trusted proxy. Every other field is passed on as it is.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;

use crate::data::transport::stream::Transport;
use crate::model::entry::CertificateField;
use crate::model::field_set::FieldSet;
use crate::model::snapshot::{ClientAddressField, Site};
use crate::wire::address::ip_text;
use crate::wire::list::{list_elements, split_unquoted};
use crate::wire::trailers::{
    CLAIMS, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, is_claim, may_be_trailer, remove_all,
};

/// `Proxy-Status` (RFC 9209)
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

const DECISION: HeaderName = HeaderName::from_static("x-rolegate-decision");

/// `Client-Cert` (RFC 9440)
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const ARR_CLIENT_CERT: HeaderName = HeaderName::from_static("x-arr-clientcert");

/// TLS of a client connection that ends here.
#[derive(Clone, Debug)]
pub struct Secured {
    /// The client's certificate.
    pub certificate: Option<CertificateDer<'static>>,
    /// As it is written in logs.
    pub version: Option<&'static str>,
}

impl Secured {
    /// What a connection knows about it.
    pub fn of(transport: &Transport) -> Option<Self> {
        match transport {
            Transport::Plain(_) => None,
            Transport::Tls(_) => {
                Some(Self { certificate: transport.peer_certificate(), version: transport.tls_version() })
            }
        }
    }
}

/// Fields that only we may write: what they say about a client's certificate is believed.
const CERTIFICATE_FIELDS: [HeaderName; 3] = [CLIENT_CERT, CLIENT_CERT_CHAIN, ARR_CLIENT_CERT];

/// Lengths of the names in both lists, without `Forwarded`, which has no other spelling.
const RESERVED_LENGTHS: [usize; 4] = [11, 15, 16, 17];

/// Whether a field is one that no client may send: who showed which certificate (RFC 9440, section 4), and where the request
/// comes from when it is spelled with `_` for `-`. To a server that turns fields into variables, as IIS does, both spellings are
/// the same, and a trusted proxy in front of us that knows one of them may hand on the other.
fn is_reserved(name: &HeaderName) -> bool {
    // Every field of every request is looked at, and nearly none has the length of one of these.
    if !RESERVED_LENGTHS.contains(&name.as_str().len()) {
        return false;
    }
    let certificate = CERTIFICATE_FIELDS.iter().any(|ours| is_like(name, ours));
    certificate || CLAIMS.iter().any(|ours| is_like(name, ours) && name != ours)
}

/// Whether a server may take one name for the other.
fn is_like(name: &HeaderName, ours: &HeaderName) -> bool {
    let (name, ours) = (name.as_str().as_bytes(), ours.as_str().as_bytes());
    let like = |(a, b): (&u8, &u8)| a == b || (*a == b'_' && *b == b'-');
    name.len() == ours.len() && name.iter().zip(ours).all(like)
}

/// Says in a response how its server was chosen.
pub fn write_decision(headers: &mut HeaderMap, short: &str) {
    // What a server of the same name behind us wrote is not ours.
    headers.remove(DECISION);
    // Names of groups may have letters of any language; those bytes may stand in a field (RFC 9110, section 5.5).
    if let Ok(value) = HeaderValue::from_bytes(short.as_bytes()) {
        headers.insert(DECISION, value);
    }
}

/// Values of forwarding fields that are the same for all requests of a client connection.
#[derive(Debug)]
pub struct ForwardingValues {
    peer: IpAddr,
    /// Where the peer, a trusted proxy, says who its client is.
    trusted: Option<ClientAddressField>,
    /// Where others would say it.
    told_in: Option<HeaderName>,
    /// Who sent the last request.
    client: IpAddr,
    peer_value: HeaderValue,
    via: HeaderValue,
    /// `http` or `https`.
    proto: &'static str,
    /// The client's certificate, where site systems are told.
    certificate: Option<(HeaderName, HeaderValue)>,
    /// `Forwarded` for the last seen `Host`: a client connection almost always has one.
    forwarded: Option<(Option<HeaderValue>, HeaderValue)>,
}

impl ForwardingValues {
    /// Prepares the values for one client connection.
    pub fn new(peer: IpAddr, (secured, http2): (Option<&Secured>, bool), site: &Site, listener: u16) -> Self {
        let peer = peer.to_canonical();
        let peer_value = address_value(peer);
        let version = if http2 { "2 " } else { "1.1 " };
        let via = HeaderValue::try_from([version, &site.proxy_name].concat())
            .unwrap_or(HeaderValue::from_static("1.1 rolegate"));
        let proto = if secured.is_some() { "https" } else { "http" };
        let told = site.listeners.get(usize::from(listener)).and_then(|listener| listener.entry.terminated());
        let certificate = told.zip(secured).and_then(|(told, secured)| certificate_field(told.forward, secured));
        let field = &site.client_address_field;
        let told_in = match field {
            ClientAddressField::Other(name) => Some(name.clone()),
            ClientAddressField::XForwardedFor | ClientAddressField::Forwarded => None,
        };
        let trusted = site.trusts(peer).then(|| field.clone());
        Self { peer, trusted, told_in, client: peer, peer_value, via, proto, certificate, forwarded: None }
    }

    /// The client's address: the peer's or, from a trusted peer, the last address in its field that is not itself a trusted
    /// proxy.
    pub fn client(&mut self, headers: &HeaderMap, site: &Site) -> IpAddr {
        let Some(field) = &self.trusted else { return self.peer };
        let chain: Vec<Option<IpAddr>> = match field {
            ClientAddressField::XForwardedFor => {
                headers.get_all(X_FORWARDED_FOR).iter().flat_map(x_forwarded_for).collect()
            }
            ClientAddressField::Forwarded => {
                headers.get_all(header::FORWARDED).iter().flat_map(forwarded_for).collect()
            }
            ClientAddressField::Other(name) => headers.get_all(name).iter().flat_map(x_forwarded_for).collect(),
        };
        self.client = self.peer;
        // What stands before a hop that is not told was told by somebody unknown.
        for hop in chain.into_iter().rev().map_while(|hop| hop) {
            self.client = hop;
            if !site.trusts(hop) {
                break;
            }
        }
        self.client
    }

    /// Takes out of the head of a request what its sender may not say.
    pub fn strip(&self, headers: &mut HeaderMap, role: &FieldSet) {
        remove_all(headers, |name| self.is_unwanted(name, role) && !self.believes(name));
    }

    /// Takes out of the trailers of a request what may not come after a body, or what its sender may not say.
    pub fn strip_trailers(&self, trailers: &mut HeaderMap, role: &FieldSet) {
        remove_all(trailers, |name| self.is_unwanted(name, role) || !may_be_trailer(name));
    }

    fn is_unwanted(&self, name: &HeaderName, role: &FieldSet) -> bool {
        let told_in = self.told_in.as_ref().is_some_and(|told_in| is_like(name, told_in));
        is_reserved(name) || role.contains(name.as_str()) || told_in
    }

    /// Whether this is the field in which a trusted proxy says who the client is, or one that goes with it.
    fn believes(&self, name: &HeaderName) -> bool {
        match &self.trusted {
            Some(ClientAddressField::XForwardedFor) => *name != header::FORWARDED && is_claim(name),
            Some(ClientAddressField::Forwarded) => *name == header::FORWARDED,
            Some(ClientAddressField::Other(told_in)) => name == told_in,
            None => false,
        }
    }

    /// Gives every field that a site system gets to `put`: the client's, without claims that nobody can believe, and ours.
    pub fn each(&mut self, headers: &HeaderMap, mut put: impl FnMut(&HeaderName, &HeaderValue)) {
        let (mut proto_told, mut host_told) = (false, false);
        for (name, value) in headers {
            if is_claim(name) && !self.believes(name) {
                continue;
            }
            proto_told |= name == X_FORWARDED_PROTO;
            host_told |= name == X_FORWARDED_HOST;
            put(name, value);
        }
        let host = headers.get(header::HOST);
        if self.forwarded.as_ref().is_none_or(|(known, _)| known.as_ref() != host) {
            // A copy: the value that came holds everything that was read with it.
            let host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
            let value = forwarded_value((self.peer, &self.peer_value), host.as_ref(), self.proto);
            self.forwarded = Some((host, value));
        }
        // Who reads another field than the one in which the peer has said it learns it too.
        let told = (self.client != self.peer).then_some(self.client);
        if let Some(client) = told.filter(|_| !self.believes(&header::FORWARDED)) {
            put(&header::FORWARDED, &for_value(client));
        }
        if let Some((_, value)) = &self.forwarded {
            put(&header::FORWARDED, value);
        }
        if let Some(client) = told.filter(|_| !self.believes(&X_FORWARDED_FOR)) {
            put(&X_FORWARDED_FOR, &address_value(client));
        }
        put(&X_FORWARDED_FOR, &self.peer_value);
        if !proto_told {
            put(&X_FORWARDED_PROTO, &HeaderValue::from_static(self.proto));
        }
        if let Some(host) = host.filter(|_| !host_told) {
            put(&X_FORWARDED_HOST, host);
        }
        if let Some((name, value)) = &self.certificate {
            put(name, value);
        }
        // `Via` is a record, not a claim: what others wrote stays.
        put(&header::VIA, &self.via);
    }
}

fn certificate_field(field: CertificateField, secured: &Secured) -> Option<(HeaderName, HeaderValue)> {
    let certificate = BASE64.encode(secured.certificate.as_ref()?);
    let (name, value) = match field {
        CertificateField::Off => return None,
        CertificateField::ClientCert => (CLIENT_CERT, format!(":{certificate}:")),
        CertificateField::ArrClientCert => (ARR_CLIENT_CERT, certificate),
    };
    Some((name, HeaderValue::try_from(value).ok()?))
}

/// `for=10.1.2.3;host="mp1:80";proto=http` (RFC 7239).
fn forwarded_value((peer, node): (IpAddr, &HeaderValue), host: Option<&HeaderValue>, proto: &str) -> HeaderValue {
    let node = node.as_bytes();
    let quotable = |host: &&HeaderValue| !host.as_bytes().iter().any(|byte| matches!(byte, b'"' | b'\\' | 0x80..));
    let host = host.filter(quotable).map(HeaderValue::as_bytes);
    let (before, after) = if peer.is_ipv6() { (&b"\"["[..], &b"]\""[..]) } else { (&b""[..], &b""[..]) };
    let host = host.map_or([&b""[..]; 3], |host| [&b";host=\""[..], host, &b"\""[..]]);
    let text = [b"for=", before, node, after, host[0], host[1], host[2], b";proto=", proto.as_bytes()].concat();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

fn address_value(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&ip_text(address)).unwrap_or(HeaderValue::from_static("unknown"))
}

/// `for=10.1.2.3`
fn for_value(address: IpAddr) -> HeaderValue {
    let text = if address.is_ipv6() { format!("for=\"[{address}]\"") } else { format!("for={address}") };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

/// The hops of a line, `None` for one that tells no address.
fn x_forwarded_for(line: &HeaderValue) -> Vec<Option<IpAddr>> {
    list_elements(line.as_bytes()).map(address).collect()
}

fn forwarded_for(line: &HeaderValue) -> Vec<Option<IpAddr>> {
    list_elements(line.as_bytes())
        .map(|element| {
            split_unquoted(element, b';').find_map(|pair| {
                let (name, value) = pair.trim_ascii().split_at_checked(4)?;
                name.eq_ignore_ascii_case(b"for=").then(|| address(value))?
            })
        })
        .collect()
}

/// An address with or without quotes, brackets and port. An IPv4 client is the same one however it is spelled.
fn address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?.trim_matches('"');
    let bare = match node.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?.parse::<IpAddr>().ok(),
        None => node.parse().ok().or_else(|| node.rsplit_once(':')?.0.parse().ok()),
    };
    bare.map(|address| address.to_canonical())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn values(trusted: Option<ClientAddressField>) -> ForwardingValues {
        let peer = IpAddr::from([127, 0, 0, 1]);
        ForwardingValues {
            peer,
            trusted,
            told_in: None,
            client: peer,
            peer_value: address_value(peer),
            via: HeaderValue::from_static("1.1 rolegate"),
            proto: "http",
            certificate: None,
            forwarded: None,
        }
    }

    #[test]
    fn no_client_says_what_only_we_may_say() {
        for name in CERTIFICATE_FIELDS.into_iter().chain(CLAIMS).filter(|name| name != header::FORWARDED) {
            assert!(RESERVED_LENGTHS.contains(&name.as_str().len()), "{name}");
        }
        let mut map = headers(&[
            ("Client-Cert", ":x:"),
            ("client_cert", ":x:"),
            ("client-cert-chain", "x"),
            ("X-ARR-ClientCert", "x"),
            ("x-arr-clientcert", "y"),
            ("X_ARR_ClientCert", "z"),
            ("client-certs", "kept"),
            ("X_Forwarded_For", "1.2.3.4"),
            ("x-forwarded_for", "1.2.3.4"),
            ("X_Forwarded-Proto", "https"),
            ("X_Forwarded_Host", "other"),
            ("x-forwarded-for", "believed if it is trusted"),
            ("x_forwarded", "kept"),
        ]);
        let stranger = values(None);
        stranger.strip(&mut map, &FieldSet::default());
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["client-certs", "x-forwarded-for", "x_forwarded"]);
        let mut trailers =
            headers(&[("x-hash", "1"), ("x-forwarded-for", "1.2.3.4"), ("authorization", "x"), ("te", "x")]);
        stranger.strip_trailers(&mut trailers, &FieldSet::default());
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-hash"]);
    }

    #[test]
    fn addresses_in_forwarding_fields() {
        for (text, expected) in [
            ("10.1.2.3", Some("10.1.2.3")),
            ("10.1.2.3:4711", Some("10.1.2.3")),
            ("\"[2001:db8::1]:80\"", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:10.1.2.3", Some("10.1.2.3")),
            ("[::ffff:10.1.2.3]", Some("10.1.2.3")),
            ("\"[::ffff:a01:203]:80\"", Some("10.1.2.3")),
            ("_hidden", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), expected.map(|e| e.parse().unwrap()), "{text}");
        }
        let line = HeaderValue::from_static("for=1.2.3.4;proto=http, For=\"[::1]:5\", by=x");
        let told: Vec<bool> = forwarded_for(&line).iter().map(Option::is_some).collect();
        assert_eq!(told, [true, true, false]);
    }
}
