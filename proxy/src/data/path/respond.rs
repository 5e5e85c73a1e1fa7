//! Answers of our own to what went wrong. Only this file makes them.

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;

use crate::data::path::message::{Carried, ClientResponse};
use crate::data::path::response_body::ResponseBody;
use crate::error::{Error, Retry};
use crate::model::role::Role;
use crate::wire::known::Known;

/// What a BITS client reads to begin a lost upload again: BG_E_SESSION_NOT_FOUND, met on the server (MC-BUP, section
/// 2.2.1.2, where the field is called `BITS-Error`; Windows' own documentation calls it `BITS-Error-Code`).
const UPLOAD_LOST: [(Known, HeaderValue); 4] = [
    (Known::BitsPacketType, HeaderValue::from_static("Ack")),
    (Known::BitsError, HeaderValue::from_static("0x8020001F")),
    (Known::BitsErrorCode, HeaderValue::from_static("0x8020001F")),
    (Known::BitsErrorContext, HeaderValue::from_static("0x5")),
];

/// The response for an error: `Proxy-Status` (RFC 9209) says why, `Retry-After` in how many seconds to come back, `Allow`
/// what the role takes.
pub fn error(error: Error, proxy_name: &str, role: Option<&Role>, retry_after: u64) -> ClientResponse {
    let text = format!("{} {}: {}\n", error.status().as_u16(), error.reason(), error.details());
    let mut response = ClientResponse::with_status(error.status(), ResponseBody::Full(Some(Bytes::from(text))));
    let fields = &mut response.head.fields;
    fields.append(Known::ContentType, HeaderValue::from_static("text/plain; charset=utf-8"));
    let status = format!("{proxy_name}; error={}; details=\"{}\"", error.reason(), error.details());
    if let Ok(status) = HeaderValue::try_from(status) {
        fields.append(Known::ProxyStatus, status);
    }
    // Nothing could be asked, which takes as long to change as when nothing was tried.
    if error.status() == StatusCode::SERVICE_UNAVAILABLE || error.retry() == Retry::Unsent {
        fields.append(Known::RetryAfter, HeaderValue::from(retry_after));
    }
    if error == Error::UploadLost {
        UPLOAD_LOST.into_iter().for_each(|(name, value)| fields.append(name, value));
    }
    if error == Error::MethodNotAllowed
        && let Some(role) = role
        && let Ok(allow) = HeaderValue::try_from(role.methods.join(", "))
    {
        fields.append(Known::Allow, allow);
    }
    if error == Error::NoClientCertificate {
        // The words of IIS, which clients and administrators know (403.7).
        response.head.reason = Some(Bytes::from_static(b"Client certificate required"));
    }
    if error == Error::NeedsHttp11 {
        response.carried = Carried::OverHttp11;
    }
    response
}
