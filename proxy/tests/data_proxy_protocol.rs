//! The PROXY protocol, from load balancers in front and to servers behind.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::{IpAddr, SocketAddr};

use rolegate::control::config::Source;
use rolegate_bench::client::Tls;
use rolegate_bench::site::{self, Role, SiteSystem, Spec};
use support::{Peer, Pki, Proxy, Setup, Talk, Wire, get, ok, peers, pki, until};

/// Where load balancers are.
const BALANCER: &str = "127.0.1.5";
const TRUSTS: &str = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.1.0/24\"]\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V4: [u8; 12] = [10, 1, 2, 3, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

fn v1(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let to = if client.contains(':') { "2001:db8::ffff" } else { "10.0.0.1" };
    format!("PROXY {family} {client} {to} 4660 80\r\n").into_bytes()
}

fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [V2, &[0x20 | command, family], &length, payload].concat()
}

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.field("x-forwarded-for").unwrap_or("nobody"))).await
}

#[tokio::test]
async fn a_balancer_says_who_the_client_is() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener(TRUSTS).start();
    let v6: Vec<u8> = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].concat();
    let v6 = [&v6[..], &v6, &[0x12, 0x34, 0, 80]].concat();
    for (header, expected) in [
        (v1("10.1.2.3"), "10.1.2.3"),
        (v1("2001:db8::1"), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), BALANCER),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), BALANCER),
        (v2(1, 0x11, &V4), "10.1.2.3"),
        (v2(1, 0x21, &v6), "2001:db8::1"),
        (v2(1, 0x11, &[&V4[..], &[1, 0, 2, b'h', b'2'], &[0xE0, 0, 1, 7]].concat()), "10.1.2.3"),
        (v2(0, 0, &[]), BALANCER),
        (v2(0, 0x11, &V4), BALANCER),
        (v2(1, 0x31, &[0; 216]), BALANCER),
        (v2(1, 0, &[]), BALANCER),
    ] {
        let mut client = proxy.open_from(BALANCER).await;
        // In one piece with the first request, as it often comes.
        client.say([&header[..], get("/").as_bytes()].concat()).await;
        assert_eq!(client.response("GET").await.text(), expected, "{header:?}");
        let asks = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
        assert_eq!(client.ask(asks).await.text(), expected, "for the whole connection");
    }
    assert_eq!(proxy.metric("rolegate_connection_errors_total", &[]), 0.0);
    let heard = server.heard();
    assert!(heard[2].field("forwarded").unwrap().starts_with("for=\"[2001:db8::1]\";"), "{:?}", heard[2]);
}

#[tokio::test]
async fn a_header_that_is_broken_ends_the_connection() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener(TRUSTS).start();
    for (number, bytes) in [
        v1("10.1.2.3")[..20].to_vec(),
        v2(1, 0x11, &V4)[..20].to_vec(),
        v2(1, 0x11, &V4)[..14].to_vec(),
        v2(1, 0x11, &V4[..8]),
        v2(1, 0x11, &[&V4[..], &[1, 0, 200, 1]].concat()),
        v2(1, 0x12, &V4),
        v2(2, 0x11, &V4),
        v2(1, 0x11, &vec![0; 60_000]),
        format!("PROXY UNKNOWN {}\r\n", "f".repeat(200)).into_bytes(),
        b"PROXY TCP4 10.1.2.3 10.0.0.1 4660 80000\r\n".to_vec(),
        b"PROXY TCP4 10.1.2.300 10.0.0.1 4660 80\r\n".to_vec(),
        b"PROXY TCP5 10.1.2.3 10.0.0.1 4660 80\r\n".to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.open_from(BALANCER).await;
        client.say(&bytes).await;
        client.end().await;
        client.ends().await;
        proxy.until_refused("proxy_invalid", number + 1).await;
    }
    assert_eq!(server.count(), 0);
    until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
}

