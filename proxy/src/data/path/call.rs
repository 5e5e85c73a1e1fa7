//! A request as it is sent to endpoints: prepared once, sent one or more times.

use std::rc::Rc;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::data::path::message::ClientRequest;
use crate::data::path::session::Session;
use crate::data::path::uploading::Uploading;
use crate::data::upstream::http1::Reading;
use crate::data::upstream::http1::sending::{Begins, WrittenHead};
use crate::data::upstream::pin;
use crate::data::upstream::request_body::RequestBody;
use crate::error::{Error, Retry};
use crate::model::role::{Role, Tells};
use crate::wire::fields::Fields;
use crate::wire::head::{RequestHead, Writing};
use crate::wire::hop_by_hop::strip_hop_by_hop;
use crate::wire::known::{Known, KnownSet};
use crate::wire::list::list_elements;
use crate::wire::trailers::named_trailers;

/// Over HTTP/2 the host is part of the target, and framing is the connection's own.
const NOT_OVER_HTTP2: KnownSet = KnownSet::of(&[Known::Host, Known::Connection, Known::TransferEncoding]);

/// Largest body that is kept for another attempt, in bytes.
const KEPT: u64 = 16 << 10;

/// A prepared request.
#[derive(Debug)]
pub struct Call {
    head: RequestHead,
    /// `None` when it was handed on.
    body: Option<RequestBody>,
    repeatable: bool,
    authorizes: bool,
    /// When its body may be sent.
    begins: Begins,
    /// The protocols of an upgrade that it asks for.
    upgrade: Option<HeaderValue>,
    /// A server has refused it over HTTP/2.
    needs_http1: bool,
    /// What the server is told that it is sent to.
    tells: Tells,
}

impl Call {
    /// Strips and writes what a proxy must, and bounds the body. The target stays as it is, byte for byte.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a target that cannot be written, [`Error::BodyTooLarge`] when the length is known to be.
    pub fn prepare(session: &Rc<Session>, role: &Arc<Role>, request: ClientRequest) -> Result<Self, Error> {
        let ClientRequest { mut head, body } = request;
        let hop = strip_hop_by_hop(&mut head.fields);
        into_origin_form(&mut head)?;
        // RFC 9110, section 7.8: an upgrade in an HTTP/1.0 request is ignored.
        let upgrade = hop.upgrade.filter(|_| head.version >= Version::HTTP_11).and_then(|asked| allowed(&asked, role));
        if let Some(protocol) = &upgrade {
            head.fields.append(Known::Upgrade, protocol.clone());
            head.fields.append(Known::Connection, HeaderValue::from_static("upgrade"));
        } else if hop.trailers {
            head.fields.append(Known::Te, HeaderValue::from_static("trailers"));
            head.fields.append(Known::Connection, HeaderValue::from_static("te"));
        }
        session.strip(&mut head.fields, role);
        if session.is_http2() {
            join_cookies(&mut head.fields);
        }
        head.version = Version::HTTP_11;

        session.upload.idle.set(role.timeouts.request_body_idle);
        session.upload.response_header.set(role.timeouts.response_header);
        let limit = role.max_body.unwrap_or(u64::MAX);
        if body.size_hint().lower() > limit {
            return Err(Error::BodyTooLarge);
        }
        let body = match body {
            RequestBody::Stream(source) if !source.is_end_stream() => {
                let (session, role) = (Rc::clone(session), Arc::clone(role));
                RequestBody::Stream(Box::pin(Uploading { source, session, role, left: limit }))
            }
            RequestBody::Stream(_) | RequestBody::Kept(_) | RequestBody::Empty => RequestBody::Empty,
        };
        let authorizes = role.connection_auth && pin::authorizes_connection(&head.fields);
        let repeatable = matches!(body, RequestBody::Empty) && !authorizes && may_be_repeated(role, &head.method);
        // A server that refuses a body ends its connection, and one that signs its client in must not.
        let waits = session.upload.expects.get() && !authorizes;
        let begins = if waits { Begins::WhenAsked } else { Begins::AtOnce };
        Ok(Self {
            head,
            body: Some(body),
            repeatable,
            authorizes,
            begins,
            upgrade,
            needs_http1: false,
            tells: role.tells(),
        })
    }

