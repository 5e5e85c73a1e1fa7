//! What may come after a body, and who may say it.

use http::header::{self, HeaderMap, HeaderName};

use super::hop_by_hop::is_hop_by_hop;
use super::list::list_elements;

/// `X-Forwarded-For`
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// See [`CLAIMS`].
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// See [`CLAIMS`].
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Fields that say where a request comes from. A client may write them only if it is trusted.
pub const CLAIMS: [HeaderName; 4] = [header::FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];

/// What a client may say about where its request comes from only if it is trusted.
pub fn is_claim(name: &HeaderName) -> bool {
    CLAIMS.contains(name)
}

/// The fields that `Trailer` announces.
pub fn named_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::TRAILER).into_iter();
    lines.flat_map(|line| list_elements(line.as_bytes())).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

/// Whether a field may come after a body (RFC 9110, section 6.5.1): none that frames, routes, authorizes, changes how the
/// message is dealt with or says where a request comes from.
pub fn may_be_trailer(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 21] = [
        header::AGE,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::DATE,
        header::HOST,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::RANGE,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::TRAILER,
        header::VARY,
        header::VIA,
        header::WWW_AUTHENTICATE,
    ];
    !is_hop_by_hop(name) && !is_claim(name) && !FORBIDDEN.contains(name)
}

/// Takes out of the trailers of a response what may not come after a body.
pub fn strip_response_trailers(trailers: &mut HeaderMap) {
    remove_all(trailers, |name| !may_be_trailer(name));
}

/// Takes fields out.
pub fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| unwanted(name)).cloned() {
        headers.remove(name);
    }
}
