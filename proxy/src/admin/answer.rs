//! Answers, and what is held until they have been read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// What every address of the admin listener gives.
pub(super) type Answer = Response;

/// No answer waits to be read.
const NOTHING: u64 = u64::MAX;

/// Whether an answer of one connection waits to be read, and since when.
#[derive(Debug)]
pub(super) struct Reader {
    connected: Instant,
    waits_since_ms: AtomicU64,
}

impl Reader {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { connected: Instant::now(), waits_since_ms: AtomicU64::new(NOTHING) })
    }

    /// Since the connection is there.
    pub(super) fn age(&self) -> Duration {
        self.connected.elapsed()
    }

    /// How long an answer has been waiting to be read.
    pub(super) fn unread_for(&self) -> Option<Duration> {
        let since_ms = self.waits_since_ms.load(Relaxed);
        (since_ms != NOTHING).then(|| self.age().saturating_sub(Duration::from_millis(since_ms)))
    }

    fn begins(&self) {
        let now_ms = u64::try_from(self.age().as_millis()).unwrap_or(NOTHING - 1);
        self.waits_since_ms.store(now_ms, Relaxed);
    }

    fn ends(&self) {
        self.waits_since_ms.store(NOTHING, Relaxed);
    }
}

/// One of the few long answers at a time. It travels in the extensions of an answer, and is given back when that has been read.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Turn {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}

/// What ends when the last byte of an answer was sent, or its connection ends.
#[derive(Debug)]
struct Held {
    reader: Arc<Reader>,
    _turn: Option<Turn>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.reader.ends();
    }
}

/// A piece of an answer on its way.
struct Piece {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that holds what its answer needs as long as one of its pieces is unsent.
#[derive(Debug)]
struct Unread {
    body: Body,
    held: Arc<Held>,
}

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let held = |bytes| Bytes::from_owner(Piece { bytes, _held: Arc::clone(&self.held) });
        polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer on its way to one reader.
pub(super) fn sent(answer: Answer, reader: &Arc<Reader>) -> Answer {
    reader.begins();
    let (mut parts, body) = answer.into_parts();
    let held = Arc::new(Held { reader: Arc::clone(reader), _turn: parts.extensions.remove() });
    Response::from_parts(parts, Body::new(Unread { body, held }))
}

/// What was asked for as JSON, or all mistakes in the question.
pub(super) fn answered<T: Serialize>(answer: Result<T, Vec<String>>) -> Answer {
    match answer {
        Ok(value) => json(&value),
        Err(mistakes) => text(StatusCode::BAD_REQUEST, format!("{}\n", mistakes.join("\n"))),
    }
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(json) => of_kind("application/json", json),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Answer {
    let mut answer = of_kind("text/plain; charset=utf-8", body);
    *answer.status_mut() = status;
    answer
}

/// 200 with a body of this media type.
pub(super) fn of_kind(kind: &'static str, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// What is said when the work of an answer broke off.
pub(super) fn failed() -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_for_a_reader_is_given_back_with_the_last_byte() {
        let (permits, reader) = (Arc::new(Semaphore::new(1)), Reader::new());
        let mut answer = text(StatusCode::OK, "abc");
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        answer.extensions_mut().insert(Turn::new(permit));
        let mut body = sent(answer, &reader).into_body();
        let mut bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        let first = bytes.split_to(1);
        tokio::time::advance(Duration::from_secs(7)).await;
        drop(bytes);
        assert_eq!((reader.unread_for(), permits.available_permits()), (Some(Duration::from_secs(7)), 0));
        drop(first);
        assert_eq!((reader.unread_for(), permits.available_permits()), (None, 1));
    }
}
