//! HTTP/2 from clients, where a listener allows it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rolegate_bench::client::{Client, Tls};
use rolegate_bench::site::{SiteSystem, Spec};
use support::{Peer, Pki, Proxy, Setup, get, ok, until, within};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// Bytes of a response that a client takes before it has read any.
const WINDOW: usize = 64 * 1024;

/// A client's connection.
struct Modern {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Modern {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Modern {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(WINDOW as u32).initial_connection_window_size(64 * 1024 * 1024);
        let (sender, connection) = within("handshake", builder.handshake(TokioIo::new(stream))).await.unwrap();
        // How it ends is seen by its requests.
        Self { sender, driver: tokio::spawn(async move { drop(connection.await) }) }
    }

    async fn plain(proxy: &Proxy) -> Self {
        Self::over(proxy.open().await.stream).await
    }

    async fn secured(proxy: &Proxy, tls: &Tls) -> Self {
        let client = proxy.secure(&tls.clone().alpn(&["h2", "http/1.1"])).await;
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(client.stream).await
    }

    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        within("a response", self.sender.clone().send_request(request)).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
        let response = self.begin(request).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let (parts, body) = response.into_parts();
        (parts.status, within("a body", body.collect()).await.unwrap().to_bytes())
    }

    async fn get(&self, target: &str) -> (StatusCode, Bytes) {
        self.ask(request(Method::GET, target, "")).await
    }

    /// Why a request was reset.
    async fn reset(&self, request: Request<Full<Bytes>>) -> Option<h2::Reason> {
        let error = self.begin(request).await.unwrap_err();
        error.source()?.downcast_ref::<h2::Error>()?.reason()
    }
}

fn request(method: Method, target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let uri = format!("https://lab.test{target}");
    Request::builder().method(method).uri(uri).body(Full::new(body.into())).unwrap()
}

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

#[tokio::test]
async fn it_is_agreed_on_by_alpn_or_known_before() {
    let (server, pki) = (echo().await, Pki::new());
    let secured = format!("http2 = true\n{}", pki.terminates(""));
    for (listener, proto) in [(secured.as_str(), "https"), ("http2 = true", "http")] {
        let proxy = Setup::new([server.address]).listener(listener).start();
        let client = match proto {
            "https" => Modern::secured(&proxy, &pki.client()).await,
            _ => Modern::plain(&proxy).await,
        };
        for target in ["/1", "/2?x=%20"] {
            let (status, body) = client.get(target).await;
            assert_eq!((status, &body[..]), (StatusCode::OK, target.as_bytes()));
            let heard = server.heard().pop().unwrap();
            assert_eq!(heard.start, format!("GET {target} HTTP/1.1"));
            assert_eq!((heard.field("host"), heard.field("x-forwarded-proto")), (Some("lab.test"), Some(proto)));
            assert_eq!(heard.field("forwarded"), Some(&*format!("for=127.0.0.1;host=\"lab.test\";proto={proto}")));
        }
        // Others go on as ever on the same listener.
        let old = match proto {
            "https" => proxy.get_secured(&pki.client(), "/old").await,
            _ => proxy.get("/old").await,
        };
        assert_eq!(old.text(), "/old");
        let mut slow = proxy.open().await;
        if proto == "http" {
            // As far as `PRI`, it could have been the other one.
            slow.say("P").await;
            slow.say("R / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
            assert_eq!(slow.response("PR").await.text(), "/");
        }
    }
}

#[tokio::test]
async fn where_it_is_not_allowed_nobody_speaks_it() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let client = proxy.secure(&pki.client().alpn(&["h2", "http/1.1"])).await;
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let answer = client.response("PRI").await;
    assert!(answer.cut || answer.status() >= 400, "{answer:?}");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn many_requests_go_at_the_same_time() {
    let server = Peer::serve(|mut talk| async move {
        while let Some(request) = talk.request().await {
            // Nobody waits for those before.
            if request.target() != "/0" {
                talk.say(ok(request.target())).await;
            }
        }
    })
    .await;
    let pki = Pki::new();
    let proxy = Setup::new([server.address]).listener(&format!("http2 = true\n{}", pki.terminates(""))).start();
    let client = Modern::secured(&proxy, &pki.client()).await;
    let never = client.sender.clone().send_request(request(Method::GET, "/0", ""));
    let never = tokio::spawn(never);
    until("it is there", || server.count() == 1).await;
    for _ in 0..3 {
        let targets: Vec<String> = (1..=60).map(|number| format!("/{number}")).collect();
        let answers = join_all(targets.iter().map(|target| client.get(target))).await;
        for (target, (status, body)) in targets.iter().zip(answers) {
            assert_eq!((status, &body[..]), (StatusCode::OK, target.as_bytes()));
        }
    }
    assert_eq!(proxy.in_flight(), 1);
    assert_eq!(proxy.metric("rolegate_connections_total", &[]), 1.0);
    never.abort();
    proxy.until_idle().await;
    assert_eq!(client.get("/after").await.0, StatusCode::OK, "the others go on");
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    const LENGTH: usize = 3 << 20;
    let server = Peer::serve(|mut talk| async move {
        while let Some(request) = talk.request().await {
            talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len())).await;
            talk.say(&request.body).await;
        }
    })
    .await;
    let pki = Pki::new();
    let proxy = Setup::new([server.address]).listener(&format!("http2 = true\n{}", pki.terminates(""))).start();
    let client = Modern::secured(&proxy, &pki.client()).await;
    let bodies: Vec<Bytes> = (0..4_usize)
        .map(|seed| (0..LENGTH).map(|place| ((place + seed) % 251) as u8).collect::<Vec<u8>>().into())
        .collect();
    let all = join_all(bodies.iter().map(|body| client.ask(request(Method::POST, "/", body.clone())))).await;
    for (sent, (status, received)) in bodies.iter().zip(all) {
        assert_eq!(status, StatusCode::OK);
        assert!(*sent == received, "{} bytes", received.len());
    }
    assert_eq!(proxy.metric("rolegate_request_bytes_total", &[]), (4 * LENGTH) as f64);
    proxy.until_idle().await;
}

