//! A client's HTTP/1.1 connection while it is worked on. The request's body and the response share it: the body reads from it
//! wherever it is polled, and the connection's own task does the rest.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};
use http_body::{Body, Frame, SizeHint};

use crate::data::transport::outgoing::{Chunking, Outgoing};
use crate::data::transport::stream::{Transport, poll_read_some};
use crate::data::upstream::request_body::{BodyCut, RequestBody};
use crate::error::Error;
use crate::model::snapshot::OnClose;
use crate::wire::body::{Framing, Step};
use crate::wire::head::{self, ResponseHead, Spelling, Writing};
use crate::wire::hop_by_hop::strip_hop_by_hop;
use crate::wire::known::Known;
use crate::wire::request::{BadRequest, check_beginning, skip_blank_lines};

/// Room for the next head; most are shorter.
const ROOM: usize = 2048;
/// Most bytes of a body that are read at once.
const PIECE: u64 = 128 * 1024;
/// Bytes that wait for a client that takes no interim responses; what would be more is left out.
const MAX_WAITING: usize = 64 * 1024;

/// What was not asked for when a client was asked to go on.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection, and who reads from it.
#[derive(Debug)]
pub struct Channel {
    line: RefCell<Line>,
    /// A request body is held that may still be read.
    held: Cell<bool>,
    /// The connection's task. A socket wakes only one of those who wait for it, and that may be who reads the body.
    owner: RefCell<Option<Waker>>,
}

/// Both directions.
#[derive(Debug)]
pub struct Line {
    /// The socket. `None`: the connection has ended.
    pub transport: Option<Transport>,
    /// What is to be written.
    pub outgoing: Outgoing,
    /// What was read and not used.
    pub read: BytesMut,
    /// How much of it was looked through for the end of a head.
    searched: usize,
    /// The first line of the head has been looked at.
    line_seen: bool,
    /// What is left of the request's body.
    upload: Framing,
    /// The client waits to be asked for it.
    asks: bool,
    /// The client sends no more.
    ended: bool,
    /// Who reads the body, perhaps in another task.
    reader: Option<Waker>,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// The client has closed, or left in the middle of one.
    Gone,
    /// It is none, or may not be.
    Refused(BadRequest),
}

impl Channel {
    /// A connection of which this was read already.
    pub fn new(transport: Transport, early: BytesMut) -> Rc<Self> {
        let line = Line {
            transport: Some(transport),
            outgoing: Outgoing::default(),
            read: early,
            searched: 0,
            line_seen: false,
            upload: Framing::Over,
            asks: false,
            ended: false,
            reader: None,
        };
        Rc::new(Self { line: RefCell::new(line), held: Cell::new(false), owner: RefCell::default() })
    }

    /// Lends the connection out. Never across a poll of anything that may read the request's body.
    pub fn line(&self) -> std::cell::RefMut<'_, Line> {
        self.line.borrow_mut()
    }

    /// A request begins; gives its body. `asks`: the client waits to be asked for it.
    pub fn begin_request(self: &Rc<Self>, framing: Framing, asks: bool) -> RequestBody {
        let mut line = self.line();
        line.asks = asks;
        line.upload = framing;
        if line.upload.is_over() {
            return RequestBody::Empty;
        }
        self.held.set(true);
        RequestBody::Stream(Box::pin(ChannelBody(Some(Rc::clone(self)))))
    }

    /// Ready when the request's body was read to its end, or never will be. Whether the next request can follow it.
    pub fn poll_upload_end(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut line = self.line();
        if !self.held.get() {
            return Poll::Ready(line.discard());
        }
        if line.upload.is_over() {
            return Poll::Ready(true);
        }
        drop(line);
        self.owned_by(cx);
        Poll::Pending
    }

    /// The connection's task is told when the request's body has come to its end, or is to be asked for.
    pub fn owned_by(&self, cx: &Context<'_>) {
        match &mut *self.owner.borrow_mut() {
            Some(known) => known.clone_from(cx.waker()),
            none @ None => *none = Some(cx.waker().clone()),
        }
    }

    /// Whether the request's body was read to its end, or can be thrown away at once.
    pub fn is_upload_over(&self) -> bool {
        let mut line = self.line();
        if self.held.get() { line.upload.is_over() } else { line.discard() }
    }

    /// Whether the request's body is still being read. One that its client waits to be asked for is not: it never will be.
    pub fn is_upload_held(&self) -> bool {
        let line = self.line();
        self.held.get() && !line.asks && !line.upload.is_over()
    }

    /// The connection ends: gives what there is of it. A task that still reads from it is told.
    pub fn take(&self) -> Option<(Transport, BytesMut)> {
        let mut line = self.line();
        let reader = line.reader.take();
        let taken = line.transport.take().map(|transport| (transport, std::mem::take(&mut line.read)));
        drop(line);
        if let Some(reader) = reader {
            reader.wake();
        }
        taken
    }

    fn tell(&self) {
        if let Some(owner) = self.owner.borrow_mut().take() {
            owner.wake();
        }
    }
}

