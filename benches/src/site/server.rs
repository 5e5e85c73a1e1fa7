//! The life of a request inside a site system.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, SERVER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::apps::{self, App};
use super::body::SiteBody;
use super::counters::{Kind, Seen, copy_headers};
use super::distribution_point::content_id;
use super::link::Link;
use super::request::{Asked, Received, receive};
use super::shared::Shared;
use super::{auth, reply};

const SITE_SYSTEM: HeaderName = HeaderName::from_static("x-site-system");
const AUTHENTICATED_USER: HeaderName = HeaderName::from_static("x-authenticated-user");

/// Answers a request, after what its faults and its client's proofs say.
pub(crate) async fn handle(shared: &Arc<Shared>, link: &Arc<Link>, request: Request<Incoming>) -> Response<SiteBody> {
    let (head, body) = request.into_parts();
    let drawn = shared.faults.draw();
    if drawn.early_response && !body.is_end_stream() {
        link.linger();
        let received = Received::default();
        return finish(shared, link, &head, &received, Kind::Fault, reply::too_large(), true);
    }
    let (app, rest) = apps::find(&shared.spec.roles, head.uri.path());
    let received = receive(body, app.is_some_and(App::reads_bodies)).await;
    if let Some(delay) = shared.faults.delay() {
        tokio::time::sleep(delay).await;
    }
    if drawn.stall_head {
        shared.faults.while_head_stalls().await;
    }
    if drawn.garbage {
        link.spoil();
    }
    let forced = drawn.status.and_then(|status| StatusCode::from_u16(status).ok());
    let (kind, mut response) = match (forced, app) {
        (Some(status), _) => (Kind::Fault, reply::html(status, "A fault of this site system.")),
        (None, _) if received.too_large => (Kind::Fault, reply::too_large()),
        // Half a message is no message; its sender is gone and will not read this.
        (None, _) if !received.complete => (Kind::Fault, reply::html(StatusCode::BAD_REQUEST, "400 - Bad request.")),
        (None, None) => (Kind::Unknown, reply::not_found()),
        (None, Some(app)) => answer(app, &Asked { shared, link, head: &head, body: &received, rest }),
    };
    if let Some((at, fault)) = drawn.body {
        response.body_mut().break_after(at, fault, link, shared);
    }
    let close = shared.faults.closes_each();
    finish(shared, link, &head, &received, kind, response, close)
}

fn answer(app: App, asked: &Asked<'_>) -> (Kind, Response<SiteBody>) {
    let (link, head) = (asked.link, asked.head);
    if let Some(refusal) = auth::check_certificate(link, head.uri.path()) {
        return (Kind::Unauthorized, refusal);
    }
    let check = || auth::check_user(&asked.shared.spec, link, &head.headers);
    match apps::authenticate(app, asked).then(check).flatten() {
        Some(refusal) => (Kind::Unauthorized, refusal),
        None => apps::answer(app, asked),
    }
}

fn finish(
    shared: &Shared,
    link: &Link,
    head: &Parts,
    received: &Received,
    kind: Kind,
    mut response: Response<SiteBody>,
    close: bool,
) -> Response<SiteBody> {
    let status = response.status();
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(SITE_SYSTEM, shared.name.clone());
    headers.insert(SERVER, HeaderValue::from_static("Microsoft-IIS/10.0"));
    // An answer to HEAD gives the length of a body that is not sent, so that it cannot be left to the body.
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if !bodiless && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let user = link.user();
    if let Some(user) = user.as_ref().and_then(|user| HeaderValue::from_str(user).ok()) {
        headers.insert(AUTHENTICATED_USER, user);
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    shared.counters.count(kind, status);
    if shared.spec.recording {
        let seen = Seen {
            method: head.method.as_str().to_owned(),
            target: head.uri.to_string(),
            headers: copy_headers(&head.headers),
            client: link.peer,
            connection: link.id,
            status: status.as_u16(),
            body_bytes: received.bytes,
            body_sha256: received.sha256,
            complete: received.complete,
            version: head.version,
            tls: link.secured.get().map(|secured| secured.seen.clone()),
            user,
        };
        shared.counters.record(seen, content_id(head.uri.path()));
    }
    response
}
