//! Where the admin listener of a running rolegate is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of the admin listener when none is written.
const PORT: u16 = 9180;

/// The address of an admin listener, as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `host:port` or `http://host:port`.
    Http(Host),
    /// `https://host:port`.
    Https(Host),
    /// The path of its Unix socket, or `unix:` and the path.
    Unix(PathBuf),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name or an address; an IPv6 address without its brackets.
    pub(super) name: String,
    /// The port.
    pub(super) port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        if let Some(rest) = text.strip_prefix("https://") {
            return host(rest).map(Self::Https);
        }
        if let Some(rest) = text.strip_prefix("http://") {
            return host(rest).map(Self::Http);
        }
        if text.contains('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        host(text).map(Self::Http)
    }
}

fn host(text: &str) -> Result<Host, String> {
    let wrong = || "write 127.0.0.1:9180, https://rolegate.contoso.com:9180 or the path of a Unix socket".to_owned();
    let text = text.strip_suffix('/').unwrap_or(text);
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or_else(wrong)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (name, port)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match port {
        "" => PORT,
        port => port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?,
    };
    if name.is_empty() || name.contains(['/', '?', '#', '@']) {
        return Err(wrong());
    }
    Ok(Host { name: name.to_owned(), port })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(host) => host.fmt(f),
            Self::Https(host) => write!(f, "https://{host}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let at = |name: &str, port| Host { name: name.to_owned(), port };
        for (text, expected) in [
            ("127.0.0.1:9180", Address::Http(at("127.0.0.1", 9180))),
            ("localhost", Address::Http(at("localhost", 9180))),
            ("[::1]:9999", Address::Http(at("::1", 9999))),
            ("http://rg:81/", Address::Http(at("rg", 81))),
            ("https://rg.contoso.com", Address::Https(at("rg.contoso.com", 9180))),
            ("https://[fe80::1]:443", Address::Https(at("fe80::1", 443))),
            ("/run/rolegate/admin.sock", Address::Unix("/run/rolegate/admin.sock".into())),
            ("./admin.sock", Address::Unix("./admin.sock".into())),
            ("unix:admin.sock", Address::Unix("admin.sock".into())),
            ("unix:///run/admin.sock", Address::Unix("/run/admin.sock".into())),
        ] {
            assert_eq!(text.parse::<Address>().unwrap(), expected, "{text}");
        }
        for wrong in ["", ":9180", "rg:x", "rg:99999", "[::1", "[rg]:1", "https://rg/status", "http://a@b:1", "::1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        assert_eq!("[::1]:9".parse::<Address>().unwrap().to_string(), "[::1]:9");
    }
}