#[tokio::test]
async fn a_balancer_must_send_a_header_and_in_time() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).proxy("request_header_timeout = \"300ms\"").listener(TRUSTS).start();
    let mut missing = proxy.open_from(BALANCER).await;
    missing.say(get("/")).await;
    missing.ends().await;
    proxy.until_refused("proxy_missing", 1).await;
    let begun = std::time::Instant::now();
    let mut clients = Vec::new();
    for bytes in [Vec::new(), V2[..5].to_vec(), v1("10.1.2.3")[..20].to_vec(), v2(1, 0x11, &V4)[..20].to_vec()] {
        let mut client = proxy.open_from(BALANCER).await;
        client.say(&bytes).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.ends().await;
    }
    assert!(begun.elapsed() >= std::time::Duration::from_millis(300), "{:?}", begun.elapsed());
    until("they were late", || proxy.refused("proxy_timeout") == 4.0).await;
    drop(proxy.open_from(BALANCER).await);
    until("one that only looks", || proxy.refused("client_gone") == 1.0).await;
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener(TRUSTS).start();
    for (number, header) in [v1("10.1.2.3"), v2(1, 0x11, &V4), v2(0, 0, &[])].into_iter().enumerate() {
        let mut stranger = proxy.open().await;
        stranger.say([&header[..], get("/").as_bytes()].concat()).await;
        stranger.ends().await;
        proxy.until_refused("proxy_untrusted", number + 1).await;
    }
    assert_eq!(server.count(), 0);
    // One that begins with a piece of it gets no further, whenever the rest comes.
    let mut stranger = proxy.open().await;
    stranger.say("PROX").await;
    stranger.say("Y TCP4 10.1.2.3 10.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let answer = stranger.response("GET").await;
    assert!(answer.cut || answer.status() == 400, "{answer:?}");
    assert_eq!(server.count(), 0);
    assert_eq!(proxy.get("/").await.text(), "127.0.0.1", "who sends none is served");
    let mut from_afar = proxy.open_from("127.0.2.1").await;
    assert_eq!(from_afar.ask(&get("/")).await.text(), "127.0.2.1");

    let knows_none = Setup::new([server.address]).proxy("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let before = server.count();
    let mut client = knows_none.open_from(BALANCER).await;
    client.say([&v1("10.1.2.3")[..], get("/").as_bytes()].concat()).await;
    assert_eq!(client.response("GET").await.status(), 400);
    assert_eq!(server.count(), before);
}

#[tokio::test]
async fn who_is_announced_may_be_a_trusted_proxy_itself() {
    let server = echo().await;
    let trusted = "trusted_proxies = [\"127.0.1.0/24\", \"10.9.0.0/16\"]";
    let proxy = Setup::new([server.address]).proxy(trusted).listener("proxy_protocol = true").start();
    let claim = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    for (announced, expected) in [("10.1.2.3", &["10.1.2.3"][..]), ("10.9.2.3", &["192.0.2.1", "10.9.2.3"])] {
        let mut client = proxy.open_from(BALANCER).await;
        client.say(v1(announced)).await;
        client.ask(claim).await;
        assert_eq!(server.heard().pop().unwrap().all("x-forwarded-for"), expected);
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let (server, pki) = (echo().await, Pki::new());
    let trusts = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1\"]\n";
    let plain = Setup::new([server.address]).listener(trusts).start();
    let secured = Setup::new([server.address]).listener(&format!("{trusts}{}", pki.terminates(""))).start();
    let (to_plain, to_secured) = (peers::dribble(plain.at("http")).await, peers::dribble(secured.at("http")).await);
    for header in [v1("10.1.2.3"), v2(1, 0x11, &V4)] {
        let mut client = Wire::connect(to_plain.address).await;
        client.say([&header[..], get("/").as_bytes()].concat()).await;
        assert_eq!(client.response("GET").await.text(), "10.1.2.3");
        let mut wire = Wire::connect(to_secured.address).await;
        wire.say(&header).await;
        let mut client = pki::secure(wire, &pki.client().connector().unwrap()).await.unwrap();
        assert_eq!(client.ask(&get("/")).await.text(), "10.1.2.3");
    }
}

#[tokio::test]
async fn it_comes_before_tls() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&format!("{TRUSTS}{}", pki.terminates(""))).start();
    let connector = pki.client().connector().unwrap();
    for header in [v1("10.1.2.3"), v2(1, 0x11, &V4)] {
        let mut wire = proxy.open_from(BALANCER).await;
        wire.say(&header).await;
        let mut client = pki::secure(wire, &connector).await.unwrap();
        assert_eq!(client.ask(&get("/")).await.text(), "10.1.2.3");
        assert_eq!(server.heard().pop().unwrap().field("x-forwarded-proto"), Some("https"));
    }
    assert!(pki::secure(proxy.open_from(BALANCER).await, &connector).await.is_err());
    until("there was none", || proxy.refused("proxy_missing") == 1.0).await;
    assert_eq!(proxy.secure(&pki.client()).await.ask(&get("/")).await.text(), "127.0.0.1");
    let mut wire = proxy.open().await;
    wire.say(v1("10.1.2.3")).await;
    assert!(pki::secure(wire, &connector).await.is_err());
    until("a stranger", || proxy.refused("proxy_untrusted") == 1.0).await;
    let mut wire = proxy.open_from(BALANCER).await;
    wire.say([&v1("10.1.2.3")[..], get("/").as_bytes()].concat()).await;
    wire.wait_for_the_end().await;
    until("no TLS behind it", || proxy.refused("tls_protocol") == 1.0).await;
}

