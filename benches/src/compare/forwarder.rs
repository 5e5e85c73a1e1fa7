//! The floor: a TCP forwarder that knows no HTTP.
//!
//! Each client connection is one connection to an origin, in turns, and one buffer in each direction. What any proxy costs
//! beyond this is what it knows.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BUFFER: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);
const BACKLOG: u32 = 4096;

/// A listener with room for many connections that wait.
///
/// # Errors
/// The address cannot be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Forwards until it is dropped. Runs on one thread, inside a `LocalSet` or a runtime of one thread.
///
/// # Errors
/// There is no origin.
pub async fn serve(listener: TcpListener, origins: Vec<SocketAddr>) -> io::Result<()> {
    let mut turns = origins.iter().copied().cycle();
    loop {
        let origin = turns.next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no origin"))?;
        match listener.accept().await {
            Ok((client, _)) => {
                // How a connection ends is for its two ends to judge.
                tokio::spawn(async move { drop(forward(client, origin).await) });
            }
            // Out of descriptors: there may be some again in a moment.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn forward(mut client: TcpStream, origin: SocketAddr) -> io::Result<()> {
    let mut origin = tokio::time::timeout(PATIENCE, TcpStream::connect(origin)).await??;
    client.set_nodelay(true)?;
    origin.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_origin, mut to_origin) = origin.split();
    let up = pass(&mut from_client, &mut to_origin);
    let down = pass(&mut from_origin, &mut to_client);
    // Whoever ends one direction of a request and its answer is done with the other too.
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

async fn pass(from: &mut tokio::net::tcp::ReadHalf<'_>, to: &mut tokio::net::tcp::WriteHalf<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..len]).await?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_and_origins_take_turns() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut origins = Vec::new();
        for name in [b'1', b'2'] {
            let origin = listen(any).unwrap();
            origins.push(origin.local_addr().unwrap());
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = origin.accept().await.unwrap();
                    let said = stream.read_u8().await.unwrap();
                    stream.write_all(&[name, said]).await.unwrap();
                }
            });
        }
        let listener = listen(any).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, origins));
        for name in [b'1', b'2', b'1'] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"x").await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, [name, b'x']);
        }
        serving.abort();
        let listener = listen(any).unwrap();
        assert!(serve(listener, Vec::new()).await.is_err());
    }
}
