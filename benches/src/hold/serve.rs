//! A server for very many connections: it answers a `GET` with a few bytes and a line with the line.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

const MAX_KEPT: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(10);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Site-System: hold\r\nContent-Length: 3\r\n\r\n";
const BODY: &[u8] = b"ok\n";

/// How many connections a server holds.
#[derive(Debug, Clone, Default)]
pub struct Alive(Arc<AtomicUsize>);

impl Alive {
    /// So many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

struct One(Alive);

impl One {
    fn of(alive: &Alive) -> Self {
        alive.0.fetch_add(1, Relaxed);
        Self(alive.clone())
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Serves until it is dropped; what it has accepted lives on.
pub async fn serve(listener: TcpListener, alive: Alive) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let one = One::of(&alive);
                tokio::spawn(async move {
                    // How a connection ended is for its peer to judge.
                    let _ = converse(stream).await;
                    drop(one);
                });
            }
            // Out of descriptors: there may be some again in a moment.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Empty, and so without memory of its own, whenever nothing is unfinished.
    let mut kept = Vec::new();
    loop {
        stream.readable().await?;
        match hear(&stream, &mut kept) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let Answers { said, last } = answers(&mut kept);
        if !said.is_empty() {
            stream.write_all(&said).await?;
        }
        if last || kept.len() > MAX_KEPT {
            return Ok(());
        }
    }
}

/// Reads what is there, by way of a buffer that no connection keeps; `false` at the end.
fn hear(stream: &TcpStream, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 4096];
    let len = stream.try_read(&mut piece)?;
    kept.extend_from_slice(&piece[..len]);
    Ok(len > 0)
}

/// What is said to a client.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    said: Vec<u8>,
    /// The client wants no connection after these.
    last: bool,
}

/// Takes everything that is whole from `kept`, and answers it.
fn answers(kept: &mut Vec<u8>) -> Answers {
    let Answers { mut said, mut last } = Answers::default();
    let mut from = 0;
    while !last {
        let rest = &kept[from..];
        let reads = rest.starts_with(b"GET ");
        let http = reads || rest.starts_with(b"HEAD ");
        let end: &[u8] = if http { b"\r\n\r\n" } else { b"\n" };
        let Some(at) = rest.windows(end.len()).position(|window| window == end) else { break };
        let whole = &rest[..at + end.len()];
        if http {
            said.extend_from_slice(HEAD);
            said.extend_from_slice(if reads { BODY } else { b"" });
            last = closes(whole);
        } else {
            said.extend_from_slice(whole);
        }
        from += whole.len();
    }
    if from == kept.len() {
        *kept = Vec::new();
    } else {
        kept.drain(..from);
    }
    Answers { said, last }
}

/// Whether a head says `Connection: close`.
fn closes(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter_map(|line| line.split_at_checked(b"connection:".len())).any(|(name, value)| {
        name.eq_ignore_ascii_case(b"connection:") && value.trim_ascii().eq_ignore_ascii_case(b"close")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_requests_and_lines_are_answered_and_the_rest_is_kept() {
        let mut kept = b"Ping\nPong\nGET / HT".to_vec();
        assert_eq!(answers(&mut kept).said, b"Ping\nPong\n");
        kept.extend_from_slice(b"TP/1.1\r\nHost: a\r\n");
        assert_eq!(answers(&mut kept).said, b"");
        kept.extend_from_slice(b"\r\nHEAD / HTTP/1.1\r\n\r\nla");
        assert_eq!(answers(&mut kept), Answers { said: [HEAD, BODY, HEAD].concat(), last: false });
        assert_eq!(kept, b"la");
        kept.push(b'\n');
        assert_eq!(answers(&mut kept), Answers { said: b"la\n".to_vec(), last: false });
        assert_eq!(kept.capacity(), 0);
    }

    #[test]
    fn a_client_that_wants_no_connection_after_its_answer_has_none() {
        let mut kept = b"GET / HTTP/1.1\r\nHost: a\r\nCONNECTION:  Close\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec();
        assert_eq!(answers(&mut kept), Answers { said: [HEAD, BODY].concat(), last: true });
        assert!(!closes(b"GET /connection:close HTTP/1.1\r\nConnection: keep-alive\r\nX: close\r\n\r\n"));
    }
}
