//! Windows authentication as IIS has it: NTLM proves a user for one connection, a Kerberos ticket for one request.
//!
//! An answer that arrives on another connection than its challenge came from is refused, and a connection keeps its
//! user until it begins anew. That is what a proxy must not mix up.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::ntlm::Pending;
use super::reply;
use super::spec::Spec;
use super::wire::Link;
use crate::ntlm::kind;

/// What a connection knows about its user.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    pending: Option<Pending>,
    user: Option<String>,
}

impl Link {
    /// Who this connection belongs to.
    pub(crate) fn user(&self) -> Option<String> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner).user.clone()
    }
}

/// `None` when the request may go on; else the answer of this leg.
pub(crate) fn check(spec: &Spec, link: &Link, headers: &HeaderMap) -> Option<Response<SiteBody>> {
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
