use super::*;
use crate::record::{Failure, Histograms, Sample, SeriesKey, recorders};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What happened: when, how long it took, and whether it was good, all in milliseconds.
type Happened = (u64, u64, Result<(), Failure>);

/// Part `number` of `of`, in which this happened.
fn part(number: u32, of: u32, happened: &[Happened]) -> (String, Run) {
    let key = |role: &str| SeriesKey { message: "ask".to_owned(), role: role.to_owned(), group: String::new() };
    let (mut recorders, collector) = recorders(vec![key("MP"), key("DP")], 1, Duration::ZERO);
    let collector = collector.with(Histograms::Kept);
    let mut one = recorders.remove(0);
    one.opened();
    for (place, (at, took, result)) in happened.iter().enumerate() {
        let (at, latency) = (ms(*at), ms(*took));
        one.record(place % 2, &Sample { at, latency, service: latency / 2, sent: 3, received: 10, result: *result });
    }
    one.late(ms(1), ms(u64::from(number)));
    one.finish(ms(3000));
    let collected = collector.collect(|_| {});
    let run = Run {
        format: FORMAT,
        name: "steady".to_owned(),
        label: "rolegate".to_owned(),
        started_unix_ms: 1_795_528_088_000 + u64::from(number),
        target: "http://mp1".to_owned(),
        scenario: "clients = 10".to_owned(),
        machine: Machine::here(),
        planned_s: 3.0,
        measured_s: collected.measured_s,
        interrupted: false,
        speedup: 60.0,
        clients: u64::from(number),
        seed: Some(1),
        part: Some(Part { number, of, clients: 10, agreed_unix_ms: Some(1_795_528_088_000) }),
        parts: Vec::new(),
        generator: collected.generator(2, ms(500)),
        dropped: u64::from(number),
        thresholds: Vec::new(),
        series: collected.series,
        timeline: collected.timeline,
    };
    (format!("{number}.json"), run)
}

/// Latencies that no mean of percentiles gives: nearly all are fast in one part, and all are slow in the other.
fn parts() -> Vec<(String, Run)> {
    let fast: Vec<Happened> = (0..900).map(|place| (place, 1, Ok(()))).collect();
    let slow: Vec<Happened> =
        (0..100).map(|place| (place, 100, Ok(()))).chain([(2500, 9, Err(Failure::Short))]).collect();
    vec![part(2, 2, &slow), part(1, 2, &fast)]
}

fn refused(files: &[(String, Run)]) -> Vec<String> {
    merge(files, Missing::Refused).unwrap_err()
}

