//! A listener that sends its clients to HTTPS.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::data::path::message::ClientResponse;
use crate::data::path::response_body::ResponseBody;
use crate::error::Error;
use crate::model::route::host_without_port;
use crate::wire::head::RequestHead;
use crate::wire::known::Known;

/// The port that `https` means.
const USUAL: u16 = 443;

/// Where the same is over HTTPS, at the host that the client has asked for.
///
/// # Errors
/// [`Error::InvalidHost`] when it has asked for none.
pub fn answer(head: &RequestHead, port: u16) -> Result<ClientResponse, Error> {
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let field = || head.fields.get(Known::Host).and_then(|host| std::str::from_utf8(host).ok());
    let host = host_without_port(authority.or_else(field).unwrap_or_default());
    if host.is_empty() {
        return Err(Error::InvalidHost);
    }
    // `*` is the server as a whole.
    let target = head.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let target = target.filter(|target| target.starts_with('/')).unwrap_or("/");
    let port = if port == USUAL { String::new() } else { format!(":{port}") };
    let location = format!("https://{host}{port}{target}");
    // Old browsers know only 301, which makes GET of every other method; what has a body must be sent as it was.
    let status = match head.method {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let text = format!("this is served over HTTPS: {location}\n");
    let location = HeaderValue::try_from(location).map_err(|_| Error::InvalidTarget)?;
    let mut response = ClientResponse::with_status(status, ResponseBody::Full(Some(Bytes::from(text))));
    response.head.fields.append(Known::ContentType, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.head.fields.append(header::LOCATION, location);
    Ok(response)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::Version;

    use super::*;
    use crate::wire::fields::Fields;

    fn location(method: &str, target: &str, host: &str, port: u16) -> Result<(u16, String), Error> {
        let fields = Fields::of(&[("host", host)]);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let head = RequestHead { method, uri: target.parse().unwrap(), version: Version::HTTP_11, fields };
        let response = answer(&head, port)?;
        let field = response.head.fields.iter().find(|field| field.name.as_bytes() == b"location").unwrap();
        Ok((response.head.status.as_u16(), String::from_utf8(field.value.to_vec()).unwrap()))
    }

    #[test]
    fn the_same_over_https() {
        for (method, target, host, port, status, expected) in [
            ("GET", "/a/b?c=%2F", "mp.contoso.com", 443, 301, "https://mp.contoso.com/a/b?c=%2F"),
            ("HEAD", "/", "mp.contoso.com:8080", 8443, 301, "https://mp.contoso.com:8443/"),
            ("CCM_POST", "/x", "[::1]:80", 443, 308, "https://[::1]/x"),
            ("GET", "http://other.contoso.com:81/y", "mp.contoso.com", 443, 301, "https://other.contoso.com/y"),
            ("OPTIONS", "*", "mp", 443, 308, "https://mp/"),
        ] {
            assert_eq!(location(method, target, host, port), Ok((status, expected.to_owned())), "{target}");
        }
        assert_eq!(location("GET", "/", "", 443), Err(Error::InvalidHost));
        assert_eq!(location("GET", "/", ":80", 443), Err(Error::InvalidHost));
    }
}