const GROUPS: &str = "[[boundary_groups]]\nname = \"One\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"srv0.lab.test\"]\n\
                      [[boundary_groups]]\nname = \"Two\"\nboundaries = [\"10.2.0.0/16\"]\nsite_systems = [\"srv1.lab.test\"]\n";

#[tokio::test]
async fn boundary_groups_see_the_client_that_was_announced() {
    let servers = [Peer::saying(ok("one")).await, Peer::saying(ok("two")).await];
    let setup = Setup::new(servers.iter().map(|server| server.address)).role("locality = \"boundary-groups\"");
    let proxy = setup.listener(TRUSTS).more(GROUPS).start();
    for (client, expected) in [("10.1.0.7", "one"), ("10.2.0.7", "two"), ("10.1.9.9", "one")] {
        let mut balancer = proxy.open_from(BALANCER).await;
        balancer.say(v1(client)).await;
        for _ in 0..3 {
            assert_eq!(balancer.ask(&get("/")).await.text(), expected);
        }
    }
}

#[tokio::test]
async fn it_comes_before_tls_that_is_passed_through() {
    let pki = Pki::new();
    let mut sites = Vec::new();
    let identities = ["mp1.lab.test", "mp2.lab.test"].map(|name| pki.authority.server(&[name]));
    for (name, identity) in ["mp1.lab.test", "mp2.lab.test"].iter().zip(&identities) {
        let spec = Spec::management_point(name).tls(site::Tls::new(identity.clone()));
        sites.push(SiteSystem::start(spec).await.unwrap());
    }
    let setup = Setup::new(sites.iter().map(SiteSystem::address)).role("tls = true\nlocality = \"boundary-groups\"");
    let proxy = setup.listener(&format!("{TRUSTS}passthrough = true")).more(GROUPS).start();
    for (client, identity) in [("10.1.0.7", &identities[0]), ("10.2.0.7", &identities[1])] {
        let mut wire = proxy.open_from(BALANCER).await;
        wire.say(v1(client)).await;
        let client = pki::secure(wire, &Tls::new().connector().unwrap()).await.unwrap();
        assert_eq!(pki::shown(&client), identity.fingerprint());
    }
}

