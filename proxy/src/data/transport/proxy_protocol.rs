//! The PROXY protocol: who the client of a trusted load balancer is, and telling a server who ours is.
//!
//! The header is read with exact reads, so that no byte after it is taken from what follows. It comes in one piece from
//! every sender there is; one that dribbles is bounded by the caller's deadline.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use crate::connection_error::ConnectionError;
use crate::model::role::ProxyProtocol;
use crate::wire::proxy_header::{self, BadHeader};

/// Bytes that tell a header from anything else.
const FIRST: usize = 16;

/// Reads the header. `None` is a connection of the sender's own (`LOCAL`, `UNKNOWN`, UNIX): its address is the socket's.
///
/// # Errors
/// [`ConnectionError::ProxyMissing`] when the bytes are something else, [`ConnectionError::ProxyInvalid`] for a broken one.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ConnectionError> {
    let mut header = Vec::with_capacity(64);
    loop {
        match proxy_header::missing(&header).map_err(explain)? {
            0 => return proxy_header::source(&header).map_err(explain),
            more => take(stream, &mut header, more).await?,
        }
    }
}

/// A peer that is not trusted must not begin with a header. Waits for its first bytes.
///
/// # Errors
/// [`ConnectionError::ProxyUntrusted`].
pub async fn refuse(stream: &TcpStream) -> Result<(), ConnectionError> {
    let mut first = [0; FIRST];
    let count = stream.peek(&mut first).await.map_err(|_| ConnectionError::ClientGone)?;
    if proxy_header::begins(&first[..count]) { Err(ConnectionError::ProxyUntrusted) } else { Ok(()) }
}

/// The header that tells a server about a client. `to` is where the client has connected to.
///
/// # Errors
/// As [`proxy_header::binary`].
pub fn header(version: ProxyProtocol, client: SocketAddr, to: SocketAddr) -> io::Result<Vec<u8>> {
    match version {
        ProxyProtocol::Off => Ok(Vec::new()),
        ProxyProtocol::V1 => Ok(proxy_header::line(client, to)),
        ProxyProtocol::V2 => proxy_header::binary(client, to),
    }
}

fn explain(bad: BadHeader) -> ConnectionError {
    match bad {
        BadHeader::Missing => ConnectionError::ProxyMissing,
        BadHeader::Broken => ConnectionError::ProxyInvalid,
    }
}

async fn take(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>, more: usize) -> Result<(), ConnectionError> {
    let have = header.len();
    header.resize(have + more, 0);
    let read = stream.read_exact(&mut header[have..]).await;
    read.map(|_| ()).map_err(|_| match have {
        0 => ConnectionError::ClientGone,
        _ => ConnectionError::ProxyInvalid,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn parse(bytes: &[u8]) -> (Result<Option<SocketAddr>, ConnectionError>, &[u8]) {
        let mut rest = bytes;
        let read = read(&mut rest).await;
        (read, rest)
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_apart() {
        use ConnectionError::{ClientGone, ProxyInvalid, ProxyMissing};
        for (bytes, expected) in [
            ("", ClientGone),
            ("GET", ClientGone),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", ProxyMissing),
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660", ProxyInvalid),
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660 80000\r\n", ProxyInvalid),
            ("\r\n\r\n\0\r\nQUIT\n!", ProxyInvalid),
        ] {
            assert_eq!(parse(bytes.as_bytes()).await.0, Err(expected), "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_we_write_is_what_we_read_and_not_a_byte_more() {
        let client = "10.1.2.3:4660".parse().unwrap();
        for (version, expected) in [(ProxyProtocol::V1, Ok(Some(client))), (ProxyProtocol::V2, Ok(Some(client)))] {
            let header = header(version, client, "10.0.0.1:80".parse().unwrap()).unwrap();
            let sent = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(parse(&sent).await, (expected, &b"GET / HTTP/1.1\r\n\r\n"[..]), "{version:?}");
        }
    }
}
