//! Thresholds of scenarios, and figures while a run is under way.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::*;
use crate::load::Watch;
use crate::record::{Outcome, Run};
use crate::scripted::{Act, Scripted};

const LONGEST: Duration = Duration::from_secs(60);

/// What is wrong, with the place.
fn wrong(text: &str) -> Vec<String> {
    Scenario::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_in_thresholds_are_told_with_their_place() {
    let told = wrong(
        "thresholds = [\"p99 < 1s\", \"p99 = 1s\",\n  \"role MPP: errors < 1%\",\n  \"policy: max < 1s\"]\n\
         clients = 0\n[[groups]]\nname = \"HQ\"\n",
    );
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].starts_with("line 1, column 27: thresholds: 'p99 = 1s': there is no '<' or '>'"), "{told:#?}");
    assert!(
        told[1].starts_with("line 2, column 3: thresholds: 'role MPP: errors < 1%': there is no role 'MPP'"),
        "{told:#?}"
    );
    assert!(
        told[2].starts_with("line 3, column 3: ") && told[2].contains("there is no message type 'policy'"),
        "{told:#?}"
    );
    assert!(wrong("thresholds = \"p99 < 1s\"\n")[0].starts_with("line 1, column 14: thresholds: invalid type"));
    assert!(wrong("thresholds = [5]\n")[0].starts_with("line 1, column 15: thresholds: invalid type"));
    assert!(
        wrong("thresholds = [\"group Moon: max < 1s\"]\n[[groups]]\nname = \"HQ\"\n")[0].contains("there are 'HQ'")
    );
}

#[test]
fn thresholds_of_plain_load_are_about_its_requests() {
    let plain = |threshold: &str, more: &str| format!("thresholds = [\"{threshold}\"]\n[plain]\n{more}");
    assert_eq!(Scenario::parse(&plain("GET /a: max < 1s", "urls = [\"/a\", \"/b\"]")).unwrap().thresholds.len(), 1);
    let told = wrong(&plain("GET /c: max < 1s", "urls = [\"/a\", \"/b\"]"));
    assert!(told[0].contains("there is no message type 'GET /c'; did you mean 'GET /a'?"), "{told:?}");
    assert!(wrong(&plain("role MP: max < 1s", ""))[0].contains("there is none here"));
    let open = Scenario::parse(&plain("GET /c: max < 1s", "")).unwrap();
    let unknown = |target| open.thresholds[0].unknown(&open.kind.names(Some(target)));
    assert_eq!(unknown("/c"), None);
    assert!(unknown("/elsewhere").is_some_and(|told| told.contains("there are 'GET /elsewhere'")));
}

#[test]
fn thresholds_can_be_set() {
    let set = |value: &str| Scenario::parse_with("thresholds = [\"max < 1s\"]\n", &[value.to_owned()]);
    let texts: Vec<_> = set("thresholds=[\"p99 <= 2s\", \"errors < 1%\"]")
        .unwrap()
        .thresholds
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(texts, ["p99 <= 2s", "errors < 1%"]);
    let told = set("thresholds=[\"p99 <= 2\"]").unwrap_err()[0].to_string();
    assert!(told.starts_with("with the values that were set: thresholds: 'p99 <= 2': '2' is not a time"), "{told}");
}

/// A fleet of a hundred clients that each ask for the list of management points once.
fn lists(address: SocketAddr, thresholds: &str, watch: &Watch, enough: impl FnOnce() + Send + 'static) -> Run {
    let text = format!(
        "thresholds = [{thresholds}]\nclients = 100\nduration = \"1h\"\nspeedup = 1\nschedules = false\n\
         [[storms]]\nwithin = \"100ms\"\nactivities = [\"service-location\"]\n"
    );
    let (scenario, fleet) = (Scenario::parse(&text).unwrap(), fleet(&text));
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    let target = Target { address, host: address.to_string(), tls: None, notification: None };
    let stop = watch.clone();
    let waiting = thread::spawn(move || {
        enough();
        stop.stop();
    });
    let run = run(&scenario, &fleet, &target, &running, watch).unwrap();
    waiting.join().unwrap();
    run
}

