//! What a scrape costs: how much is said of each endpoint, how long that takes, and that what is gone is not shown for ever.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use control_support::proxy::{Toml, admin, management_point, reload, series, shutdown};
use control_support::until_true;
use rolegate::app::App;
use rolegate::model::tier::TierKind;
use rolegate_bench::pki::Authority;

const ALL: &str = "endpoint_metrics = \"all\"";
const NO_PROBES: &str = "probe = { kind = \"none\" }\n";

/// Lines that are series.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// Values of a label.
fn values<'a>(text: &'a str, label: &str) -> BTreeSet<&'a str> {
    let begin = format!("{label}=\"");
    lines(text).filter_map(|line| line.split_once(&begin)?.1.split_once('"')).map(|(value, _)| value).collect()
}

/// Families of which there are series.
fn families(text: &str) -> BTreeSet<&str> {
    lines(text).filter_map(|line| line.split(['{', ' ']).next()).collect()
}

const SYSTEMS: u32 = 2000;
const GROUPS: u32 = 200;

/// A large site: names as long as people make them, ten distribution points in each boundary group.
fn large(detail: &str) -> Toml {
    let mut toml = Toml::new(&["DP"]).set(ALL, detail).role("DP", NO_PROBES);
    for number in 0..SYSTEMS {
        let address = Ipv4Addr::from(0x0a01_0000 + number);
        let name = format!("CM-DP-{number:04}.corp.contoso.com");
        toml = toml.system(&name, "DP", SocketAddr::from((address, 80)), "");
    }
    for group in 0..GROUPS {
        let each = SYSTEMS / GROUPS;
        let systems =
            (group * each..(group + 1) * each).map(|number| format!("\"CM-DP-{number:04}.corp.contoso.com\""));
        let systems = systems.collect::<Vec<_>>().join(",");
        toml = toml.add(&format!(
            "[[boundary_groups]]\nname = \"Branch {group:03}\"\nboundaries = [\"10.2.{group}.0/24\"]\nsite_systems = [{systems}]"
        ));
    }
    toml
}

