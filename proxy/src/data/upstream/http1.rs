//! An HTTP/1.1 connection to an endpoint. It has no task of its own: the request that waits for its response drives it, request body
//! included, and between two requests it is a socket without a buffer.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, Interest, ReadBuf};

pub mod sending;
#[cfg(test)]
mod tests;

use crate::data::thread::spare::SpareFields;
use crate::data::transport::splice::Pipe;
use crate::data::transport::stream::{Transport, poll_read_some};
use crate::data::upstream::made::Made;
use crate::data::upstream::request_body::RequestBody;
use crate::error::Error;
use crate::wire::body::{Framing, Step};
use crate::wire::fields::Fields;
use crate::wire::head::{self, ResponseHead};
use crate::wire::names::Names;
use sending::{Sending, WrittenHead};

/// Largest response head in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Response heads, and the small bodies that come with them, are read into pieces of one block; a new one is begun when so
/// little is left of it.
const ROOM: usize = 4 * 1024;
/// Size of that block.
const BLOCK: usize = 64 * 1024;
/// Interim responses before one response. Nothing else would end a stream of them.
const MAX_INTERIMS: u8 = 32;
/// Most bytes of a body that are read at once.
const PIECE: u64 = 128 * 1024;

/// What all upstream connections of a data thread share to read response heads.
#[derive(Debug, Default)]
pub struct Reading {
    block: RefCell<BytesMut>,
    names: RefCell<Names>,
    /// The emptied fields of a request that was sent: the next response's go there.
    spare: SpareFields,
}

impl Reading {
    /// Keeps the memory of fields that are no longer needed.
    pub fn recycle(&self, fields: Fields) {
        self.spare.put(fields);
    }
}

/// A connection.
#[derive(Debug)]
pub struct Upstream {
    transport: Transport,
    made: Made,
    /// What was read and not used.
    read: BytesMut,
    /// How much of it was looked through for the end of a head.
    searched: usize,
    sending: Sending,
    framing: Framing,
    /// Interim responses to the request under way.
    interims: u8,
    /// The response has no body whatever its head says.
    bodiless: bool,
    /// The other side has closed, or broke a rule: of no use for another request.
    spoiled: bool,
}

impl Upstream {
    /// Nothing was sent on it yet.
    pub fn new(transport: Transport, made: Made) -> Self {
        Self {
            transport,
            made,
            interims: 0,
            read: BytesMut::new(),
            searched: 0,
            sending: Sending::default(),
            framing: Framing::Over,
            bodiless: false,
            spoiled: false,
        }
    }

    /// How it was made.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Begins a request; the one before must be over.
    pub fn begin(&mut self, head: WrittenHead, body: RequestBody) {
        self.bodiless = head.head_only;
        self.sending = Sending::new(head, body);
        self.framing = Framing::Unknown;
        self.interims = 0;
        self.searched = 0;
    }

    /// Sends the body of a request that waits for its server to ask for it: it has been silent for long enough.
    pub fn begin_body(&mut self) {
        self.sending.begin_body();
    }

