//! Compression of long answers, on a thread of its own: the thread that answers `/health` does not wait for it.

use std::io::Write;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::answer::{Answer, failed};

/// Shorter answers are not worth it, in bytes.
const SHORTEST: u64 = 1024;

/// Whether an answer goes out compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// As it is.
    Plain,
    /// With gzip.
    Gzip,
}

impl Packing {
    /// What a request takes (RFC 9110, section 12.5.3).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
        match fields.flat_map(|field| field.split(',')).any(takes_gzip) {
            true => Self::Gzip,
            false => Self::Plain,
        }
    }
}

fn takes_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
    ["gzip", "x-gzip", "*"].iter().any(|known| name.trim().eq_ignore_ascii_case(known))
        && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
}

/// Compresses fast rather than well.
pub(super) fn pack(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

/// Says that an answer is compressed.
pub(super) fn marked(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer
}

/// The layer that compresses long answers for those who take it. What has been compressed, or comes little by little, is left alone.
pub(super) async fn compress(request: Request, next: Next) -> Answer {
    let packing = if request.method() == Method::HEAD { Packing::Plain } else { Packing::of(request.headers()) };
    let mut answer = next.run(request).await;
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let long = answer.body().size_hint().exact().is_some_and(|size| size >= SHORTEST);
    if packing == Packing::Plain || !long || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let Ok(whole) = body.collect().await else { return failed() };
    let whole = whole.to_bytes();
    let Ok(packed) = tokio::task::spawn_blocking(move || pack(&whole)).await else { return failed() };
    marked(Response::from_parts(parts, Body::from(Bytes::from(packed))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn codings_are_read() {
        for (field, expected) in [
            ("gzip", Packing::Gzip),
            ("deflate, GZIP;q=0.5, br", Packing::Gzip),
            ("*", Packing::Gzip),
            ("gzip;q=0", Packing::Plain),
            ("gzip; q=0.000", Packing::Plain),
            ("identity", Packing::Plain),
            ("gzip;q=x", Packing::Plain),
            ("", Packing::Plain),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, field.parse().unwrap())]);
            assert_eq!(Packing::of(&headers), expected, "{field}");
        }
        assert_eq!(Packing::of(&HeaderMap::new()), Packing::Plain);
    }

    #[test]
    fn what_is_packed_can_be_read() {
        let text = "rolegate_endpoint_up 1\n".repeat(1000);
        let packed = pack(text.as_bytes());
        assert!(packed.len() < text.len() / 10, "{}", packed.len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
