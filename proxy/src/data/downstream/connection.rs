//! A client connection from its first to its last byte: what it is doing, and what it is while it does nothing.
//!
//! Nearly all connections wait for their next request nearly all the time. So the task of a connection is as small as that
//! wait, and whatever needs more lives in a box for as long as it works.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::data::downstream::entry;
use crate::data::downstream::http1;
use crate::data::downstream::idle::Waiting;
use crate::data::downstream::next::Next;
use crate::data::path::client::Client;

/// The task of a client connection.
pub struct Connection {
    state: Next,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(stream: TcpStream, client: Client) -> Self {
        Self { state: Next::Work(Box::pin(entry::begin(stream, client))) }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match &mut self.state {
                Next::Work(work) => ready!(work.as_mut().poll(cx)),
                Next::Wait(waiting) => match ready!(waiting.poll_request(cx)) {
                    Some(early) => match mem::replace(&mut self.state, Next::Over) {
                        Next::Wait(Waiting { transport, client, .. }) => {
                            Next::Work(Box::pin(http1::serve(transport, early, client)))
                        }
                        Next::Work(_) | Next::Over => Next::Over,
                    },
                    None => Next::Over,
                },
                Next::Over => return Poll::Ready(()),
            };
            self.state = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tunnel::tcp::Tunnel;

    /// What a connection that does nothing costs, besides what the runtime keeps for its sockets.
    #[test]
    fn a_connection_that_waits_is_small() {
        assert!(size_of::<Connection>() <= 128, "{}", size_of::<Connection>());
        assert!(size_of::<Tunnel>() <= 256, "{}", size_of::<Tunnel>());
    }
}
