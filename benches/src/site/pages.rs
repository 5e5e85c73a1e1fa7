//! The roles that a request or two is enough for.

use std::sync::PoisonError;

use http::{Response, StatusCode};

use super::body::SiteBody;
use super::reply;
use super::request::Asked;
use crate::message::escape;

const MAX_STATES: usize = 4096;

pub(crate) fn fallback_status(asked: &Asked<'_>) -> Response<SiteBody> {
    if !asked.rest.eq_ignore_ascii_case("/.sms_fsp") {
        return reply::not_found();
    }
    match asked.method() {
        "POST" => reply::empty(StatusCode::OK),
        _ => reply::method_not_allowed("POST"),
    }
}

/// A user state is on the server that took it and on no other: what was posted to a path can be asked for at that path.
pub(crate) fn state_migration(asked: &Asked<'_>) -> Response<SiteBody> {
    let name = asked.head.uri.to_string().to_ascii_lowercase();
    let mut states = asked.shared.user_states.lock().unwrap_or_else(PoisonError::into_inner);
    match asked.method() {
        "POST" if states.contains(&name) || states.len() < MAX_STATES => {
            states.insert(name);
            reply::xml("<UserState Stored=\"true\"/>")
        }
        "POST" => reply::html(StatusCode::INSUFFICIENT_STORAGE, "507 - Insufficient storage."),
        "GET" | "HEAD" if states.contains(&name) => reply::xml("<UserState Stored=\"true\"/>"),
        "GET" | "HEAD" => reply::not_found(),
        _ => reply::method_not_allowed("GET, HEAD, POST"),
    }
}

pub(crate) fn page(asked: &Asked<'_>) -> Response<SiteBody> {
    let path = asked.head.uri.path();
    let is = |prefix: &str| path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is("/AdminService") {
        return match asked.method() {
            "GET" | "HEAD" => reply::with(StatusCode::OK, "application/json", "{\"value\":[]}"),
            "POST" => reply::with(StatusCode::CREATED, "application/json", "{}"),
            "PATCH" | "DELETE" => reply::empty(StatusCode::NO_CONTENT),
            _ => reply::method_not_allowed("GET, POST, PATCH, DELETE"),
        };
    }
    match asked.method() {
        "GET" | "HEAD" | "POST" => reply::html(StatusCode::OK, &escape(path)),
        _ => reply::method_not_allowed("GET, HEAD, POST"),
    }
}
