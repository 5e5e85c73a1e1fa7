//! A client that speaks plain HTTP to a listener with TLS: it is told so before its connection closes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::data::thread::ticker::Timer;

/// How long the client may take to send the rest and to read the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what it sends is read, so that the answer is not lost with a reset.
const READ: usize = 64 << 10;
/// Bytes that are read at once.
const PIECE: usize = 4 << 10;
const ANSWER: &str = "\
HTTP/1.1 400 Bad Request\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Length: 73\r\n\
Connection: close\r\n\r\n\
400 plain_http: this port speaks HTTPS only; begin the URL with https://\n";

/// Whether the first byte of a connection begins a request, and no record of TLS.
pub fn is_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

/// Says it, and waits a moment for the client to read it.
pub async fn tell(mut stream: TcpStream, timer: &Timer) {
    let talk = async {
        let mut unread = [0; PIECE];
        // What a client asks for does not matter, but it is taken in.
        let _ = stream.read(&mut unread).await;
        if stream.write_all(ANSWER.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        for _ in 0..READ / PIECE {
            if stream.read(&mut unread).await.is_ok_and(|read| read > 0) {
                continue;
            }
            break;
        }
    };
    let _ = timer.within_idle(PATIENCE, talk).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_length_that_it_says() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(is_http(b'G') && is_http(b'C') && !is_http(0x16) && !is_http(b'\0'));
    }
}
