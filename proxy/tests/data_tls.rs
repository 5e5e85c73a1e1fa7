//! TLS that ends at the proxy: handshakes that succeed and those that do not, and the bytes inside.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use rolegate_bench::client::Tls;
use rolegate_bench::site::{Role, SiteSystem, Spec};
use rustls::ProtocolVersion;
use support::{Peer, Pki, Proxy, Setup, TlsWire, Wire, get, ok, peers, pki, until};
use tokio::io::AsyncReadExt;

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

fn version(client: &TlsWire) -> ProtocolVersion {
    client.stream.get_ref().1.protocol_version().unwrap()
}

fn handshakes(proxy: &Proxy, kind: &str) -> f64 {
    proxy.metric("rolegate_tls_handshakes_total", &[&format!("kind=\"{kind}\"")])
}

#[tokio::test]
async fn both_versions_of_tls_end_here_and_the_server_hears_of_it() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    for (tls, expected) in
        [(pki.client(), ProtocolVersion::TLSv1_3), (pki.client().only_1_2(), ProtocolVersion::TLSv1_2)]
    {
        let mut client = proxy.secure(&tls).await;
        assert_eq!(version(&client), expected);
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = client.ask("GET /x HTTP/1.1\r\nHost: lab.test\r\nX-Forwarded-Proto: http\r\n\r\n").await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), "/x");
        let heard = server.heard().pop().unwrap();
        assert_eq!(heard.field("x-forwarded-proto"), Some("https"));
        assert_eq!(heard.field("forwarded"), Some("for=127.0.0.1;host=\"lab.test\";proto=https"));
    }
    assert_eq!((handshakes(&proxy, "full"), handshakes(&proxy, "resumed")), (2.0, 0.0));
    assert_eq!(server.accepted(), 1, "connections to servers are shared as ever");
}

#[tokio::test]
async fn versions_have_bounds() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("max_version = \"1.2\"")).start();
    assert_eq!(version(&proxy.secure(&pki.client()).await), ProtocolVersion::TLSv1_2);
    let proxy = Setup::new([server.address]).listener(&pki.terminates("min_version = \"1.3\"")).start();
    assert_eq!(version(&proxy.secure(&pki.client()).await), ProtocolVersion::TLSv1_3);
    assert!(proxy.try_secure(&pki.client().only_1_2()).await.is_err());
    proxy.until_refused("tls_incompatible", 1).await;
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() {
    let (server, pki) = (echo().await, Pki::new());
    let [one, two, wild] =
        [&["mp1.lab.test"][..], &["mp2.lab.test"], &["*.dp.lab.test"]].map(|n| pki.authority.server(n));
    let files =
        [("one", &one), ("two", &two), ("wild", &wild)].map(|(name, id)| format!("{{ {} }}", pki.files(name, id)));
    let listener = format!("[listeners.tls]\ncertificates = [{}]", files.join(", "));
    let proxy = Setup::new([server.address]).listener(&listener).start();
    for (tls, expected) in [
        (pki.client(), &one),
        (pki.client().sni("mp2.lab.test"), &two),
        (pki.client().sni("MP2.Lab.Test"), &two),
        (pki.client().sni("dp7.dp.lab.test"), &wild),
        (Tls::new().without_sni(), &one),
        (Tls::new().sni("nobody.lab.test"), &one),
    ] {
        let mut client = proxy.secure(&tls).await;
        assert_eq!(pki::shown(&client), expected.fingerprint(), "{tls:?}");
        client.ask(&get("/")).await.is_from_server(200);
    }
}

#[tokio::test]
async fn clients_may_offer_protocols_or_none() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    for (offered, agreed) in [(&[][..], None), (&["h2", "http/1.1"], Some(&b"http/1.1"[..]))] {
        let mut client = proxy.secure(&pki.client().alpn(offered)).await;
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), agreed);
        client.ask(&get("/")).await.is_from_server(200);
    }
    assert!(proxy.try_secure(&pki.client().alpn(&["h2"])).await.is_err());
    proxy.until_refused("tls_incompatible", 1).await;
}

