//! Site systems given by name: what DNS says, how long it is believed, and what happens when it changes or fails.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control_support::client::{Client, get};
use control_support::dns::{Dns, Says};
use control_support::proxy::{MPLIST, PROBE, Toml, admin, endpoint, http, reload, series, shutdown};
use control_support::{PATIENCE, until_true};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rolegate::app::App;
use rolegate_bench::site::{SiteSystem, Spec};

const NAME: &str = "mp1.lab.test";
const QUICK: &str = "min_ttl = \"100ms\"\nmax_ttl = \"200ms\"\n";

/// Management points at different addresses with the same port, as the addresses of one name have it.
async fn at(addresses: &[&str]) -> Vec<SiteSystem> {
    'ports: for _ in 0..50 {
        let mut sites: Vec<SiteSystem> = Vec::new();
        for address in addresses {
            let port = sites.first().map_or(0, |first| first.address().port());
            let address = SocketAddr::new(address.parse().unwrap(), port);
            let spec = Spec::management_point(&address.ip().to_string()).address(address);
            match SiteSystem::start(spec).await {
                Ok(site) => sites.push(site),
                // Somebody else has the port there.
                Err(_) => continue 'ports,
            }
        }
        return sites;
    }
    panic!("no port is free at all of {addresses:?}");
}

fn named(dns: &Dns, port: u16, role: &str, more: &str) -> Toml {
    let system = format!(
        "[[site_systems]]\nname = \"mp1\"\naddress = \"{NAME}\"\nroles = [{{ role = \"MP\", port = {port} }}]\n"
    );
    Toml::new(&["MP"]).role("MP", role).add(&system).add(&dns.toml(more))
}

fn addresses(app: &App) -> Vec<String> {
    let status = app.status();
    status.roles[0].endpoints.iter().map(|endpoint| endpoint.address.clone()).collect()
}

fn well(app: &App) -> usize {
    app.status().roles[0].endpoints.iter().filter(|endpoint| endpoint.available).count()
}

