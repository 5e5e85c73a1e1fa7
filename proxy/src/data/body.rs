//! Bodies in both directions. They stream: a piece is read when the other side has taken the one before.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::{End, Exchange};
use super::headers::strip_response_trailers;
use super::session::{Phase, Session};
use super::splice::{self, Piece};
use crate::error::Error;
use crate::model::role::Role;

/// Why a body ended early; hyper closes the connection that it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyCut(pub Error);

impl std::fmt::Display for BodyCut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.details())
    }
}

impl std::error::Error for BodyCut {}

/// A request body on its way to an endpoint.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// All of a small one, kept for another attempt; `None` when it was handed on.
    Kept(Option<Bytes>),
    /// From the client.
    Stream(Uploading),
}

/// A request body with its bounds.
#[derive(Debug)]
pub struct Uploading {
    /// From hyper.
    pub incoming: Incoming,
    /// Whose request it is.
    pub session: Rc<Session>,
    /// Whose servers it is for.
    pub role: Arc<Role>,
    /// Bytes that may still come.
    pub left: u64,
    /// The client must send a piece within this time.
    pub idle: Duration,
    /// When all is sent, the response head must come within this time.
    pub response_header: Duration,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Kept(whole) => Poll::Ready(whole.take().map(|whole| Ok(Frame::data(whole)))),
            Self::Stream(uploading) => uploading.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Kept(None) => true,
            Self::Kept(Some(whole)) => whole.is_empty(),
            Self::Stream(uploading) => uploading.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Kept(None) => SizeHint::with_exact(0),
            Self::Kept(Some(whole)) => SizeHint::with_exact(whole.len() as u64),
            Self::Stream(uploading) => uploading.incoming.size_hint(),
        }
    }
}

