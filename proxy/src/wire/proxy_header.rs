//! The header of the PROXY protocol, of both versions.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};

/// Longest line of version 1, its end included (PROXY protocol, section 2.1).
const V1_MAX: usize = 107;
/// Shortest line of version 1: `PROXY UNKNOWN` and its end.
const V1_MIN: usize = 15;
/// Most bytes of addresses and TLVs of version 2. The largest known TLV is a client certificate's name.
const V2_MAX: usize = 4096;
const V2_FIXED: usize = 16;

/// Why it is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// The bytes are something else.
    Missing,
    /// It is broken or too large.
    Broken,
}

/// Whether a connection that begins so has a header.
pub fn begins(first: &[u8]) -> bool {
    first.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) || first.starts_with(v2::PROTOCOL_PREFIX)
}

/// How many bytes to read next, so that none after the header is taken; 0 when `header` is all of it.
///
/// # Errors
/// [`BadHeader`], as far as it is known by now.
pub fn missing(header: &[u8]) -> Result<usize, BadHeader> {
    let have = header.len();
    if have < v2::PROTOCOL_PREFIX.len() {
        return Ok(v2::PROTOCOL_PREFIX.len() - have);
    }
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        let Some(&[high, low]) = header.get(V2_FIXED - 2..V2_FIXED) else { return Ok(V2_FIXED - have) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        return match length > V2_MAX {
            true => Err(BadHeader::Broken),
            false => Ok((V2_FIXED + length).saturating_sub(have)),
        };
    }
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(BadHeader::Missing);
    }
    let more = match header {
        _ if have < V1_MIN => V1_MIN - have,
        [.., b'\r', b'\n'] => 0,
        [.., b'\r'] => 1,
        // At least two more bytes must come.
        _ => 2,
    };
    if have + more > V1_MAX { Err(BadHeader::Broken) } else { Ok(more) }
}

/// The client that a header tells of. `None` is a connection of the sender's own (`LOCAL`, `UNKNOWN`, UNIX).
///
/// # Errors
/// [`BadHeader::Broken`].
pub fn source(header: &[u8]) -> Result<Option<SocketAddr>, BadHeader> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(parsed)) => Ok(v1_source(&parsed.addresses)),
        HeaderResult::V2(Ok(parsed)) => v2_source(&parsed),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(BadHeader::Broken),
    }
}

/// The line of version 1 that tells a server about a client. `to` is where the client has connected to.
pub fn line(client: SocketAddr, to: SocketAddr) -> Vec<u8> {
    v1::Addresses::from(same_family(client, to)).to_string().into_bytes()
}

