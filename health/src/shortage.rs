//! What is our own want and says nothing about a server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;

/// Whether the failure of a connection to this address means that this process or this machine has no descriptor, port, buffer
/// or memory left.
///
/// Such a failure is met before a server is asked. To hold it against the server would take a well one out.
pub fn is_own_shortage(error: &io::Error, to: SocketAddr) -> bool {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => true,
        // No port is left, or there is no way to such an address at all: that of a family that this machine does not have.
        Some(Errno::EADDRNOTAVAIL) => has_source(to),
        Some(_) | None => false,
    }
}

/// Whether this machine has an address that could be the other end. Nothing is sent.
fn has_source(to: SocketAddr) -> bool {
    let any =
        if to.is_ipv4() { SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    match UdpSocket::bind(any).and_then(|socket| socket.connect(to)) {
        Ok(()) => true,
        Err(error) => !matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(Errno::EADDRNOTAVAIL | Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EAFNOSUPPORT)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_ours_is_told_from_the_silence_of_a_server() {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        for (error, ours) in [
            (Errno::EMFILE, true),
            (Errno::ENFILE, true),
            (Errno::ENOBUFS, true),
            (Errno::ENOMEM, true),
            (Errno::EADDRNOTAVAIL, true),
            (Errno::ECONNREFUSED, false),
            (Errno::ENETUNREACH, false),
            (Errno::ETIMEDOUT, false),
        ] {
            assert_eq!(is_own_shortage(&io::Error::from_raw_os_error(error as i32), to), ours, "{error}");
        }
        assert!(!is_own_shortage(&io::ErrorKind::UnexpectedEof.into(), to));
    }
}
