//! A request on its way to an endpoint.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};
use http_body::{Body, Frame};

use crate::data::transport::outgoing::{Chunking, Outgoing};
use crate::data::transport::stream::Transport;
use crate::data::upstream::request_body::RequestBody;
use crate::error::Error;
use crate::wire::trailers::may_be_trailer;

/// The head of a request as it goes over the wire, and how its body follows.
#[derive(Debug)]
pub struct WrittenHead {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Trailers that it has named.
    pub trailers: Vec<HeaderName>,
    /// When the body follows.
    pub begins: Begins,
    /// It asks for the head of a response alone.
    pub head_only: bool,
}

/// When the body of a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// With the head.
    AtOnce,
    /// When the server asks for it (RFC 9110, section 10.1.1).
    WhenAsked,
}

/// A request on its way.
#[derive(Debug)]
pub struct Sending {
    outgoing: Outgoing,
    body: RequestBody,
    begins: Begins,
    /// Bytes of the body that its head has promised and that are still to come; `None`: it goes in chunks.
    pub(super) left: Option<u64>,
    trailers: Vec<HeaderName>,
    /// What came as trailers.
    last: Option<HeaderMap>,
    /// A piece of a body was read that nobody else has, or something may have been sent that was not counted.
    touched: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There may be more of the body.
    Body,
    /// The rest is on its way.
    Rest,
    /// Everything was sent.
    Over,
    /// Not everything was sent, and it never will be.
    Failed,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            outgoing: Outgoing::default(),
            body: RequestBody::Empty,
            begins: Begins::AtOnce,
            left: Some(0),
            trailers: Vec::new(),
            last: None,
            touched: false,
            state: State::Over,
        }
    }
}

impl Sending {
    /// A request of which nothing was sent.
    pub fn new(head: WrittenHead, body: RequestBody) -> Self {
        let WrittenHead { bytes, trailers, begins, .. } = head;
        let left = body.size_hint().exact();
        let state = if body.is_end_stream() && left == Some(0) { State::Rest } else { State::Body };
        let chunking = if left.is_some() { Chunking::Off } else { Chunking::On };
        Self { outgoing: Outgoing::begin(bytes, chunking), begins, trailers, body, left, state, ..Self::default() }
    }

    /// Nothing more will be sent.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over | State::Failed)
    }

    /// Not a byte was sent, and all of the body is still there.
    pub fn is_unsent(&self) -> bool {
        self.sent() == 0 && !self.touched
    }

    /// Bytes that were sent.
    pub fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// The server has asked for the body, or has been silent for long enough.
    pub fn begin_body(&mut self) {
        self.begins = Begins::AtOnce;
    }

    /// Whether the body waits until the server asks for it.
    pub fn is_held_back(&self) -> bool {
        self.state == State::Body && self.begins == Begins::WhenAsked
    }

    /// The server does not want the body. It is told so only by the end of the connection.
    pub fn give_up(&mut self) {
        self.state = State::Failed;
        self.outgoing.clear();
        self.body = RequestBody::Empty;
    }

    /// The body of an unsent request.
    pub fn take_unsent(&mut self) -> Option<RequestBody> {
        self.is_unsent().then(|| mem::replace(&mut self.body, RequestBody::Empty))
    }

    /// Sends as much as can be sent now.
    ///
    /// # Errors
    /// [`Error::Terminated`], or the client's when its body ends early; nothing more is sent then.
    pub fn poll(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<Result<(), Error>> {
        let result = ready!(self.poll_send(cx, to));
        self.state = if result.is_ok() { State::Over } else { State::Failed };
        self.outgoing.clear();
        if result.is_ok() || !self.is_unsent() {
            // It holds its client's connection.
            self.body = RequestBody::Empty;
        }
        Poll::Ready(result)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<Result<(), Error>> {
        if self.state == State::Failed {
            return Poll::Ready(Err(Error::Terminated));
        }
        loop {
            self.gather(cx)?;
            if self.outgoing.is_written() {
                ready!(self.outgoing.poll_flush(cx, to)).map_err(|_| Error::Terminated)?;
                return if self.state == State::Body { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            // What TLS has encrypted may have been sent in part when a write fails.
            self.touched |= matches!(to, Transport::Tls(_));
            ready!(self.outgoing.poll_write(cx, to)).map_err(|_| Error::Terminated)?;
        }
    }

    /// Reads pieces of the body while they are there and small.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while self.state == State::Body && self.begins == Begins::AtOnce && self.outgoing.has_room() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return Ok(()) };
            self.touched |= matches!(self.body, RequestBody::Stream(_));
            match frame.transpose().map_err(|cut| cut.0)?.map(Frame::into_data) {
                Some(Ok(data)) => self.add(data)?,
                // Not the end yet: hyper wants to be asked until there is nothing more.
                Some(Err(other)) => self.last = other.into_trailers().ok(),
                None => self.end()?,
            }
            if self.state == State::Body && self.left == Some(0) && self.body.is_end_stream() {
                self.state = State::Rest;
            }
        }
        Ok(())
    }

    fn add(&mut self, data: Bytes) -> Result<(), Error> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(Error::ClientGone)?;
        }
        self.outgoing.add(data);
        Ok(())
    }

    /// The end of the body. One that is shorter than its head has promised must not look whole to the server, which would take
    /// the next request on this connection for the rest.
    fn end(&mut self) -> Result<(), Error> {
        self.state = State::Rest;
        if self.left.is_some_and(|left| left > 0) {
            return Err(Error::ClientGone);
        }
        let trailers = self.last.iter().flatten();
        self.outgoing.end(trailers.filter(|(name, _)| self.trailers.contains(name) && may_be_trailer(name)));
        Ok(())
    }
}
