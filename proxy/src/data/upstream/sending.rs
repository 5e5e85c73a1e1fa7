//! A request on its way to an endpoint.

use std::io::{IoSlice, Write};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::data::body::RequestBody;
use crate::data::headers::may_be_trailer;
use crate::data::io::Transport;
use crate::error::Error;
use crate::wire::head;

/// Pieces that are together no larger than this are written as one.
const SMALL: usize = 4096;

/// A request on its way.
#[derive(Debug)]
pub struct Sending {
    /// Written first.
    out: Vec<u8>,
    /// So much of it was.
    at: usize,
    /// Written next: a piece of the body that is too large to be copied.
    piece: Bytes,
    body: RequestBody,
    /// Bytes of the body that its head has promised and that are still to come; `None`: it goes in chunks.
    pub(super) left: Option<u64>,
    /// Trailers that the head has named.
    trailers: Vec<HeaderName>,
    /// What came as trailers.
    last: Option<HeaderMap>,
    /// Bytes that were sent.
    sent: u64,
    /// A piece of a body was read that nobody else has, or something may have been sent that was not counted.
    touched: bool,
    /// Something may be left in buffers of TLS.
    unflushed: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There may be more of the body.
    Body,
    /// The rest is in `out` and `piece`.
    Rest,
    /// Everything was sent.
    Over,
    /// Not everything was sent, and it never will be.
    Failed,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            out: Vec::new(),
            at: 0,
            piece: Bytes::new(),
            body: RequestBody::Empty,
            left: Some(0),
            trailers: Vec::new(),
            last: None,
            sent: 0,
            touched: false,
            unflushed: false,
            state: State::Over,
        }
    }
}

impl Sending {
    /// A request of which nothing was sent: its head, which has named these trailers, and its body.
    pub fn new(out: Vec<u8>, trailers: Vec<HeaderName>, body: RequestBody) -> Self {
        let left = body.size_hint().exact();
        let state = if body.is_end_stream() && left == Some(0) { State::Rest } else { State::Body };
        Self { out, trailers, body, left, state, ..Self::default() }
    }

    /// Nothing more will be sent.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over | State::Failed)
    }

    /// Not a byte was sent, and all of the body is still there.
    pub fn is_unsent(&self) -> bool {
        self.sent == 0 && !self.touched
    }

    /// Bytes that were sent.
    pub fn sent(&self) -> u64 {
        self.sent
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
        self.out = Vec::new();
        self.piece = Bytes::new();
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
            if self.at == self.out.len() && self.piece.is_empty() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Error::Terminated)?;
                    self.unflushed = false;
                }
                return if self.state == State::Body { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            ready!(self.write(cx, to)).map_err(|_| Error::Terminated)?;
        }
    }

    /// Reads pieces of the body while they are there and small.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while self.state == State::Body && self.piece.is_empty() && self.out.len() - self.at < SMALL {
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
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.left {
            Some(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Error::ClientGone)?;
            }
            // Writing to a `Vec` cannot fail.
            None => _ = write!(self.out, "{:x}\r\n", data.len()),
        }
        if self.out.len() - self.at + data.len() <= SMALL {
            self.out.extend_from_slice(&data);
            self.end_chunk();
        } else {
            self.piece = data;
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        if self.left.is_none() {
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// The end of the body. One that is shorter than its head has promised must not look whole to the server, which would take
    /// the next request on this connection for the rest.
    fn end(&mut self) -> Result<(), Error> {
        self.state = State::Rest;
        if let Some(left) = self.left {
            return if left == 0 { Ok(()) } else { Err(Error::ClientGone) };
        }
        self.out.extend_from_slice(b"0\r\n");
        for (name, value) in self.last.iter().flatten() {
            if self.trailers.contains(name) && may_be_trailer(name) {
                head::put(&mut self.out, name, value);
            }
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// One write.
    fn write(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<std::io::Result<()>> {
        // What TLS has encrypted may have been sent in part when a write fails.
        self.touched |= matches!(to, Transport::Tls(_));
        let to = Pin::new(to);
        let first = &self.out[self.at..];
        let count = if self.piece.is_empty() {
            ready!(to.poll_write(cx, first))?
        } else {
            ready!(to.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(&self.piece)]))?
        };
        if count == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        self.sent += count as u64;
        self.unflushed = true;
        let of_first = count.min(first.len());
        self.at += of_first;
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        if count > of_first {
            self.piece.advance(count - of_first);
            if self.piece.is_empty() {
                self.end_chunk();
            }
        }
        Poll::Ready(Ok(()))
    }
}