impl Uploading {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let upload = &self.session.upload;
        upload.started.set(true);
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        upload.waiting.set(frame.is_pending());
        match ready!(frame) {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    self.session.strip_trailers(trailers, &self.role);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if length > self.left {
                    return Poll::Ready(Some(Err(self.cut(Error::BodyTooLarge))));
                }
                self.left -= length;
                upload.bytes.set(upload.bytes.get() + length);
                self.progress(self.incoming.is_end_stream());
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.cut(why_cut(&error))))),
            // hyper's connection ended in the middle of the body, and says nothing of it.
            None if self.session.ended() || !is_whole(&self.incoming, self.session.http2) => {
                Poll::Ready(Some(Err(self.cut(Error::ClientGone))))
            }
            None => {
                self.progress(true);
                Poll::Ready(None)
            }
        }
    }

    fn progress(&self, done: bool) {
        self.session.upload.done.set(done);
        // A server may answer before it has all of the body. What comes afterwards has no deadline of its own, and must not put
        // off that of the response.
        if self.session.phase() != Phase::Request {
            return;
        }
        self.session.timer.set(if done { self.response_header } else { self.idle });
    }

    fn cut(&self, why: Error) -> BodyCut {
        self.session.upload.error.set(Some(why));
        BodyCut(why)
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

/// Whether a body is over that hyper says is over. It says so too of an HTTP/2 stream that was reset without an error.
fn is_whole(incoming: &Incoming, http2: bool) -> bool {
    !http2 || incoming.is_end_stream()
}

/// A response body on its way to the client.
#[derive(Debug)]
pub enum ResponseBody {
    /// There is none.
    Empty,
    /// One of our own answers.
    Full(Option<Bytes>),
    /// From an endpoint.
    Stream(Box<Downloading>),
}

/// A response body and the exchange that ends with it.
#[derive(Debug)]
pub struct Downloading {
    /// `None`: it is read from the exchange's connection.
    incoming: Option<Incoming>,
    /// It may go past our memory.
    spliced: bool,
    /// It has ended early, and what came before is on its way.
    cut: Option<BodyCut>,
    /// Taken when the exchange ends.
    exchange: Option<Box<Exchange>>,
    /// Over HTTP/2 the last piece may wait for the client long after that.
    _watched: Option<Rc<Session>>,
}

impl Downloading {
    /// The exchange ends with this body.
    pub fn new(incoming: Option<Incoming>, exchange: Box<Exchange>) -> Self {
        let session = &exchange.session;
        let watched = session.http2.then(|| Rc::clone(session));
        let spliced = session.takes_spliced() && exchange.left().is_some_and(|left| left >= splice::MIN);
        Self { incoming, spliced, cut: None, exchange: Some(exchange), _watched: watched }
    }

    fn end(&mut self, end: End) {
        if let Some(exchange) = self.exchange.take() {
            exchange.end(end);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyCut>>> {
        if let Some(cut) = self.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        // hyper asks for more before the client has taken all that it was given.
        if let Some(exchange) = &mut self.exchange
            && exchange.session.poll_unpiped().is_pending()
        {
            let _ = exchange.upstream().map(|upstream| upstream.poll_sent(cx));
            return Poll::Pending;
        }
        let Poll::Ready(frame) = self.poll_source(cx) else { return self.poll_stalled(cx) };
        match frame {
            Some(Ok(frame)) => {
                if let (Some(exchange), Some(piece)) = (&mut self.exchange, frame.data_ref()) {
                    exchange.moved(piece);
                }
                if self.is_end_stream() {
                    self.end(End::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(())) => {
                self.end(End::Cut(Error::Terminated));
                // hyper throws away what it has not written yet when it hears of it, and writes when there is nothing to hear.
                self.cut = Some(BodyCut(Error::Terminated));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.end(End::Complete);
                Poll::Ready(None)
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, ()>>> {
        if let Some(incoming) = &mut self.incoming {
            let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
            let http2 = self.exchange.as_ref().is_some_and(|exchange| exchange.is_over_http2());
            let cut = frame.is_none() && !is_whole(incoming, http2);
            return Poll::Ready(if cut { Some(Err(())) } else { frame.map(handed_on) });
        }
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        if self.spliced
            && let Some(piece) = ready!(poll_splice(exchange, cx))
        {
            return Poll::Ready(Some(piece.map(Frame::data)));
        }
        let Some(upstream) = exchange.upstream() else { return Poll::Ready(None) };
        let frame = ready!(upstream.poll_frame(cx));
        Poll::Ready(frame.map(handed_on))
    }

    fn is_end_stream(&self) -> bool {
        match (&self.incoming, &self.exchange) {
            (Some(incoming), _) => incoming.is_end_stream(),
            (None, Some(exchange)) => exchange.left() == Some(0),
            (None, None) => self.cut.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.incoming, &self.exchange) {
            (Some(incoming), _) => incoming.size_hint(),
            (None, Some(exchange)) => exchange.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            (None, None) if self.cut.is_some() => SizeHint::default(),
            (None, None) => SizeHint::with_exact(0),
        }
    }

    /// Nothing came. That is an error when the deadline passed while we were waiting for the server.
    fn poll_stalled(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyCut>>> {
        let Some(exchange) = &self.exchange else { return Poll::Pending };
        let timer = &exchange.session.timer;
        ready!(timer.poll_elapsed(cx));
        let error = if timer.cap_passed() { Error::TotalTimeout } else { Error::ResponseTimeout };
        self.end(End::Cut(error));
        Poll::Ready(Some(Err(BodyCut(error))))
    }
}

fn handed_on<E>(frame: Result<Frame<Bytes>, E>) -> Result<Frame<Piece>, ()> {
    let mut frame = frame.map_err(|_| ())?;
    if let Some(trailers) = frame.trailers_mut() {
        strip_response_trailers(trailers);
    }
    Ok(frame.map_data(Piece::Bytes))
}

/// The next piece of a large body, in a pipe. `None`: it has to be read.
fn poll_splice(exchange: &mut Exchange, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ()>>> {
    let session = Rc::clone(&exchange.session);
    let worker = &session.worker;
    let Some(upstream) = exchange.upstream().filter(|upstream| upstream.can_splice()) else { return Poll::Ready(None) };
    let Some(mut pipe) = worker.pipes.take(worker.ticker.now_ms()) else { return Poll::Ready(None) };
    let Poll::Ready(filled) = upstream.poll_splice(cx, &mut pipe) else {
        worker.pipes.give_back(pipe);
        return Poll::Pending;
    };
    let Ok(count) = filled else { return Poll::Ready(Some(Err(()))) };
    session.pipe(pipe);
    Poll::Ready(Some(Ok(Piece::Piped(count))))
}

impl Drop for Downloading {
    fn drop(&mut self) {
        let timed_out = self.exchange.as_ref().is_some_and(|exchange| exchange.session.timer.cap_passed());
        self.end(if timed_out { End::Cut(Error::TotalTimeout) } else { End::ClientGone });
    }
}

impl Body for ResponseBody {
    type Data = Piece;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyCut>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(Piece::Bytes(bytes))))),
            Self::Stream(downloading) => downloading.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(downloading) => downloading.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(downloading) => downloading.size_hint(),
        }
    }
}
