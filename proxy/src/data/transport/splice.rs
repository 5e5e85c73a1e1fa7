//! Large response bodies without a copy: their bytes go from socket to socket through a pipe of the kernel's and never come
//! into our memory (splice(2)).

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bodies that are shorter are read and written: two more system calls cost more than to copy them.
pub const MIN: u64 = 128 * 1024;
/// Most bytes that are moved at once.
pub const MOST: usize = 256 * 1024;
/// Bytes that a pipe has room for, in pages of the kernel's: with its default of 64 KiB there were four times as many system
/// calls for a body.
const SIZE: i32 = 256 * 1024;
/// Pipes of one data thread, each two files. What finds no pipe is copied.
pub const PIPES: usize = 128;
/// So many are kept for the next body.
const IDLE: usize = 16;
/// When a pipe could not be made, none is tried for this long, in milliseconds.
const PAUSE_MS: u64 = 1000;

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    ends: (io::PipeReader, io::PipeWriter),
    /// Bytes that are in it.
    held: usize,
    /// See [`Pipes::open`].
    open: Rc<Cell<usize>>,
}

impl Pipe {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves what has come on a socket into the pipe, which must be empty, but no more than this. 0 at the end.
    ///
    /// # Errors
    /// As the socket, and when the kernel cannot do it.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: u64) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).unwrap_or(MOST).min(MOST);
        loop {
            ready!(from.poll_read_ready(cx))?;
            // A full pipe would look as if nothing came, but this one is empty.
            match from.try_io(Interest::READABLE, || splice(from, &self.ends.1, most)) {
                Ok(count) => {
                    self.held += count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves bytes of the pipe, which must not be empty, to a socket, but no more than this.
    ///
    /// # Errors
    /// As the socket.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || splice(&self.ends.0, to, most)) {
                Ok(count) => {
                    self.held -= count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

/// The pipes of a data thread. One belongs to a session only while there is something in it.
#[derive(Debug)]
pub struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    /// All that there are.
    open: Rc<Cell<usize>>,
    /// No new one is made before this time.
    not_before_ms: Cell<u64>,
}

impl Pipes {
    /// None yet, and none ever where the system cannot splice.
    pub fn probe() -> Self {
        let works = try_it();
        if let Err(error) = &works {
            tracing::info!(%error, "large responses are copied, because this system does not splice sockets");
        }
        let not_before_ms = Cell::new(if works.is_ok() { 0 } else { u64::MAX });
        Self { idle: RefCell::default(), open: Rc::default(), not_before_ms }
    }

    /// An empty pipe. `None`: there are enough, or there can be none; the body is copied.
    pub fn take(&self, now_ms: u64) -> Option<Pipe> {
        if let Some(pipe) = self.idle.borrow_mut().pop() {
            return Some(pipe);
        }
        if self.open.get() >= PIPES || now_ms < self.not_before_ms.get() {
            return None;
        }
        let Ok(ends) = wide_pipe() else {
            self.not_before_ms.set(now_ms.saturating_add(PAUSE_MS));
            return None;
        };
        self.open.set(self.open.get() + 1);
        Some(Pipe { ends, held: 0, open: Rc::clone(&self.open) })
    }

    /// Takes an empty pipe back.
    pub fn give_back(&self, pipe: Pipe) {
        let mut idle = self.idle.borrow_mut();
        if pipe.is_empty() && idle.len() < IDLE {
            idle.push(pipe);
        }
    }
}

/// A pipe as large as we want it. A user who has very many gets only small ones (`fs.pipe-user-pages-soft`), and to copy is
/// better than these.
#[cfg(target_os = "linux")]
fn wide_pipe() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    use nix::fcntl::{FcntlArg, fcntl};
    let ends = io::pipe()?;
    fcntl(&ends.1, FcntlArg::F_SETPIPE_SZ(SIZE))?;
    Ok(ends)
}

/// Whether the kernel, and whoever filters its system calls, let bytes go from a socket to a pipe and on to a socket.
#[cfg(target_os = "linux")]
fn try_it() -> io::Result<()> {
    use std::os::unix::net::UnixStream;
    let (mut one, other) = UnixStream::pair()?;
    let (read, write) = wide_pipe()?;
    one.write_all(b"x")?;
    splice(&other, &write, 1)?;
    splice(&read, &other, 1)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn wide_pipe() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn try_it() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(target_os = "linux")]
fn splice(from: &impl std::os::fd::AsFd, to: &impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    use nix::fcntl::SpliceFFlags;
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(nix::fcntl::splice(from, None, to, None, most, flags)?)
}

#[cfg(not(target_os = "linux"))]
fn splice<A, B>(_from: &A, _to: &B, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[test]
    fn pipes_are_counted_whoever_has_them() {
        let pipes = Pipes::probe();
        let mut taken: Vec<_> = std::iter::from_fn(|| pipes.take(0)).collect();
        assert_eq!(taken.len(), PIPES);
        pipes.give_back(taken.pop().unwrap());
        taken.extend(pipes.take(0));
        assert!(taken.len() == PIPES && pipes.take(0).is_none());
        // One that somebody drops makes room for another.
        taken.pop();
        assert!(pipes.take(0).is_some());
        taken.into_iter().for_each(|pipe| pipes.give_back(pipe));
        assert_eq!((pipes.idle.borrow().len(), pipes.open.get()), (IDLE, IDLE));
    }

    #[test]
    fn after_a_failure_no_pipe_is_tried_for_a_while() {
        let pipes = Pipes::probe();
        pipes.not_before_ms.set(5000);
        assert!(pipes.take(4999).is_none());
        let pipe = pipes.take(5000).unwrap();
        // One that is there is used whenever.
        pipes.give_back(pipe);
        assert!(pipes.take(0).is_some());
    }

    #[tokio::test]
    async fn bytes_go_from_socket_to_socket_in_order_and_no_more_than_were_asked_for() {
        let ((mut server, from), (to, mut client)) = (pair().await, pair().await);
        let pipes = Pipes::probe();
        let mut pipe = pipes.take(0).unwrap();
        let nobody = &mut Context::from_waker(Waker::noop());
        assert!(pipe.poll_fill(nobody, &from, 10).is_pending());
        server.write_all(b"0123456789abc").await.unwrap();
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 10)).await.unwrap(), 10);
        assert!(!pipe.is_empty());
        assert_eq!(poll_fn(|cx| pipe.poll_drain(cx, &to, 4)).await.unwrap(), 4);
        assert_eq!(poll_fn(|cx| pipe.poll_drain(cx, &to, 100)).await.unwrap(), 6);
        assert!(pipe.is_empty());
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 10)).await.unwrap(), 3);
        // What is in it is nobody else's.
        pipes.give_back(pipe);
        let mut pipe = pipes.take(0).unwrap();
        assert!(pipe.is_empty());
        drop(server);
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 10)).await.unwrap(), 0);
        drop(to);
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "0123456789");
    }
}
