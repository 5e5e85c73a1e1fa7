//! Tunnels that have to move: a few at a time, and only those that must. And where connections to servers come from.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rolegate::control::config::Source;
use support::{Peer, Pki, Proxy, Setup, Wire, ok, pki, until, within};
use tokio::io::AsyncReadExt;

/// Says its name, and then what it hears.
async fn echo(name: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        talk.say(format!("{name}\r\n")).await;
        while let Some(line) = talk.wire.line().await {
            talk.say(format!("{line}\r\n")).await;
        }
    })
    .await
}

/// Clients of 127.1 go to the first server, those of 127.2 to the server of that number.
fn site(servers: &[&Peer], second: usize) -> Setup {
    let groups = format!(
        "[[boundary_groups]]\nname = \"One\"\nboundaries = [\"127.1.0.0/16\"]\nsite_systems = [\"srv0.lab.test\"]\n\
         [[boundary_groups]]\nname = \"Two\"\nboundaries = [\"127.2.0.0/16\"]\nsite_systems = [\"srv{second}.lab.test\"]\n"
    );
    let setup = Setup::new(servers.iter().map(|server| server.address)).held("client-notification");
    setup.proxy("tunnel_moves_per_second = 10").role("locality = \"boundary-groups\"").more(&groups)
}

async fn tunnel(proxy: &Proxy, source: &str) -> (Wire, String) {
    let mut client = proxy.open_from(source).await;
    let name = client.line().await.unwrap();
    (client, name)
}

/// So many tunnels of clients in this half of the network.
async fn tunnels(proxy: &Proxy, half: u8, count: u8, expected: &str) -> Vec<Wire> {
    let mut clients = Vec::new();
    for number in 0..count {
        let (client, name) = tunnel(proxy, &format!("127.{half}.0.{}", number + 1)).await;
        assert_eq!(name, expected);
        clients.push(client);
    }
    clients
}

async fn reload(proxy: &Proxy, setup: &Setup) {
    let source = Source { name: "test.toml".to_owned(), text: setup.text() };
    proxy.app().reload_async(source).await.unwrap();
}

fn moved(proxy: &Proxy) -> f64 {
    proxy.metric("rolegate_tunnels_moved_total", &[])
}

/// When each of them ends, all in good order.
async fn ends(clients: &mut [Wire]) -> Vec<Instant> {
    let each = clients.iter_mut().map(|client| async {
        let read = within("the end of a tunnel", client.stream.read(&mut [0; 10])).await;
        assert!(matches!(read, Ok(0)), "{read:?}");
        Instant::now()
    });
    let mut ends = join_all(each).await;
    ends.sort_unstable();
    ends
}

/// From the first to the last.
fn spread(ends: &[Instant]) -> Duration {
    *ends.last().unwrap() - ends[0]
}

async fn all_echo(clients: &mut [Wire]) {
    for client in clients {
        client.say("still here\r\n").await;
        assert_eq!(client.line().await.as_deref(), Some("still here"));
    }
}

#[tokio::test]
async fn a_server_that_leaves_gives_its_tunnels_away_little_by_little() {
    for threads in [1, 2] {
        let (one, two) = (echo("one").await, echo("two").await);
        let proxy = site(&[&one, &two], 1).threads(threads).start();
        let mut stay = tunnels(&proxy, 1, 20, "one").await;
        let mut leave = tunnels(&proxy, 2, 20, "two").await;
        // Looked at when somebody asks for them.
        Wire::connect(proxy.app().admin()).await.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let places = || proxy.metric("rolegate_endpoint_inflight", &["srv1.lab.test"]);
        assert_eq!(places(), 20.0);
        reload(&proxy, &site(&[&one], 0).threads(threads)).await;
        let begun = Instant::now();
        let ends = ends(&mut leave).await;
        // 20 at 10 in a second, when one thread has all of them; two threads have half of the rate each.
        let (shortest, longest) = (Duration::from_millis(1200), Duration::from_secs(10));
        assert!(spread(&ends) >= shortest && begun.elapsed() < longest, "{:?} {:?}", spread(&ends), begun.elapsed());
        let early = ends.iter().filter(|end| **end < ends[0] + Duration::from_millis(500)).count();
        assert!(early <= 10, "{early} in half a second");
        until("all are counted", || moved(&proxy) == 20.0).await;
        all_echo(&mut stay).await;
        assert_eq!(proxy.metric("rolegate_tunnels", &[]), 20.0);
        until("the server's sides are closed", || two.open() == 0).await;
        until("nobody is said to be there", || places() == 0.0).await;
        assert_eq!(tunnel(&proxy, "127.2.0.1").await.1, "one", "they come back elsewhere");
        assert_eq!(moved(&proxy), 20.0);
    }
}

