#![allow(clippy::unwrap_used)]

use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;

const ROW: PassivePolicy = PassivePolicy {
    consecutive_failures: 3,
    failure_percent: 0,
    min_requests: 0,
    window: Duration::from_secs(30),
    eject_time: Duration::from_secs(30),
    max_eject_time: Duration::from_secs(300),
};
const SHARE: PassivePolicy = PassivePolicy {
    consecutive_failures: 0,
    failure_percent: 50,
    min_requests: 10,
    window: Duration::from_secs(20),
    ..ROW
};

/// An ending for which no client can be blamed, or a good one.
fn ending(failed: bool) -> Ending {
    if failed { Ending::Unreached } else { Ending::Passed }
}

/// Plays requests at their times: `.` went well, `x` had no connection, and a request of any other letter's client failed. Gives
/// the index of the one that rang.
fn ring(passive: &Passive, policy: &PassivePolicy, rows: &[(u64, &str)]) -> Option<usize> {
    let calls = rows.iter().flat_map(|(now, row)| row.chars().map(move |c| (*now, c)));
    let mut rang = None;
    for (index, (now, c)) in calls.enumerate() {
        let ending = match c {
            '.' => Ending::Passed,
            'x' => Ending::Unreached,
            client => Ending::Failed { client: client.into() },
        };
        if passive.record(policy, now, ending) {
            assert_eq!(rang, None, "rang twice");
            assert_ne!(ending, Ending::Passed, "a request that went well rang");
            rang = Some(index);
        }
        assert_eq!(passive.alarm(), rang.is_some());
    }
    rang
}

