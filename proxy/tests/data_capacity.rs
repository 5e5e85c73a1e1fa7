//! What happens when servers are full, all down, or just back; and when there are too many clients.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use support::{Peer, Setup, get, ok, peers, until};
use tokio::sync::Semaphore;

/// Answers `/slow` when the gate lets it, and everything else at once.
async fn gated(name: &'static str, gate: &Arc<Semaphore>) -> Peer {
    let gate = Arc::clone(gate);
    Peer::serve(move |mut talk| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(request) = talk.request().await {
                if request.target() == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                if !talk.say(ok(name)).await {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_full_server_is_passed_over_and_full_servers_refuse() {
    let gate = Arc::new(Semaphore::new(0));
    let servers = [gated("one", &gate).await, gated("two", &gate).await];
    let proxy = Setup::new(servers.iter().map(|server| server.address)).role("max_requests = 1").start();
    let (mut first, mut second) = (proxy.open().await, proxy.open().await);
    first.say(get("/slow")).await;
    let heard = || servers[0].count() + servers[1].count();
    until("one is full", || proxy.in_flight() == 1 && heard() == 1).await;
    let free = if servers[0].count() == 1 { "two" } else { "one" };
    for _ in 0..20 {
        let answer = proxy.get("/").await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), free);
        until("its place is given back", || proxy.in_flight() == 1).await;
    }
    second.say(get("/slow")).await;
    until("both are full", || proxy.in_flight() == 2).await;
    for request in [get("/"), "CCM_POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi".to_owned()] {
        let answer = proxy.ask(&request).await;
        answer.is_own(503, "connection_limit_reached");
        let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!((30..60).contains(&after), "{after}");
    }
    gate.add_permits(2);
    first.response("GET").await.is_from_server(200);
    second.response("GET").await.is_from_server(200);
    proxy.until_idle().await;
    proxy.get("/").await.is_from_server(200);
    assert_eq!(proxy.metric("rolegate_request_errors_total", &["connection_limit_reached"]), 2.0);
}

#[tokio::test]
async fn requests_go_where_fewer_are_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let servers = [gated("one", &gate).await, gated("two", &gate).await];
    let proxy = Setup::new(servers.iter().map(|server| server.address)).start();
    let mut waiting = Vec::new();
    for number in 1..=20 {
        let mut client = proxy.open().await;
        client.say(get("/slow")).await;
        let heard = || u32::try_from(servers[0].count() + servers[1].count()).unwrap();
        until("it is under way", || proxy.in_flight() == number && heard() == number).await;
        waiting.push(client);
    }
    assert_eq!((servers[0].count(), servers[1].count()), (10, 10));
    gate.add_permits(20);
    for client in &mut waiting {
        client.response("GET").await.is_from_server(200);
    }
}

/// All probes fail although the servers would answer.
fn sick(panic: &str, probed: std::net::SocketAddr) -> String {
    format!(
        "panic = \"{panic}\"\nprobe = {{ kind = \"tcp\", port = {}, interval = \"500ms\", timeout = \"400ms\", \
         fast_interval = \"50ms\", rise = 1, fall = 1 }}",
        probed.port()
    )
}

#[tokio::test]
async fn when_all_are_down_the_role_says_whether_they_are_asked() {
    let probed = peers::refuse();
    let servers = [Peer::saying(ok("fine")).await, Peer::saying(ok("fine")).await];
    let down = |proxy: &support::Proxy| proxy.endpoints().iter().all(|endpoint| endpoint.health == "down");
    let proxy = Setup::new(servers.iter().map(|server| server.address)).role(&sick("serve", probed.address)).start();
    until("both are down", || down(&proxy)).await;
    for _ in 0..40 {
        proxy.get("/").await.is_from_server(200);
    }
    assert!(servers.iter().all(|server| server.count() > 0), "panic spreads over all");
    assert!(proxy.app().status().roles[0].panic);
    let before = servers[0].count() + servers[1].count();
    let proxy = Setup::new(servers.iter().map(|server| server.address)).role(&sick("refuse", probed.address)).start();
    until("both are down", || down(&proxy)).await;
    let answer = proxy.get("/").await;
    answer.is_own(503, "destination_unavailable");
    assert!(answer.field("retry-after").is_some());
    assert_eq!(servers[0].count() + servers[1].count(), before);
}

/// Requests of 300 that a server gets just after it has recovered, with another one that was well all the time.
async fn after_recovery(slow_start: &str) -> usize {
    let well = Peer::saying(ok("well")).await;
    let site =
        rolegate_bench::site::SiteSystem::start(rolegate_bench::site::Spec::management_point("mp1")).await.unwrap();
    let role = format!(
        "slow_start = \"{slow_start}\"\nprobe = {{ kind = \"tcp\", interval = \"500ms\", timeout = \"400ms\", \
         fast_interval = \"50ms\", down_interval = \"50ms\", rise = 1, fall = 1 }}"
    );
    let proxy = Setup::new([well.address, site.address()]).role(&role).start();
    proxy.until_well(2).await;
    site.faults().set_refuse_connections(true).unwrap();
    proxy.until_well(1).await;
    site.faults().set_refuse_connections(false).unwrap();
    proxy.until_well(2).await;
    let mut client = proxy.open().await;
    for _ in 0..300 {
        assert!(client.ask(&get("/CCM_Client/ccmsetup.cab")).await.status() < 500);
    }
    300 - well.count()
}

#[tokio::test]
async fn a_server_that_is_back_warms_up() {
    // Of two equals a third to two thirds, in all likelihood; with a tenth of the weight an eleventh.
    let (at_once, slowly) = (after_recovery("0s").await, after_recovery("1h").await);
    assert!((100..=200).contains(&at_once), "{at_once}");
    assert!((3..=70).contains(&slowly), "{slowly}");
}

#[tokio::test]
async fn weights_are_shares() {
    let servers = [Peer::saying(ok("one")).await, Peer::saying(ok("two")).await];
    let text = Setup::new(servers.iter().map(|server| server.address)).text();
    let text = text.replace("name = \"srv0.lab.test\"", "name = \"srv0.lab.test\"\nweight = 300");
    let proxy = support::Proxy::start(&text);
    let mut client = proxy.open().await;
    for _ in 0..400 {
        client.ask(&get("/")).await.is_from_server(200);
    }
    let share = servers[0].count();
    assert!((240..=360).contains(&share), "{share} of 400 are not about 300");
}

#[tokio::test]
async fn a_server_that_fails_is_taken_out_by_live_traffic() {
    let (dying, well) = (peers::hang_up().await, Peer::saying(ok("fine")).await);
    let role = "passive = { consecutive_failures = 3, eject_time = \"60s\" }\nbalance = \"random\"\n\
                retry = { budget_min_per_second = 1000 }";
    let proxy = Setup::new([dying.address, well.address]).role(role).start();
    for round in 0..200 {
        proxy.open_from(&format!("127.0.3.{}", round % 5)).await.ask(&get("/")).await.is_from_server(200);
        if proxy.endpoints()[0].ejected {
            break;
        }
    }
    until("it is ejected", || proxy.endpoints()[0].ejected).await;
    let before = dying.count();
    for _ in 0..50 {
        proxy.get("/").await.is_from_server(200);
    }
    assert_eq!(dying.count(), before);
}

#[tokio::test]
async fn who_could_be_told_nothing_by_anybody_is_told_when_to_come_back() {
    let refused = [peers::refuse(), peers::refuse()];
    let proxy = Setup::new(refused.iter().map(|server| server.address)).start();
    for request in [get("/"), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi".to_owned()] {
        let answer = proxy.ask(&request).await;
        answer.is_own(502, "connection_refused");
        let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!((30..60).contains(&after), "{after}");
    }
    // A server that was asked may be asked again at once.
    let server = peers::hang_up().await;
    let proxy = Setup::new([server.address]).start();
    assert_eq!(proxy.get("/").await.field("retry-after"), None);
}
