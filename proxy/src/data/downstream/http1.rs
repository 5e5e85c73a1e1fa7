//! An HTTP/1.1 client connection: one loop. Read a head, serve it, write the answer; then go on, wait, switch or linger.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::data::downstream::channel::{Channel, NoHead};
use crate::data::downstream::http2;
use crate::data::downstream::idle::Waiting;
use crate::data::downstream::next::Next;
use crate::data::downstream::responding::{After, Ends, Responding, Written};
use crate::data::path::client::Client;
use crate::data::path::exchange::End;
use crate::data::path::forwarding::Secured;
use crate::data::path::message::{ClientRequest, ClientResponse};
use crate::data::path::outcome;
use crate::data::path::respond;
use crate::data::path::response_body::PendingTunnel;
use crate::data::path::serve;
use crate::data::path::session::{Session, Socket, Spoken};
use crate::data::thread::ticker::Timer;
use crate::data::transport::stream::Transport;
use crate::data::tunnel::ways::{self, Open};
use crate::data::upstream::pin::PinEnd;
use crate::data::upstream::worker::Worker;
use crate::error::Error;
use crate::metrics::code_class;
use crate::wire::body::BadFraming;
use crate::wire::request::{self, Asked, BadRequest, Manner};

/// How long a closing connection waits for the client to have read the last response.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are thrown away meanwhile.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that are read at a time.
const SCRATCH: usize = 4096;

/// How long a connection that waits for its next request keeps its parser and buffers.
const PARK_AFTER: Duration = Duration::from_millis(500);
/// As [`PARK_AFTER`], when as many connections hold theirs as [`CROWD`], so that the memory matters more than making new ones.
const PARK_SOON: Duration = Duration::from_millis(100);
/// Connections that hold their buffers.
const CROWD: usize = 512;
/// Connections at work, from which on answers are written after all that was ready has been read.
const BATCH: usize = 128;

/// Serves requests until the connection ends, or has been idle for a while: then it waits without a buffer.
pub async fn serve(mut transport: Transport, mut early: BytesMut, client: Client) -> Next {
    let socket = Socket { to: transport.tcp().local_addr().ok(), secured: Secured::of(&transport) };
    match http2::begins(&mut transport, &mut early, &client).await {
        Some(false) => {}
        Some(true) => {
            http2::serve(transport, early, &client, &socket).await;
            return Next::Over;
        }
        None => return Next::Over,
    }
    let session = Session::new(&client, &socket, Spoken::Http1);
    let working = Working::new(&client.worker);
    let channel = Channel::new(transport, early);
    let ended = converse(&session, &channel).await;
    if matches!(ended, Ended::Idle) && session.timer.gives_way() {
        client.metrics.gave_way.increment(1);
    }
    session.end_pins(if matches!(ended, Ended::PinClosed) { PinEnd::Server } else { PinEnd::Client });
    let Some((mut stream, rest)) = channel.take() else { return Next::Over };
    drop(working);
    match ended {
        Ended::Parked => {
            client.worker.parked.set(client.worker.parked.get() + 1);
            let patience = session.limits().client_keepalive_timeout.saturating_sub(PARK_AFTER);
            return Next::Wait(Waiting::new(stream, client, patience));
        }
        Ended::Switched(pending) => run_tunnel(stream, rest, *pending, &client).await,
        Ended::Idle | Ended::PinClosed => say_goodbye(&mut stream).await,
        Ended::Unheard => linger(&mut stream, &session.timer).await,
        // What was written is sent all the same when a plain socket is closed.
        Ended::Heard if stream.is_plain() && rest.is_empty() => {}
        Ended::Heard => linger(&mut stream, &session.timer).await,
        Ended::Broken(ends) => cut(&stream, ends),
        Ended::Misused(ends) => {
            client.metrics.protocol_errors.increment(1);
            cut(&stream, ends);
        }
        Ended::Refused => {
            client.metrics.protocol_errors.increment(1);
            linger(&mut stream, &session.timer).await;
        }
    }
    Next::Over
}

