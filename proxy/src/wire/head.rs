//! Heads of HTTP/1.1 messages.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts as AskedHead;
use http::response::Parts as ResponseHead;
use http::{Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::case::{Speller, Spelling};

/// Room for a usual request head.
const USUAL: usize = 1024;
/// Fields that a response usually has at most. More are read too, in a second try.
const USUAL_FIELDS: usize = 64;
/// Most fields of a response.
const MAX_FIELDS: usize = 5000;
/// Fields that are added to a response.
const ADDED: usize = 4;
/// Bytes of a trailer section.
pub const MAX_TRAILERS: usize = 16 * 1024;
/// Field names that are remembered, a power of two.
const NAMES: usize = 64;
/// Longer ones are not, in bytes.
const LONG: usize = 64;

/// Not a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHead;

/// A head as it goes over the wire.
#[derive(Debug)]
pub struct Writing<'a> {
    out: Vec<u8>,
    speller: Speller<'a>,
}

impl<'a> Writing<'a> {
    /// The first line of a request. Its target stays as it is, byte for byte.
    pub fn request(head: &'a AskedHead) -> Self {
        let mut out = Vec::with_capacity(USUAL);
        out.extend_from_slice(head.method.as_str().as_bytes());
        out.push(b' ');
        let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        if target.starts_with('?') {
            out.push(b'/');
        }
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Self { out, speller: Speller::of(&head.extensions) }
    }

    /// The first line of a response, for a client that speaks this version.
    pub fn response(head: &'a ResponseHead, version: Version) -> Self {
        let mut out = Vec::with_capacity(USUAL);
        out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        out.extend_from_slice(head.status.as_str().as_bytes());
        out.push(b' ');
        let own = head.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
        let usual = || head.status.canonical_reason().unwrap_or("").as_bytes();
        out.extend_from_slice(own.unwrap_or_else(usual));
        out.extend_from_slice(b"\r\n");
        Self { out, speller: Speller::of(&head.extensions) }
    }

    /// A field. The lines of one name come one after the other.
    pub fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        put(&mut self.out, self.speller.spell(name), value);
    }

    /// All of it.
    pub fn end(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"\r\n");
        self.out
    }
}

/// Writes a field.
pub fn put(out: &mut Vec<u8>, name: &[u8], value: &HeaderValue) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
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
pub fn parse(bytes: &Bytes, fields: HeaderMap, names: &mut Names, spelling: Spelling) -> Result<ResponseHead, BadHead> {
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
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::from_u16(parsed.code.ok_or(BadHead)?).map_err(|_| BadHead)?;
    head.version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    if let Some(reason) = parsed.reason.filter(|reason| head.status.canonical_reason() != Some(reason)) {
        head.extensions.insert(ReasonPhrase::try_from(reason.as_bytes()).map_err(|_| BadHead)?);
    }
    head.headers = fields;
    spelling.keep(bytes, parsed.headers, &mut head.extensions);
    collect(bytes, parsed.headers, &mut head.headers, names)?;
    Ok(head)
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

pub(super) fn collect(
    bytes: &Bytes,
    parsed: &[httparse::Header<'_>],
    fields: &mut HeaderMap,
    names: &mut Names,
) -> Result<(), BadHead> {
    fields.try_reserve(parsed.len() + ADDED).map_err(|_| BadHead)?;
    for field in parsed {
        // An empty value has no place.
        let value = if field.value.is_empty() { Bytes::new() } else { bytes.slice_ref(field.value) };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| BadHead)?;
        fields.try_append(names.get(field.name)?, value).map_err(|_| BadHead)?;
    }
    Ok(())
}

/// Field names as they were seen last: a server writes the same ones again and again, and to compare is cheaper than to look
/// for capital letters and for names that have a number.
#[derive(Debug)]
pub struct Names([Option<(Box<str>, HeaderName)>; NAMES]);

impl Default for Names {
    fn default() -> Self {
        Self([const { None }; NAMES])
    }
}

impl Names {
    fn get(&mut self, raw: &str) -> Result<HeaderName, BadHead> {
        let bytes = raw.as_bytes();
        let (first, last) = (bytes.first().map_or(0, |&b| usize::from(b)), bytes.last().map_or(0, |&b| usize::from(b)));
        let slot = &mut self.0[(first.wrapping_mul(7) ^ last.wrapping_mul(3) ^ bytes.len()) % NAMES];
        if let Some((known, name)) = slot
            && **known == *raw
        {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(bytes).map_err(|_| BadHead)?;
        if raw.len() <= LONG {
            *slot = Some((raw.into(), name.clone()));
        }
        Ok(name)
    }
}
