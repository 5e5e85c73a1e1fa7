//! What a running proxy tells: metrics, readiness, status and the access log; and how it ends.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use control_support::client::{Client, get};
use control_support::proxy::{MPLIST, PROBE, Toml, admin, endpoint, health, http, management_point, series, shutdown};
use control_support::{until, until_true};
use rolegate::app::App;
use rolegate::connection_error::ConnectionError;
use rolegate::error::Error;
use rolegate::metrics::{FAMILIES, Kind};
use rolegate::model::tier::TierKind;
use rolegate::status::Status;
use rolegate_bench::pki::Authority;
use rolegate_bench::site::SiteSystem;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

async fn proxy() -> (SiteSystem, App) {
    let site = management_point("mp1").await;
    let app = Toml::new(&["MP"]).site(&site, "MP").role("MP", PROBE).start();
    until_true("up", || health(&app, "mp1") == "up").await;
    (site, app)
}

/// The labels of a series: `{a="1",b="2"}`.
fn labels(series: &str) -> BTreeMap<&str, &str> {
    let Some((_, inside)) = series.split_once('{') else { return BTreeMap::new() };
    let inside = inside.rsplit_once('}').unwrap().0;
    inside.split("\",").map(|pair| pair.trim_end_matches('"').split_once("=\"").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_the_documented_families_with_the_documented_labels() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new("Lab CA").server(&["mp1.lab.test"]).write(folder.path(), "mp1").unwrap();
    let https = format!(
        "[[listeners]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\nroles = [\"MP\"]\n\
         tls = {{ certificates = [{{ certificate = {:?}, key = {:?} }}] }}\n",
        files.certificate, files.key
    );
    let site = management_point("mp1").await;
    let group = "[[boundary_groups]]\nname = \"Berlin\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"mp1\"]\n";
    let app = Toml::new(&["MP"]).add(&https).site(&site, "MP").role("MP", PROBE).add(group).start();
    until_true("up", || health(&app, "mp1") == "up").await;
    get(http(&app), MPLIST).await;
    get(http(&app), "/nowhere").await;
    let answer = admin(&app, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    let typed: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let kind = |kind: Kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let documented: BTreeMap<&str, &str> = FAMILIES.iter().map(|family| (family.0, kind(family.1))).collect();
    assert_eq!(typed, documented);
    let helped: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert_eq!(helped.len(), FAMILIES.len(), "every family says what it means");
    assert!(FAMILIES.iter().all(|family| (family.1 == Kind::Counter) == family.0.ends_with("_total")));

    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<String>>();
    let reasons = Error::ALL.iter().map(|error| error.reason());
    let reasons = reasons.chain(ConnectionError::ALL.iter().map(|error| error.reason()));
    let closed: BTreeMap<&str, BTreeSet<String>> = [
        ("code", words(&["1xx", "2xx", "3xx", "4xx", "5xx"])),
        ("reason", reasons.map(str::to_owned).collect()),
        ("tier", TierKind::ALL.iter().map(|tier| tier.as_str().to_owned()).collect()),
        ("allowed", words(&["yes", "budget"])),
        ("to", words(&["up", "degraded", "down"])),
        ("missing", words(&["content", "file", "listing"])),
        ("verdict", words(&["has", "lacks"])),
        ("direction", words(&["up", "down"])),
        ("sink", words(&["access_log", "notes"])),
        ("role", words(&["management-point", "none"])),
        ("site_system", words(&["mp1"])),
        ("boundary_group", words(&["Berlin", "Default-Site-Boundary-GroupP01"])),
        ("endpoint", words(&[&site.address().to_string()])),
        ("listener", words(&["http", "https"])),
        ("certificate", words(&["mp1.lab.test"])),
        ("kind", words(&["full", "resumed"])),
        ("by", words(&["client", "server", "failure"])),
        ("version", words(&[env!("CARGO_PKG_VERSION")])),
        ("result", words(&["pass", "fail", "unknown", "none", "one", "many", "ok", "failed", "accepted", "rejected"])),
    ]
    .into();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        assert!(value >= 0.0, "{line}");
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = FAMILIES.iter().find(|family| family.0 == name || base == Some(family.0)).expect(line);
        let mut found = labels(series);
        found.remove("le");
        let expected: BTreeSet<&str> = family.2.split(", ").filter(|label| !label.is_empty()).collect();
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected, "{line}");
        for (label, value) in found {
            assert!(closed[label].contains(value), "{label}={value} in {line}");
        }
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let (site, app) = proxy().await;
    let mut client = Client::connect(http(&app)).await;
    for _ in 0..3 {
        assert_eq!(client.get(MPLIST).await.status, 200);
    }
    assert_eq!(client.get("/nowhere").await.status, 404);
    assert_eq!(client.send("DELETE", MPLIST).await.unwrap().status, 405);
    let text = admin(&app, "/metrics").await.text().to_owned();
    let value = |name: &str| series(&text, name).unwrap_or_else(|| panic!("{name} is not in\n{text}"));
    let role = "role=\"management-point\"";
    let of = format!("{role},site_system=\"mp1\",endpoint=\"{}\"", site.address());
    assert_eq!(value(&format!("rolegate_requests_total{{{role},code=\"2xx\"}}")), 3.0);
    assert_eq!(value(&format!("rolegate_requests_total{{{role},code=\"4xx\"}}")), 1.0);
    assert_eq!(value("rolegate_requests_total{role=\"none\",code=\"4xx\"}"), 1.0);
    assert_eq!(value("rolegate_request_errors_total{role=\"none\",reason=\"destination_not_found\"}"), 1.0);
    assert_eq!(value(&format!("rolegate_request_errors_total{{{role},reason=\"http_request_denied\"}}")), 1.0);
    assert_eq!(value(&format!("rolegate_endpoint_requests_total{{{of},code=\"2xx\"}}")), 3.0);
    assert_eq!(value(&format!("rolegate_endpoint_connects_total{{{of}}}")), 1.0);
    assert_eq!(value(&format!("rolegate_endpoint_reuses_total{{{of}}}")), 2.0);
    assert_eq!(value(&format!("rolegate_endpoint_inflight{{{of}}}")), 0.0);
    assert_eq!(value(&format!("rolegate_tier_requests_total{{{role},tier=\"site\"}}")), 3.0);
    assert_eq!(value(&format!("rolegate_request_duration_seconds_count{{{role}}}")), 4.0);
    assert!(value(&format!("rolegate_endpoint_checks_total{{{of},result=\"pass\"}}")) >= 1.0);
    assert_eq!(value("rolegate_connections{listener=\"http\"}"), 1.0);
    assert_eq!(value("rolegate_build_info{version=\"0.1.0\"}"), 1.0);
    assert_eq!(value("rolegate_config_generation"), 1.0);
    assert_eq!(value("rolegate_snapshot_version"), app.status().snapshot as f64);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_answers_questions_only() {
    let (_site, app) = proxy().await;
    assert!(app.admin().ip().is_loopback());
    for (path, status, text) in [
        ("/health", 200, "alive\n"),
        ("/ready", 200, "ready\n"),
        ("/", 200, "rolegate: "),
        ("/nowhere", 404, "there is "),
    ] {
        let answer = admin(&app, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().starts_with(text), "{path}: {}", answer.text());
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let mut client = Client::connect(app.admin()).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/metrics", "/ready", "/health", "/status", "/"] {
            let answer = client.send(method, path).await.unwrap();
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.headers["allow"], "GET, HEAD");
        }
    }
    let head = client.send("HEAD", "/status").await.unwrap();
    assert!(head.status == 200 && head.body.is_empty());
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_admin_connections_do_not_shut_others_out() {
    let (_site, app) = proxy().await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(app.admin()).await.unwrap());
    }
    assert_eq!(admin(&app, "/health").await.status, 200);
    drop(idle);
    shutdown(app).await;
}

