//! `Max-Forwards`: how far a TRACE or OPTIONS may go (RFC 9110, section 7.6.2).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Version};

use crate::data::path::response_body::ResponseBody;
use crate::error::Error;
use crate::model::role::Role;

/// Fields of a TRACE that its answer does not repeat: scripts could read there what a browser keeps from them (RFC 9110,
/// section 9.3.8).
const SECRETS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

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
pub fn count<B>(request: &mut Request<B>) -> Result<Hops, Error> {
    if ![Method::TRACE, Method::OPTIONS].contains(request.method()) {
        return Ok(Hops::GoesOn);
    }
    let Some(value) = request.headers().get(header::MAX_FORWARDS) else { return Ok(Hops::GoesOn) };
    match left(value).ok_or(Error::BadRequest)? {
        0 => Ok(Hops::EndsHere),
        left => {
            request.headers_mut().insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(Hops::GoesOn)
        }
    }
}

/// More than fits is as far as anything goes.
fn left(value: &HeaderValue) -> Option<u32> {
    let digits =
        value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// The answer to a request that ends here: what came, or what may come.
pub fn answer<B>(request: &Request<B>, role: &Role) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Empty);
    let headers = response.headers_mut();
    if *request.method() == Method::TRACE {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("message/http"));
        *response.body_mut() = ResponseBody::Full(Some(as_it_came(request)));
    } else if let Ok(methods) = HeaderValue::try_from(role.methods.join(", "))
        && !methods.is_empty()
    {
        headers.insert(header::ALLOW, methods);
    }
    response
}

fn as_it_came<B>(request: &Request<B>) -> Bytes {
    let version = match request.version() {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    let mut text = format!("{} {} {version}\r\n", request.method(), request.uri()).into_bytes();
    let told = |headers: &HeaderMap, out: &mut Vec<u8>| {
        for (name, value) in headers.iter().filter(|(name, _)| !SECRETS.contains(name)) {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(piece);
            }
        }
    };
    told(request.headers(), &mut text);
    text.extend_from_slice(b"\r\n");
    text.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::presets;

    fn request(method: &str, left: &str) -> Request<()> {
        Request::builder().method(method).uri("/a?b").header("max-forwards", left).header("x-a", "1").body(()).unwrap()
    }

    #[test]
    fn every_proxy_counts_itself() {
        for (method, before, after) in
            [("TRACE", "5", "4"), ("OPTIONS", "1", "0"), ("GET", "0", "0"), ("OPTIONS", "99999999999", "4294967294")]
        {
            let mut request = request(method, before);
            assert_eq!(count(&mut request), Ok(Hops::GoesOn), "{method} {before}");
            assert_eq!(request.headers()["max-forwards"], after, "{method} {before}");
        }
        assert_eq!(count(&mut request("TRACE", "0")), Ok(Hops::EndsHere));
        for wrong in ["", "-1", "1, 2", "x"] {
            assert_eq!(count(&mut request("OPTIONS", wrong)), Err(Error::BadRequest), "{wrong}");
        }
    }

    #[test]
    fn the_last_one_answers() {
        let mut traced = request("TRACE", "0");
        traced.headers_mut().insert("authorization", HeaderValue::from_static("Basic x"));
        let ResponseBody::Full(Some(body)) = answer(&traced, &presets::plain()).into_body() else { panic!("no body") };
        assert_eq!(body, "TRACE /a?b HTTP/1.1\r\nmax-forwards: 0\r\nx-a: 1\r\n\r\n");
        let response = answer(&request("OPTIONS", "0"), &presets::find("SUP").unwrap());
        assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
        assert!(answer(&request("OPTIONS", "0"), &presets::plain()).headers().is_empty());
    }
}
