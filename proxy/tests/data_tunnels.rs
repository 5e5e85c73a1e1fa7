//! Connections that are not, or no longer, HTTP: upgrades and client notification.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rolegate_bench::site::{Role, SiteSystem, Spec};
use support::{Peer, Proxy, Setup, Wire, get, ok, peers, until};
use tokio::sync::Notify;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
const UPGRADES: &str = "upgrades = [\"websocket\", \"x\"]";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX-Key: 1\r\n\r\n";

/// Agrees to every upgrade and sends back what it hears, once the other side has ended its direction, with `bye`.
async fn switching(early: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        talk.head().await;
        talk.say(format!("{AGREE}{early}")).await;
        loop {
            let heard = std::mem::take(&mut talk.wire.ahead);
            talk.say(heard).await;
            if talk.wire.more().await == 0 {
                break;
            }
        }
        talk.say("bye").await;
    })
    .await
}

#[tokio::test]
async fn an_upgrade_is_a_tunnel_and_no_byte_is_lost() {
    let server = switching("early ").await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    let mut client = proxy.open().await;
    client.say(format!("{ASK}too early ")).await;
    let answer = client.response("GET").await;
    assert_eq!((answer.status(), answer.field("upgrade"), answer.field("x-key")), (101, Some("WebSocket"), Some("1")));
    assert!(answer.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(client.take(16).await, b"early too early ");
    let heard = server.only();
    assert_eq!((heard.field("connection"), heard.field("upgrade")), (Some("upgrade"), Some("WebSocket")));
    for size in [1, 1000, 300_000] {
        let piece = vec![b'y'; size];
        client.say(&piece).await;
        assert_eq!(client.take(size).await, piece);
    }
    assert_eq!(proxy.in_flight(), 1);
    client.end().await;
    assert_eq!(client.take(4).await, b"bye");
    client.ends().await;
    proxy.until_idle().await;
    until("the server's side is closed", || server.open() == 0).await;
    assert_eq!(proxy.metric("rolegate_tunnel_bytes_total", &["up"]), 301_011.0);
    assert_eq!(proxy.metric("rolegate_tunnel_bytes_total", &["down"]), 301_020.0);
}

#[tokio::test]
async fn a_server_may_still_switch_while_the_proxy_drains() {
    let go = Arc::new(Notify::new());
    let goes = Arc::clone(&go);
    let server = Peer::serve(move |mut talk| {
        let goes = Arc::clone(&goes);
        async move {
            talk.head().await;
            goes.notified().await;
            talk.say(AGREE).await;
            talk.wait().await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    let mut client = proxy.open().await;
    client.say(ASK).await;
    until("the request is under way", || server.count() == 1).await;
    let (at, app) = (proxy.at("http"), proxy.into_app());
    let drained = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(10)));
    until("the drain has begun", || std::net::TcpStream::connect(at).is_err()).await;
    go.notify_one();
    let answer = client.response("GET").await;
    assert_eq!((answer.status(), answer.field("upgrade")), (101, Some("WebSocket")));
    assert!(answer.field("connection").unwrap().eq_ignore_ascii_case("upgrade"), "{answer:?}");
    drop(client);
    drained.await.unwrap();
}

#[tokio::test]
async fn either_side_can_end_a_tunnel() {
    let server = switching("").await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    let mut client = proxy.open().await;
    assert_eq!(client.ask(ASK).await.status(), 101);
    client.reset();
    proxy.until_idle().await;
    until("the server's side is closed", || server.open() == 0).await;
    let leaving = Peer::serve(|mut talk| async move {
        talk.head().await;
        talk.say(format!("{AGREE}gone")).await;
    })
    .await;
    let proxy = Setup::new([leaving.address]).role(UPGRADES).start();
    let mut client = proxy.open().await;
    assert_eq!(client.ask(ASK).await.status(), 101);
    assert_eq!(client.take(5).await, b"gone");
    client.end().await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_upgrade_that_the_server_declines_is_an_ordinary_request() {
    let server = Peer::saying(ok("no")).await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    let mut client = proxy.open().await;
    for request in [ASK, &get("/"), ASK] {
        let answer = client.ask(request).await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), "no");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_refused() {
    let server = Peer::saying(AGREE).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client.ask(&get("/")).await.is_own(502, "http_protocol_error");
    proxy.until_idle().await;
    until("the server's side is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn an_idle_tunnel_is_closed_and_a_busy_one_is_not() {
    let server = switching("").await;
    let proxy = Setup::new([server.address])
        .role("upgrades = [\"websocket\"]\ntimeouts = { tunnel_idle = \"700ms\", total = \"500ms\" }")
        .start();
    let mut client = proxy.open().await;
    assert_eq!(client.ask(ASK).await.status(), 101);
    for _ in 0..15 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client.say("x").await;
        assert_eq!(client.take(1).await, b"x");
    }
    client.ends().await;
    proxy.until_idle().await;
    until("the server's side is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_server_agrees_gives_its_place_back() {
    let server = Peer::saying(AGREE).await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    for round in 0..200 {
        let mut client = proxy.open().await;
        client.say(ASK).await;
        // Sooner or later: the proxy may be anywhere.
        for _ in 0..round % 20 {
            tokio::task::yield_now().await;
        }
        client.reset();
    }
    proxy.until_idle().await;
    until("all are gone", || server.open() == 0).await;
    until("and the clients", || proxy.metric("rolegate_connections", &["http"]) == 0.0).await;
}

#[tokio::test]
async fn http_1_0_has_no_upgrades() {
    let server = Peer::answering(|request, _| match request.field("upgrade") {
        Some(_) => AGREE.to_owned(),
        None => ok("plain"),
    })
    .await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    let answer = proxy.ask("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    answer.is_from_server(200);
    assert_eq!(answer.text(), "plain");
    proxy.until_idle().await;
}

fn notification(servers: &[(&str, std::net::SocketAddr)], role: &str) -> Proxy {
    let systems: String = servers
        .iter()
        .map(|(name, at)| {
            format!(
                "[[site_systems]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\n\
                 roles = [{{ role = \"client-notification\", port = {} }}]\n",
                at.port()
            )
        })
        .collect();
    Proxy::start(&format!(
        "[site]\ncode = \"P01\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nthreads = 2\n[[listeners]]\nname = \"bgb\"\n\
         address = \"127.0.0.1:0\"\nroles = [\"client-notification\"]\n[roles.client-notification]\n\
         probe = {{ kind = \"none\" }}\n{role}\n{systems}"
    ))
}

#[tokio::test]
async fn client_notification_is_a_tunnel() {
    let site = SiteSystem::start(Spec::new("mp1.lab.test").role(Role::ClientNotification)).await.unwrap();
    let refused = peers::refuse();
    let servers = [("mp0.lab.test", refused.address), ("mp1.lab.test", site.notification_address().unwrap())];
    let proxy = notification(&servers, "");
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = Wire::connect(proxy.at("bgb")).await;
        client.say(format!("Ping {number}\r\n")).await;
        assert_eq!(client.line().await.unwrap(), format!("Pong mp1.lab.test Ping {number}"));
        clients.push(client);
    }
    assert_eq!(proxy.in_flight(), 20);
    assert_eq!(site.push("wake up\r\n"), 20);
    for client in &mut clients {
        assert_eq!(client.line().await.unwrap(), "wake up");
    }
    clients.truncate(5);
    until("their places are given back", || proxy.in_flight() == 5).await;
    site.kill();
    for client in &mut clients {
        client.ends().await;
    }
    proxy.until_idle().await;
    let mut nobody = Wire::connect(proxy.at("bgb")).await;
    nobody.ends().await;
}

/// What the kernel counts down to on this side of a connection (`timer_active` in proc_pid_net(5)).
fn timer_of(local: SocketAddr, remote: SocketAddr) -> String {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = |row: &Vec<&str>| (port(row[1]), port(row[2])) == (local.port(), remote.port());
    rows.into_iter().find(ours).unwrap()[5][..2].to_owned()
}

#[tokio::test]
async fn both_sides_of_a_silent_channel_are_kept_alive() {
    for (proxy_lines, expected) in [("", "02"), ("tcp_keepalive = \"off\"", "00")] {
        let server = Peer::serve(|mut talk| async move {
            let peer = talk.wire.stream.peer_addr().unwrap();
            talk.say(format!("{peer}\r\n")).await;
            talk.wait().await;
        })
        .await;
        let proxy = Setup::new([server.address]).held("client-notification").proxy(proxy_lines).start();
        let mut client = proxy.open().await;
        let upstream: SocketAddr = client.line().await.unwrap().parse().unwrap();
        let downstream = client.stream.local_addr().unwrap();
        for (local, remote) in [(proxy.at("http"), downstream), (upstream, server.address)] {
            // A byte that is not acknowledged yet has another timer.
            until("nothing is under way", || timer_of(local, remote) != "01").await;
            assert_eq!(timer_of(local, remote), expected, "{proxy_lines} {local}");
        }
    }
}

#[tokio::test]
async fn one_direction_of_a_tunnel_may_end_first() {
    let server = Peer::serve(|mut talk| async move {
        talk.wait().await;
        let heard = std::mem::take(&mut talk.wire.ahead);
        talk.say(format!("{} bytes", heard.len())).await;
    })
    .await;
    let proxy = notification(&[("mp1.lab.test", server.address)], "");
    let mut client = Wire::connect(proxy.at("bgb")).await;
    client.say(vec![b'x'; 1_000_000]).await;
    client.end().await;
    assert_eq!(client.take(100).await, b"1000000 bytes");
    proxy.until_idle().await;
    let server = Peer::serve(|mut talk| async move {
        talk.say("hello").await;
        talk.wire.end().await;
        talk.wait().await;
        assert_eq!(talk.wire.ahead, b"and good bye");
    })
    .await;
    let proxy = notification(&[("mp1.lab.test", server.address)], "");
    let mut client = Wire::connect(proxy.at("bgb")).await;
    assert_eq!(client.take(100).await, b"hello");
    client.say("and good bye").await;
    client.end().await;
    until("the server's side is closed", || server.open() == 0).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_idle_notification_channel_is_closed() {
    let server = Peer::serve(|mut talk| async move { talk.wait().await }).await;
    let proxy = notification(&[("mp1.lab.test", server.address)], "timeouts = { tunnel_idle = \"300ms\" }");
    let mut client = Wire::connect(proxy.at("bgb")).await;
    client.ends().await;
    proxy.until_idle().await;
    until("the server's side is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn notification_channels_have_a_limit() {
    let server = Peer::serve(|mut talk| async move {
        talk.say("hello").await;
        talk.wait().await;
    })
    .await;
    let proxy = notification(&[("mp1.lab.test", server.address)], "max_requests = 1");
    let mut first = Wire::connect(proxy.at("bgb")).await;
    assert_eq!(first.take(5).await, b"hello");
    Wire::connect(proxy.at("bgb")).await.ends().await;
    drop(first);
    proxy.until_idle().await;
    let mut second = Wire::connect(proxy.at("bgb")).await;
    assert_eq!(second.take(5).await, b"hello");
}
