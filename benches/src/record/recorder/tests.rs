use super::*;
use crate::record::Interval;

fn key(message: &str, role: &str) -> SeriesKey {
    SeriesKey { message: message.to_owned(), role: role.to_owned(), group: String::new() }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn sample(at: u64, latency: u64, result: Result<(), Failure>) -> Sample {
    Sample { at: ms(at), latency: ms(latency), service: ms(latency) / 2, sent: 3, received: 10, result }
}

fn done(interval: &Interval) -> (f64, f64, u64, u64) {
    (interval.at_s, interval.length_s, interval.done, interval.errors)
}

#[test]
fn percentiles_are_those_of_all_threads_together() {
    let (recorders, collector) = recorders(vec![key("a", "")], 2, Duration::ZERO);
    for (recorder, latency) in recorders.into_iter().zip([1, 100]) {
        std::thread::spawn(move || {
            let mut recorder = recorder;
            // 900 fast ones on one thread and 100 slow ones on the other: no mean of percentiles gives this.
            for _ in 0..if latency == 1 { 900 } else { 100 } {
                recorder.record(0, &sample(500, latency, Ok(())));
            }
            recorder.finish(ms(1000));
        });
    }
    let all = collector.collect(|_| {});
    assert_eq!(all.timeline.len(), 1);
    let interval = &all.timeline[0];
    assert_eq!(done(interval), (0.0, 1.0, 1000, 0));
    assert_eq!((interval.p50_us, interval.received), (1000, 10_000));
    assert!(interval.p99_us.abs_diff(100_000) < 200 && interval.max_us == interval.p999_us, "{interval:?}");
    let series = &all.series[0];
    assert_eq!((series.done, series.sent, series.received), (1000, 3000, 10_000));
    assert_eq!(series.latency.percentile(89.0), 1000);
    assert!(series.latency.percentile(91.0) > 99_000);
    assert_eq!(series.service.percentile(50.0), 500);
}

#[test]
fn roles_and_failures_are_told_apart_and_the_warm_up_is_dropped() {
    let keys = vec![key("policy", "MP"), key("content", "DP"), key("never", "SUP")];
    let (mut recorders, collector) = recorders(keys, 1, ms(2000));
    let mut one = recorders.remove(0);
    one.record(0, &sample(1999, 1, Ok(())));
    one.late(ms(1999), ms(50));
    one.record(0, &sample(2000, 1, Ok(())));
    one.late(ms(2000), ms(7));
    one.record(1, &sample(2500, 9, Ok(())));
    one.record(1, &sample(2600, 9, Err(Failure::Status(503))));
    one.record(1, &sample(3100, 9, Err(Failure::Short)));
    one.record(1, &sample(3200, 9, Err(Failure::Status(503))));
    one.finish(ms(3500));
    let all = collector.collect(|_| {});
    assert_eq!(all.timeline.iter().map(done).collect::<Vec<_>>(), [(0.0, 1.0, 2, 1), (1.0, 0.5, 0, 2)]);
    assert!((all.measured_s - 1.5).abs() < 1e-9);
    let roles = &all.timeline[0].roles;
    assert_eq!(roles.keys().collect::<Vec<_>>(), ["DP", "MP"]);
    assert_eq!((roles["DP"].done, roles["DP"].errors), (1, 1));
    assert_eq!(all.series.iter().map(|series| series.message.as_str()).collect::<Vec<_>>(), ["policy", "content"]);
    let errors: Vec<_> = all.series[1].errors.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!((all.series[1].done, errors), (1, vec![("short", 1), ("status 503", 2)]));
    // What failed has no latency.
    assert_eq!(all.series[1].latency.count(), 1);
    assert_eq!((all.late.count(), all.late.percentile(100.0)), (1, 7003));
}

#[test]
fn a_second_is_told_when_no_thread_can_add_to_it() {
    let (mut recorders, collector) = recorders(vec![key("a", "")], 2, Duration::ZERO);
    let (mut slow, mut fast) = (recorders.remove(0), recorders.remove(0));
    let (to, told) = std::sync::mpsc::channel();
    let collecting = std::thread::spawn(move || collector.collect(|interval| to.send(interval.clone()).unwrap()));
    fast.opened();
    fast.opened();
    fast.begun();
    for second in 0..3 {
        fast.record(0, &sample(second * 1000 + 1, 1, Ok(())));
    }
    // Had the first second been told by now, this would not be in it.
    slow.record(0, &sample(999, 1, Ok(())));
    slow.tick(ms(1000));
    let first = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((done(&first), first.open, first.under_way), ((0.0, 1.0, 2, 0), 2, 1));
    // Nor this in the second one.
    slow.record(0, &sample(1999, 1, Ok(())));
    fast.closed();
    fast.finish(ms(2500));
    slow.finish(ms(2500));
    let all = collecting.join().unwrap();
    assert_eq!(
        all.timeline.iter().map(done).collect::<Vec<_>>(),
        [(0.0, 1.0, 2, 0), (1.0, 1.0, 2, 0), (2.0, 0.5, 1, 0)]
    );
    assert_eq!(all.timeline.iter().map(|interval| interval.open).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(all.open_max, 2);
}

#[test]
fn seconds_in_which_nothing_happened_are_there() {
    let (mut recorders, collector) = recorders(vec![key("a", "")], 1, Duration::ZERO);
    let mut one = recorders.remove(0);
    one.opened();
    one.record(0, &sample(10, 1, Ok(())));
    one.record(0, &sample(4100, 1, Ok(())));
    one.finish(ms(7000));
    let all = collector.collect(|_| {});
    let counts: Vec<_> = all.timeline.iter().map(|interval| (interval.done, interval.open)).collect();
    assert_eq!(counts, [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1)]);
}

#[test]
fn a_thread_that_lags_very_far_behind_holds_nobody_up() {
    let (mut recorders, collector) = recorders(vec![key("a", "")], 2, Duration::ZERO);
    let (mut slow, mut fast) = (recorders.remove(0), recorders.remove(0));
    let feeding = std::thread::spawn(move || {
        for second in 0..100 {
            fast.record(0, &sample(second * 1000, 1, Ok(())));
        }
        fast.finish(ms(100_000));
        slow.record(0, &sample(0, 1, Ok(())));
        slow.finish(ms(100_000));
    });
    let all = collector.collect(|_| {});
    feeding.join().unwrap();
    assert_eq!(all.timeline.iter().map(|interval| interval.done).sum::<u64>(), 101);
    assert_eq!(all.series[0].done, 101);
}

#[test]
fn a_run_that_ends_in_its_warm_up_has_measured_nothing() {
    let (mut recorders, collector) = recorders(vec![key("a", "")], 1, ms(5000));
    let mut one = recorders.remove(0);
    one.record(0, &sample(10, 1, Ok(())));
    one.finish(ms(3000));
    let all = collector.collect(|_| {});
    assert_eq!((all.timeline.len(), all.series.len(), all.measured_s), (0, 0, 0.0));
}

#[test]
fn dropped_recorders_end_the_collecting() {
    let (recorders, collector) = recorders(vec![key("a", "")], 3, Duration::ZERO);
    drop(recorders);
    assert_eq!(collector.collect(|_| {}), Collected::default());
}
