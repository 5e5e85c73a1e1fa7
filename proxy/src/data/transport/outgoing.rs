//! Bytes of a message on their way into a socket.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{HeaderName, HeaderValue};
use tokio::io::AsyncWrite;

use crate::data::transport::stream::Transport;
use crate::wire::head;

/// Pieces that are together no larger than this are written as one.
pub const SMALL: usize = 4096;

/// How a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// As it is: its length is known, or it ends with its connection.
    Off,
    /// In chunks.
    On,
}

/// What is to be written.
#[derive(Debug)]
pub struct Outgoing {
    /// Written first.
    out: Vec<u8>,
    /// So much of it was.
    at: usize,
    /// Written next: a piece that is too large to be copied.
    piece: Bytes,
    chunking: Chunking,
    /// Bytes that were written.
    sent: u64,
    /// Something may be left in buffers of TLS.
    unflushed: bool,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { out: Vec::new(), at: 0, piece: Bytes::new(), chunking: Chunking::Off, sent: 0, unflushed: false }
    }
}

impl Outgoing {
    /// A message, of which the head is written already.
    pub fn begin(head: Vec<u8>, chunking: Chunking) -> Self {
        Self { out: head, chunking, ..Self::default() }
    }

    /// Another message, after all that is still to be written.
    pub fn append(&mut self, head: Vec<u8>, chunking: Chunking) {
        if self.is_written() {
            self.out = head;
            self.at = 0;
        } else {
            self.out.extend_from_slice(&head);
        }
        self.chunking = chunking;
    }

    /// Whether everything went into the socket, but for what TLS keeps.
    pub fn is_written(&self) -> bool {
        self.at == self.out.len() && self.piece.is_empty()
    }

    /// Whether there is nothing that the socket has not got.
    pub fn is_flushed(&self) -> bool {
        self.is_written() && !self.unflushed
    }

    /// Whether another piece of the body may be added.
    pub fn has_room(&self) -> bool {
        self.piece.is_empty() && self.out.len() - self.at < SMALL
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.at + self.piece.len()
    }

    /// Bytes that were written.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Adds a piece of the body; there must be room.
    pub fn add(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.chunking == Chunking::On {
            // Writing to a `Vec` cannot fail.
            let _ = write!(self.out, "{:x}\r\n", data.len());
        }
        if self.out.len() - self.at + data.len() <= SMALL {
            self.out.extend_from_slice(&data);
            self.end_chunk();
        } else {
            self.piece = data;
        }
    }

    fn end_chunk(&mut self) {
        if self.chunking == Chunking::On {
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends a body in chunks, with these trailers.
    pub fn end<'a>(&mut self, trailers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) {
        if self.chunking == Chunking::Off {
            return;
        }
        self.out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            head::put(&mut self.out, name.as_str().as_bytes(), value.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Nothing more is written.
    pub fn clear(&mut self) {
        self.out = Vec::new();
        self.at = 0;
        self.piece = Bytes::new();
    }

    /// Writes once.
    ///
    /// # Errors
    /// As the socket.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<io::Result<()>> {
        let to = Pin::new(to);
        let first = &self.out[self.at..];
        let count = if self.piece.is_empty() {
            ready!(to.poll_write(cx, first))?
        } else {
            ready!(to.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(&self.piece)]))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.sent += count as u64;
        self.unflushed = true;
        let of_first = count.min(first.len());
        self.at += of_first;
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        if count > of_first {
            self.piece.advance(count - of_first);
            if self.piece.is_empty() {
                // The last of it must not hold the buffer that it came in.
                self.piece = Bytes::new();
                self.end_chunk();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives everything to the socket that was written.
    ///
    /// # Errors
    /// As the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