async fn servers(app: &App, count: usize) -> Vec<String> {
    let mut client = Client::connect(http(app)).await;
    let mut servers = Vec::new();
    for _ in 0..count {
        let answer = client.get(MPLIST).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        servers.push(answer.server().unwrap().to_owned());
    }
    servers.sort();
    servers.dedup();
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_both_families_are_endpoints() {
    let sites = at(&["127.0.0.2", "127.0.0.3", "::1"]).await;
    let port = sites[0].address().port();
    let dns = Dns::start().await;
    dns.addresses(NAME, &["127.0.0.3", "127.0.0.2", "::1", "127.0.0.2"], 60);
    let app = named(&dns, port, PROBE, "").start();
    until_true("three are up", || well(&app) == 3).await;
    let expected: Vec<String> = ["127.0.0.2", "127.0.0.3", "[::1]"].map(|ip| format!("{ip}:{port}")).to_vec();
    assert_eq!(addresses(&app), expected, "sorted, each once");
    assert_eq!(servers(&app, 100).await, ["127.0.0.2", "127.0.0.3", "::1"]);
    let names = app.status().names;
    assert_eq!((names.len(), names[0].name.as_str(), names[0].addresses.len()), (1, NAME, 3));
    assert!(names[0].resolved.is_some() && names[0].failure.is_none());
    assert_eq!(series(&app.metrics(), "rolegate_dns_names_unresolved"), Some(0.0));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_asked_for_again_between_floor_and_ceiling() {
    let sites = at(&["127.0.0.2"]).await;
    let dns = Dns::start().await;
    let port = sites[0].address().port();
    for (ttl, more, at_least) in [
        (0, "min_ttl = \"300ms\"\nmax_ttl = \"10min\"\n", 300),
        (86_400, "min_ttl = \"50ms\"\nmax_ttl = \"300ms\"\n", 300),
        (1, "min_ttl = \"50ms\"\nmax_ttl = \"10min\"\n", 900),
    ] {
        dns.addresses(NAME, &["127.0.0.2"], ttl);
        let before = dns.questions(NAME, RecordType::A).len();
        let app = named(&dns, port, PROBE, more).start();
        until_true("four questions", || dns.questions(NAME, RecordType::A).len() >= before + 4).await;
        let asked = dns.questions(NAME, RecordType::A)[before..][..4].to_vec();
        for pair in asked.windows(2) {
            let gap = pair[1] - pair[0];
            // The answer is a little younger than its question.
            assert!(gap >= Duration::from_millis(at_least - 20), "ttl {ttl}, {more}: {gap:?}");
        }
        assert!(dns.questions(NAME, RecordType::AAAA).len() >= 3, "both families are asked for");
        assert!(series(&app.metrics(), "rolegate_dns_answers_total{result=\"ok\"}").unwrap() >= 3.0);
        shutdown(app).await;
    }
    // What has not expired is not asked for.
    dns.addresses(NAME, &["127.0.0.2"], 3600);
    let before = dns.questions(NAME, RecordType::A).len();
    let app = named(&dns, port, PROBE, "").start();
    until_true("up", || well(&app) == 1).await;
    let probes = endpoint(&app.status(), "mp1").unwrap().probes.0;
    until_true("ten probes", || endpoint(&app.status(), "mp1").unwrap().probes.0 > probes + 10).await;
    assert_eq!(dns.questions(NAME, RecordType::A).len(), before + 1);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_changes_is_probed_first_and_the_old_one_drains() {
    let sites = at(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]).await;
    let port = sites[0].address().port();
    let dns = Dns::start().await;
    dns.addresses(NAME, &["127.0.0.2", "127.0.0.3"], 0);
    let app = named(&dns, port, &format!("{PROBE}slow_start = \"0s\"\n"), QUICK).start();
    until_true("both up", || well(&app) == 2).await;
    assert_eq!(servers(&app, 60).await, ["127.0.0.2", "127.0.0.3"]);

    // One request is on its way to each of the two.
    sites.iter().take(2).for_each(|site| site.faults().set_stall_head(true));
    let address = http(&app);
    let in_flight =
        |app: &App| -> Vec<u32> { app.status().roles[0].endpoints.iter().map(|endpoint| endpoint.in_flight).collect() };
    let mut slow = Vec::new();
    until_true("a request at each", || {
        slow.push(tokio::spawn(async move { Client::connect(address).await.send("GET", MPLIST).await }));
        in_flight(&app).iter().all(|count| *count > 0)
    })
    .await;
    sites[1].faults().set_stall_head(false);

    // The new one cannot be proven well yet.
    sites[2].faults().set_stall_head(true);
    dns.addresses(NAME, &["127.0.0.3", "127.0.0.4"], 0);
    until_true("the new addresses", || addresses(&app).contains(&format!("127.0.0.4:{port}"))).await;
    assert!(!addresses(&app).contains(&format!("127.0.0.2:{port}")));
    until_true("the one that stays is well", || well(&app) == 1).await;
    assert_eq!(servers(&app, 40).await, ["127.0.0.3"], "nobody is sent to one that is not proven");
    sites[2].faults().set_stall_head(false);
    until_true("both up", || well(&app) == 2).await;
    assert_eq!(servers(&app, 60).await, ["127.0.0.3", "127.0.0.4"]);
    let first = sites[2].counters().seen().remove(0);
    assert!(first.header("user-agent").unwrap().contains("health probe"), "{first:?}");

    until_true("the old one drains", || app.status().draining.iter().any(|leaving| leaving.in_flight > 0)).await;
    sites[0].faults().set_stall_head(false);
    for request in slow {
        assert_eq!(request.await.unwrap().unwrap().status, 200, "no request is lost");
    }
    until_true("drained", || app.status().draining.is_empty()).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_keeps_the_last_good_answer() {
    let sites = at(&["127.0.0.2", "127.0.0.3"]).await;
    let dns = Dns::start().await;
    dns.addresses(NAME, &["127.0.0.2"], 0);
    let app = named(&dns, sites[0].address().port(), PROBE, QUICK).start();
    until_true("up", || well(&app) == 1).await;
    let failures = [
        Says::Fails(ResponseCode::ServFail),
        Says::Fails(ResponseCode::NXDomain),
        Says::Fails(ResponseCode::Refused),
        Says::Addresses(Vec::new(), 60),
        Says::Silence,
    ];
    for failure in failures {
        let what = format!("{failure:?}");
        dns.say(NAME, failure);
        until_true(&what, || app.status().names[0].failure.is_some()).await;
        let name = app.status().names.remove(0);
        assert_eq!(name.addresses, ["127.0.0.2"], "{what}");
        assert_eq!(servers(&app, 5).await, ["127.0.0.2"], "{what}");
        assert_eq!(endpoint(&app.status(), "mp1").unwrap().health, "up", "{what}");

        dns.addresses(NAME, &["127.0.0.2"], 0);
        until_true("a good answer", || app.status().names[0].failure.is_none()).await;
    }
    let metrics = app.metrics();
    assert!(series(&metrics, "rolegate_dns_answers_total{result=\"failed\"}").unwrap() >= 5.0);
    dns.addresses(NAME, &["127.0.0.3"], 0);
    until_true("a new answer", || addresses(&app)[0].starts_with("127.0.0.3:")).await;
    assert_eq!(servers(&app, 5).await, ["127.0.0.3"]);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_one_family_keeps_its_addresses() {
    let sites = at(&["127.0.0.2", "::1"]).await;
    let both = ["127.0.0.2", "::1"];
    let dns = Dns::start().await;
    dns.addresses(NAME, &both, 0);
    let app = named(&dns, sites[0].address().port(), PROBE, QUICK).start();
    until_true("both up", || well(&app) == 2).await;
    for family in [RecordType::A, RecordType::AAAA] {
        dns.say(NAME, Says::FailsFor(family, both.iter().map(|address| address.parse().unwrap()).collect()));
        let before = dns.questions(NAME, family).len();
        until_true("four failures", || dns.questions(NAME, family).len() > before + 4).await;
        assert_eq!(addresses(&app).len(), 2, "{family} fails: {:?}", addresses(&app));
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_never_resolved_is_shown_and_not_served() {
    let sites = at(&["127.0.0.2"]).await;
    let dns = Dns::start().await;
    let app = named(&dns, sites[0].address().port(), PROBE, QUICK).start();
    until_true("a failure", || app.status().names.first().is_some_and(|name| name.failure.is_some())).await;
    let name = app.status().names.remove(0);
    assert!(name.addresses.is_empty() && name.resolved.is_none(), "{name:?}");
    assert!(app.status().roles[0].endpoints.is_empty());
    assert_eq!(admin(&app, "/ready").await.status, 503);
    let answer = get(http(&app), MPLIST).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let unresolved = |app: &App| series(&app.metrics(), "rolegate_dns_names_unresolved");
    until_true("counted", || unresolved(&app) == Some(1.0)).await;

    dns.addresses(NAME, &["127.0.0.2"], 60);
    until_true("up", || well(&app) == 1).await;
    assert_eq!(admin(&app, "/ready").await.status, 200);
    assert_eq!(servers(&app, 1).await, ["127.0.0.2"]);
    assert_eq!(unresolved(&app), Some(0.0));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_names_and_servers_and_keeps_answers() {
    let sites = at(&["127.0.0.2", "127.0.0.3"]).await;
    let port = sites[0].address().port();
    let (dns, other) = (Dns::start().await, Dns::start().await);
    dns.addresses(NAME, &["127.0.0.2"], 60);
    let config = named(&dns, port, PROBE, "");
    let app = config.start();
    until_true("up", || well(&app) == 1).await;
    let asked = dns.questions(NAME, RecordType::A).len();

    // Nothing that DNS is asked has changed.
    reload(&app, &config.clone().set("port = ", "weight = 5, port = ")).await.unwrap();
    assert_eq!(well(&app), 1, "served without a new answer");
    assert_eq!(dns.questions(NAME, RecordType::A).len(), asked);

    // Another server, which is slow to answer: the old answer is kept.
    other.say(NAME, Says::Silence);
    let elsewhere = config.set(&dns.address.to_string(), &other.address.to_string());
    reload(&app, &elsewhere).await.unwrap();
    assert_eq!(servers(&app, 5).await, ["127.0.0.2"]);
    until_true("asked there", || !other.questions(NAME, RecordType::A).is_empty()).await;
    other.addresses(NAME, &["127.0.0.3"], 60);
    until_true("its answer", || addresses(&app)[0].starts_with("127.0.0.3:")).await;

    // A name that is no longer used is no longer asked for.
    other.addresses("mp2.lab.test", &["127.0.0.2"], 0);
    reload(&app, &elsewhere.clone().set(NAME, "mp2.lab.test")).await.unwrap();
    until_true("the other name", || addresses(&app).first().is_some_and(|a| a.starts_with("127.0.0.2:"))).await;
    assert_eq!(app.status().names.len(), 1);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_given_up_on() {
    let dns = Dns::start().await;
    dns.say(NAME, Says::Silence);
    let begin = Instant::now();
    let app = named(&dns, 1, PROBE, QUICK).start();
    until_true("a failure", || app.status().names.first().is_some_and(|name| name.failure.is_some())).await;
    // The configured second, for a few attempts over UDP.
    assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
    shutdown(app).await;
}

/// Waits until the name has the address.
async fn resolved(app: &App, what: &str) {
    until_true(what, || app.status().names.first().is_some_and(|name| name.addresses == ["127.0.0.2"])).await;
}

/// A proxy that asks these servers, in this order.
fn asking(first: &Dns, second: &Dns) -> App {
    let alone = format!("servers = [\"{}\"]", first.address);
    let both = format!("servers = [\"{}\", \"{}\"]", first.address, second.address);
    named(first, 1, PROBE, "").set(&alone, &both).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_server_is_asked_when_the_first_one_cannot_say() {
    for failure in [
        Says::Fails(ResponseCode::Refused),
        Says::Fails(ResponseCode::ServFail),
        Says::Fails(ResponseCode::NotImp),
        Says::Fails(ResponseCode::FormErr),
        Says::Silence,
    ] {
        let (first, second) = (Dns::start().await, Dns::start().await);
        let what = format!("{failure:?}");
        first.say(NAME, failure);
        second.addresses(NAME, &["127.0.0.2"], 60);
        let app = asking(&first, &second);
        resolved(&app, &what).await;
        assert!(!first.questions(NAME, RecordType::A).is_empty(), "{what}: in their order");
        shutdown(app).await;
    }
    // That a name does not exist is an answer.
    let (first, second) = (Dns::start().await, Dns::start().await);
    second.addresses(NAME, &["127.0.0.2"], 60);
    let app = asking(&first, &second);
    until_true("a failure", || app.status().names.first().is_some_and(|name| name.failure.is_some())).await;
    assert!(second.questions(NAME, RecordType::A).is_empty());
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_that_knows_no_extensions_is_understood() {
    let dns = Dns::start().await;
    dns.say(NAME, Says::Old(vec!["127.0.0.2".parse().unwrap()]));
    let app = named(&dns, 1, PROBE, "").start();
    resolved(&app, "the answer").await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_windows_servers_have_are_asked_for() {
    let dns = Dns::start().await;
    for name in ["MP_01.lab.test", "MP1", "1MP.LAB.TEST", "mp1.lab.test.", "xn--mnchen-3ya.test"] {
        dns.addresses(&name.trim_end_matches('.').to_ascii_lowercase(), &["127.0.0.2"], 60);
        let app = named(&dns, 1, PROBE, "").set(NAME, name).start();
        resolved(&app, name).await;
        shutdown(app).await;
    }
}
#[tokio::test(flavor = "multi_thread")]
async fn an_ejection_ends_when_dns_leaves_nobody_else() {
    let sites = at(&["127.0.0.2", "127.0.0.3"]).await;
    let port = sites[0].address().port();
    let dns = Dns::start().await;
    dns.addresses(NAME, &["127.0.0.2", "127.0.0.3"], 1);
    let role = "probe = { kind = \"none\" }\npassive = { consecutive_failures = 5, eject_time = \"300s\" }\n";
    let app = named(&dns, port, role, QUICK).start();
    until_true("two are up", || well(&app) == 2).await;
    sites[0].faults().set_accept_then_close(true);
    let ejected = || app.status().roles[0].endpoints.iter().filter(|endpoint| endpoint.ejected).count();
    for round in 0..200 {
        Client::connect_from([127, 0, 3, round % 5], http(&app)).await.get(MPLIST).await;
        if ejected() == 1 {
            break;
        }
    }
    until_true("one is ejected", || ejected() == 1).await;
    sites[0].faults().set_accept_then_close(false);
    dns.addresses(NAME, &["127.0.0.2"], 1);
    until_true("the other is gone, and this one is back", || addresses(&app).len() == 1 && ejected() == 0).await;
    assert_eq!(servers(&app, 5).await, ["127.0.0.2"]);
    shutdown(app).await;
}
