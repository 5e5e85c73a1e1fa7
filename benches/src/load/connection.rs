//! One connection: opening it, sending a request, reading the answer.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::response::{Answer, Reader};
use super::{Error, Plan};
use crate::client::Connector;
use crate::content;
use crate::dial::dial;
use crate::record::Failure;

/// Opens connections as a plan wants them.
#[derive(Debug)]
pub(crate) struct Dialer {
    target: SocketAddr,
    host: String,
    sources: Vec<IpAddr>,
    secured: Option<Connector>,
}

impl Dialer {
    pub(super) fn new(plan: &Plan) -> Result<Self, Error> {
        let tls = plan.tls.clone().map(|tls| if plan.resume_tls { tls } else { tls.without_resumption() });
        // One for all: if it remembers sessions, it is one memory.
        let secured = tls.map(|tls| tls.connector()).transpose().map_err(Error::Tls)?;
        Ok(Self { target: plan.target, host: plan.host.clone(), sources: plan.sources.clone(), secured })
    }

    /// Opens connections to this target, secured or not, from addresses that are named for each.
    pub(crate) const fn to(target: SocketAddr, host: String, secured: Option<Connector>) -> Self {
        Self { target, host, sources: Vec::new(), secured }
    }

    /// Opens the connection of this number.
    pub(super) async fn open(&self, number: usize) -> Result<Connection, Failure> {
        self.open_from(self.source(number)).await
    }

    /// Opens a connection from this address, or from one that the system chooses if it is unspecified.
    pub(crate) async fn open_from(&self, source: IpAddr) -> Result<Connection, Failure> {
        let dialed = dial(source, self.target).await;
        let stream = dialed.map_err(|error| Failure::of_opening(&error))?;
        let stream = match &self.secured {
            None => Stream::Plain(stream),
            Some(connector) => self.secure(connector, stream).await?,
        };
        Ok(Connection { stream, reader: Reader::new() })
    }

    fn source(&self, number: usize) -> IpAddr {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if self.sources.is_empty() { any } else { self.sources[number % self.sources.len()] }
    }

    async fn secure(&self, connector: &Connector, stream: TcpStream) -> Result<Stream, Failure> {
        let secured = connector.secure(stream, &self.host, self.target.ip()).await;
        secured.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| Failure::of_opening(&error))
    }
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes what it takes of it, and returns how much that is.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // Nothing is held back.
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// A request as it goes out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'r> {
    /// What it begins with.
    pub(crate) bytes: &'r [u8],
    /// So many bytes that are made up follow.
    pub(crate) filler: usize,
    /// Its answer has no body, whatever it says.
    pub(crate) head_only: bool,
}

impl<'r> Outgoing<'r> {
    /// What comes next when so many bytes were sent.
    fn after(self, sent: usize) -> Option<&'r [u8]> {
        if sent < self.bytes.len() {
            return Some(&self.bytes[sent..]);
        }
        let (block, sent) = (content::block(), sent - self.bytes.len());
        let from = sent % block.len();
        let next = &block[from..block.len().min(from + (self.filler - sent))];
        (!next.is_empty()).then_some(next)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    reader: Reader,
}

impl Connection {
    /// Whether the other side has ended it, or said something unasked, while it was idle. It asks the system only if there
    /// is something to hear.
    pub(crate) async fn is_stale(&mut self, scratch: &Scratch) -> bool {
        let heard = |cx: &mut Context<'_>| {
            scratch.with(|bytes| Poll::Ready(self.stream.poll_read(cx, &mut ReadBuf::new(bytes)).is_ready()))
        };
        poll_fn(heard).await
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: Outgoing<'_>, scratch: &Scratch) -> Result<Answer, Failure> {
        self.reader.begin(request.head_only);
        let mut sent = 0;
        let said = poll_fn(|cx| self.poll_send(cx, request, &mut sent)).await;
        let heard = poll_fn(|cx| self.poll_answer(cx, scratch)).await;
        match said {
            Ok(()) => heard,
            // A target that refuses a body may answer before it has all of it. Such a connection is over.
            Err(error) => heard.map(|answer| Answer { keep: false, ..answer }).map_err(|heard| match heard {
                // What the target said in the end says more than that it does not listen any more.
                Failure::Tls(_) => heard,
                _ => Failure::of_stream(&error),
            }),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, request: Outgoing<'_>, sent: &mut usize) -> Poll<io::Result<()>> {
        while let Some(next) = request.after(*sent) {
            match ready!(self.stream.poll_write(cx, next))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => *sent += len,
            }
        }
        self.stream.poll_flush(cx)
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, scratch: &Scratch) -> Poll<Result<Answer, Failure>> {
        loop {
            let read = scratch.with(|bytes| {
                let mut buffer = ReadBuf::new(bytes);
                let read = ready!(self.stream.poll_read(cx, &mut buffer));
                Poll::Ready(match read {
                    Ok(()) if buffer.filled().is_empty() => self.reader.end().map(Some),
                    Ok(()) => self.reader.feed(buffer.filled()),
                    // An end of TLS without a farewell is an end, too.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.reader.end().map(Some),
                    Err(error) => Err(Failure::of_stream(&error)),
                })
            });
            if let Some(over) = ready!(read).transpose() {
                return Poll::Ready(over);
            }
        }
    }

    /// Waits for the other side to end it, as it said it would: whoever ends a connection first loses its port for a
    /// minute, and a generator that opens many would run out of them.
    pub(super) async fn ended(&mut self, scratch: &Scratch) {
        let ended = |cx: &mut Context<'_>| scratch.with(|bytes| self.stream.poll_read(cx, &mut ReadBuf::new(bytes)));
        // Whatever it is, nothing is done with it.
        let _ = poll_fn(ended).await;
    }

    /// Whether its handshake made use of an earlier one.
    #[cfg(test)]
    pub(super) fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }

    /// Ends it so that its port is free at once.
    pub(super) fn abandon(self) {
        // If not, the port is free later.
        let _ = self.stream.tcp().set_zero_linger();
    }
}

/// What all connections of a thread read into.
#[derive(Debug)]
pub(crate) struct Scratch(std::cell::RefCell<Box<[u8]>>);

impl Scratch {
    pub(crate) fn new(len: usize) -> Self {
        Self(std::cell::RefCell::new(vec![0; len].into_boxed_slice()))
    }

    fn with<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.0.borrow_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_follows_what_is_written() {
        let filler = 2 * content::block().len() + 3;
        let outgoing = Outgoing { bytes: b"POST", filler, head_only: false };
        let (mut sent, mut pieces) = (0, 0);
        // A socket takes less than it is given, now and then.
        while let Some(next) = outgoing.after(sent) {
            sent += next.len().min(if pieces == 1 { 5 } else { usize::MAX });
            pieces += 1;
        }
        assert_eq!((sent, pieces), (filler + 4, 5));
        assert!(Outgoing { filler: 0, ..outgoing }.after(4).is_none());
    }
}
