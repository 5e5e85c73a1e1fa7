//! Reads answers without a socket: bytes go in, and out comes when the answer is over.
//!
//! What a piece of bytes ends in the middle of, a head or the length of a chunk, is kept and read again with the next
//! piece. Bodies are counted and thrown away.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use crate::record::{Failure, TlsFault};

const MAX_FIELDS: usize = 100;
/// A head, or a trailer, that is longer is none.
const MAX_HEAD: usize = 64 * 1024;
/// What an alert and a handshake of TLS begin with: no answer of HTTP does.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// An answer that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of its body, without what frames it.
    pub(crate) body: u64,
    /// Whether the connection can carry another request.
    pub(crate) keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body follow.
    Length(u64),
    /// The body ends where the connection does.
    UntilClose,
    ChunkSize,
    /// So many bytes of the chunk follow, and then the end of a line.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Over,
}

/// The reader of one connection, for one answer after the other.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    /// The request was a `HEAD`.
    head_only: bool,
    answer: Answer,
    unread: Vec<u8>,
}

/// How far the reader got with the bytes that it has.
enum Step {
    /// So many bytes are read.
    Took(usize),
    /// There have to be more.
    Short,
}

impl Reader {
    pub(super) const fn new() -> Self {
        let answer = Answer { status: 0, body: 0, keep: true };
        Self { state: State::Head, head_only: false, answer, unread: Vec::new() }
    }

    /// An answer begins, to a `HEAD` or not.
    pub(super) fn begin(&mut self, head_only: bool) {
        (self.state, self.head_only) = (State::Head, head_only);
        self.answer = Answer { status: 0, body: 0, keep: true };
        self.unread.clear();
    }

    /// The next piece of what the connection carries; the answer if it is over with it.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Failure> {
        if self.unread.is_empty() {
            let read = self.advance(bytes)?;
            self.unread.extend_from_slice(&bytes[read..]);
        } else {
            let mut all = std::mem::take(&mut self.unread);
            all.extend_from_slice(bytes);
            let read = self.advance(&all)?;
            all.drain(..read);
            self.unread = all;
        }
        if self.state == State::Over {
            // Nobody asked for what follows an answer.
            return if self.unread.is_empty() { Ok(Some(self.answer)) } else { Err(Failure::Protocol) };
        }
        if self.unread.len() > MAX_HEAD { Err(Failure::Protocol) } else { Ok(None) }
    }

    /// The connection has ended.
    pub(super) const fn end(&self) -> Result<Answer, Failure> {
        match self.state {
            State::UntilClose => Ok(self.answer),
            State::Head => Err(Failure::Closed),
            _ => Err(Failure::Short),
        }
    }

    /// Reads as far as it can, and returns how far that is.
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut at = 0;
        while self.state != State::Over {
            let rest = &bytes[at..];
            if rest.is_empty() {
                break;
            }
            match self.step(rest)? {
                Step::Took(len) => at += len,
                Step::Short => break,
            }
        }
        Ok(at)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step, Failure> {
        match self.state {
            State::Head => self.head(bytes),
            State::Length(left) => {
                let len = self.body(bytes, left);
                self.state = if len == left { State::Over } else { State::Length(left - len) };
                Ok(Step::Took(to_usize(len)))
            }
            State::UntilClose => {
                let len = self.body(bytes, u64::MAX);
                Ok(Step::Took(to_usize(len)))
            }
            State::ChunkSize => {
                let Status::Complete((line, len)) = httparse::parse_chunk_size(bytes).map_err(|_| Failure::Protocol)?
                else {
                    return Ok(Step::Short);
                };
                self.state = if len == 0 { State::Trailer } else { State::Chunk(len) };
                Ok(Step::Took(line))
            }
            State::Chunk(left) => {
                let len = self.body(bytes, left);
                self.state = if len == left { State::ChunkEnd } else { State::Chunk(left - len) };
                Ok(Step::Took(to_usize(len)))
            }
            State::ChunkEnd => {
                if bytes.len() < 2 {
                    return if bytes == b"\r" { Ok(Step::Short) } else { Err(Failure::Protocol) };
                }
                self.state = State::ChunkSize;
                if bytes.starts_with(b"\r\n") { Ok(Step::Took(2)) } else { Err(Failure::Protocol) }
            }
            State::Trailer => {
                let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
                match httparse::parse_headers(bytes, &mut fields).map_err(|_| Failure::Protocol)? {
                    Status::Complete((len, _)) => {
                        self.state = State::Over;
                        Ok(Step::Took(len))
                    }
                    Status::Partial => Ok(Step::Short),
                }
            }
            State::Over => Ok(Step::Short),
        }
    }

    /// Counts what belongs to the body.
    fn body(&mut self, bytes: &[u8], left: u64) -> u64 {
        let len = left.min(bytes.len() as u64);
        self.answer.body += len;
        len
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Step, Failure> {
        let mut fields = [MaybeUninit::<Header<'_>>::uninit(); MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields).map_err(
                |_| if TLS_RECORDS.contains(&bytes[0]) { Failure::Tls(TlsFault::Wanted) } else { Failure::Protocol },
            )?;
        let Status::Complete(len) = parsed else { return Ok(Step::Short) };
        let status = response.code.unwrap_or_default();
        if (100..200).contains(&status) {
            // One says that more is to come. That of another protocol was not asked for.
            return if status == 101 { Err(Failure::Protocol) } else { Ok(Step::Took(len)) };
        }
        let framing = Framing::of(response.headers)?;
        self.answer.status = status;
        self.answer.keep =
            if response.version == Some(1) { !framing.close } else { framing.keep_alive && !framing.close };
        self.state = match framing.length {
            _ if self.head_only || matches!(status, 204 | 304) => State::Over,
            _ if framing.chunked => State::ChunkSize,
            Some(0) => State::Over,
            Some(length) => State::Length(length),
            None => {
                self.answer.keep = false;
                State::UntilClose
            }
        };
        Ok(Step::Took(len))
    }
}

