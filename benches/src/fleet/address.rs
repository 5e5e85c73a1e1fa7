//! Where the load goes: an address as its user writes it.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

/// `http://127.0.0.1:8080/a`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where to connect to.
    pub socket: SocketAddr,
    /// The other addresses of its name.
    pub others: Vec<SocketAddr>,
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
        let (socket, others) = resolve(name, port)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { socket, others, host: authority.as_str().to_owned(), secure, target })
    }

    /// Tries all addresses of its name, one after the other, and keeps to the first that takes a connection.
    ///
    /// # Errors
    /// None does: says why of each, in one sentence.
    pub fn settle(&mut self, patience: Duration) -> Result<(), String> {
        let all: Vec<_> = std::iter::once(self.socket).chain(self.others.drain(..)).collect();
        let mut failed = Vec::new();
        for socket in all {
            match TcpStream::connect_timeout(&socket, patience) {
                Ok(_) => {
                    self.socket = socket;
                    return Ok(());
                }
                Err(error) => failed.push(format!("{socket}: {error}")),
            }
        }
        Err(format!("nothing can be reached at {}", failed.join(", nor at ")))
    }

    /// Reads `127.0.0.1:10123`.
    ///
    /// # Errors
    /// Says what is wrong with it, in one sentence.
    pub fn parse_socket(text: &str) -> Result<SocketAddr, String> {
        let wrong = || format!("'{text}' is no address and port such as 127.0.0.1:10123");
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        resolve(name.trim_start_matches('[').trim_end_matches(']'), port).map(|(first, _)| first)
    }
}

/// The addresses of a name: the first, and the others.
fn resolve(name: &str, port: u16) -> Result<(SocketAddr, Vec<SocketAddr>), String> {
    let found = (name, port).to_socket_addrs().map_err(|error| format!("'{name}' cannot be found: {error}"))?;
    let mut found: Vec<_> = found.collect();
    // Most client addresses are of the fourth version.
    found.sort_by_key(|address| !address.is_ipv4());
    found.dedup();
    let mut found = found.into_iter();
    let first = found.next().ok_or_else(|| format!("'{name}' has no address"))?;
    Ok((first, found.collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn an_address_is_taken_apart() {
        let address = Address::parse("http://127.0.0.1:8080").unwrap();
        let socket = "127.0.0.1:8080".parse().unwrap();
        let host = "127.0.0.1:8080".to_owned();
        assert_eq!(address, Address { socket, others: Vec::new(), host, secure: false, target: "/".to_owned() });
        let address = Address::parse("https://[::1]/SMS_MP/.sms_aut?MPLIST").unwrap();
        assert_eq!((address.socket.to_string().as_str(), address.secure), ("[::1]:443", true));
        assert_eq!((address.host.as_str(), address.target.as_str()), ("[::1]", "/SMS_MP/.sms_aut?MPLIST"));
        assert_eq!(Address::parse_socket("127.0.0.1:10123").unwrap().port(), 10_123);
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        // That port of another address is closed.
        let nowhere = SocketAddr::new([127, 9, 9, 9].into(), there.port());
        let mut address = Address::parse(&format!("http://{nowhere}")).unwrap();
        assert!(address.settle(PATIENCE).unwrap_err().contains(&nowhere.to_string()));
        address.others = vec![nowhere, there];
        address.settle(PATIENCE).unwrap();
        assert_eq!(address.socket, there);
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
