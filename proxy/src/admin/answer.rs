//! Answers, and what is held until they have been read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// What every page of the admin listener gives.
pub(super) type Answer = Response<Full<Bytes>>;

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

/// A text on its way to one reader. It is given back, with the permit, when the last of it was sent or the connection ends.
struct Unread {
    text: Arc<String>,
    reader: Arc<Reader>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.reader.ends();
    }
}

/// A body that several readers may share.
pub(super) fn body(text: Arc<String>, reader: &Arc<Reader>, permit: Option<OwnedSemaphorePermit>) -> Full<Bytes> {
    reader.begins();
    Full::new(Bytes::from_owner(Unread { text, reader: Arc::clone(reader), _permit: permit }))
}

/// What was asked for as JSON, or all mistakes in the question.
pub(super) fn answered<T: Serialize>(answer: Result<T, Vec<String>>) -> Response<String> {
    match answer {
        Ok(value) => json(&value),
        Err(mistakes) => text(StatusCode::BAD_REQUEST, format!("{}\n", mistakes.join("\n"))),
    }
}

pub(super) fn json(value: &impl Serialize) -> Response<String> {
    match serde_json::to_string_pretty(value) {
        Ok(json) => {
            let mut response = text(StatusCode::OK, json);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

pub(super) fn text<T>(status: StatusCode, body: T) -> Response<T> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_for_a_reader_is_given_back_with_the_last_byte() {
        let (permits, reader) = (Arc::new(Semaphore::new(1)), Reader::new());
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        let held = Unread { text: Arc::new("abc".to_owned()), reader: Arc::clone(&reader), _permit: Some(permit) };
        reader.begins();
        let mut bytes = Bytes::from_owner(held);
        let first = bytes.split_to(1);
        tokio::time::advance(Duration::from_secs(7)).await;
        drop(bytes);
        assert_eq!((reader.unread_for(), permits.available_permits()), (Some(Duration::from_secs(7)), 0));
        drop(first);
        assert_eq!((reader.unread_for(), permits.available_permits()), (None, 1));
    }
}
