//! Who is well, as probes and live traffic say, and what that means for requests.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use control_support::client::{Client, get};
use control_support::proxy::{
    MPCERT, MPLIST, PROBE, Toml, admin, endpoint, health, http, management_point, series, shutdown,
};
use control_support::until_true;
use control_support::world::compiled;
use rolegate::app::App;
use rolegate::control::director::{Director, Handles, Order};
use rolegate::metrics::Metrics;
use rolegate::model::cluster::Class;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{SiteSystem, Spec};
use rolegate_health::{Ending, Health};

async fn two_management_points(role: &str) -> (SiteSystem, SiteSystem, App) {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let app = Toml::new(&["MP"]).site(&one, "MP").site(&two, "MP").role("MP", role).start();
    (one, two, app)
}

async fn both_up(app: &App) {
    until_true("both up", || health(app, "mp1") == "up" && health(app, "mp2") == "up").await;
}

/// Asks `count` times and gives who answered; every answer must be good.
async fn servers(app: &App, target: &str, count: usize) -> Vec<String> {
    let mut client = Client::connect(http(app)).await;
    let mut servers = Vec::new();
    for _ in 0..count {
        let answer = client.get(target).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        servers.push(answer.server().unwrap().to_owned());
    }
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_management_point_goes_and_comes_back() {
    let (one, _two, app) = two_management_points(&format!("{PROBE}slow_start = \"0s\"\n")).await;
    both_up(&app).await;
    assert_eq!(admin(&app, "/ready").await.status, 200);
    let all = servers(&app, MPLIST, 60).await;
    assert!(all.contains(&"mp1".to_owned()) && all.contains(&"mp2".to_owned()), "{all:?}");

    one.kill();
    // Until the probes have seen it, requests are tried again at the other one.
    while health(&app, "mp1") != "down" {
        assert_eq!(servers(&app, MPLIST, 1).await, ["mp2"]);
    }
    let down = endpoint(&app.status(), "mp1").unwrap();
    assert!(!down.available && down.history.ends_with("xxx"), "{down:?}");
    assert!(down.last_failure.unwrap().cause.starts_with("refused"));
    assert_eq!(servers(&app, MPLIST, 30).await, vec!["mp2"; 30]);
    assert_eq!(admin(&app, "/ready").await.status, 200, "one is enough");
    let name = format!("site_system=\"mp1\",endpoint=\"{}\"", one.address());
    let role = "role=\"management-point\"";
    let metrics = app.metrics();
    assert_eq!(series(&metrics, &format!("rolegate_endpoint_up{{{role},{name}}}")), Some(0.0));
    assert_eq!(
        series(&metrics, &format!("rolegate_endpoint_state_changes_total{{{role},{name},to=\"down\"}}")),
        Some(1.0)
    );

    one.restart().await.unwrap();
    until_true("up again", || health(&app, "mp1") == "up").await;
    let all = servers(&app, MPLIST, 60).await;
    assert!(all.contains(&"mp1".to_owned()) && all.contains(&"mp2".to_owned()), "{all:?}");
    assert_eq!(series(&app.metrics(), &format!("rolegate_endpoint_up{{{role},{name}}}")), Some(1.0));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_left_is_served_in_panic_and_not_ready_where_the_role_refuses() {
    let (one, two, app) = two_management_points(&format!("{PROBE}panic = \"refuse\"\n")).await;
    both_up(&app).await;
    one.kill();
    two.kill();
    until_true("both down", || health(&app, "mp1") == "down" && health(&app, "mp2") == "down").await;
    let ready = admin(&app, "/ready").await;
    assert_eq!((ready.status.as_u16(), ready.text()), (503, "nobody is well: management-point\n"));
    let answer = get(http(&app), MPLIST).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after") && answer.server().is_none(), "{answer:?}");
    assert!(!app.status().roles[0].panic);
    shutdown(app).await;

    let (one, two, app) = two_management_points(PROBE).await;
    both_up(&app).await;
    for site in [&one, &two] {
        site.faults().set_status(Some(500));
    }
    until_true("both down", || health(&app, "mp1") == "down" && health(&app, "mp2") == "down").await;
    assert!(app.status().roles[0].panic);
    let answer = get(http(&app), MPCERT).await;
    assert!(answer.status == 500 && answer.server().is_some(), "what they say beats 503: {answer:?}");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_database_that_is_down_makes_degraded_and_not_down() {
    let (one, two, app) = two_management_points(PROBE).await;
    both_up(&app).await;
    one.faults().set_database_down(true);
    until_true("degraded", || health(&app, "mp1") == "degraded").await;
    let status = endpoint(&app.status(), "mp1").unwrap();
    assert!(!status.available && status.history.ends_with('d'), "{status:?}");
    assert_eq!(servers(&app, MPCERT, 30).await, vec!["mp2"; 30], "one that is well is preferred");

    two.faults().set_database_down(true);
    until_true("both degraded", || health(&app, "mp2") == "degraded").await;
    let all = servers(&app, MPCERT, 60).await;
    assert!(all.contains(&"mp1".to_owned()) && all.contains(&"mp2".to_owned()), "still served: {all:?}");
    assert_eq!(admin(&app, "/ready").await.status, 200);
    assert!(!app.status().roles[0].panic);

    one.faults().set_database_down(false);
    until_true("up again", || health(&app, "mp1") == "up").await;
    assert_eq!(servers(&app, MPLIST, 30).await, vec!["mp1"; 30]);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_point_that_wants_a_certificate_is_alive() {
    let content = Arc::new(Content::new([Package::new("P0100001", [("setup.msi", 1000)])]));
    let site = SiteSystem::start(Spec::distribution_point("dp1", &content)).await.unwrap();
    let app = Toml::new(&["DP"]).site(&site, "DP").role("DP", PROBE).start();
    until_true("up", || health(&app, "dp1") == "up").await;
    for status in [403, 401, 404] {
        let before = endpoint(&app.status(), "dp1").unwrap().probes.0;
        site.faults().set_status(Some(status));
        until_true("five more probes", || endpoint(&app.status(), "dp1").unwrap().probes.0 > before + 5).await;
        assert_eq!(health(&app, "dp1"), "up", "{status}");
    }
    site.faults().set_status(Some(503));
    until_true("down", || health(&app, "dp1") == "down").await;
    assert!(endpoint(&app.status(), "dp1").unwrap().last_failure.unwrap().cause.contains("503"));
    shutdown(app).await;
}

/// Live traffic alone decides.
const PASSIVE: &str = "probe = { kind = \"none\" }\nslow_start = \"0s\"\n\
     passive = { consecutive_failures = 5, failure_percent = 0, eject_time = \"1s\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn live_traffic_takes_an_endpoint_out_and_time_brings_it_back() {
    let (one, _two, app) = two_management_points(PASSIVE).await;
    both_up(&app).await;
    one.faults().set_accept_then_close(true);
    let ejected = |app: &App| endpoint(&app.status(), "mp1").unwrap().ejected;
    let before = one.counters().connections();
    let mut requests = 0;
    while !ejected(&app) {
        requests += 1;
        assert!(requests < 5000, "it is never ejected");
        let mut client = Client::connect_from([127, 0, 3, (requests % 5) as u8], http(&app)).await;
        assert_eq!(client.get(MPLIST).await.server(), Some("mp2"), "the client sees none of it");
    }
    let met = one.counters().connections() - before;
    assert!((5..50).contains(&met), "{met} connections were tried");
    let name = format!("role=\"management-point\",site_system=\"mp1\",endpoint=\"{}\"", one.address());
    assert_eq!(series(&app.metrics(), &format!("rolegate_endpoint_ejections_total{{{name}}}")), Some(1.0));
    assert_eq!(health(&app, "mp1"), "up", "the probes' verdict is another thing");

    one.faults().set_accept_then_close(false);
    until_true("the ejection ends", || !ejected(&app)).await;
    let all = servers(&app, MPLIST, 60).await;
    assert!(all.contains(&"mp1".to_owned()), "{all:?}");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_is_never_taken_out() {
    let site = management_point("mp1").await;
    let app = Toml::new(&["MP"]).site(&site, "MP").role("MP", PASSIVE).start();
    until_true("up", || health(&app, "mp1") == "up").await;
    site.faults().set_accept_then_close(true);
    for round in 0..30 {
        let mut client = Client::connect_from([127, 0, 3, round % 5], http(&app)).await;
        assert_eq!(client.get(MPLIST).await.status, 502);
        assert!(!endpoint(&app.status(), "mp1").unwrap().ejected);
    }
    site.faults().set_accept_then_close(false);
    assert_eq!(get(http(&app), MPLIST).await.status, 200, "and it serves as soon as it can");
    shutdown(app).await;

    let (one, two, app) = two_management_points(PASSIVE).await;
    both_up(&app).await;
    one.faults().set_accept_then_close(true);
    two.faults().set_accept_then_close(true);
    let ejected = |app: &App| app.status().roles[0].endpoints.iter().filter(|endpoint| endpoint.ejected).count();
    let mut seen = false;
    for round in 0..60 {
        let mut client = Client::connect_from([127, 0, 3, round % 5], http(&app)).await;
        assert_eq!(client.get(MPLIST).await.status, 502);
        let now = ejected(&app);
        assert!(now < 2, "both are out");
        seen |= now == 1;
    }
    assert!(seen, "one of two may go");
    shutdown(app).await;
}

/// The Director alone: an ejection whose role the next configuration does not have any more.
#[tokio::test]
async fn an_ejection_ends_with_its_role_and_leaves_nothing_to_do() {
    let addresses = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().unwrap());
    let quick = PASSIVE.replace("1s", "100ms");
    let config = |role: &str| {
        let config = Toml::new(&[role]).role(role, if role == "MP" { &quick } else { "" });
        config.system("s1", role, addresses[0], "").system("s2", role, addresses[1], "")
    };
    let (director, handles) =
        Director::new(compiled(&config("MP").0), None, Arc::new(Metrics::new()), tokio::time::Instant::now());
    let polls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&polls);
    tokio::spawn(async move {
        let mut run = pin!(director.run());
        poll_fn(|cx| {
            counter.fetch_add(1, Relaxed);
            run.as_mut().poll(cx)
        })
        .await;
    });
    let snapshot = || handles.snapshots.current();
    until_true("up", || snapshot().clusters[0].standings().iter().all(|s| s.class() == Class::Well)).await;
    let endpoint = Arc::clone(&snapshot().clusters[0].topology);
    let ill = &endpoint.endpoints[0];
    for _ in 0..5 {
        ill.state.passive.record(&ill.role.passive, 0, Ending::Unreached);
    }
    handles.bell.notify_one();
    until_true("ejected", || snapshot().clusters[0].standing(0).ejected).await;
    let (reply, answer) = tokio::sync::oneshot::channel();
    let source = control_support::proxy::source(&config("FSP").0);
    handles.orders.send(Order::Reload(source, reply)).await.unwrap();
    answer.await.unwrap().unwrap();
    // Longer than the ejection: then there is nothing left to wait for.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = polls.load(Relaxed);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let woken = polls.load(Relaxed) - before;
    assert!(woken < 50, "the Director was woken {woken} times in 300 ms with nothing to do");
}

/// Three management points, two of them of one boundary group, and a Director that asks them. Ejections last long.
async fn directed(groups: &str) -> ([SiteSystem; 3], Handles) {
    let sites = [management_point("mp1").await, management_point("mp2").await, management_point("mp3").await];
    let handles = {
        let config = grouped(&sites, groups);
        let (director, handles) =
            Director::new(compiled(&config.0), None, Arc::new(Metrics::new()), tokio::time::Instant::now());
        tokio::spawn(director.run());
        handles
    };
    let well = || handles.snapshots.current().clusters[0].standings().iter().all(|s| s.class() == Class::Well);
    until_true("all up", well).await;
    (sites, handles)
}

fn grouped(sites: &[SiteSystem; 3], groups: &str) -> Toml {
    let lasting = PROBE.to_owned()
        + "locality = \"boundary-groups\"\nslow_start = \"60s\"\n\
                   passive = { consecutive_failures = 5, failure_percent = 0, eject_time = \"300s\" }\n";
    let config = sites.iter().fold(Toml::new(&["MP"]).role("MP", &lasting), |config, site| config.site(site, "MP"));
    config.add(groups)
}

fn group(name: &str, members: &str) -> String {
    format!("[[boundary_groups]]\nname = \"{name}\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [{members}]\n")
}

/// Live traffic speaks against an endpoint.
fn alarm(handles: &Handles, place: usize) {
    let snapshot = handles.snapshots.current();
    let ill = &snapshot.clusters[0].topology.endpoints[place];
    for _ in 0..5 {
        ill.state.passive.record(&ill.role.passive, 0, Ending::Unreached);
    }
    handles.bell.notify_one();
}

async fn until_ejected(handles: &Handles, place: usize, expected: bool) {
    let what = format!("ejected {expected}");
    until_true(&what, || handles.snapshots.current().clusters[0].standing(place as u32).ejected == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejection_ends_when_its_boundary_group_has_nobody_else() {
    let pair = group("One", "\"mp1\", \"mp2\"") + &group("Other", "\"mp3\"");
    let (sites, handles) = directed(&pair).await;
    alarm(&handles, 0);
    until_ejected(&handles, 0, true).await;
    // The one that is left is not well any more, as probes say; that of another group is no help.
    sites[1].kill();
    until_ejected(&handles, 0, false).await;
    assert_eq!(handles.snapshots.current().clusters[0].standing(1).health, Health::Down);
    assert_eq!(handles.snapshots.current().clusters[0].standing(2).health, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_makes_it_the_last_one_ends_an_ejection() {
    let (sites, handles) = directed(&group("One", "\"mp1\", \"mp2\"")).await;
    alarm(&handles, 0);
    until_ejected(&handles, 0, true).await;
    let alone = group("One", "\"mp1\"") + &group("Other", "\"mp2\"");
    let (reply, answer) = tokio::sync::oneshot::channel();
    let source = control_support::proxy::source(&grouped(&sites, &alone).0);
    handles.orders.send(Order::Reload(source, reply)).await.unwrap();
    answer.await.unwrap().unwrap();
    until_ejected(&handles, 0, false).await;
    // And it is the last one for as long as it is alone.
    alarm(&handles, 0);
    alarm(&handles, 1);
    until_true("both were heard", || {
        let snapshot = handles.snapshots.current();
        snapshot.clusters[0].topology.endpoints.iter().all(|endpoint| !endpoint.state.passive.alarm())
    })
    .await;
    assert!(handles.snapshots.current().clusters[0].standings().iter().all(|standing| !standing.ejected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejection_stays_when_one_site_becomes_several_and_ends_when_its_server_is_of_another() {
    let all = group("One", "\"mp1\", \"mp2\", \"mp3\"");
    let (sites, handles) = directed(&all).await;
    alarm(&handles, 0);
    until_ejected(&handles, 0, true).await;
    let ejected = || {
        let snapshot = handles.snapshots.current();
        let of = |place: usize| snapshot.clusters[place].standings().iter().filter(|standing| standing.ejected).count();
        (0..snapshot.clusters.len()).map(of).collect::<Vec<_>>()
    };
    let several = |first: &str| {
        let text = grouped(&sites, &all).0.replacen("[site]", "[[sites]]", 1);
        let text = text.replacen("[proxy]", "[[sites]]\ncode = \"P02\"\n[proxy]", 1);
        let text = text.replacen("[[site_systems]]", &format!("[[X]]\nsite = \"{first}\""), 1);
        let text = text.replacen("[[site_systems]]", "[[X]]\nsite = \"P02\"", 1);
        text.replace("[[site_systems]]", "[[X]]\nsite = \"P01\"").replace("[[X]]", "[[site_systems]]")
    };
    for (first, expected) in [("P01", vec![1, 0]), ("P02", vec![0, 0])] {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let source = control_support::proxy::source(&several(first));
        handles.orders.send(Order::Reload(source, reply)).await.unwrap();
        answer.await.unwrap().unwrap();
        assert_eq!(ejected(), expected, "mp1 of {first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_degraded_on_its_way_up_starts_slowly_too() {
    let (sites, handles) = directed(&group("One", "\"mp1\", \"mp2\", \"mp3\"")).await;
    let standing = || handles.snapshots.current().clusters[0].standing(0);
    sites[0].faults().set_database_down(true);
    until_true("degraded", || standing().health == Health::Degraded).await;
    alarm(&handles, 0);
    until_ejected(&handles, 0, true).await;
    sites[0].faults().set_database_down(false);
    until_true("up", || standing().health == Health::Up).await;
    let up = standing();
    assert!(up.ramp_from_ms > 0 && !up.ejected, "{up:?}");
    // And one that was down before.
    sites[0].kill();
    until_true("down", || standing().health == Health::Down).await;
    sites[0].faults().set_database_down(true);
    sites[0].restart().await.unwrap();
    until_true("degraded", || standing().health == Health::Degraded).await;
    alarm(&handles, 0);
    until_ejected(&handles, 0, true).await;
    sites[0].faults().set_database_down(false);
    until_true("up", || standing().health == Health::Up).await;
    let again = standing();
    assert!(again.ramp_from_ms > up.ramp_from_ms && !again.ejected, "{again:?}");
}
