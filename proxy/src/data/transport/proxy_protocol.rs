//! The PROXY protocol: who the client of a trusted load balancer is, and telling a server who ours is.
//!
//! The header is read with exact reads, so that no byte after it is taken from what follows. It comes in one piece from
//! every sender there is; one that dribbles is bounded by the caller's deadline.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use crate::connection_error::ConnectionError;
use crate::model::role::ProxyProtocol;

/// Longest line of version 1, its end included (PROXY protocol, section 2.1).
const V1_MAX: usize = 107;
/// Shortest line of version 1: `PROXY UNKNOWN` and its end.
const V1_MIN: usize = 15;
/// Most bytes of addresses and TLVs of version 2. The largest known TLV is a client certificate's name.
const V2_MAX: usize = 4096;
const V2_FIXED: usize = 16;

/// Reads the header. `None` is a connection of the sender's own (`LOCAL`, `UNKNOWN`, UNIX): its address is the socket's.
///
/// # Errors
/// [`ConnectionError::ProxyMissing`] when the bytes are something else, [`ConnectionError::ProxyInvalid`] for a broken one.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ConnectionError> {
    let mut header = Vec::with_capacity(64);
    take(stream, &mut header, v2::PROTOCOL_PREFIX.len()).await?;
    if header == v2::PROTOCOL_PREFIX {
        take(stream, &mut header, V2_FIXED).await?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if length > V2_MAX {
            return Err(ConnectionError::ProxyInvalid);
        }
        take(stream, &mut header, V2_FIXED + length).await?;
    } else if header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        take(stream, &mut header, V1_MIN).await?;
        while !header.ends_with(b"\r\n") {
            // After anything but `\r`, at least two more bytes must come.
            let more = if header.ends_with(b"\r") { 1 } else { 2 };
            if header.len() + more > V1_MAX {
                return Err(ConnectionError::ProxyInvalid);
            }
            let length = header.len() + more;
            take(stream, &mut header, length).await?;
        }
    } else {
        return Err(ConnectionError::ProxyMissing);
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(parsed)) => Ok(v1_source(&parsed.addresses)),
        HeaderResult::V2(Ok(parsed)) => v2_source(&parsed),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(ConnectionError::ProxyInvalid),
    }
}

/// A peer that is not trusted must not begin with a header. Waits for its first bytes.
///
/// # Errors
/// [`ConnectionError::ProxyUntrusted`].
pub async fn refuse(stream: &TcpStream) -> Result<(), ConnectionError> {
    let mut first = [0; V2_FIXED];
    let count = stream.peek(&mut first).await.map_err(|_| ConnectionError::ClientGone)?;
    let first = &first[..count];
    if first.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) || first.starts_with(v2::PROTOCOL_PREFIX) {
        return Err(ConnectionError::ProxyUntrusted);
    }
    Ok(())
}

/// The header that tells a server about a client. `to` is where the client has connected to.
///
/// # Errors
/// None that the library should have; an address family that it does not know would be one.
pub fn header(version: ProxyProtocol, client: SocketAddr, to: SocketAddr) -> io::Result<Vec<u8>> {
    let (client, to) = same_family(client, to);
    match version {
        ProxyProtocol::Off => Ok(Vec::new()),
        ProxyProtocol::V1 => Ok(v1::Addresses::from((client, to)).to_string().into_bytes()),
        ProxyProtocol::V2 => {
            let command = v2::Version::Two | v2::Command::Proxy;
            v2::Builder::with_addresses(command, v2::Protocol::Stream, (client, to)).build()
        }
    }
}

/// One header has one family: if they differ, both become version 6 addresses.
fn same_family(client: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    match (canonical(client), canonical(to)) {
        (SocketAddr::V4(client), to @ SocketAddr::V6(_)) => {
            (SocketAddr::new(client.ip().to_ipv6_mapped().into(), client.port()), to)
        }
        (client @ SocketAddr::V6(_), SocketAddr::V4(to)) => {
            (client, SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port()))
        }
        same => same,
    }
}

async fn take(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
    length: usize,
) -> Result<(), ConnectionError> {
    let have = header.len();
    header.resize(length, 0);
    let read = stream.read_exact(&mut header[have..]).await;
    read.map(|_| ()).map_err(|_| match have {
        0 => ConnectionError::ClientGone,
        _ => ConnectionError::ProxyInvalid,
    })
}

fn v1_source(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Tcp6(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Unknown => None,
    }
}

