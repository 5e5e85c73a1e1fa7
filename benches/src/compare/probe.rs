//! Ports that are free, and servers that are ready.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::targets::HOST;

/// The longest that a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
const ONE: Duration = Duration::from_secs(2);

/// Addresses of loopback that nobody listens on. Their ports are below those that the system gives to connections, so that
/// no connection takes one before its server does.
pub(super) fn free<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let mut kept = Vec::with_capacity(N);
    for _ in 0..1000 {
        if kept.len() == N {
            break;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(10_000..32_000)));
        if let Ok(listener) = TcpListener::bind(address) {
            kept.push(listener);
        }
    }
    let addresses = kept.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    addresses.try_into().map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "no free port"))
}

/// Waits until a `GET` is answered with 200; `ended` says whether the server cannot become ready any more.
pub(super) async fn until_ready(to: SocketAddr, target: &str, mut ended: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = match tokio::time::timeout(ONE, get(to, target)).await {
            Ok(Ok((200, _))) => return Ok(()),
            Ok(Ok((status, _))) => format!("answers {status}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "does not answer".to_owned(),
        };
        if ended() {
            return Err("ended at once".to_owned());
        }
        if Instant::now() > until {
            return Err(format!("was not ready within {PATIENCE:?}: {answer}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A `GET` on a connection of its own: the status and the rest of the answer.
pub(super) async fn get(to: SocketAddr, target: &str) -> io::Result<(u16, String)> {
    ask(to, HOST, target).await
}

/// The same of an admin listener, which has no name.
pub(super) async fn admin(to: SocketAddr, target: &str) -> io::Result<(u16, String)> {
    ask(to, "localhost", target).await
}

async fn ask(to: SocketAddr, host: &str, target: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, answer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_ready_when_it_answers_200() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for status in ["503 Not yet", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut piece = [0; 1024];
                let _ = stream.read(&mut piece).await.unwrap();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        until_ready(address, "/", || false).await.unwrap();
        let [nobody] = free().unwrap();
        assert_eq!(until_ready(nobody, "/", || true).await.unwrap_err(), "ended at once");
    }

    #[test]
    fn free_ports_differ_and_can_be_listened_on() {
        let ports = free::<5>().unwrap();
        let mut distinct = ports.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 5);
        drop(ports.map(|address| TcpListener::bind(address).unwrap()));
    }
}
