//! How a body is framed (RFC 9112, section 6.3), and what is in it.

use bytes::{Buf, Bytes, BytesMut};
use http::header::HeaderValue;
use http::{StatusCode, Version};
use http_body::Frame;

use super::fields::Fields;
use super::head::{self, RequestHead, ResponseHead};
use super::known::Known;
use super::list::list_elements;

/// Bytes of a chunk's size with all its extensions.
const MAX_SIZE_LINE: usize = 4 * 1024;
/// Bytes of the extensions of all chunks together.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// What is read at once where nobody knows how much comes.
const UNKNOWN: u64 = 32 * 1024;

/// How long a body is cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFraming {
    /// A length that cannot be believed, or two framings.
    Broken,
    /// A coding besides `chunked`: what it was would be lost, because the field concerns one hop alone.
    UnknownCoding,
}

/// What is left of a body.
#[derive(Debug)]
pub enum Framing {
    /// The head has not come.
    Unknown,
    /// Nothing.
    Over,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Everything that comes.
    UntilClose,
}

/// What is left of a chunked body.
#[derive(Debug, Default)]
pub struct Chunks {
    at: Chunk,
    /// Bytes of extensions so far, which cost their sender next to nothing.
    extensions: usize,
}

/// Where in a chunked body.
#[derive(Debug, Default)]
enum Chunk {
    /// Before the size of a chunk.
    #[default]
    Size,
    /// In a chunk with so many bytes to come.
    Data(u64),
    /// After a chunk, before the end of its line.
    End,
    /// After the last chunk.
    Trailers,
}

/// What can be done with the bytes that are there.
#[derive(Debug)]
pub enum Step {
    /// Hand this on.
    Frame(Frame<Bytes>),
    /// All of the body is read.
    Over,
    /// More bytes are needed.
    More,
    /// It is no body.
    Broken,
}

impl Framing {
    /// What the head of a response says. Fields that frame the message and are not true of it are taken out.
    ///
    /// # Errors
    /// [`BadFraming`]: several lengths, or none that can be believed.
    pub fn of(head: &mut ResponseHead, to_head: bool) -> Result<Self, BadFraming> {
        let status = head.status;
        let empty = status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if head.fields.has(Known::TransferEncoding) {
            let chunked = is_chunked(&head.fields) && head.version == Version::HTTP_11;
            // Of two lengths only this one counts, and another one in front of us must not see the other.
            head.fields.remove(Known::ContentLength);
            return match (to_head || empty, chunked) {
                (true, _) => Ok(Self::Over),
                (false, true) => Ok(Self::Chunked(Chunks::default())),
                // Nobody asked for another coding.
                (false, false) => Err(BadFraming::UnknownCoding),
            };
        }
        let length = content_length(&mut head.fields);
        if to_head || empty {
            if length.is_err() {
                head.fields.remove(Known::ContentLength);
            }
            return Ok(Self::Over);
        }
        match length? {
            Some(0) => Ok(Self::Over),
            Some(length) => Ok(Self::Length(length)),
            None => Ok(Self::UntilClose),
        }
    }

    /// What the head of a request says (RFC 9112, section 6.3). Of two framings only the coding counts, and no server behind us sees
    /// the other.
    ///
    /// # Errors
    /// [`BadFraming`]
    pub fn of_request(head: &mut RequestHead) -> Result<Self, BadFraming> {
        if !head.fields.has(Known::TransferEncoding) {
            return Ok(match content_length(&mut head.fields)? {
                None | Some(0) => Self::Over,
                Some(length) => Self::Length(length),
            });
        }
        let (mut times, mut empty) = (0, false);
        for line in head.fields.all(Known::TransferEncoding) {
            let mut codings = list_elements(line).peekable();
            // Not every reader takes an empty line for nothing.
            empty |= codings.peek().is_none();
            for coding in codings {
                if !coding.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadFraming::UnknownCoding);
                }
                times += 1;
            }
        }
        if times != 1 || empty || head.version < Version::HTTP_11 {
            return Err(BadFraming::Broken);
        }
        head.fields.remove(Known::ContentLength);
        Ok(Self::Chunked(Chunks::default()))
    }

    /// How many bytes are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Over => Some(0),
            Self::Length(left) => Some(*left),
            Self::Unknown | Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Whether all of it has come.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// How many bytes may come next.
    pub fn expects(&self) -> u64 {
        match self {
            Self::Unknown | Self::Over => 0,
            Self::Length(left) => *left,
            Self::Chunked(_) | Self::UntilClose => UNKNOWN,
        }
    }

    /// So many bytes of a body whose length is known went past us.
    pub fn passed(&mut self, count: u64) {
        if let Self::Length(left) = self {
            *left -= count;
            if *left == 0 {
                *self = Self::Over;
            }
        }
    }

    /// Takes the next piece out of what was read.
    pub fn step(&mut self, read: &mut BytesMut) -> Step {
        match self {
            Self::Unknown => Step::More,
            Self::Over => Step::Over,
            Self::Length(_) | Self::UntilClose if read.is_empty() => Step::More,
            Self::Length(left) => {
                let piece = take(read, *left);
                self.passed(piece.len() as u64);
                Step::Frame(Frame::data(piece))
            }
            Self::UntilClose => Step::Frame(Frame::data(take(read, u64::MAX))),
            Self::Chunked(chunk) => {
                let (step, over) = chunk.step(read);
                if over {
                    *self = Self::Over;
                }
                step
            }
        }
    }
}

