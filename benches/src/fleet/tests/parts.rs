//! Parts of a load, merged, against what one server has counted of all of them.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::truth::{LISTS, act, once, outcomes, plainly};
use super::*;
use crate::load::Watch;
use crate::record::{Missing, Part, Run, merge};
use crate::scripted::{Act, Scripted};

fn part(number: u32, of: u32, clients: u32) -> Part {
    Part { number, of, clients: u64::from(clients), agreed_unix_ms: None }
}

/// Runs all parts at a time, and merges what was written of each.
fn merged(of: u32, run: impl Fn(u32) -> Run + Sync) -> Run {
    let written = |number| {
        let text = serde_json::to_string(&run(number)).unwrap();
        (format!("{number}.json"), serde_json::from_str(&text).unwrap())
    };
    let files: Vec<_> = thread::scope(|scope| {
        let parts: Vec<_> = (1..=of).map(|number| scope.spawn(move || written(number))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    merge(&files, Missing::Refused).unwrap()
}

/// Runs part `number` of a fleet of 100 to its end, with another number of threads than the others.
fn run_part(text: &str, target: &Target, number: u32) -> Run {
    let scenario = Scenario::parse(text).unwrap();
    let fleet = Fleet { part: Some(part(number, 3, 100)), ..fleet(text) };
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: number };
    run(&scenario, &fleet, target, &running, &Watch::default()).unwrap()
}

#[test]
fn parts_of_a_fleet_are_the_fleet_and_merged_they_are_what_the_server_counted() {
    let server = Scripted::start(|asked| act(asked).1);
    let text = once(100, "\"service-location\"").replace("duration = \"1h\"", "duration = \"2s\"");
    let target = plainly(server.address);
    let whole = merged(3, |number| run_part(&text, &target, number));
    let mut expected: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let asked = server.asked();
    for asked in &asked {
        let message = if asked.target == LISTS { "service location" } else { "MP certificate" };
        *expected.entry(message).or_default().entry(act(asked).0).or_default() += 1;
    }
    assert_eq!(asked.iter().filter(|asked| asked.target == LISTS).count(), 100, "each client is in one part");
    let outcomes = outcomes(&whole).into_iter().map(|(message, its)| (message, its.into_iter().collect()));
    assert_eq!(outcomes.collect::<BTreeMap<&str, BTreeMap<&str, u64>>>(), expected);
    let seconds: u64 = whole.timeline.iter().map(|second| second.done + second.errors).sum();
    assert_eq!((seconds, whole.clients, whole.generator.threads), (asked.len() as u64, 100, 6));
    assert_eq!(whole.parts.iter().map(|part| part.clients).collect::<Vec<_>>(), [34, 33, 33]);
}

#[test]
fn merged_percentiles_are_those_of_the_delays_that_the_server_made() {
    // So far apart that no machine takes the one for the other.
    const LONG: Duration = Duration::from_secs(4);
    let list = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<MPList/>".to_vec();
    let server = Scripted::start(move |asked| match (asked.target == LISTS, asked.number % 5 == 3) {
        (true, true) => Act::SayAfter(LONG, list.clone()),
        (true, false) => Act::Say(list.clone()),
        (false, _) => Act::ok(),
    });
    let text = once(100, "\"service-location\"").replace("duration = \"1h\"", "duration = \"3s\"");
    let target = plainly(server.address);
    let whole = merged(3, |number| run_part(&text, &target, number));
    let slow = server.asked().iter().filter(|asked| asked.target == LISTS && asked.number % 5 == 3).count() as u64;
    let lists = whole.series.iter().find(|series| series.message == "service location").unwrap();
    let us = u64::try_from(LONG.as_micros()).unwrap();
    // Three digits are right.
    let counted = lists.latency.histogram().count_between(us - us / 1000, u64::MAX);
    assert_eq!((lists.done, counted), (100, slow), "{whole:?}");
    let edge = (100 - slow) as f64;
    let (below, above) = (lists.latency.percentile(edge - 0.1), lists.latency.percentile(edge + 0.1));
    assert!(below < us / 2 && above >= us - us / 1000, "{below} and {above} at {edge} %");
    // Of the second in which most were due, too, which no part knows alone.
    let first = &whole.timeline[0];
    assert!(
        first.p50_us < us / 2 && first.max_us >= us - us / 1000 && first.roles["MP"].p99_us >= us - us / 1000,
        "{first:?}"
    );
}

#[test]
fn parts_of_plain_load_share_its_rate_and_its_connections() {
    let server = Scripted::start(|asked| match asked.number % 4 {
        0 => Act::status("503 Service Unavailable", b"no"),
        _ => Act::ok(),
    });
    let text = "[plain]\nrate = 200\nconnections = 7\nduration = \"1s\"\n";
    let scenario = Scenario::parse(text).unwrap();
    let Kind::Plain(plain) = &scenario.kind else { panic!("{scenario:?}") };
    let to = Address::parse(&format!("http://{}/a", server.address)).unwrap();
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    let whole = merged(2, |number| {
        let plain = Plain { part: Some(part(number, 2, 7)), ..Plain::clone(plain) };
        run_plain(&scenario, &plain, &to, None, &running, &Watch::default()).unwrap()
    });
    let asked = server.asked();
    let refused = asked.iter().filter(|asked| asked.number % 4 == 0).count() as u64;
    let series = &whole.series[0];
    // What this machine had no time to send is no request.
    let unsent = series.errors.get("unsent").copied().unwrap_or_default();
    assert_eq!((series.done + refused, series.errors["status 503"]), (asked.len() as u64, refused), "{whole:?}");
    assert!((asked.len() as u64 + unsent).abs_diff(200) <= 1, "{whole:?}");
    assert_eq!(whole.parts.iter().map(|part| part.clients).collect::<Vec<_>>(), [4, 3]);
    assert!((whole.measured_s - 1.0).abs() < 1e-9 && whole.clients == 7, "{whole:?}");
}
