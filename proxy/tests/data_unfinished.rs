//! What ends before it should, and what comes after the end: a request or a response that is broken off never looks whole, and
//! nothing that is left of one is taken for a part of the next.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::io::Write;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::{Peer, Pki, Proxy, Setup, Wire, get, ok, within};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";

/// A client's HTTP/2 connection, frame by frame.
async fn modern(proxy: &Proxy) -> SendRequest<Bytes> {
    let (client, connection) = within("handshake", h2::client::handshake(proxy.open().await.stream)).await.unwrap();
    // How it ends is seen by its requests.
    tokio::spawn(async move { drop(connection.await) });
    client
}

// Requests that are broken off

/// Takes the beginning of an upload, says that it has it, answers at once if that is asked for, and says what else came until
/// the connection ended. Other requests are answered as they should be.
async fn hasty() -> (Peer, UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    let server = Peer::serve(move |mut talk| {
        let tell = tell.clone();
        async move {
            while let Some(request) = talk.head().await {
                if request.start.starts_with("GET") {
                    talk.say(ok(request.target())).await;
                    continue;
                }
                let part = if request.field("content-length").is_some() { "part" } else { "4\r\npart\r\n" };
                assert_eq!(talk.wire.take(part.len()).await, part.as_bytes());
                if request.target() == "/early" {
                    talk.say(ok("early")).await;
                }
                tell.send("the beginning".to_owned()).unwrap();
                talk.wire.wait_for_the_end().await;
                tell.send(String::from_utf8(mem::take(&mut talk.wire.ahead)).unwrap()).unwrap();
                return;
            }
        }
    })
    .await;
    (server, told)
}

/// The server saw the connection end with nothing more on it, and the next request went on another one, its first.
async fn broke_off(server: &Peer, told: &mut UnboundedReceiver<String>, proxy: &Proxy, what: &str) {
    let rest = within("the end of the server's connection", told.recv()).await.unwrap();
    assert_eq!(rest, "", "{what}");
    let before = server.accepted();
    assert_eq!(proxy.get("/next").await.text(), "/next", "{what}");
    assert_eq!(server.accepted(), before + 1, "{what}");
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_upload_that_an_http2_client_breaks_off_never_looks_whole() {
    let (server, mut told) = hasty().await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    for length in [Some("10"), None] {
        // hyper takes the first of them for the end of the body.
        for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
            for target in ["/early", "/late"] {
                let mut client = within("room", modern(&proxy).await.ready()).await.unwrap();
                let mut request = Request::post(format!("http://lab.test{target}"));
                if let Some(length) = length {
                    request = request.header("content-length", length);
                }
                let (answer, mut upload) = client.send_request(request.body(()).unwrap(), false).unwrap();
                upload.send_data("part".into(), false).unwrap();
                within("the beginning", told.recv()).await.unwrap();
                if target == "/early" {
                    let mut body = within("an answer", answer).await.unwrap().into_body();
                    assert_eq!(within("its body", body.data()).await.unwrap().unwrap(), "early");
                    assert!(within("its end", body.data()).await.is_none());
                }
                upload.send_reset(reason);
                broke_off(&server, &mut told, &proxy, &format!("{length:?} {reason:?} {target}")).await;
            }
        }
    }
}

#[tokio::test]
async fn an_upload_in_the_middle_of_which_its_client_leaves_never_looks_whole() {
    let (server, mut told) = hasty().await;
    let proxy = Setup::new([server.address]).start();
    for beginning in ["Content-Length: 10\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"] {
        for target in ["/early", "/late"] {
            for politely in [true, false] {
                let mut client = proxy.open().await;
                client.say(format!("POST {target} HTTP/1.1\r\nHost: h\r\n{beginning}")).await;
                within("the beginning", told.recv()).await.unwrap();
                if target == "/early" {
                    assert_eq!(client.response("POST").await.text(), "early");
                }
                if politely {
                    client.end().await;
                } else {
                    client.reset();
                }
                broke_off(&server, &mut told, &proxy, &format!("{beginning:?} {target} {politely}")).await;
            }
        }
    }
}

#[tokio::test]
async fn an_upload_whose_client_is_given_up_never_looks_whole() {
    let (server, mut told) = hasty().await;
    let proxy = Setup::new([server.address]).proxy("client_keepalive_timeout = \"1s\"").start();
    for beginning in ["Content-Length: 10\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"] {
        let mut client = proxy.open().await;
        client.say(format!("POST /early HTTP/1.1\r\nHost: h\r\n{beginning}")).await;
        within("the beginning", told.recv()).await.unwrap();
        assert_eq!(client.response("POST").await.text(), "early");
        client.ends().await;
        broke_off(&server, &mut told, &proxy, beginning).await;
    }
}

// Responses that are broken off

