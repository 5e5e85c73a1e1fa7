//! What may come after a body, and who may say it.

use http::header::{self, HeaderMap, HeaderName};

use super::fields::Fields;
use super::hop_by_hop::HOP_BY_HOP;
use super::known::{Known, KnownSet};
use super::list::list_elements;

/// Fields that say where a request comes from. A client may write them only if it is trusted.
pub const CLAIMS: KnownSet = KnownSet::of(CLAIM_NAMES);
/// All of [`CLAIMS`].
pub const CLAIM_NAMES: &[Known] =
    &[Known::Forwarded, Known::XForwardedFor, Known::XForwardedProto, Known::XForwardedHost];

/// The fields that `Trailer` announces.
pub fn named_trailers(fields: &Fields) -> Vec<HeaderName> {
    let names = fields.all(Known::Trailer).flat_map(list_elements);
    names.filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
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
    let known = Known::of(name.as_str());
    !known.is_some_and(|known| HOP_BY_HOP.has(known) || CLAIMS.has(known)) && !FORBIDDEN.contains(name)
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
