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
use crate::dial::dial;
use crate::record::Failure;

/// Opens connections as a plan wants them.
#[derive(Debug)]
pub(super) struct Dialer {
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

    /// Opens the connection of this number.
    pub(super) async fn open(&self, number: usize) -> Result<Connection, Failure> {
        let dialed = dial(self.source(number), self.target).await;
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

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    reader: Reader,
}

impl Connection {
    /// Whether the other side has ended it, or said something unasked, while it was idle. It asks the system only if there
    /// is something to hear.
    pub(super) async fn is_stale(&mut self, scratch: &Scratch) -> bool {
        let heard = |cx: &mut Context<'_>| {
            scratch.with(|bytes| Poll::Ready(self.stream.poll_read(cx, &mut ReadBuf::new(bytes)).is_ready()))
        };
        poll_fn(heard).await
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(&mut self, request: &[u8], head: bool, scratch: &Scratch) -> Result<Answer, Failure> {
        self.reader.begin(head);
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

    fn poll_send(&mut self, cx: &mut Context<'_>, request: &[u8], sent: &mut usize) -> Poll<io::Result<()>> {
        while *sent < request.len() {
            match ready!(self.stream.poll_write(cx, &request[*sent..]))? {
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
pub(super) struct Scratch(std::cell::RefCell<Box<[u8]>>);

impl Scratch {
    pub(super) fn new(len: usize) -> Self {
        Self(std::cell::RefCell::new(vec![0; len].into_boxed_slice()))
    }

    fn with<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.0.borrow_mut())
    }
}
