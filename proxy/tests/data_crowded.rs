//! A proxy that has all the client connections it may have: idle ones give way to those that want something, and no
//! client that is being served does.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use support::{Peer, Pki, Proxy, Setup, Wire, get, ok, until, within};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

fn waiting(proxy: &Proxy) -> f64 {
    proxy.metric("rolegate_connections_waiting", &[])
}

fn gave_way(proxy: &Proxy) -> f64 {
    proxy.metric("rolegate_connections_gave_way_total", &[])
}

/// Connections that have been served once and wait, the first one for longest.
async fn idle(proxy: &Proxy, count: usize) -> Vec<Wire> {
    let mut clients = Vec::new();
    for number in 1..=count {
        let mut client = proxy.open().await;
        client.ask(&get("/")).await.is_from_server(200);
        until("it is put aside", || waiting(proxy) == number as f64).await;
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn those_that_have_been_idle_for_longest_give_way() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).proxy("max_connections = 4").start();
    let mut clients = idle(&proxy, 4).await;
    // The one that came first has had another request since.
    clients[0].ask(&get("/")).await.is_from_server(200);
    until("it waits again", || waiting(&proxy) == 4.0).await;
    let mut new = proxy.open().await;
    new.ask(&get("/new")).await.is_from_server(200);
    clients[1].ends().await;
    for place in [0, 2, 3] {
        clients[place].ask(&get("/")).await.is_from_server(200);
    }
    new.ask(&get("/new")).await.is_from_server(200);
    assert_eq!(gave_way(&proxy), 1.0);
    assert_eq!(proxy.metric("rolegate_connections", &[]), 4.0);
}

#[tokio::test]
async fn many_new_clients_at_once_are_all_served() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).proxy("max_connections = 20").threads(2).start();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let clients = (0..60).map(|_| async {
            let mut client = proxy.open().await;
            client.ask(&get("/")).await.is_from_server(200);
            client
        });
        kept.extend(within("all of them", futures_util::future::join_all(clients)).await);
    }
    assert!(proxy.metric("rolegate_connections", &[]) <= 40.0);
    assert!(gave_way(&proxy) >= 140.0);
    drop(kept);
}

#[tokio::test]
async fn who_is_being_served_does_not_give_way() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let server = Peer::serve(move |mut talk| {
        let gate = Arc::clone(&opened);
        async move {
            while let Some(request) = talk.request().await {
                if request.target() == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                talk.say(ok("fine")).await;
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).proxy("max_connections = 2").start();
    let (mut first, mut second) = (proxy.open().await, proxy.open().await);
    first.say(get("/slow")).await;
    // A head that has begun is a request.
    second.say("GET /half HTTP/1.1\r\n").await;
    until("both are there", || server.count() == 1 && proxy.metric("rolegate_connections", &[]) == 2.0).await;
    until("neither is idle", || waiting(&proxy) == 0.0).await;
    let mut third = proxy.open().await;
    third.say(get("/third")).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(server.heard().iter().all(|request| request.target() != "/third"));
    second.say("Host: h\r\n\r\n").await;
    second.response("GET").await.is_from_server(200);
    // Now it is idle, and the one that waits may come.
    third.response("GET").await.is_from_server(200);
    second.ends().await;
    gate.add_permits(1);
    first.response("GET").await.is_from_server(200);
    assert_eq!(gave_way(&proxy), 1.0);
}

/// An HTTP/2 connection, and how it ends.
struct Modern {
    sender: SendRequest<Bytes>,
    ended: JoinHandle<bool>,
}

impl Modern {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = within("handshake", h2::client::handshake(stream)).await.unwrap();
        // What the client says after the server's goodbye may meet a connection that is closed.
        let ended = async move { connection.await.map_or_else(|error| error.is_io(), |()| true) };
        Self { sender, ended: tokio::spawn(ended) }
    }

    async fn get(&self) -> u16 {
        let request = Request::get("http://lab.test/").body(()).unwrap();
        let sender = self.sender.clone();
        let mut ready = within("room", sender.ready()).await.unwrap();
        let (answer, _) = ready.send_request(request, true).unwrap();
        let answer = within("an answer", answer).await.unwrap();
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        while within("its body", body.data()).await.is_some() {}
        status
    }
}

#[tokio::test]
async fn an_http2_connection_without_requests_gives_way() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).proxy("max_connections = 2").listener("http2 = true").start();
    let first = Modern::over(proxy.open().await.stream).await;
    assert_eq!(first.get().await, 200);
    // Later by more than a tick.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let second = Modern::over(proxy.open().await.stream).await;
    assert_eq!(second.get().await, 200);
    let mut third = proxy.open().await;
    third.ask(&get("/third")).await.is_from_server(200);
    assert!(within("its end", first.ended).await.unwrap(), "it was told, and not cut");
    assert_eq!(second.get().await, 200);
    assert_eq!(gave_way(&proxy), 1.0);
}

#[tokio::test]
async fn who_has_said_nothing_yet_gives_way() {
    let (server, pki) = (Peer::saying(ok("fine")).await, Pki::new());
    let header = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.1.1\"]\n";
    let passes = "passthrough = true\n";
    for listener in ["", &pki.terminates(""), &format!("{header}{}", pki.terminates("")), passes] {
        let role = if listener == passes { "tls = true" } else { "" };
        let proxy = Setup::new([server.address]).proxy("max_connections = 2").role(role).listener(listener).start();
        let mut silent = Vec::new();
        for address in ["127.0.1.1", "127.0.1.2", "127.0.1.1", "127.0.1.2"] {
            silent.push(proxy.open_from(address).await);
        }
        // Each took the place of one before.
        until("two gave way", || gave_way(&proxy) == 2.0).await;
        silent[0].ends().await;
        silent[1].ends().await;
        let before_requests = if listener.is_empty() { 0.0 } else { 2.0 };
        assert_eq!(proxy.refused("gave_way"), before_requests, "{listener}");
        assert_eq!(proxy.metric("rolegate_connection_errors_total", &[]), before_requests, "{listener}");
    }
}

#[tokio::test]
async fn a_client_that_has_signed_in_and_says_nothing_gives_way() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).proxy("max_connections = 1").start();
    let mut user = proxy.open().await;
    user.ask("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM x\r\n\r\n").await.is_from_server(200);
    until("it has a connection of its own", || proxy.metric("rolegate_pins", &[]) == 1.0).await;
    proxy.get("/").await.is_from_server(200);
    user.ends().await;
    until("and has it no more", || proxy.metric("rolegate_pins", &[]) == 0.0).await;
    assert_eq!(gave_way(&proxy), 1.0);
}
