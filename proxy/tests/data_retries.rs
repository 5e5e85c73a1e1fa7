//! Which failures the client hears of, and which requests are sent again.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rolegate_bench::client::Client;
use rolegate_bench::site::{SiteSystem, Spec};
use support::{Peer, Proxy, Setup, get, ok, peers, status, until};

const BUDGET: &str = "retry = { budget_min_per_second = 1000 }";

fn upload(method: &str, id: usize) -> String {
    let framing = if id.is_multiple_of(2) { "Content-Length: 5" } else { "Transfer-Encoding: chunked" };
    let body = if id.is_multiple_of(2) { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" };
    format!("{method} /{id} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{body}")
}

/// How often each target was heard by all of these servers.
fn times(servers: &[&Peer]) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for request in servers.iter().flat_map(|server| server.heard()) {
        *times.entry(request.target().to_owned()).or_default() += 1;
    }
    times
}

#[tokio::test]
async fn a_refused_connection_costs_no_method_anything() {
    let refused = peers::refuse();
    let server = Peer::saying(ok("done")).await;
    let proxy = Setup::new([refused.address, server.address]).role(BUDGET).start();
    let mut client = proxy.open().await;
    for (id, method) in
        ["GET", "POST", "CCM_POST", "BITS_POST", "PROPFIND", "PUT", "DELETE"].iter().cycle().take(42).enumerate()
    {
        client.ask(&upload(method, id)).await.is_from_server(200);
    }
    assert!(server.heard().iter().all(|request| request.text() == "hello" && !request.cut));
    assert!(times(&[&server]).values().all(|&times| times == 1));
    let refusals = proxy.metric("rolegate_endpoint_failures_total", &["connection_refused"]);
    assert!(refusals > 0.0 && refusals == proxy.metric("rolegate_retries_total", &["yes"]), "{refusals}");
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_sick_answer_costs_no_connection() {
    let sick = Peer::saying(status(503, "no database")).await;
    let well = Peer::saying(ok("done")).await;
    let role = "retry = { budget_min_per_second = 1000, on_status = [503] }\npassive = { consecutive_failures = 1000 }";
    let proxy = Setup::new([sick.address, well.address]).role(role).start();
    let mut client = proxy.open().await;
    for _ in 0..40 {
        client.ask(&get("/")).await.is_from_server(200);
    }
    assert!(sick.heard().len() > 5, "{}", sick.heard().len());
    assert_eq!((sick.accepted(), well.accepted()), (1, 1));
}

#[tokio::test]
async fn connections_that_the_server_closed_while_idle_are_nobodys_failure() {
    // Every connection is closed after its second answer, which does not say so.
    let server = Peer::serve(|mut talk| async move {
        for _ in 0..2 {
            if talk.request().await.is_none() || !talk.say(ok("fine")).await {
                return;
            }
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..40 {
        client.ask(&get("/")).await.is_from_server(200);
    }
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
    assert_eq!(proxy.metric("rolegate_request_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn connections_that_die_under_a_request_are_replaced_for_get() {
    // The second request on a connection is read and the connection closed: it looks as if it had been idle too long.
    let server = Peer::serve(|mut talk| async move {
        if talk.request().await.is_some() && talk.say(ok("fine")).await {
            talk.request().await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..20 {
        client.ask(&get("/")).await.is_from_server(200);
    }
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0, "one server, and it is well");
    for method in ["POST", "CCM_POST"] {
        // The first opens a connection, or finds the one that a GET left: then it is the one that dies.
        let mut statuses = Vec::new();
        for id in 0..4 {
            statuses.push(client.ask(&upload(method, id)).await.status());
        }
        assert!(statuses.contains(&502), "{statuses:?}");
    }
    assert!(times(&[&server]).iter().all(|(target, &times)| target == "/" || times == 2), "once for each method");
}

#[tokio::test]
async fn a_message_that_reached_a_server_that_died_is_never_sent_again() {
    let dying = [peers::hang_up().await, peers::hang_up().await];
    let proxy = Setup::new(dying.iter().map(|server| server.address)).role(BUDGET).start();
    let mut client = proxy.open().await;
    for id in 0..10 {
        let method = if id < 5 { "CCM_POST" } else { "BITS_POST" };
        client.ask(&upload(method, id)).await.is_own(502, "connection_terminated");
    }
    // Without a body it is still a message.
    client.ask("CCM_POST /10 HTTP/1.1\r\nHost: h\r\n\r\n").await.is_own(502, "connection_terminated");
    let times = times(&[&dying[0], &dying[1]]);
    assert_eq!((times.len(), times.values().sum::<usize>()), (11, 11), "{times:?}");
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_read_that_reached_a_server_that_died_is_asked_of_another() {
    let (dying, well) = (peers::hang_up().await, Peer::saying(ok("fine")).await);
    let proxy = Setup::new([dying.address, well.address]).role(BUDGET).start();
    for id in 0..20 {
        proxy.get(&format!("/{id}")).await.is_from_server(200);
    }
    assert!(dying.count() > 0 && times(&[&dying]).values().all(|&times| times == 1));
    assert_eq!(times(&[&well]).len(), 20);
    // With a body it cannot be repeated: the body is gone.
    let mut statuses = Vec::new();
    for id in 100..120 {
        statuses.push(proxy.ask(&upload("GET", id)).await.status());
    }
    assert!(statuses.iter().all(|status| [200, 502].contains(status)), "{statuses:?}");
    assert!(times(&[&dying, &well]).values().all(|&times| times <= 2));
    assert_eq!(times(&[&well]).len() + statuses.iter().filter(|status| **status == 502).count(), 40);
}

fn two_mps(first: &SiteSystem, second: &SiteSystem) -> Proxy {
    let system = |site: &SiteSystem| {
        format!(
            "[[site_systems]]\nname = \"{}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"MP\", port = {} }}]\n",
            site.name(),
            site.address().port()
        )
    };
    Proxy::start(&format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\nname = \"http\"\n\
         address = \"127.0.0.1:0\"\nroles = [\"MP\"]\n[roles.MP]\nprobe = {{ kind = \"none\" }}\n{}{}",
        system(first),
        system(second)
    ))
}

#[tokio::test]
async fn state_messages_arrive_once_while_a_management_point_dies() {
    let first = SiteSystem::start(Spec::management_point("mp1.lab.test")).await.unwrap();
    let second = SiteSystem::start(Spec::management_point("mp2.lab.test")).await.unwrap();
    let proxy = two_mps(&first, &second);
    let mut client =
        Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.at("http"), "mp.lab.test", 1).with_resend(0, Duration::ZERO);
    let mut accepted = 0;
    for round in 0..30 {
        match round {
            10 => first.kill(),
            20 => first.restart().await.unwrap(),
            _ => {}
        }
        accepted += usize::from(client.state_message().await.is_ok());
    }
    let (first, second) = (first.counters().messages(), second.counters().messages());
    assert!(first.values().chain(second.values()).all(|&times| times == 1), "{first:?} {second:?}");
    assert!(first.keys().all(|id| !second.contains_key(id)), "a message is at one server");
    assert!(
        accepted >= 28 && first.len() + second.len() >= accepted,
        "{accepted}: a power cut costs what was under way"
    );
}

#[tokio::test]
async fn a_503_of_one_management_point_is_asked_of_another() {
    let first = SiteSystem::start(Spec::management_point("mp1.lab.test")).await.unwrap();
    let second = SiteSystem::start(Spec::management_point("mp2.lab.test")).await.unwrap();
    let proxy = two_mps(&first, &second);
    first.faults().set_status(Some(503));
    for seed in 0..10 {
        let mut client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.at("http"), "mp.lab.test", seed);
        let step = client.service_location().await.unwrap();
        assert!(step.is_smooth());
        assert_eq!(step.served_by, ["mp2.lab.test"]);
    }
    assert!(first.counters().requests() > 0);
}

#[tokio::test]
async fn a_503_is_passed_on_when_there_is_nobody_else() {
    let busy = |body: &str| status(503, body).replace("\r\n\r\n", "\r\nRetry-After: 7\r\n\r\n");
    let alone = Peer::saying(busy("alone")).await;
    let proxy = Setup::new([alone.address]).start();
    let answer = proxy.get("/").await;
    answer.is_from_server(503);
    assert_eq!((answer.text().as_str(), answer.field("retry-after"), alone.count()), ("alone", Some("7"), 1));
    let (one, two) = (Peer::saying(busy("one of two")).await, Peer::saying(busy("one of two")).await);
    let proxy = Setup::new([one.address, two.address]).start();
    let answer = proxy.get("/").await;
    answer.is_from_server(503);
    assert_eq!((answer.text().as_str(), one.count(), two.count()), ("one of two", 1, 1));
    // A message may have been taken: its 503 is the answer.
    proxy.ask(&upload("CCM_POST", 0)).await.is_from_server(503);
    assert_eq!(one.count() + two.count(), 3);
    // Other failures are answers of the application.
    let fault = Peer::saying(status(500, "soap")).await;
    let proxy = Setup::new([fault.address, two.address]).role("balance = \"client\"").start();
    let answers = [proxy.get("/").await, proxy.get("/").await];
    assert!(answers.iter().all(|answer| [500, 503].contains(&answer.status())), "{answers:?}");
}

#[tokio::test]
async fn an_attempt_is_made_at_each_server_once_and_then_the_client_hears_of_it() {
    let dying = [peers::hang_up().await, peers::hang_up().await, peers::hang_up().await, peers::hang_up().await];
    let proxy = Setup::new(dying.iter().map(|server| server.address)).role("retry = { attempts = 2 }").start();
    proxy.get("/").await.is_own(502, "connection_terminated");
    let counts: Vec<usize> = dying.iter().map(Peer::count).collect();
    assert_eq!(counts.iter().sum::<usize>(), 3, "{counts:?}");
    assert!(counts.iter().all(|&count| count <= 1), "{counts:?}");
    let refused = [peers::refuse(), peers::refuse()];
    let proxy = Setup::new(refused.iter().map(|server| server.address)).start();
    proxy.get("/").await.is_own(502, "connection_refused");
    proxy.ask(&upload("CCM_POST", 0)).await.is_own(502, "connection_refused");
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &["connection_refused"]), 4.0);
}

#[tokio::test]
async fn retries_end_when_their_budget_does() {
    let (dying, well) = (peers::hang_up().await, Peer::saying(ok("fine")).await);
    let role = "balance = \"random\"\nretry = { budget_percent = 1, budget_min_per_second = 1 }\n\
                passive = { eject_time = \"0s\" }";
    let proxy = Setup::new([dying.address, well.address]).role(role).start();
    let mut client = proxy.open().await;
    let mut refused = 0;
    for _ in 0..100 {
        let answer = client.ask(&get("/")).await;
        refused += usize::from(answer.status() == 502);
    }
    assert!(refused > 5, "{refused}");
    assert_eq!(proxy.metric("rolegate_retries_total", &["budget"]), refused as f64);
    assert!(proxy.metric("rolegate_retries_total", &["yes"]) <= 30.0, "ten for each window of ten seconds");
    assert_eq!(dying.count() + well.count(), 100 + dying.count() - refused);
}

#[tokio::test]
async fn messages_share_a_connection_that_is_well() {
    let server = Peer::saying(ok("fine")).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client.ask(&get("/")).await.is_from_server(200);
    for id in 0..20 {
        client.ask(&upload("CCM_POST", id)).await.is_from_server(200);
    }
    until("all are there", || server.count() == 21).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_message_does_not_meet_a_connection_that_its_server_has_closed() {
    let server = Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say(ok("fine")).await;
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for id in 0..30 {
        client.ask(&upload("CCM_POST", id)).await.is_from_server(200);
        until("it is closed", || server.open() == 0).await;
    }
    assert!(server.heard().iter().all(|request| request.text() == "hello"));
}