    /// Whether its body is small and its method may be repeated, so that it could be sent to more than one endpoint: the
    /// `PROPFIND` of a download may carry a few lines of XML. Where a server may say that it has not looked at a request, every small
    /// body is kept.
    pub fn may_keep_body(&self, role: &Role) -> bool {
        let Some(RequestBody::Stream(stream)) = &self.body else { return false };
        let small = stream.size_hint().exact().is_some_and(|size| size <= KEPT);
        // An HTTP/2 server may refuse a request of any method unread.
        let of_use = role.http2 || may_be_repeated(role, &self.head.method);
        small && !self.authorizes && self.upgrade.is_none() && of_use
    }

    /// Reads that body.
    ///
    /// # Errors
    /// The client went away or was too slow.
    pub async fn keep_body(&mut self, session: &Session, role: &Role) -> Result<(), Error> {
        let Some(body) = &mut self.body else { return Ok(()) };
        let read = session.timer.within(role.timeouts.request_body_idle, body.collect()).await;
        session.timer.clear();
        self.begins = Begins::AtOnce;
        let whole = read.map_err(|_| Error::BodyTimeout)?.map_err(|cut| cut.0)?.to_bytes();
        *body = RequestBody::Kept(Some(whole));
        self.repeatable = may_be_repeated(role, &self.head.method);
        Ok(())
    }

    /// Whether the connection it is sent on belongs to its client from then on.
    pub fn authorizes(&self) -> bool {
        self.authorizes
    }

    /// Whether it may be sent again although a server may have seen it.
    pub fn repeatable(&self) -> bool {
        self.repeatable
    }

    /// Whether it may be sent again after a failure of this kind.
    pub fn allows(&self, retry: Retry) -> bool {
        match retry {
            Retry::Never => false,
            Retry::Unsent => self.body.is_some(),
            Retry::Repeatable => self.repeatable,
        }
    }

    /// Whether all of it is here, so that it can be sent again if no server has looked at it.
    pub fn is_whole(&self) -> bool {
        matches!(self.body, Some(RequestBody::Empty | RequestBody::Kept(_)))
    }

    /// The body for one attempt: a copy, but for one that is still to come.
    pub fn body(&mut self) -> Option<RequestBody> {
        match &self.body {
            Some(RequestBody::Kept(whole)) => Some(RequestBody::Kept(whole.clone())),
            Some(RequestBody::Empty) => Some(RequestBody::Empty),
            Some(RequestBody::Stream(_)) | None => self.body.take(),
        }
    }

    /// The head as an endpoint gets it.
    pub fn write_head(&self, session: &Session, body: &RequestBody) -> WrittenHead {
        let (head, spelling) = (&self.head, session.limits().spelling);
        let mut out = Writing::request(head, spelling);
        let chunked = body.size_hint().exact().is_none();
        if chunked {
            out.put_own(Known::TransferEncoding, b"chunked");
        }
        let begins = if matches!(body, RequestBody::Stream(_)) { self.begins } else { Begins::AtOnce };
        if begins == Begins::WhenAsked {
            out.put_own(Known::Expect, b"100-continue");
        }
        session.each_field(&head.fields, self.tells, |field| {
            if !(chunked && field.is(Known::ContentLength)) {
                out.put(field);
            }
        });
        let (bytes, trailers) = (out.end(), named_trailers(&head.fields));
        WrittenHead { bytes, trailers, begins, head_only: head.method == Method::HEAD }
    }

    /// The body does not wait: its connection must not end.
    pub fn begin_body_at_once(&mut self) {
        self.begins = Begins::AtOnce;
    }

    /// Whether the body waits until its server asks for it.
    pub fn waits_to_be_asked(&self) -> bool {
        self.begins == Begins::WhenAsked
    }

