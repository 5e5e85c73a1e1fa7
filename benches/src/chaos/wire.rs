//! HTTP/1.1 as both ends of this test read it: strictly, a piece at a time, and without a library that would hide what came.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// No head of this test is longer.
const LONGEST_HEAD: usize = 64 * 1024;
const PIECE: usize = 16 * 1024;

/// A connection of either side, with TLS or without.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// The head of a message.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Self { first, fields: lines.filter_map(field).collect() }
    }

    /// The first field of this name, in small letters.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The status of a response; 0 if there is none.
    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// What follows the head of a request.
    pub(crate) fn body(&self) -> Body {
        if self.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Body::Chunk { left: 0, first: true };
        }
        Body::Length(self.number("content-length").unwrap_or(0))
    }

    /// What follows the head of a response.
    pub(crate) fn response_body(&self) -> Body {
        let told = self.get("transfer-encoding").is_some() || self.get("content-length").is_some();
        let none = matches!(self.status(), 100..=199 | 204 | 304);
        if told || none { self.body() } else { Body::UntilEnd }
    }
}

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunk { left: u64, first: bool },
    UntilEnd,
    Over,
}

/// The reading side of a connection, and the connection.
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: Wire> Reader<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Whether something is here that was not read.
    pub(crate) const fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        match self.stream.read(&mut piece).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.buffer.extend_from_slice(&piece[..len]);
                Ok(())
            }
        }
    }

    /// The next head. Nothing when the other side has ended in good order.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = Head::parse(&self.buffer[..end]);
                self.buffer.drain(..end + 4);
                return Ok(Some(head));
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(io::Error::other("a head without an end"));
            }
            match self.more().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.buffer.is_empty() => {
                    return Ok(None);
                }
                other => other?,
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// The next piece of a body, of up to `most` bytes; nothing when it is complete.
    pub(crate) async fn piece(&mut self, body: &mut Body, most: usize) -> io::Result<Option<Vec<u8>>> {
        loop {
            let left = match body {
                Body::Over | Body::Length(0) => return Ok(None),
                Body::Length(left) | Body::Chunk { left: left @ 1.., .. } => *left,
                Body::UntilEnd => u64::MAX,
                Body::Chunk { left: 0, first } => {
                    if !std::mem::take(first) && !self.line().await?.is_empty() {
                        return Err(io::Error::other("a chunk without its end"));
                    }
                    *body = self.chunk().await?;
                    continue;
                }
            };
            if self.buffer.is_empty() {
                match self.more().await {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && *body == Body::UntilEnd => {
                        return Ok(None);
                    }
                    other => other?,
                }
            }
            let len = self.buffer.len().min(most).min(usize::try_from(left).unwrap_or(usize::MAX));
            if let Body::Length(left) | Body::Chunk { left, .. } = body {
                *left -= len as u64;
            }
            return Ok(Some(self.buffer.drain(..len).collect()));
        }
    }

    async fn chunk(&mut self) -> io::Result<Body> {
        let line = self.line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let left = u64::from_str_radix(size, 16).map_err(|_| io::Error::other("a chunk without a size"))?;
        if left > 0 {
            return Ok(Body::Chunk { left, first: false });
        }
        while !self.line().await?.is_empty() {}
        Ok(Body::Over)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Head, io::Result<Vec<u8>>) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, bytes).await.unwrap();
        drop(theirs);
        let mut reader = Reader::new(ours);
        let head = reader.head().await.unwrap().unwrap();
        let (mut body, mut all) = (head.response_body(), Vec::new());
        loop {
            match reader.piece(&mut body, 3).await {
                Ok(Some(piece)) => all.extend(piece),
                Ok(None) => return (head, Ok(all)),
                Err(error) => return (head, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_read_as_it_is_framed_and_a_cut_one_is_an_error() {
        let (head, body) = read(b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!((head.status(), head.number("x-id"), body.unwrap().as_slice()), (200, Some(7), &b"hello"[..]));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n";
        assert_eq!(read(chunked).await.1.unwrap(), b"hello");
        assert!(read(&chunked[..chunked.len() - 4]).await.1.is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell").await.1.is_err());
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\nhell").await.1.unwrap(), b"hell");
    }
}
