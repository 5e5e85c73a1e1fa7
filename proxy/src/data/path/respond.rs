//! Answers of our own to what went wrong. Only this file makes them.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::data::path::forwarding::PROXY_STATUS;
use crate::data::path::response_body::ResponseBody;
use crate::error::{Error, Retry};
use crate::model::role::Role;

/// Marks a response that cannot be given over HTTP/2: the client must ask again over HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct NeedsHttp11;

/// What a BITS client reads to begin a lost upload again: BG_E_SESSION_NOT_FOUND, met on the server (MC-BUP, section
/// 2.2.1.2, where the field is called `BITS-Error`; Windows' own documentation calls it `BITS-Error-Code`).
const UPLOAD_LOST: [(HeaderName, HeaderValue); 4] = [
    (HeaderName::from_static("bits-packet-type"), HeaderValue::from_static("Ack")),
    (HeaderName::from_static("bits-error"), HeaderValue::from_static("0x8020001F")),
    (HeaderName::from_static("bits-error-code"), HeaderValue::from_static("0x8020001F")),
    (HeaderName::from_static("bits-error-context"), HeaderValue::from_static("0x5")),
];

/// The response for an error: `Proxy-Status` (RFC 9209) says why, `Retry-After` in how many seconds to come back, `Allow`
/// what the role takes.
pub fn error(error: Error, proxy_name: &str, role: Option<&Role>, retry_after: u64) -> Response<ResponseBody> {
    let text = format!("{} {}: {}\n", error.status().as_u16(), error.reason(), error.details());
    let mut response = Response::new(ResponseBody::Full(Some(Bytes::from(text))));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let status = format!("{proxy_name}; error={}; details=\"{}\"", error.reason(), error.details());
    if let Ok(status) = HeaderValue::try_from(status) {
        headers.insert(PROXY_STATUS, status);
    }
    // Nothing could be asked, which takes as long to change as when nothing was tried.
    if error.status() == StatusCode::SERVICE_UNAVAILABLE || error.retry() == Retry::Unsent {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    if error == Error::UploadLost {
        headers.extend(UPLOAD_LOST);
    }
    if error == Error::MethodNotAllowed
        && let Some(role) = role
        && let Ok(allow) = HeaderValue::try_from(role.methods.join(", "))
    {
        headers.insert(header::ALLOW, allow);
    }
    if error == Error::NoClientCertificate {
        // The words of IIS, which clients and administrators know (403.7).
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Client certificate required"));
    }
    if error == Error::NeedsHttp11 {
        response.extensions_mut().insert(NeedsHttp11);
    }
    response
}
