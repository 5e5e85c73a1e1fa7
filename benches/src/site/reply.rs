//! The few forms that answers have.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;

pub(crate) fn with(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<SiteBody> {
    let mut response = Response::new(SiteBody::memory(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<SiteBody> {
    let mut response = Response::new(SiteBody::memory(Bytes::new()));
    *response.status_mut() = status;
    response
}

pub(crate) fn xml(body: impl Into<Bytes>) -> Response<SiteBody> {
    with(StatusCode::OK, "text/xml", body)
}

pub(crate) fn html(status: StatusCode, text: &str) -> Response<SiteBody> {
    with(status, "text/html", format!("<html><head><title>{text}</title></head><body><h2>{text}</h2></body></html>"))
}

pub(crate) fn not_found() -> Response<SiteBody> {
    html(StatusCode::NOT_FOUND, "404 - File or directory not found.")
}

pub(crate) fn too_large() -> Response<SiteBody> {
    html(StatusCode::PAYLOAD_TOO_LARGE, "413 - Request entity too large.")
}

pub(crate) fn server_error() -> Response<SiteBody> {
    html(StatusCode::INTERNAL_SERVER_ERROR, "500 - Internal server error.")
}

pub(crate) fn method_not_allowed(allow: &'static str) -> Response<SiteBody> {
    let mut response = html(StatusCode::METHOD_NOT_ALLOWED, "405 - HTTP verb used to access this page is not allowed.");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}
