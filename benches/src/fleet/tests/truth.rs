//! What is reported against what a server itself has counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::content::{Content, Package};
use crate::load::Watch;
use crate::pki::Authority;
use crate::record::Run;
use crate::scripted::{Act, Asked, Scripted, strict};
use crate::site::{SiteSystem, Spec};

const LONGEST: Duration = Duration::from_secs(60);

/// So many clients that do these things once, one soon after the other, and never again.
pub(super) fn once(clients: u32, activities: &str) -> String {
    format!(
        "clients = {clients}\nduration = \"1h\"\nspeedup = 1\nschedules = false\n\
         [[storms]]\nwithin = \"100ms\"\napart = \"10ms\"\nactivities = [{activities}]\n"
    )
}

/// Runs it until this is all and nothing is under way any more.
pub(super) fn until_all(text: &str, target: Target, is_all: impl Fn() -> bool) -> Run {
    let (scenario, fleet) = (Scenario::parse(text).unwrap(), fleet(text));
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    let (watch, seconds) = Watch::new();
    let stop = Watch { intervals: None, ..watch.clone() };
    let running = thread::spawn(move || run(&scenario, &fleet, &target, &running, &watch).unwrap());
    // A second may be told after another has begun, so that one is not enough.
    let mut calm = 0;
    while calm < 3 {
        let second = seconds.recv_timeout(LONGEST).unwrap();
        calm = if is_all() && second.under_way == 0 { calm + 1 } else { 0 };
    }
    stop.stop();
    running.join().unwrap()
}

/// Runs it to its end.
fn to_the_end(text: &str, target: &Target) -> Run {
    let (scenario, fleet) = (Scenario::parse(text).unwrap(), fleet(text));
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    run(&scenario, &fleet, target, &running, &Watch::default()).unwrap()
}

pub(super) fn plainly(address: SocketAddr) -> Target {
    Target { address, host: address.to_string(), tls: None, notification: None }
}

/// What became of the requests of each message type: how many were good, and how many failed in which way.
pub(super) fn outcomes(run: &Run) -> BTreeMap<&str, Vec<(&str, u64)>> {
    let outcomes = run.series.iter().map(|series| {
        let good = (series.done > 0).then_some(("good", series.done));
        let failed = series.errors.iter().map(|(kind, count)| (kind.as_str(), *count));
        (series.message.as_str(), good.into_iter().chain(failed).collect())
    });
    outcomes.collect()
}

pub(super) fn requests(run: &Run) -> u64 {
    run.series.iter().map(|series| series.done + series.errors.values().sum::<u64>()).sum()
}

#[test]
fn a_wrong_answer_is_a_failure_and_nothing_else() {
    let server = Scripted::start(|_| Act::ok());
    let all: Vec<_> = Activity::ALL.iter().map(|activity| format!("\"{activity}\"")).collect();
    let text = once(20, &all.join(", ")) + "[activities.user-policy]\nshare = 1\n";
    let run = until_all(&text, plainly(server.address), || server.asked().len() == 20 * Activity::ALL.len());
    // Each activity ends with its first request.
    assert_eq!(requests(&run), server.asked().len() as u64);
    let mut expected = BTreeMap::new();
    for activity in Activity::ALL {
        // Of a message to a fallback status point nobody looks at more of the answer than its status.
        let outcome = if activity == Activity::FallbackStatus { "good" } else { "protocol" };
        expected.entry(activity.first().name()).or_insert(vec![(outcome, 0)])[0].1 += 20;
    }
    assert_eq!(outcomes(&run), expected);
    assert!(run.series.iter().all(|series| series.latency.count() == series.done), "{run:?}");
    let timeline: u64 = run.timeline.iter().map(|interval| interval.done + interval.errors).sum();
    assert_eq!((timeline, run.dropped), (360, 0));
}

