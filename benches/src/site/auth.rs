//! Windows authentication as far as a proxy can see it: legs that belong to one connection.
//!
//! There is no cryptography. A client answers a challenge by repeating its nonce, so that a leg which arrives on
//! another connection than the challenge came from is refused, as IIS would refuse it.

use std::sync::PoisonError;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::reply;
use super::wire::Link;

// `NTLMSSP`, a zero byte and the number of the leg are nine bytes: exactly twelve characters of base64.
pub(crate) const NEGOTIATE_LEG: &str = "TlRMTVNTUAAB";
pub(crate) const CHALLENGE_LEG: &str = "TlRMTVNTUAAC";
pub(crate) const AUTHENTICATE_LEG: &str = "TlRMTVNTUAAD";

/// What a connection knows about its user.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    nonce: Option<u64>,
    authenticated: bool,
}

/// `None` when the request may go on; else the answer of this leg.
pub(crate) fn check(link: &Link, headers: &HeaderMap) -> Option<Response<SiteBody>> {
    let mut auth = link.auth.lock().unwrap_or_else(PoisonError::into_inner);
    let offer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = offer.and_then(|value| value.split_once(' ')) else {
        return if auth.authenticated { None } else { Some(refuse(None)) };
    };
    if let Some(answer) = token.strip_prefix(AUTHENTICATE_LEG) {
        auth.authenticated = auth.nonce.take().is_some_and(|nonce| answer == format!("{nonce:016x}"));
        return if auth.authenticated { None } else { Some(refuse(None)) };
    }
    if token.starts_with(NEGOTIATE_LEG) {
        let nonce = fastrand::u64(..);
        *auth = Auth { nonce: Some(nonce), authenticated: false };
        return Some(refuse(Some(format!("{scheme} {CHALLENGE_LEG}{nonce:016x}"))));
    }
    // A Kerberos ticket proves its user in one leg and, by IIS's default, for one request.
    if scheme.eq_ignore_ascii_case("negotiate") && !token.is_empty() { None } else { Some(refuse(None)) }
}

fn refuse(challenge: Option<String>) -> Response<SiteBody> {
    let mut response = reply::html(StatusCode::UNAUTHORIZED, "401 - Unauthorized: Access is denied.");
    let headers = response.headers_mut();
    if let Some(challenge) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.append(WWW_AUTHENTICATE, challenge);
    } else {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("NTLM"));
    }
    response
}