/// The body of an answer to `GET /metrics`.
fn scrape(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The values of all lines that begin so, added up.
fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

/// The server answers four of five lists, and counts for itself; what is read over a socket meanwhile is what it counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_figures_and_thresholds_are_those_that_the_server_counted() {
    let server = Arc::new(Scripted::start(|asked| match (asked.target.ends_with("MPLIST"), asked.number % 5) {
        (true, 0) => Act::status("503 Service Unavailable", b""),
        (true, _) => Act::status("200 OK", b"<MPList></MPList>"),
        (false, _) => Act::status("200 OK", b"<MPCertificate>3082</MPCertificate>"),
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = listener.local_addr().unwrap();
    let live: Arc<OnceLock<_>> = Arc::default();
    let exposing = tokio::spawn(expose(listener, Arc::clone(&live)));
    let (watch, seconds) = Watch::new();
    let watch = Watch { live: Some(live), ..watch };
    let (address, seen) = (server.address, Arc::new(std::sync::Mutex::new(String::new())));
    let (told, its) = (Arc::clone(&seen), Arc::clone(&server));
    let enough = move || {
        // Whoever has an answer asks for a certificate.
        let all = |asked: &[crate::scripted::Asked]| {
            let lists = || asked.iter().filter(|asked| asked.target.ends_with("MPLIST"));
            let failed = lists().filter(|asked| asked.number % 5 == 0).count();
            lists().count() == 100 && asked.len() == 200 - failed
        };
        // What is told is at most a tenth of a second old, and a second is told after it.
        let mut calm = 0;
        while calm < 2 {
            let second = seconds.recv_timeout(LONGEST).unwrap();
            calm = if all(&its.asked()) && second.under_way == 0 { calm + 1 } else { 0 };
        }
        *told.lock().unwrap() = scrape(metrics, "/metrics");
    };
    let thresholds = "\"service location: errors < 1%\", \"MP certificate: errors <= 0\", \"role DP: requests > 0\", \
                      \"role DP: errors < 1%\", \"p90 < 1min\"";
    let run = tokio::task::spawn_blocking(move || lists(address, thresholds, &watch, enough)).await.unwrap();
    let asked = server.asked();
    let failed = asked.iter().filter(|asked| asked.target.ends_with("MPLIST") && asked.number % 5 == 0).count();
    let text = seen.lock().unwrap().clone();
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    let location = "{message=\"service location\",role=\"MP\"";
    assert_eq!(sum(&text, &format!("fleet_good_answers_total{location}")), (100 - failed) as f64, "{text}");
    assert_eq!(sum(&text, &format!("fleet_failures_total{location},kind=\"status 503\"")), failed as f64, "{text}");
    assert_eq!(sum(&text, &format!("fleet_latency_seconds_bucket{location},le=\"+Inf\"")), (100 - failed) as f64);
    assert_eq!(sum(&text, "fleet_good_answers_total"), (asked.len() - failed) as f64);
    assert_eq!((sum(&text, "fleet_failures_total"), sum(&text, "fleet_under_way")), (failed as f64, 0.0), "{text}");
    assert!(scrape(metrics, "/").starts_with("HTTP/1.1 404"));
    exposing.abort();

    let outcomes: Vec<_> = run.thresholds.iter().map(|judged| (judged.outcome, judged.samples)).collect();
    let certificates = (100 - failed) as u64;
    let expected = [
        (Outcome::Missed, 100),
        (Outcome::Met, certificates),
        (Outcome::Missed, 0),
        (Outcome::NotJudged, 0),
        (Outcome::Met, 2 * certificates),
    ];
    assert_eq!(outcomes, expected, "{:?}", run.thresholds);
    assert_eq!(run.thresholds[0].value, Some(failed as f64 / 100.0));
}
