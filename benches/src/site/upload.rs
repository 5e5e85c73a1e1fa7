//! BITS uploads to `/CCM_Incoming`. A session lives in one server only.

use std::sync::PoisonError;

use http::header::HeaderName;
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::reply;
use super::request::Asked;
use super::sessions::{Added, Session, Sessions};

/// The only upload protocol that there is.
pub(crate) const PROTOCOL: &str = "{7df0354d-249b-430f-820d-3d2a9bef4931}";

/// The client begins such an upload again.
pub(crate) const SESSION_NOT_FOUND: &str = "0x8020001f";

const MAX_UPLOAD: u64 = 4 * 1024 * 1024 * 1024;

const PACKET_TYPE: HeaderName = HeaderName::from_static("bits-packet-type");
const SESSION_ID: HeaderName = HeaderName::from_static("bits-session-id");
const RECEIVED: HeaderName = HeaderName::from_static("bits-received-content-range");
const HOST_ID: HeaderName = HeaderName::from_static("bits-host-id");
const BITS_PROTOCOL: HeaderName = HeaderName::from_static("bits-protocol");
// The protocol's own name, and the one that the documentation of BITS has.
const ERROR_CODES: [HeaderName; 2] =
    [HeaderName::from_static("bits-error-code"), HeaderName::from_static("bits-error")];
const ERROR_CONTEXT: HeaderName = HeaderName::from_static("bits-error-context");

fn acknowledge(status: StatusCode, session: Option<&str>) -> Response<SiteBody> {
    let mut response = reply::empty(status);
    response.headers_mut().insert(PACKET_TYPE, HeaderValue::from_static("Ack"));
    if let Some(session) = session.and_then(|id| HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert(SESSION_ID, session);
    }
    response
}

fn fail(status: StatusCode, code: &'static str) -> Response<SiteBody> {
    let mut response = acknowledge(status, None);
    for name in ERROR_CODES {
        response.headers_mut().insert(name, HeaderValue::from_static(code));
    }
    // 5: the error arose on the server, in its file store.
    response.headers_mut().insert(ERROR_CONTEXT, HeaderValue::from_static("0x5"));
    response
}

fn unknown_session() -> Response<SiteBody> {
    fail(StatusCode::INTERNAL_SERVER_ERROR, SESSION_NOT_FOUND)
}

pub(crate) fn answer(asked: &Asked<'_>) -> Response<SiteBody> {
    if asked.method() != "BITS_POST" {
        return reply::method_not_allowed("BITS_POST");
    }
    let packet = asked.header("bits-packet-type").unwrap_or_default().to_ascii_lowercase();
    let session = asked.header("bits-session-id").unwrap_or_default();
    let mut sessions = asked.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    match packet.as_str() {
        "ping" => acknowledge(StatusCode::OK, None),
        "create-session" => create(asked, &mut sessions),
        "fragment" => match sessions.find(session) {
            Some(open) => fragment(asked, session, open),
            None => unknown_session(),
        },
        "close-session" => close(asked, session, &mut sessions),
        "cancel-session" => match sessions.remove(session) {
            Some(_) => acknowledge(StatusCode::OK, Some(session)),
            None => unknown_session(),
        },
        _ => fail(StatusCode::BAD_REQUEST, "0x80070057"),
    }
}

fn create(asked: &Asked<'_>, sessions: &mut Sessions) -> Response<SiteBody> {
    let offered = asked.header("bits-supported-protocols").unwrap_or_default();
    if !offered.to_ascii_lowercase().contains(PROTOCOL) {
        return fail(StatusCode::BAD_REQUEST, "0x80070057");
    }
    let Some(id) = sessions.open(asked.head.uri.to_string()) else {
        return fail(StatusCode::SERVICE_UNAVAILABLE, "0x80200014");
    };
    let mut response = acknowledge(StatusCode::OK, Some(&id));
    response.headers_mut().insert(BITS_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    let host = asked.shared.spec.bits_host_id.as_deref();
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
        response.headers_mut().insert(HOST_ID, host);
    }
    response
}

/// Parses `bytes 0-99/1000`.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (first <= last && last < total && total <= MAX_UPLOAD).then_some((first, last, total))
}

fn fragment(asked: &Asked<'_>, id: &str, session: &mut Session) -> Response<SiteBody> {
    let Some((first, last, total)) = asked.header("content-range").and_then(content_range) else {
        return fail(StatusCode::BAD_REQUEST, "0x80070057");
    };
    if !session.can_have(total) || asked.body.bytes != last - first + 1 {
        return fail(StatusCode::BAD_REQUEST, "0x80070057");
    }
    let status = match session.add(first, total, &asked.body.data) {
        Added::All => StatusCode::OK,
        Added::Gap => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    let mut response = acknowledge(status, Some(id));
    response.headers_mut().insert(RECEIVED, HeaderValue::from(session.received()));
    response
}

fn close(asked: &Asked<'_>, id: &str, sessions: &mut Sessions) -> Response<SiteBody> {
    if sessions.find(id).is_some_and(|session| session.lacks_bytes()) {
        return fail(StatusCode::CONFLICT, "0x80070057");
    }
    let Some(session) = sessions.remove(id) else {
        return unknown_session();
    };
    asked.shared.counters.uploaded(session.uploaded(id));
    acknowledge(StatusCode::OK, Some(id))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 0-99/1000"), Some((0, 99, 1000)));
        for wrong in ["", "bytes", "bytes 5-4/10", "bytes 0-10/10", "0-1/2", "bytes 0-1/99999999999999", "bytes a-b/c"]
        {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