impl Chunks {
    /// The next piece, and whether it was the last.
    fn step(&mut self, read: &mut BytesMut) -> (Step, bool) {
        loop {
            match &mut self.at {
                // Neither an empty size nor an extension that another reader would end earlier.
                Chunk::Size if read.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => {
                    return (Step::Broken, false);
                }
                Chunk::Size => match httparse::parse_chunk_size(read) {
                    // However it came: one that comes in pieces is refused as soon as it is too long.
                    Ok(httparse::Status::Complete((line, _)))
                        if line > MAX_SIZE_LINE || read[..line - 1].contains(&b'\n') =>
                    {
                        return (Step::Broken, false);
                    }
                    Ok(httparse::Status::Complete((line, size))) => {
                        let extensions = memchr::memchr(b';', &read[..line]).map_or(0, |begin| line - begin);
                        if self.extensions + extensions > MAX_EXTENSIONS {
                            return (Step::Broken, false);
                        }
                        read.advance(line);
                        self.extensions += extensions;
                        self.at = if size == 0 { Chunk::Trailers } else { Chunk::Data(size) };
                    }
                    Ok(httparse::Status::Partial) if read.len() < MAX_SIZE_LINE => return (Step::More, false),
                    Ok(httparse::Status::Partial) | Err(_) => return (Step::Broken, false),
                },
                Chunk::Data(_) if read.is_empty() => return (Step::More, false),
                Chunk::Data(left) => {
                    let piece = take(read, *left);
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        self.at = Chunk::End;
                    }
                    return (Step::Frame(Frame::data(piece)), false);
                }
                Chunk::End if read.len() < 2 => return (Step::More, false),
                Chunk::End if read.starts_with(b"\r\n") => {
                    read.advance(2);
                    self.at = Chunk::Size;
                }
                Chunk::End => return (Step::Broken, false),
                Chunk::Trailers => return Self::trailers(read),
            }
        }
    }

    fn trailers(read: &mut BytesMut) -> (Step, bool) {
        match head::parse_trailers(read) {
            Ok(Some(trailers)) if trailers.is_empty() => (Step::Over, true),
            Ok(Some(trailers)) => (Step::Frame(Frame::trailers(trailers)), true),
            Ok(None) if read.len() < head::MAX_TRAILERS => (Step::More, false),
            Ok(None) | Err(_) => (Step::Broken, false),
        }
    }
}

/// At most so many of the bytes that are there.
fn take(read: &mut BytesMut, most: u64) -> Bytes {
    let count = usize::try_from(most).map_or(read.len(), |most| most.min(read.len()));
    read.split_to(count).freeze()
}

/// `chunked` alone: any other coding would have to be undone, because the field concerns one hop only.
fn is_chunked(fields: &Fields) -> bool {
    let mut lines = fields.all(Known::TransferEncoding);
    let first = lines.next().is_some_and(|line| line.trim_ascii().eq_ignore_ascii_case(b"chunked"));
    first && lines.next().is_none()
}

/// The one length that all fields agree on (RFC 9112, section 6.3), which is then in one field.
fn content_length(fields: &mut Fields) -> Result<Option<u64>, BadFraming> {
    let mut length = None;
    let mut values = 0;
    for line in fields.all(Known::ContentLength) {
        for value in line.split(|&byte| byte == b',') {
            let value = digits(value.trim_ascii()).ok_or(BadFraming::Broken)?;
            if length.is_some_and(|known| known != value) {
                return Err(BadFraming::Broken);
            }
            length = Some(value);
            values += 1;
        }
    }
    if let Some(length) = length.filter(|_| values > 1) {
        fields.set(Known::ContentLength, HeaderValue::from(length));
    }
    Ok(length)
}

/// Digits alone: `u64::from_str` takes a sign too.
fn digits(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a chunked body ends that comes in pieces of this size.
    fn end(sent: &[u8], piece: usize) -> Step {
        let (mut framing, mut read) = (Framing::Chunked(Chunks::default()), BytesMut::new());
        let mut last = Step::More;
        for piece in sent.chunks(piece) {
            read.extend_from_slice(piece);
            loop {
                last = framing.step(&mut read);
                match last {
                    Step::Frame(_) => {}
                    Step::More => break,
                    Step::Over | Step::Broken => return last,
                }
            }
        }
        last
    }

    #[test]
    fn the_line_of_a_size_is_bounded_however_it_comes() {
        let line = |length: usize| format!("1;{}\r\n", "a".repeat(length - 4));
        for piece in [1, 1000, MAX_SIZE_LINE, 2 * MAX_SIZE_LINE] {
            let longest = format!("{}x\r\n0\r\n\r\n", line(MAX_SIZE_LINE));
            assert!(matches!(end(longest.as_bytes(), piece), Step::Over), "{piece}");
            let longer = format!("{}x\r\n0\r\n\r\n", line(MAX_SIZE_LINE + 1));
            assert!(matches!(end(longer.as_bytes(), piece), Step::Broken), "{piece}");
        }
    }

    #[test]
    fn extensions_have_a_bound_together_and_blanks_are_none() {
        let body = |line: &str, count: usize| format!("{}0\r\n\r\n", format!("{line}\r\nx\r\n").repeat(count));
        let most = MAX_EXTENSIONS / ";a=b\r\n".len();
        assert!(matches!(end(body("1;a=b", most).as_bytes(), 1000), Step::Over));
        assert!(matches!(end(body("1;a=b", most + 1).as_bytes(), 1000), Step::Broken));
        assert!(matches!(end(body("1     ", 3 * most).as_bytes(), 1000), Step::Over), "some servers pad their sizes");
    }
}