fn to_usize(len: u64) -> usize {
    // It is not more than what is in a slice.
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// What the fields of a head say about where the answer ends.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Framing {
    fn of(fields: &[Header<'_>]) -> Result<Self, Failure> {
        let mut framing = Self::default();
        for field in fields {
            // Their lengths differ from those of most fields, and that is quicker to see.
            match field.name.len() {
                14 if field.name.eq_ignore_ascii_case("content-length") => framing.length(field.value)?,
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    // Nobody asked for another coding.
                    if framing.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Failure::Protocol);
                    }
                    framing.chunked = true;
                }
                10 if field.name.eq_ignore_ascii_case("connection") => framing.connection(field.value),
                _ => {}
            }
        }
        // RFC 9112, 6.3: such a message ought to be handled as an error.
        if framing.chunked && framing.length.is_some() { Err(Failure::Protocol) } else { Ok(framing) }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Failure> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits);
        let length = text.and_then(|text| text.parse().ok()).ok_or(Failure::Protocol)?;
        if self.length.is_some_and(|other| other != length) {
            return Err(Failure::Protocol);
        }
        self.length = Some(length);
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all of it in pieces of this size; what comes after the end counts as the connection's end.
    fn read(text: &str, size: usize, head_only: bool) -> Result<Answer, Failure> {
        let mut reader = Reader::new();
        reader.begin(head_only);
        for piece in text.as_bytes().chunks(size) {
            if let Some(answer) = reader.feed(piece)? {
                return Ok(answer);
            }
        }
        reader.end()
    }

    fn answers(text: &str, head_only: bool, expected: Result<Answer, Failure>) {
        for size in 1..=text.len() {
            assert_eq!(read(text, size, head_only), expected, "in pieces of {size}: {text}");
        }
    }

    fn answer(status: u16, body: u64, keep: bool) -> Result<Answer, Failure> {
        Ok(Answer { status, body, keep })
    }

    #[test]
    fn every_framing_is_read_in_pieces_of_every_size() {
        let length = "HTTP/1.1 200 OK\r\nDate: now\r\ncontent-length: 5\r\n\r\nhello";
        answers(length, false, answer(200, 5, true));
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\n\r\n";
        answers(chunked, false, answer(200, 15, true));
        let trailer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: a\r\nB: c\r\n\r\n";
        answers(trailer, false, answer(200, 1, true));
        answers("HTTP/1.1 200 OK\r\n\r\nuntil the end", false, answer(200, 13, false));
        answers(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 201 \r\nContent-Length: 0\r\n\r\n",
            false,
            answer(201, 0, true),
        );
    }

    #[test]
    fn some_answers_have_no_body() {
        answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, answer(200, 0, true));
        answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, answer(200, 0, true));
        answers("HTTP/1.1 204 No Content\r\n\r\n", false, answer(204, 0, true));
        answers("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", false, answer(304, 0, true));
    }

    #[test]
    fn a_connection_is_kept_if_both_sides_keep_it() {
        answers("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", false, answer(200, 1, false));
        answers("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", false, answer(200, 1, false));
        answers("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", false, answer(200, 1, true));
    }

    #[test]
    fn nonsense_is_not_http() {
        let bad = [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ];
        for text in bad {
            answers(text, false, Err(Failure::Protocol));
        }
        answers("\x15\x03\x03\0\x02\x02\x32", false, Err(Failure::Tls(TlsFault::Wanted)));
        let more = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc";
        assert_eq!(read(more, more.len(), false), Err(Failure::Protocol));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD));
        assert_eq!(read(&endless, 1000, false), Err(Failure::Protocol));
    }

    #[test]
    fn an_answer_that_ends_too_soon_is_closed_or_short() {
        let whole = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ];
        for text in whole {
            for len in 0..text.len() {
                let is_head = !text[..len].contains("\r\n\r\n");
                answers(&text[..len], false, Err(if is_head { Failure::Closed } else { Failure::Short }));
            }
        }
    }

    #[test]
    fn one_answer_follows_the_other() {
        let mut reader = Reader::new();
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", answer(200, 1, true)),
            ("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nab", answer(503, 2, true)),
        ] {
            reader.begin(false);
            assert_eq!(reader.feed(text.as_bytes()).map(|answer| answer.map(Ok)), Ok(Some(expected)));
        }
    }
}
