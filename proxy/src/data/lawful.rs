//! Requests that HTTP forbids to forward: looked for before anything is decided by them.

use std::net::{Ipv6Addr, SocketAddr};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Version};
use hyper::body::{Body, Incoming};

use super::headers::list_elements;
use super::session::Session;
use crate::error::Error;

/// Refuses a request that must not be forwarded, and gives one without a host ours. What follows is routed by what is in the
/// request now, and that is forwarded.
///
/// # Errors
/// Why it is refused. The connection closes after the answer, because the next request may not begin where it seems to.
pub fn check(session: &Session, request: &mut Request<Incoming>) -> Result<(), Error> {
    let checked = settle_host(session, request).and_then(|()| {
        if session.refuses_request() {
            return Err(Error::InvalidTarget);
        }
        if request.method() == Method::CONNECT {
            return Err(Error::BadRequest);
        }
        // Without a body there is no coding.
        if request.body().is_end_stream() { Ok(()) } else { check_codings(request.headers()) }
    });
    checked.inspect_err(|_| session.close_after_response())
}

/// One host, and a valid one, in the field, in the target, or the same in both (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
fn settle_host(session: &Session, request: &mut Request<Incoming>) -> Result<(), Error> {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut fields = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let (field, another) = (fields.next(), fields.next());
    if another.is_some() || !field.into_iter().chain(authority).all(is_host) {
        return Err(Error::InvalidHost);
    }
    match (request.version(), field, authority) {
        // Over HTTP/2 two names for the host are one too many. Over HTTP/1.1 the target's replaces the other.
        (Version::HTTP_2, Some(field), Some(authority)) if !field.eq_ignore_ascii_case(authority) => {
            Err(Error::InvalidHost)
        }
        (Version::HTTP_2, None, None) | (Version::HTTP_11, None, _) => Err(Error::InvalidHost),
        (_, None, None) => {
            let ours = our_host(session).ok_or(Error::InvalidHost)?;
            request.headers_mut().insert(header::HOST, ours);
            Ok(())
        }
        (_, Some(_), _) | (_, _, Some(_)) => Ok(()),
    }
}

/// Where the client has connected to: all that an HTTP/1.0 request without a host says about its target.
fn our_host(session: &Session) -> Option<HeaderValue> {
    let to = session.to?;
    let usual = if session.secured.is_some() { 443 } else { 80 };
    // Without the scope of a link-local address, which is no part of a host.
    let text = SocketAddr::new(to.ip(), to.port()).to_string();
    let host = if to.port() == usual { text.rsplit_once(':')?.0 } else { &text };
    HeaderValue::from_str(host).ok()
}

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

/// `chunked`, once: what another coding was would be lost, because the field concerns one hop alone.
fn check_codings(headers: &HeaderMap) -> Result<(), Error> {
    let lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut times = 0;
    for coding in lines.flat_map(|line| list_elements(line.as_bytes())) {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Error::UnknownCoding);
        }
        times += 1;
    }
    if times > 1 { Err(Error::InvalidBody) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    #[test]
    fn codings() {
        let check = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::TRANSFER_ENCODING, HeaderValue::from_str(line).unwrap());
            }
            check_codings(&headers)
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["Chunked"]), Ok(()));
        assert_eq!(check(&[", chunked,"]), Ok(()));
        for lines in [&["gzip, chunked"][..], &["identity, chunked"], &["gzip", "chunked"], &["chunked;q=1"]] {
            assert_eq!(check(lines), Err(Error::UnknownCoding), "{lines:?}");
        }
        for lines in [&["chunked, chunked"][..], &["chunked", "chunked"]] {
            assert_eq!(check(lines), Err(Error::InvalidBody), "{lines:?}");
        }
    }
}