#[tokio::test]
async fn a_response_that_is_cut_reaches_its_client_as_far_as_it_came() {
    let pki = Pki::new();
    let secured = format!("http2 = true\n{}", pki.terminates(""));
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_owned(),
        format!("{CHUNKED}9\r\nonly this\r\n"),
        format!("{CHUNKED}64\r\nonly this"),
        format!("{CHUNKED}9\r\nonly this\r\nzz\r\n"),
    ] {
        // The head, what there is of the body and the end come at once.
        let server = Peer::serve(move |mut talk| {
            let answer = answer.clone();
            async move {
                talk.request().await;
                talk.say(answer).await;
            }
        })
        .await;
        let role = "passive = { eject_time = \"0s\" }";
        let proxy = Setup::new([server.address]).role(role).listener("http2 = true").start();
        let heard = proxy.get("/").await;
        assert!(heard.cut && heard.text() == "only this", "{heard:?}");

        let mut client = within("room", modern(&proxy).await.ready()).await.unwrap();
        let request = Request::get("http://lab.test/").body(()).unwrap();
        let mut body = within("a head", client.send_request(request, true).unwrap().0).await.unwrap().into_body();
        assert_eq!(within("a piece", body.data()).await.unwrap().unwrap(), "only this");
        within("its end", body.data()).await.unwrap().unwrap_err();

        let proxy = Setup::new([server.address]).role(role).listener(&secured).start();
        let heard = proxy.get_secured(&pki.client(), "/").await;
        assert!(heard.cut && heard.text() == "only this", "{heard:?}");
    }
}

// Servers with TLS

type Secured = Wire<TlsStream<TcpStream>>;

/// A server whose connections end here, on the wire: `serve` has one of them. Where it listens, and how many there were.
async fn secured<F, W>(pki: &Pki, alpn: &str, serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TlsStream<TcpStream>) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let identity = pki.authority.server(&["127.0.0.1"]);
    let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            own.fetch_add(1, Ordering::SeqCst);
            let stream = within("handshake", acceptor.accept(stream)).await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    (address, accepted)
}

/// A setup whose server has TLS.
fn to_secured(address: SocketAddr, pki: &Pki, role: &str, tls: &str) -> Setup {
    let more = format!("[tls]\nca_file = {}\n{tls}", pki.path("ca.crt"));
    Setup::new([address]).role(&format!("tls = true\n{role}")).more(&more)
}

/// Writes each piece as a record of its own, all of them at once, so that whoever reads the first has read the others from the
/// socket too. `goodbye`: the last record says that no other follows, and the connection stays.
async fn one_flight(wire: &mut Secured, records: &[&str], goodbye: bool) {
    let (tcp, tls) = wire.stream.get_mut();
    for record in records {
        tls.writer().write_all(record.as_bytes()).unwrap();
    }
    if goodbye {
        tls.send_close_notify();
    }
    let mut flight = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut flight).unwrap();
    }
    assert!(flight.len() < 4000, "it would be read in parts");
    within("a flight", tcp.write_all(&flight)).await.unwrap();
}

#[tokio::test]
async fn what_tls_has_read_and_nobody_asked_for_is_not_the_next_response() {
    let pki = Pki::new();
    let (length, rest, forged) = ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nmine", "rest", FORGED);
    let last = "4\r\nrest\r\n0\r\n\r\n";
    for (begin, records, goodbye) in [
        (length.to_owned(), vec![rest, forged], false),
        (length.to_owned(), vec!["re", "st", forged], false),
        (length.to_owned(), vec![rest, "\n"], false),
        (length.to_owned(), vec![rest, forged], true),
        (length.to_owned(), vec![rest], true),
        (format!("{CHUNKED}4\r\nmine\r\n"), vec![last, forged], false),
        (format!("{CHUNKED}4\r\nmine\r\n"), vec![last], true),
    ] {
        let (begin, go) = (Arc::new(begin), Arc::new(Notify::new()));
        let (said, went, flight) = (Arc::clone(&begin), Arc::clone(&go), records.clone());
        let (address, accepted) = secured(&pki, "http/1.1", move |stream| {
            let (begin, go, flight) = (Arc::clone(&said), Arc::clone(&went), flight.clone());
            async move {
                let mut wire = Wire::over(stream);
                while let Some(request) = wire.request().await {
                    if request.target() != "/first" {
                        wire.say(ok(request.target())).await;
                        continue;
                    }
                    wire.say(&*begin).await;
                    go.notified().await;
                    one_flight(&mut wire, &flight, goodbye).await;
                }
            }
        })
        .await;
        for version in ["", "max_version = \"1.2\""] {
            let proxy = to_secured(address, &pki, "", version).start();
            let before = accepted.load(Ordering::SeqCst);
            for round in 1..=3 {
                let mut client = proxy.open().await;
                client.say(get("/first")).await;
                // The proxy waits for the rest of the body, and asks for no byte more.
                while !client.ahead.windows(4).any(|four| four == b"mine") {
                    assert!(client.more().await > 0);
                }
                go.notify_one();
                assert_eq!(client.response("GET").await.text(), "minerest");
                proxy.until_idle().await;
                // Nothing that would be sent again when the connection turns out to be closed.
                let next = proxy.ask("POST /next HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi").await;
                assert_eq!((next.status(), next.text().as_str()), (200, "/next"), "{begin} {records:?}");
                proxy.until_idle().await;
                // The one that was clean has served the first request of the next round.
                assert_eq!(accepted.load(Ordering::SeqCst) - before, round + 1, "{begin} {records:?} {goodbye}");
            }
        }
    }
}

