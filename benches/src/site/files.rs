//! Files over HTTP: whole or in part, with time stamps and ETags.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::reply;
use super::request::Asked;
use crate::content::ContentFile;

/// The methods of a folder of files.
pub(crate) const METHODS: &str = "GET, HEAD, PROPFIND";

/// What a Range field asks of a file.
#[derive(Debug, PartialEq, Eq)]
enum ByteRange {
    Whole,
    Part(u64, u64),
    Unsatisfiable,
}

/// Reads a single range. Several ranges, and what is no range of bytes, are answered with the whole file.
fn byte_range(range: Option<&str>, size: u64) -> ByteRange {
    let Some(range) = range.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return ByteRange::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return ByteRange::Whole;
    };
    if first.is_empty() {
        let Ok(suffix) = last.parse::<u64>() else {
            return ByteRange::Whole;
        };
        return if suffix == 0 || size == 0 {
            ByteRange::Unsatisfiable
        } else {
            part(size.saturating_sub(suffix), size - 1)
        };
    }
    let Ok(first) = first.parse::<u64>() else {
        return ByteRange::Whole;
    };
    let last = if last.is_empty() { Ok(u64::MAX) } else { last.parse::<u64>() };
    match last {
        Ok(last) if last < first => ByteRange::Whole,
        Ok(_) if first >= size => ByteRange::Unsatisfiable,
        Ok(last) => part(first, last.min(size - 1)),
        Err(_) => ByteRange::Whole,
    }
}

const fn part(first: u64, last: u64) -> ByteRange {
    ByteRange::Part(first, last - first + 1)
}

/// Answers GET and HEAD for a file: whole, in part, or not at all.
pub(crate) fn serve(asked: &Asked<'_>, file: &ContentFile) -> Response<SiteBody> {
    let head = asked.method() == "HEAD";
    if !head && asked.method() != "GET" {
        return reply::method_not_allowed(METHODS);
    }
    let redistributed = asked.shared.faults.times_redistributed();
    let stamped = asked.shared.stamp.now(redistributed);
    let etag = asked.shared.stamp.etag(file, redistributed);
    let changed_since = |text: &str| httpdate::parse_http_date(text).is_ok_and(|date| stamped.modified > date);
    if asked.header("if-unmodified-since").is_some_and(changed_since) {
        return reply::empty(StatusCode::PRECONDITION_FAILED);
    }
    let same = |text: &str| text.as_bytes() == etag.as_bytes() || text.as_bytes() == stamped.header.as_bytes();
    let range = asked.header("range").filter(|_| asked.header("if-range").is_none_or(same));
    let size = file.size();
    let (status, first, len) = match byte_range(range, size) {
        ByteRange::Whole => (StatusCode::OK, 0, size),
        ByteRange::Part(first, len) => (StatusCode::PARTIAL_CONTENT, first, len),
        ByteRange::Unsatisfiable => {
            let mut response = reply::empty(StatusCode::RANGE_NOT_SATISFIABLE);
            response.headers_mut().insert(CONTENT_RANGE, ascii(&format!("bytes */{size}")));
            return response;
        }
    };
    let mut response = Response::new(SiteBody::file(file.pieces(first, if head { 0 } else { len })));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(LAST_MODIFIED, stamped.header.clone());
    headers.insert(ETAG, etag);
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, ascii(&format!("bytes {first}-{}/{size}", first + len - 1)));
    }
    response
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("numbers and a few signs are plain ASCII")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        assert_eq!(byte_range(None, 10), ByteRange::Whole);
        assert_eq!(byte_range(Some("bytes=0-3"), 10), ByteRange::Part(0, 4));
        assert_eq!(byte_range(Some("bytes=4-"), 10), ByteRange::Part(4, 6));
        assert_eq!(byte_range(Some("bytes=4-999"), 10), ByteRange::Part(4, 6));
        assert_eq!(byte_range(Some("bytes=-3"), 10), ByteRange::Part(7, 3));
        assert_eq!(byte_range(Some("bytes=-30"), 10), ByteRange::Part(0, 10));
        for text in ["bytes=10-", "bytes=-0", "bytes=99-100"] {
            assert_eq!(byte_range(Some(text), 10), ByteRange::Unsatisfiable, "{text}");
        }
        assert_eq!(byte_range(Some("bytes=0-"), 0), ByteRange::Unsatisfiable);
        for whole in ["bytes=3-1", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=a-b", "bytes=99999999999999999999-"] {
            assert_eq!(byte_range(Some(whole), 10), ByteRange::Whole, "{whole}");
        }
    }
}
