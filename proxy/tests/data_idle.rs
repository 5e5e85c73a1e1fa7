//! Client connections that wait for their next request hold a socket and a deadline, and lose nothing by it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::future::Future;
use std::time::Duration;

use support::{Peer, Proxy, Setup, get, ok, until};

#[track_caller]
fn until_waiting(proxy: &Proxy, count: usize) -> impl Future<Output = ()> {
    let waiting = move || proxy.metric("rolegate_connections_waiting", &[]);
    until("so many connections wait", move || waiting() == count as f64)
}

#[tokio::test]
async fn a_connection_that_waits_serves_its_next_request() {
    let server = Peer::saying(ok("here")).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    until_waiting(&proxy, 1).await;
    for _ in 0..3 {
        client.ask(&get("/")).await.is_from_server(200);
        assert_eq!(proxy.metric("rolegate_connections_waiting", &[]), 0.0);
        until_waiting(&proxy, 1).await;
    }
    // Two at once, and a head in two pieces.
    client.say(format!("{}{}", get("/1"), get("/2"))).await;
    assert_eq!(client.response("GET").await.text(), "here");
    assert_eq!(client.response("GET").await.text(), "here");
    until_waiting(&proxy, 1).await;
    let request = get("/split");
    client.say(&request[..10]).await;
    until_waiting(&proxy, 0).await;
    client.say(&request[10..]).await;
    client.response("GET").await.is_from_server(200);
    assert_eq!(proxy.metric("rolegate_connections_total", &[]), 1.0);
    assert_eq!(server.heard().last().unwrap().target(), "/split");
}

#[tokio::test]
async fn a_request_that_comes_as_the_connection_is_put_aside_is_served() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let server = Peer::answering(|request, _| ok(request.target())).await;
    let proxy = Setup::new([server.address]).start();
    let at = proxy.at("http");
    let clients = (0..48).map(|number| {
        let mut dice = fastrand::Rng::with_seed(seed ^ number);
        tokio::spawn(async move {
            let mut client = support::Wire::connect(at).await;
            for round in 0..5 {
                let target = format!("/{number}/{round}");
                assert_eq!(client.ask(&get(&target)).await.text(), target);
                // Around the half second after which a connection is put aside, and its tick.
                tokio::time::sleep(Duration::from_millis(dice.u64(480..720))).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn the_keepalive_time_goes_on_while_a_connection_waits() {
    let server = Peer::saying(ok("here")).await;
    let proxy = Setup::new([server.address]).proxy("client_keepalive_timeout = \"1s\"").start();
    let mut client = proxy.open().await;
    client.ask(&get("/")).await.is_from_server(200);
    let begun = std::time::Instant::now();
    client.ends().await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
    assert_eq!(proxy.metric("rolegate_protocol_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_client_that_never_sends_anything_is_let_go() {
    let server = Peer::saying(ok("here")).await;
    let proxy = Setup::new([server.address]).proxy("request_header_timeout = \"500ms\"").start();
    let mut client = proxy.open().await;
    client.ends().await;
    assert_eq!(proxy.metric("rolegate_protocol_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn connections_that_wait_end_with_the_process_and_with_their_client() {
    let server = Peer::saying(ok("here")).await;
    let proxy = Setup::new([server.address]).start();
    let mut stays = proxy.open().await;
    let mut leaves = proxy.open().await;
    stays.ask(&get("/")).await.is_from_server(200);
    leaves.ask(&get("/")).await.is_from_server(200);
    until_waiting(&proxy, 2).await;
    drop(leaves);
    until_waiting(&proxy, 1).await;
    let app = proxy.into_app();
    let shut = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(10)));
    stays.ends().await;
    assert_eq!(shut.await.unwrap().cut, 0);
}

#[tokio::test]
async fn the_rest_of_a_body_that_nobody_wanted_is_no_request() {
    // Answers at once and reads nothing more.
    let server = Peer::serve(|mut talk| async move {
        talk.head().await;
        talk.say(ok("early")).await;
        talk.wait().await;
    })
    .await;
    let proxy = Setup::new([server.address]).proxy("client_keepalive_timeout = \"2s\"").start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n0123456789").await;
    assert_eq!(client.response("POST").await.text(), "early");
    // Longer than it takes until an idle connection is put aside.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(proxy.metric("rolegate_connections_waiting", &[]), 0.0);
    client.say(get("/smuggled")).await;
    client.ends().await;
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_head_whose_beginning_came_with_the_last_request_is_not_lost() {
    let server = Peer::answering(|request, _| ok(request.target())).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let (first, second) = (get("/1"), get("/2"));
    client.say(format!("{first}{}", &second[..9])).await;
    assert_eq!(client.response("GET").await.text(), "/1");
    tokio::time::sleep(Duration::from_millis(900)).await;
    client.say(&second[9..]).await;
    assert_eq!(client.response("GET").await.text(), "/2");
    // And a head that never ends has its deadline.
    let proxy = Setup::new([server.address]).proxy("request_header_timeout = \"1s\"").start();
    let mut client = proxy.open().await;
    client.say(format!("{first}{}", &second[..9])).await;
    assert_eq!(client.response("GET").await.text(), "/1");
    client.ends().await;
    assert_eq!(proxy.metric("rolegate_protocol_errors_total", &[]), 1.0);
}