    /// Ready when all of the request was sent, or never will be.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sending.is_over() {
            return Poll::Ready(());
        }
        self.sending.poll(cx, &mut self.transport).map(|result| self.spoiled |= result.is_err())
    }

    /// The body of a request of which not a byte was sent.
    pub fn take_unsent(&mut self) -> Option<RequestBody> {
        self.sending.take_unsent()
    }

    /// Sends the request and waits for the head of its response. `interim` gets those that come before it, but for 100, which is
    /// between us and the server (RFC 9110, section 15.2).
    ///
    /// # Errors
    /// The client's, when its body ends early; [`Error::NeverSent`] when the connection was closed before the first byte;
    /// [`Error::Terminated`], [`Error::BadResponse`].
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        reading: &Reading,
        mut interim: impl FnMut(ResponseHead),
    ) -> Poll<Result<ResponseHead, Error>> {
        loop {
            if !self.sending.is_over()
                && let Poll::Ready(Err(error)) = self.sending.poll(cx, &mut self.transport)
            {
                self.spoiled = true;
                // A server may refuse a body, say so, and close: its response is read all the same.
                if error != Error::Terminated {
                    return Poll::Ready(Err(error));
                }
            }
            if let Some(head) = self.parse_head(reading)? {
                match head.status {
                    StatusCode::CONTINUE => self.sending.begin_body(),
                    StatusCode::SWITCHING_PROTOCOLS => return Poll::Ready(Ok(head)),
                    status if status.is_informational() => interim(head),
                    _ => return Poll::Ready(Ok(self.answered(head))),
                }
                self.framing = Framing::Unknown;
                self.interims += 1;
                if self.interims > MAX_INTERIMS {
                    self.spoiled = true;
                    return Poll::Ready(Err(Error::BadResponse));
                }
                // The body may go now.
                continue;
            }
            match ready!(self.fill_head(cx, reading)) {
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) if self.sending.is_unsent() => return Poll::Ready(Err(Error::NeverSent)),
                Ok(_) | Err(_) => return Poll::Ready(Err(Error::Terminated)),
            }
        }
    }

    /// A server that answers before it has asked for the body does not get it. What it would take for the body is the next request,
    /// so that there is none.
    fn answered(&mut self, head: ResponseHead) -> ResponseHead {
        if self.sending.is_held_back() {
            self.sending.give_up();
            self.spoiled = true;
        }
        head
    }

    /// A head, if all of it is there, and what it says about its body.
    fn parse_head(&mut self, reading: &Reading) -> Result<Option<ResponseHead>, Error> {
        // A head that comes in pieces is parsed when it is complete, not once for each piece.
        let Some(end) = head::end(&self.read, self.searched).filter(|end| *end <= MAX_HEAD) else {
            self.searched = self.read.len();
            return if self.searched >= MAX_HEAD { Err(Error::BadResponse) } else { Ok(None) };
        };
        self.searched = 0;
        let bytes = self.read.split_to(end).freeze();
        let fields = reading.spare.take();
        let parsed = head::parse(&bytes, fields, &mut reading.names.borrow_mut());
        let mut response = parsed.map_err(|_| Error::BadResponse)?;
        self.framing = Framing::of(&mut response, self.bodiless).map_err(|_| Error::BadResponse)?;
        self.tidy();
        Ok(Some(response))
    }

    fn fill_head(&mut self, cx: &mut Context<'_>, reading: &Reading) -> Poll<io::Result<usize>> {
        if !self.read.is_empty() {
            self.read.reserve(ROOM);
            return pin!(self.transport.read_buf(&mut self.read)).poll(cx);
        }
        let mut block = reading.block.borrow_mut();
        if block.capacity() < ROOM {
            block.reserve(BLOCK);
        }
        let count = ready!(pin!(self.transport.read_buf(&mut *block)).poll(cx));
        self.read = block.split();
        Poll::Ready(count)
    }

    /// The next piece of the response body; the rest of the request's is sent meanwhile. `None` at its end.
    ///
    /// # Errors
    /// [`Error::Terminated`] when it ends early or is no body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // Whether that goes well matters only for the connection's next request.
        let _ = self.poll_sent(cx);
        loop {
            match self.framing.step(&mut self.read) {
                Step::Frame(frame) => {
                    self.tidy();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Step::Over => {
                    self.tidy();
                    return Poll::Ready(None);
                }
                Step::Broken => return self.broken(),
                Step::More => {}
            }
            let room = self.framing.expects().clamp(1, PIECE);
            let room = usize::try_from(room).unwrap_or(ROOM);
            // While the client takes its time, pieces of the last buffer are still in use, and a new one is not made for each.
            if self.read.capacity() - self.read.len() < room.min(ROOM) {
                self.read.reserve(room);
            }
            let read = ready!(poll_read_some(&mut self.transport, cx, &mut self.read, room));
            match (read, &self.framing) {
                (Ok(count), _) if count > 0 => {}
                (Ok(_), Framing::UntilClose) => {
                    self.spoiled = true;
                    self.framing = Framing::Over;
                }
                (Ok(_) | Err(_), _) => return self.broken(),
            }
        }
    }

    /// Reads ahead until all of the response body is here, if it is no longer than this. Ready with whether it is.
    pub fn poll_whole(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<bool> {
        loop {
            let Some(left) = self.left().filter(|left| *left <= most) else { return Poll::Ready(false) };
            let missing = left.saturating_sub(self.read.len() as u64);
            if missing == 0 {
                return Poll::Ready(true);
            }
            let room = usize::try_from(missing).unwrap_or(ROOM);
            self.read.reserve(room);
            // The next read meets the end of the connection again.
            if !matches!(ready!(poll_read_some(&mut self.transport, cx, &mut self.read, room)), Ok(1..)) {
                return Poll::Ready(false);
            }
        }
    }

    /// Whether what comes next of the response body can go past our memory.
    pub fn can_splice(&self) -> bool {
        self.transport.is_plain() && self.read.is_empty() && matches!(self.framing, Framing::Length(_))
    }

    /// Moves the next piece of such a body into an empty pipe, and says how long it is; the rest of the request's is sent
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Terminated`] when it ends early.
    pub fn poll_splice(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, Error>> {
        let _ = self.poll_sent(cx);
        // Nothing is read for a long time, and the block that the head came in would be held for as long.
        self.read = BytesMut::new();
        let filled = ready!(pipe.poll_fill(cx, self.transport.tcp(), self.framing.expects()));
        let count = filled.unwrap_or(0);
        self.spoiled |= count == 0;
        self.framing.passed(count as u64);
        Poll::Ready(if count == 0 { Err(Error::Terminated) } else { Ok(count) })
    }

    fn broken(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.spoiled = true;
        Poll::Ready(Some(Err(Error::Terminated)))
    }

    /// An idle connection must not hold the block that its last response came in.
    fn tidy(&mut self) {
        if self.is_complete() && self.read.is_empty() {
            self.read = BytesMut::new();
        }
    }

    /// All of the response is read.
    pub fn is_complete(&self) -> bool {
        self.framing.is_over()
    }

    /// Bytes of the response body that are still to come, where its head said how many.
    pub fn left(&self) -> Option<u64> {
        self.framing.left()
    }

    /// Whether another request may be sent on it, as far as anybody has noticed. No system call unless something has come.
    pub fn is_idle(&mut self) -> bool {
        let over = self.is_complete() && self.sending.is_over();
        over && self.poll_closed(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Ready when the connection is closed, or something came on it that was not asked for.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.spoiled || !self.read.is_empty() {
            return Poll::Ready(());
        }
        // Without a look at the socket, unless the runtime has heard of something.
        let silent = self.transport.tcp().try_io(Interest::READABLE, || Ok(())).is_err();
        if silent && !self.transport.holds_something() && cx.waker().will_wake(Waker::noop()) {
            return Poll::Pending;
        }
        let mut byte = [0_u8; 1];
        let mut byte = ReadBuf::new(&mut byte);
        // With TLS there may be something that is not for us, such as a session ticket. Unconstrained, because a task may read
        // only so often at a time, and would find the rest of many closed connections open.
        let transport = &mut self.transport;
        let read = poll_fn(|cx: &mut Context<'_>| Pin::new(&mut *transport).poll_read(cx, &mut byte));
        let came = pin!(tokio::task::coop::unconstrained(read)).poll(cx);
        came.map(|_| self.spoiled = true)
    }

    /// Some of the request is still to be sent.
    pub fn is_sending(&self) -> bool {
        !self.sending.is_over()
    }

    /// Bytes of the request that were sent.
    pub fn sent(&self) -> u64 {
        self.sending.sent()
    }

    /// The socket, and what was read from it, for the tunnel that they are from now on.
    pub fn into_parts(self) -> (Transport, BytesMut) {
        (self.transport, self.read)
    }
}
