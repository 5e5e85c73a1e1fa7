#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::verdict::FailureKind;

fn schedule(rise: u32, fall: u32) -> Schedule {
    Schedule { rise, fall, ..Schedule::default() }
}

fn verdict(letter: char) -> Verdict {
    match letter {
        'p' => Verdict::Pass,
        'd' => Verdict::Degraded(Failure::new(FailureKind::Status, "500")),
        'f' => Verdict::Fail(Failure::new(FailureKind::Refused, "refused")),
        other => panic!("no verdict {other}"),
    }
}

fn letter(health: Health) -> char {
    match health {
        Health::Unproven => '?',
        Health::Up => 'U',
        Health::Degraded => 'D',
        Health::Down => 'X',
    }
}

fn at(step: usize) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(step as u64)
}

/// Feeds the verdicts and writes down the state after each.
fn states(tracker: &mut Tracker, verdicts: &str) -> String {
    let mut states = String::new();
    for (step, v) in verdicts.chars().enumerate() {
        let before = tracker.health();
        let transition = tracker.observe(at(step), Duration::ZERO, verdict(v), None);
        assert_eq!(
            transition.is_some(),
            before != tracker.health(),
            "a transition is reported exactly when one happens"
        );
        if let Some(t) = transition {
            assert_eq!((t.from, t.to, t.at), (before, tracker.health(), at(step)));
            assert_eq!(t.cause, verdict(v).into_failure());
            assert_eq!(tracker.since(), Some(at(step)));
        }
        states.push(letter(tracker.health()));
    }
    states
}

#[test]
fn states_follow_the_table() {
    for (rise, fall, verdicts, expected) in [
        // The first result decides at once.
        (2, 3, "p", "U"),
        (2, 3, "d", "D"),
        (2, 3, "f", "X"),
        // Up: `fall` results that are no pass, the last one says where to.
        (2, 3, "pfff", "UUUX"),
        (2, 3, "pddd", "UUUD"),
        (2, 3, "pfdf", "UUUX"),
        (2, 3, "pffd", "UUUD"),
        (2, 3, "pffpff", "UUUUUU"),
        (2, 3, "pfpdfpffd", "UUUUUUUUD"),
        // Degraded: `fall` failures or `rise` passes, each in a row.
        (2, 3, "dfff", "DDDX"),
        (2, 3, "dffdfff", "DDDDDDX"),
        (2, 3, "dpp", "DDU"),
        (2, 3, "dpdpp", "DDDDU"),
        (2, 3, "dpfpp", "DDDDU"),
        (2, 3, "pffdff", "UUUDDD"),
        (2, 3, "pffdfff", "UUUDDDX"),
        // Down: `rise` passes, or `rise` answers of which the last is degraded.
        (2, 3, "fpp", "XXU"),
        (2, 3, "fpfpp", "XXXXU"),
        (2, 3, "fdd", "XXD"),
        (2, 3, "fpd", "XXD"),
        (2, 3, "fdp", "XXX"),
        (2, 3, "fdpp", "XXXU"),
        (2, 3, "fdpd", "XXXD"),
        (2, 3, "fdfd", "XXXX"),
        // A hasty schedule; zero counts as one.
        (1, 1, "pfpdf", "UXUDX"),
        (0, 0, "pfpdf", "UXUDX"),
        (3, 1, "pfppp", "UXXXU"),
    ] {
        let mut tracker = Tracker::new(&schedule(rise, fall));
        assert_eq!(tracker.health(), Health::Unproven);
        assert_eq!(tracker.since(), None);
        assert_eq!(states(&mut tracker, verdicts), expected, "{verdicts} with rise {rise}, fall {fall}");
    }
}

