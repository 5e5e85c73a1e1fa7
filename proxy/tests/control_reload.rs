//! Another configuration while requests are on their way: how it comes in, what survives it, and that nothing is lost.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use control_support::client::{Client, get};
use control_support::proxy::{
    MPCERT, MPLIST, PROBE, Toml, admin, endpoint, health, http, management_point, reload, series, shutdown,
};
use control_support::{until, until_true};
use rolegate::app::App;
use rolegate::control::config::Source;
use rolegate_bench::site::SiteSystem;

const NO_PROBE: &str = "probe = { kind = \"none\" }\n";

/// One management point that is never asked, so that every connection it sees is one of a client.
fn unasked(site: &SiteSystem) -> Toml {
    Toml::new(&["MP"]).site(site, "MP").role("MP", NO_PROBE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_served() {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.toml");
    std::fs::write(&path, unasked(&one).0).unwrap();
    let app = App::start(&Source::read(&path).unwrap(), Some(path.clone())).unwrap();
    // The control thread answers: it watches.
    assert_eq!(admin(&app, "/health").await.status, 200);
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"));

    // As editors and configuration management do it: a new file takes the place of the old one.
    let new = folder.path().join("rolegate.toml.new");
    std::fs::write(&new, unasked(&two).0).unwrap();
    std::fs::rename(&new, &path).unwrap();
    until_true("the renamed file", || endpoint(&app.status(), "mp2").is_some()).await;
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp2"));

    std::fs::write(&path, unasked(&one).0).unwrap();
    until_true("the written file", || endpoint(&app.status(), "mp1").is_some()).await;
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"));

    std::fs::remove_file(&path).unwrap();
    until_true("a file that is gone is rejected", || !app.status().reload.accepted).await;
    assert!(app.status().reload.errors.unwrap().contains("cannot read the configuration"));
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"), "the old one goes on serving");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_still_being_written_is_not_read() {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.toml");
    std::fs::write(&path, unasked(&one).0).unwrap();
    let app = App::start(&Source::read(&path).unwrap(), Some(path.clone())).unwrap();
    assert_eq!(admin(&app, "/health").await.status, 200);

    // Valid wherever it is cut, and slower than the time that a file must be at rest.
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(unasked(&two).0.as_bytes()).unwrap();
    for number in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let group = format!("[[boundary_groups]]\nname = \"{number}\"\nboundaries = [\"10.{number}.0.0/16\"]\n");
        file.write_all(group.as_bytes()).unwrap();
    }
    assert_eq!(app.status().generation, 1, "nothing is read before its writer has closed it");
    drop(file);
    until_true("all of it", || app.status().generation == 2).await;
    assert_eq!(app.status().boundary_groups.len(), 5, "with the default one");
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp2"));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_files_are_watched_is_up_to_the_configuration() {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.toml");
    let set =
        |site: &SiteSystem, watch: &str| unasked(site).set("threads = 1", &format!("threads = 1\nwatch = {watch}"));
    std::fs::write(&path, set(&one, "false").0).unwrap();
    let app = App::start(&Source::read(&path).unwrap(), Some(path.clone())).unwrap();
    assert_eq!(admin(&app, "/health").await.status, 200);
    std::fs::write(&path, set(&two, "true").0).unwrap();
    app.reload_file();
    until_true("it is read when that is asked for", || app.status().generation == 2).await;
    std::fs::write(&path, set(&one, "false").0).unwrap();
    until_true("and by itself from now on", || app.status().generation == 3).await;
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signal_reads_the_file_again_although_it_is_the_same() {
    let site = management_point("mp1").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.toml");
    std::fs::write(&path, unasked(&site).0).unwrap();
    let app = App::start(&Source::read(&path).unwrap(), Some(path)).unwrap();
    for generation in 2..5 {
        app.reload_file();
        until_true("the next generation", || app.status().generation == generation).await;
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_configuration_changes_nothing_and_is_shown() {
    let site = management_point("mp1").await;
    let good = unasked(&site);
    let app = good.start();
    until_true("up", || health(&app, "mp1") == "up").await;
    let before = app.status();
    let bad = good.clone().set("code = \"P01\"", "code = \"P0\"").set("threads = 1", "threads = 0");
    let error = reload(&app, &bad).await.unwrap_err().to_string();
    for part in ["\"P0\" is not a site code", "0 data threads", "test.toml:2", "help", "2 errors"] {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
    let status = app.status();
    assert_eq!((status.snapshot, status.generation), (before.snapshot, before.generation));
    assert!(!status.reload.accepted);
    assert_eq!(status.reload.errors.as_deref(), Some(error.as_str()));
    let shown = admin(&app, "/status").await;
    assert!(shown.text().contains("is not a site code"), "{}", shown.text());
    let metrics = app.metrics();
    assert_eq!(series(&metrics, "rolegate_config_reloads_total{result=\"rejected\"}"), Some(1.0));
    assert_eq!(series(&metrics, "rolegate_config_last_reload_success"), Some(0.0));
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"));

    assert_eq!(reload(&app, &good).await.unwrap(), before.generation + 1);
    let status = app.status();
    assert!(status.reload.accepted && status.reload.errors.is_none() && status.snapshot > before.snapshot);
    let metrics = app.metrics();
    assert_eq!(series(&metrics, "rolegate_config_reloads_total{result=\"accepted\"}"), Some(1.0));
    assert_eq!(series(&metrics, "rolegate_config_last_reload_success"), Some(1.0));
    assert_eq!(series(&metrics, "rolegate_config_generation"), Some(status.generation as f64));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_and_requests_in_flight_survive() {
    let site = management_point("mp1").await;
    let config = unasked(&site);
    let app = config.start();
    let mut client = Client::connect(http(&app)).await;
    assert_eq!(client.get(MPLIST).await.server(), Some("mp1"));
    assert_eq!(site.counters().connections(), 1);
    for weight in 1..=5 {
        let changed = config.clone().set("port = ", &format!("weight = {weight}, port = "));
        reload(&app, &changed).await.unwrap();
        assert_eq!(client.get(MPLIST).await.server(), Some("mp1"));
        assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"), "another client");
        assert_eq!(endpoint(&app.status(), "mp1").unwrap().weight, weight);
    }
    assert_eq!(site.counters().connections(), 1, "the connection to the site system is still the first one");

    site.faults().set_stall_head(true);
    let slow = tokio::spawn(async move { client.send("GET", MPLIST).await });
    until_true("the request", || endpoint(&app.status(), "mp1").unwrap().in_flight == 1).await;
    reload(&app, &config).await.unwrap();
    assert_eq!(endpoint(&app.status(), "mp1").unwrap().in_flight, 1, "counted across the reload");
    site.faults().set_stall_head(false);
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    until_true("the lease", || endpoint(&app.status(), "mp1").unwrap().in_flight == 0).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_probes_know_survives() {
    let site = management_point("mp1").await;
    let config = Toml::new(&["MP"]).site(&site, "MP").role("MP", PROBE);
    let app = config.start();
    until_true("up", || health(&app, "mp1") == "up").await;
    let before = endpoint(&app.status(), "mp1").unwrap();
    for weight in 7..10 {
        reload(&app, &config.clone().set("port = ", &format!("weight = {weight}, port = "))).await.unwrap();
        let after = endpoint(&app.status(), "mp1").unwrap();
        assert_eq!((after.health.as_str(), after.weight, after.available), ("up", weight, true));
    }
    let after = endpoint(&app.status(), "mp1").unwrap();
    assert_eq!(after.since, before.since);
    assert!(after.history.starts_with(&before.history) && after.probes.0 >= before.probes.0);

    // Another question starts at once and keeps what is known.
    reload(&app, &config.set("probe = {", "probe = { target = \"/nowhere\", ")).await.unwrap();
    until_true("the new question fails", || health(&app, "mp1") == "down").await;
    let after = endpoint(&app.status(), "mp1").unwrap();
    assert!(after.history.starts_with('.') && after.history.ends_with("xxx"), "{}", after.history);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_leaves_finishes_its_requests_and_is_shown() {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let role = format!("{NO_PROBE}timeouts = {{ upstream_idle = \"1s\" }}\n");
    let config = |site: &SiteSystem| Toml::new(&["MP"]).site(site, "MP").role("MP", &role);
    let app = config(&one).start();
    let mut idle = Client::connect(http(&app)).await;
    assert_eq!(idle.get(MPLIST).await.server(), Some("mp1"));
    one.faults().set_stall_head(true);
    let address = http(&app);
    let slow = tokio::spawn(async move { Client::connect(address).await.send("GET", MPLIST).await });
    until_true("the request", || endpoint(&app.status(), "mp1").unwrap().in_flight == 1).await;
    reload(&app, &config(&two)).await.unwrap();
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp2"), "new requests go elsewhere");
    let leaving = until("the endpoint that drains", || {
        let found = app.status().draining.into_iter().find(|leaving| leaving.site_system == "mp1");
        std::future::ready(found)
    });
    assert_eq!(leaving.await.in_flight, 1);
    one.faults().set_stall_head(false);
    let answer = slow.await.unwrap().unwrap();
    assert_eq!((answer.status.as_u16(), answer.server()), (200, Some("mp1")));
    until_true("nobody drains", || app.status().draining.is_empty()).await;
    until_true("its connections close", || one.counters().open_connections() == 0).await;
    shutdown(app).await;
}

/// How many lines of `/metrics` speak of it.
async fn shown(app: &App, part: &str) -> usize {
    admin(app, "/metrics").await.text().lines().filter(|line| line.contains(part)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn series_of_what_is_gone_go_from_the_metrics() {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let config = |role: &str, site: &SiteSystem| Toml::new(&[role]).site(site, role).role(role, NO_PROBE);
    let app = config("MP", &one).start();
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"));
    assert!(shown(&app, "site_system=\"mp1\"").await > 20);
    one.faults().set_stall_head(true);
    let address = http(&app);
    let slow = tokio::spawn(async move { Client::connect(address).await.send("GET", MPLIST).await });
    until_true("the request", || endpoint(&app.status(), "mp1").unwrap().in_flight == 1).await;
    reload(&app, &config("MP", &two)).await.unwrap();
    until_true("it drains", || !app.status().draining.is_empty()).await;
    let inflight = |site: &SiteSystem| {
        let address = site.address();
        format!(
            "rolegate_endpoint_inflight{{role=\"management-point\",site_system=\"{}\",endpoint=\"{address}\"}}",
            site.name()
        )
    };
    assert_eq!(series(&app.metrics(), &inflight(&one)), Some(1.0));

    // What comes back goes on counting, and what is under way from before counts too.
    reload(&app, &config("MP", &one)).await.unwrap();
    assert_eq!(series(admin(&app, "/metrics").await.text(), &inflight(&one)), Some(1.0));
    one.faults().set_stall_head(false);
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    assert_eq!(get(http(&app), MPLIST).await.server(), Some("mp1"));
    until_true("nothing drains", || app.status().draining.is_empty()).await;
    let requests = inflight(&one).replace("_inflight", "_requests_total").replace('}', ",code=\"2xx\"}");
    assert_eq!(series(&app.metrics(), &requests), Some(3.0));

    reload(&app, &config("MP", &two)).await.unwrap();
    until_true("its series go", || !app.metrics().contains("site_system=\"mp1\"")).await;
    assert!(shown(&app, "role=\"management-point\"").await > 60);
    reload(&app, &config("DP", &two)).await.unwrap();
    until_true("the role's series go", || !app.metrics().contains("role=\"management-point\"")).await;
    assert!(shown(&app, "role=\"distribution-point\"").await > 60 && shown(&app, "role=\"none\"").await > 30);
    shutdown(app).await;
}

/// Three configurations over the same two site systems. Which of them served a request can be told from the name that the
/// proxy put into `Via`, and it must agree with the site system that was asked.
fn variant(number: u64, sites: [&SiteSystem; 2]) -> Toml {
    let config = Toml::new(&["MP"]).role("MP", NO_PROBE).site(sites[0], "MP").site(sites[1], "MP");
    let config = config.set("threads = 1", &format!("threads = 2\nname = \"gate-{}\"", number % 3));
    let group = |system: &str| {
        format!(
            "[[boundary_groups]]\nname = \"near {number}\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"{system}\"]\n\
             neighbors = [{{ group = \"default\", fallback = {{ MP = \"never\" }} }}]\n"
        )
    };
    match number % 3 {
        0 => config,
        1 => config.add(&group("mp1")),
        _ => config.add(&group("mp2")),
    }
}

#[derive(Default)]
struct Load {
    over: AtomicBool,
    requests: AtomicU64,
}

async fn requests(address: std::net::SocketAddr, load: Arc<Load>) -> Result<(), String> {
    let mut client = Client::connect(address).await;
    while !load.over.load(Relaxed) {
        let answer = client.send("GET", MPCERT).await?;
        if answer.status != 200 || answer.server().is_none() || !answer.text().starts_with("<MPCertificate>") {
            return Err(format!("{answer:?}"));
        }
        load.requests.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// What the site systems saw last: the configuration in `Via` allows the one that was asked.
fn consistent(site: &SiteSystem, forbidden: &str) -> usize {
    let seen = site.counters().seen();
    for request in &seen {
        let via = request.header("via").expect("every request has passed a proxy");
        assert!(via.starts_with("1.1 gate-"), "{via}");
        assert!(!via.starts_with(&format!("1.1 {forbidden}-")), "{} served it", site.name());
    }
    seen.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_under_load_lose_nothing() {
    const RELOADS: u64 = 1000;
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let app = variant(0, [&one, &two]).start();
    let load = Arc::<Load>::default();
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(requests(http(&app), Arc::clone(&load)))).collect();
    let begin = Instant::now();
    for number in 1..=RELOADS {
        let served = load.requests.load(Relaxed);
        let generation = reload(&app, &variant(number, [&one, &two])).await.unwrap();
        assert_eq!(generation, number + 1);
        until_true("requests between two reloads", || {
            load.requests.load(Relaxed) > served || clients.iter().any(|client| client.is_finished())
        })
        .await;
        if number % 50 == 0 {
            consistent(&one, "gate-2");
            consistent(&two, "gate-1");
        }
    }
    load.over.store(true, Relaxed);
    for client in clients {
        client.await.unwrap().unwrap();
    }
    let requests = load.requests.load(Relaxed);
    println!("{RELOADS} reloads in {:?}, {requests} requests", begin.elapsed());
    assert!(consistent(&one, "gate-2") > 0 && consistent(&two, "gate-1") > 0);
    assert!(requests >= RELOADS);
    let connections = one.counters().connections() + two.counters().connections();
    assert!(connections < 200, "{connections} connections: idle ones do not survive");
    let status = app.status();
    assert_eq!(status.generation, RELOADS + 1);
    until_true("leases balance", || app.status().roles[0].endpoints.iter().all(|endpoint| endpoint.in_flight == 0))
        .await;
    let drained = tokio::time::timeout(Duration::from_secs(30), shutdown(app)).await.unwrap();
    assert_eq!(drained.cut, 0);
}