    /// The request for one attempt, for hyper: the host is part of the target (RFC 9113, section 8.3.1).
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a host that is none; [`Error::Terminated`] when the body was handed on.
    pub fn http2_request(&mut self, session: &Session, scheme: Scheme) -> Result<Request<RequestBody>, Error> {
        let head = &self.head;
        let host = head.fields.get(Known::Host).ok_or(Error::BadRequest)?;
        let mut uri = head.uri.clone().into_parts();
        uri.scheme = Some(scheme);
        uri.authority = Some(host.try_into().map_err(|_| Error::BadRequest)?);
        let mut all = HeaderMap::with_capacity(head.fields.len());
        // Framing is the connection's own; `TE` may only say `trailers`, which is all that we ever write.
        session.each_field(&head.fields, self.tells, |field| {
            if !field.is_in(NOT_OVER_HTTP2)
                && let (Ok(name), Ok(value)) = (field.name.parse::<HeaderName>(), HeaderValue::from_bytes(field.value))
            {
                all.append(name, value);
            }
        });
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Error::BadRequest)?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = all;
        let body = self.body().ok_or(Error::Terminated)?;
        Ok(request.map(|()| body))
    }

    /// Takes the body of a request back of which nothing was sent.
    pub fn give_body_back(&mut self, unsent: RequestBody) {
        self.body.get_or_insert(unsent);
    }

    /// Nobody will be asked any more.
    pub fn end(self, reading: &Reading) {
        reading.recycle(self.head.fields);
    }

    /// A server wants it over HTTP/1.1 (RFC 9113, section 7).
    pub fn insist_on_http1(&mut self) {
        self.needs_http1 = true;
    }

    /// Whether its connection must not be HTTP/2: it will be of one client, or carry an upgrade, or the server wants it so.
    pub fn needs_http1(&self) -> bool {
        self.authorizes || self.upgrade.is_some() || self.needs_http1
    }

    /// Whether it asks for the protocol that a 101 switches to.
    pub fn asks_for(&self, switched: &Fields) -> bool {
        let protocols = switched.all(Known::Upgrade).flat_map(list_elements);
        let asked = |protocol: &[u8]| {
            let asked = self.upgrade.iter().flat_map(|line| list_elements(line.as_bytes()));
            asked.into_iter().any(|own| own.eq_ignore_ascii_case(protocol))
        };
        let mut protocols = protocols.peekable();
        protocols.peek().is_some() && protocols.all(asked)
    }

    /// Makes it ready for an endpoint that holds the role like this: its fields, and the bounds of its body. Says whether there is
    /// no body.
    pub fn prepare_for(&mut self, session: &Session, role: &Role) -> bool {
        self.tells = role.tells();
        session.upload.idle.set(role.timeouts.request_body_idle);
        session.upload.response_header.set(role.timeouts.response_header);
        !matches!(self.body, Some(RequestBody::Stream(_)))
    }
}

fn may_be_repeated(role: &Role, method: &Method) -> bool {
    role.retry.methods.iter().any(|may| may == method.as_str())
}

/// The protocols of an upgrade that the role may switch to. What follows passes none of the rules of a request.
fn allowed(asked: &HeaderValue, role: &Role) -> Option<HeaderValue> {
    let may = |protocol: &&[u8]| role.upgrades.iter().any(|may| protocol.eq_ignore_ascii_case(may.as_bytes()));
    let kept: Vec<&[u8]> = list_elements(asked.as_bytes()).filter(may).collect();
    // Parts of a value that was allowed are allowed.
    (!kept.is_empty()).then(|| HeaderValue::from_bytes(&kept.join(&b", "[..])).ok())?
}

/// Over HTTP/2 a client may cut its cookies into several fields; before anything else they are one again (RFC 9113, section
/// 8.2.3).
fn join_cookies(fields: &mut Fields) {
    let cookies: Vec<&[u8]> = fields.all(Known::Cookie).collect();
    if cookies.len() < 2 {
        return;
    }
    // Values that were allowed are allowed together.
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        fields.set(Known::Cookie, joined);
    }
}

/// A client that thinks it talks to a forward proxy sends the whole URL; its authority replaces `Host` (RFC 9112,
/// section 3.2.2).
fn into_origin_form(head: &mut RequestHead) -> Result<(), Error> {
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Error::BadRequest)?;
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let origin = if target.starts_with('/') || target == "*" { target.parse() } else { format!("/{target}").parse() };
    let origin: Uri = origin.map_err(|_| Error::BadRequest)?;
    head.fields.set(Known::Host, host);
    head.uri = origin;
    Ok(())
}
