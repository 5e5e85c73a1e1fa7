//! What comes before a response: interim responses, a body that waits to be asked for, and a client that has said all that it has
//! to say.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Message, Peer, Setup, Wire, get, ok, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n";

/// A server that says interim responses before every response.
async fn talkative(interim: String) -> Peer {
    Peer::serve(move |mut talk| {
        let interim = interim.clone();
        async move {
            while talk.request().await.is_some() {
                talk.say(format!("{interim}{}", ok("done"))).await;
            }
        }
    })
    .await
}

/// Heads up to the first that is no interim response, and the body of that.
async fn heads(client: &mut Wire<TcpStream>) -> Vec<Message> {
    let mut heads = vec![client.response_head().await];
    while heads.last().unwrap().status() < 200 {
        heads.push(client.response_head().await);
    }
    assert_eq!(client.take(4).await, b"done");
    heads
}

fn statuses(heads: &[Message]) -> Vec<u16> {
    heads.iter().map(Message::status).collect()
}

#[tokio::test]
async fn interim_responses_reach_their_client() {
    let server = talkative(format!("{HINT}HTTP/1.1 102 Processing\r\n\r\n{HINT}")).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..3 {
        client.say(get("/")).await;
        let heads = heads(&mut client).await;
        assert_eq!(statuses(&heads), [103, 102, 103, 200]);
        let hint = &heads[0];
        assert_eq!((hint.field("link"), hint.fields.len()), (Some("</a.css>; rel=preload"), 1), "{hint:?}");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_hint_does_not_wait_for_its_response() {
    let server = Peer::serve(|mut talk| async move {
        while talk.request().await.is_some() {
            talk.say(HINT).await;
            // The next words of the test's client.
            talk.wire.wait_for_the_end().await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client.say(get("/")).await;
    assert_eq!(client.response_head().await.status(), 103);
}

#[tokio::test]
async fn a_client_that_knows_no_interim_responses_gets_none() {
    let server = talkative(format!("{HINT}HTTP/1.1 102 Processing\r\n\r\n")).await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    let mut client = proxy.open().await;
    client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(statuses(&heads(&mut client).await), [200]);
    client.say(get("/")).await;
    assert_eq!(statuses(&heads(&mut client).await), [103, 102, 200]);
}

#[tokio::test]
async fn interim_responses_without_end_are_no_answer() {
    let server = talkative(HINT.repeat(40)).await;
    let proxy = Setup::new([server.address]).role("retry = { attempts = 0 }").start();
    let mut client = proxy.open().await;
    client.say(get("/")).await;
    let mut count = 0;
    let last = loop {
        let head = client.response_head().await;
        if head.status() != 103 {
            break head;
        }
        count += 1;
    };
    assert!(last.status() == 502 && count <= 33, "{count} {last:?}");
}

const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn a_server_that_refuses_a_body_does_not_get_it() {
    let server = Peer::serve(|mut talk| async move {
        let head = talk.head().await.unwrap();
        assert_eq!(head.field("expect"), Some("100-continue"));
        talk.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        talk.wire.wait_for_the_end().await;
        assert_eq!(talk.wire.ahead, b"", "the body, or another request");
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    for number in 1..=3 {
        let mut client = proxy.open().await;
        client.say(UPLOAD).await;
        let answer = client.response("POST").await;
        answer.is_from_server(413);
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("big", Some("close")));
        client.ends().await;
        assert_eq!(server.accepted(), number);
    }
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn a_body_comes_when_its_server_asks_for_it() {
    let server = Peer::serve(|mut talk| async move {
        while let Some(mut head) = talk.head().await {
            assert_eq!(head.field("expect"), Some("100-continue"));
            assert_eq!(talk.wire.ahead, b"");
            talk.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            talk.wire.rest_of(&mut head).await;
            talk.say(ok(&head.text())).await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let begun = Instant::now();
    for _ in 0..3 {
        client.say(UPLOAD).await;
        assert_eq!(client.response_head().await.status(), 100);
        client.say("hello").await;
        assert_eq!(client.response("POST").await.text(), "hello");
    }
    // No silence was waited for.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_that_knows_nothing_of_expectations_gets_the_body() {
    let server = Peer::answering(|request, _| ok(&request.text())).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client.say(UPLOAD).await;
    assert_eq!(client.response_head().await.status(), 100);
    client.say("hello").await;
    assert_eq!(client.response("POST").await.text(), "hello");
    // A client that does not wait.
    client.say(format!("{UPLOAD}again")).await;
    assert_eq!(client.response("POST").await.text(), "again");
    assert_eq!(server.accepted(), 1);
}

/// A server that speaks HTTP/2.
async fn modern<S, B>(serve: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = hyper::Error> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = hyper::Error> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let builder = http2::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), serve.clone());
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}

/// One that answers at once with what it is sent.
async fn modern_echo() -> SocketAddr {
    modern(service_fn(|request: Request<Incoming>| async { Ok(Response::new(request.into_body())) })).await
}

/// One that answers when it has been sent all.
async fn patient_echo() -> SocketAddr {
    let serve = |request: Request<Incoming>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(Full::new(body).map_err(|never| match never {})))
    };
    modern(service_fn(serve)).await
}

/// There the body is read by another task than the client's connection's, which has to ask for it all the same. The beginning of an
/// answer would wake it too, so that one of the servers has none before it has the body.
#[tokio::test]
async fn a_body_for_an_http2_server_is_asked_for_too() {
    let chunked = UPLOAD.replace("Content-Length: 5", "Transfer-Encoding: chunked");
    for server in [modern_echo().await, patient_echo().await] {
        let proxy = Setup::new([server]).role("http2 = true").start();
        let mut client = proxy.open().await;
        for _ in 0..3 {
            // Of an unknown length, so that it is not kept, and then one that is.
            client.say(&chunked).await;
            assert_eq!(client.response_head().await.status(), 100);
            client.say("5\r\nhello\r\n0\r\n\r\n").await;
            assert_eq!(client.response("POST").await.text(), "hello");
            client.say(UPLOAD).await;
            assert_eq!(client.response_head().await.status(), 100);
            client.say("small").await;
            assert_eq!(client.response("POST").await.text(), "small");
        }
        let mut client = proxy.open().await;
        client.say(&chunked).await;
        assert_eq!(client.response_head().await.status(), 100);
        client.say("5\r\nagain\r\n0\r\n\r\n").await;
        assert_eq!(client.response("POST").await.text(), "again");
    }
}

/// Both directions at once, to a client that reads more slowly than the server sends: what reads the request must not take the wake-up
/// of the response.
#[tokio::test]
async fn both_directions_flow_with_an_http2_server() {
    const SIZE: usize = 4 << 20;
    let proxy = Setup::new([modern_echo().await]).role("http2 = true\nmax_body = \"unlimited\"").start();
    let mut client = Wire::connect_narrow(proxy.at("http")).await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (mut read, mut write) = tokio::io::split(client.stream);
    let upload = async {
        let piece = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
        for _ in 0..SIZE >> 16 {
            write.write_all(piece.as_bytes()).await.unwrap();
        }
        write.write_all(b"0\r\n\r\n").await.unwrap();
    };
    let download = async {
        // Neither the head nor the sizes of chunks have this letter, but for the fields that are ours.
        let (mut heard, mut piece) = (0, vec![0; 3000]);
        while heard < SIZE {
            let count = read.read(&mut piece).await.unwrap();
            assert!(count > 0, "{heard} bytes came");
            heard += piece[..count].iter().filter(|&&byte| byte == b'x').count();
        }
    };
    within("both directions", async { tokio::join!(upload, download) }).await;
}

#[tokio::test]
async fn a_client_that_has_said_all_gets_its_whole_response() {
    let body = "x".repeat(1_000_000);
    let long = ok(&body);
    let server = Peer::serve(move |mut talk| {
        let long = long.clone();
        async move {
            while let Some(request) = talk.request().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
                talk.say(if request.target() == "/long" { long.clone() } else { ok(&request.text()) }).await;
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    for (request, expected) in [
        (get("/long"), &*body),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), ""),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_owned(), "hello"),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".to_owned(), "ab"),
    ] {
        let mut client = proxy.open().await;
        client.say(&request).await;
        client.end().await;
        let answer = client.response("GET").await;
        answer.is_from_server(200);
        assert!(answer.text() == expected, "{request}");
        client.ends().await;
    }
    // Also the last of several.
    let mut client = proxy.open().await;
    client.say([get("/"), get("/"), get("/")].concat()).await;
    client.end().await;
    for _ in 0..3 {
        client.response("GET").await.is_from_server(200);
    }
    client.ends().await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_has_said_half_is_gone() {
    let server = Peer::answering(|request, _| ok(&request.text())).await;
    let proxy = Setup::new([server.address]).start();
    for part in
        ["GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel"]
    {
        let mut client = proxy.open().await;
        client.say(part).await;
        client.end().await;
        let answer = client.response("POST").await;
        assert!(answer.cut || answer.status() == 408, "{answer:?}");
    }
    proxy.until_idle().await;
    until("they are gone", || proxy.metric("rolegate_connections", &["http"]) == 0.0).await;
}

/// It would wait for ever for a client that reads only when it has sent everything.
#[tokio::test]
async fn an_upload_goes_on_while_its_client_does_not_read() {
    const SIZE: usize = 24 << 20;
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 25165824"] {
        let server = Peer::serve(move |mut talk| async move {
            talk.head().await;
            let mut left = SIZE - talk.wire.ahead.len();
            let (mut read, mut write) = tokio::io::split(talk.wire.stream);
            let answers = async {
                let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
                write.write_all(head.as_bytes()).await.unwrap();
                let piece = vec![b'y'; 1 << 20];
                for _ in 0..SIZE / piece.len() {
                    if framing.starts_with('T') {
                        write.write_all(b"100000\r\n").await.unwrap();
                    }
                    write.write_all(&piece).await.unwrap();
                    if framing.starts_with('T') {
                        write.write_all(b"\r\n").await.unwrap();
                    }
                }
                if framing.starts_with('T') {
                    write.write_all(b"0\r\n\r\n").await.unwrap();
                }
            };
            let listens = async {
                let mut piece = vec![0; 1 << 16];
                while left > 0 {
                    let count = read.read(&mut piece).await.unwrap();
                    assert!(count > 0, "{left} bytes of the upload are missing");
                    left -= count;
                }
            };
            tokio::join!(answers, listens);
            // The connection is still of use.
            let _ = read.read(&mut [0]).await;
        })
        .await;
        let role = "max_body = \"unlimited\"";
        let proxy = Setup::new([server.address]).role(role).start();
        let mut client = proxy.open().await;
        client.say(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..SIZE / piece.len() {
            assert!(within("room for the upload", client.say(&piece)).await, "{framing}");
        }
        let answer = client.response("POST").await;
        assert!(answer.status() == 200 && !answer.cut && answer.body.len() == SIZE, "{framing}");
        proxy.until_idle().await;
    }
}
