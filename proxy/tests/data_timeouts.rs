//! Every wait has a bound, and who was late hears of it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{Peer, Setup, Wire, get, ok, peers, until};
use tokio::io::AsyncReadExt;

const SHORT: Duration = Duration::from_millis(300);

/// What `work` gives, which took at least the configured time and not for ever.
async fn took<T>(least: Duration, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    let elapsed = begun.elapsed();
    // A deadline is precise to one tick, and the machine may be busy.
    assert!(elapsed >= least && elapsed < least + Duration::from_secs(5), "{elapsed:?}");
    done
}

/// An address whose queue of connections is full: connecting takes for ever.
struct Full {
    address: SocketAddr,
    _socket: socket2::Socket,
    _queue: Vec<std::net::TcpStream>,
}

fn full() -> Full {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
        assert!(queue.len() < 64, "the queue never fills");
    }
    Full { address, _socket: socket, _queue: queue }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting() {
    let full = full();
    let proxy = Setup::new([full.address]).role("timeouts = { connect = \"300ms\" }").start();
    took(SHORT, proxy.get("/")).await.is_own(504, "connection_timeout");
    let server = Peer::saying(ok("fine")).await;
    let role = "timeouts = { connect = \"300ms\" }\nbalance = \"random\"";
    let proxy = Setup::new([full.address, server.address]).role(role).start();
    let upload = "CCM_POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    for _ in 0..100 {
        proxy.ask(upload).await.is_from_server(200);
        if proxy.metric("rolegate_endpoint_failures_total", &["connection_timeout"]) > 0.0 {
            return;
        }
    }
    panic!("the other server was never tried");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_whole_exchange_while_connecting() {
    let full = [full(), full(), full()];
    let role = "timeouts = { connect = \"30s\", total = \"300ms\" }";
    let proxy = Setup::new(full.iter().map(|full| full.address)).role(role).start();
    took(SHORT, proxy.get("/")).await.is_own(504, "http_response_timeout");
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &["connection_timeout"]), 0.0);
    let asked = proxy.metric("rolegate_endpoint_failures_total", &["http_response_timeout"]);
    assert_eq!(asked, 1.0, "there is no time left for another");
}

#[tokio::test]
async fn the_response_head() {
    let server = peers::never_answer().await;
    let role = "timeouts = { response_header = \"300ms\" }\nretry = { attempts = 0 }";
    let proxy = Setup::new([server.address]).role(role).start();
    took(SHORT, proxy.get("/")).await.is_own(504, "http_response_timeout");
    let upload = "CCM_POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    took(SHORT, proxy.ask(upload)).await.is_own(504, "http_response_timeout");
    let upload = "CCM_POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    took(SHORT, proxy.ask(upload)).await.is_own(504, "http_response_timeout");
    proxy.until_idle().await;
    until("the connections to the server are closed", || server.open() == 0).await;
    assert_eq!(server.count(), 3);
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &["http_response_timeout"]), 3.0);
}

#[tokio::test]
async fn a_slow_server_is_passed_over_for_a_read_but_not_for_a_message() {
    let (slow, well) = (peers::never_answer().await, Peer::saying(ok("fine")).await);
    let role = "timeouts = { response_header = \"300ms\" }\nbalance = \"random\"";
    let proxy = Setup::new([slow.address, well.address]).role(role).start();
    while slow.count() == 0 {
        proxy.get("/").await.is_from_server(200);
    }
    let before = slow.count();
    let mut statuses = Vec::new();
    while slow.count() == before {
        statuses.push(proxy.ask("CCM_POST / HTTP/1.1\r\nHost: h\r\n\r\n").await.status());
    }
    assert_eq!(statuses.pop(), Some(504), "{statuses:?}");
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body() {
    let server = peers::never_answer().await;
    let proxy = Setup::new([server.address]).role("timeouts = { request_body_idle = \"300ms\" }").start();
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = proxy.open().await;
        client.say(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n5\r\nhello\r\n")).await;
        took(SHORT, client.response("POST")).await.is_own(408, "http_request_error");
        client.ends().await;
    }
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n").await;
    took(SHORT, client.response("POST")).await.is_own(408, "http_request_error");
    proxy.until_idle().await;
    until("the connections to the server are closed", || server.open() == 0).await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "no server is to blame");
}