/// How the work on a connection ended.
enum Ended {
    /// No request has come for a while: it waits without a buffer.
    Parked,
    /// No request will be served any more, and none has come.
    Idle,
    /// The upstream connection that belongs to it closed.
    PinClosed,
    /// Both sides leave HTTP.
    Switched(Box<PendingTunnel>),
    /// After the last response, and the client has said that it was its last request.
    Heard,
    /// After the last response, of which the client may not know that it was.
    Unheard,
    /// In the middle of a response that ends so, or the client has gone.
    Broken(Ends),
    /// As [`Self::Broken`]: the client has broken the rules, or is too slow.
    Misused(Ends),
    /// As [`Self::Misused`], and it was told.
    Refused,
}

/// The loop.
async fn converse(session: &Rc<Session>, channel: &Rc<Channel>) -> Ended {
    let mut wait = Wait::First;
    session.timer.set(session.limits().request_header_timeout);
    loop {
        let asked = match poll_fn(|cx| wait.poll(cx, session, channel)).await {
            Waited::Head(head) => parse(session, head),
            Waited::Refused(refused) => Err(refused),
            Waited::Ended(ended) => return ended,
        };
        let Asked { head, framing, manner } = match asked {
            Ok(asked) => asked,
            Err(refused) => return refuse(session, channel, refused).await,
        };
        session.upload.expects.set(manner.expects);
        session.interims.want(!manner.old);
        let body = channel.begin_request(framing, manner.expects);
        let Some(response) = answer(session, channel, ClientRequest { head, body }).await else {
            return Ended::Broken(Ends::None);
        };
        if let Some(ended) = respond(session, channel, response, manner).await {
            return ended;
        }
        wait = Wait::for_next(session);
    }
}

/// Waits for the head of a request.
enum Wait {
    /// The first bytes of the connection's first request are here.
    First,
    /// Nothing of the next request has come yet; how the connection ends if nothing does.
    Next(Idle),
    /// Some of it has come.
    Rest,
}

/// What becomes of an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    Parks,
    Closes,
}

enum Waited {
    Head(BytesMut),
    Refused(BadRequest),
    Ended(Ended),
}

impl Wait {
    /// A pinned upstream connection must be watched, and what watches it is the connection's task.
    fn for_next(session: &Session) -> Self {
        let keepalive = session.limits().client_keepalive_timeout;
        let park_after = if session.worker.working.get() < CROWD { PARK_AFTER } else { PARK_SOON };
        let (then, after) = match session.pins.borrow().is_empty() {
            true => (Idle::Parks, park_after.min(keepalive)),
            false => (Idle::Closes, keepalive.min(session.left().unwrap_or(keepalive))),
        };
        session.timer.set_idle(after);
        Self::Next(then)
    }

    fn poll(&mut self, cx: &mut Context<'_>, session: &Session, channel: &Channel) -> Poll<Waited> {
        session.pins.borrow_mut().poll_leftovers(cx);
        let limits = session.limits();
        let mut line = channel.line();
        match line.poll_head(cx, limits.max_header_size) {
            Poll::Ready(Ok(head)) => return Poll::Ready(Waited::Head(head)),
            Poll::Ready(Err(NoHead::Refused(refused))) => return Poll::Ready(Waited::Refused(refused)),
            Poll::Ready(Err(NoHead::Gone)) => return Poll::Ready(Waited::Ended(Ended::Idle)),
            Poll::Pending => {}
        }
        if !matches!(self, Self::Rest) && line.has_begun() {
            *self = Self::Rest;
            session.timer.set(limits.request_header_timeout);
        }
        if !matches!(self, Self::Rest) {
            if session.closes() {
                return Poll::Ready(Waited::Ended(Ended::Idle));
            }
            if session.pins.borrow_mut().any_closed(cx) {
                return Poll::Ready(Waited::Ended(Ended::PinClosed));
            }
        }
        ready!(session.timer.poll_elapsed(cx));
        Poll::Ready(Waited::Ended(match self {
            Self::Next(Idle::Parks) if session.timer.gives_way() => Ended::Idle,
            Self::Next(Idle::Parks) => Ended::Parked,
            Self::Next(Idle::Closes) => Ended::Idle,
            Self::First | Self::Rest => Ended::Misused(Ends::None),
        }))
    }
}