#[tokio::test]
async fn sessions_are_resumed_where_tickets_are_given() {
    let (server, pki) = (echo().await, Pki::new());
    for (lines, resumed) in [("", 3.0), ("session_tickets = false", 0.0)] {
        for tls in [pki.client(), pki.client().only_1_2()] {
            let proxy = Setup::new([server.address]).threads(2).listener(&pki.terminates(lines)).start();
            let connector = tls.connector().unwrap();
            for _ in 0..4 {
                let mut client = proxy.secure_with(&connector).await;
                client.ask(&get("/")).await.is_from_server(200);
            }
            let found = (handshakes(&proxy, "full"), handshakes(&proxy, "resumed"));
            assert_eq!(found, (4.0 - resumed, resumed), "{lines} {tls:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_handshake_ends_and_is_counted() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let hello = pki::client_hello("mp1.lab.test");
    let mut broken = hello.clone();
    broken[5] = 0x77;
    for (number, bytes) in [get("/").into_bytes(), vec![0xff; 3000], broken].into_iter().enumerate() {
        let mut client = proxy.open().await;
        client.say(&bytes).await;
        client.wait_for_the_end().await;
        proxy.until_refused("tls_protocol", number + 1).await;
    }
    assert_eq!(server.count(), 0);
    let mut client = proxy.open().await;
    client.say(&hello[..hello.len() / 2]).await;
    client.reset();
    until("a client that goes is counted", || proxy.refused("client_gone") == 1.0).await;
    assert!(proxy.try_secure(&Tls::new().trusting(Pki::new().authority.certificate_pem())).await.is_err());
    until("one that does not trust us", || proxy.refused("tls_refused_by_client") == 1.0).await;
    until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("handshake_timeout = \"300ms\"")).start();
    let hello = pki::client_hello("mp1.lab.test");
    let mut silent = proxy.open().await;
    let mut half = proxy.open().await;
    half.say(&hello[..50]).await;
    let mut no_answer = proxy.open().await;
    no_answer.say(&hello).await;
    silent.ends().await;
    half.ends().await;
    no_answer.wait_for_the_end().await;
    proxy.until_refused("tls_timeout", 3).await;
    let mut slow = proxy.open().await;
    let begun = std::time::Instant::now();
    for byte in hello {
        slow.say([byte]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if proxy.refused("tls_timeout") == 4.0 {
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    proxy.until_refused("tls_timeout", 4).await;
    until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
}

#[tokio::test]
async fn records_may_come_byte_by_byte() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let slowly = peers::dribble(proxy.at("http")).await;
    for tls in [pki.client(), pki.client().only_1_2()] {
        let wire = Wire::connect(slowly.address).await;
        let mut client = pki::secure(wire, &tls.connector().unwrap()).await.unwrap();
        for target in ["/1", "/2"] {
            assert_eq!(client.ask(&get(target)).await.text(), target);
            until("it waits", || proxy.metric("rolegate_connections_waiting", &[]) == 1.0).await;
        }
        client.end().await;
        until("it is gone", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
    }
    assert_eq!(proxy.metric("rolegate_connection_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_secured_connection_that_waits_serves_its_next_request() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let waiting = || proxy.metric("rolegate_connections_waiting", &[]);
    for tls in [pki.client(), pki.client().only_1_2()] {
        let mut client = proxy.secure(&tls).await;
        until("it waits before its first request", || waiting() == 1.0).await;
        for target in ["/1", "/2", "/3"] {
            assert_eq!(client.ask(&get(target)).await.text(), target);
            assert_eq!(waiting(), 0.0);
            until("it waits", || waiting() == 1.0).await;
        }
        // One head in two records, and two in one.
        let request = get("/split");
        client.say(&request[..10]).await;
        until("it works", || waiting() == 0.0).await;
        client.say(&request[10..]).await;
        assert_eq!(client.response("GET").await.text(), "/split");
        until("it waits", || waiting() == 1.0).await;
        client.say(format!("{}{}", get("/a"), get("/b"))).await;
        assert_eq!(client.response("GET").await.text(), "/a");
        assert_eq!(client.response("GET").await.text(), "/b");
    }
    assert_eq!((handshakes(&proxy, "full"), proxy.metric("rolegate_connections_total", &[])), (2.0, 2.0));
}

#[tokio::test]
async fn a_request_longer_than_the_first_piece_is_served_after_a_wait() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let mut client = proxy.secure(&pki.client()).await;
    for size in [2000, 2048, 2100, 9000, 40_000] {
        until("it waits", || proxy.metric("rolegate_connections_waiting", &[]) == 1.0).await;
        let body = "b".repeat(size);
        let head =
            format!("POST /{size} HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\nX-Long: {}\r\n\r\n", &body[..1900]);
        assert_eq!(client.ask(&format!("{head}{body}")).await.text(), format!("/{size}"));
        assert_eq!(server.heard().pop().unwrap().body, body.as_bytes());
    }
}

/// Whether the connection was closed as TLS wants it, and not just cut.
async fn closes_well(client: &mut TlsWire) -> bool {
    let read = support::within("the end", client.stream.read(&mut [0; 100])).await;
    matches!(read, Ok(0))
}

#[tokio::test]
async fn every_orderly_end_says_goodbye() {
    let (server, pki) = (echo().await, Pki::new());
    let patient = Setup::new([server.address]).listener(&pki.terminates(""));
    let proxy = patient.clone().proxy("client_keepalive_timeout = \"700ms\"").start();
    let mut idle = proxy.secure(&pki.client()).await;
    idle.ask(&get("/")).await.is_from_server(200);
    assert!(closes_well(&mut idle).await, "after the keepalive time");
    let mut last = proxy.secure(&pki.client()).await;
    let answer = last.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(closes_well(&mut last).await, "after the last response");

    let proxy = patient.start();
    let (mut parked, mut fresh) = (proxy.secure(&pki.client()).await, proxy.secure(&pki.client()).await);
    parked.ask(&get("/")).await.is_from_server(200);
    fresh.ask(&get("/")).await.is_from_server(200);
    until("both wait", || proxy.metric("rolegate_connections_waiting", &[]) == 2.0).await;
    fresh.ask(&get("/")).await.is_from_server(200);
    let app = proxy.into_app();
    let shut = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(10)));
    assert!(closes_well(&mut parked).await, "one that waits, in a shutdown");
    assert!(closes_well(&mut fresh).await, "one that has just been served, in a shutdown");
    drop((parked, fresh));
    assert_eq!(shut.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_client_that_says_goodbye_leaves_nothing() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    for waits in [false, true] {
        let mut client = proxy.secure(&pki.client()).await;
        client.ask(&get("/")).await.is_from_server(200);
        if waits {
            until("it waits", || proxy.metric("rolegate_connections_waiting", &[]) == 1.0).await;
        }
        client.end().await;
        assert!(closes_well(&mut client).await, "{waits}");
        until("it is gone", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
    }
    assert_eq!(proxy.metric("rolegate_protocol_errors_total", &[]), 0.0);
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

#[tokio::test]
async fn large_bodies_go_both_ways_unchanged() {
    const LENGTH: usize = 6 << 20;
    let server = Peer::serve(|mut talk| async move {
        while let Some(request) = talk.request().await {
            talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len())).await;
            talk.say(&request.body).await;
        }
    })
    .await;
    let pki = Pki::new();
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let body = pattern(LENGTH);
    for tls in [pki.client(), pki.client().only_1_2()] {
        let mut client = proxy.secure(&tls).await;
        for _ in 0..2 {
            client.say(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
            client.say(&body).await;
            let answer = client.response("POST").await;
            answer.is_from_server(200);
            assert!(answer.body == body, "{} bytes", answer.body.len());
        }
    }
    assert_eq!(proxy.metric("rolegate_request_bytes_total", &[]), (4 * LENGTH) as f64);
    assert_eq!(proxy.metric("rolegate_response_bytes_total", &[]), (4 * LENGTH) as f64);
}

#[tokio::test]
async fn one_handshake_serves_many_requests() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let mut client = proxy.secure(&pki.client()).await;
    for number in 0..200 {
        let target = format!("/{number}");
        assert_eq!(client.ask(&get(&target)).await.text(), target);
    }
    assert_eq!((handshakes(&proxy, "full"), server.accepted()), (1.0, 1));
}

#[tokio::test]
async fn a_tcp_role_behind_tls_is_a_tunnel_of_what_is_inside() {
    let site = SiteSystem::start(Spec::new("mp1.lab.test").role(Role::ClientNotification)).await.unwrap();
    let pki = Pki::new();
    let setup = Setup::new([site.notification_address().unwrap()]).held("client-notification");
    let proxy = setup.threads(2).listener(&pki.terminates("")).start();
    let mut clients = Vec::new();
    for number in 0..8 {
        let tls = if number % 2 == 0 { pki.client().alpn(&[]) } else { pki.client().only_1_2() };
        let mut client = proxy.secure(&tls).await;
        client.say(format!("Ping {number}\r\n")).await;
        assert_eq!(client.line().await.unwrap(), format!("Pong srv0.lab.test Ping {number}").replace("srv0", "mp1"));
        clients.push(client);
    }
    assert_eq!(site.push("wake up\r\n"), 8);
    for client in &mut clients {
        assert_eq!(client.line().await.unwrap(), "wake up");
    }
    clients.truncate(4);
    until("their places are given back", || proxy.in_flight() == 4).await;
    site.kill();
    for client in &mut clients {
        client.ends().await;
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn one_direction_of_a_secured_tunnel_may_end_first() {
    let server = Peer::serve(|mut talk| async move {
        talk.wait().await;
        let heard = std::mem::take(&mut talk.wire.ahead);
        talk.say(&heard).await;
        talk.say("bye").await;
    })
    .await;
    let pki = Pki::new();
    let setup = Setup::new([server.address]).held("client-notification").listener(&pki.terminates(""));
    let proxy = setup.start();
    let mut client = proxy.secure(&pki.client()).await;
    let sent = pattern(1_000_000);
    client.say(&sent).await;
    client.end().await;
    assert!(client.take(1_000_000).await == sent);
    assert_eq!(client.take(3).await, b"bye");
    assert!(closes_well(&mut client).await);
    proxy.until_idle().await;
}