#[tokio::test]
async fn a_slow_client_that_goes_on_is_served() {
    let server = Peer::saying(ok("fine")).await;
    let role = "timeouts = { request_body_idle = \"700ms\", response_header = \"700ms\" }";
    let proxy = Setup::new([server.address]).role(role).start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.say("x").await;
    }
    client.response("POST").await.is_from_server(200);
    assert_eq!(server.only().text(), "xxxxxxxxxx");
}

#[tokio::test]
async fn a_server_that_does_not_read_an_upload() {
    let server = Peer::serve(|talk| async move {
        let _kept = talk;
        std::future::pending::<()>().await;
    })
    .await;
    let role = "timeouts = { request_body_idle = \"300ms\" }\nmax_body = \"unlimited\"";
    let proxy = Setup::new([server.address]).role(role).start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 16];
    while let Ok(true) = tokio::time::timeout(Duration::from_millis(200), client.say(&piece)).await {}
    client.response("POST").await.is_own(504, "http_response_timeout");
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &["http_response_timeout"]), 1.0);
}

#[tokio::test]
async fn a_response_body_that_stops() {
    let server = peers::stall_after_head().await;
    let proxy = Setup::new([server.address]).role("timeouts = { response_body_idle = \"300ms\" }").start();
    let mut client = proxy.open().await;
    let answer = took(SHORT, client.ask(&get("/"))).await;
    assert!(answer.cut && answer.status() == 200, "{answer:?}");
    client.ends().await;
    proxy.until_idle().await;
    until("the connection to the server is closed", || server.open() == 0).await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &["http_response_timeout"]), 1.0);
}

#[tokio::test]
async fn a_slow_body_that_goes_on_is_whole() {
    let server = peers::slow_body(10, Duration::from_millis(100)).await;
    let proxy = Setup::new([server.address]).role("timeouts = { response_body_idle = \"700ms\" }").start();
    let answer = proxy.get("/").await;
    answer.is_from_server(200);
    assert_eq!(answer.text(), "xxxxxxxxxx");
}

#[tokio::test]
async fn the_whole_exchange() {
    let (silent, slow) = (peers::never_answer().await, peers::slow_body(100, Duration::from_millis(50)).await);
    let role = "timeouts = { total = \"500ms\" }";
    let proxy = Setup::new([silent.address]).role(role).start();
    let least = Duration::from_millis(500);
    took(least, proxy.get("/")).await.is_own(504, "http_response_timeout");
    let proxy = Setup::new([slow.address]).role(role).start();
    let mut client = proxy.open().await;
    let answer = took(least, client.ask(&get("/"))).await;
    assert!(answer.cut && answer.status() == 200 && !answer.body.is_empty(), "{answer:?}");
    proxy.until_idle().await;
    until("the connection to the server is closed", || slow.open() == 0).await;
    assert_eq!(silent.count(), 1, "there is no time left for another attempt");
}

#[tokio::test]
async fn the_whole_exchange_is_the_one_that_is_late_also_when_its_client_does_not_read() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while talk.say(vec![b'x'; 1 << 16]).await {}
    })
    .await;
    let proxy = Setup::new([server.address]).role("timeouts = { total = \"500ms\" }").start();
    let mut client = Wire::connect_narrow(proxy.at("http")).await;
    client.say(get("/")).await;
    until("the request is under way", || proxy.in_flight() == 1).await;
    proxy.until_idle().await;
    let count = |reason: &str| proxy.metric("rolegate_request_errors_total", &[reason]);
    assert_eq!((count("http_response_timeout"), count("http_request_error")), (1.0, 0.0));
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "the client is late");
}

