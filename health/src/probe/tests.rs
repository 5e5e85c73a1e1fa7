#![allow(clippy::unwrap_used)]

mod http;
mod site;
mod tls;

use super::*;
use crate::verdict::FailureKind;
use site::{Answer, Site};

/// Long enough that only a broken probe reaches it.
const LONG: Duration = Duration::from_secs(60);
/// For servers that never answer.
const SHORT: Duration = Duration::from_millis(200);

fn kind(attempt: &Attempt) -> Option<FailureKind> {
    attempt.verdict.clone().into_failure().map(|failure| failure.kind)
}

fn detail(attempt: &Attempt) -> String {
    attempt.verdict.clone().into_failure().unwrap().detail
}

/// A port that refuses: it is taken, so nobody else gets it, but nothing listens on it. Keep the socket.
fn refusing() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn a_tcp_probe_wants_a_connection_and_nothing_else() {
    let probe = Probe::Tcp { tls: None, greeting: b"" };
    let site = Site::open(vec![("/", Answer::Stall)]).await;
    let attempt = probe.attempt(site.address, LONG).await;
    assert_eq!((attempt.verdict, attempt.status), (Verdict::Pass, None));
    assert!(attempt.took < LONG);

    let (_socket, address) = refusing();
    let attempt = probe.attempt(address, LONG).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Refused));
    assert!(detail(&attempt).starts_with(&format!("connect to {address}: ")), "{}", detail(&attempt));
}

#[tokio::test]
async fn a_connection_that_hangs_ends_at_the_deadline() {
    let (socket, address) = refusing();
    // Nobody accepts. When the queue of the listener is full, the kernel stops answering.
    let _listener = socket.listen(0).unwrap();
    let probe = Probe::Tcp { tls: None, greeting: b"" };
    let mut attempt = probe.attempt(address, SHORT).await;
    for _ in 0..8 {
        if attempt.verdict == Verdict::Pass {
            attempt = probe.attempt(address, SHORT).await;
        }
    }
    assert_eq!(kind(&attempt), Some(FailureKind::Timeout));
    assert_eq!(detail(&attempt), format!("connect to {address}: no answer within 200 ms"));
    assert!(attempt.took >= SHORT && attempt.took < LONG, "{:?}", attempt.took);
}