#[tokio::test]
async fn it_comes_before_a_tcp_role() {
    let mut sites = Vec::new();
    for name in ["one.lab.test", "two.lab.test"] {
        sites.push(SiteSystem::start(Spec::new(name).role(Role::ClientNotification)).await.unwrap());
    }
    let setup = Setup::new(sites.iter().map(|site| site.notification_address().unwrap())).held("client-notification");
    let proxy = setup.role("locality = \"boundary-groups\"").listener(TRUSTS).more(GROUPS).start();
    for (client, expected) in [("10.1.0.7", "one"), ("10.2.0.7", "two")] {
        for header in [v1(client), v2(1, 0x11, &[10, client.as_bytes()[3] - b'0', 0, 7, 10, 0, 0, 1, 1, 1, 0, 80])] {
            let mut balancer = proxy.open_from(BALANCER).await;
            balancer.say([&header[..], b"Ping\r\n"].concat()).await;
            assert_eq!(balancer.line().await.unwrap(), format!("Pong {expected}.lab.test Ping"));
        }
    }
    let mut missing = proxy.open_from(BALANCER).await;
    missing.say("Ping, and no header\r\n").await;
    missing.ends().await;
    proxy.until_refused("proxy_missing", 1).await;
}

#[tokio::test]
async fn a_server_that_speaks_first_is_not_waited_for_by_strangers() {
    let server = Peer::serve(|mut talk| async move {
        talk.say("hello").await;
        talk.wait().await;
    })
    .await;
    let proxy = Setup::new([server.address]).held("client-notification").listener(TRUSTS).start();
    let mut client = proxy.open().await;
    assert_eq!(client.take(5).await, b"hello");
}

/// Takes the header off a connection: who the client is, and where it has connected to.
async fn announced(talk: &mut Talk, version: u8) -> Option<(SocketAddr, SocketAddr)> {
    if version == 1 {
        let line = talk.wire.line().await?;
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words[1], words.len()), ("PROXY", "TCP4", 6), "{line}");
        let at = |ip: &str, port: &str| format!("{ip}:{port}").parse().unwrap();
        return Some((at(words[2], words[4]), at(words[3], words[5])));
    }
    let head = talk.wire.take(16).await;
    if head.is_empty() {
        return None;
    }
    assert_eq!((&head[..12], &head[12..]), (V2, &[0x21, 0x11, 0, 12][..]));
    let addresses = talk.wire.take(12).await;
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    let ip = |at: usize| IpAddr::from([addresses[at], addresses[at + 1], addresses[at + 2], addresses[at + 3]]);
    Some((SocketAddr::new(ip(0), port(8)), SocketAddr::new(ip(4), port(10))))
}

