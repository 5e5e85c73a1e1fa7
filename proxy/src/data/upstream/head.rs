//! Heads of HTTP/1.1 messages to and from an endpoint.

use std::mem::MaybeUninit;

use arrayvec::ArrayVec;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts as RequestHead;
use http::response::Parts as ResponseHead;
use http::{Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

/// Most fields of a response.
const MAX_FIELDS: usize = 100;
/// Fields that are added to a response.
const ADDED: usize = 4;

/// Not a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHead;

impl From<httparse::Error> for BadHead {
    fn from(_: httparse::Error) -> Self {
        Self
    }
}

impl From<http::Error> for BadHead {
    fn from(_: http::Error) -> Self {
        Self
    }
}

/// Where something is in a head.
type Place = (usize, usize);

/// Writes the head of a request; its target stays as it is, byte for byte.
pub fn write(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(&head.headers, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes fields.
pub fn write_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether a head may end somewhere after `from`.
pub fn ends_after(read: &[u8], from: usize) -> bool {
    let begin = from.saturating_sub(3);
    // A line may end with LF alone (RFC 9112, section 2.2).
    read[begin..].windows(3).any(|three| three == b"\n\r\n" || three[..2] == *b"\n\n") || read.ends_with(b"\n\n")
}

/// Takes the head of a response out of what was read. `None` when it is not complete.
///
/// # Errors
/// It is none.
pub fn parse(read: &mut BytesMut) -> Result<Option<ResponseHead>, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, read, &mut fields)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let code = StatusCode::from_u16(parsed.code.ok_or(BadHead)?).map_err(|_| BadHead)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let reason = parsed.reason.filter(|reason| code.canonical_reason() != Some(reason));
    let reason = reason.map(|reason| ReasonPhrase::try_from(reason.as_bytes())).transpose().map_err(|_| BadHead)?;
    let places: ArrayVec<(Place, Place), MAX_FIELDS> =
        parsed.headers.iter().map(|field| (place(read, field.name.as_bytes()), place(read, field.value))).collect();

    let bytes = read.split_to(length).freeze();
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = code;
    head.version = version;
    if let Some(reason) = reason {
        head.extensions.insert(reason);
    }
    head.headers = fields_at(&bytes, &places)?;
    Ok(Some(head))
}

/// Takes the trailer section of a chunked message out of what was read. `None` when it is not complete.
///
/// # Errors
/// It is none.
pub fn parse_trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, BadHead> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let httparse::Status::Complete((length, parsed)) = httparse::parse_headers(read, &mut fields)? else {
        return Ok(None);
    };
    let places: ArrayVec<(Place, Place), MAX_FIELDS> =
        parsed.iter().map(|field| (place(read, field.name.as_bytes()), place(read, field.value))).collect();
    let bytes = read.split_to(length).freeze();
    fields_at(&bytes, &places).map(Some)
}

/// Where a part of `whole` is.
fn place(whole: &[u8], part: &[u8]) -> Place {
    let begin = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    (begin, begin + part.len())
}

/// Values are parts of `bytes`, not copies.
fn fields_at(bytes: &Bytes, places: &[(Place, Place)]) -> Result<HeaderMap, BadHead> {
    let mut fields = HeaderMap::with_capacity(places.len() + ADDED);
    for (name, value) in places {
        let name = HeaderName::from_bytes(&bytes[name.0..name.1]).map_err(|_| BadHead)?;
        // An empty field has no place.
        let value = if value.0 == value.1 { Bytes::new() } else { bytes.slice(value.0..value.1) };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| BadHead)?;
        fields.try_append(name, value).map_err(|_| BadHead)?;
    }
    Ok(fields)
}
