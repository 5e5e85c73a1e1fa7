//! Where a connection of the admin listener comes from.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Over TCP.
    Tcp {
        /// Its address and port.
        from: SocketAddr,
        /// Whom the client certificate is for that it has shown, which an authority of `[admin] client_authorities` has issued.
        certificate: Option<Arc<str>>,
    },
    /// Over the Unix socket, which only its owner and group can open.
    Unix {
        /// The user.
        uid: u32,
    },
}

impl Peer {
    /// Whether it is a process of this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp { from, .. } => from.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { from, .. } => write!(f, "{from}"),
            Self::Unix { uid } => write!(f, "unix socket, uid {uid}"),
        }
    }
}