/// Answers with what the header says, request by request, and logs users on by connection.
async fn told(version: u8) -> Peer {
    Peer::serve(move |mut talk| async move {
        let Some((client, to)) = announced(&mut talk, version).await else { return };
        while let Some(request) = talk.request().await {
            let told = request.field("x-forwarded-for").unwrap();
            let answer = ok(&format!("{client} {to} {told} on {}", talk.number));
            if !talk.say(answer).await {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn servers_are_told_the_client_and_never_share_a_connection() {
    for (version, word) in [(1, "v1"), (2, "v2")] {
        let server = told(version).await;
        let role = format!("proxy_protocol = \"{word}\"");
        let proxy = Setup::new([server.address]).threads(2).role(&role).start();
        let mut clients = Vec::new();
        for number in 0..20 {
            clients.push(proxy.open_from(&format!("127.0.3.{}", number + 1)).await);
        }
        for _ in 0..3 {
            for client in &mut clients {
                let own = client.stream.local_addr().unwrap();
                let text = client.ask(&get("/")).await.text();
                let expected = format!("{own} {} {} on ", proxy.at("http"), own.ip());
                assert!(text.starts_with(&expected), "{text} is not {expected}");
            }
        }
        assert_eq!((server.count(), server.accepted()), (60, 60), "one for each request");
        proxy.until_idle().await;
        until("all are closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn a_reload_that_changes_what_servers_are_told_leaves_old_connections_behind() {
    let server = Peer::serve(|mut talk| async move {
        let mut told = "untold";
        while let Some(line) = talk.wire.line().await {
            if line.starts_with("PROXY ") {
                told = "told";
            }
            if line.is_empty() && !talk.say(ok(told)).await {
                return;
            }
        }
    })
    .await;
    let setup = Setup::new([server.address]);
    let proxy = setup.clone().start();
    for (role, expected) in [("", "untold"), ("proxy_protocol = \"v1\"", "told"), ("", "untold")] {
        let text = setup.clone().role(role).text();
        proxy.app().reload_async(Source { name: "test.toml".to_owned(), text }).await.unwrap();
        for _ in 0..2 {
            assert_eq!(proxy.get("/").await.text(), expected, "{role}");
        }
    }
    assert_eq!(server.accepted(), 1 + 2 + 1);
}

#[tokio::test]
async fn a_connection_that_authenticates_a_user_is_told_once_and_kept() {
    let server = told(2).await;
    let proxy = Setup::new([server.address]).role("proxy_protocol = \"v2\"").start();
    let mut seen = Vec::new();
    for source in ["127.0.3.1", "127.0.3.2"] {
        let mut client = proxy.open_from(source).await;
        let own = client.stream.local_addr().unwrap();
        let first = client.ask("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM x\r\n\r\n").await.text();
        assert!(first.starts_with(&own.to_string()), "{first}");
        for _ in 0..3 {
            assert_eq!(client.ask(&get("/")).await.text(), first);
        }
        seen.push(first);
    }
    assert_ne!(seen[0], seen[1]);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn what_was_announced_is_handed_on() {
    for (version, word) in [(1, "v1"), (2, "v2")] {
        let server = told(version).await;
        let role = format!("proxy_protocol = \"{word}\"");
        let proxy = Setup::new([server.address]).role(&role).listener(TRUSTS).start();
        let mut client = proxy.open_from(BALANCER).await;
        client.say(v1("10.1.2.3")).await;
        assert!(client.ask(&get("/")).await.text().starts_with("10.1.2.3:4660 "));
    }
}

async fn tunnel_to(server: &Peer, role: &str, listener: &str) -> (Proxy, Wire) {
    let setup = Setup::new([server.address]).held("client-notification").role(role).listener(listener);
    let proxy = setup.start();
    let client = proxy.open_from("127.0.3.7").await;
    (proxy, client)
}

#[tokio::test]
async fn tunnels_begin_with_it_too() {
    for (version, word) in [(1, "v1"), (2, "v2")] {
        let server = Peer::serve(move |mut talk| async move {
            let Some((client, _)) = announced(&mut talk, version).await else { return };
            talk.say(format!("{client}\r\n")).await;
            while let Some(line) = talk.wire.line().await {
                talk.say(format!("{line}\r\n")).await;
            }
        })
        .await;
        let (proxy, mut client) = tunnel_to(&server, &format!("proxy_protocol = \"{word}\""), "").await;
        let own = client.stream.local_addr().unwrap();
        assert_eq!(client.line().await.unwrap(), own.to_string());
        client.say("Ping\r\n").await;
        assert_eq!(client.line().await.unwrap(), "Ping");
        assert_eq!(proxy.metric("rolegate_tunnel_bytes_total", &["up"]), 6.0, "the client's bytes alone");
    }
}

#[tokio::test]
async fn tls_that_is_passed_through_comes_after_it() {
    let server = Peer::serve(|mut talk| async move {
        let Some((client, _)) = announced(&mut talk, 2).await else { return };
        let hello = talk.wire.take(5).await;
        talk.say(format!("{client} {hello:?}\r\n")).await;
    })
    .await;
    let setup = Setup::new([server.address]).role("tls = true\nproxy_protocol = \"v2\"").listener("passthrough = true");
    let proxy = setup.start();
    let mut client = proxy.open_from("127.0.3.7").await;
    let hello = pki::client_hello("mp1.lab.test");
    client.say(&hello).await;
    let own = client.stream.local_addr().unwrap();
    assert_eq!(client.line().await.unwrap(), format!("{own} {:?}", &hello[..5]));
}