#[test]
fn what_is_merged_is_what_one_would_have_measured() {
    let mut all: Vec<Happened> = (0..900).map(|place| (place, 1, Ok(()))).collect();
    all.extend((0..100).map(|place| (place, 100, Ok(()))));
    all.push((2500, 9, Err(Failure::Short)));
    let (_, one) = part(1, 1, &all);
    // Written and read, as files are.
    let files = parts().into_iter().map(|(file, run)| {
        let text = serde_json::to_string(&run).unwrap();
        (file, serde_json::from_str(&text).unwrap())
    });
    let whole = merge(&files.collect::<Vec<_>>(), Missing::Refused).unwrap();
    assert_eq!(whole.series, one.series);
    let figures = |run: &Run| -> Vec<_> {
        let of = |interval: &Interval| {
            let roles: Vec<_> = interval
                .roles
                .iter()
                .map(|(name, its)| (name.clone(), its.done, its.errors, its.p50_us, its.p99_us))
                .collect();
            let times = [interval.p50_us, interval.p99_us, interval.p999_us, interval.max_us];
            (interval.at_s.to_bits(), interval.length_s.to_bits(), interval.done, interval.errors, times, roles)
        };
        run.timeline.iter().map(of).collect()
    };
    assert_eq!(figures(&whole), figures(&one));
    assert_eq!(whole.timeline.iter().map(|second| second.open).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!((whole.timeline[0].p50_us, whole.timeline[0].p99_us > 99_000), (1000, true), "{whole:?}");
    assert_eq!((whole.clients, whole.dropped, whole.measured_s, whole.interrupted), (3, 3, 3.0, false));
    assert_eq!((whole.generator.threads, whole.generator.cpu_s, whole.generator.open_max), (4, 1.0, 2));
    assert!(whole.generator.late_p99_us.abs_diff(2000) < 10, "the worst of them: {:?}", whole.generator);
    let parts: Vec<_> = whole.parts.iter().map(|part| (part.part.number, part.done, part.failed)).collect();
    assert_eq!(parts, [(1, 900, 0), (2, 100, 1)]);
    let doubts = &whole.generator.doubts;
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert!(doubts[0].starts_with("Part 2/2: Of the requests that found a free connection"), "{doubts:?}");
}

#[test]
fn all_reasons_are_told_at_once() {
    let mut files = parts();
    let (_, first) = &mut files[1];
    first.scenario += "0";
    let (_, second) = &mut files[0];
    (second.target, second.speedup, second.seed) = ("http://mp2".to_owned(), 1.0, Some(2));
    second.part = Some(Part { number: 2, of: 3, clients: 11, agreed_unix_ms: None });
    second.timeline[0].latency = None;
    let (_, whole) = part(1, 1, &[]);
    files.push(("whole.json".to_owned(), Run { part: None, ..whole.clone() }));
    files.push(("again.json".to_owned(), files[1].1.clone()));
    let merged = merge(&parts(), Missing::Refused).unwrap();
    files.push(("merged.json".to_owned(), merged));
    let told = refused(&files).join("\n");
    for reason in [
        "2.json has another target than 1.json: http://mp2 instead of http://mp1",
        "2.json has another speedup than 1.json: 1 instead of 60",
        "2.json has another seed than 1.json: 2 instead of 1",
        "2.json has another number of parts than 1.json: 3 instead of 2",
        "2.json has another number of clients in all parts than 1.json: 11 instead of 10",
        "2.json has another agreed start than 1.json: none instead of 2026-11-24T13:48:08.000Z",
        "the scenarios of 2.json and 1.json have the same name, but not the same text",
        "1.json and again.json are both part 1/2",
        "whole.json is no part of a load",
        "merged.json was merged already",
        "2.json lacks the histograms of its seconds",
    ] {
        assert!(told.contains(reason), "{reason}\n{told}");
    }
    let agreed = |by: u64| {
        let mut files = parts();
        files[0].1.part = files[0].1.part.map(|part| Part { agreed_unix_ms: Some(1_795_528_088_000 + by), ..part });
        merge(&files, Missing::Refused).map(drop)
    };
    // A shell that starts all parts has said `+30s` to each.
    assert_eq!(agreed(1000), Ok(()));
    assert!(agreed(1001).unwrap_err()[0].contains("another agreed start"));
    assert!(refused(&[])[0].contains("there is no part to merge"));
}

#[test]
fn a_part_that_is_missing_is_a_reason_or_a_doubt() {
    let files = [part(3, 3, &[(1, 1, Ok(()))]), part(1, 3, &[(1, 1, Ok(()))])];
    assert_eq!(refused(&files), ["part 2/3 is missing: give its file, or take --partial"]);
    let whole = merge(&files, Missing::Doubted).unwrap();
    assert!(whole.generator.doubts[0].contains("Part 2/3 is missing"), "{:?}", whole.generator.doubts);
    assert_eq!((whole.clients, whole.series[0].done), (4, 2), "what is there");
}

#[test]
fn parts_that_began_apart_keep_their_times_and_are_doubted() {
    let mut files = [part(1, 2, &[(100, 1, Ok(()))]), part(2, 2, &[(100, 1, Ok(()))])];
    files[1].1.started_unix_ms = files[0].1.started_unix_ms + 1000;
    let seconds = |run: &Run| run.timeline.iter().map(|second| second.done).collect::<Vec<_>>();
    let whole = merge(&files, Missing::Refused).unwrap();
    assert_eq!((seconds(&whole), whole.measured_s), (vec![2, 0, 0], 3.0), "a second is nothing: clocks differ");
    files[1].1.started_unix_ms += 900;
    (files[1].1.interrupted, files[1].1.measured_s) = (true, 2.5);
    let whole = merge(&files, Missing::Refused).unwrap();
    assert_eq!((seconds(&whole), whole.measured_s), (vec![1, 0, 1, 0, 0], 4.5));
    let doubts = whole.generator.doubts.join("\n");
    assert!(doubts.contains("Part 2/2 began 2 s after the first one"), "{doubts}");
    assert!(doubts.contains("Part 2/2 was ended after 2.5 of 3.0 seconds") && whole.interrupted, "{doubts}");
}
