//! Hosts, as fields and targets name them.

use std::net::Ipv6Addr;

/// Whether this is `uri-host [":" port]` (RFC 9110, section 7.2). Of what RFC 3986 allows in a name, commas are refused: some
/// servers take what is before one, and some what is after it.
pub fn is_host(text: &[u8]) -> bool {
    let (host, rest) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let address = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            (address.is_some(), &rest[end + 1..])
        }
        _ => {
            let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
            (is_name(&text[..end]), &text[end..])
        }
    };
    host && match rest {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

fn is_name(name: &[u8]) -> bool {
    let encoded = |at: usize| {
        let digits = name.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let allowed = |(at, byte): (usize, &u8)| PLAIN[usize::from(*byte)] || (*byte == b'%' && encoded(at));
    !name.is_empty() && name.iter().enumerate().all(allowed)
}

/// Bytes of a name that stand for themselves (`unreserved` and `sub-delims` of RFC 3986, without the comma).
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+;=";
    let mut at = 0;
    while at < others.len() {
        plain[others[at] as usize] = true;
        at += 1;
    }
    plain
};

fn is_port(port: &[u8]) -> bool {
    let digits = port.iter().all(u8::is_ascii_digit);
    digits && (port.is_empty() || std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "mp1",
            "mp1:80",
            "mp1:",
            "MP1.corp.contoso.com:65535",
            "dp_1",
            "10.1.2.3:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "xn--mller-kva.test",
            "m%C3%BCller.test",
            "mp1.",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a/b",
            "a\\b",
            "u@a",
            "a,b",
            "a?b",
            "a#b",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "a:80:80",
            "a:99999999",
            "a:65536",
            "a:8x",
            "a:-1",
            "a%2",
            "a%zz",
            "a\"b",
            "<a>",
            "müller",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