#[test]
fn the_alarm_rings_once_at_the_threshold() {
    let off = PassivePolicy { consecutive_failures: 0, ..ROW };
    let first = PassivePolicy { min_requests: 0, ..SHARE };
    let all = PassivePolicy { failure_percent: 100, min_requests: 2, ..SHARE };
    type Case = (&'static str, PassivePolicy, &'static [(u64, &'static str)], Option<usize>);
    let cases: &[Case] = &[
        ("in a row", ROW, &[(0, "xxx")], Some(2)),
        ("in a row, however slowly", ROW, &[(0, "x"), (900_000, "x"), (9_000_000, "x")], Some(2)),
        ("a success in between", ROW, &[(0, "xx.xx.xx")], None),
        ("all off", off, &[(0, "xxxxxxxxxxxxxxxxxxxxxxxx")], None),
        ("half of ten", SHARE, &[(0, ".....xxxxx")], Some(9)),
        ("half of nine is too few", SHARE, &[(0, "....xxxxx")], None),
        ("less than half", SHARE, &[(0, "......xxxxx")], None),
        ("the next failure makes it half", SHARE, &[(0, "......xxxxxx")], Some(11)),
        ("both halves count", SHARE, &[(9_999, ".....xx"), (10_000, "xxx")], Some(9)),
        ("the half before the last one does not", SHARE, &[(9_999, "..xxx"), (20_000, "..xxx")], None),
        ("a long pause forgets", SHARE, &[(0, "....xxxxx"), (10_000_000, "x")], None),
        ("good times pass as well", SHARE, &[(0, "...................."), (20_000, "xxxxxxxxxx")], Some(29)),
        ("no minimum", first, &[(0, "x")], Some(0)),
        ("all must fail", all, &[(0, ".xxxxxxxx")], None),
        ("all failed", all, &[(0, "xx")], Some(1)),
    ];
    for (name, policy, rows, expected) in cases {
        assert_eq!(ring(&Passive::new(), policy, rows), *expected, "{name}");
    }
}

#[test]
fn one_client_alone_takes_no_server_out() {
    let five = PassivePolicy { consecutive_failures: 5, ..ROW };
    let two = PassivePolicy { consecutive_failures: 2, ..ROW };
    let one = PassivePolicy { consecutive_failures: 1, ..ROW };
    let share = PassivePolicy { min_requests: 20, ..SHARE };
    let any = PassivePolicy { min_requests: 1, failure_percent: 1, ..SHARE };
    type Case = (&'static str, PassivePolicy, &'static [(u64, &'static str)], Option<usize>);
    let cases: &[Case] = &[
        ("however often it fails", five, &[(0, "aaaaaaaaaaaaaaaaaaaaaaaa"), (9_000_000, "aaaaaaaaaaaa")], None),
        ("two clients count twice each", five, &[(0, "abababababab")], None),
        ("a third one makes five", five, &[(0, "aaaaaaabbbbbc")], Some(12)),
        ("five make five", five, &[(0, "abcde")], Some(4)),
        ("a success in between", five, &[(0, "aabb.aabb.abcd.abcd")], None),
        ("as many clients as there may be", five, &[(0, "abcdefghijklm")], Some(4)),
        ("a connection that cannot be made is no client's doing", five, &[(0, "aaaxxx")], Some(5)),
        ("two where two are enough", two, &[(0, "aaab")], Some(3)),
        ("two where one is enough", one, &[(0, "aaab")], Some(3)),
        ("one connection where one is enough", one, &[(0, "x")], Some(0)),
        (
            "a share without its own",
            share,
            &[(0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa....................")],
            None,
        ),
        ("nor with a failure of another", share, &[(0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaa...................b")], None),
        (
            "in both halves",
            share,
            &[(9_999, "aaaaaaaaaaaaaaaaaaaa....................."), (10_000, "aaaaaaaaaaa")],
            None,
        ),
        ("of ever so little", any, &[(0, ".aaaaaaaaaaaaaaaa")], None),
        ("two clients are a share", any, &[(0, ".ab")], Some(2)),
        ("many clients, some of whom are served", share, &[(0, ".a.b.c.d.e.f.g.h.iabcdefghi")], Some(21)),
        ("hidden among others", share, &[(0, "abcdefgh............................zzzzzzzzzzzzzzzzzzzzzzzzzzz")], None),
    ];
    for (name, policy, rows, expected) in cases {
        assert_eq!(ring(&Passive::new(), policy, rows), *expected, "{name}");
    }
}

#[test]
fn a_reset_starts_from_nothing() {
    let both = PassivePolicy { consecutive_failures: 3, ..SHARE };
    for (policy, row) in [(ROW, "xxx"), (SHARE, "xxxxxxxxxx"), (both, "xxx")] {
        let passive = Passive::new();
        for _ in 0..3 {
            assert_eq!(ring(&passive, &policy, &[(5_000, row)]), Some(row.len() - 1));
            assert!(!passive.record(&policy, 5_000, Ending::Unreached), "it rang already");
            passive.reset();
            assert!(!passive.alarm());
        }
    }
}

#[test]
fn a_late_clock_does_not_wipe_the_half_of_the_others() {
    let passive = Passive::new();
    ring(&passive, &SHARE, &[(20_000, "....xxxx")]);
    assert!(!passive.record(&SHARE, 19_999, Ending::Passed), "one epoch late: counted into the half before");
    assert!(!passive.record(&SHARE, 9_000, Ending::Passed), "two epochs late: counted into the same half");
    assert_eq!(ring(&passive, &SHARE, &[(20_000, "xx")]), Some(1), "6 of 12, none of them lost");
}

#[test]
fn another_window_after_a_reload_does_not_stick() {
    let long = PassivePolicy { window: Duration::from_secs(2000), ..SHARE };
    let passive = Passive::new();
    ring(&passive, &SHARE, &[(5_000_000, "xxxxxxxx")]);
    assert_eq!(ring(&passive, &long, &[(5_000_001, "xxxxxxxxxx")]), Some(9), "counting starts over, and works");
}

#[test]
fn hostile_numbers_do_not_overflow() {
    for window in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let policy = PassivePolicy {
            window,
            consecutive_failures: u32::MAX,
            min_requests: u32::MAX,
            failure_percent: u32::MAX,
            ..SHARE
        };
        let passive = Passive::new();
        for now in [0, 1, u64::MAX, 0, u64::MAX / 2] {
            assert!(!passive.record(&policy, now, Ending::Unreached));
        }
    }
}

#[test]
fn a_full_half_stops_counting_instead_of_spilling_over() {
    let half = Half::new();
    half.word.store(Counts { epoch: 7, failures: FULL - 1, requests: FULL - 1 }.word(), Relaxed);
    for _ in 0..3 {
        let counts = half.count(7, true);
        assert_eq!((counts.epoch, counts.failures, counts.requests), (7, FULL, FULL));
    }
    assert_eq!(half.count(9, false).requests, 1, "the next turn counts again");
}

#[test]
fn threads_ring_exactly_once() {
    const THREADS: usize = 4;
    for policy in [ROW, SHARE] {
        let passive = Passive::new();
        let (rings, barrier) = (AtomicUsize::new(0), Barrier::new(THREADS));
        std::thread::scope(|scope| {
            for thread in 0..THREADS as u64 {
                let (passive, rings, barrier) = (&passive, &rings, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for n in 0..2_000u64 {
                        // The threads' clocks disagree, and the halves turn all the time.
                        if passive.record(&policy, n * 50 + thread * 10_000, Ending::Unreached) {
                            rings.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        // The threads may have wiped each other's halves all along. Alone, twenty failures ring for certain.
        let later = (0..20).filter(|_| passive.record(&policy, 10_000_000, Ending::Unreached)).count();
        assert_eq!(rings.load(Relaxed) + later, 1);
        assert!(passive.alarm());
    }
}

#[test]
fn of_two_threads_at_the_threshold_one_rings() {
    const ROUNDS: usize = 15_000;
    let once = PassivePolicy { consecutive_failures: 1, ..ROW };
    // A server for every round, so that nobody has to wait for a reset.
    let servers: Vec<Passive> = (0..ROUNDS).map(|_| Passive::new()).collect();
    let rings = AtomicUsize::new(0);
    let at = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for me in 0..2 {
            let (servers, rings, at) = (&servers, &rings, &at);
            scope.spawn(move || {
                for (round, passive) in servers.iter().enumerate() {
                    at[me].store(round, Relaxed);
                    let mut turns = 0;
                    while at[1 - me].load(Relaxed) < round {
                        turns += 1;
                        // With one core, the other thread needs it.
                        if turns % 2_000 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
                    }
                    // Who came last goes first, by an unknown time. Sweep over both delays, so that some rounds meet.
                    let delay = if me == 0 { round % 50 } else { round / 50 % 50 };
                    (0..delay).for_each(|_| std::hint::spin_loop());
                    rings.fetch_add(usize::from(passive.record(&once, 0, Ending::Unreached)), Relaxed);
                }
            });
        }
    });
    assert_eq!(rings.load(Relaxed), ROUNDS);
}

/// The same rules with every request remembered.
#[derive(Default)]
struct Model {
    row: u32,
    requests: Vec<(u64, bool)>,
    alarm: bool,
}

impl Model {
    fn record(&mut self, policy: &PassivePolicy, now_ms: u64, failed: bool) -> bool {
        if self.alarm {
            return false;
        }
        self.requests.push((now_ms, failed));
        self.row = if failed { self.row + 1 } else { 0 };
        let half = (policy.window.as_millis() as u64 / 2).max(1);
        let recent: Vec<_> = self.requests.iter().filter(|(at, _)| at / half + 1 >= now_ms / half).collect();
        let failures = recent.iter().filter(|(_, failed)| *failed).count();
        let row_is_long = policy.consecutive_failures > 0 && self.row >= policy.consecutive_failures;
        let share_is_large = policy.failure_percent > 0
            && recent.len() >= policy.min_requests as usize
            && failures * 100 >= recent.len() * policy.failure_percent as usize;
        self.alarm = failed && (row_is_long || share_is_large);
        self.alarm
    }
}

proptest! {
    #[test]
    fn one_thread_counts_like_the_model(
        consecutive_failures in 0..8u32,
        failure_percent in prop::sample::select(vec![0, 1, 30, 50, 90, 100]),
        min_requests in 1..20u32,
        window_ms in 2..3000u64,
        start in 0..1_000_000_000_000u64,
        // Steps in time, whether the request failed, and now and then a reset.
        calls in prop::collection::vec((0..400u64, prop::bool::weighted(0.4), prop::bool::weighted(0.03)), 1..300),
    ) {
        let window = Duration::from_millis(window_ms);
        let policy = PassivePolicy { consecutive_failures, failure_percent, min_requests, window, ..ROW };
        let (passive, mut model, mut now) = (Passive::new(), Model::default(), start);
        for (step, failed, reset) in calls {
            now += step;
            prop_assert_eq!(passive.record(&policy, now, ending(failed)), model.record(&policy, now, failed));
            prop_assert_eq!(passive.alarm(), model.alarm);
            if reset {
                passive.reset();
                model = Model::default();
            }
        }
    }
}
