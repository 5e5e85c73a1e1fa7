//! What site systems are told about where a request comes from.
//!
//! Forwarding fields of the client are kept only when they come from a trusted proxy. Every other field is passed on as it is.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;

use crate::data::path::request_id;
use crate::data::transport::stream::Transport;
use crate::model::entry::CertificateField;
use crate::model::field_set::FieldSet;
use crate::model::role::Tells;
use crate::model::snapshot::{ClientAddressField, Site, Snapshot};
use crate::wire::address::ip_text;
use crate::wire::fields::{Field, Fields};
use crate::wire::known::Known;
use crate::wire::list::{list_elements, split_unquoted};
use crate::wire::trailers::{CLAIM_NAMES, CLAIMS, may_be_trailer, remove_all};

/// TLS of a client connection that ends here.
#[derive(Clone, Debug)]
pub struct Secured {
    /// The client's certificate.
    pub certificate: Option<CertificateDer<'static>>,
    /// As it is written in logs.
    pub version: Option<&'static str>,
    /// The cipher suite, by its IANA name.
    pub cipher: Option<&'static str>,
    /// The server name that the client has asked for.
    pub server_name: Option<Arc<str>>,
}

impl Secured {
    /// What a connection knows about it.
    pub fn of(transport: &Transport) -> Option<Self> {
        match transport {
            Transport::Plain(_) => None,
            Transport::Tls(_) => Some(Self {
                certificate: transport.peer_certificate(),
                version: transport.tls_version(),
                cipher: transport.tls_cipher(),
                server_name: transport.server_name().map(Arc::from),
            }),
        }
    }
}

/// Fields that only we may write: what they say about a client's certificate is believed (RFC 9440).
const CERTIFICATE_FIELDS: [Known; 3] = [Known::ClientCert, Known::ClientCertChain, Known::XArrClientCert];

/// Lengths of the names in both lists, without `Forwarded`, which has no other spelling.
const RESERVED_LENGTHS: [usize; 4] = [11, 15, 16, 17];

/// Whether a field is one that no client may send: who showed which certificate (RFC 9440, section 4), and where the request
/// comes from when it is spelled with `_` for `-`. To a server that turns fields into variables, as IIS does, both spellings are
/// the same, and a trusted proxy in front of us that knows one of them may hand on the other.
fn is_reserved(name: &str) -> bool {
    // Every field of every request is looked at, and nearly none has the length of one of these.
    if !RESERVED_LENGTHS.contains(&name.len()) {
        return false;
    }
    let certificate = CERTIFICATE_FIELDS.iter().any(|ours| is_like(name, ours.as_str()));
    certificate || CLAIM_NAMES.iter().any(|ours| is_like(name, ours.as_str()) && name != ours.as_str())
}

/// Whether a server may take one name for the other.
fn is_like(name: &str, ours: &str) -> bool {
    let (name, ours) = (name.as_bytes(), ours.as_bytes());
    let like = |(a, b): (&u8, &u8)| a == b || (*a == b'_' && *b == b'-');
    name.len() == ours.len() && name.iter().zip(ours).all(like)
}

/// Says in a response how its server was chosen.
pub fn write_decision(fields: &mut Fields, short: &str) {
    // What a server of the same name behind us wrote is not ours.
    fields.remove(Known::XRolegateDecision);
    // Names of groups may have letters of any language; those bytes may stand in a field (RFC 9110, section 5.5).
    if let Ok(value) = HeaderValue::from_bytes(short.as_bytes()) {
        fields.append(Known::XRolegateDecision, value);
    }
}

/// Values of forwarding fields that are the same for all requests of a client connection.
#[derive(Debug)]
pub struct ForwardingValues {
    peer: IpAddr,
    /// Where the peer, a trusted proxy, says who its client is.
    trusted: Option<ClientAddressField>,
    /// The last request has `Forwarded` and no `X-Forwarded-For`.
    forwarded_alone: bool,
    /// Where others would say it.
    told_in: Option<HeaderName>,
    /// Who sent the last request.
    client: IpAddr,
    peer_value: HeaderValue,
    via: HeaderValue,
    /// `http` or `https`.
    proto: &'static str,
    /// The client's certificate, where site systems are told.
    certificate: Option<(Known, HeaderValue)>,
    /// The number of the last request, and the field that it is in, if requests have one.
    request_id: Option<(HeaderName, HeaderValue)>,
    /// `Forwarded` for the last seen `Host`: a client connection almost always has one.
    forwarded: Option<(Option<HeaderValue>, HeaderValue)>,
}

