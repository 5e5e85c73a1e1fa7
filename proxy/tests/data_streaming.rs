//! Large bodies pass through without staying: nothing is read that the other side has not made room for.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Peer, Setup, Wire, get, ok, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1 << 20;
/// More than the kernel's buffers of two connections, which grow with what their readers have taken, and the proxy's own.
const ROOM: usize = 160 * MIB;
/// The same for readers that have taken nothing yet.
const LITTLE_ROOM: usize = 64 * MIB;

/// The largest amount of memory that this process has ever had.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0) * 1024
}

/// Waits until a number has stopped to grow.
async fn settled(number: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = number.load(Ordering::SeqCst);
        if now == before && now > 0 {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

/// A server that sends as much as it is asked for (`/<bytes>`) as fast as it can, and counts.
async fn source(sent: &Arc<AtomicUsize>) -> Peer {
    let sent = Arc::clone(sent);
    Peer::serve(move |mut talk| {
        let sent = Arc::clone(&sent);
        async move {
            while let Some(request) = talk.request().await {
                let length = request.target()[1..].parse::<usize>().unwrap();
                talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
                let piece = vec![b'x'; 1 << 18];
                let mut left = length;
                while left > 0 {
                    // Not bounded: waiting is what it is about.
                    let Ok(count) = talk.wire.stream.write(&piece[..left.min(piece.len())]).await else { return };
                    left -= count;
                    sent.fetch_add(count, Ordering::SeqCst);
                }
            }
        }
    })
    .await
}

/// Reads this many bytes of a body and throws them away.
async fn discard(client: &mut Wire, mut left: usize) {
    left -= std::mem::take(&mut client.ahead).len();
    let mut scratch = vec![0; 1 << 18];
    while left > 0 {
        let want = left.min(scratch.len());
        let count = within("discard", client.stream.read(&mut scratch[..want])).await.unwrap();
        assert!(count > 0, "cut with {left} to come");
        left -= count;
    }
}

#[tokio::test]
async fn a_gigabyte_down() {
    let sent = Arc::default();
    let server = source(&sent).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client.say(get(&format!("/{}", 8 * MIB))).await;
    client.response_head().await;
    discard(&mut client, 8 * MIB).await;
    let before = peak();
    client.say(get("/1073741824")).await;
    assert_eq!(client.response_head().await.field("content-length"), Some("1073741824"));
    // It does not read: the server must come to a stop.
    let stopped = settled(&sent).await;
    assert!(stopped < ROOM, "{stopped} bytes are somewhere");
    discard(&mut client, 1024 * MIB).await;
    assert!(peak() < before + 64 * MIB, "{} to {}", before, peak());
    assert_eq!(server.accepted(), 1);
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_response_bytes_total", &["web"]), (1032 * MIB) as f64);
}

#[tokio::test]
async fn a_hundred_megabytes_up() {
    let (gate, server) = {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let own = Arc::clone(&gate);
        let server = Peer::serve(move |mut talk| {
            let gate = Arc::clone(&own);
            async move {
                while let Some(head) = talk.head().await {
                    drop(gate.acquire().await.unwrap());
                    let length: usize = head.field("content-length").unwrap().parse().unwrap();
                    discard(&mut talk.wire, length).await;
                    talk.say(ok("all of it")).await;
                }
            }
        })
        .await;
        (gate, server)
    };
    let proxy = Setup::new([server.address]).role("max_body = \"128MiB\"").start();
    let client = proxy.open().await;
    let length = 100 * MIB;
    let (mut read, mut write) = client.stream.into_split();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let upload = tokio::spawn(async move {
        let head = format!("BITS_POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 1 << 18];
        for _ in 0..length / piece.len() {
            write.write_all(&piece).await.unwrap();
            counter.fetch_add(piece.len(), Ordering::SeqCst);
        }
        write
    });
    // The server does not read: the client must come to a stop.
    let stopped = settled(&sent).await;
    assert!(stopped < LITTLE_ROOM, "{stopped} bytes are somewhere");
    gate.add_permits(1);
    let mut answer = Vec::new();
    while !answer.ends_with(b"all of it") {
        assert!(within("answer", read.read_buf(&mut answer)).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    drop(within("upload", upload).await.unwrap());
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_request_bytes_total", &["web"]), length as f64);
}

#[tokio::test]
async fn many_downloads_at_once() {
    let sent = Arc::default();
    let server = source(&sent).await;
    let proxy = Setup::new([server.address]).threads(2).start();
    let downloads = (0..32).map(|_| async {
        let mut client = proxy.open().await;
        for _ in 0..2 {
            client.say(get("/1048576")).await;
            assert_eq!(client.response_head().await.status(), 200);
            discard(&mut client, MIB).await;
        }
    });
    futures_util::future::join_all(downloads).await;
    assert_eq!(sent.load(Ordering::SeqCst), 64 * MIB);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_last_byte() {
    let sent = Arc::default();
    let server = source(&sent).await;
    let proxy = Setup::new([server.address]).start();
    // Slow readers: the exchange is over when the proxy has the last byte, and the client has not. Where that byte is
    // then, in the proxy or already in the kernel, depends on the length: one of these is right.
    let mut clients = Vec::new();
    for number in 0..24 {
        let length = 4 * MIB + number * 48 * 1024;
        let mut client = Wire::connect_narrow(proxy.at("http")).await;
        client.say(get(&format!("/{length}"))).await;
        assert_eq!(client.response_head().await.status(), 200);
        let mut left = length;
        while proxy.in_flight() > 0 {
            assert!(left > 0);
            let most = left.min(32 * 1024);
            discard(&mut client, most).await;
            left -= most;
        }
        clients.push((client, left));
    }
    let app = proxy.into_app();
    let drained = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(10)));
    // Long enough for the proxy to do it wrong.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (client, left) in &mut clients {
        discard(client, *left).await;
        client.ends().await;
    }
    assert_eq!(within("shutdown", drained).await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish_and_closes_idle_connections() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let own = Arc::clone(&gate);
    let server = Peer::serve(move |mut talk| {
        let gate = Arc::clone(&own);
        async move {
            while let Some(request) = talk.request().await {
                if request.target() == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                talk.say(ok("fine")).await;
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let (mut idle, mut busy) = (proxy.open().await, proxy.open().await);
    idle.ask(&get("/")).await.is_from_server(200);
    busy.say(get("/slow")).await;
    until("it is under way", || server.count() == 2).await;
    let app = proxy.into_app();
    let drained = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(10)));
    idle.ends().await;
    gate.add_permits(1);
    let answer = busy.response("GET").await;
    answer.is_from_server(200);
    assert_eq!(answer.field("connection"), Some("close"), "the client is told");
    busy.ends().await;
    assert_eq!(within("shutdown", drained).await.unwrap().cut, 0);
}
