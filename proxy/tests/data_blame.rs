//! What one client can do to others through what the proxy learns of servers: it takes none out alone, and it does not make them
//! search without end. And a server that is said to be down is asked before a client hears that nobody serves.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use rolegate::data::thread::misses::OF_ONE;
use rolegate::explain::Explanation;
use rolegate::model::facts::Facts;
use rolegate_bench::site::{SiteSystem, Spec};
use support::peers::{hang_up, never_answer};
use support::{Message, Peer, Proxy, Setup, get, ok, status, until};
use tokio::sync::Semaphore;

const EJECTS: &str = "balance = \"random\"\npassive = { consecutive_failures = 3, eject_time = \"60s\" }\n\
                      retry = { budget_min_per_second = 1000 }\n";

fn ejections(proxy: &Proxy) -> f64 {
    proxy.metric("rolegate_endpoint_ejections_total", &[])
}

#[tokio::test]
async fn one_client_whose_requests_a_server_does_not_survive_ejects_none() {
    let (dying, well) = (hang_up().await, Peer::saying(ok("well")).await);
    let proxy = Setup::new([dying.address, well.address]).role(EJECTS).start();
    for _ in 0..60 {
        proxy.get("/deadly").await.is_from_server(200);
    }
    assert!(dying.count() >= 9, "{}", dying.count());
    // Not with another method either.
    for _ in 0..20 {
        proxy.ask("POST /deadly HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await;
    }
    // The one who decides about it has looked by then.
    let source = rolegate::control::config::Source {
        name: "test.toml".to_owned(),
        text: Setup::new([dying.address, well.address]).role(EJECTS).text(),
    };
    proxy.app().reload_async(source).await.unwrap();
    assert_eq!(ejections(&proxy), 0.0);
    assert!(proxy.endpoints().iter().all(|endpoint| endpoint.available));
    // Others say the same of it.
    for round in 0..40 {
        proxy.open_from(&format!("127.0.3.{}", round % 4)).await.ask(&get("/")).await.is_from_server(200);
    }
    until("it is ejected", || ejections(&proxy) == 1.0).await;
}

#[tokio::test]
async fn one_client_that_gets_no_answer_in_time_ejects_no_server() {
    let (silent, well) = (never_answer().await, Peer::saying(ok("well")).await);
    let role = format!("{EJECTS}timeouts = {{ response_header = \"200ms\" }}\n");
    let proxy = Setup::new([silent.address, well.address]).role(&role).start();
    let from = |source: String| {
        let proxy = &proxy;
        async move { proxy.open_from(&source).await.ask(&get("/slow")).await.is_from_server(200) }
    };
    let mut own: Vec<_> = (0..24).map(|_| from("127.0.3.1".to_owned())).collect();
    futures_all(&mut own).await;
    assert!(silent.count() >= 3, "{}", silent.count());
    assert_eq!(ejections(&proxy), 0.0);
    let mut others: Vec<_> = (2..14).map(|host| from(format!("127.0.3.{host}"))).collect();
    futures_all(&mut others).await;
    until("it is ejected", || ejections(&proxy) == 1.0).await;
}

#[tokio::test]
async fn a_server_at_which_requests_wait_in_vain_is_passed_by() {
    let (hanging, well) = (never_answer().await, Peer::saying(ok("well")).await);
    // A client stays where it is; a probe that only connects calls both well.
    let role = "balance = \"client\"\nprobe = { kind = \"tcp\" }\n";
    let proxy = Setup::new([hanging.address, well.address]).role(role).start();
    proxy.until_well(2).await;
    let addresses: Vec<String> = (1..60).map(|host| format!("127.0.3.{host}")).collect();
    let mut waiting = Vec::new();
    for address in &addresses {
        let mut wire = proxy.open_from(address).await;
        // What may not be sent twice waits where it is.
        assert!(wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await);
        waiting.push(wire);
    }
    until("half of them have been sent there", || hanging.count() > 10).await;
    let explained = || {
        let snapshot = proxy.app().snapshot();
        addresses.iter().any(|address| {
            let facts = Facts {
                listener: 0,
                host: None,
                method: "GET",
                path: "/",
                query: None,
                client: address.parse().unwrap(),
                fields: None,
                subject: None,
            };
            // An hour later: nothing was answered since.
            let told = Explanation::new(&snapshot, &facts, 3_600_000, 1);
            serde_json::to_string(&told).unwrap().contains("silent: ")
        })
    };
    until("it is known to be silent", explained).await;
    let before = hanging.count();
    for address in &addresses {
        proxy.open_from(address).await.ask(&get("/")).await.is_from_server(200);
    }
    assert_eq!(hanging.count(), before, "those that would have waited too are served by the other one");
}

/// Requests of many clients that all wait at the same time, half of them at a server that hangs.
async fn waiting(proxy: &Proxy, clients: u8, request: &str) -> Vec<support::Wire> {
    let mut waiting = Vec::new();
    for client in 1..=clients {
        let mut wire = proxy.open_from(&format!("127.0.3.{client}")).await;
        assert!(wire.say(request).await);
        waiting.push(wire);
    }
    waiting
}

#[tokio::test]
async fn what_waits_at_a_silent_server_is_sent_to_another() {
    let (hanging, well) = (never_answer().await, Peer::saying(ok("well")).await);
    let role = "balance = \"client\"\nprobe = { kind = \"tcp\" }\nretry = { budget_min_per_second = 1000 }\n\
                passive = { consecutive_failures = 1 }\n";
    let proxy = Setup::new([hanging.address, well.address]).role(role).start();
    proxy.until_well(2).await;
    let mut clients = waiting(&proxy, 40, &get("/")).await;
    for client in &mut clients {
        // Long before the deadline of an answer, which is a minute.
        client.response("GET").await.is_from_server(200);
    }
    assert!(hanging.count() > 3, "{}", hanging.count());
    assert_eq!(ejections(&proxy), 0.0, "it may only be slow");
    let before = hanging.count();
    drop(waiting(&proxy, 40, &get("/")).await);
    assert_eq!(hanging.count(), before, "nothing waits there now, and it has answered nothing");
}

#[tokio::test]
async fn what_waits_at_a_silent_server_stays_when_no_other_is_well() {
    let (hanging, silent) = (never_answer().await, never_answer().await);
    let role = "probe = { kind = \"tcp\" }\nretry = { budget_min_per_second = 1000 }\n\
                timeouts = { response_header = \"4s\" }\n";
    let proxy = Setup::new([hanging.address, silent.address]).role(role).start();
    proxy.until_well(2).await;
    let mut clients = waiting(&proxy, 40, &get("/")).await;
    for client in &mut clients {
        client.response("GET").await.is_own(504, "http_response_timeout");
    }
    let sent = hanging.count() + silent.count();
    assert!(sent <= 40 + 40, "{sent}: none goes to and fro");
}

/// Runs all of them at the same time.
async fn futures_all<F: Future<Output = ()>>(all: &mut Vec<F>) {
    let mut pinned: Vec<_> = all.drain(..).map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        pinned.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if pinned.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_server_of_a_plain_role_that_answers_500_to_everything_is_taken_out() {
    let (sick, well) = (Peer::saying(status(500, "broken")).await, Peer::saying(ok("well")).await);
    let proxy = Setup::new([sick.address, well.address]).start();
    for round in 0..100 {
        let answer = proxy.open_from(&format!("127.0.3.{}", round % 5)).await.ask(&get("/")).await;
        answer.is_from_server(200);
    }
    until("it is ejected", || ejections(&proxy) == 1.0).await;
    assert!(!proxy.endpoints()[0].available && proxy.endpoints()[1].available);
    // Where it is an answer it stays one: a report with a mistake in it.
    let proxy = Setup::new([sick.address]).held("reporting-services-point").start();
    for host in 0..10 {
        let mut client = proxy.open_from(&format!("127.0.3.{host}")).await;
        client.ask(&get("/Reports/x")).await.is_from_server(500);
    }
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
}

/// B was taken out and is well again; A is the last one, and dies.
#[tokio::test]
async fn one_that_is_out_is_asked_before_a_client_hears_that_all_refuse() {
    let a = SiteSystem::start(Spec::management_point("a.lab.test")).await.unwrap();
    let b = SiteSystem::start(Spec::management_point("b.lab.test")).await.unwrap();
    let role = format!("{EJECTS}panic = \"refuse\"\n");
    let proxy = Setup::new([a.address(), b.address()]).role(&role).start();
    b.kill();
    b.gone().await;
    let target = "/SMS_MP/.sms_aut?MPLIST";
    for _ in 0..30 {
        proxy.get(target).await.is_from_server(200);
    }
    until("b is ejected", || proxy.endpoints()[1].ejected).await;
    b.restart().await.unwrap();
    a.kill();
    a.gone().await;
    for _ in 0..30 {
        let answer = proxy.get(target).await;
        answer.is_from_server(200);
        assert_eq!(answer.field("x-site-system"), Some("b.lab.test"));
    }
    assert!(proxy.endpoints()[1].ejected, "nothing has taken it back yet");
    // When it refuses too, the client hears so.
    b.kill();
    b.gone().await;
    proxy.get(target).await.is_own(502, "connection_refused");
}

#[tokio::test]
async fn one_request_at_a_time_tries_a_server_that_is_out() {
    let gate = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&gate);
    // The first three connections are cut: that takes it out.
    let out = Peer::serve(move |mut talk| {
        let gate = Arc::clone(&own);
        async move {
            let number = talk.number;
            while let Some(request) = talk.request().await {
                if request.target() == "/first" {
                    return;
                }
                if number < 1000 && request.target() == "/held" {
                    gate.acquire().await.unwrap().forget();
                }
                if !talk.say(ok("here")).await {
                    return;
                }
            }
        }
    })
    .await;
    let last = SiteSystem::start(Spec::management_point("a.lab.test")).await.unwrap();
    let proxy = Setup::new([last.address(), out.address]).role(EJECTS).start();
    for round in 0..60 {
        proxy.open_from(&format!("127.0.3.{}", round % 4)).await.ask(&get("/first")).await;
    }
    until("it is ejected", || proxy.endpoints()[1].ejected).await;
    last.kill();
    last.gone().await;
    let mut held = proxy.open().await;
    let before = out.count();
    held.say(get("/held")).await;
    until("it is tried", || out.count() == before + 1).await;
    for _ in 0..5 {
        proxy.get("/other").await.is_own(502, "connection_refused");
    }
    assert_eq!(out.count(), before + 1, "by one request");
    gate.add_permits(1000);
    held.response("GET").await.is_from_server(200);
    // It has answered: it may be asked by several now.
    let [mut one, mut two] = [proxy.open().await, proxy.open().await];
    one.say(get("/other")).await;
    two.say(get("/other")).await;
    one.response("GET").await.is_from_server(200);
    two.response("GET").await.is_from_server(200);
}

/// Distribution points that have what `has` says of their number and a target.
async fn points(
    count: usize,
    has: impl Fn(usize, &str) -> bool + Clone + Send + Sync + 'static,
) -> (Vec<Peer>, String) {
    let mut text = "[site]\ncode = \"P01\"\n[proxy]\nthreads = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
                    [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
                    [roles.DP]\nprobe = { kind = \"none\" }\nMORE\n"
        .to_owned();
    let mut points = Vec::new();
    for number in 0..count {
        let has = has.clone();
        let point = Peer::answering(move |request, _| match has(number, request.target()) {
            true if request.start.starts_with("PROPFIND") => status(207, "listing"),
            true => ok("content"),
            false => status(404, "not here"),
        })
        .await;
        let (ip, port) = (point.address.ip(), point.address.port());
        write!(
            text,
            "[[site_systems]]\nname = \"dp{number}\"\naddress = \"{ip}\"\nroles = [{{ role = \"DP\", port = {port} }}]\n"
        )
        .unwrap();
        points.push(point);
    }
    (points, text)
}

fn is_survey(request: &Message) -> bool {
    request.field("user-agent").is_some_and(|agent| agent.starts_with("rolegate/"))
}

fn asked(points: &[Peer]) -> usize {
    points.iter().flat_map(Peer::heard).filter(|request| !is_survey(request)).count()
}

fn surveyed(points: &[Peer]) -> usize {
    points.iter().flat_map(Peer::heard).filter(is_survey).count()
}

#[tokio::test]
async fn names_that_no_server_has_cost_a_client_its_budget_and_nobody_else() {
    let (points, text) = points(20, |number, target| number == 19 && target.contains("ABC00012")).await;
    let proxy = Proxy::start(&text.replace("MORE", ""));
    let mut client = proxy.open().await;
    let mut statuses = Vec::new();
    for number in 0..60 {
        let answer = client.ask(&get(&format!("/SMS_DP_SMSPKG$/X{number:07}/a.msi"))).await;
        statuses.push(answer.status());
        if answer.status() == 503 {
            answer.is_own(503, "destination_unavailable");
        }
    }
    let most = 60 + OF_ONE as usize;
    assert!((OF_ONE as usize..=most).contains(&asked(&points)), "{} questions", asked(&points));
    assert!(statuses.iter().all(|status| [404, 503].contains(status)), "{statuses:?}");
    assert!(surveyed(&points) <= 60, "{}", surveyed(&points));
    // Another client finds what there is.
    let mut other = proxy.open_from("127.0.8.8").await;
    let mut found = 0;
    for _ in 0..4 {
        found = other.ask(&get("/SMS_DP_SMSPKG$/ABC00012/a.msi")).await.status();
        if found == 200 {
            break;
        }
    }
    assert_eq!(found, 200);
}

#[tokio::test]
async fn a_search_that_finds_something_is_free() {
    let (points, text) = points(3, |number, _| number == 2).await;
    let groups = "[[boundary_groups]]\nname = \"here\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"dp0\", \"dp1\"]\n\
                  neighbors = [{ group = \"there\", fallback = { DP = 0 } }]\n\
                  [[boundary_groups]]\nname = \"there\"\nsite_systems = [\"dp2\"]\n";
    let proxy = Proxy::start(&(text.replace("MORE", "affinity = \"off\"") + groups));
    let mut client = proxy.open().await;
    for number in 0..2 * OF_ONE {
        client.ask(&get(&format!("/SMS_DP_SMSPKG$/ABC00012/bin/{number}.dll"))).await.is_from_server(200);
    }
    assert_eq!(asked(&points), 3 * 2 * OF_ONE as usize, "the last of three has each of them");
}

#[tokio::test]
async fn what_no_server_has_is_remembered() {
    let (points, text) = points(4, |_, target| target == "/SMS_DP_SMSPKG$/ABC00012").await;
    let proxy = Proxy::start(&text.replace("MORE", ""));
    let target = "/SMS_DP_SMSPKG$/ABC00012/a.msi";
    proxy.get(target).await.is_from_server(404);
    assert_eq!(asked(&points), 4);
    let learned = |verdict: &str| proxy.metric("rolegate_content_learned_total", &[verdict]);
    until("its content is there", || learned("verdict=\"has\"") == 1.0).await;
    // One server is asked for each request.
    for number in 0..10 {
        proxy.get(target).await.is_from_server(404);
        assert_eq!(asked(&points), 5 + number);
    }
    assert_eq!(surveyed(&points), 1, "the first one that was asked has the content");
    // Nor is there such a content: they are asked one after the other, once.
    proxy.get("/SMS_DP_SMSPKG$/XYZ00001/a.msi").await.is_from_server(404);
    until("no server has it", || learned("verdict=\"lacks\"") == 4.0).await;
    let before = asked(&points);
    for number in 0..10 {
        proxy.get(&format!("/SMS_DP_SMSPKG$/XYZ00001/{number}.msi")).await.is_from_server(404);
        assert_eq!(asked(&points), before + 1 + number);
    }
    assert_eq!(surveyed(&points), 5);
}

#[tokio::test]
async fn a_folder_that_is_not_shown_is_no_verdict_about_its_content() {
    let folder = "/SMS_DP_SMSPKG$/ABC00012";
    // The first one shows no folders to GET.
    let near = Peer::answering(|request, _| match request.target() {
        _ if request.start.starts_with("PROPFIND") => status(207, "listing"),
        "/SMS_DP_SMSPKG$/ABC00012" => status(404, "no listing"),
        _ => ok("near"),
    })
    .await;
    let far = Peer::saying(ok("far")).await;
    let (_, text) = points(0, |_, _| true).await;
    let mut text = text.replace("MORE", "");
    for (name, server) in [("near", &near), ("far", &far)] {
        let (ip, port) = (server.address.ip(), server.address.port());
        write!(
            text,
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{ip}\"\nroles = [{{ role = \"DP\", port = {port} }}]\n"
        )
        .unwrap();
    }
    text += "[[boundary_groups]]\nname = \"here\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"near\"]\n\
             neighbors = [{ group = \"there\", fallback = { DP = 0 } }]\n\
             [[boundary_groups]]\nname = \"there\"\nsite_systems = [\"far\"]\n";
    let proxy = Proxy::start(&text);
    let answer = proxy.get(folder).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "far"), "the other one shows it");
    assert_eq!(proxy.metric("rolegate_content_learned_total", &["verdict=\"lacks\""]), 0.0);
    for source in ["127.0.0.1", "127.0.5.5"] {
        let answer = proxy.open_from(source).await.ask(&get(&format!("{folder}/a.msi"))).await;
        assert_eq!(answer.text(), "near", "{source}: its files are where they are");
    }
    // When none shows it, that is the answer.
    let (alone, text) = points(2, |_, target| target != "/SMS_DP_SMSPKG$/ABC00012").await;
    let proxy = Proxy::start(&text.replace("MORE", ""));
    proxy.get(folder).await.is_from_server(404);
    assert_eq!(asked(&alone), 2);
}

/// The only server of a group is full; another one is ten minutes away, which last a second here.
#[tokio::test]
async fn clients_of_a_full_group_are_told_what_explain_says_and_fall_back_in_time() {
    let gate = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&gate);
    let near = Peer::serve(move |mut talk| {
        let gate = Arc::clone(&own);
        async move {
            while talk.request().await.is_some() {
                gate.acquire().await.unwrap().forget();
                if !talk.say(ok("near")).await {
                    return;
                }
            }
        }
    })
    .await;
    let far = Peer::saying(ok("far")).await;
    let (_, text) = points(0, |_, _| true).await;
    let mut text = text.replace("MORE", "max_requests = 1\naffinity = \"off\"");
    for (name, server) in [("near", &near), ("far", &far)] {
        let (ip, port) = (server.address.ip(), server.address.port());
        write!(
            text,
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{ip}\"\nroles = [{{ role = \"DP\", port = {port} }}]\n"
        )
        .unwrap();
    }
    text += "[[boundary_groups]]\nname = \"here\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"near\"]\n\
             neighbors = [{ group = \"there\", fallback = { DP = 10 } }]\n\
             [[boundary_groups]]\nname = \"there\"\nsite_systems = [\"far\"]\n[fallback]\nspeedup = 600\n";
    let proxy = Proxy::start(&text);
    let target = "/SMS_DP_SMSPKG$/ABC00012/a.msi";
    let mut first = proxy.open().await;
    first.say(get(target)).await;
    until("near is full", || near.count() == 1).await;
    let told = || {
        let (snapshot, client) = (proxy.app().snapshot(), "127.0.0.9".parse().unwrap());
        let facts = Facts {
            listener: 0,
            host: None,
            method: "GET",
            path: target,
            query: None,
            client,
            fields: None,
            subject: None,
        };
        Explanation::new(&snapshot, &facts, 0, 1)
    };
    let explained = told().nobody.unwrap();
    let answer = proxy.open_from("127.0.0.9").await.ask(&get(target)).await;
    answer.is_own(explained.status.unwrap(), &explained.reason);
    let (soonest, latest) = explained.retry_after.unwrap();
    let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((soonest..=latest).contains(&after) && explained.reason == "connection_limit_reached", "{explained:?}");
    assert_eq!(proxy.metric("rolegate_fallback_clocks_started_total", &[]), 1.0);
    let begun = std::time::Instant::now();
    loop {
        let answer = proxy.open_from("127.0.0.9").await.ask(&get(target)).await;
        if answer.status() == 200 {
            assert_eq!(answer.text(), "far");
            break;
        }
        answer.is_own(503, "connection_limit_reached");
        assert!(begun.elapsed() < support::PATIENCE, "it never opens");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate.add_permits(10);
    first.response("GET").await.is_from_server(200);
}