fn parse(session: &Session, head: BytesMut) -> Result<Asked, BadRequest> {
    let worker = &session.worker;
    request::parse(head, worker.spare_fields(), &mut worker.names.borrow_mut())
}

/// The request path's answer. `None`: the client has gone before there was one.
async fn answer(session: &Rc<Session>, channel: &Channel, request: ClientRequest) -> Option<ClientResponse> {
    let mut handled = pin!(serve::handle(Rc::clone(session), request));
    poll_fn(|cx| {
        if let Poll::Ready(response) = handled.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        session.pins.borrow_mut().poll_leftovers(cx);
        channel.owned_by(cx);
        let mut line = channel.line();
        let spelling = session.limits().spelling;
        session.interims.take().into_iter().for_each(|interim| line.put_interim(interim, spelling));
        match (line.poll_write(cx), line.poll_gone(cx, session.limits().on_close)) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(())) => Poll::Ready(None),
            (Poll::Ready(Ok(())) | Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

/// Writes a response. `Some`: the connection does not go on.
async fn respond(session: &Session, channel: &Channel, response: ClientResponse, manner: Manner) -> Option<Ended> {
    let over = channel.is_upload_held() || channel.is_upload_over();
    let after = if manner.stays && over && !session.closes() && !channel.line().has_ended() {
        After::Stays
    } else {
        After::Closes
    };
    let (mut responding, after) = Responding::begin(channel, session, response, manner, after);
    after_others(&session.worker).await;
    let written = poll_fn(|cx| {
        session.pins.borrow_mut().poll_leftovers(cx);
        responding.poll(cx)
    })
    .await;
    drop(responding);
    match written {
        Written::Whole => {}
        Written::Switched(pending) => return Some(Ended::Switched(pending)),
        Written::Cut(ends) => return Some(Ended::Broken(ends)),
        Written::SlowReader(ends) => return Some(Ended::Misused(ends)),
        Written::TooLong(ends) => return Some(Ended::Broken(ends)),
        Written::Gone => return Some(Ended::Broken(Ends::None)),
    }
    let whole = end_upload(session, channel).await;
    match after {
        After::Stays if whole => None,
        After::Closes if whole && !manner.stays => Some(Ended::Heard),
        After::Stays | After::Closes => Some(Ended::Unheard),
    }
}

/// Lets the other connections of the thread that are ready read first, when there are many: what is written then is written in a row,
/// and those who read it are woken less often.
async fn after_others(worker: &Worker) {
    let mut waited = worker.working.get() < BATCH;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A server may answer before it has all of a request's body, and take the rest all the same: the next request comes after it.
/// Whether the body came to its end.
async fn end_upload(session: &Session, channel: &Channel) -> bool {
    let mut before = None;
    poll_fn(|cx| {
        if let Poll::Ready(whole) = channel.poll_upload_end(cx) {
            return Poll::Ready(whole);
        }
        session.pins.borrow_mut().poll_leftovers(cx);
        let bytes = Some(session.upload.bytes.get());
        if before != bytes {
            before = bytes;
            session.timer.set(session.limits().client_keepalive_timeout);
        }
        session.timer.poll_elapsed(cx).map(|_| false)
    })
    .await
}

/// Answers what is no request.
async fn refuse(session: &Session, channel: &Channel, refused: BadRequest) -> Ended {
    let error = match refused {
        BadRequest::Head => Error::BadHead,
        BadRequest::TooLarge => Error::HeadTooLarge,
        BadRequest::Target => Error::InvalidTarget,
        BadRequest::Version => Error::UnknownVersion,
        BadRequest::Framing(BadFraming::Broken) => Error::InvalidBody,
        BadRequest::Framing(BadFraming::UnknownCoding) => Error::UnknownCoding,
    };
    let (worker, snapshot) = (&session.worker, session.worker.snapshot());
    worker.no_role.requests[code_class(error.status())].increment(1);
    worker.no_role.error(error).increment(1);
    let again = outcome::retry_after(worker.dice());
    let response = respond::error(error, &snapshot.site.proxy_name, None, again);
    let manner = Manner { old: false, stays: true, head_only: false, trailers: false, expects: false };
    session.end_exchange();
    let (mut responding, _) = Responding::begin(channel, session, response, manner, After::Closes);
    match poll_fn(|cx| responding.poll(cx)).await {
        Written::Whole => Ended::Refused,
        Written::Switched(_) | Written::Cut(_) | Written::SlowReader(_) | Written::TooLong(_) | Written::Gone => {
            Ended::Misused(Ends::None)
        }
    }
}

/// As far as that is possible at once.
async fn say_goodbye(stream: &mut Transport) {
    poll_fn(|cx: &mut Context<'_>| {
        stream.farewell(cx);
        Poll::Ready(())
    })
    .await;
}

/// Ends a connection so that what was sent on it does not look whole.
fn cut(stream: &Transport, ends: Ends) {
    if ends != Ends::AtClose {
        return;
    }
    // A socket that cannot do it ends as it can.
    let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
}
/// Counts a connection that holds a parser and buffers.
struct Working(Rc<Worker>);

impl Working {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.working.set(worker.working.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.set(self.0.working.get() - 1);
    }
}

async fn run_tunnel(mut stream: Transport, early: BytesMut, pending: PendingTunnel, client: &Client) {
    let PendingTunnel { mut upstream, exchange, idle } = pending;
    let timer = exchange.session.worker.ticker.timer();
    if let Some(endpoint) = exchange.endpoint() {
        timer.belongs_to(endpoint.state.id);
    }
    timer.cap(client.left());
    // The line of its request is written when it is over.
    let open = Open::new(exchange.role_metrics().clone(), exchange.group_metrics().cloned(), None);
    let leaves = || client.is_to_leave();
    ways::run((&mut stream, &mut upstream), early.into(), (&timer, idle), open, leaves).await;
    exchange.end(End::Complete);
}

/// Closes a connection so that the client can read the last response. Closing a socket with unread bytes in it resets the
/// connection, and a reset may overtake the response: a client that is still sending an upload would never see the 413.
async fn linger(stream: &mut Transport, timer: &Timer) {
    // A client that reads nothing takes no end of TLS either.
    if !matches!(timer.within(LINGER, stream.shutdown()).await, Ok(Ok(()))) {
        return;
    }
    let mut left = LINGER_BYTES;
    let read_to_end = poll_fn(|cx| {
        while left > 0 {
            // Not part of the future, and not zeroed.
            let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
            let mut scratch = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut scratch)) {
                Ok(()) if !scratch.filled().is_empty() => left = left.saturating_sub(scratch.filled().len()),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    });
    // Either way the connection is dropped now.
    let _ = timer.within(LINGER, read_to_end).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::AsyncWrite;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::data::thread::ticker::{TICK, Ticker};

    /// Both ends of a TLS connection. Nothing reads the client's.
    async fn secured() -> (Transport, impl Sized) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["h".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
        let (accepted, connected) = tokio::join!(
            TlsAcceptor::from(Arc::new(server)).accept(ours.unwrap().0),
            TlsConnector::from(Arc::new(client)).connect("h".try_into().unwrap(), theirs.unwrap()),
        );
        (Transport::Tls(Box::new(accepted.unwrap().into())), connected.unwrap())
    }

    #[tokio::test]
    async fn a_client_that_takes_no_end_of_tls_is_not_waited_for() {
        let (mut stream, _client) = secured().await;
        // As much as the system takes, and then the end does not fit any more.
        let full = poll_fn(|cx| {
            let block = [0; 64 * 1024];
            while Pin::new(&mut stream).poll_write(cx, &block)?.is_ready() {}
            Poll::Ready(io::Result::Ok(()))
        });
        full.await.unwrap();
        let ticker = Ticker::new(Instant::now());
        let timer = ticker.timer();
        let ticks = async {
            loop {
                tokio::time::sleep(TICK).await;
                ticker.tick();
            }
        };
        let begun = Instant::now();
        tokio::select! {
            () = linger(&mut stream, &timer) => {}
            () = ticks => {}
            () = tokio::time::sleep(4 * LINGER) => panic!("it is waited for"),
        }
        assert!(begun.elapsed() >= LINGER, "it has had its time");
    }
}
