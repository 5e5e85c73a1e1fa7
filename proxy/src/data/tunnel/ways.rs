//! Bytes in both directions: upgrades, TLS passthrough, and roles that are not HTTP.
//!
//! A tunnel lives for hours and is silent for most of them: it holds two sockets, a deadline, and no buffer. Bytes are read
//! into one that all tunnels of a data thread share; only what the other side does not take at once is kept.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data::thread::access_log::Ended;
use crate::data::thread::ticker::Timer;
use crate::data::tunnel::line::TunnelLine;
use crate::metrics::{GroupMetrics, RoleMetrics};

/// How long an endpoint may take from its 101 to handing over the connection.
pub const HANDOVER: Duration = Duration::from_secs(5);
/// A tunnel that is to end does so when nothing has moved for this long: what is under way is finished.
const QUIET: Duration = Duration::from_millis(500);
/// Bytes that are moved at once.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Borrowed for the length of one read and write, never across a wait.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Both directions of a tunnel.
#[derive(Debug)]
pub struct Ways {
    up: Way,
    down: Way,
    idle: Duration,
    leaving: bool,
}

impl Ways {
    /// A tunnel that may be silent for `idle`. `early` is what the client has sent already.
    pub fn new(early: Vec<u8>, idle: Duration) -> Self {
        let mut up = Way::default();
        up.keep(&early);
        Self { up, down: Way::default(), idle, leaving: false }
    }

    /// Copies both ways until both sides have ended, one fails, nothing moved for too long, or the tunnel is told to move.
    /// An end of one direction is handed on and the other goes on.
    pub fn poll<A, B>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut A,
        server: &mut B,
        timer: &Timer,
        open: &Open,
    ) -> Poll<()>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let mut moved = false;
        let above = self.up.poll(cx, client, server, |bytes| open.went_up(bytes), &mut moved);
        let below = self.down.poll(cx, server, client, |bytes| open.went_down(bytes), &mut moved);
        let told = timer.moved();
        if moved || told != self.leaving {
            self.leaving = told;
            timer.set(if told { QUIET } else { self.idle });
        }
        open.half_closed(self.up.ended, self.down.ended);
        match (above, below) {
            // A half that was reset will never answer.
            (Poll::Ready(Err(Broken::Reading)), _) | (_, Poll::Ready(Err(Broken::Writing))) => {
                return open.over(Some(Ended::ClientBroke));
            }
            (Poll::Ready(Err(Broken::Writing)), _) | (_, Poll::Ready(Err(Broken::Reading))) => {
                return open.over(Some(Ended::ServerBroke));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return open.over(None),
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        let elapsed = timer.poll_elapsed(cx).is_ready();
        if elapsed && self.leaving && !(self.up.settled() && self.down.settled()) {
            // The other side is slow to take what it was sent.
            self.leaving = false;
            timer.set(self.idle);
            return timer.poll_elapsed(cx).map(|_| ());
        }
        if elapsed && self.leaving {
            let _ = (Pin::new(client).poll_shutdown(cx), Pin::new(server).poll_shutdown(cx));
            open.role.tunnels_moved.increment(1);
        }
        match (elapsed, self.leaving) {
            (true, true) => open.over(Some(Ended::Moved)),
            (true, false) if timer.cap_passed() => open.over(Some(Ended::Cut)),
            (true, false) => open.over(Some(Ended::Idle)),
            (false, _) => Poll::Pending,
        }
    }
}

/// Runs an upgrade until it ends. `leaves`: whether its client has to come back, if it may.
pub async fn run<A, B>(
    (client, server): (&mut A, &mut B),
    early: Vec<u8>,
    (timer, idle): (&Timer, Duration),
    open: Open,
    leaves: impl Fn() -> bool,
) where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    open.went_up(early.len() as u64);
    let mut ways = Ways::new(early, idle);
    timer.set(idle);
    poll_fn(|cx: &mut Context<'_>| {
        timer.move_away_if(&leaves);
        ways.poll(cx, client, server, timer, &open)
    })
    .await;
}

/// Which connection of a direction is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The one that is read from.
    Reading,
    /// The one that is written to.
    Writing,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// Read and not yet written.
    kept: Option<Box<Kept>>,
    flushing: bool,
    ended: bool,
    over: bool,
}

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    written: usize,
}

impl Way {
    /// Whether all that was read has been handed on.
    fn settled(&self) -> bool {
        self.kept.is_none() && !self.flushing && self.ended == self.over
    }

    /// Ready when the end of this direction was handed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        count: impl Fn(u64),
        moved: &mut bool,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.over {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_kept(cx, to, moved)).map_err(|_| Broken::Writing)?;
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| Broken::Writing)?;
                self.over = true;
                continue;
            }
            let read = self.poll_read(cx, from, to)?;
            // TLS keeps what the socket does not take until it is flushed.
            if read.is_pending() && self.flushing {
                ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Broken::Writing)?;
                self.flushing = false;
            }
            let bytes = ready!(read);
            count(bytes as u64);
            *moved |= bytes > 0;
        }
    }

    fn poll_kept(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        let Some(kept) = &mut self.kept else { return Poll::Ready(Ok(())) };
        while kept.written < kept.bytes.len() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &kept.bytes[kept.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            kept.written += written;
            self.flushing = true;
            *moved = true;
        }
        self.kept = None;
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.kept = Some(Box::new(Kept { bytes: bytes.to_vec(), written: 0 }));
        }
    }

    /// Reads once and writes what was read; gives its length.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Poll<usize>, Broken> {
        BUFFER.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(from).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result.map_err(|_| Broken::Reading)?,
            }
            let read = buffer.filled();
            self.ended = read.is_empty();
            let mut written = 0;
            while written < read.len() {
                match Pin::new(&mut *to).poll_write(cx, &read[written..]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Err(Broken::Writing),
                    Poll::Ready(Ok(count)) => written += count,
                    Poll::Pending => break,
                }
            }
            self.flushing |= written > 0;
            self.keep(&read[written..]);
            Ok(Poll::Ready(read.len()))
        })
    }
}

/// Counts an open tunnel for as long as it lives.
#[derive(Debug)]
pub struct Open {
    role: RoleMetrics,
    group: Option<GroupMetrics>,
    /// What the access log is told when it is over.
    line: Option<Box<TunnelLine>>,
}

impl Open {
    /// One more, of a client of this boundary group.
    pub fn new(role: RoleMetrics, group: Option<GroupMetrics>, line: Option<Box<TunnelLine>>) -> Self {
        role.tunnels.increment(1.0);
        Self { role, group, line }
    }

    /// Bytes that the client has sent.
    pub fn went_up(&self, bytes: u64) {
        self.role.tunnel_up.increment(bytes);
        if let Some(line) = &self.line {
            line.went_up(bytes);
        }
    }

    fn went_down(&self, bytes: u64) {
        self.role.tunnel_down.increment(bytes);
        if let Some(group) = &self.group {
            group.sent(bytes);
        }
        if let Some(line) = &self.line {
            line.went_down(bytes);
        }
    }

    /// Whether the client, and whether the server, has sent all.
    fn half_closed(&self, client: bool, server: bool) {
        let Some(line) = &self.line else { return };
        if client {
            line.half_closed(Ended::ClientClosed);
        } else if server {
            line.half_closed(Ended::ServerClosed);
        }
    }

    fn over(&self, why: Option<Ended>) -> Poll<()> {
        if let Some(line) = &self.line {
            line.ends(why);
        }
        Poll::Ready(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.role.tunnels.decrement(1.0);
    }
}