#[tokio::test]
async fn a_reload_that_says_nothing_about_a_server_moves_none_of_its_tunnels() {
    let (one, two, three) = (echo("one").await, echo("two").await, echo("three").await);
    let setup = site(&[&one, &two], 1);
    let proxy = setup.start();
    let (mut first, mut second) = (tunnels(&proxy, 1, 10, "one").await, tunnels(&proxy, 2, 10, "two").await);
    for other in [
        setup.clone(),
        setup.clone().proxy("tunnel_moves_per_second = 1000"),
        setup.clone().system("weight = 7"),
        setup.clone().role("locality = \"boundary-groups\"\nmax_requests = 5\ntimeouts = { connect = \"1s\" }"),
        site(&[&one, &two, &three], 2),
    ] {
        reload(&proxy, &other).await;
        all_echo(&mut first).await;
        // Tunnels of servers that have left are looked for once in a second.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        all_echo(&mut second).await;
        assert_eq!(moved(&proxy), 0.0);
    }
    // The same wait is long enough to see one that has.
    reload(&proxy, &site(&[&one], 0)).await;
    ends(&mut second).await;
    until("they have moved", || moved(&proxy) == 10.0).await;
    all_echo(&mut first).await;
}

#[tokio::test]
async fn a_shutdown_moves_tunnels_within_its_time_and_cuts_none() {
    // At the configured rate, and faster when there is less time than that takes.
    for (count, time) in [(20, Duration::from_secs(6)), (60, Duration::from_secs(3))] {
        let server = echo("one").await;
        let proxy = site(&[&server], 0).threads(2).start();
        let mut clients = tunnels(&proxy, 1, count, "one").await;
        let app = proxy.into_app();
        let begun = Instant::now();
        let shut = tokio::task::spawn_blocking(move || app.shutdown_within(time));
        let ends = ends(&mut clients).await;
        assert_eq!(within("the end", shut).await.unwrap().cut, 0);
        assert!(begun.elapsed() < time, "{:?}", begun.elapsed());
        assert!(spread(&ends) >= Duration::from_millis(700), "{:?}", spread(&ends));
        until("the server's sides are closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn a_shutdown_moves_every_kind_of_tunnel() {
    let server = Peer::serve(|mut talk| async move {
        if talk.wire.take(1).await == b"G" {
            talk.head().await;
            talk.say("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
        }
        talk.wait().await;
    })
    .await;
    let pki = Pki::new();
    let asks = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    for kind in ["upgrade", "secured upgrade", "passthrough"] {
        let setup = Setup::new([server.address]).role("upgrades = [\"x\"]");
        let proxy = match kind {
            "upgrade" => setup.start(),
            "secured upgrade" => setup.listener(&pki.terminates("")).start(),
            _ => setup.role("tls = true").listener("passthrough = true").start(),
        };
        let mut plain = proxy.open().await;
        let mut secured = None;
        match kind {
            "upgrade" => assert_eq!(plain.ask(asks).await.status(), 101),
            "secured upgrade" => {
                let mut client = proxy.secure(&pki.client()).await;
                assert_eq!(client.ask(asks).await.status(), 101);
                secured = Some(client);
            }
            _ => {
                plain.say(pki::client_hello("mp1.lab.test")).await;
            }
        }
        until("it is a tunnel", || proxy.metric("rolegate_tunnels", &[]) == 1.0).await;
        if secured.is_some() {
            drop(plain);
            until("only one is left", || proxy.metric("rolegate_connections", &[]) == 1.0).await;
        } else {
            secured = None;
        }
        let app = proxy.into_app();
        let begun = Instant::now();
        let shut = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(10)));
        assert_eq!(within("the end", shut).await.unwrap().cut, 0, "{kind}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{kind}: {:?}", begun.elapsed());
        if let Some(mut client) = secured {
            let read = within("the end", client.stream.read(&mut [0; 10])).await;
            assert!(matches!(read, Ok(0)), "with a goodbye: {read:?}");
        }
        until("the server's side is closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn bytes_are_counted_while_a_tunnel_lives() {
    let server = echo("one").await;
    let proxy = site(&[&server], 0).start();
    let (mut client, _) = tunnel(&proxy, "127.1.0.1").await;
    let counted = |way: &str| proxy.metric("rolegate_tunnel_bytes_total", &[way]);
    until("its first line is counted", || (counted("up"), counted("down")) == (0.0, 5.0)).await;
    for round in 1..5 {
        client.say("12345678\r\n").await;
        assert_eq!(client.line().await.as_deref(), Some("12345678"));
        let expected = (f64::from(round * 10), f64::from(5 + round * 10));
        until("all bytes are counted", || (counted("up"), counted("down")) == expected).await;
    }
}

/// Tells every client where it comes from.
async fn whence() -> Peer {
    Peer::serve(|mut talk| async move {
        let from = talk.wire.stream.peer_addr().unwrap().ip();
        if talk.wire.take(1).await == b"G" {
            talk.request().await;
            talk.say(ok(&format!("{from}\r\n")).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        } else {
            talk.say(format!("{from}\r\n")).await;
        }
    })
    .await
}

fn addresses(list: &[&str]) -> HashSet<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

#[tokio::test]
async fn connections_come_from_all_addresses_in_turn() {
    let server = whence().await;
    for (listed, used) in [
        (&["127.0.6.1", "127.0.6.2", "127.0.6.3"][..], &["127.0.6.1", "127.0.6.2", "127.0.6.3"][..]),
        (&["127.0.6.9", "::1"], &["127.0.6.9"]),
    ] {
        let list: Vec<String> = listed.iter().map(|address| format!("\"{address}\"")).collect();
        let role = format!("source_addresses = [{}]", list.join(", "));
        let proxy = Setup::new([server.address]).role(&role).start();
        let mut found = HashSet::new();
        for _ in 0..used.len() * 3 {
            let answer = proxy.get("/").await;
            answer.is_from_server(200);
            found.insert(answer.text().trim().parse().unwrap());
        }
        assert_eq!(found, addresses(used));
        let proxy = Setup::new([server.address]).held("client-notification").role(&role).start();
        let mut found = HashSet::new();
        for _ in 0..used.len() * 3 {
            let mut client = proxy.open().await;
            client.say("x").await;
            found.insert(client.line().await.unwrap().parse().unwrap());
        }
        assert_eq!(found, addresses(used));
        assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_gives_its_turn_away() {
    let server = whence().await;
    let proxy = Setup::new([server.address]).role("source_addresses = [\"192.0.2.1\", \"127.0.6.2\"]").start();
    for _ in 0..6 {
        let answer = proxy.get("/").await;
        assert_eq!((answer.status(), answer.text().trim()), (200, "127.0.6.2"));
    }
    let proxy = Setup::new([server.address]).role("source_addresses = [\"192.0.2.1\"]").start();
    proxy.get("/").await.is_own(503, "proxy_internal_error");
}

#[tokio::test]
async fn what_is_under_way_in_a_tunnel_is_finished_before_it_moves() {
    const SIZE: usize = 32 << 20;
    let one = echo("one").await;
    let two = Peer::serve(|mut talk| async move {
        talk.say("two\r\n").await;
        if talk.wire.line().await.is_some() {
            talk.say(vec![b'x'; SIZE]).await;
            talk.wait().await;
        }
    })
    .await;
    let proxy = site(&[&one, &two], 1).start();
    let mut waits = tunnels(&proxy, 2, 2, "two").await;
    let mut slow = waits.pop().unwrap();
    slow.say("all of it\r\n").await;
    // It takes a little, and then nothing, while more waits for it than all buffers hold.
    assert_eq!(slow.take(1000).await, [b'x'; 1000]);
    reload(&proxy, &site(&[&one], 0)).await;
    ends(&mut waits).await;
    // Longer than a tunnel in which nothing moves is kept.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(slow.take(SIZE - 1000).await.len(), SIZE - 1000);
    ends(&mut [slow]).await;
    until("both are counted", || moved(&proxy) == 2.0).await;
}

#[tokio::test]
async fn a_tunnel_in_which_something_moves_is_not_silent() {
    let one = echo("one").await;
    let setup = site(&[&one], 0);
    let proxy = setup.role("locality = \"boundary-groups\"\ntimeouts = { tunnel_idle = \"600ms\" }").start();
    let mut clients = tunnels(&proxy, 1, 2, "one").await;
    let mut silent = clients.split_off(1);
    for _ in 0..12 {
        all_echo(&mut clients).await;
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    ends(&mut silent).await;
    all_echo(&mut clients).await;
    assert_eq!(moved(&proxy), 0.0);
}
