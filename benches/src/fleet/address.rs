//! Where the load goes: an address as its user writes it.

use std::net::{SocketAddr, ToSocketAddrs as _};

use http::Uri;
use http::uri::Scheme;

/// `http://127.0.0.1:8080/a`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where to connect to.
    pub socket: SocketAddr,
    /// What to ask for, with the port if it is no usual one.
    pub host: String,
    /// `https`.
    pub secure: bool,
    /// The path and the query; `/` if there is none.
    pub target: String,
}

impl Address {
    /// Reads an address, and looks its name up.
    ///
    /// # Errors
    /// Says what is wrong with it and what to write, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "expected an address such as http://127.0.0.1:8080";
        let uri: Uri = text.parse().map_err(|error| format!("'{text}' is no address ({error}); {form}"))?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) => {
                return Err(format!("'{text}' begins with {scheme}, which is neither http nor https; {form}"));
            }
            None => return Err(format!("'{text}' does not begin with http:// or https://; {form}")),
        };
        let authority = uri.authority().ok_or_else(|| format!("'{text}' names no host; {form}"))?;
        if authority.port_u16().is_none() && authority.as_str().len() > authority.host().len() {
            return Err(format!("'{text}' has no port from 1 to 65535 after the host; {form}"));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let socket = resolve(name, port)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { socket, host: authority.as_str().to_owned(), secure, target })
    }

    /// Reads `127.0.0.1:10123`.
    ///
    /// # Errors
    /// Says what is wrong with it, in one sentence.
    pub fn parse_socket(text: &str) -> Result<SocketAddr, String> {
        let wrong = || format!("'{text}' is no address and port such as 127.0.0.1:10123");
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        resolve(name.trim_start_matches('[').trim_end_matches(']'), port.parse().map_err(|_| wrong())?)
    }
}

fn resolve(name: &str, port: u16) -> Result<SocketAddr, String> {
    let found = (name, port).to_socket_addrs().map_err(|error| format!("'{name}' cannot be found: {error}"))?;
    let mut found: Vec<_> = found.collect();
    // Most client addresses are of the fourth version.
    found.sort_by_key(|address| !address.is_ipv4());
    found.first().copied().ok_or_else(|| format!("'{name}' has no address"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address = Address::parse("http://127.0.0.1:8080").unwrap();
        let socket = "127.0.0.1:8080".parse().unwrap();
        let host = "127.0.0.1:8080".to_owned();
        assert_eq!(address, Address { socket, host, secure: false, target: "/".to_owned() });
        let address = Address::parse("https://[::1]/SMS_MP/.sms_aut?MPLIST").unwrap();
        assert_eq!((address.socket.to_string().as_str(), address.secure), ("[::1]:443", true));
        assert_eq!((address.host.as_str(), address.target.as_str()), ("[::1]", "/SMS_MP/.sms_aut?MPLIST"));
        assert_eq!(Address::parse_socket("127.0.0.1:10123").unwrap().port(), 10_123);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (text, what) in [
            ("127.0.0.1:8080", "does not begin with http://"),
            ("ftp://a:1", "neither http nor https"),
            ("http://", "expected an address such as"),
            ("http://127.0.0.1:99999", "no port from 1 to 65535"),
            ("http://me@127.0.0.1", "expected an address such as"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(Address::parse_socket("127.0.0.1").is_err());
    }
}
