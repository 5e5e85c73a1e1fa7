//! Windows authentication belongs to a connection: one client, one connection to one server, and nobody else's.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rolegate_bench::client::Client;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{SiteSystem, Spec};
use support::{Message, Peer, Proxy, Setup, Wire, get, ok, until};

/// A server that knows its users by their connections, as IIS does: `NTLM <name>` logs on, everybody else must.
async fn iis() -> Peer {
    Peer::serve(|mut talk| async move {
        let mut user = None;
        while let Some(request) = talk.request().await {
            if let Some(name) = request.field("authorization").and_then(|value| value.strip_prefix("NTLM ")) {
                user = Some(name.to_owned());
            }
            let number = talk.number;
            let answer = match &user {
                _ if request.target() == "/open" => ok(&format!("anybody on {number}")),
                _ if request.target() == "/bye" => return,
                Some(user) => ok(&format!("{user} on {number}")),
                None => format!(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n\
                     X-Connection: {number}\r\nContent-Length: 4\r\n\r\nwho?"
                ),
            };
            if !talk.say(answer).await {
                return;
            }
        }
    })
    .await
}

fn log_on(name: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM {name}\r\n\r\n")
}

async fn logged_on(proxy: &Proxy, name: &str) -> (Wire, String) {
    let mut client = proxy.open().await;
    assert_eq!(client.ask(&get("/")).await.status(), 401);
    let answer = client.ask(&log_on(name)).await;
    answer.is_from_server(200);
    (client, answer.text())
}

#[tokio::test]
async fn nobody_signs_in_on_a_connection_that_another_client_has_used() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).start();
    let used = proxy.get("/open").await.text();
    let mut ann = proxy.open().await;
    let challenge = ann.ask(&get("/")).await;
    let asked_on = format!("anybody on {}", challenge.field("x-connection").unwrap());
    assert_eq!(
        (challenge.status(), asked_on),
        (401, used.clone()),
        "the challenge comes on the connection that was there"
    );
    let signed_in = ann.ask(&log_on("ann")).await.text();
    assert_ne!(signed_in.replace("ann", "anybody"), used);
    assert_eq!(proxy.get("/open").await.text(), used, "which goes on serving everybody");
    assert_eq!(ann.ask(&get("/")).await.text(), signed_in);
}

#[tokio::test]
async fn a_user_has_a_connection_of_its_own() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).start();
    let (mut ann, on_ann) = logged_on(&proxy, "ann").await;
    let (mut bob, on_bob) = logged_on(&proxy, "bob").await;
    assert!(on_ann.starts_with("ann on ") && on_bob.starts_with("bob on "), "{on_ann} {on_bob}");
    let mut stranger = proxy.open().await;
    for _ in 0..10 {
        assert_eq!(ann.ask(&get("/")).await.text(), on_ann, "without any credentials");
        assert_eq!(bob.ask(&get("/x")).await.text(), on_bob);
        let open = stranger.ask(&get("/open")).await.text();
        let mine = open.replace("anybody", "");
        assert!(!on_ann.ends_with(&mine) && !on_bob.ends_with(&mine), "{open}");
        assert_eq!(proxy.get("/").await.status(), 401, "nobody inherits a logon");
    }
    until("only they have a connection, between requests too", || proxy.metric("rolegate_pins", &[]) == 2.0).await;
    assert_eq!(proxy.in_flight(), 0, "and it takes no place from others");
}

#[tokio::test]
async fn the_connection_of_a_challenge_is_kept_for_its_answer() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).start();
    let mut clients = [proxy.open().await, proxy.open().await, proxy.open().await];
    let mut challenged: Vec<String> = Vec::new();
    for client in &mut clients {
        let answer = client.ask(&get("/")).await;
        challenged.push(answer.field("x-connection").unwrap().to_owned());
    }
    let mut stranger = proxy.open().await;
    stranger.ask(&get("/open")).await.is_from_server(200);
    for (client, number) in clients.iter_mut().zip(&challenged).rev() {
        assert_eq!(client.ask(&log_on("ann")).await.text(), format!("ann on {number}"));
    }
}

#[tokio::test]
async fn a_connection_that_others_used_is_never_logged_on() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    assert_eq!(client.ask(&get("/open")).await.text(), "anybody on 0");
    for scheme in ["NTLM", "negotiate"] {
        let mut user = proxy.open().await;
        let before = server.accepted();
        let request =
            format!("CCM_POST / HTTP/1.1\r\nHost: h\r\nAuthorization: {scheme} x\r\nContent-Length: 2\r\n\r\nhi");
        let answer = user.ask(&request).await;
        assert!([200, 401].contains(&answer.status()));
        assert_eq!(server.accepted(), before + 1, "{scheme}");
    }
    let mut user = proxy.open().await;
    let before = server.accepted();
    user.ask("GET /open HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eA==\r\n\r\n").await.is_from_server(200);
    assert_eq!(server.accepted(), before, "Basic belongs to a request");
}

