//! A client connection that waits for its next request: a socket, a deadline, and nothing else.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use crate::data::path::client::{Came, Client};
use crate::data::path::door::Door;
use crate::data::thread::ticker::Timer;
use crate::data::transport::stream::Transport;

/// First bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client that has connected may still send its first request when its listener, or the process, is to leave.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Bytes of the first piece: most requests are shorter.
const SCRATCH: usize = 2048;

/// A connection that waits.
#[derive(Debug)]
pub struct Waiting {
    /// The connection.
    pub transport: Transport,
    /// Whose it is.
    pub client: Client,
    timer: Timer,
    _counted: Counted,
}

/// Counts a connection that waits.
#[derive(Debug)]
struct Counted(Rc<Door>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.waiting.decrement(1.0);
    }
}

impl Waiting {
    /// Waits for a request, but not longer than this.
    pub fn new(transport: Transport, client: Client, patience: Duration) -> Self {
        let timer = client.worker.ticker.timer();
        timer.set_idle(patience);
        timer.cap(client.left());
        client.door.metrics.waiting.increment(1.0);
        let _counted = Counted(Rc::clone(&client.door));
        Self { transport, client, timer, _counted }
    }

    /// Ready when the client has sent something, with the first piece of it. `None` when the client has closed, the deadline passed,
    /// the connection gives way to another one or would not be let in any more, or the process shuts down.
    pub fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<BytesMut>> {
        if let Poll::Ready(early) = poll_first_piece(&mut self.transport, cx) {
            self.client.came = Came::Request;
            if early.is_none() {
                self.transport.farewell(cx);
            }
            return Poll::Ready(early);
        }
        // In this order, so that the end of the process wakes it too.
        let ends = self.is_to_end();
        if self.timer.poll_elapsed(cx).is_ready() || ends {
            // Who goes to another process makes room for nobody.
            if self.timer.gives_way() && !self.client.worker.draining() {
                self.client.door.metrics.gave_way.increment(1);
            }
            self.transport.farewell(cx);
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Waiting {
    /// Whether it is to end now. A client that has just connected gets a moment for its request, which may be on its way: it could
    /// not know that the listener leaves.
    fn is_to_end(&mut self) -> bool {
        if !self.client.is_to_end() {
            return false;
        }
        match self.client.came {
            Came::Nothing if self.client.is_departing() => {
                self.client.came = Came::NothingYet;
                self.timer.cap(Some(self.client.left().map_or(FIRST_REQUEST, |left| left.min(FIRST_REQUEST))));
                false
            }
            Came::NothingYet => false,
            Came::Nothing | Came::Request => true,
        }
    }
}

/// Reads the first piece of a request. That something can be read is no more than a guess of the runtime's, and a TLS record
/// may hold no bytes of a request at all: only reading tells.
fn poll_first_piece(transport: &mut Transport, cx: &mut Context<'_>) -> Poll<Option<BytesMut>> {
    let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
    let mut buffer = ReadBuf::uninit(&mut scratch);
    Pin::new(transport).poll_read(cx, &mut buffer).map(|read| match read {
        Ok(()) if !buffer.filled().is_empty() => Some(first_piece(buffer.filled())),
        Ok(()) | Err(_) => None,
    })
}

/// With room for a head of usual length, so that one that came in two pieces is not moved.
fn first_piece(bytes: &[u8]) -> BytesMut {
    let mut piece = BytesMut::with_capacity(SCRATCH);
    piece.put_slice(bytes);
    piece
}

/// Whether a plain connection begins as HTTP/2 with prior knowledge does. `None` when it ends before that is known.
pub async fn begins_http2(
    transport: &mut Transport,
    client: &Client,
    early: &mut BytesMut,
    patience: Duration,
) -> Option<bool> {
    let timer = client.worker.ticker.timer();
    timer.set(patience);
    poll_fn(|cx: &mut Context<'_>| {
        while PREFACE.starts_with(early) && early.len() < PREFACE.len() {
            let mut scratch = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut scratch[..PREFACE.len() - early.len()]);
            match Pin::new(&mut *transport).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => early.extend_from_slice(buffer.filled()),
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => return timer.poll_elapsed(cx).map(|_| None),
            }
        }
        Poll::Ready(Some(early.starts_with(PREFACE)))
    })
    .await
}
