//! What a client must prove before it is answered, as IIS has it: a certificate, and its user.
//!
//! NTLM proves a user for one connection, a Kerberos ticket for one request. An answer that arrives on another
//! connection than its challenge came from is refused, and a connection keeps its user until it begins anew. That is
//! what a proxy must not mix up.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::body::SiteBody;
use super::link::{Auth, Link};
use super::ntlm::Pending;
use super::reply;
use super::spec::Spec;
use super::tls::Refusal;
use crate::ntlm::kind;

/// The answer to a client that had to show a certificate for this path and did not; `None` when the request may go on.
pub(crate) fn check_certificate(link: &Link, path: &str) -> Option<Response<SiteBody>> {
    let refusal = link.secured.get()?.refusal.filter(|_| !is_for_clients_without(path))?;
    let (text, reason): (_, &'static [u8]) = match refusal {
        Refusal::Missing => ("403.7 - Client certificate required.", b"Client certificate required"),
        Refusal::Revoked => ("403.13 - Client certificate revoked.", b"Client certificate revoked"),
        Refusal::Untrusted => ("403.16 - Client certificate is untrusted.", b"Client certificate untrusted"),
        Refusal::OutOfTime => ("403.17 - Client certificate has expired.", b"Client certificate expired"),
    };
    let mut response = reply::html(StatusCode::FORBIDDEN, text);
    response.extensions_mut().insert(ReasonPhrase::from_static(reason));
    Some(response)
}

fn is_for_clients_without(path: &str) -> bool {
    let segment = path.split('/').nth(1).unwrap_or_default().to_ascii_lowercase();
    matches!(segment.as_str(), "sms_mp_altauth" | "ccm_system_altauth") || segment.starts_with("nocert_sms_dp_")
}

/// The answer of this leg of a logon; `None` when the request may go on.
pub(crate) fn check_user(spec: &Spec, link: &Link, headers: &HeaderMap) -> Option<Response<SiteBody>> {
    let mut auth = link.auth.lock().unwrap_or_else(PoisonError::into_inner);
    let offer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = offer.and_then(|value| value.split_once(' ')) else {
        return if auth.user.is_some() { None } else { Some(refuse(None)) };
    };
    let message = BASE64_STANDARD.decode(token.trim()).unwrap_or_default();
    match kind(&message) {
        Some(1) => {
            *auth = Auth { pending: Pending::new(&message, &spec.name), user: None };
            let challenge = auth.pending.as_ref().map(|pending| BASE64_STANDARD.encode(pending.challenge()));
            Some(refuse(challenge.map(|challenge| format!("{scheme} {challenge}"))))
        }
        Some(_) => {
            auth.user = auth.pending.take().and_then(|pending| pending.verify(&message, &spec.users));
            if auth.user.is_some() { None } else { Some(refuse(None)) }
        }
        // A Kerberos ticket proves its user in one leg and, by IIS's default, for one request.
        None if scheme.eq_ignore_ascii_case("negotiate") && !token.is_empty() => None,
        None => Some(refuse(None)),
    }
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
