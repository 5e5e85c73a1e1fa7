//! A response body on the request path. It streams: a piece is read when the client has taken the one before.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::data::path::exchange::{End, Exchange};
use crate::data::path::session::Session;
use crate::data::transport::splice::{self, Pipe};
use crate::data::transport::stream::Early;
use crate::data::upstream::request_body::BodyCut;
use crate::error::Error;
use crate::wire::trailers::strip_response_trailers;

/// Both sides leave HTTP when the client has the head of this response.
#[derive(Debug)]
pub struct PendingTunnel {
    /// The upstream connection.
    pub upstream: Early,
    /// Finished when the tunnel ends.
    pub exchange: Box<Exchange>,
    /// How long it may be silent.
    pub idle: Duration,
}

/// A response body on its way to the client.
#[derive(Debug, Default)]
pub enum ResponseBody {
    /// There is none.
    #[default]
    Empty,
    /// One of our own answers.
    Full(Option<Bytes>),
    /// From an endpoint.
    Stream(Box<Downloading>),
    /// Bytes both ways.
    Tunnel(Box<PendingTunnel>),
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
        let watched = session.is_http2().then(|| Rc::clone(session));
        let spliced = exchange.left().is_some_and(|left| left >= splice::MIN);
        Self { incoming, spliced, cut: None, exchange: Some(exchange), _watched: watched }
    }

    fn end(&mut self, end: End) {
        if let Some(exchange) = self.exchange.take() {
            exchange.end(end);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        if let Some(cut) = self.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        let Poll::Ready(frame) = self.poll_source(cx) else { return self.poll_stalled(cx) };
        match frame {
            Some(Ok(frame)) => {
                if let (Some(exchange), Some(piece)) = (&mut self.exchange, frame.data_ref()) {
                    exchange.moved(piece.len());
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

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        if let Some(incoming) = &mut self.incoming {
            let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
            let http2 = self.exchange.as_ref().is_some_and(|exchange| exchange.is_over_http2());
            // hyper says of an HTTP/2 stream that was reset without an error that it is over.
            let cut = frame.is_none() && http2 && !incoming.is_end_stream();
            return Poll::Ready(if cut { Some(Err(())) } else { frame.map(handed_on) });
        }
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
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

    /// Whether the next bytes can go past our memory.
    fn can_splice(&mut self) -> bool {
        self.spliced
            && self.cut.is_none()
            && self
                .exchange
                .as_mut()
                .and_then(|exchange| exchange.upstream())
                .is_some_and(|upstream| upstream.can_splice())
    }

    /// Moves the next of them into an empty pipe. How many there were.
    fn poll_splice(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, BodyCut>> {
        let filled = match self.exchange.as_mut().and_then(|exchange| exchange.upstream()) {
            Some(upstream) => upstream.poll_splice(cx, pipe),
            None => return Poll::Ready(Err(BodyCut(Error::Terminated))),
        };
        match filled {
            Poll::Pending => match self.poll_stalled(cx) {
                Poll::Ready(Some(Err(cut))) => Poll::Ready(Err(cut)),
                Poll::Ready(_) | Poll::Pending => Poll::Pending,
            },
            Poll::Ready(Ok(count)) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.moved_past(count);
                }
                if self.is_end_stream() {
                    self.end(End::Complete);
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => {
                self.end(End::Cut(error));
                Poll::Ready(Err(BodyCut(error)))
            }
        }
    }

    /// Nothing came. That is an error when the deadline passed while we were waiting for the server.
    fn poll_stalled(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let Some(exchange) = &self.exchange else { return Poll::Pending };
        let timer = &exchange.session.timer;
        ready!(timer.poll_elapsed(cx));
        let error = if timer.cap_passed() { Error::TotalTimeout } else { Error::ResponseTimeout };
        self.end(End::Cut(error));
        Poll::Ready(Some(Err(BodyCut(error))))
    }
}

fn handed_on<E>(frame: Result<Frame<Bytes>, E>) -> Result<Frame<Bytes>, ()> {
    let mut frame = frame.map_err(|_| ())?;
    if let Some(trailers) = frame.trailers_mut() {
        strip_response_trailers(trailers);
    }
    Ok(frame)
}

impl Drop for Downloading {
    fn drop(&mut self) {
        let timed_out = self.exchange.as_ref().is_some_and(|exchange| exchange.session.timer.cap_passed());
        self.end(if timed_out { End::Cut(Error::TotalTimeout) } else { End::ClientGone });
    }
}

impl ResponseBody {
    /// Whether what comes next is best moved past our memory.
    pub fn can_splice(&mut self) -> bool {
        match self {
            Self::Stream(downloading) => downloading.can_splice(),
            Self::Empty | Self::Full(_) | Self::Tunnel(_) => false,
        }
    }

    /// Moves the next bytes into an empty pipe. How many there were.
    ///
    /// # Errors
    /// The body has ended early.
    pub fn poll_splice(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, BodyCut>> {
        match self {
            Self::Stream(downloading) => downloading.poll_splice(cx, pipe),
            Self::Empty | Self::Full(_) | Self::Tunnel(_) => Poll::Ready(Ok(0)),
        }
    }

    /// Sends what there is of the request while the client does not take the response: it may read only when it has sent all.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Self::Stream(downloading) = self
            && let Some(upstream) = downloading.exchange.as_mut().and_then(|exchange| exchange.upstream())
        {
            let _ = upstream.poll_sent(cx);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        match self.get_mut() {
            Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(downloading) => downloading.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Tunnel(_) => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(downloading) => downloading.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Tunnel(_) => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(downloading) => downloading.size_hint(),
        }
    }
}