impl Line {
    /// The next head, of no more than `limit` bytes.
    ///
    /// # Errors
    /// [`NoHead`]
    pub fn poll_head(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<BytesMut, NoHead>> {
        loop {
            self.searched = skip_blank_lines(&mut self.read, self.searched);
            if let Some(end) = head::end(&self.read, self.searched) {
                self.searched = 0;
                self.line_seen = false;
                let fits = end <= limit;
                return Poll::Ready(if fits {
                    Ok(self.read.split_to(end))
                } else {
                    Err(NoHead::Refused(BadRequest::TooLarge))
                });
            }
            if self.read.len() >= limit {
                return Poll::Ready(Err(NoHead::Refused(BadRequest::TooLarge)));
            }
            if !self.line_seen && !self.read.is_empty() {
                self.line_seen = memchr::memchr(b'\n', &self.read[self.searched..]).is_some();
                if (self.line_seen || self.searched == 0)
                    && let Err(refused) = check_beginning(&self.read)
                {
                    return Poll::Ready(Err(NoHead::Refused(refused)));
                }
            }
            self.searched = self.read.len();
            match ready!(self.poll_read(cx, ROOM)) {
                Some(count) if count > 0 => {}
                Some(_) | None => return Poll::Ready(Err(NoHead::Gone)),
            }
        }
    }

    /// Whether a head has begun to come.
    pub fn has_begun(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether the client has shut down its sending side.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing of ours is between the client and the socket.
    pub fn is_plain(&self) -> bool {
        self.transport.as_ref().is_some_and(Transport::is_plain)
    }

    /// Reads once. 0 at the end; `None` when the connection has failed.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Option<usize>> {
        let Some(transport) = self.transport.as_mut().filter(|_| !self.ended) else { return Poll::Ready(Some(0)) };
        if self.read.capacity() - self.read.len() < room.min(ROOM) {
            self.read.reserve(room);
        }
        let count = ready!(poll_read_some(transport, cx, &mut self.read, room)).ok();
        self.ended |= count == Some(0);
        Poll::Ready(count)
    }

    /// Ready when the client has broken off the connection while it waits for its response. One that has shut down its sending
    /// side still waits (RFC 9112, section 9.6), unless `on_close` says otherwise; what it sends is its next request.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, on_close: OnClose) -> Poll<()> {
        if self.ended && on_close == OnClose::Abort && self.upload.is_over() {
            return Poll::Ready(());
        }
        if self.ended || self.has_begun() || !self.upload.is_over() {
            return Poll::Pending;
        }
        match ready!(self.poll_read(cx, ROOM)) {
            Some(0) if on_close == OnClose::Abort => Poll::Ready(()),
            // After its end the socket wakes no task any more.
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }

    /// The body is wanted. Whether the client has to be asked for it, which its own task does.
    fn ask(&mut self) -> bool {
        let asks = std::mem::take(&mut self.asks) && !self.has_begun();
        if asks {
            self.outgoing.append(CONTINUE.to_vec(), Chunking::Off);
        }
        asks
    }

    /// The response begins: the client is not asked for its body any more.
    pub fn answer(&mut self) {
        self.asks = false;
    }

    /// The next piece of the request's body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        loop {
            match self.upload.step(&mut self.read) {
                Step::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Step::Over => return Poll::Ready(None),
                Step::Broken => return Poll::Ready(Some(Err(BodyCut(Error::InvalidBody)))),
                Step::More => {}
            }
            let room = usize::try_from(self.upload.expects().clamp(1, PIECE)).unwrap_or(ROOM);
            match self.poll_read(cx, room) {
                Poll::Ready(Some(count)) if count > 0 => {}
                Poll::Ready(Some(_) | None) => return Poll::Ready(Some(Err(BodyCut(Error::ClientGone)))),
                Poll::Pending => {
                    match &mut self.reader {
                        Some(known) => known.clone_from(cx.waker()),
                        None => self.reader = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Throws away what is left of a body that is not wanted, if it is here. Whether that is all of it.
    fn discard(&mut self) -> bool {
        while !self.upload.is_over() && !self.asks {
            match self.upload.step(&mut self.read) {
                Step::Frame(_) => {}
                Step::Over => break,
                Step::More | Step::Broken => return false,
            }
        }
        self.upload.is_over()
    }

    /// An interim response goes to the client.
    pub fn put_interim(&mut self, mut head: ResponseHead, spelling: Spelling) {
        strip_hop_by_hop(&mut head.fields);
        // Nothing follows that would have one (RFC 9110, section 8.6).
        head.fields.remove(Known::ContentLength);
        let mut out = Writing::response(&head, Version::HTTP_11, spelling, 0);
        head.fields.iter().for_each(|field| out.put(field));
        if head.status != StatusCode::SWITCHING_PROTOCOLS && self.outgoing.waiting() < MAX_WAITING {
            self.outgoing.append(out.end(), Chunking::Off);
        }
    }

    /// Writes what waits, as far as the socket takes it. Ready when nothing waits.
    ///
    /// # Errors
    /// As the socket.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(Ok(())) };
        while !self.outgoing.is_written() {
            ready!(self.outgoing.poll_write(cx, transport))?;
        }
        self.outgoing.poll_flush(cx, transport)
    }
}

/// The body of the request under way. One that has come to its end knows its connection no more: the next request may have begun.
struct ChannelBody(Option<Rc<Channel>>);

impl ChannelBody {
    fn let_go(&mut self) {
        if let Some(channel) = self.0.take() {
            channel.held.set(false);
            channel.tell();
        }
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let Some(channel) = &self.0 else { return Poll::Ready(None) };
        let mut line = channel.line();
        let asked = line.ask();
        let frame = line.poll_body(cx);
        let over = line.upload.is_over();
        drop(line);
        if asked {
            channel.tell();
        }
        if over {
            self.let_go();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.as_ref().map_or(Some(0), |channel| channel.line().upload.left());
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ChannelBody {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Who sends a body elsewhere may hold it for longer than it is needed: until the next request has come.
    #[tokio::test]
    async fn a_body_that_is_dropped_late_is_not_the_next_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
        let _client = theirs.unwrap();
        let channel = Channel::new(Transport::Plain(ours.unwrap().0), BytesMut::from("firstseco"));
        let mut first = channel.begin_request(Framing::Length(5), false);
        assert!(channel.is_upload_held());
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        assert!(channel.is_upload_over() && !channel.is_upload_held());
        let mut second = channel.begin_request(Framing::Length(6), false);
        drop(first);
        assert!(channel.is_upload_held(), "the next one is another");
        assert_eq!(second.frame().await.unwrap().unwrap().into_data().unwrap(), "seco");
        assert!(channel.is_upload_held() && !channel.is_upload_over());
        drop(second);
        assert!(!channel.is_upload_held(), "the rest of it is not waited for");
    }
}
