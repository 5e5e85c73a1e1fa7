#![allow(clippy::unwrap_used)]

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWriteExt, ReadBuf};

use super::*;

async fn put<T: AsyncRead + AsyncWrite + Unpin>(stream: T) -> Reply {
    let probe = HttpProbe {
        method: Method::GET,
        target: "/".to_owned(),
        host: "h".to_owned(),
        status: vec![(200, 200)],
        body_contains: None,
        second_opinion: None,
        user_agent: String::new(),
        tls: None,
        greeting: b"",
    };
    let deadline = Deadline::of(Instant::now(), Duration::from_secs(2));
    let question = Question { probe: &probe, target: "/", text: None, deadline };
    question.put(question.request().unwrap(), stream).await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_or_goes_before_it_is_asked_has_a_kind() {
    for (banner, stays, kind) in [
        ("", false, FailureKind::Reset),
        ("SSH-2.0-OpenSSH_9.6\r\n", false, FailureKind::Protocol),
        ("SSH-2.0-OpenSSH_9.6\r\n", true, FailureKind::Protocol),
        ("HTTP/1.1 503 Busy\r\n\r\n", false, FailureKind::Protocol),
    ] {
        let (client, mut server) = tokio::io::duplex(1024);
        server.write_all(banner.as_bytes()).await.unwrap();
        let server = stays.then_some(server);
        let reply = put(client).await;
        let failure = reply.failure.unwrap();
        assert_eq!((failure.kind, reply.status), (kind, None), "{banner:?}: {failure}");
        drop(server);
    }
}

/// A connection that never gives a byte and breaks when one is sent.
struct Broken(io::ErrorKind);

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.0.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_be_sent_fails_as_its_connection_did() {
    for (error, kind) in [
        (io::ErrorKind::BrokenPipe, FailureKind::Reset),
        (io::ErrorKind::ConnectionReset, FailureKind::Reset),
        (io::ErrorKind::NetworkUnreachable, FailureKind::Unreachable),
    ] {
        let failure = put(Broken(error)).await.failure.unwrap();
        assert_eq!(failure.kind, kind, "{failure}");
    }
}
