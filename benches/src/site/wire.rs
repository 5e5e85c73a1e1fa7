//! The socket under a connection, where faults that HTTP cannot express are made.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::link::Link;
use super::shared::Shared;

const GARBAGE: &[u8] = b"\x16\x03\x01\x00\x00 this is no HTTP \xff\xfe\r\n\r\n";
const LINGER: Duration = Duration::from_secs(5);

/// A socket that counts, and that breaks when its [`Link`] says so.
pub(crate) struct Wire {
    stream: TcpStream,
    link: Arc<Link>,
    shared: Arc<Shared>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(crate) const fn new(stream: TcpStream, link: Arc<Link>, shared: Arc<Shared>) -> Self {
        Self { stream, link, shared, linger: None }
    }

    fn alive(&self) -> io::Result<()> {
        if self.link.life.is_killed() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn wrote(&self, result: io::Result<usize>) -> io::Result<usize> {
        result.inspect(|bytes| self.shared.counters.wrote(*bytes))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.link.life.is_killed() || self.link.is_reset() {
            // A socket that cannot be told to reset is closed in good order, which a peer notices as well.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
        self.shared.counters.closed();
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.shared.counters.read(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.alive()?;
        let this = self.get_mut();
        if this.link.is_spoiled() {
            ready!(Pin::new(&mut this.stream).poll_write(cx, GARBAGE))?;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let result = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        Poll::Ready(this.wrote(result))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.link.is_spoiled() {
            return self.poll_write(cx, &[]);
        }
        self.alive()?;
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(this.wrote(result))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        if this.link.ends_when_flushed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.link.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut scratch = [0; 16 * 1024];
        while linger.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut unread))?;
            if unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