/// Every distribution point and every group has served clients, and some have failed.
fn work(app: &App) {
    for cluster in &app.snapshot().clusters {
        for (number, endpoint) in cluster.topology.endpoints.iter().enumerate() {
            let metrics = &endpoint.metrics;
            let codes = [0, 123_456, 0, 1234, 0];
            metrics.requests.iter().zip(codes).for_each(|(counter, count)| counter.increment(count));
            (0..100).for_each(|_| metrics.duration.record(0.012_345_6));
            metrics.connects.increment(1234);
            metrics.reuses.increment(123_456);
            metrics.up.set(1.0);
            if number % 20 == 0 {
                metrics.failure(rolegate::error::Error::ConnectRefused).increment(1);
                metrics.ejections.increment(1);
            }
        }
        for group in cluster.topology.groups.iter().filter_map(|group| group.metrics.as_ref()) {
            group.answered(TierKind::Current);
            group.answered(TierKind::Default);
            group.sent(1_234_567_890);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_two_thousand_site_systems_is_small_and_quick() {
    let app = large("endpoint_metrics = \"few\"").start();
    work(&app);
    let text = app.metrics();
    assert_eq!(values(&text, "endpoint").len(), SYSTEMS as usize);
    assert_eq!(values(&text, "boundary_group").len(), GROUPS as usize + 1, "and the default group");
    let each = lines(&text).filter(|line| line.contains("endpoint=\"10.1.0.1:80\"")).count();
    assert_eq!(each, 6, "up, under way, two classes of answers, sum and count of durations");
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
    assert!(lines(&text).count() < 14_000, "{} lines", lines(&text).count());
    // Without optimization, and with the best of some tries, because others work here too.
    let took = (0..10).map(|_| {
        let begin = Instant::now();
        let length = app.metrics().len();
        (begin.elapsed(), length)
    });
    let (quickest, _) = took.min().unwrap();
    println!("{} bytes, {} lines, {quickest:?}", text.len(), lines(&text).count());
    assert!(quickest < Duration::from_millis(400), "{quickest:?}");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_word_of_endpoint_metrics_shows_more() {
    let site = management_point("mp1").await;
    let with = |word: &str| Toml::new(&["MP"]).set("\"all\"", &format!("{word:?}")).site(&site, "MP");
    let app = with("few").start();
    until_true("a probe has passed", || app.metrics().contains("rolegate_endpoint_up{") && up(&app) == 1.0).await;
    let of = |families: BTreeSet<&str>| {
        let own = families.into_iter().filter_map(|name| name.strip_prefix("rolegate_endpoint_"));
        own.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(families(&app.metrics())), ["inflight", "up"], "nothing that is zero");
    let client = app.listener("http").unwrap();
    assert_eq!(control_support::client::get(client, control_support::proxy::MPLIST).await.status, 200);
    let counted = ["duration_seconds_count", "duration_seconds_sum", "inflight", "requests_total", "up"];
    let text = app.metrics();
    assert_eq!(of(families(&text)), counted);
    assert!(text.contains("# TYPE rolegate_endpoint_duration_seconds summary\n"), "{text}");
    assert!(text.contains("\nrolegate_request_duration_seconds_bucket{role=\"management-point\""), "{text}");

    reload(&app, &with("none")).await.unwrap();
    assert_eq!(of(families(&app.metrics())), [""; 0]);
    assert_eq!(series(&app.metrics(), "rolegate_role_endpoints{role=\"management-point\",state=\"up\"}"), Some(1.0));

    reload(&app, &with("all")).await.unwrap();
    let text = admin(&app, "/metrics").await.text().to_owned();
    let all = of(families(&text));
    for name in ["duration_seconds_bucket", "connects_total", "reuses_total", "checks_total", "failures_total"] {
        assert!(all.iter().any(|own| own == name), "{name} is not in {all:?}");
    }
    assert!(text.contains("# TYPE rolegate_endpoint_duration_seconds histogram\n"), "{text}");
    let checks = lines(&text).find(|line| line.starts_with("rolegate_endpoint_checks_total") && line.contains("pass"));
    let passed: f64 = checks.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(passed >= 1.0, "those that were not shown were counted");
    shutdown(app).await;
}

fn up(app: &App) -> f64 {
    series(&app.metrics(), "rolegate_role_endpoints{role=\"management-point\",state=\"up\"}").unwrap_or_default()
}

/// Everything that has a name has a new one: four site systems, a role, a boundary group, a certificate.
fn round(number: u32, folder: &Path) -> Toml {
    let role = format!("own-{number}");
    let mut toml = Toml::new(&["DP", &role]).role("DP", NO_PROBES);
    toml = toml.role(&role, &format!("preset = \"plain\"\npaths = [\"/{number}/\"]\n{NO_PROBES}"));
    let mut names = String::new();
    for place in 0..4 {
        let (name, address) = (format!("s{number}-{place}"), Ipv4Addr::from(0x7f01_0000 + 4 * number + place));
        let _ = write!(names, "\"{name}\",");
        toml = toml.add(&format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{address}\"\nroles = [{{ role = \"DP\", port = 1 }}, {{ role = \"{role}\", port = 1 }}]"
        ));
    }
    let file = folder.join(format!("{}.pem", number / ROUNDS_OF_A_CERTIFICATE)).display().to_string();
    toml.add(&format!(
        "[[boundary_groups]]\nname = \"g{number}\"\nboundaries = [\"10.0.0.0/8\"]\nsite_systems = [{names}]\n\
         [[listeners]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
         [listeners.tls]\ncertificates = [{{ certificate = {file:?}, key = {file:?} }}]"
    ))
}

const ROUNDS: u32 = 1000;
const ROUNDS_OF_A_CERTIFICATE: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn series_stay_bounded_in_a_storm_of_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("Lab CA");
    for number in 0..=ROUNDS / ROUNDS_OF_A_CERTIFICATE {
        let own = authority.server(&[&format!("c{number}.lab.test")]);
        fs::write(folder.path().join(format!("{number}.pem")), own.certificate_pem + &own.key_pem).unwrap();
    }
    let app = round(0, folder.path()).start();
    let first = lines(&app.metrics()).count();
    let mut most = 0;
    for number in 1..=ROUNDS {
        reload(&app, &round(number, folder.path())).await.unwrap();
        if number % 20 != 0 && number != ROUNDS {
            continue;
        }
        let text = app.metrics();
        let [endpoints, roles, groups, certificates] =
            ["endpoint", "role", "boundary_group", "certificate"].map(|label| values(&text, label).len());
        // What left last goes a few seconds later, up to 256 endpoints, roles and groups.
        assert!(endpoints + roles + groups <= 4 + 3 + 2 + 256, "{endpoints}, {roles}, {groups} after {number}");
        assert_eq!(certificates, 1, "after {number}");
        most = most.max(lines(&text).count());
    }
    assert!(most < first * 40, "{most} series, {first} at the start");
    let text = app.metrics();
    assert!(values(&text, "site_system").contains(format!("s{ROUNDS}-0").as_str()), "the last one is there");
    shutdown(app).await;
}
