//! A request body as connections to endpoints take it, wherever it comes from.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::Error;

/// Why a body ended early; the connection that it was for closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyCut(pub Error);

impl fmt::Display for BodyCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.details())
    }
}

impl std::error::Error for BodyCut {}

/// A body that is still to come.
pub type Stream = Pin<Box<dyn Body<Data = Bytes, Error = BodyCut>>>;

/// A request body.
#[derive(Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// All of a small one, kept for another attempt; `None` when it was handed on.
    Kept(Option<Bytes>),
    /// From the client.
    Stream(Stream),
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Kept(whole) => f.debug_tuple("Kept").field(whole).finish(),
            Self::Stream(stream) => f.debug_tuple("Stream").field(&stream.size_hint()).finish(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Kept(whole) => Poll::Ready(whole.take().map(|whole| Ok(Frame::data(whole)))),
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Kept(None) => true,
            Self::Kept(Some(whole)) => whole.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Kept(None) => SizeHint::with_exact(0),
            Self::Kept(Some(whole)) => SizeHint::with_exact(whole.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
