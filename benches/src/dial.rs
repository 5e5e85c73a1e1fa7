//! A TCP connection to an address, from an address of choice.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::Connector;

/// A connection, secured or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects from this address, or from one that the system chooses if it is unspecified. What is written is sent at once.
pub(crate) async fn dial(source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !source.is_unspecified() {
        // Otherwise a port would be taken before it is known where to, and no two connections could share it.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same, and then secures the connection to this host, if there is something to do that with.
pub(crate) async fn dial_secured(
    source: IpAddr,
    to: SocketAddr,
    tls: Option<(&Connector, &str)>,
) -> io::Result<Box<dyn Stream>> {
    let stream = dial(source, to).await?;
    Ok(match tls {
        None => Box::new(stream),
        Some((connector, host)) => Box::new(connector.secure(stream, host, to.ip()).await?),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_come_from_where_they_should() {
        for (listen, source) in [("127.0.0.1:0", "127.3.2.1"), ("127.0.0.1:0", "0.0.0.0"), ("[::1]:0", "::1")] {
            // A machine without the sixth version has nothing to say about it.
            let Ok(listener) = tokio::net::TcpListener::bind(listen).await else { continue };
            let source: IpAddr = source.parse().unwrap();
            let stream = dial(source, listener.local_addr().unwrap()).await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, stream.local_addr().unwrap());
            assert!(source.is_unspecified() || peer.ip() == source, "{peer} is not {source}");
        }
    }
}