/// A request on a connection of its own, whose answer is never read.
async fn unread(app: &App, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(app.admin()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// A site whose status and metrics are too large to fit into a socket.
fn large() -> Toml {
    let mut large = Toml::new(&["web"]).role("web", "preset = \"plain\"\nprobe = { kind = \"none\" }\n");
    for number in 0..1500_u16 {
        large = large.system(&format!("srv{number}"), "web", ([127, 0, 0, 1], 1000 + number).into(), "");
    }
    large
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_read_hold_up_no_others() {
    let app = large().start();
    let mut stuck = Vec::new();
    for page in ["/metrics", "/status"] {
        for _ in 0..40 {
            stuck.push(unread(&app, page).await);
        }
    }
    for (page, text) in [("/health", "alive\n"), ("/ready", "ready\n")] {
        assert_eq!(admin(&app, page).await.text(), text, "{page}");
    }
    let metrics = admin(&app, "/metrics").await;
    assert!(
        metrics.text().contains("rolegate_endpoint_up") && metrics.text().len() > 1 << 20,
        "{}",
        metrics.text().len()
    );
    // Those who hold a turn and do not read: the next one is told to come again.
    let status = admin(&app, "/status").await;
    assert_eq!((status.status.as_u16(), status.headers.contains_key("retry-after")), (503, true));
    assert_eq!(admin(&app, "/health").await.status, 200);
    drop(stuck);
    until("the turns are given back", || async { (admin(&app, "/status").await.status == 200).then_some(()) }).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_admin_connection_makes_place_for_a_new_one() {
    let (_site, app) = proxy().await;
    let begun = Instant::now();
    let mut oldest = TcpStream::connect(app.admin()).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..64 {
        others.push(TcpStream::connect(app.admin()).await.unwrap());
    }
    assert_eq!(oldest.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
    assert!(begun.elapsed() < Duration::from_secs(4), "and not because it said nothing for so long");
    assert_eq!(admin(&app, "/health").await.status, 200);
    drop(others);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_is_served() {
    let site = management_point("mp1").await;
    let app = Toml::new(&["MP"])
        .site(&site, "MP")
        .role("MP", PROBE)
        .add("[[boundary_groups]]\nname = \"Berlin\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"mp1\"]\n")
        .add("description = \"Friedrichstraße\"\n")
        .start();
    until_true("up", || health(&app, "mp1") == "up").await;
    let answer = admin(&app, "/status").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let status: Status = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((status.site.as_str(), status.generation, status.reload.accepted), ("P01", 1, true));
    assert_eq!(status.listeners[0].name, "http");
    assert_eq!(status.listeners[0].roles, ["management-point"]);
    let role = &status.roles[0];
    assert_eq!((role.title.as_str(), role.panic, role.boundary_groups), ("Management point", false, true));
    let endpoint = &role.endpoints[0];
    assert_eq!(endpoint.address, site.address().to_string());
    assert!(endpoint.available && !endpoint.ejected && endpoint.weight == 100 && endpoint.in_flight == 0);
    assert!(endpoint.probes.0 >= 1 && endpoint.history.starts_with('.') && endpoint.since.is_some());
    let groups: Vec<&str> = status.boundary_groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(groups, ["Berlin", "Default-Site-Boundary-GroupP01"]);
    assert_eq!(status.boundary_groups[0].description.as_deref(), Some("Friedrichstraße"));
    assert_eq!((&status.description, &role.description, &endpoint.description), (&None, &None, &None));
    let of_role = |list: &str| ("management-point".to_owned(), vec![list.to_owned()]);
    assert_eq!(status.boundary_groups[0].servers, [of_role("mp1")]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((status.published - now).abs() < 300.0 && (status.reload.at - now).abs() < 300.0);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_requests_and_closes_idle_connections() {
    let (site, app) = proxy().await;
    let address = http(&app);
    let mut idle = Client::connect(address).await;
    idle.get(MPLIST).await;
    site.faults().set_stall_head(true);
    let mut busy = Client::connect(address).await;
    let slow = tokio::spawn(async move {
        let answer = busy.send("GET", MPLIST).await;
        (answer, busy)
    });
    until_true("the request", || endpoint(&app.status(), "mp1").unwrap().in_flight == 1).await;
    let ending = tokio::spawn(shutdown(app));
    until_true("the idle connection closes", || idle.closed()).await;
    until_true("nobody is let in", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(!slow.is_finished() && !ending.is_finished(), "the shutdown waits for the request");
    site.faults().set_stall_head(false);
    let (answer, busy) = slow.await.unwrap();
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), answer.server()), (200, Some("mp1")));
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(ending.await.unwrap().cut, 0);
    until_true("and its connection closes", || busy.closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let (site, app) = proxy().await;
    site.faults().set_stall_head(true);
    let address = http(&app);
    let ask = || tokio::spawn(async move { Client::connect(address).await.send("GET", MPLIST).await });
    let slow = [ask(), ask(), ask()];
    until_true("three requests", || endpoint(&app.status(), "mp1").unwrap().in_flight == 3).await;
    let begin = Instant::now();
    let drained = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_millis(300))).await.unwrap();
    assert_eq!(drained.cut, 3);
    assert!(begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < Duration::from_secs(20));
    for request in slow {
        assert!(request.await.unwrap().is_err(), "its connection was closed");
    }
}

/// A proxy with an access log, and where the log is.
async fn logging(path: &std::path::Path, buffer: u32) -> (SiteSystem, App) {
    let site = management_point("mp1").await;
    let log = format!("[access_log]\npath = \"{}\"\nbuffer = {buffer}\n", path.display());
    let app = Toml::new(&["MP"]).site(&site, "MP").role("MP", PROBE).add(&log).start();
    until_true("up", || health(&app, "mp1") == "up").await;
    (site, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_one_json_object_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (site, app) = logging(&path, 1000).await;
    let mut client = Client::connect(http(&app)).await;
    client.get(MPLIST).await;
    client.get("/nowhere?{GUID}&b=$sccm%20").await;
    // It is written while the proxy runs, not only at its end.
    until_true("two lines", || std::fs::read_to_string(&path).unwrap().lines().count() == 2).await;
    client.send("PUT", MPLIST).await.unwrap();
    drop(client);
    shutdown(app).await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n'));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [served, nowhere, method] = lines.as_slice() else { panic!("{text}") };

    let always = [
        "attempts",
        "boundary_groups",
        "bytes_down",
        "bytes_up",
        "client",
        "host",
        "http",
        "listener",
        "method",
        "peer",
        "snapshot",
        "status",
        "target",
        "total_us",
        "ts",
    ];
    let fields = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let with = |more: &[&str]| always.iter().chain(more).map(|field| (*field).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(fields(served), with(&["role", "tier", "site_system", "endpoint", "first_byte_us"]));
    assert_eq!(fields(nowhere), with(&["error"]));
    assert_eq!(fields(method), with(&["error", "role"]));

    assert_eq!(served["method"], "GET");
    assert_eq!(served["target"], MPLIST);
    assert_eq!(served["role"], "management-point");
    assert_eq!(served["tier"], "site");
    assert_eq!(served["site_system"], "mp1");
    assert_eq!(served["endpoint"], site.address().to_string());
    assert_eq!((&served["status"], &served["attempts"]), (&200.into(), &1.into()));
    assert_eq!(served["client"], "127.0.0.1");
    assert_eq!((&served["listener"], &served["http"]), (&"http".into(), &"1.1".into()));
    assert!(served["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(served["bytes_down"].as_u64().unwrap() > 50);
    assert!(served["first_byte_us"].as_u64() <= served["total_us"].as_u64());
    assert!(served["ts"].as_str().unwrap().ends_with('Z'), "{}", served["ts"]);
    assert_eq!(nowhere["target"], "/nowhere?{GUID}&b=$sccm%20", "byte for byte");
    assert_eq!((&nowhere["status"], &nowhere["error"]), (&404.into(), &"destination_not_found".into()));
    assert_eq!((&method["status"], &method["error"]), (&405.into(), &"http_request_denied".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_names_the_first_boundary_groups_of_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let site = management_point("mp1").await;
    let group = |name: &str| {
        format!("[[boundary_groups]]\nname = \"{name}\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"mp1\"]\n")
    };
    let groups: String = ["E", "D", "C \\\"x\\\"", "B", "A"].map(group).concat();
    let log = format!("[access_log]\npath = \"{}\"\n{groups}", path.display());
    let app = Toml::new(&["MP"]).site(&site, "MP").role("MP", PROBE).add(&log).start();
    until_true("up", || health(&app, "mp1") == "up").await;
    let mut client = Client::connect(http(&app)).await;
    client.get(MPLIST).await;
    client.get("/nowhere").await;
    drop(client);
    shutdown(app).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [served, nowhere] = lines.as_slice() else { panic!("{text}") };
    assert_eq!((&served["tier"], &served["boundary_groups"]), (&"current".into(), &5.into()));
    assert_eq!(served["boundary_group_names"], serde_json::json!(["E", "D", "C \"x\"", "B"]));
    assert_eq!((&nowhere["boundary_groups"], nowhere.get("boundary_group_names")), (&0.into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_drops_lines_and_counts_them_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // The reader opens the pipe, so that the proxy can, and reads nothing until it is told.
    let (read, told) = std::sync::mpsc::channel::<()>();
    let pipe = path.clone();
    let reader = std::thread::spawn(move || {
        let mut file = File::open(pipe).unwrap();
        told.recv().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    });
    let (_site, app) = logging(&path, 8).await;
    let dropped = |app: &App| series(&app.metrics(), "rolegate_telemetry_dropped_total{sink=\"access_log\"}").unwrap();
    let mut client = Client::connect(http(&app)).await;
    let mut requests = 0_u32;
    while dropped(&app) < 10.0 {
        assert_eq!(client.get(MPLIST).await.status, 200, "the log holds up no request");
        requests += 1;
        assert!(requests < 100_000, "nothing is ever dropped");
    }
    let dropped = dropped(&app);
    read.send(()).unwrap();
    drop(client);
    shutdown(app).await;
    let text = tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    assert_eq!(whole, text.lines().count(), "no line is cut");
    assert_eq!(whole as f64 + dropped, f64::from(requests), "every request is written or counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_holds_up_nobody() {
    let (_site, app) = logging(std::path::Path::new("/dev/full"), 10_000).await;
    let mut client = Client::connect(http(&app)).await;
    for _ in 0..2000 {
        assert_eq!(client.get(MPLIST).await.status, 200);
    }
    // The queue has room for all of them: it is the disk that has not.
    let dropped = || series(&app.metrics(), "rolegate_telemetry_dropped_total{sink=\"access_log\"}").unwrap();
    until_true("lines that are lost are counted", || dropped() > 0.0).await;
    drop(client);
    tokio::time::timeout(control_support::PATIENCE, shutdown(app)).await.expect("and the shutdown ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let pipe = path.clone();
    let reader = std::thread::spawn(move || File::open(pipe).unwrap());
    let (_site, app) = logging(&path, 8).await;
    let unread = reader.join().unwrap();
    let dropped = |app: &App| series(&app.metrics(), "rolegate_telemetry_dropped_total{sink=\"access_log\"}").unwrap();
    let mut client = Client::connect(http(&app)).await;
    while dropped(&app) < 1.0 {
        client.get(MPLIST).await;
    }
    drop(client);
    tokio::time::timeout(control_support::PATIENCE, shutdown(app)).await.expect("the shutdown ends");
    drop(unread);
}
