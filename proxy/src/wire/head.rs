//! Heads of HTTP/1.1 messages.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};

use super::fields::{Field, Fields};
use super::known::Known;
use super::names::Names;

/// Room for a usual request head.
const USUAL: usize = 1024;
/// Fields that a response usually has at most. More are read too, in a second try.
const USUAL_FIELDS: usize = 64;
/// Most fields of a response.
const MAX_FIELDS: usize = 5000;
/// Bytes of a trailer section.
pub const MAX_TRAILERS: usize = 16 * 1024;

/// Not a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHead;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub uri: Uri,
    /// What the client speaks.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// How it went.
    pub status: StatusCode,
    /// What the server speaks.
    pub version: Version,
    /// The words behind the status, where they are not the usual ones.
    pub reason: Option<Bytes>,
    /// The fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// One without fields.
    pub fn new(status: StatusCode) -> Self {
        Self { status, version: Version::HTTP_11, reason: None, fields: Fields::default() }
    }
}

/// How field names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// In small letters.
    Lower,
    /// As they came.
    Kept,
}

/// A head as it goes over the wire.
#[derive(Debug)]
pub struct Writing {
    out: Vec<u8>,
    spelling: Spelling,
}

impl Writing {
    /// The first line of a request. Its target stays as it is, byte for byte.
    pub fn request(head: &RequestHead, spelling: Spelling) -> Self {
        let mut out = Vec::with_capacity(USUAL);
        out.extend_from_slice(head.method.as_str().as_bytes());
        out.push(b' ');
        let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        if target.starts_with('?') {
            out.push(b'/');
        }
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Self { out, spelling }
    }

    /// The first line of a response, for a client that speaks this version, with room for so many bytes of a body behind the head.
    pub fn response(head: &ResponseHead, version: Version, spelling: Spelling, body: usize) -> Self {
        let mut out = Vec::with_capacity(USUAL + body);
        out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        out.extend_from_slice(head.status.as_str().as_bytes());
        out.push(b' ');
        let usual = || head.status.canonical_reason().unwrap_or("").as_bytes();
        out.extend_from_slice(head.reason.as_deref().unwrap_or_else(usual));
        out.extend_from_slice(b"\r\n");
        Self { out, spelling }
    }

    /// A field.
    pub fn put(&mut self, field: Field<'_>) {
        let name = match self.spelling {
            Spelling::Lower => field.name.as_bytes(),
            Spelling::Kept => field.spelled,
        };
        put(&mut self.out, name, field.value);
    }

    /// A field of ours.
    pub fn put_own(&mut self, name: Known, value: &[u8]) {
        put(&mut self.out, name.as_str().as_bytes(), value);
    }

    /// All of it.
    pub fn end(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"\r\n");
        self.out
    }
}

/// Writes a field.
pub fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + b": \r\n".len());
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Where a head ends, after an empty line. Of what was read, so much was searched before.
pub fn end(read: &[u8], searched: usize) -> Option<usize> {
    let begin = searched.saturating_sub(2);
    let after = |line: usize| match &read[line..] {
        // A line may end with LF alone (RFC 9112, section 2.2).
        [b'\n', ..] => Some(line + 1),
        [b'\r', b'\n', ..] => Some(line + 2),
        _ => None,
    };
    memchr::memchr_iter(b'\n', &read[begin..]).find_map(|place| after(begin + place + 1))
}

/// The head of a response, all of it. Values are parts of `bytes`, not copies, and are put into `fields`.
///
/// # Errors
/// It is none.
pub fn parse(bytes: &Bytes, fields: Fields, names: &mut Names) -> Result<ResponseHead, BadHead> {
    let mut places = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let mut many;
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let mut lexed = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut places);
    if lexed == Err(httparse::Error::TooManyHeaders) {
        let lines = lines(bytes);
        if lines > MAX_FIELDS {
            return Err(BadHead);
        }
        many = vec![httparse::EMPTY_HEADER; lines];
        parsed = httparse::Response::new(&mut many);
        lexed = config.parse_response(&mut parsed, bytes);
    }
    match lexed {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) | Err(_) => return Err(BadHead),
    }
    let status = StatusCode::from_u16(parsed.code.ok_or(BadHead)?).map_err(|_| BadHead)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let own = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason));
    let reason = own.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
    let fields = collect(bytes, parsed.headers, fields, names)?;
    Ok(ResponseHead { status, version, reason, fields })
}

/// As many fields as there may be, and no more than there are bytes for.
pub(super) fn lines(head: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', head).count()
}

/// Takes the trailer section of a chunked message out of what was read. `None` when it is not complete.
///
/// # Errors
/// It is none.
pub fn parse_trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, BadHead> {
    // A section with nothing in it is the rule.
    let nothing = [&b"\r\n"[..], b"\n"].into_iter().find(|line| read.starts_with(line));
    if let Some(line) = nothing {
        read.advance(line.len());
        return Ok(Some(HeaderMap::new()));
    }
    match end(read, 0) {
        None => return Ok(None),
        Some(end) if end > MAX_TRAILERS => return Err(BadHead),
        Some(_) => {}
    }
    let mut fields = vec![httparse::EMPTY_HEADER; lines(read)];
    let complete = match httparse::parse_headers(read, &mut fields) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            let mut trailers = HeaderMap::new();
            for field in parsed {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadHead)?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| BadHead)?;
                trailers.try_append(name, value).map_err(|_| BadHead)?;
            }
            Some((length, trailers))
        }
        Ok(httparse::Status::Partial) => None,
        Err(_) => return Err(BadHead),
    };
    Ok(complete.map(|(length, trailers)| {
        read.advance(length);
        trailers
    }))
}

/// The fields of a head, into the memory of `fields`.
pub(super) fn collect(
    bytes: &Bytes,
    parsed: &[httparse::Header<'_>],
    mut fields: Fields,
    names: &mut Names,
) -> Result<Fields, BadHead> {
    fields.begin(bytes.clone(), parsed.len());
    for field in parsed {
        fields.came(names.get(field.name).ok_or(BadHead)?, field.name, field.value);
    }
    Ok(fields)
}