fn v2_source(header: &v2::Header<'_>) -> Result<Option<SocketAddr>, ConnectionError> {
    // A receiver skips TLVs that it does not know, but they must be well-formed.
    if header.tlvs().any(|tlv| tlv.is_err()) {
        return Err(ConnectionError::ProxyInvalid);
    }
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    match (header.protocol, &header.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => {
            Ok(Some(SocketAddr::new(ip.source_address.into(), ip.source_port)))
        }
        (v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => {
            Ok(Some(SocketAddr::new(ip.source_address.into(), ip.source_port)))
        }
        (v2::Protocol::Datagram, _) => Err(ConnectionError::ProxyInvalid),
        (_, v2::Addresses::Unix(_) | v2::Addresses::Unspecified)
        | (v2::Protocol::Unspecified, v2::Addresses::IPv4(_) | v2::Addresses::IPv6(_)) => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn parse(bytes: &[u8]) -> (Result<Option<SocketAddr>, ConnectionError>, Vec<u8>) {
        let mut rest = bytes;
        let read = read(&mut rest).await;
        (read, rest.to_vec())
    }

    fn v2_header(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend(payload);
        header
    }

    const V4: [u8; 12] = [10, 1, 2, 3, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    #[tokio::test]
    async fn lines_of_version_1() {
        use ConnectionError::{ClientGone, ProxyInvalid, ProxyMissing};
        let long = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", "ffff:f:f:ffff:ffff:ffff:ffff:ffff");
        let worst = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_MAX - 16));
        let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_MAX - 15));
        for (line, expected) in [
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660 80\r\n", Ok(Some("10.1.2.3:4660"))),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 4660 80\r\n", Ok(Some("[2001:db8::1]:4660"))),
            ("PROXY UNKNOWN\r\n", Ok(None)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None)),
            (&long, Ok(Some("[ffff:f:f:ffff:ffff:ffff:ffff:ffff]:65535"))),
            (&worst, Ok(None)),
            (&too_long, Err(ProxyInvalid)),
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660 80000\r\n", Err(ProxyInvalid)),
            ("PROXY TCP4 10.1.2.3\r\n", Err(ProxyInvalid)),
            ("PROXY TCP5 10.1.2.3 10.0.0.1 4660 80\r\n", Err(ProxyInvalid)),
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660", Err(ProxyInvalid)),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Err(ProxyMissing)),
            ("GET", Err(ClientGone)),
        ] {
            let (read, _) = parse(line.as_bytes()).await;
            assert_eq!(read, expected.map(|e| e.map(|e| e.parse().unwrap())), "{line}");
        }
    }

    #[tokio::test]
    async fn not_a_byte_after_the_header_is_taken() {
        for header in [
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            v2_header(1, 0x11, &V4),
            v2_header(0, 0, &[]),
        ] {
            let (read, rest) = parse(&[&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat()).await;
            assert!(read.is_ok());
            assert_eq!(rest, b"GET / HTTP/1.1\r\n\r\n");
        }
    }

    #[tokio::test]
    async fn headers_of_version_2() {
        use ConnectionError::ProxyInvalid;
        let v6: Vec<u8> = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].concat();
        let v6 = [&v6[..], &v6, &[0x12, 0x34, 0, 80]].concat();
        let with = |tlv: &[u8]| [&V4[..], tlv].concat();
        for (header, expected) in [
            (v2_header(1, 0x11, &V4), Ok(Some("10.1.2.3:4660"))),
            (v2_header(1, 0x11, &with(&[1, 0, 2, b'h', b'2'])), Ok(Some("10.1.2.3:4660"))),
            (v2_header(1, 0x11, &with(&[0xEE, 0, 0])), Ok(Some("10.1.2.3:4660"))),
            (v2_header(1, 0x11, &with(&[1, 0, 200, b'h'])), Err(ProxyInvalid)),
            (v2_header(1, 0x11, &V4[..8]), Err(ProxyInvalid)),
            (v2_header(1, 0x21, &v6), Ok(Some("[2001:db8::1]:4660"))),
            (v2_header(1, 0x31, &[0; 216]), Ok(None)),
            (v2_header(0, 0, &[]), Ok(None)),
            (v2_header(0, 0x11, &V4), Ok(None)),
            (v2_header(1, 0x12, &V4), Err(ProxyInvalid)),
            (v2_header(1, 0, &[]), Ok(None)),
            (v2_header(2, 0x11, &V4), Err(ProxyInvalid)),
            (v2_header(1, 0x11, &vec![0; V2_MAX + 1]), Err(ProxyInvalid)),
            (v2_header(1, 0x11, &V4)[..20].to_vec(), Err(ProxyInvalid)),
        ] {
            let (read, _) = parse(&header).await;
            assert_eq!(read, expected.map(|e| e.map(|e| e.parse().unwrap())), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_we_write_is_what_we_read() {
        let (v4, v6) = ("10.1.2.3:4660".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            for (client, to, expected) in
                [(v4, v4, v4), (v6, v6, v6), (v6, v4, v6), (v4, v6, "[::ffff:10.1.2.3]:4660".parse().unwrap())]
            {
                let (read, rest) = parse(&header(version, client, to).unwrap()).await;
                assert_eq!((read, rest.len()), (Ok(Some(expected)), 0), "{version:?} {client} {to}");
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_or_an_address(
            which in 0..3_usize, junk in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let prefix: &[u8] = [b"PROXY TCP4 ", v2::PROTOCOL_PREFIX, b""][which];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(parse(&[prefix, &junk].concat()));
        }
    }
}