#[tokio::test]
async fn both_connections_close_together() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).start();
    let (ann, _) = logged_on(&proxy, "ann").await;
    assert_eq!(server.open(), 1);
    drop(ann);
    until("the server's side closes", || server.open() == 0).await;
    proxy.until_idle().await;

    // The server closes between two requests, at once or after a while.
    for pause in [0, 300] {
        let leaving = Peer::serve(move |mut talk| async move {
            talk.request().await;
            talk.say(ok("hello")).await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        })
        .await;
        let proxy = Setup::new([leaving.address]).start();
        let mut client = proxy.open().await;
        client.ask(&log_on("ann")).await.is_from_server(200);
        client.ends().await;
        proxy.until_idle().await;
    }

    // The server closes under a request: it may not be sent on another connection, which nobody is logged on to.
    let proxy = Setup::new([server.address]).start();
    let (mut ann, _) = logged_on(&proxy, "ann").await;
    let before = server.count();
    ann.ask(&get("/bye")).await.is_own(502, "connection_terminated");
    ann.ends().await;
    assert_eq!(server.count(), before + 1);
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_answer_that_closes_its_connection_closes_the_clients_too() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say("HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let answer = client.ask(&log_on("ann")).await;
    assert_eq!((answer.status(), answer.field("connection")), (401, Some("close")));
    client.ends().await;
    proxy.until_idle().await;
}

/// More than the kernel keeps for a connection.
const LONG: usize = 16 << 20;

#[tokio::test]
async fn the_last_answer_is_whole_although_the_server_has_closed() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        let length = LONG;
        talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
        talk.say(vec![b'x'; length]).await;
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = Wire::connect_narrow(proxy.at("http")).await;
    client.say(log_on("ann")).await;
    let mut answer = client.response_head().await;
    // A slow reader: the tail is still in the proxy when the server is long gone.
    while answer.body.len() < LONG {
        let piece = client.take(16 * 1024).await;
        assert!(!piece.is_empty(), "cut after {}", answer.body.len());
        answer.body.extend(piece);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_it_is_switched_off_nothing_is_pinned() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).role("connection_auth = false").start();
    for _ in 0..5 {
        let answer: Message = proxy.get("/").await;
        assert_eq!(answer.field("x-connection"), Some("0"));
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn users_of_a_distribution_point_that_wants_to_know_them() {
    let content = Arc::new(Content::new([Package::parse("PKG00001:1x200KiB").unwrap()]));
    let spec = |name: &str| Spec::distribution_point(name, &content).role(rolegate_bench::site::Role::ManagementPoint);
    let first = SiteSystem::start(spec("one.lab.test").anonymous_content(false)).await.unwrap();
    let second = SiteSystem::start(spec("two.lab.test").anonymous_content(false)).await.unwrap();
    let proxy = Setup::new([first.address(), second.address()]).threads(2).start();
    let users = (0..8).map(|seed| {
        let at = proxy.at("http");
        async move {
            let mut client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), at, "dp.lab.test", seed);
            for _ in 0..5 {
                let step = client.windows_auth("/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin").await.unwrap();
                client.disconnect();
                let mut by = step.served_by.clone();
                by.dedup();
                assert_eq!(by.len(), 1, "all legs at one server: {step:?}");
            }
        }
    });
    support::within("all users", futures_util::future::join_all(users)).await;
    proxy.until_idle().await;
}

/// A request that a proxy in front sends on behalf of a client.
fn for_client(client: &str, more: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {client}\r\n{more}\r\n")
}

#[tokio::test]
async fn clients_that_share_a_connection_to_us_share_no_logon() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).proxy("trusted_proxies = [\"127.0.0.1\"]").start();
    let (ann, bob) = ("10.0.0.1", "10.0.0.2");
    let mut shared = proxy.open().await;
    assert_eq!(shared.ask(&for_client(ann, "")).await.status(), 401);
    let on_ann = shared.ask(&for_client(ann, "Authorization: NTLM ann\r\n")).await.text();
    assert!(on_ann.starts_with("ann on "), "{on_ann}");
    for _ in 0..3 {
        let answer = shared.ask(&for_client(bob, "")).await;
        assert_eq!((answer.status(), answer.text().as_str()), (401, "who?"), "it does not ride along");
        assert_eq!(shared.ask(&for_client(ann, "")).await.text(), on_ann);
    }
    let on_bob = shared.ask(&for_client(bob, "Authorization: NTLM bob\r\n")).await.text();
    assert!(on_bob.starts_with("bob on "), "{on_bob}");
    assert_eq!(shared.ask(&for_client(ann, "")).await.text(), on_ann);
    assert_eq!(shared.ask(&for_client(bob, "")).await.text(), on_bob);
    // A peer that is not trusted names no other client: it is its own connection.
    let proxy = Setup::new([server.address]).start();
    let mut own = proxy.open().await;
    let on_ann = own.ask(&for_client(ann, "Authorization: NTLM ann\r\n")).await.text();
    assert_eq!(own.ask(&for_client(bob, "")).await.text(), on_ann);
}