#[test]
fn the_phase_says_whether_the_last_results_contradict_the_state() {
    for (verdicts, phase) in [
        ("", Phase::Changing),
        ("p", Phase::Steady),
        ("d", Phase::Steady),
        ("f", Phase::Down),
        ("pf", Phase::Changing),
        ("pd", Phase::Changing),
        ("pfp", Phase::Steady),
        ("pfff", Phase::Down),
        ("pddd", Phase::Steady),
        ("pffd", Phase::Steady),
        ("df", Phase::Changing),
        ("dp", Phase::Changing),
        ("dpd", Phase::Steady),
        ("fp", Phase::Changing),
        ("fd", Phase::Changing),
        ("fpf", Phase::Down),
        ("fpp", Phase::Steady),
    ] {
        let mut tracker = Tracker::new(&schedule(2, 3));
        states(&mut tracker, verdicts);
        assert_eq!(tracker.phase(), phase, "after {verdicts:?}");
    }
}

#[test]
fn a_server_that_nobody_asks_is_up_without_a_record() {
    let mut tracker = Tracker::new(&schedule(2, 3));
    let up = tracker.assume_up(at(1)).unwrap();
    assert_eq!((up.from, up.to, up.cause), (Health::Unproven, Health::Up, None));
    assert_eq!(tracker.assume_up(at(2)), None);
    assert_eq!((tracker.history().len(), tracker.since()), (0, Some(at(1))));

    let mut tracker = Tracker::new(&schedule(2, 3));
    states(&mut tracker, "pff");
    tracker.assume_up(at(9));
    assert_eq!(states(&mut tracker, "ff"), "UU", "failures from before the assumption are forgotten");
}

#[test]
fn the_last_failure_outlives_the_history() {
    let mut tracker = Tracker::new(&schedule(2, 3));
    assert!(tracker.last_failure().is_none());
    tracker.observe(at(0), Duration::from_millis(7), verdict('d'), Some(500));
    states(&mut tracker, &"p".repeat(100));
    assert!(tracker.history().iter().all(|record| record.outcome == Outcome::Pass));
    let last = tracker.last_failure().unwrap();
    assert_eq!((last.took, last.status, last.outcome), (Duration::from_millis(7), Some(500), Outcome::Degraded));
    assert_eq!(last.failure, verdict('d').into_failure());
}

#[test]
fn a_new_schedule_applies_from_the_next_result() {
    let mut tracker = Tracker::new(&schedule(2, 3));
    states(&mut tracker, "pff");
    tracker.set_schedule(&schedule(2, 2));
    assert_eq!(tracker.health(), Health::Up);
    assert_eq!(states(&mut tracker, "f"), "X");
    tracker.set_schedule(&schedule(4, 0));
    assert_eq!(states(&mut tracker, "ppppf"), "XXXUX");
}

/// The table again, decided by looking back over the whole row instead of counting along.
fn by_looking_back(rise: usize, fall: usize, verdicts: &[char]) -> Health {
    let mut health = Health::Unproven;
    for end in 1..=verdicts.len() {
        let row = |wanted: &str| verdicts[..end].iter().rev().take_while(|v| wanted.contains(**v)).count();
        let last = verdicts[end - 1];
        health = match (health, last) {
            (Health::Unproven, 'p') => Health::Up,
            (Health::Unproven, 'd') => Health::Degraded,
            (Health::Unproven, _) => Health::Down,
            (Health::Up, 'f') if row("df") >= fall => Health::Down,
            (Health::Up, 'd') if row("df") >= fall => Health::Degraded,
            (Health::Degraded, 'f') if row("f") >= fall => Health::Down,
            (Health::Degraded | Health::Down, 'p') if row("p") >= rise => Health::Up,
            (Health::Down, 'd') if row("pd") >= rise => Health::Degraded,
            (same, _) => same,
        };
    }
    health
}

proptest! {
    #[test]
    fn counting_along_equals_looking_back(
        rise in 1..5usize,
        fall in 1..5usize,
        verdicts in prop::collection::vec(prop::sample::select(vec!['p', 'p', 'd', 'f']), 0..60),
    ) {
        let mut tracker = Tracker::new(&schedule(rise as u32, fall as u32));
        states(&mut tracker, &verdicts.iter().collect::<String>());
        prop_assert_eq!(tracker.health(), by_looking_back(rise, fall, &verdicts));
    }
}
