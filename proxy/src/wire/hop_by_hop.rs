//! Fields that concern one hop alone (RFC 9110, section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Version, response};

use super::list::list_elements;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Takes the hop-by-hop fields out. Gives the protocol of an upgrade that the message asks for or agrees to, and whether
/// it takes trailers.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) -> HopByHop {
    let mut found = HopByHop::default();
    // Most messages have none: one look at the names is cheaper than a lookup for each.
    if !headers.keys().any(is_hop_by_hop) {
        return found;
    }
    // Before `Connection`, which has to name it.
    if let Some(te) = headers.get(header::TE) {
        found.trailers =
            te.as_bytes().split(|&byte| byte == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers"));
        headers.remove(header::TE);
    }
    if headers.contains_key(header::CONNECTION) {
        let mut named: Vec<HeaderName> = Vec::new();
        for line in headers.get_all(header::CONNECTION) {
            for token in line.as_bytes().split(|&byte| byte == b',') {
                let token = token.trim_ascii();
                if token.eq_ignore_ascii_case(b"keep-alive") {
                    continue;
                }
                if token.eq_ignore_ascii_case(b"close") {
                    found.close = true;
                } else if token.eq_ignore_ascii_case(b"upgrade") {
                    found.upgrade = headers.get(header::UPGRADE).cloned();
                } else if let Ok(name) = HeaderName::from_bytes(token)
                    && !END_TO_END.contains(&name)
                {
                    named.push(name);
                }
            }
        }
        headers.remove(header::CONNECTION);
        for name in named {
            headers.remove(&name);
        }
    }
    // `Expect` concerns the next hop only: we answer 100 ourselves, when a connection to an endpoint takes the first piece
    // of the body.
    for name in
        [&KEEP_ALIVE, &PROXY_CONNECTION, &header::TRANSFER_ENCODING, &header::UPGRADE, &header::EXPECT, &HTTP2_SETTINGS]
    {
        if headers.contains_key(name) {
            headers.remove(name);
        }
    }
    found
}

/// Whether the connection of a response closes after it.
pub fn closes(head: &response::Parts) -> bool {
    let lines = head.headers.get_all(header::CONNECTION).into_iter();
    head.version < Version::HTTP_11
        || lines.flat_map(|line| list_elements(line.as_bytes())).any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// Whether a field concerns one hop alone.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "te"
            | "expect"
            | "http2-settings"
    )
}

/// `Connection` may not take these away: they frame or route the message.
const END_TO_END: [HeaderName; 3] = [header::CONTENT_LENGTH, header::HOST, header::AUTHORIZATION];

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
    use super::*;
    use proptest::prelude::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn every_connection_line_counts() {
        let mut map = headers(&[
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
        let left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["ccmclientid", "authorization"]);
    }

    #[test]
    fn framing_and_routing_cannot_be_named_away() {
        let mut map = headers(&[("connection", "host, content-length"), ("host", "mp1"), ("content-length", "3")]);
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
            let mut map = HeaderMap::new();
            for name in &named {
                map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
            }
            let (first, second) = named.split_at(split.min(named.len()));
            for part in [first, second] {
                map.append(header::CONNECTION, HeaderValue::from_str(&part.join(" ,")).unwrap());
            }
            for line in &junk {
                map.append(header::CONNECTION, HeaderValue::from_str(line).unwrap());
            }
            for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &header::TRANSFER_ENCODING, &header::TE, &header::UPGRADE] {
                map.append(name.clone(), HeaderValue::from_static("x"));
                map.append(name.clone(), HeaderValue::from_static("y"));
            }
            strip_hop_by_hop(&mut map);
            for name in named.iter().filter(|name| !["host", "keep-alive"].contains(&name.as_str())) {
                prop_assert!(!map.contains_key(name.as_str()), "{}", name);
            }
            for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TRANSFER_ENCODING, header::TE, header::UPGRADE] {
                prop_assert!(!map.contains_key(&name), "{}", name);
            }
        }
    }
}