#[test]
fn what_counts_is_what_was_due_in_the_measured_time() {
    // Every answer comes long after the request was due: those of the warm-up in the first second, those of the first second
    // in the third, and what the last of them lead to after the end.
    let good = Act::status("200 OK", b"<MPList/>");
    let Act::Say(good) = good else { unreachable!() };
    let server = Scripted::start(move |asked| match asked.target.as_str() {
        "/SMS_MP/.sms_aut?MPLIST" => Act::SayAfter(Duration::from_millis(2100), good.clone()),
        _ => Act::ok(),
    });
    let text = "clients = 10\nwarm_up = \"1s\"\nduration = \"2s\"\nspeedup = 1\nschedules = false\n\
                [[storms]]\nwithin = \"1ms\"\nactivities = [\"service-location\"]\n\
                [[storms]]\nat = \"1200ms\"\nwithin = \"1ms\"\nactivities = [\"service-location\"]\n";
    let (scenario, fleet) = (Scenario::parse(text).unwrap(), fleet(text));
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    let target = Target { address: server.address, host: server.address.to_string(), tls: None, notification: None };
    let run = run(&scenario, &fleet, &target, &running, &Watch::default()).unwrap();
    let lists: Vec<_> = run.series.iter().filter(|series| series.message == "service location").collect();
    assert_eq!(lists.iter().map(|series| series.done).sum::<u64>(), 10, "{run:?}");
    // Of the certificates, those count that were asked for before the end.
    let seconds: Vec<_> = run.timeline.iter().map(|second| second.done).collect();
    assert_eq!(seconds, [10, 0], "{run:?}");
    assert_eq!(server.asked().len(), 40, "all were asked for");
    let certificates = run.series.iter().filter(|series| series.message == "MP certificate");
    assert!(certificates.map(|series| series.errors["protocol"]).sum::<u64>() <= 10, "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_with_other_bytes_fails_in_the_requests_that_brought_it() {
    let content = Arc::new(Content::new([Package::parse("PKG00001:2x10KiB").unwrap()]));
    let site =
        SiteSystem::start(Spec::management_point("all").content(&content).role(crate::site::Role::DistributionPoint));
    let site = site.await.unwrap();
    // The bytes follow from the size, so that every one of them may be another.
    let text = once(5, "\"content\"") + "[[content]]\npackage = \"PKG00001:2x10241B\"\n";
    let (target, site) = (plainly(site.address()), Arc::new(site));
    let seen = Arc::clone(&site);
    // The first file is fetched, and is not what it should be.
    let run = tokio::task::spawn_blocking(move || until_all(&text, target, || seen.counters().requests() == 5 * 7))
        .await
        .unwrap();
    let expected = [
        ("content listing", vec![("good", 5)]),
        ("content location", vec![("good", 5)]),
        ("content range", vec![("hash", 20)]),
        ("content size", vec![("good", 5)]),
    ];
    assert_eq!(outcomes(&run), BTreeMap::from(expected));
    assert_eq!(requests(&run), site.counters().requests());
}

pub(super) const LISTS: &str = "/SMS_MP/.sms_aut?MPLIST";

/// What is done with a request for the list of management points or for a certificate, and what that comes to. A connection
/// that had no answer yet is ended only where it is new: one that was kept is tried again.
pub(super) fn act(asked: &Asked) -> (&'static str, Act) {
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n<MPList";
    match (asked.target == LISTS, asked.number % 8) {
        (true, 0) => ("closed", Act::Close(Vec::new())),
        (true, 1) => ("reset", Act::Reset(Vec::new())),
        (_, 2) => ("short", Act::Close(short.to_vec())),
        (true, 3) => ("protocol", Act::Close(b"SSH-2.0-OpenSSH\r\n".to_vec())),
        (_, 4) => ("protocol", Act::ok()),
        (_, 5) => ("status 302", Act::status("302 Found", b"elsewhere")),
        (true, _) => ("good", Act::status("200 OK", b"<MPList></MPList>")),
        (false, _) => ("good", Act::status("200 OK", b"<MPCertificate>3082</MPCertificate>")),
    }
}

#[test]
fn requests_and_outcomes_are_those_that_the_server_counted() {
    let server = Scripted::start(|asked| act(asked).1);
    let run = until_all(&once(100, "\"service-location\""), plainly(server.address), || {
        // A list each, and a certificate for each that was good.
        let asked = server.asked();
        let lists: Vec<_> = asked.iter().filter(|asked| asked.target == LISTS).collect();
        let good = lists.iter().filter(|asked| act(asked).0 == "good").count();
        lists.len() == 100 && asked.len() == 100 + good
    });
    let mut expected: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let asked = server.asked();
    for asked in &asked {
        let message = if asked.target == LISTS { "service location" } else { "MP certificate" };
        *expected.entry(message).or_default().entry(act(asked).0).or_default() += 1;
    }
    let outcomes = outcomes(&run).into_iter().map(|(message, its)| (message, its.into_iter().collect()));
    assert_eq!(outcomes.collect::<BTreeMap<&str, BTreeMap<&str, u64>>>(), expected);
    assert!(run.series.iter().all(|series| series.latency.count() == series.done), "{run:?}");
    assert_eq!(run.dropped, 0);
}

#[test]
fn percentiles_are_those_of_the_delays_that_the_server_made() {
    // So far apart that no machine takes the one for the other.
    const LONG: Duration = Duration::from_secs(4);
    let slow = |asked: &Asked| asked.number % 5 == 3;
    let list = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<MPList/>".to_vec();
    let server = Scripted::start(move |asked| match (asked.target == LISTS, slow(asked)) {
        (true, true) => Act::SayAfter(LONG, list.clone()),
        (true, false) => Act::Say(list.clone()),
        (false, _) => Act::ok(),
    });
    // What is answered late is not in the seconds that are told while it runs: it runs to its end.
    let text = once(50, "\"service-location\"").replace("duration = \"1h\"", "duration = \"3s\"");
    let run = to_the_end(&text, &plainly(server.address));
    let asked = server.asked();
    let slow = asked.iter().filter(|asked| asked.target == LISTS && slow(asked)).count() as u64;
    let lists = run.series.iter().find(|series| series.message == "service location").unwrap();
    let us = u64::try_from(LONG.as_micros()).unwrap();
    // Three digits are right.
    let counted = lists.latency.histogram().count_between(us - us / 1000, u64::MAX);
    assert_eq!((lists.done, counted), (50, slow), "{run:?}");
    let edge = 100.0 * (50 - slow) as f64 / 50.0;
    let (below, above) = (lists.latency.percentile(edge - 0.1), lists.latency.percentile(edge + 0.1));
    assert!(below < us / 2 && above >= us - us / 1000, "{below} and {above} at {edge} %");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_over_tls_says_its_reason() {
    let authority = Authority::new("Lab Root CA");
    let server = Scripted::secured(strict(&authority), |asked| act(asked).1);
    let trusting = crate::client::Tls::new().trusting(authority.certificate_pem());
    let other = Authority::new("Another CA");
    for (tls, kind, advice) in [
        (trusting.clone(), "tls certificate required", "--certificate and --key"),
        (trusting.identity(&other.client("PC00001")), "tls certificate refused", "check --certificate"),
        (crate::client::Tls::new().trusting(other.certificate_pem()), "tls unknown authority", "check --ca"),
    ] {
        let tls = Some(tls.connector().unwrap());
        let target = Target { host: "localhost".to_owned(), tls, ..plainly(server.address) };
        let found = check(&fleet("schedules = false\n"), &target).await;
        assert!(found.wrong.len() == 1 && found.wrong[0].contains(advice), "{kind}: {found:?}");
        let text = once(10, "\"policy\"").replace("duration = \"1h\"", "duration = \"2s\"");
        let run = tokio::task::spawn_blocking(move || to_the_end(&text, &target)).await.unwrap();
        assert_eq!(outcomes(&run), BTreeMap::from([("policy request", vec![(kind, 10)])]));
    }
}

#[tokio::test]
async fn a_target_that_is_none_is_named_in_words() {
    let away = b"HTTP/1.1 301 Moved\r\nLocation: https://mp/\r\nContent-Length: 0\r\n\r\n";
    for (act, words) in [
        (Act::Close(Vec::new()), "closes connections without a word"),
        (Act::Close(b"SSH-2.0-OpenSSH\r\n".to_vec()), "says 'SSH-2.0-OpenSSH', which is no HTTP"),
        (Act::Close(b"\x15\x03\x03\0\x02\x02\x32".to_vec()), "has to begin with https://"),
        (Act::Say(away.to_vec()), "elsewhere (301 Moved Permanently to https://mp/)"),
    ] {
        let server = Scripted::start(move |_| act.clone());
        let found = check(&fleet("schedules = false\n"), &plainly(server.address)).await;
        assert!(found.wrong.len() == 1 && found.wrong[0].contains(words), "{words}: {found:?}");
    }
}