#[tokio::test]
async fn windows_authentication_is_sent_back_to_http_1_1() {
    let site = SiteSystem::start(Spec::management_point("mp1.lab.test")).await.unwrap();
    let pki = Pki::new();
    let proxy = Setup::new([site.address()]).listener(&format!("http2 = true\n{}", pki.terminates(""))).start();
    let modern = Modern::secured(&proxy, &pki.client()).await;
    let path = "/SMS_MP_WindowsAuth/.sms_aut?MPLIST";
    for _ in 0..3 {
        let challenged = modern.reset(request(Method::GET, path, "")).await;
        assert_eq!(challenged, Some(h2::Reason::HTTP_1_1_REQUIRED));
        for scheme in ["NTLM", "Negotiate"] {
            let mut proves = request(Method::GET, path, "");
            proves.headers_mut().insert("authorization", format!("{scheme} TlRMTVNTUAAB").parse().unwrap());
            let before = site.counters().requests();
            assert_eq!(modern.reset(proves).await, Some(h2::Reason::HTTP_1_1_REQUIRED));
            assert_eq!(site.counters().requests(), before, "no server sees it");
        }
    }
    assert_eq!(modern.get("/SMS_MP/.sms_aut?MPLIST").await.0, StatusCode::OK, "the connection goes on");
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_pins_ended_total", &[]), 0.0);
    assert!(site.counters().seen().iter().all(|seen| seen.user.is_none()));
    // As a client does it then.
    let user = Client::new("127.0.0.1".parse().unwrap(), proxy.at("http"), "mp1.lab.test", 1);
    user.with_tls(&pki.client()).unwrap().windows_auth(path).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_ended_and_a_slow_one_is_not() {
    let server = Peer::saying(ok(&"x".repeat(4 << 20))).await;
    let role = "timeouts = { response_body_idle = \"500ms\" }";
    let proxy = Setup::new([server.address]).role(role).listener("http2 = true").start();
    let stalls = Modern::plain(&proxy).await;
    let response = stalls.begin(request(Method::GET, "/", "")).await.unwrap();
    let slow = Modern::plain(&proxy).await;
    let mut body = slow.begin(request(Method::GET, "/", "")).await.unwrap().into_body();
    let ended = || proxy.metric("rolegate_protocol_errors_total", &[]) == 1.0;
    let (begun, mut read) = (Instant::now(), 0);
    while !ended() {
        assert!(begun.elapsed() < support::PATIENCE, "it is never ended");
        let frame = within("a piece", body.frame()).await.unwrap().unwrap();
        read += frame.into_data().unwrap().len();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(500));
    let rest = within("the rest", body.collect()).await.unwrap().to_bytes();
    assert_eq!(read + rest.len(), 4 << 20);
    assert!(within("its end", response.into_body().collect()).await.is_err());
    proxy.until_idle().await;
    until("only one is left", || proxy.metric("rolegate_connections", &[]) == 1.0).await;
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let server = Peer::serve(move |mut talk| {
        let mut gate = gate.clone();
        async move {
            while talk.request().await.is_some() {
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbe").await;
                gate.wait_for(|open| *open).await.unwrap();
                talk.say("gone").await;
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    let (busy, idle) = (Modern::plain(&proxy).await, Modern::plain(&proxy).await);
    until("both are there", || proxy.metric("rolegate_connections", &[]) == 2.0).await;
    let mut bodies = Vec::new();
    for _ in 0..5 {
        bodies.push(busy.begin(request(Method::GET, "/", "")).await.unwrap().into_body());
    }
    let app = proxy.into_app();
    let shut = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(20)));
    until("the idle one is closed", || idle.sender.is_closed()).await;
    assert!(!bodies[0].is_end_stream());
    release.send(true).unwrap();
    for body in bodies {
        assert_eq!(within("its body", body.collect()).await.unwrap().to_bytes(), "begone");
    }
    let begun = Instant::now();
    assert_eq!(within("the end", shut).await.unwrap().cut, 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_idle_connection_has_its_time() {
    let server = echo().await;
    let proxy =
        Setup::new([server.address]).proxy("client_keepalive_timeout = \"700ms\"").listener("http2 = true").start();
    let begun = Instant::now();
    let client = Modern::plain(&proxy).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.0, StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    until("it is closed", || client.sender.is_closed()).await;
    assert!(begun.elapsed() >= Duration::from_millis(1600), "{:?}", begun.elapsed());
    until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
    assert_eq!(proxy.metric("rolegate_protocol_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn the_rules_of_client_certificates_hold_for_each_request() {
    let (server, pki) = (echo().await, Pki::new());
    let lines = "forward_client_certificate = \"x-arr-clientcert\"";
    let proxy =
        Setup::new([server.address]).listener(&format!("http2 = true\n{}", pki.asks("required", lines))).start();
    let nobody = Modern::secured(&proxy, &pki.client()).await;
    let own = Modern::secured(&proxy, &pki.client().identity(&pki.authority.client("PC1"))).await;
    for _ in 0..3 {
        assert_eq!(nobody.get("/SMS_MP/").await.0, StatusCode::FORBIDDEN);
        assert_eq!(nobody.get("/SMS_MP_AltAuth/").await.0, StatusCode::OK);
        let mut lies = request(Method::GET, "/SMS_MP_AltAuth/", "");
        lies.headers_mut().insert("x-arr-clientcert", "bGll".parse().unwrap());
        assert_eq!(nobody.ask(lies).await.0, StatusCode::OK);
        assert_eq!(server.heard().pop().unwrap().field("x-arr-clientcert"), None);
        assert_eq!(own.get("/SMS_MP/").await.0, StatusCode::OK);
        assert!(server.heard().pop().unwrap().field("x-arr-clientcert").unwrap().starts_with("MII"));
    }
}

/// RFC 9113, section 8.2.3.
#[tokio::test]
async fn cookies_that_were_cut_into_fields_are_one_field_again() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    let client = Modern::plain(&proxy).await;
    let mut with_cookies = request(Method::GET, "/", "");
    for cookie in ["a=1", "b=2; c=3", "d=4"] {
        with_cookies.headers_mut().append("cookie", cookie.parse().unwrap());
    }
    assert_eq!(client.ask(with_cookies).await.0, StatusCode::OK);
    assert_eq!(server.only().all("cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[tokio::test]
async fn a_body_may_have_no_length() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(proxy.open().await.stream)).await.unwrap();
    let driver = tokio::spawn(async move { drop(connection.await) });
    let pieces =
        ["one ", "two ", "three"].map(|piece| Ok::<_, hyper::Error>(Frame::data(Bytes::from_static(piece.as_bytes()))));
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let request = Request::post("http://lab.test/up").body(body).unwrap();
    let response = within("a response", sender.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let heard = server.only();
    assert_eq!((heard.text().as_str(), heard.field("transfer-encoding")), ("one two three", Some("chunked")));
    driver.abort();
}

#[tokio::test]
async fn errors_are_answers_and_the_connection_goes_on() {
    let refused = support::peers::refuse();
    let proxy = Setup::new([refused.address]).listener("http2 = true").start();
    let client = Modern::plain(&proxy).await;
    for _ in 0..3 {
        let response = client.begin(request(Method::GET, "/", "")).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert!(response.headers()["proxy-status"].to_str().unwrap().contains("error=connection_refused"));
        assert!(!response.headers().contains_key("connection"));
    }
    let mut old = proxy.open().await;
    old.ask(&get("/")).await.is_own(502, "connection_refused");
}

#[tokio::test]
async fn a_last_piece_that_nobody_takes_does_not_wait_for_ever() {
    // All that the client lets through at first, and then a little more.
    let server = Peer::serve(|mut talk| async move {
        talk.head().await;
        talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", WINDOW + 1)).await;
        talk.say(vec![b'x'; WINDOW]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        talk.say("y").await;
        talk.wait().await;
    })
    .await;
    let proxy =
        Setup::new([server.address]).proxy("client_keepalive_timeout = \"1s\"").listener("http2 = true").start();
    let client = Modern::plain(&proxy).await;
    let response = client.begin(request(Method::GET, "/", "")).await.unwrap();
    until("the server's part is over", || proxy.metric("rolegate_requests_total", &["2xx"]) == 1.0).await;
    until("the connection ends", || proxy.metric("rolegate_protocol_errors_total", &[]) == 1.0).await;
    drop(response);
}

#[tokio::test]
async fn a_shutdown_lets_a_client_read_the_end_of_its_response() {
    let size = WINDOW + 20_000;
    let server = Peer::saying(ok(&"x".repeat(size))).await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    let client = Modern::plain(&proxy).await;
    let response = client.begin(request(Method::GET, "/", "")).await.unwrap();
    until("the server's part is over", || proxy.metric("rolegate_requests_total", &["2xx"]) == 1.0).await;
    let app = proxy.into_app();
    let shut = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(8)));
    // Time enough to cut it.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(within("the rest", response.into_body().collect()).await.unwrap().to_bytes().len(), size);
    drop(client);
    assert_eq!(shut.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_response_that_is_dropped_late_is_not_the_next_ones() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let size = WINDOW + 20_000;
    let long = ok(&"x".repeat(size));
    let server = Peer::serve(move |mut talk| {
        let (mut gate, long) = (gate.clone(), long.clone());
        async move {
            while let Some(request) = talk.request().await {
                if request.target() == "/long" {
                    talk.say(&long).await;
                    continue;
                }
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nne").await;
                gate.wait_for(|open| *open).await.unwrap();
                talk.say("xt").await;
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    let (slow, other) = (Modern::plain(&proxy).await, Modern::plain(&proxy).await);
    // Its end is in the proxy: the client has not let it through.
    let late = slow.begin(request(Method::GET, "/long", "")).await.unwrap();
    until("the server's part is over", || proxy.metric("rolegate_requests_total", &["2xx"]) == 1.0).await;
    let next = other.begin(request(Method::GET, "/next", "")).await.unwrap();
    assert_eq!(server.accepted(), 1, "on the same connection to the server");
    drop(late);
    drop(slow);
    until("the client has gone", || proxy.metric("rolegate_connections", &[]) == 1.0).await;
    release.send(true).unwrap();
    assert_eq!(within("its body", next.into_body().collect()).await.unwrap().to_bytes(), "next");
    assert_eq!(other.get("/next").await.1, "next");
    assert_eq!(server.accepted(), 1);
    assert_eq!(proxy.metric("rolegate_requests_total", &["2xx"]), 3.0);
    assert_eq!(proxy.metric("rolegate_request_errors_total", &[]), 0.0);
}