/// As [`line()`], in version 2.
///
/// # Errors
/// None that the library should have; an address family that it does not know would be one.
pub fn binary(client: SocketAddr, to: SocketAddr) -> io::Result<Vec<u8>> {
    let command = v2::Version::Two | v2::Command::Proxy;
    v2::Builder::with_addresses(command, v2::Protocol::Stream, same_family(client, to)).build()
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

fn v1_source(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Tcp6(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Unknown => None,
    }
}

fn v2_source(header: &v2::Header<'_>) -> Result<Option<SocketAddr>, BadHeader> {
    // A receiver skips TLVs that it does not know, but they must be well-formed.
    if header.tlvs().any(|tlv| tlv.is_err()) {
        return Err(BadHeader::Broken);
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
        (v2::Protocol::Datagram, _) => Err(BadHeader::Broken),
        (_, v2::Addresses::Unix(_) | v2::Addresses::Unspecified)
        | (v2::Protocol::Unspecified, v2::Addresses::IPv4(_) | v2::Addresses::IPv6(_)) => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum NoHeader {
        /// The bytes ended before.
        Cut,
        Bad(BadHeader),
    }

    /// As a reader does.
    fn parse(bytes: &[u8]) -> (Result<Option<SocketAddr>, NoHeader>, &[u8]) {
        let mut have = 0;
        loop {
            match missing(&bytes[..have]) {
                Ok(0) => return (source(&bytes[..have]).map_err(NoHeader::Bad), &bytes[have..]),
                Ok(more) if have + more > bytes.len() => return (Err(NoHeader::Cut), &[]),
                Ok(more) => have += more,
                Err(bad) => return (Err(NoHeader::Bad(bad)), &[]),
            }
        }
    }

    fn v2_header(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend(payload);
        header
    }

    const V4: [u8; 12] = [10, 1, 2, 3, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    #[test]
    fn lines_of_version_1() {
        use NoHeader::{Bad, Cut};
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
            (&too_long, Err(Bad(BadHeader::Broken))),
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660 80000\r\n", Err(Bad(BadHeader::Broken))),
            ("PROXY TCP4 10.1.2.3\r\n", Err(Bad(BadHeader::Broken))),
            ("PROXY TCP5 10.1.2.3 10.0.0.1 4660 80\r\n", Err(Bad(BadHeader::Broken))),
            ("PROXY TCP4 10.1.2.3 10.0.0.1 4660", Err(Cut)),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Bad(BadHeader::Missing))),
            ("GET", Err(Cut)),
        ] {
            let (read, _) = parse(line.as_bytes());
            assert_eq!(read, expected.map(|e| e.map(|e| e.parse().unwrap())), "{line}");
        }
    }

    #[test]
    fn not_a_byte_after_the_header_is_taken() {
        for header in [
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            v2_header(1, 0x11, &V4),
            v2_header(0, 0, &[]),
        ] {
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            let (read, rest) = parse(&bytes);
            assert!(begins(&header) && read.is_ok());
            assert_eq!(rest, b"GET / HTTP/1.1\r\n\r\n");
        }
        assert!(!begins(b"GET / HTTP/1.1\r\n\r\n") && !begins(b""));
    }

    #[test]
    fn headers_of_version_2() {
        use NoHeader::{Bad, Cut};
        let v6: Vec<u8> = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].concat();
        let v6 = [&v6[..], &v6, &[0x12, 0x34, 0, 80]].concat();
        let with = |tlv: &[u8]| [&V4[..], tlv].concat();
        for (header, expected) in [
            (v2_header(1, 0x11, &V4), Ok(Some("10.1.2.3:4660"))),
            (v2_header(1, 0x11, &with(&[1, 0, 2, b'h', b'2'])), Ok(Some("10.1.2.3:4660"))),
            (v2_header(1, 0x11, &with(&[0xEE, 0, 0])), Ok(Some("10.1.2.3:4660"))),
            (v2_header(1, 0x11, &with(&[1, 0, 200, b'h'])), Err(Bad(BadHeader::Broken))),
            (v2_header(1, 0x11, &V4[..8]), Err(Bad(BadHeader::Broken))),
            (v2_header(1, 0x21, &v6), Ok(Some("[2001:db8::1]:4660"))),
            (v2_header(1, 0x31, &[0; 216]), Ok(None)),
            (v2_header(0, 0, &[]), Ok(None)),
            (v2_header(0, 0x11, &V4), Ok(None)),
            (v2_header(1, 0x12, &V4), Err(Bad(BadHeader::Broken))),
            (v2_header(1, 0, &[]), Ok(None)),
            (v2_header(2, 0x11, &V4), Err(Bad(BadHeader::Broken))),
            (v2_header(1, 0x11, &vec![0; V2_MAX + 1]), Err(Bad(BadHeader::Broken))),
            (v2_header(1, 0x11, &V4)[..20].to_vec(), Err(Cut)),
        ] {
            let (read, _) = parse(&header);
            assert_eq!(read, expected.map(|e| e.map(|e| e.parse().unwrap())), "{header:?}");
        }
    }

    #[test]
    fn what_we_write_is_what_we_read() {
        let (v4, v6) = ("10.1.2.3:4660".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        for (client, to, expected) in
            [(v4, v4, v4), (v6, v6, v6), (v6, v4, v6), (v4, v6, "[::ffff:10.1.2.3]:4660".parse().unwrap())]
        {
            for header in [line(client, to), binary(client, to).unwrap()] {
                assert_eq!(parse(&header), (Ok(Some(expected)), &[][..]), "{client} {to}");
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_or_an_address(
            which in 0..3_usize, junk in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let prefix: &[u8] = [b"PROXY TCP4 ", v2::PROTOCOL_PREFIX, b""][which];
            let _ = parse(&[prefix, &junk].concat());
        }
    }
}
