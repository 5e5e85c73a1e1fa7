//! The socket under a connection, where faults that HTTP cannot express are made.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::auth::Auth;
use super::server::Shared;
use super::tls::Secured;

const GARBAGE: &[u8] = b"\x16\x03\x01\x00\x00 this is no HTTP \xff\xfe\r\n\r\n";
const LINGER: Duration = Duration::from_secs(5);

const PLAIN: u8 = 0;
const RESET: u8 = 1;
const CLOSE: u8 = 2;
const SPOIL: u8 = 3;

/// How far the life of a site system has come, from one start to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Stopping,
    Killed,
}

/// One life of a site system. Connections belong to the life that accepted them.
#[derive(Debug)]
pub(crate) struct Life {
    phase: watch::Sender<Phase>,
    killed: AtomicBool,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running), killed: AtomicBool::new(false) }
    }

    pub(crate) fn end(&self, phase: Phase) {
        self.killed.fetch_or(phase == Phase::Killed, Relaxed);
        // What was killed is not stopped in good order afterwards.
        self.phase.send_if_modified(|now| *now != Phase::Killed && std::mem::replace(now, phase) != phase);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }
}

/// What the handlers of one connection know about it and may do to it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) life: Arc<Life>,
    pub(crate) auth: Mutex<Auth>,
    pub(crate) secured: OnceLock<Secured>,
    mode: AtomicU8,
    lingers: AtomicBool,
}

impl Link {
    pub(crate) fn new(id: u64, peer: SocketAddr, life: Arc<Life>) -> Self {
        let (mode, lingers) = (AtomicU8::new(PLAIN), AtomicBool::new(false));
        Self { id, peer, life, auth: Mutex::default(), secured: OnceLock::new(), mode, lingers }
    }

    /// Resets the connection as soon as what was written so far is out.
    pub(crate) fn reset_when_flushed(&self) {
        self.mode.store(RESET, Relaxed);
    }

    /// Closes the connection as soon as what was written so far is out.
    pub(crate) fn close_when_flushed(&self) {
        self.mode.store(CLOSE, Relaxed);
    }

    /// Whatever is written next goes out as garbage.
    pub(crate) fn spoil(&self) {
        self.mode.store(SPOIL, Relaxed);
    }

    /// Reads on after the last answer, so that unread bytes do not reset the connection and the answer with it.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }
}

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
        if self.link.life.is_killed() || self.link.mode.load(Relaxed) == RESET {
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
        if this.link.mode.load(Relaxed) == SPOIL {
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
        if self.link.mode.load(Relaxed) == SPOIL {
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
        match this.link.mode.load(Relaxed) {
            RESET | CLOSE => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.link.lingers.load(Relaxed) {
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
