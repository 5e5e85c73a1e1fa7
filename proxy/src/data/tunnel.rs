//! Bytes in both directions: upgrades, and roles that are not HTTP.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ticker::Timer;

/// How long an endpoint may take from its 101 to handing over the connection.
pub const HANDOVER: Duration = Duration::from_secs(5);
const BUFFER: usize = 16 * 1024;

/// Bytes that a tunnel moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// From the client.
    pub up: u64,
    /// To the client.
    pub down: u64,
}

/// Copies both ways until both sides have ended, one fails, or nothing moved for `idle`. An end of one direction is handed
/// on and the other goes on.
pub async fn run<A, B>(client: &mut A, server: &mut B, timer: &Timer, idle: Duration) -> Moved
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (up, down) = (Cell::new(0), Cell::new(0));
    {
        let (mut client_read, mut client_write) = tokio::io::split(client);
        let (mut server_read, mut server_write) = tokio::io::split(server);
        let upward = copy(&mut client_read, &mut server_write, &up, timer, idle);
        let downward = copy(&mut server_read, &mut client_write, &down, timer, idle);
        timer.set(idle);
        both(upward, downward, timer).await;
        timer.clear();
    }
    Moved { up: up.get(), down: down.get() }
}

/// Runs both directions; an error of one ends the other, because a half that was reset will never answer.
async fn both(up: impl Future<Output = io::Result<()>>, down: impl Future<Output = io::Result<()>>, timer: &Timer) {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_done, mut down_done) = (false, false);
    poll_fn(|cx: &mut Context<'_>| {
        if !up_done && let Poll::Ready(result) = up.as_mut().poll(cx) {
            up_done = true;
            down_done |= result.is_err();
        }
        if !down_done && let Poll::Ready(result) = down.as_mut().poll(cx) {
            down_done = true;
            up_done |= result.is_err();
        }
        if up_done && down_done { Poll::Ready(()) } else { timer.poll_elapsed(cx).map(|_| ()) }
    })
    .await;
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Cell<u64>,
    timer: &Timer,
    idle: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        moved.set(moved.get() + count as u64);
        timer.set(idle);
    }
}
