//! Request lines of a client connection, looked at before the parser has them.
//!
//! The parser drops what follows a `#` in a target, so that `DELETE /a/#b` would delete `/a/`, and does not say so. So the
//! bytes of a connection are followed from request to request on their way to it, and the first request line with a `#` is
//! remembered by its number. Framing that the parser refuses, or that we refuse, needs no care here: such a connection ends. Where
//! the parser takes what may be read in two ways (a bare line feed in a chunked body), no later request is believed.

use std::mem;

use memchr::memchr;

/// Bytes of a line that came in several pieces. No head may be configured to be larger.
const MAX_LINE: usize = 1 << 20;
/// The fields that say how long a body is, in lower case.
const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Where the bytes of a connection are.
#[derive(Debug, Default)]
pub struct Inbound {
    at: At,
    /// The first part of a line.
    line: Vec<u8>,
    head: Head,
    heads: u64,
    refused: Option<u64>,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    RequestLine,
    Field,
    /// So many bytes of a body.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Nothing that is a request.
    Lost,
}

/// What the head has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: u64,
    chunked: bool,
}

impl Inbound {
    /// The number of the first request, counted from 1, that must not be served: its line has a `#` in its target, or it may
    /// begin elsewhere.
    pub fn refused(&self) -> Option<u64> {
        self.refused
    }

    /// These bytes come next.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.at != At::Lost {
            bytes = match self.at {
                At::Body(left) | At::Chunk(left) => self.follow_data(bytes, left),
                At::Field if self.line.is_empty() => self.follow_fields(bytes),
                _ => self.follow_line(bytes),
            };
        }
        if self.at == At::Lost {
            self.line = Vec::new();
            self.refused.get_or_insert(self.heads + 1);
        }
    }

    fn follow_data<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let here = left.min(bytes.len() as u64);
        self.at = match self.at {
            At::Chunk(_) if here == left => At::ChunkEnd,
            At::Chunk(_) => At::Chunk(left - here),
            _ if here == left => At::RequestLine,
            _ => At::Body(left - here),
        };
        &bytes[here as usize..]
    }

    /// Whole lines of a head. Every request has some, and nearly none of them matters.
    fn follow_fields<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            // No line of two bytes is a field, and the two that matter have their colon here.
            let colon = |name: &[u8]| line.get(name.len() - 1) == Some(&b':');
            if line.len() > 2 && !colon(LENGTH) && !colon(CODING) {
                continue;
            }
            self.at = self.after(line);
            if self.at != At::Field {
                return bytes;
            }
        }
        if bytes.is_empty() { bytes } else { self.follow_line(bytes) }
    }

    fn follow_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > MAX_LINE {
                self.at = At::Lost;
            }
            return &[];
        };
        let (line, rest) = bytes.split_at(end + 1);
        if self.line.is_empty() {
            self.at = self.after(line);
        } else {
            let mut whole = mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.at = self.after(&whole);
        }
        rest
    }

    /// What follows a line.
    fn after(&mut self, line: &[u8]) -> At {
        // Between chunks and behind them, one reader's line is another one's part of a line.
        let strict = matches!(self.at, At::ChunkSize | At::ChunkEnd | At::Trailer);
        if strict && !line.ends_with(b"\r\n") {
            return At::Lost;
        }
        let line = line.trim_ascii_end();
        match self.at {
            // Blank lines before a request are none of it.
            At::RequestLine if line.is_empty() => At::RequestLine,
            At::RequestLine => {
                self.heads += 1;
                self.head = Head::default();
                let target = memchr(b' ', line).map_or(&[][..], |space| &line[space..]);
                if memchr(b'#', target).is_some() {
                    self.refused.get_or_insert(self.heads);
                }
                At::Field
            }
            At::Field if line.is_empty() => match self.head {
                Head { chunked: true, .. } => At::ChunkSize,
                Head { length: 0, .. } => At::RequestLine,
                Head { length, .. } => At::Body(length),
            },
            At::Field => {
                self.head.read(line);
                At::Field
            }
            At::ChunkSize => match chunk_size(line) {
                Some(0) => At::Trailer,
                Some(size) => At::Chunk(size),
                None => At::Lost,
            },
            At::ChunkEnd => At::ChunkSize,
            At::Trailer if line.is_empty() => At::RequestLine,
            At::Trailer => At::Trailer,
            At::Body(_) | At::Chunk(_) | At::Lost => At::Lost,
        }
    }
}

impl Head {
    fn read(&mut self, field: &[u8]) {
        let is = |name: &[u8]| field.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name));
        if is(LENGTH) {
            let digits = std::str::from_utf8(field[LENGTH.len()..].trim_ascii());
            self.length = digits.ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        } else if is(CODING) {
            self.chunked = true;
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    u64::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(bytes: &[u8], pieces: &[usize]) -> Option<u64> {
        let mut inbound = Inbound::default();
        let mut rest = bytes;
        for piece in pieces {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            inbound.follow(now);
            rest = later;
        }
        inbound.follow(rest);
        inbound.refused()
    }

    #[test]
    fn only_targets_count() {
        for (bytes, expected) in [
            (&b"GET /a HTTP/1.1\r\nHost: a#b\r\n\r\n"[..], None),
            (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Some(1)),
            (b"\r\n\nGET http://a/#b HTTP/1.1\r\n\r\n", Some(1)),
            (b"GE#T /a HTTP/1.1\r\n\r\n", None),
            (b"GET /a HTTP/1.1\n\nGET # HTTP/1.1\n\n", Some(2)),
            (b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n# #\nGET /#", None),
            (b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n# #\nGET /# HTTP/1.1\r\n", Some(2)),
            (b"POST / HTTP/1.1\r\ncontent-length:0\r\n\r\nGET /# HTTP/1.1\r\n", Some(2)),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=#\r\n# #\r\n0\r\nX: #\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
            (b"POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\nGET /# HTTP/1.1\r\n", Some(2)),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /# HTTP/1.1\r\n", Some(2)),
            // Where one reader sees another request, and another one a trailer.
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\nGET / HTTP/1.1\r\n\r\n", Some(2)),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\nGET / HTTP/1.1\r\n\r\n", Some(2)),
            (b"GET /a#b HTTP/1.1\r\n\r\nGET /c#d HTTP/1.1\r\n\r\n", Some(1)),
        ] {
            assert_eq!(refused(bytes, &[]), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_without_end_is_no_memory() {
        let mut inbound = Inbound::default();
        for _ in 0..1000 {
            inbound.follow(&[b'x'; 4096]);
            assert!(inbound.line.capacity() <= 2 * MAX_LINE);
        }
        assert_eq!((inbound.at, inbound.line.capacity(), inbound.refused()), (At::Lost, 0, Some(1)));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            pieces in prop::collection::vec(1_usize..40, 0..20),
            body in "[#a ]{0,30}",
            chunks in prop::collection::vec("[#a\r\n]{1,20}", 0..4),
        ) {
            let mut bytes = format!("PUT /1 HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            bytes.push_str("PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                bytes.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
            }
            bytes.push_str("0\r\n\r\nGET /3#x HTTP/1.1\r\n\r\n");
            prop_assert_eq!(refused(bytes.as_bytes(), &pieces), Some(3));
        }
    }
}
