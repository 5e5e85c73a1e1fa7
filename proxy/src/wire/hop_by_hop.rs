//! Fields that concern one hop alone (RFC 9110, section 7.6.1).

use http::Version;
use http::header::HeaderValue;

use super::fields::Fields;
use super::head::ResponseHead;
use super::known::{Known, KnownSet};
use super::list::list_elements;

/// All of them.
pub const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::Expect,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Takes the hop-by-hop fields out. Gives the protocol of an upgrade that the message asks for or agrees to, and whether
/// it takes trailers.
pub fn strip_hop_by_hop(fields: &mut Fields) -> HopByHop {
    let mut found = HopByHop::default();
    // Most messages have one or none.
    if !fields.has_any(HOP_BY_HOP) {
        return found;
    }
    // Before `Connection`, which has to name it.
    if let Some(te) = fields.get(Known::Te) {
        found.trailers = te.split(|&byte| byte == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    }
    let mut named: Vec<Vec<u8>> = Vec::new();
    for line in fields.all(Known::Connection) {
        for token in line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                found.close = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                found.upgrade = fields.get(Known::Upgrade).and_then(|value| HeaderValue::from_bytes(value).ok());
            } else if !token.eq_ignore_ascii_case(b"keep-alive") && !is_end_to_end(token) {
                named.push(token.to_ascii_lowercase());
            }
        }
    }
    if !named.is_empty() {
        // A client may name thousands, and send as many fields.
        named.sort_unstable();
        fields.remove_if(|name| named.binary_search_by(|token| token.as_slice().cmp(name.as_str().as_bytes())).is_ok());
    }
    fields.remove_all(HOP_BY_HOP);
    found
}

/// Whether the connection of a response closes after it.
pub fn closes(head: &ResponseHead) -> bool {
    let mut tokens = head.fields.all(Known::Connection).flat_map(list_elements);
    head.version < Version::HTTP_11 || tokens.any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// `Connection` may not take these away: they frame or route the message.
fn is_end_to_end(token: &[u8]) -> bool {
    const END_TO_END: [Known; 3] = [Known::ContentLength, Known::Host, Known::Authorization];
    END_TO_END.iter().any(|name| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// What the hop-by-hop fields said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HopByHop {
    /// The sender closes the connection after this message.
    pub close: bool,
    /// Value of `Upgrade`, when `Connection` names it.
    pub upgrade: Option<HeaderValue>,
    /// `TE: trailers`
    pub trailers: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_connection_line_counts() {
        let mut map = Fields::of(&[
            ("connection", "close, X-One"),
            ("connection", "x-two , upgrade"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-two", "2"),
            ("upgrade", "websocket"),
            ("te", "gzip, trailers"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("ccmclientid", "GUID:1"),
            ("authorization", "NTLM x"),
        ]);
        let found = strip_hop_by_hop(&mut map);
        assert_eq!(found.upgrade.unwrap(), "websocket");
        assert!(found.close && found.trailers);
        let left: Vec<_> = map.iter().map(|field| field.name).collect();
        assert_eq!(left, ["ccmclientid", "authorization"]);
    }

    #[test]
    fn framing_and_routing_cannot_be_named_away() {
        let mut map = Fields::of(&[("connection", "host, content-length"), ("host", "mp1"), ("content-length", "3")]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map.len(), 2);
    }

    proptest! {
        #[test]
        fn no_hop_by_hop_field_survives(
            named in prop::collection::vec("[a-z]{1,8}", 0..6),
            split in 0_usize..6,
            junk in prop::collection::vec("[ -~]{0,20}", 0..4),
        ) {
            let mut map = Fields::default();
            for name in &named {
                map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
            }
            let (first, second) = named.split_at(split.min(named.len()));
            for part in [first, second] {
                map.append(Known::Connection, HeaderValue::from_str(&part.join(" ,")).unwrap());
            }
            for line in &junk {
                map.append(Known::Connection, HeaderValue::from_str(line).unwrap());
            }
            for &name in Known::ALL.iter().filter(|name| HOP_BY_HOP.has(**name) && **name != Known::Connection) {
                map.append(name, HeaderValue::from_static("x"));
                map.append(name, HeaderValue::from_static("y"));
            }
            strip_hop_by_hop(&mut map);
            for name in named.iter().filter(|name| !["host", "keep-alive"].contains(&name.as_str())) {
                prop_assert!(map.named(name).next().is_none(), "{}", name);
            }
            prop_assert!(!map.has_any(HOP_BY_HOP) && map.iter().all(|field| !field.is_in(HOP_BY_HOP)));
        }
    }
}