impl ForwardingValues {
    /// Prepares the values for one client connection.
    pub fn new(peer: IpAddr, (secured, http2): (Option<&Secured>, bool), snapshot: &Snapshot, listener: u16) -> Self {
        let site = &*snapshot.site;
        let peer = peer.to_canonical();
        let peer_value = address_value(peer);
        let version = if http2 { "2 " } else { "1.1 " };
        let via = HeaderValue::try_from([version, &site.proxy_name, "-", &snapshot.live.instance].concat())
            .unwrap_or(HeaderValue::from_static("1.1 rolegate"));
        let proto = if secured.is_some() { "https" } else { "http" };
        let told = site.listeners.get(usize::from(listener)).and_then(|listener| listener.entry.terminated());
        let certificate = told.zip(secured).and_then(|(told, secured)| certificate_field(told.forward, secured));
        let field = &site.client_address_field;
        let told_in = match field {
            ClientAddressField::Other(name) => Some(name.clone()),
            ClientAddressField::Either | ClientAddressField::XForwardedFor | ClientAddressField::Forwarded => None,
        };
        let trusted = site.trusts(peer).then(|| field.clone());
        Self {
            peer,
            trusted,
            forwarded_alone: false,
            told_in,
            client: peer,
            peer_value,
            via,
            proto,
            certificate,
            request_id: None,
            forwarded: None,
        }
    }

    /// Gives a request its number: that of a trusted proxy, or a new one of these dice.
    pub fn identify(&mut self, fields: &Fields, name: Option<&HeaderName>, dice: impl FnMut() -> u64) {
        self.request_id = name.map(|name| {
            let told = self.trusted.is_some().then(|| fields.named(name.as_str()).next()).flatten();
            (name.clone(), request_id::told(told).unwrap_or_else(|| request_id::made(dice)))
        });
    }

    /// The number of the last request, and the field that it is in.
    pub fn request_id(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.request_id.as_ref()
    }

