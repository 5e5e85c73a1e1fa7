//! Answers of our own. Only this file makes them.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use super::headers::PROXY_STATUS;
use crate::error::Error;
use crate::model::role::Role;

/// Seconds after which a client that got 503 may ask again; a random number of them is added so that the clients of an
/// outage do not come back together.
const RETRY_AFTER: u64 = 30;

/// The response for an error: `Proxy-Status` (RFC 9209) says why, `Retry-After` when to come back, `Allow` what the role
/// takes.
pub fn error(error: Error, proxy_name: &str, role: Option<&Role>, dice: u64) -> Response<ResponseBody> {
    let text = format!("{} {}: {}\n", error.status().as_u16(), error.reason(), error.details());
    let mut response = Response::new(ResponseBody::Full(Some(Bytes::from(text))));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let status = format!("{proxy_name}; error={}; details=\"{}\"", error.reason(), error.details());
    if let Ok(status) = HeaderValue::try_from(status) {
        headers.insert(PROXY_STATUS, status);
    }
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER + dice % RETRY_AFTER));
    }
    if error == Error::MethodNotAllowed
        && let Some(role) = role
        && let Ok(allow) = HeaderValue::try_from(role.methods.join(", "))
    {
        headers.insert(header::ALLOW, allow);
    }
    response
}
