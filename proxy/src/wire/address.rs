//! Addresses as text. Several are written for each request, and formatting one costs more than a look-up of boundaries.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arrayvec::ArrayString;

/// Longest text of an address with its port and scope, in bytes.
const LONGEST: usize = 64;

/// An address as text.
pub type Text = ArrayString<LONGEST>;

/// An address without its port.
pub fn ip_text(address: IpAddr) -> Text {
    let mut text = Text::new();
    match address {
        IpAddr::V4(v4) => push_v4(&mut text, v4),
        // It fits.
        IpAddr::V6(v6) => _ = write!(text, "{v6}"),
    }
    text
}

/// An address with its port.
pub fn socket_text(address: SocketAddr) -> Text {
    let mut text = Text::new();
    match address {
        SocketAddr::V4(v4) => {
            push_v4(&mut text, *v4.ip());
            text.push(':');
            push_number(&mut text, v4.port());
        }
        // It fits.
        SocketAddr::V6(v6) => _ = write!(text, "{v6}"),
    }
    text
}

fn push_v4(text: &mut Text, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        push_number(text, octet.into());
    }
}

fn push_number(text: &mut Text, number: u16) {
    let mut power = [10_000, 1000, 100, 10].into_iter().find(|power| number >= *power).unwrap_or(1);
    while power > 0 {
        // A digit.
        text.push(char::from(b'0' + (number / power % 10) as u8));
        power /= 10;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_the_standard_library_writes(octets in any::<[u8; 4]>(), segments in any::<[u16; 8]>(), port in any::<u16>()) {
            for ip in [IpAddr::from(octets), IpAddr::from(segments)] {
                prop_assert_eq!(ip_text(ip).to_string(), ip.to_string());
                let socket = SocketAddr::new(ip, port);
                prop_assert_eq!(socket_text(socket).to_string(), socket.to_string());
            }
        }
    }

    #[test]
    fn the_longest_fits() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535";
        assert!(longest.len() <= LONGEST);
        let mut scoped: std::net::SocketAddrV6 = "[ffff:eeee:ffff:eeee:ffff:eeee:ffff:eeee]:65535".parse().unwrap();
        scoped.set_scope_id(u32::MAX);
        assert_eq!(socket_text(scoped.into()).as_str(), scoped.to_string());
    }
}
