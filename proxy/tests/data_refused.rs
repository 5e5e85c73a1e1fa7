//! An HTTP/2 server that says that it has not looked at a request (RFC 9113, sections 6.8 and 8.7): it is sent again, whatever its
//! method, and what the server has looked at is not.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::server::{self, SendResponse};
use http::{Request, Response};
use support::{Setup, get, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROLE: &str = "http2 = true\npassive = { eject_time = \"0s\" }";

/// What a server has looked at, and how often.
type Looked = Arc<Mutex<HashMap<String, usize>>>;

async fn serve<F: Future<Output = ()> + Send>(
    on: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let on = Arc::new(on);
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let on = Arc::clone(&on);
            tokio::spawn(async move { on(stream, number).await });
        }
    });
    address
}

async fn answer(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, looked: &Looked) {
    let (head, mut body) = request.into_parts();
    let mut text = head.uri.path().to_owned();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    *looked.lock().unwrap().entry(text.clone()).or_default() += 1;
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    let _ = stream.send_data(text.into(), true);
}

/// Refuses every third request, and says goodbye after some.
async fn moody(looked: &Looked) -> SocketAddr {
    let (looked, all) = (Arc::clone(looked), Arc::new(AtomicUsize::new(0)));
    serve(move |stream, number| {
        let (looked, all) = (Arc::clone(&looked), Arc::clone(&all));
        async move {
            let mut connection = server::Builder::new().max_concurrent_streams(2).handshake(stream).await.unwrap();
            let mut seen = 0;
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if all.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    let looked = Arc::clone(&looked);
                    tokio::spawn(async move { answer(request, respond, &looked).await });
                }
                seen += 1;
                if seen == 4 + number % 5 {
                    connection.graceful_shutdown();
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_was_refused_unread_is_sent_again() {
    let looked = Looked::default();
    let proxy = Setup::new([moody(&looked).await]).role(ROLE).start();
    let clients = (0..5).map(|client| {
        let proxy = &proxy;
        async move {
            let mut wire = proxy.open().await;
            for round in 0..30 {
                let target = format!("/{client}-{round}");
                let (request, expected) = match round % 3 {
                    0 => (get(&target), target),
                    1 => (
                        format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n-post"),
                        format!("{target}-post"),
                    ),
                    _ => (format!("CCM_POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), target),
                };
                let answer = wire.ask(&request).await;
                answer.is_from_server(200);
                assert_eq!(answer.text(), expected);
            }
        }
    });
    within("all of them", join_all(clients)).await;
    let looked = looked.lock().unwrap();
    assert_eq!(looked.len(), 150);
    for (text, times) in looked.iter() {
        assert!(*times == 1 || !text.ends_with("-post"), "{text} {times} times");
    }
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "it has failed at nothing");
}

/// Reads a frame: its kind and stream.
async fn frame(stream: &mut TcpStream) -> Option<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Takes the first request of a connection and says with which stream its last one was. On a later connection it answers.
async fn says_goodbye(last: u32, code: u8, looked: &Looked) -> SocketAddr {
    let looked = Arc::clone(looked);
    serve(move |mut stream, number| {
        let looked = Arc::clone(&looked);
        async move {
            if number > 0 {
                let mut connection = server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let looked = Arc::clone(&looked);
                    tokio::spawn(async move { answer(request, respond, &looked).await });
                }
                return;
            }
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            stream.write_all(&SETTINGS).await.unwrap();
            while let Some((kind, flags, _)) = frame(&mut stream).await {
                if (kind == HEADERS || kind == DATA) && flags & END_STREAM > 0 {
                    break;
                }
            }
            let [_, a, b, c] = last.to_be_bytes();
            stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, a, b, c, 0, 0, 0, code]).await.unwrap();
            // And the end of the connection a little later, so that it is the frame that counts.
            while frame(&mut stream).await.is_some() {}
        }
    })
    .await
}

#[tokio::test]
async fn what_came_after_the_last_stream_is_sent_again_and_what_came_before_is_not() {
    for code in [0, 11] {
        for request in [
            get("/x"),
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        ] {
            let looked = Looked::default();
            let proxy = Setup::new([says_goodbye(0, code, &looked).await]).role(ROLE).start();
            proxy.ask(&request).await.is_from_server(200);
            assert_eq!(looked.lock().unwrap().values().sum::<usize>(), 1);
            assert_eq!(proxy.metric("rolegate_endpoint_connects_total", &[]), 2.0);
        }
    }
    // The server may have done what was asked.
    let looked = Looked::default();
    let role = format!("{ROLE}\ntimeouts = {{ response_header = \"500ms\" }}");
    let proxy = Setup::new([says_goodbye(1, 0, &looked).await]).role(&role).start();
    let answer = proxy.ask("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(answer.status() >= 500, "{answer:?}");
    assert!(looked.lock().unwrap().is_empty());
}

/// Refuses everything.
#[tokio::test]
async fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = serve(move |stream, _| {
        let count = Arc::clone(&count);
        async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                respond.send_reset(Reason::REFUSED_STREAM);
            }
        }
    })
    .await;
    let proxy = Setup::new([address]).role(ROLE).start();
    proxy.get("/").await.is_own(502, "connection_terminated");
    let times = asked.load(Ordering::Relaxed);
    assert!((2..=12).contains(&times), "{times}");
    // A large body that was on its way is gone.
    let before = asked.load(Ordering::Relaxed);
    let body = "x".repeat(100_000);
    let answer = proxy.ask(&format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{body}")).await;
    assert!(answer.status() >= 500 || answer.cut, "{answer:?}");
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
}