#[tokio::test]
async fn an_upload_that_dribbles_does_not_keep_a_response_alive_that_stands_still() {
    let server = Peer::serve(|mut talk| async move {
        talk.head().await;
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").await;
        talk.wire.wait_for_the_end().await;
    })
    .await;
    let role = "timeouts = { response_body_idle = \"300ms\" }";
    let proxy = Setup::new([server.address]).role(role).start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n").await;
    assert_eq!(client.response_head().await.status(), 200);
    let dribble = async {
        while client.say("x").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    took(Duration::from_millis(250), async {
        tokio::select! { () = proxy.until_idle() => {} () = dribble => {} }
    })
    .await;
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_request_errors_total", &["http_response_timeout"]), 1.0);
}

#[tokio::test]
async fn the_whole_exchange_is_counted_for_each_request() {
    let server = peers::slow_body(3, Duration::from_millis(100)).await;
    let proxy = Setup::new([server.address]).role("timeouts = { total = \"1s\" }").start();
    let mut client = proxy.open().await;
    for _ in 0..5 {
        client.ask(&get("/")).await.is_from_server(200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while talk.say(vec![b'x'; 1 << 16]).await {}
    })
    .await;
    let proxy = Setup::new([server.address]).role("timeouts = { response_body_idle = \"300ms\" }").start();
    let mut client = Wire::connect_narrow(proxy.at("http")).await;
    client.say(get("/")).await;
    assert_eq!(client.response_head().await.status(), 200);
    until("the client is cut off", || proxy.metric("rolegate_connections", &["http"]) == 0.0).await;
    proxy.until_idle().await;
    until("the connection to the server is closed", || server.open() == 0).await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "no server is to blame");
    assert_eq!(proxy.metric("rolegate_protocol_errors_total", &["http"]), 1.0);
}

#[tokio::test]
async fn a_slow_request_head() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).proxy("request_header_timeout = \"500ms\"").start();
    let mut silent = proxy.open().await;
    let mut slow = proxy.open().await;
    let mut second = proxy.open().await;
    second.ask(&get("/")).await.is_from_server(200);
    let begun = Instant::now();
    // A piece of a head every now and then is no progress.
    loop {
        let (slow_lives, second_lives) = (slow.say("GET").await, second.say("GET").await);
        if !slow_lives && !second_lives {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "it is never closed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    silent.ends().await;
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_idle_connection() {
    let server = peers::slow_body(1, Duration::from_millis(900)).await;
    let proxy = Setup::new([server.address]).proxy("client_keepalive_timeout = \"300ms\"").start();
    let mut client = proxy.open().await;
    for _ in 0..2 {
        let answer = took(Duration::from_millis(900), client.ask(&get("/"))).await;
        answer.is_from_server(200);
    }
    took(Duration::from_millis(250), client.ends()).await;
}

#[tokio::test]
async fn an_idle_connection_to_a_server() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).role("timeouts = { upstream_idle = \"300ms\" }").start();
    let mut client = proxy.open().await;
    client.ask(&get("/")).await.is_from_server(200);
    until("it is closed", || server.open() == 0).await;
    client.ask(&get("/")).await.is_from_server(200);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_small_body_that_is_kept_may_come_in_pieces() {
    let server = Peer::saying(ok("fine")).await;
    let role = "retry = { methods = [\"PROPFIND\"] }\ntimeouts = { request_body_idle = \"5s\" }";
    let proxy = Setup::new([server.address]).role(role).start();
    let mut client = proxy.open().await;
    client.say("PROPFIND / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n").await;
    for piece in ["a", "b", "c", "d"] {
        tokio::time::sleep(Duration::from_millis(350)).await;
        client.say(piece).await;
    }
    client.response("PROPFIND").await.is_from_server(200);
    assert_eq!(server.only().text(), "abcd");
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_and_is_given_up_does_not_look_whole() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while talk.say(format!("10000\r\n{}\r\n", "x".repeat(1 << 16))).await {}
    })
    .await;
    for role in ["timeouts = { total = \"500ms\" }", "timeouts = { response_body_idle = \"300ms\" }"] {
        let proxy = Setup::new([server.address]).role(role).start();
        let mut client = Wire::connect_narrow(proxy.at("http")).await;
        client.say("GET / HTTP/1.0\r\n\r\n").await;
        until("the request is under way", || proxy.in_flight() == 1).await;
        proxy.until_idle().await;
        let mut ended = Ok(1);
        while matches!(ended, Ok(1..)) {
            ended = client.stream.read(&mut [0; 4096]).await;
        }
        assert!(ended.is_err(), "{role}: a reset tells, an end does not");
    }
}
