//! HTTP/2 client connections, where a listener allows them: many requests at the same time on one connection.
//!
//! Each request has a session of its own, so that the request path does not know the difference. What is bound to a
//! connection does not exist here: no upgrade, and no authentication of the connection.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::data::downstream::idle;
use crate::data::path::client::Client;
use crate::data::path::message::{Carried, ClientRequest, ClientResponse};
use crate::data::path::response_body::ResponseBody;
use crate::data::path::serve;
use crate::data::path::session::{Session, Socket, Spoken};
use crate::data::thread::executor::LocalExecutor;
use crate::data::transport::stream::{Early, Transport};
use crate::data::upstream::request_body::{BodyCut, RequestBody};
use crate::error::Error;
use crate::model::entry::Security;
use crate::wire::fields::Fields;
use crate::wire::head::RequestHead;

/// What one request body and all of a connection may have under way.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// How often requests under way are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a client may take to read the last response of a connection that closes.
const LINGER: Duration = Duration::from_secs(10);
/// As [`LINGER`], of a connection without requests that gives way to another one.
const HURRY: Duration = Duration::from_secs(1);
/// Bytes of one response that wait for the client.
const SEND_BUFFER: usize = 128 * 1024;

/// Whether a connection speaks HTTP/2: agreed on by ALPN, or begun so on a plain listener that allows it. `None` when it
/// ends before that is known.
pub async fn begins(transport: &mut Transport, early: &mut BytesMut, client: &Client) -> Option<bool> {
    if transport.speaks_http2() {
        return Some(true);
    }
    let snapshot = client.snapshot();
    let Some(entry) = client.entry(&snapshot) else { return Some(false) };
    if !entry.http2 || !matches!((&*transport, &entry.security), (Transport::Plain(_), Security::Plain)) {
        return Some(false);
    }
    idle::begins_http2(transport, client, early, snapshot.site.limits.request_header_timeout).await
}

/// Serves an HTTP/2 connection until it ends.
pub async fn serve(transport: Transport, early: BytesMut, client: &Client, socket: &Socket) {
    let snapshot = client.snapshot();
    let limits = snapshot.site.limits;
    drop(snapshot);
    let open: Streams = Streams::default();
    let service = service_fn(|request: Request<Incoming>| {
        let session = Session::new(client, socket, Spoken::Http2);
        open.add(&session);
        async move { answer(serve::handle(session, asked(request)).await) }
    });
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .max_concurrent_streams(limits.max_concurrent_streams)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX));
    let io = TokioIo::new(Early { stream: transport, early });
    let timer = client.worker.ticker.timer();
    let patience = || limits.client_keepalive_timeout.min(client.left().unwrap_or(Duration::MAX));
    timer.set_idle(patience());
    let mut connection = pin!(builder.serve_connection(io, service));
    let (mut closing, mut was_busy) = (false, false);
    let ended = poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(result.is_ok());
        }
        let busy = open.any();
        if busy != was_busy {
            match (busy, closing) {
                (true, _) => timer.set(LOOK),
                (false, true) => timer.set(LINGER),
                (false, false) => timer.set_idle(patience()),
            }
            was_busy = busy;
        }
        let due = timer.poll_elapsed(cx).is_ready();
        if due && busy {
            if open.any_stalled() {
                return Poll::Ready(false);
            }
            timer.set(LOOK);
            let _ = timer.poll_elapsed(cx);
        } else if due && closing {
            return Poll::Ready(true);
        }
        if !closing && ((due && !busy) || client.worker.draining() || client.is_to_end()) {
            // Requests that are under way are finished; then the connection ends.
            connection.as_mut().graceful_shutdown();
            closing = true;
            let gives_way = timer.gives_way();
            if gives_way {
                client.door.metrics.gave_way.increment(1);
            }
            timer.set(match (busy, gives_way) {
                (true, _) => LOOK,
                (false, true) => HURRY,
                (false, false) => LINGER,
            });
            let _ = timer.poll_elapsed(cx);
            return connection.as_mut().poll(cx).map(|result| result.is_ok());
        }
        Poll::Pending
    })
    .await;
    if !ended {
        client.door.metrics.protocol_errors.increment(1);
    }
}

/// A request as the request path takes it.
fn asked(request: Request<Incoming>) -> ClientRequest {
    let (parts, incoming) = request.into_parts();
    let fields = Fields::from(parts.headers);
    let head = RequestHead { method: parts.method, uri: parts.uri, version: Version::HTTP_2, fields };
    ClientRequest { head, body: body(incoming) }
}

/// A response, or the end of a request that HTTP/2 cannot carry (RFC 9113, section 7: `HTTP_1_1_REQUIRED`).
fn answer(answered: ClientResponse) -> Result<Response<ResponseBody>, h2::Error> {
    let ClientResponse { head, body, carried } = answered;
    if carried == Carried::OverHttp11 {
        return Err(h2::Reason::HTTP_1_1_REQUIRED.into());
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields.to_map();
    Ok(response)
}

/// A request's body as the request path takes it.
fn body(incoming: Incoming) -> RequestBody {
    if incoming.is_end_stream() { RequestBody::Empty } else { RequestBody::Stream(Box::pin(StreamBody(incoming))) }
}

/// The body of a stream.
struct StreamBody(Incoming);

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let frame = match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            Some(frame) => Some(frame.map_err(|error| BodyCut(why_cut(&error)))),
            // hyper says so too of a stream that was reset without an error.
            None if !self.0.is_end_stream() => Some(Err(BodyCut(Error::ClientGone))),
            None => None,
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Whether the client broke the framing of its body, or went away in the middle of it.
fn why_cut(error: &hyper::Error) -> Error {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    // TLS that was broken off has the same kind as a chunk that is none.
    let cause = cause.filter(|cause| !cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()));
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Error::InvalidBody,
        Some(_) | None => Error::ClientGone,
    }
}

/// Requests under way on one connection.
#[derive(Debug, Default)]
struct Streams {
    sessions: RefCell<Vec<Weak<Session>>>,
}

impl Streams {
    fn add(&self, session: &Rc<Session>) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Rc::downgrade(session));
    }

    fn any(&self) -> bool {
        self.sessions.borrow().iter().any(|session| session.strong_count() > 0)
    }

    /// Whether the client does not take one of its responses. Whoever writes it waits for the client and for nothing else,
    /// so that nobody but the connection would notice.
    fn any_stalled(&self) -> bool {
        self.sessions.borrow().iter().filter_map(Weak::upgrade).any(|session| session.stalled())
    }
}
