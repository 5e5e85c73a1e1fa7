//! Response bodies: a piece of memory, or a file's pieces as fast as the peer takes them, with or without a fault.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::faults::BodyFault;
use super::link::Link;
use super::shared::Shared;
use crate::content::Pieces;

enum Source {
    Memory(Bytes),
    File(Pieces),
}

struct Fault {
    left: u64,
    kind: BodyFault,
    link: Arc<Link>,
    shared: Arc<Shared>,
    stall: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The body of a response.
pub(crate) struct SiteBody {
    source: Source,
    fault: Option<Box<Fault>>,
}

impl SiteBody {
    pub(crate) fn memory(bytes: impl Into<Bytes>) -> Self {
        Self { source: Source::Memory(bytes.into()), fault: None }
    }

    pub(crate) const fn file(pieces: Pieces) -> Self {
        Self { source: Source::File(pieces), fault: None }
    }

    pub(crate) fn len(&self) -> u64 {
        match &self.source {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File(pieces) => pieces.remaining(),
        }
    }

    /// Breaks after `at` bytes; a body that is not longer than that is left whole.
    pub(crate) fn break_after(&mut self, at: u64, kind: BodyFault, link: &Arc<Link>, shared: &Arc<Shared>) {
        if self.len() > at {
            let (link, shared) = (Arc::clone(link), Arc::clone(shared));
            self.fault = Some(Box::new(Fault { left: at, kind, link, shared, stall: None }));
        }
    }

    fn next(&mut self, most: u64) -> Option<Bytes> {
        match &mut self.source {
            Source::Memory(bytes) => {
                let len = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
                Some(bytes.split_to(len)).filter(|piece| !piece.is_empty())
            }
            Source::File(pieces) => pieces.next_up_to(most),
        }
    }
}

impl Fault {
    /// Pending while the fault holds, ready when the body may go on.
    fn poll_break(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.kind {
            // The socket ends the connection when it has written what came before.
            BodyFault::Reset => self.link.reset_when_flushed(),
            BodyFault::Close => self.link.close_when_flushed(),
            BodyFault::Stall => {
                let shared = &self.shared;
                let stall = self.stall.get_or_insert_with(|| {
                    let shared = Arc::clone(shared);
                    Box::pin(async move { shared.faults.while_body_stalls().await })
                });
                return stall.as_mut().poll(cx);
            }
        }
        Poll::Pending
    }
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let mut most = u64::MAX;
        if let Some(fault) = &mut this.fault {
            if fault.left == 0 {
                ready!(fault.poll_break(cx));
                this.fault = None;
            } else {
                most = fault.left;
            }
        }
        let piece = this.next(most);
        if let (Some(fault), Some(piece)) = (&mut this.fault, &piece) {
            fault.left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
