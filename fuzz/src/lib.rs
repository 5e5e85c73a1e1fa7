//! What the targets share: bytes that come in pieces, and a connection that reads them as rolegate's does.

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use rolegate::wire::body::{Framing, Step};
use rolegate::wire::fields::Fields;
use rolegate::wire::head::{self, RequestHead, Spelling, Writing};
use rolegate::wire::names::Names;
use rolegate::wire::request::{self, Asked, BadRequest};

/// How many places of an input are tried as the one where it is cut.
const CUTS: usize = 64;
/// Most pieces that an input is cut into, about: what waits for the end of a line looks at all of it again.
const PIECES: usize = 256;

/// Cuts bytes into pieces of changing length. The same seed cuts in the same places; 0 makes the pieces as small as they are.
pub fn pieces(seed: u8, mut bytes: &[u8]) -> Vec<&[u8]> {
    let (mut state, most, least) = (u32::from(seed), usize::from(seed) + 1, bytes.len() / PIECES + 1);
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = ((state >> 16) as usize % most + least).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Places to cut so many bytes at: all of them if there are few.
pub fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length / CUTS + 1)
}

/// Reads the head of a request as a connection does.
#[derive(Default)]
pub struct HeadReader {
    read: BytesMut,
    searched: usize,
}

/// What has come of a head.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// Not all of it.
    Part,
    /// All of it.
    Whole(BytesMut),
    /// It cannot become one.
    NotHttp,
}

impl HeadReader {
    /// Takes what came next.
    pub fn take(&mut self, piece: &[u8]) -> Came {
        self.read.extend_from_slice(piece);
        self.searched = request::skip_blank_lines(&mut self.read, self.searched);
        if let Some(end) = head::end(&self.read, self.searched) {
            return Came::Whole(self.read.split_to(end));
        }
        if !self.read.is_empty() && request::check_beginning(&self.read).is_err() {
            return Came::NotHttp;
        }
        self.searched = self.read.len();
        Came::Part
    }

    /// What came after the head.
    pub fn rest(self) -> BytesMut {
        self.read
    }
}

/// Reads a request head, with fresh tables.
///
/// # Errors
/// As [`request::parse`].
pub fn asked(head: BytesMut) -> Result<Asked, BadRequest> {
    request::parse(head, Fields::default(), &mut Names::default())
}

/// Writes a request head as it is forwarded.
pub fn request_written(head: &RequestHead, spelling: Spelling) -> Vec<u8> {
    fields_written(Writing::request(head, spelling), &head.fields)
}

/// Names as they were spelled, and values.
pub fn lines(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.spelled.to_vec(), field.value.to_vec())).collect()
}

/// As [`lines`], with names in small letters.
pub fn lower_lines(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

/// Adds the fields to the first line.
pub fn fields_written(mut out: Writing, fields: &Fields) -> Vec<u8> {
    fields.iter().for_each(|field| out.put(field));
    out.end()
}

/// How reading a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it has come.
    Over,
    /// More would have to come.
    Cut,
    /// It is none.
    Broken,
}

/// What was read of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    /// Its content.
    pub data: Vec<u8>,
    /// Its trailer fields.
    pub trailers: Vec<(HeaderName, HeaderValue)>,
    /// How it ended.
    pub ended: Ended,
    /// How many bytes came after it, if it is over.
    pub left: usize,
}

/// Reads a body that comes in pieces.
pub fn body(mut framing: Framing, pieces: &[&[u8]]) -> Body {
    let mut body = Body { data: Vec::new(), trailers: Vec::new(), ended: Ended::Cut, left: 0 };
    let mut read = BytesMut::new();
    if framing.is_over() {
        body.ended = Ended::Over;
    }
    for piece in pieces {
        read.extend_from_slice(piece);
        while body.ended == Ended::Cut {
            match framing.step(&mut read) {
                Step::Frame(frame) => match frame.into_data() {
                    Ok(data) => {
                        assert!(!data.is_empty(), "an empty frame of data says nothing");
                        body.data.extend_from_slice(&data);
                    }
                    Err(frame) => {
                        let fields: HeaderMap = frame.into_trailers().unwrap_or_default();
                        body.trailers = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                    }
                },
                Step::Over => body.ended = Ended::Over,
                Step::More => break,
                Step::Broken => body.ended = Ended::Broken,
            }
            // The frame of trailers is the last, and that of a known length too.
            if framing.is_over() && body.ended == Ended::Cut {
                body.ended = Ended::Over;
            }
        }
    }
    if body.ended == Ended::Over {
        body.left = read.len();
    }
    body
}

/// A value of bytes that are read more than once.
pub fn shared(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
