//! How far a request may go: `Max-Forwards` of TRACE and OPTIONS (RFC 9110, section 7.6.2), and never here twice.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, StatusCode, Version};

use crate::data::path::message::ClientResponse;
use crate::data::path::response_body::ResponseBody;
use crate::error::Error;
use crate::model::role::Role;
use crate::wire::fields::Fields;
use crate::wire::head::{self, RequestHead};
use crate::wire::known::{Known, KnownSet};

/// Fields of a TRACE that its answer does not repeat: scripts could read there what a browser keeps from them (RFC 9110,
/// section 9.3.8).
const SECRETS: KnownSet = KnownSet::of(&[Known::Authorization, Known::Cookie, Known::ProxyAuthorization]);

/// Whether a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// To a site system.
    GoesOn,
    /// It is answered here.
    EndsHere,
}

/// Counts this proxy.
///
/// # Errors
/// [`Error::BadRequest`] when it is no number.
pub fn count(head: &mut RequestHead) -> Result<Hops, Error> {
    if ![Method::TRACE, Method::OPTIONS].contains(&head.method) {
        return Ok(Hops::GoesOn);
    }
    let Some(value) = head.fields.get(Known::MaxForwards) else { return Ok(Hops::GoesOn) };
    match left(value).ok_or(Error::BadRequest)? {
        0 => Ok(Hops::EndsHere),
        left => {
            head.fields.set(Known::MaxForwards, HeaderValue::from(left - 1));
            Ok(Hops::GoesOn)
        }
    }
}

/// Whether this process has forwarded the request before: it says so in `Via` (RFC 9110, section 7.6.3), or in `CDN-Loop`
/// (RFC 8586) where `via` is off. Another process of the same name has another instance.
///
/// # Errors
/// [`Error::Loop`] when it has.
pub fn end_loop(fields: &Fields, instance: &str) -> Result<(), Error> {
    let ours = |line: &[u8]| line.windows(instance.len()).any(|part| part == instance.as_bytes());
    let seen = fields.all(Known::Via).chain(fields.all(Known::CdnLoop)).any(ours);
    if seen { Err(Error::Loop) } else { Ok(()) }
}

/// More than fits is as far as anything goes.
fn left(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok();
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// The answer to a request that ends here: what came, or what may come.
pub fn answer(asked: &RequestHead, role: &Role) -> ClientResponse {
    let mut response = ClientResponse::with_status(StatusCode::OK, ResponseBody::Empty);
    let fields = &mut response.head.fields;
    if asked.method == Method::TRACE {
        fields.append(Known::ContentType, HeaderValue::from_static("message/http"));
        response.body = ResponseBody::Full(Some(as_it_came(asked)));
    } else if let Ok(methods) = HeaderValue::try_from(role.methods.join(", "))
        && !methods.is_empty()
    {
        fields.append(Known::Allow, methods);
    }
    response
}

fn as_it_came(asked: &RequestHead) -> Bytes {
    let version = match asked.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    let mut text = format!("{} {} {version}\r\n", asked.method, asked.uri).into_bytes();
    for field in asked.fields.iter().filter(|field| !field.is_in(SECRETS)) {
        head::put(&mut text, field.name.as_bytes(), field.value);
    }
    text.extend_from_slice(b"\r\n");
    text.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::presets;

    fn request(method: &str, left: &str) -> RequestHead {
        let fields = Fields::of(&[("max-forwards", left), ("x-a", "1")]);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        RequestHead { method, uri: "/a?b".parse().unwrap(), version: Version::HTTP_11, fields }
    }

    #[test]
    fn every_proxy_counts_itself() {
        for (method, before, after) in
            [("TRACE", "5", "4"), ("OPTIONS", "1", "0"), ("GET", "0", "0"), ("OPTIONS", "99999999999", "4294967294")]
        {
            let mut request = request(method, before);
            assert_eq!(count(&mut request), Ok(Hops::GoesOn), "{method} {before}");
            assert_eq!(request.fields.get(Known::MaxForwards), Some(after.as_bytes()), "{method} {before}");
        }
        assert_eq!(count(&mut request("TRACE", "0")), Ok(Hops::EndsHere));
        for wrong in ["", "-1", "1, 2", "x"] {
            assert_eq!(count(&mut request("OPTIONS", wrong)), Err(Error::BadRequest), "{wrong}");
        }
    }

    #[test]
    fn nothing_goes_here_twice() {
        let ours = "0123456789abcdef";
        let seen = |name, value| end_loop(&Fields::of(&[("via", "1.0 edge"), (name, value)]), ours);
        for (name, value) in
            [("via", "1.1 gate-0123456789abcdef, 1.1 iis"), ("cdn-loop", "gate-0123456789abcdef"), ("via", ours)]
        {
            assert_eq!(seen(name, value), Err(Error::Loop), "{name}: {value}");
        }
        for (name, value) in
            [("via", "1.1 gate-0123456789abcdee"), ("via", ""), ("cdn-loop", "gate"), ("x-other", ours)]
        {
            assert_eq!(seen(name, value), Ok(()), "{name}: {value}");
        }
    }

    #[test]
    fn the_last_one_answers() {
        let mut traced = request("TRACE", "0");
        traced.fields.append(Known::Authorization, HeaderValue::from_static("Basic x"));
        let ResponseBody::Full(Some(body)) = answer(&traced, &presets::plain()).body else { panic!("no body") };
        assert_eq!(body, "TRACE /a?b HTTP/1.1\r\nmax-forwards: 0\r\nx-a: 1\r\n\r\n");
        let response = answer(&request("OPTIONS", "0"), &presets::find("SUP").unwrap());
        assert_eq!(response.head.fields.get(Known::Allow), Some(&b"GET, HEAD, POST"[..]));
        assert!(answer(&request("OPTIONS", "0"), &presets::plain()).head.fields.is_empty());
    }
}
