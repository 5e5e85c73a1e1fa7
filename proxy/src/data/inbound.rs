//! Request lines of a client connection, looked at before the parser has them.
//!
//! The parser drops what follows a `#` in a target, so that `DELETE /a/#b` would delete `/a/`. It tells of it to nobody. So the
//! bytes of a connection are followed from request to request on their way to it, and the first request line with a `#` is
//! remembered by its number. Framing that the parser refuses, or that we refuse, needs no care here: such a connection ends.

use std::mem;

use memchr::memchr;

/// Bytes of a line that came in several pieces. The parser takes no head that is larger.
const MAX_LINE: usize = 128 * 1024;

/// Where the bytes of a connection are.
#[derive(Debug, Default)]
pub struct Inbound {
    at: At,
    /// The first part of a line.
    line: Vec<u8>,
    head: Head,
    heads: u64,
    fragment: Option<u64>,
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
    /// The number of the first request, counted from 1, whose line has a `#` in its target.
    pub fn fragment(&self) -> Option<u64> {
        self.fragment
    }

    /// These bytes come next.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.at != At::Lost {
            let (At::Body(left) | At::Chunk(left)) = self.at else {
                bytes = self.follow_line(bytes);
                continue;
            };
            let here = left.min(bytes.len() as u64);
            bytes = &bytes[here as usize..];
            self.at = match self.at {
                At::Chunk(_) if here == left => At::ChunkEnd,
                At::Chunk(_) => At::Chunk(left - here),
                _ if here == left => At::RequestLine,
                _ => At::Body(left - here),
            };
        }
    }

    fn follow_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > MAX_LINE {
                (self.at, self.line) = (At::Lost, Vec::new());
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
        let line = line.trim_ascii_end();
        match self.at {
            // Blank lines before a request are none of it.
            At::RequestLine if line.is_empty() => At::RequestLine,
            At::RequestLine => {
                self.heads += 1;
                self.head = Head::default();
                let target = memchr(b' ', line).map_or(&[][..], |space| &line[space..]);
                if self.fragment.is_none() && memchr(b'#', target).is_some() {
                    self.fragment = Some(self.heads);
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
        const LENGTH: &[u8] = b"content-length:";
        const CODING: &[u8] = b"transfer-encoding:";
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

    fn fragment(bytes: &[u8], pieces: &[usize]) -> Option<u64> {
        let mut inbound = Inbound::default();
        let mut rest = bytes;
        for piece in pieces {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            inbound.follow(now);
            rest = later;
        }
        inbound.follow(rest);
        inbound.fragment()
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
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /# HTTP/1.1\r\n", None),
            (b"GET /a#b HTTP/1.1\r\n\r\nGET /c#d HTTP/1.1\r\n\r\n", Some(1)),
        ] {
            assert_eq!(fragment(bytes, &[]), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_without_end_is_no_memory() {
        let mut inbound = Inbound::default();
        for _ in 0..100 {
            inbound.follow(&[b'x'; 4096]);
        }
        assert!(inbound.line.capacity() <= 2 * MAX_LINE && inbound.at == At::Lost);
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
            prop_assert_eq!(fragment(bytes.as_bytes(), &pieces), Some(3));
        }
    }
}