#[tokio::test]
async fn a_response_that_an_http2_server_breaks_off_never_looks_whole() {
    let pki = Pki::new();
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let (break_off, told) = watch::channel(false);
        let (address, _) = secured(&pki, "h2", move |stream| {
            let told = told.clone();
            async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
                    body.send_data(Bytes::from_static(b"only this"), false).unwrap();
                    let mut told = told.clone();
                    tokio::spawn(async move {
                        told.wait_for(|now| *now).await.unwrap();
                        body.send_reset(reason);
                    });
                }
            }
        })
        .await;
        let proxy = to_secured(address, &pki, "http2 = true", "").start();
        let mut client = proxy.open().await;
        client.say(get("/")).await;
        assert_eq!(client.response_head().await.status(), 200);
        assert_eq!(client.take(14).await, b"9\r\nonly this\r\n");
        break_off.send(true).unwrap();
        // Without the last chunk.
        client.ends().await;
    }
}

/// A server that has answered may say that it wants no more of the request (RFC 9113, section 8.1).
#[tokio::test]
async fn a_response_that_is_whole_before_its_http2_stream_is_reset_is_handed_on() {
    let pki = Pki::new();
    let (address, _) = secured(&pki, "h2", |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let bodiless = request.uri().path() == "/bodiless";
            let mut body = respond.send_response(Response::new(()), bodiless).unwrap();
            if !bodiless {
                body.send_data(Bytes::from_static(b"all of it"), true).unwrap();
            }
            // Whoever drops the rest of a request after its response resets the stream without an error.
        }
    })
    .await;
    let proxy = to_secured(address, &pki, "http2 = true", "").start();
    for (target, text) in [("/", "all of it"), ("/bodiless", "")] {
        let mut client = proxy.open().await;
        client.say(format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nbegun")).await;
        let heard = client.response("POST").await;
        assert_eq!((heard.status(), heard.cut, heard.text().as_str()), (200, false, text), "{target}");
        proxy.until_idle().await;
    }
    assert_eq!(proxy.metric("rolegate_request_errors_total", &["connection_terminated"]), 0.0);
}

// The end of a client's connection

/// Whether the proxy takes what a client still sends when it has read the end of the connection. A socket that is closed answers
/// the first piece with a reset.
async fn takes_more(client: &mut Wire) -> bool {
    client.ends().await;
    let piece = "x".repeat(64 * 1024);
    for _ in 0..32 {
        if !client.say(&piece).await {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_client_that_has_said_its_last_is_not_waited_for() {
    let server = Peer::answering(|request, _| ok(&request.text())).await;
    let proxy = Setup::new([server.address]).start();
    for (request, body) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", ""),
        ("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", "body"),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "body",
        ),
    ] {
        let mut client = proxy.open().await;
        let answer = client.ask(request).await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), body);
        assert!(!takes_more(&mut client).await, "{request:?}");
    }
}

/// A reset may overtake the answer, and some systems throw away what they have not read when one comes.
#[tokio::test]
async fn a_client_that_may_still_send_is_not_reset() {
    let challenge = "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwho?";
    let server = Peer::serve(move |mut talk| async move {
        let Some(request) = talk.head().await else { return };
        talk.say(if request.target() == "/user" { challenge.to_owned() } else { ok("early") }).await;
        talk.wait().await;
    })
    .await;
    let proxy = Setup::new([server.address]).role("max_body = \"1KiB\"").start();
    let last = "HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    for (what, request, status) in [
        ("it did not say that this is its last request", get("/user"), 401),
        ("more came with it", format!("GET / {last}\r\n{}", get("/smuggled")), 200),
        ("its body is refused", format!("POST / {last}Content-Length: 4000000\r\n\r\nbody"), 413),
    ] {
        let mut client = proxy.open().await;
        client.say(request).await;
        let answer = client.response("GET").await;
        assert_eq!((answer.status(), answer.cut), (status, false), "{what}");
        assert!(takes_more(&mut client).await, "{what}");
    }
    assert!(server.heard().iter().all(|request| request.target() != "/smuggled"));
}
