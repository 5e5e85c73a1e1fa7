//! The life of a request inside a site system.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, SERVER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, broadcast};

use super::apps::{self, App};
use super::body::SiteBody;
use super::counters::{Counters, Kind, Seen, copy_headers};
use super::distribution_point::{Stamp, content_id};
use super::faults::Faults;
use super::policies::Policies;
use super::spec::Spec;
use super::tls::Terminator;
use super::upload::Sessions;
use super::wire::{Life, Link};
use super::{auth, reply};
use crate::content::Hash;

/// What IIS takes in one request unless told otherwise.
pub(crate) const MAX_BODY: usize = 30_000_000;

const SITE_SYSTEM: HeaderName = HeaderName::from_static("x-site-system");
const AUTHENTICATED_USER: HeaderName = HeaderName::from_static("x-authenticated-user");

/// The TLS of both listeners.
#[derive(Debug)]
pub(crate) struct Terminators {
    pub(crate) http: Option<Terminator>,
    pub(crate) notification: Option<Terminator>,
}

impl Terminators {
    pub(crate) fn new(spec: &Spec) -> Result<Self, String> {
        let http = spec.tls.as_ref().map(Terminator::new).transpose()?;
        let notification = spec.notification_tls.as_ref().map(Terminator::new).transpose()?;
        Ok(Self { http, notification })
    }
}

/// What all connections of a site system share.
pub(crate) struct Shared {
    pub(crate) spec: Spec,
    pub(crate) secured: Terminators,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) life: ArcSwap<Life>,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) user_states: Mutex<HashSet<String>>,
    pub(crate) policies: Policies,
    pub(crate) stamp: Stamp,
    pub(crate) pushes: broadcast::Sender<Bytes>,
    name: HeaderValue,
    pub(crate) permits: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(spec: Spec, secured: Terminators, faults: Faults, name: HeaderValue) -> Self {
        Self {
            secured,
            faults,
            counters: Counters::default(),
            life: ArcSwap::from_pointee(Life::new()),
            sessions: Mutex::default(),
            user_states: Mutex::default(),
            policies: Policies::new(&spec.site_code, spec.policies, spec.policy_sizes),
            stamp: Stamp::new(&spec),
            pushes: broadcast::channel(16).0,
            name,
            permits: Arc::new(Semaphore::new(spec.max_connections)),
            spec,
        }
    }

    /// Waits until every connection is gone.
    pub(crate) async fn gone(&self) {
        let all = u32::try_from(self.spec.max_connections).unwrap_or(u32::MAX);
        // Nobody closes the semaphore, so that all permits come back in the end.
        let _ = self.permits.acquire_many(all).await;
    }
}

/// The body of a request, read to its end or to where it broke.
pub(crate) struct Received {
    pub(crate) data: Bytes,
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<Hash>,
    pub(crate) complete: bool,
    pub(crate) too_large: bool,
}

async fn receive(mut body: Incoming, keep: bool) -> Received {
    let mut received = Received { data: Bytes::new(), bytes: 0, sha256: None, complete: true, too_large: false };
    if body.is_end_stream() {
        return received;
    }
    let mut hasher = Sha256::new();
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            received.complete = false;
            return received;
        };
        let Ok(data) = frame.into_data() else { continue };
        received.bytes += data.len() as u64;
        hasher.update(&data);
        received.too_large |= keep && kept.len() + data.len() > MAX_BODY;
        if keep && !received.too_large {
            kept.extend_from_slice(&data);
        }
    }
    received.sha256 = Some(hasher.finalize().into());
    received.data = kept.freeze();
    received
}

/// One request, from its head to the head of its answer.
pub(crate) struct Asked<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) link: &'a Link,
    pub(crate) head: &'a Parts,
    pub(crate) body: &'a Received,
    /// The path below the application's own, with its leading slash.
    pub(crate) rest: &'a str,
}

impl Asked<'_> {
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.head.method.as_str()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn client(&self) -> SocketAddr {
        self.link.peer
    }
}

pub(crate) async fn handle(shared: &Arc<Shared>, link: &Arc<Link>, request: Request<Incoming>) -> Response<SiteBody> {
    let (head, body) = request.into_parts();
    let drawn = shared.faults.draw();
    if drawn.early_response && !body.is_end_stream() {
        link.linger();
        let received = Received { data: Bytes::new(), bytes: 0, sha256: None, complete: false, too_large: false };
        let response = reply::html(StatusCode::PAYLOAD_TOO_LARGE, "413 - Request entity too large.");
        return finish(shared, link, &head, &received, Kind::Fault, response, true);
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
        (None, _) if received.too_large => {
            (Kind::Fault, reply::html(StatusCode::PAYLOAD_TOO_LARGE, "413 - Request entity too large."))
        }
        // Half a message is no message; nobody is left to read this.
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
    if let Some(refusal) = link.secured.get().and_then(|secured| secured.refuse(head.uri.path())) {
        return (Kind::Unauthorized, refusal);
    }
    let check = || auth::check(&asked.shared.spec, link, &head.headers);
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
