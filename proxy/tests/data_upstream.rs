//! Connections to servers, from one request to the next: which are used again, what a server must not do to the next client,
//! and what goes to it in which framing.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Message, Peer, Proxy, Setup, Talk, get, ok, peers, until, within};

const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n";

/// Says the same to every request and keeps the connection.
async fn steady(answer: &'static str) -> Peer {
    Peer::saying(answer).await
}

/// One request each of so many clients, one after the other.
async fn each_client(proxy: &Proxy, clients: usize) -> Vec<Message> {
    let mut answers = Vec::new();
    for _ in 0..clients {
        answers.push(proxy.get("/").await);
        proxy.until_idle().await;
    }
    answers
}

// Used again, or not

#[tokio::test]
async fn a_connection_is_used_again_after_every_framing() {
    for (method, answer, body) in [
        ("GET", ok("hello"), "hello"),
        ("GET", ok(""), ""),
        ("GET", format!("{CHUNKS}\r\n"), "abcde"),
        ("GET", format!("{CHUNKS}X-Sum: 7\r\n\r\n"), "abcde"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n".to_owned(), ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n".to_owned(), ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), ""),
        ("GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned(), "ok"),
        ("GET", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\ncontent-length: 2, 2\r\n\r\nok".to_owned(), "ok"),
        ("GET", format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{}", ok("hinted")), "hinted"),
    ] {
        let server = Peer::saying(answer.clone()).await;
        let proxy = Setup::new([server.address]).start();
        for _ in 0..3 {
            let mut client = proxy.open().await;
            for _ in 0..2 {
                let heard = client.ask(&format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
                assert!(heard.status() < 400 && !heard.cut && heard.text() == body, "{answer:?} {heard:?}");
                assert!(heard.field("link").is_none(), "an interim response is nobody's");
            }
        }
        assert_eq!((server.accepted(), server.count()), (1, 6), "{answer:?}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_when_its_server_does_not_mean_it_to_be() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        // The server itself would go on.
        let server = steady(answer).await;
        let proxy = Setup::new([server.address]).start();
        let mut client = proxy.open().await;
        for number in 1..=3 {
            let heard = client.ask(&get("/")).await;
            heard.is_from_server(200);
            assert_eq!((heard.text().as_str(), server.accepted()), ("ok", number), "{answer:?}");
        }
        until("the others are closed", || server.open() == 0).await;
    }
    let server = peers::half_close("ok").await;
    let proxy = Setup::new([server.address]).start();
    for answer in each_client(&proxy, 3).await {
        answer.is_from_server(200);
        assert_eq!(answer.text(), "ok");
    }
    assert_eq!(server.accepted(), 3);
    until("all are closed", || server.open() == 0).await;
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_what_is_no_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nz\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nno trailer\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n11111111111111111\r\n\r\n",
    ] {
        let server = steady(answer).await;
        let proxy = Setup::new([server.address]).role("passive = { eject_time = \"0s\" }").start();
        for (number, heard) in each_client(&proxy, 3).await.into_iter().enumerate() {
            assert!(heard.cut && heard.status() == 200, "{number} {answer:?} {heard:?}");
        }
        assert_eq!(server.accepted(), 3, "{answer:?}");
        until("all are closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn an_idle_connection_that_its_server_closes_is_closed() {
    let (close, told) = tokio::sync::watch::channel(false);
    let (tell, mut closed) = tokio::sync::mpsc::unbounded_channel();
    let server = Peer::serve(move |mut talk| {
        let (mut told, tell) = (told.clone(), tell.clone());
        async move {
            talk.request().await;
            talk.say(ok("fine")).await;
            told.wait_for(|now| *now).await.unwrap();
            talk.wire.end().await;
            talk.wait().await;
            tell.send(()).unwrap();
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    proxy.get("/").await.is_from_server(200);
    proxy.until_idle().await;
    assert_eq!(server.open(), 1);
    close.send(true).unwrap();
    within("the proxy's end of it", closed.recv()).await.unwrap();
}

#[tokio::test]
async fn no_more_connections_are_kept_than_may_be() {
    let server = Peer::serve(|mut talk| async move {
        while talk.head().await.is_some() {
            talk.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
            // Until the client has sent the rest of its body.
            talk.wire.take(1).await;
            talk.say("k").await;
        }
    })
    .await;
    for (limit, kept) in [(0, 0), (1, 1), (2, 2), (9, 3)] {
        let proxy = Setup::new([server.address]).proxy(&format!("max_idle_per_endpoint = {limit}")).start();
        // Three at the same time, and again.
        for reused in [0, kept] {
            let mut clients = Vec::new();
            for _ in 0..3 {
                let mut client = proxy.open().await;
                client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n").await;
                assert_eq!(client.response_head().await.status(), 200);
                clients.push(client);
            }
            assert_eq!(proxy.metric("rolegate_endpoint_reuses_total", &[]), f64::from(reused), "{limit}");
            for client in &mut clients {
                client.say("x").await;
                assert_eq!(client.take(2).await, b"ok");
            }
            proxy.until_idle().await;
        }
    }
}

/// Answers the first request on each connection with `first`, and then as it should.
async fn surplus(first: String) -> Peer {
    Peer::answering(move |request, _| match request.target() {
        "/first" => first.clone(),
        target => ok(target),
    })
    .await
}

#[tokio::test]
async fn a_forged_response_never_reaches_another_client() {
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let long = "x".repeat(150_000);
    for first in [
        ok("mine"),
        ok(""),
        ok(&long),
        format!("{CHUNKS}\r\n"),
        format!("{CHUNKS}A: b\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n249f0\r\n{long}\r\n0\r\n\r\n"),
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n".to_owned(),
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ] {
        for surplus_bytes in [forged.to_owned(), forged.repeat(5000), "\r\n".to_owned(), "0".to_owned()] {
            let server = surplus(format!("{first}{surplus_bytes}")).await;
            let proxy = Setup::new([server.address]).start();
            let (mut one, mut other) = (proxy.open().await, proxy.open().await);
            for round in 0..2 {
                let heard = one.ask(&get("/first")).await;
                assert!(heard.status() < 400 && !heard.text().contains("forged"), "{heard:?}");
                // All of it has arrived: the server has said it before it hears anything else.
                let heard = other.ask(&get(&format!("/{round}"))).await;
                heard.is_from_server(200);
                assert_eq!(heard.text(), format!("/{round}"), "{:?}", &first[..60.min(first.len())]);
            }
            assert!(server.accepted() >= 2, "{:?}", &first[..60.min(first.len())]);
        }
    }
}

#[tokio::test]
async fn a_response_to_head_with_a_body_is_not_the_next_response() {
    let server = Peer::answering(|request, _| match request.start.starts_with("HEAD") {
        true => ok("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"),
        false => ok(request.target()),
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for round in 0..5 {
        assert_eq!(client.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await.status(), 200);
        let heard = client.ask(&get(&format!("/{round}"))).await;
        assert_eq!((heard.status(), heard.text()), (200, format!("/{round}")));
    }
}

#[tokio::test]
async fn a_response_to_head_tells_a_length_and_has_none() {
    let server = Peer::answering(|request, _| match request.start.starts_with("HEAD") {
        true => "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n".to_owned(),
        false => ok("next"),
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..3 {
        let heard = client.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((heard.status(), heard.field("content-length")), (200, Some("12345")));
        let heard = client.ask(&get("/")).await;
        assert_eq!((heard.text().as_str(), heard.field("content-length")), ("next", Some("4")));
    }
    assert_eq!(server.accepted(), 1);
}

// Trailers and framing on the way to the client

#[tokio::test]
async fn trailers_never_break_the_framing() {
    let trailers = "Content-Length: 3\r\nTransfer-Encoding: gzip\r\nX-Sum: 7\r\nX-Sum: 8\r\nX-\u{1}: no\r\n";
    for (trailers, cut) in [(trailers, true), (&trailers[..trailers.len() - 9], false), ("", false)] {
        let answer = CHUNKS.replace("\r\n\r\n3\r\n", "\r\nTrailer: X-Sum, Content-Length\r\n\r\n3\r\n");
        let server = Peer::saying(format!("{answer}{trailers}\r\n")).await;
        let proxy = Setup::new([server.address]).role("passive = { eject_time = \"0s\" }").start();
        for te in ["", "TE: trailers\r\nConnection: TE\r\n"] {
            let mut client = proxy.open().await;
            for _ in 0..2 {
                let heard = client.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{te}\r\n")).await;
                assert_eq!((heard.status(), heard.text().as_str(), heard.cut), (200, "abcde", cut), "{heard:?}");
                let allowed = |(name, _): &(String, String)| !te.is_empty() && name == "x-sum";
                assert!(heard.trailers.iter().all(allowed), "{heard:?}");
                if cut {
                    client = proxy.open().await;
                }
            }
        }
        assert_eq!(server.accepted(), if cut { 4 } else { 1 });
    }
}

#[tokio::test]
async fn two_framings_never_reach_a_client() {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let server = steady(both).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..2 {
        let heard = client.ask(&get("/")).await;
        heard.is_from_server(200);
        assert_eq!((heard.text().as_str(), heard.field("content-length")), ("abc", None));
    }
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let server = steady(answer).await;
        let proxy = Setup::new([server.address]).start();
        proxy.get("/").await.is_own(502, "http_protocol_error");
        until("it is closed", || server.open() == 0).await;
    }
}

// Requests

#[tokio::test]
async fn a_body_of_unknown_length_goes_in_chunks() {
    let server = Peer::serve(|mut talk| async move {
        while let Some(head) = talk.head().await {
            assert_eq!(head.all("content-length").len() + head.all("transfer-encoding").len(), 1, "{head:?}");
            let mut lines = Vec::new();
            let (mut data, mut last) = (0, false);
            while let Some(line) = talk.wire.line().await {
                lines.push(line.clone());
                if last && line.is_empty() {
                    break;
                }
                let size = if last { 0 } else { usize::from_str_radix(&line, 16).unwrap() };
                last |= size == 0;
                if !last {
                    assert_eq!(talk.wire.take(size).await, "x".repeat(size).as_bytes());
                    assert_eq!(talk.wire.line().await.unwrap(), "");
                    data += size;
                }
            }
            let trailers: Vec<_> = lines.into_iter().filter(|line| line.contains(':')).collect();
            talk.say(ok(&format!("{data} {trailers:?}"))).await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let trailers = "X-Sum: 7\r\nContent-Length: 3\r\nHost: evil\r\nAuthorization: x\r\nTransfer-Encoding: x\r\n\
                    X-Forwarded-For: 1.2.3.4\r\nClient-Cert: :x:\r\nX-Unnamed: 8\r\n";
    let named = "Trailer: X-Sum, Content-Length, Host, Authorization, X-Forwarded-For, Client-Cert\r\n";
    for size in [1, 5, 4090, 4096, 5000, 300_000] {
        let body = "x".repeat(size);
        let head =
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n{named}Transfer-Encoding: chunked\r\n\r\n");
        let request = format!("{head}{size:x}\r\n{body}\r\n1\r\nx\r\n0\r\n{trailers}\r\n");
        let heard = proxy.ask(&request).await;
        heard.is_from_server(200);
        assert_eq!(heard.text(), format!("{} [\"x-sum: 7\"]", size + 1));
    }
    assert_eq!(server.accepted(), 1);
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_early_refusal_of_a_chunked_upload_arrives() {
    let server = Peer::serve(|mut talk| async move {
        talk.head().await;
        // Part of the upload, so that some of it is still to be sent.
        talk.wire.take(1000).await;
        talk.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        if talk.number.is_multiple_of(2) {
            talk.wire.end().await;
            while talk.wire.more().await > 0 {
                talk.wire.ahead.clear();
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).role("max_body = \"unlimited\"").start();
    for number in 1..=6 {
        let mut client = proxy.open().await;
        client.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let (mut from, mut to) = client.stream.into_split();
        let sends = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            // For as long as anybody takes it.
            for _ in 0..1000 {
                if to.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
            }
            to
        });
        let mut heard = Vec::new();
        while !heard.ends_with(b"big") {
            use tokio::io::AsyncReadExt;
            let count = within("the answer", from.read_buf(&mut heard)).await.unwrap();
            assert!(count > 0, "{:?}", String::from_utf8_lossy(&heard));
        }
        assert!(heard.starts_with(b"HTTP/1.1 413 "), "{:?}", String::from_utf8_lossy(&heard));
        sends.abort();
        drop((sends.await, from));
        proxy.until_idle().await;
        assert_eq!(server.accepted(), number, "part of a request is on the one before");
    }
}

#[tokio::test]
async fn what_a_server_says_with_its_101_belongs_to_the_tunnel() {
    let early = "\0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let server = Peer::serve(move |mut talk| async move {
        talk.head().await;
        let agree =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\n";
        talk.say(format!("HTTP/1.1 100 Continue\r\n\r\n{agree}{early}")).await;
        let heard = talk.wire.take(4).await;
        talk.say(heard).await;
        talk.wait().await;
    })
    .await;
    let proxy = Setup::new([server.address]).role("upgrades = [\"x\"]").start();
    for _ in 0..3 {
        let mut client = proxy.open().await;
        client.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
        let answer = client.response_head().await;
        assert_eq!((answer.status(), answer.field("upgrade")), (101, Some("x")));
        assert_eq!(client.take(early.len()).await, early.as_bytes());
        client.say("ping").await;
        assert_eq!(client.take(4).await, b"ping");
        client.end().await;
        client.ends().await;
    }
    proxy.until_idle().await;
    until("all are closed", || server.open() == 0).await;
}

/// A request full of claims, and what is left of them.
const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: lab.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n\
                      X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Kept: 1\r\n\r\n";

fn claims_are_ours(heard: &Message) {
    let field = |name: &str| heard.field(name).map(str::to_owned);
    assert_eq!(field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(field("x-forwarded-host").as_deref(), Some("lab.test"));
    assert_eq!(field("forwarded").as_deref(), Some("for=127.0.0.1;host=\"lab.test\";proto=http"));
    assert_eq!((field("x-kept").as_deref(), field("host").as_deref()), (Some("1"), Some("lab.test")));
    assert_eq!(heard.all("via").len(), 1);
}

#[tokio::test]
async fn forwarding_fields_are_written_once() {
    for proxy_lines in ["", "preserve_header_case = true"] {
        let (dying, well) = (peers::hang_up().await, Peer::saying(ok("fine")).await);
        let role = "retry = { budget_min_per_second = 1000 }\npassive = { eject_time = \"0s\" }";
        let proxy = Setup::new([dying.address, well.address]).proxy(proxy_lines).role(role).start();
        let mut client = proxy.open().await;
        for _ in 0..20 {
            client.ask(CLAIMS).await.is_from_server(200);
        }
        assert!(dying.count() > 0 && well.count() == 20, "{} {}", dying.count(), well.count());
        dying.heard().iter().chain(&well.heard()).for_each(claims_are_ours);
    }
}

#[tokio::test]
async fn forwarding_fields_are_written_once_when_an_idle_connection_has_died() {
    for (proxy_lines, body) in [("", ""), ("preserve_header_case = true", ""), ("", "5\r\nhello\r\n0\r\n\r\n")] {
        let server = Peer::serve(|mut talk: Talk| async move {
            talk.request().await;
            talk.say(ok("fine")).await;
        })
        .await;
        let proxy = Setup::new([server.address]).proxy(proxy_lines).start();
        let mut client = proxy.open().await;
        let request = match body {
            "" => CLAIMS.to_owned(),
            _ => format!("{}{body}", CLAIMS.replace("X-Kept: 1\r\n", "X-Kept: 1\r\nTransfer-Encoding: chunked\r\n")),
        };
        for number in 1..=10 {
            client.ask(&request).await.is_from_server(200);
            claims_are_ours(&server.heard().pop().unwrap());
            assert_eq!(server.heard().pop().unwrap().text(), if body.is_empty() { "" } else { "hello" });
            assert_eq!(server.accepted(), number);
            until("it is closed", || server.open() == 0).await;
        }
    }
}

#[tokio::test]
async fn the_case_of_names_is_kept_where_it_is_to_be() {
    let server =
        Peer::saying("HTTP/1.1 200 OK\r\nX-CamelCase: 1\r\ncOnTeNt-LeNgTh: 4\r\nSeT-cOoKiE: a\r\n\r\nfine").await;
    for (keeps, lines) in [(true, "preserve_header_case = true"), (false, "")] {
        let proxy = Setup::new([server.address]).proxy(lines).start();
        let mut client = proxy.open().await;
        let before = server.accepted();
        for _ in 0..3 {
            let heard = client.ask("POST / HTTP/1.1\r\nHost: h\r\nX-MyOwn: 1\r\nContent-LENGTH: 2\r\n\r\nhi").await;
            heard.is_from_server(200);
            assert_eq!(heard.text(), "fine");
            let has = |message: &Message, name: &str| message.fields.iter().any(|(field, _)| field == name);
            let sent = server.heard().pop().unwrap();
            assert_eq!(sent.text(), "hi");
            assert_eq!((has(&sent, "X-MyOwn"), has(&sent, "x-myown")), (keeps, !keeps), "{sent:?}");
            assert_eq!((has(&heard, "X-CamelCase"), has(&heard, "x-camelcase")), (keeps, !keeps), "{heard:?}");
        }
        assert_eq!(server.accepted() - before, 1);
    }
}

// A client's connection and the server's have nothing to do with each other when the exchange is over

async fn begin(
    client: &SendRequest<Full<Bytes>>,
    method: Method,
    target: &str,
    body: &'static str,
) -> (StatusCode, Incoming) {
    let uri = format!("http://lab.test{target}");
    let request = Request::builder().method(method).uri(uri).body(Full::new(body.into())).unwrap();
    let (head, body) = within("a response", client.clone().send_request(request)).await.unwrap().into_parts();
    (head.status, body)
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_client_of_its_last_request() {
    // An HTTP/2 connection with a request that never ends is given up after a while.
    let server = Peer::serve(|mut talk| async move {
        while let Some(request) = talk.request().await {
            if request.target() != "/slow" {
                talk.say(ok("done")).await;
                continue;
            }
            talk.say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n").await;
            for _ in 0..50 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                talk.say("x").await;
            }
        }
    })
    .await;
    let proxy =
        Setup::new([server.address]).proxy("client_keepalive_timeout = \"1s\"").listener("http2 = true").start();
    let io = TokioIo::new(proxy.open().await.stream);
    let (client, connection) = http2::Builder::new(TokioExecutor::new()).handshake(io).await.unwrap();
    tokio::spawn(connection);
    let (status, slow) = begin(&client, Method::GET, "/slow", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = begin(&client, Method::POST, "/", "hello").await;
    assert_eq!(
        (status, &within("its body", body.collect()).await.unwrap().to_bytes()[..]),
        (StatusCode::OK, &b"done"[..])
    );
    let slow = within("a slow body", slow.collect()).await.expect("the connection is cut under it");
    assert_eq!(slow.to_bytes().len(), 50);
    assert_eq!(server.accepted(), 2);
}