    /// The client's address: the peer's or, from a trusted peer, the last address in its field that is not itself a trusted
    /// proxy.
    pub fn client(&mut self, fields: &Fields, site: &Site) -> IpAddr {
        self.forwarded_alone = fields.has(Known::Forwarded) && !fields.has(Known::XForwardedFor);
        let Some(field) = self.field() else { return self.peer };
        let chain: Vec<Option<IpAddr>> = match field {
            ClientAddressField::Either | ClientAddressField::XForwardedFor => {
                fields.all(Known::XForwardedFor).flat_map(x_forwarded_for).collect()
            }
            ClientAddressField::Forwarded => fields.all(Known::Forwarded).flat_map(forwarded_for).collect(),
            ClientAddressField::Other(name) => fields.named(name.as_str()).flat_map(x_forwarded_for).collect(),
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

    /// The field of the last request in which the peer says who its client is, if it is believed.
    fn field(&self) -> Option<&ClientAddressField> {
        match &self.trusted {
            Some(ClientAddressField::Either) if self.forwarded_alone => Some(&ClientAddressField::Forwarded),
            Some(ClientAddressField::Either) => Some(&ClientAddressField::XForwardedFor),
            field => field.as_ref(),
        }
    }

    /// Takes out of the head of a request what its sender may not say.
    pub fn strip(&self, fields: &mut Fields, role: &FieldSet) {
        fields.remove_if(|name| self.is_unwanted(name.as_str(), role) && !self.believes(name.as_str()));
    }

    /// Takes out of the trailers of a request what may not come after a body, or what its sender may not say.
    pub fn strip_trailers(&self, trailers: &mut HeaderMap, role: &FieldSet) {
        remove_all(trailers, |name| self.is_unwanted(name.as_str(), role) || !may_be_trailer(name));
    }

    fn is_unwanted(&self, name: &str, role: &FieldSet) -> bool {
        let told_in = self.told_in.as_ref().is_some_and(|told_in| is_like(name, told_in.as_str()));
        let id = self.request_id.as_ref().is_some_and(|(field, _)| is_like(name, field.as_str()));
        is_reserved(name) || role.contains(name) || told_in || id
    }

    /// Whether this is the field in which a trusted proxy says who the client is, or one that goes with it.
    fn believes(&self, name: &str) -> bool {
        match self.field() {
            Some(ClientAddressField::Either | ClientAddressField::XForwardedFor) => {
                Known::of(name).is_some_and(|known| CLAIMS.has(known) && known != Known::Forwarded)
            }
            Some(ClientAddressField::Forwarded) => name == Known::Forwarded.as_str(),
            Some(ClientAddressField::Other(told_in)) => name == told_in.as_str(),
            None => false,
        }
    }

    /// Gives every field that a site system gets to `put`: the client's, without claims that nobody can believe, and ours, as
    /// far as it is told.
    pub fn each(&mut self, fields: &Fields, tells: Tells, mut put: impl FnMut(Field<'_>)) {
        for field in fields.iter() {
            if !field.is_in(CLAIMS) || self.believes(field.name) {
                put(field);
            }
        }
        if tells.forwarded {
            self.each_claim(fields, &mut put);
        }
        if let Some((name, value)) = &self.certificate {
            put(Field::known(*name, value));
        }
        if let Some((name, value)) = &self.request_id {
            put(Field::named(name, value));
        }
        // `Via` is a record, not a claim: what others wrote stays.
        if tells.via {
            put(Field::known(Known::Via, &self.via));
        } else if let Ok(own) = HeaderValue::from_bytes(self.pseudonym()) {
            // By something a request must be known that comes back.
            put(Field::known(Known::CdnLoop, &own));
        }
    }

    /// What `Via` says behind the version.
    fn pseudonym(&self) -> &[u8] {
        let via = self.via.as_bytes();
        via.iter().position(|&byte| byte == b' ').map_or(via, |blank| &via[blank + 1..])
    }

    /// Where the request comes from.
    fn each_claim(&mut self, fields: &Fields, put: &mut impl FnMut(Field<'_>)) {
        let host = fields.get(Known::Host);
        let same = |known: &Option<HeaderValue>| known.as_ref().map(HeaderValue::as_bytes) == host;
        if !self.forwarded.as_ref().is_some_and(|(known, _)| same(known)) {
            let host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
            let value = forwarded_value((self.peer, &self.peer_value), host.as_ref(), self.proto);
            self.forwarded = Some((host, value));
        }
        let told = |name: Known| fields.has(name) && self.believes(name.as_str());
        // Who reads another field than the one in which the peer has said it learns it too.
        let client = (self.client != self.peer).then_some(self.client);
        if let Some(client) = client.filter(|_| !self.believes(Known::Forwarded.as_str())) {
            put(Field::known(Known::Forwarded, &for_value(client)));
        }
        let host_value = self.forwarded.as_ref().and_then(|(host, _)| host.as_ref());
        if let Some((_, value)) = &self.forwarded {
            put(Field::known(Known::Forwarded, value));
        }
        if let Some(client) = client.filter(|_| !self.believes(Known::XForwardedFor.as_str())) {
            put(Field::known(Known::XForwardedFor, &address_value(client)));
        }
        put(Field::known(Known::XForwardedFor, &self.peer_value));
        if !told(Known::XForwardedProto) {
            put(Field::known(Known::XForwardedProto, &HeaderValue::from_static(self.proto)));
        }
        if let Some(host) = host_value.filter(|_| !told(Known::XForwardedHost)) {
            put(Field::known(Known::XForwardedHost, host));
        }
    }
}

fn certificate_field(field: CertificateField, secured: &Secured) -> Option<(Known, HeaderValue)> {
    let certificate = BASE64.encode(secured.certificate.as_ref()?);
    let (name, value) = match field {
        CertificateField::Off => return None,
        CertificateField::ClientCert => (Known::ClientCert, format!(":{certificate}:")),
        CertificateField::ArrClientCert => (Known::XArrClientCert, certificate),
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
fn x_forwarded_for(line: &[u8]) -> Vec<Option<IpAddr>> {
    list_elements(line).map(address).collect()
}

fn forwarded_for(line: &[u8]) -> Vec<Option<IpAddr>> {
    list_elements(line)
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

    fn values(trusted: Option<ClientAddressField>) -> ForwardingValues {
        let peer = IpAddr::from([127, 0, 0, 1]);
        ForwardingValues {
            peer,
            trusted,
            forwarded_alone: false,
            told_in: None,
            client: peer,
            peer_value: address_value(peer),
            via: HeaderValue::from_static("1.1 rolegate"),
            proto: "http",
            certificate: None,
            request_id: None,
            forwarded: None,
        }
    }

    #[test]
    fn no_client_says_what_only_we_may_say() {
        for &name in CERTIFICATE_FIELDS.iter().chain(CLAIM_NAMES).filter(|name| **name != Known::Forwarded) {
            let name = name.as_str();
            assert!(RESERVED_LENGTHS.contains(&name.len()), "{name}");
        }
        let mut map = Fields::of(&[
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
        let mut left: Vec<_> = map.iter().map(|field| field.name).collect();
        left.sort_unstable();
        assert_eq!(left, ["client-certs", "x-forwarded-for", "x_forwarded"]);
        let mut trailers =
            Fields::of(&[("x-hash", "1"), ("x-forwarded-for", "1.2.3.4"), ("authorization", "x"), ("te", "x")])
                .to_map();
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
        let line = b"for=1.2.3.4;proto=http, For=\"[::1]:5\", by=x";
        let told: Vec<bool> = forwarded_for(line).iter().map(Option::is_some).collect();
        assert_eq!(told, [true, true, false]);
    }
}