#[tokio::test]
async fn a_connection_that_many_clients_share_keeps_no_more_than_some_logons() {
    let server = iis().await;
    let proxy = Setup::new([server.address]).proxy("trusted_proxies = [\"127.0.0.1\"]").start();
    let mut shared = proxy.open().await;
    let mut signed_in = Vec::new();
    for number in 0..20 {
        let client = format!("10.0.0.{number}");
        signed_in.push(shared.ask(&for_client(&client, &format!("Authorization: NTLM u{number}\r\n"))).await.text());
    }
    assert_eq!(proxy.metric("rolegate_pins", &[]), 16.0);
    until("those used longest ago are closed", || server.open() == 16).await;
    assert_eq!(shared.ask(&for_client("10.0.0.19", "")).await.text(), signed_in[19]);
    assert_eq!(shared.ask(&for_client("10.0.0.0", "")).await.status(), 401);
}

/// Answers after half of a body with as many bytes as the path says, and tells when the other half came.
async fn hasty(told: tokio::sync::mpsc::UnboundedSender<()>) -> Peer {
    Peer::serve(move |mut talk| {
        let told = told.clone();
        async move {
            while let Some(request) = talk.head().await {
                let length: usize = request.target()[1..].parse().unwrap();
                assert_eq!(talk.wire.take(4).await, b"some");
                talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
                talk.say(vec![b'x'; length]).await;
                if talk.wire.take(4).await == b"rest" {
                    told.send(()).unwrap();
                }
            }
        }
    })
    .await
}

/// Begins such an upload of a client that reads nothing. The client, if all of the response is in the proxy and before it.
async fn half_sent(proxy: &Proxy, length: usize) -> Option<Wire> {
    let mut client = Wire::connect_narrow(proxy.at("http")).await;
    let head = format!("POST /{length} HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM x\r\nContent-Length: 8\r\n\r\n");
    client.say(format!("{head}some")).await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        if proxy.metric("rolegate_pins", &[]) == 1.0 {
            return Some(client);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.reset();
    proxy.until_idle().await;
    None
}

/// On a connection of the client's own, only the client's task sends the rest of a request whose response is here. It may be writing
/// that response, to a client that reads nothing before it has sent all.
#[tokio::test]
async fn the_rest_of_an_upload_goes_on_while_its_answer_is_written() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = hasty(tell).await;
    let proxy = Setup::new([server.address]).start();
    // As long as it may be, so that it does not fit into what lies between the proxy and the client.
    let (mut longest, mut client) = (6 << 20, None);
    for step in [256 << 10, 32 << 10] {
        drop(client.take());
        until("it has gone", || proxy.metric("rolegate_pins", &[]) == 0.0).await;
        longest += 256 << 10;
        while client.is_none() {
            longest -= step;
            client = half_sent(&proxy, longest).await;
        }
    }
    let mut client = client.unwrap();
    client.say("rest").await;
    support::within("the rest of the upload", told.recv()).await.unwrap();
    let answer = client.response("POST").await;
    answer.is_from_server(200);
    assert_eq!(answer.body.len(), longest);
}

#[tokio::test]
async fn a_logon_at_one_server_serves_no_request_that_names_another() {
    let (one, two) = (iis().await, iis().await);
    let setup = Setup::new([one.address, two.address]).role("named = \"only\"\n");
    let proxy = setup.start();
    let mut client = proxy.open().await;
    let say = |host: &str, more: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
    let (first, second) = ("srv0.lab.test", "srv1");
    assert_eq!(client.ask(&say(first, "")).await.status(), 401);
    assert!(client.ask(&say(first, "Authorization: NTLM ann\r\n")).await.text().starts_with("ann"));
    assert_eq!(client.ask(&say(second, "")).await.status(), 401, "she is not signed in there");
    assert!(client.ask(&say(second, "Authorization: NTLM bob\r\n")).await.text().starts_with("bob"));
    assert!(client.ask(&say(first, "")).await.text().starts_with("ann"), "and is there still");
    assert!(client.ask(&say(second, "")).await.text().starts_with("bob"));
    assert!(one.count() >= 3 && two.count() >= 3);
}
