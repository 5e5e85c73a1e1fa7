//! What is reported against what a server itself has counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::content::{Content, Package};
use crate::load::Watch;
use crate::record::Run;
use crate::scripted::{Act, Scripted};
use crate::site::{SiteSystem, Spec};

const LONGEST: Duration = Duration::from_secs(60);

/// So many clients that do these things once, one soon after the other, and never again.
fn once(clients: u32, activities: &str) -> String {
    format!(
        "clients = {clients}\nduration = \"1h\"\nspeedup = 1\nschedules = false\n\
         [[storms]]\nwithin = \"100ms\"\napart = \"10ms\"\nactivities = [{activities}]\n"
    )
}

/// Runs it until so many requests have had their outcome.
fn until(text: &str, address: std::net::SocketAddr, over: u64) -> Run {
    let (scenario, fleet) = (Scenario::parse(text).unwrap(), fleet(text));
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    let target = Target { address, host: address.to_string(), tls: None, notification: None };
    let (watch, seconds) = Watch::new();
    let stop = Watch { intervals: None, ..watch.clone() };
    let running = thread::spawn(move || run(&scenario, &fleet, &target, &running, &watch).unwrap());
    let mut told = 0;
    while told < over {
        let second = seconds.recv_timeout(LONGEST).unwrap();
        told += second.done + second.errors;
    }
    stop.stop();
    running.join().unwrap()
}

/// What became of the requests of each message type: how many were good, and how many failed in which way.
fn outcomes(run: &Run) -> BTreeMap<&str, Vec<(&str, u64)>> {
    let outcomes = run.series.iter().map(|series| {
        let good = (series.done > 0).then_some(("good", series.done));
        let failed = series.errors.iter().map(|(kind, count)| (kind.as_str(), *count));
        (series.message.as_str(), good.into_iter().chain(failed).collect())
    });
    outcomes.collect()
}

fn requests(run: &Run) -> u64 {
    run.series.iter().map(|series| series.done + series.errors.values().sum::<u64>()).sum()
}

#[test]
fn a_wrong_answer_is_a_failure_and_nothing_else() {
    let server = Scripted::start(|_| Act::ok());
    let all: Vec<_> = Activity::ALL.iter().map(|activity| format!("\"{activity}\"")).collect();
    let run = until(&once(20, &all.join(", ")), server.address, 20 * 9);
    // Each activity ends with its first request.
    assert_eq!(requests(&run), server.asked().len() as u64);
    let mut expected: BTreeMap<_, _> = [
        "service location",
        "policy request",
        "state message",
        "heartbeat DDR",
        "scan version",
        "content location",
        "registration",
    ]
    .map(|message| (message, vec![("protocol", 20)]))
    .into();
    expected.insert("inventory upload", vec![("protocol", 40)]);
    assert_eq!(outcomes(&run), expected);
    assert!(run.series.iter().all(|series| series.latency.count() + series.service.count() == 0), "{run:?}");
    let timeline: u64 = run.timeline.iter().map(|interval| interval.done + interval.errors).sum();
    assert_eq!((timeline, run.dropped), (180, 0));
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
    let address = site.address();
    // The first file is fetched, and is not what it should be.
    let run = tokio::task::spawn_blocking(move || until(&text, address, 5 * 7)).await.unwrap();
    let expected = [
        ("content listing", vec![("good", 5)]),
        ("content location", vec![("good", 5)]),
        ("content range", vec![("hash", 20)]),
        ("content size", vec![("good", 5)]),
    ];
    assert_eq!(outcomes(&run), BTreeMap::from(expected));
    assert_eq!(requests(&run), site.counters().requests() as u64);
}
