//! A request body on the request path. It streams: a piece is read when the server has taken the one before.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::data::path::session::{Phase, Session};
use crate::data::upstream::request_body::{BodyCut, Stream};
use crate::error::Error;
use crate::model::role::Role;

/// A request body with its bounds.
pub struct Uploading {
    /// What comes from the client.
    pub source: Stream,
    /// Whose request it is.
    pub session: Rc<Session>,
    /// Whose servers it is for.
    pub role: Arc<Role>,
    /// Bytes that may still come.
    pub left: u64,
}

impl Body for Uploading {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let this = self.get_mut();
        let upload = &this.session.upload;
        let frame = this.source.as_mut().poll_frame(cx);
        upload.waiting.set(frame.is_pending());
        match ready!(frame) {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    this.session.strip_trailers(trailers, &this.role);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if length > this.left {
                    return Poll::Ready(Some(Err(this.cut(Error::BodyTooLarge))));
                }
                this.left -= length;
                upload.bytes.set(upload.bytes.get() + length);
                this.progress(this.source.is_end_stream());
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(BodyCut(error))) => Poll::Ready(Some(Err(this.cut(error)))),
            None => {
                this.progress(true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Uploading {
    fn progress(&self, done: bool) {
        let upload = &self.session.upload;
        upload.done.set(done);
        // A server may answer before it has all of the body. What comes afterwards has no deadline of its own, and must not put
        // off that of the response.
        if self.session.phase() != Phase::Request {
            return;
        }
        self.session.timer.set(if done { upload.response_header.get() } else { upload.idle.get() });
    }

    fn cut(&self, why: Error) -> BodyCut {
        self.session.upload.error.set(Some(why));
        BodyCut(why)
    }
}
