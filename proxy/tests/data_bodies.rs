//! Bodies in both directions, with every framing that HTTP has, and connections that end in the middle of one.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Message, Peer, Setup, get, ok, peers, until};
use tokio::io::AsyncWriteExt;

fn chunked(fields: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn request_bodies_arrive_in_their_own_framing() {
    let server = Peer::saying(ok("")).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let long = "x".repeat(200_000);
    for body in ["", "a", &long] {
        let request = format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        client.ask(&request).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!((heard.text() == body, heard.cut), (true, false));
        assert_eq!(heard.field("content-length"), Some(&*body.len().to_string()));
        assert_eq!(heard.field("transfer-encoding"), None);
    }
    client.ask(&chunked("", "3;ext=1\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")).await.is_from_server(200);
    let heard = server.heard().pop().unwrap();
    assert_eq!((heard.text().as_str(), heard.cut), ("abcd", false));
    assert_eq!((heard.field("transfer-encoding"), heard.field("content-length")), (Some("chunked"), None));
    client.ask(&chunked("", "0\r\n\r\n")).await.is_from_server(200);
    assert_eq!((server.heard().pop().unwrap().text().as_str(), server.accepted()), ("", 1));
    assert_eq!(proxy.metric("rolegate_request_bytes_total", &["web"]), 200_005.0);
}

#[tokio::test]
async fn response_bodies_arrive_in_their_own_framing() {
    let server = Peer::answering(|request, _| match request.target() {
        "/length" => ok("abc"),
        "/empty" => ok(""),
        "/chunks" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for (target, body, length) in
        [("/length", "abc", Some("3")), ("/empty", "", Some("0")), ("/chunks", "abc", None), ("/none", "", None)]
    {
        let answer = client.ask(&get(target)).await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), body);
        if target != "/none" {
            assert_eq!(answer.field("content-length"), length, "{target}");
        }
    }
    assert_eq!(server.accepted(), 1);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_body_without_length_ends_with_the_connection() {
    let server = peers::half_close("until the end").await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for number in 1..=2 {
        let answer = client.ask(&get("/")).await;
        answer.is_from_server(200);
        assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("until the end", Some("chunked")));
        assert_eq!(server.accepted(), number);
    }
    proxy.until_idle().await;
    until("the server's side is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let server = Peer::saying(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
    )
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let body = "2\r\nhi\r\n0\r\nX-Up: 9\r\n\r\n";
    let answer = client.ask(&chunked("Trailer: X-Up\r\nTE: trailers\r\nConnection: TE\r\n", body)).await;
    answer.is_from_server(200);
    assert_eq!((answer.text().as_str(), &*answer.trailers), ("abc", &[("x-sum".into(), "7".into())][..]));
    let heard = server.only();
    assert_eq!(heard.trailers, [("x-up".to_owned(), "9".to_owned())]);
    assert_eq!((heard.field("te"), heard.field("connection")), (Some("trailers"), Some("te")));
    let answer = client.ask(&get("/")).await;
    assert_eq!(
        (answer.text().as_str(), answer.trailers.len(), answer.cut),
        ("abc", 0, false),
        "it did not ask for any"
    );
}

#[tokio::test]
async fn answers_without_a_body() {
    let server = Peer::answering(|request, _| match (request.start.split(' ').next().unwrap(), request.target()) {
        ("HEAD", "/length") => "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n".to_owned(),
        ("HEAD", _) => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        (_, "/204") => "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n".to_owned(),
        (_, "/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 12345\r\nETag: \"x\"\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let answer = client.ask("HEAD /length HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((answer.status(), answer.field("content-length")), (200, Some("12345")));
    let answer = client.ask("HEAD /chunks HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((answer.status(), answer.field("content-length")), (200, None), "its length is not known to be 0");
    let answer = client.ask(&get("/204")).await;
    assert_eq!((answer.status(), answer.field("content-length"), answer.field("x-a")), (204, None, Some("b")));
    let answer = client.ask(&get("/304")).await;
    assert_eq!((answer.status(), answer.field("etag")), (304, Some("\"x\"")));
    let answer = client.ask(&get("/hints")).await;
    answer.is_from_server(200);
    assert_eq!((answer.text().as_str(), server.accepted()), ("ok", 1));
    proxy.until_idle().await;
}

#[tokio::test]
async fn clients_that_speak_http_1_0() {
    let server = Peer::answering(|request, _| match request.target() {
        "/chunks" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        _ => ok("abc"),
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    for target in ["/length", "/chunks"] {
        let mut client = proxy.open().await;
        let answer = client.ask(&format!("GET {target} HTTP/1.0\r\n\r\n")).await;
        answer.is_from_server(200);
        assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("abc", None));
        client.ends().await;
    }
    let mut client = proxy.open().await;
    for _ in 0..2 {
        let answer = client.ask("GET /length HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        answer.is_from_server(200);
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("abc", Some("keep-alive")));
    }
    assert!(server.heard().iter().all(|request| request.start.ends_with("HTTP/1.1")), "{:?}", server.heard());
    assert_eq!(server.accepted(), 1, "its version is the client's affair");
}

#[tokio::test]
async fn servers_that_speak_http_1_0() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc").await;
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..3 {
        let answer = client.ask(&get("/")).await;
        answer.is_from_server(200);
        assert_eq!((answer.text().as_str(), &answer.start[..8]), ("abc", "HTTP/1.1"));
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Peer::answering(|request, _| ok(request.target())).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let body = "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    client.say(format!("{}{body}{}{}", get("/1"), get("/3"), get("/4"))).await;
    for number in 1..=4 {
        let answer = client.response("GET").await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), format!("/{number}"));
    }
    let heard: Vec<String> = server.heard().iter().map(Message::text).collect();
    assert_eq!(heard, ["", "abc", "", ""]);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_when_a_server_takes_the_body() {
    let server = Peer::saying(ok("done")).await;
    let proxy = Setup::new([server.address]).role("max_body = \"1KiB\"").start();
    let head = |length: usize| {
        format!("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut client = proxy.open().await;
    client.say(head(5)).await;
    assert_eq!(client.response_head().await.status(), 100);
    client.say("hello").await;
    client.response("PUT").await.is_from_server(200);
    assert_eq!((server.only().text().as_str(), server.only().field("expect")), ("hello", Some("100-continue")));
    let mut refused = proxy.open().await;
    refused.say(head(5000)).await;
    assert_eq!(refused.response_head().await.status(), 413, "a body that is too large is never asked for");
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused() {
    let server = Peer::saying(ok("done")).await;
    let proxy = Setup::new([server.address]).role("max_body = \"1KiB\"").start();
    let body =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let mut client = proxy.open().await;
    client.ask(&body(1024)).await.is_from_server(200);
    let answer = client.ask(&body(1025)).await;
    answer.is_own(413, "http_request_error");
    assert_eq!(server.count(), 1);
    let piece = format!("200\r\n{}\r\n", "x".repeat(512));
    proxy.ask(&chunked("", &format!("{piece}{piece}0\r\n\r\n"))).await.is_from_server(200);
    let answer = proxy.ask(&chunked("", &format!("{piece}{piece}1\r\nx\r\n0\r\n\r\n"))).await;
    answer.is_own(413, "http_request_error");
    until("the server sees that it is cut", || server.heard().iter().skip(2).all(|request| request.cut)).await;
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "no server is to blame");
}

#[tokio::test]
async fn an_early_answer_is_heard_by_a_client_that_still_sends() {
    let server = peers::early_response().await;
    let proxy = Setup::new([server.address]).role("max_body = \"unlimited\"").start();
    for _ in 0..5 {
        let mut client = proxy.open().await;
        client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n").await;
        let piece = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        while sent < 100_000_000 {
            // As BITS does, it writes on and on: the answer must survive that.
            let room = tokio::time::timeout(Duration::from_millis(300), client.stream.write(&piece)).await;
            let Ok(Ok(more)) = room else { break };
            sent += more;
        }
        assert!(sent < 100_000_000, "nobody takes all of it");
        let answer = client.response("POST").await;
        answer.is_from_server(413);
        assert_eq!(answer.text(), "too large");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_refusal_is_heard_by_a_client_that_still_sends() {
    let server = Peer::saying(ok("done")).await;
    let proxy = Setup::new([server.address]).role("max_body = \"1KiB\"").start();
    for head in ["Content-Length: 4000000", "Transfer-Encoding: chunked"] {
        let mut client = proxy.open().await;
        client.say(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n")).await;
        let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..60 {
            if !client.say(&piece).await {
                break;
            }
        }
        client.response("POST").await.is_own(413, "http_request_error");
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_sends_on_after_a_refusal_is_not_reset() {
    // A reset may overtake the answer, and some systems throw away what they have not read when one comes.
    let server = Peer::saying(ok("done")).await;
    let proxy = Setup::new([server.address]).role("max_body = \"1KiB\"").start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n").await;
    client.response("POST").await.is_own(413, "http_request_error");
    // The proxy has ended its direction, and takes what the client still sends.
    client.ends().await;
    let piece = "x".repeat(64 * 1024);
    for number in 0..32 {
        assert!(client.say(&piece).await, "reset after {number} pieces");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_gives_its_place_back() {
    let server = peers::never_answer().await;
    for (number, politely) in [true, false].into_iter().enumerate() {
        // Only a client that is taken at its word leaves politely: it might still read.
        let on_close = format!("abort_on_close = {politely}");
        let proxy = Setup::new([server.address]).proxy(&on_close).start();
        let mut client = proxy.open().await;
        client.say(get("/")).await;
        until("the request is under way", || server.count() == number + 1 && proxy.in_flight() == 1).await;
        if politely {
            drop(client)
        } else {
            client.reset()
        }
        proxy.until_idle().await;
        until("the server's connection is closed", || server.open() == 0).await;
        assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "no server is to blame");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_answer_gives_its_place_back() {
    let server = peers::stall_after_head().await;
    for leave_politely in [true, false] {
        let on_close = format!("abort_on_close = {leave_politely}");
        let proxy = Setup::new([server.address]).proxy(&on_close).start();
        let mut client = proxy.open().await;
        client.say(get("/")).await;
        assert_eq!(client.response_head().await.status(), 200);
        assert_eq!(proxy.in_flight(), 1);
        if leave_politely {
            drop(client)
        } else {
            client.reset()
        }
        proxy.until_idle().await;
        until("the server's connection is closed", || server.open() == 0).await;
        assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "no server is to blame");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_upload_gives_its_place_back() {
    let server = peers::never_answer().await;
    let proxy = Setup::new([server.address]).start();
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let before = server.count();
        let mut client = proxy.open().await;
        client.say(format!("CCM_POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n5\r\nhello\r\n")).await;
        until("the request is under way", || server.count() > before && proxy.in_flight() == 1).await;
        drop(client);
        proxy.until_idle().await;
        until("the server's connection is closed", || server.open() == 0).await;
    }
    until("the server sees that they are cut", || server.heard().iter().all(|request| request.cut)).await;
    assert_eq!(server.count(), 2, "nothing is sent again");
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "no server is to blame");
}

#[tokio::test]
async fn a_body_that_a_server_cuts_never_looks_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
    ] {
        let server = peers::bad_framing(answer).await;
        let proxy = Setup::new([server.address]).start();
        let mut client = proxy.open().await;
        let heard = client.ask(&get("/")).await;
        assert!(heard.cut && heard.text().len() < 20, "{answer:?} {heard:?}");
        client.ends().await;
        proxy.until_idle().await;
        assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 1.0, "{answer:?}");
        assert_eq!(server.count(), 1, "what the client has begun to read is not asked for again");
    }
}

#[tokio::test]
async fn a_body_that_a_server_resets_never_looks_complete() {
    for bytes in [0, 1, 999] {
        let server = peers::reset_after(bytes).await;
        let proxy = Setup::new([server.address]).role("retry = { attempts = 0 }").start();
        let mut client = proxy.open().await;
        let heard = client.ask(&get("/")).await;
        let failed = heard.status() == 502 && heard.field("proxy-status").is_some();
        assert!(heard.cut || failed, "{bytes} {heard:?}");
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn answers_that_are_no_http_are_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nhello",
        "HTTP/2 200\r\n\r\n",
        "hello",
        "\r\n\r\n\r\n",
        "",
    ] {
        let server = peers::bad_framing(answer).await;
        let proxy = Setup::new([server.address]).start();
        let heard = proxy.get("/").await;
        assert_eq!(heard.status(), 502, "{answer:?} {heard:?}");
        assert!(heard.field("proxy-status").is_some());
        proxy.until_idle().await;
    }
    let server = peers::garbage().await;
    let proxy = Setup::new([server.address]).start();
    proxy.get("/").await.is_own(502, "http_protocol_error");
}

#[tokio::test]
async fn bytes_after_an_answer_are_nobodys() {
    let server = Peer::serve(|mut talk| async move {
        while talk.request().await.is_some() {
            talk.say(format!("{}{}", ok("mine"), ok("smuggled"))).await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..5 {
        let answer = client.ask(&get("/")).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "mine"));
    }
}

#[tokio::test]
async fn an_answer_does_not_end_the_upload_that_it_overtook() {
    // The server answers first and takes the rest of the body slowly, for longer than a head may take.
    let server = Peer::serve(|mut talk| async move {
        let Some(mut request) = talk.head().await else { return };
        talk.say(ok("early")).await;
        talk.wire.rest_of(&mut request).await;
        assert_eq!((request.body.len(), request.cut), (20, false));
        talk.request().await;
        talk.say(ok("next")).await;
        talk.wait().await;
    })
    .await;
    let proxy = Setup::new([server.address]).proxy("request_header_timeout = \"500ms\"").start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n").await;
    for number in 0..20 {
        assert!(client.say("x").await);
        if number == 2 {
            let answer = client.response("POST").await;
            assert_eq!(answer.text(), "early");
        }
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let answer = client.ask(&get("/")).await;
    answer.is_from_server(200);
    assert_eq!(answer.text(), "next");
}

/// Panics of data threads, which only cost the connection that they belong to and would not be seen otherwise.
fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name().is_some_and(|name| name.starts_with("data-")) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
    panics
}

#[tokio::test]
async fn clients_and_servers_that_leave_at_any_moment_leave_nothing_behind() {
    let panics = count_panics();
    let server = Peer::serve(|mut talk| async move {
        while let Some(request) = talk.head().await {
            let mut request = request;
            let dice = fastrand::u32(..) % 12;
            if dice != 0 {
                talk.wire.rest_of(&mut request).await;
            }
            match dice {
                0 => {
                    talk.say(ok("early")).await;
                }
                1 => return,
                2 => return talk.wire.reset(),
                3 => {
                    talk.say("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nonly").await;
                    return;
                }
                4 => {
                    talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly").await;
                    return talk.wire.reset();
                }
                5 => {
                    talk.say("HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM\r\nContent-Length: 4\r\n\r\nwho?").await;
                }
                6 => {
                    talk.say("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
                    return;
                }
                _ => {
                    talk.say(ok(&"x".repeat(fastrand::usize(0..100_000)))).await;
                }
            }
        }
    })
    .await;
    let role = "max_body = \"64KiB\"\npassive = { eject_time = \"0s\" }\ntimeouts = { request_body_idle = \"1s\", \
                response_header = \"1s\", response_body_idle = \"1s\" }";
    let proxy = Setup::new([server.address]).threads(2).role(role).start();
    let clients = (0..40).map(|_| async {
        for _ in 0..15 {
            let mut client = proxy.open().await;
            for _ in 0..3 {
                let length = fastrand::usize(0..90_000);
                let method = fastrand::choice(["GET", "CCM_POST", "HEAD"]).unwrap();
                let upgrade = fastrand::choice(["", "Connection: upgrade\r\nUpgrade: x\r\n"]).unwrap();
                client
                    .say(format!("{method} / HTTP/1.1\r\nHost: h\r\n{upgrade}Content-Length: {length}\r\n\r\n"))
                    .await;
                let part = if fastrand::bool() { length } else { fastrand::usize(0..=length) };
                client.say("x".repeat(part)).await;
                if part < length || fastrand::u32(..).is_multiple_of(4) {
                    break;
                }
                if client.response(method).await.cut {
                    break;
                }
            }
            if fastrand::bool() {
                client.reset();
            }
        }
    });
    futures_util::future::join_all(clients).await;
    let label = ["listener=\"http\""];
    until("all clients were there", || proxy.metric("rolegate_connections_total", &label) == 600.0).await;
    until("all clients are gone", || proxy.metric("rolegate_connections", &label) == 0.0).await;
    proxy.until_idle().await;
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
