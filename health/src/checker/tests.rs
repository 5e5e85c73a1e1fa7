#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;
use crate::verdict::{Failure, FailureKind};

/// A probe without a socket: it gives the verdicts of a row and notes when it was asked.
#[derive(Clone)]
pub struct Script(Arc<Mutex<Play>>);

struct Play {
    begin: Instant,
    /// `p`, `d`, `f`; `h` hangs until the deadline. The last one repeats for ever.
    row: VecDeque<char>,
    asked_at: Vec<Duration>,
    deadlines: Vec<Duration>,
    running: usize,
    most_running: usize,
    took: Duration,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    fn new(row: &str) -> Self {
        Self(Arc::new(Mutex::new(Play {
            begin: Instant::now(),
            row: row.chars().collect(),
            asked_at: Vec::new(),
            deadlines: Vec::new(),
            running: 0,
            most_running: 0,
            took: Duration::ZERO,
        })))
    }

    fn play<T>(&self, act: impl FnOnce(&mut Play) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    pub(crate) async fn judge(&self, _address: SocketAddr, deadline: Duration) -> (Verdict, Option<u16>) {
        let (next, took) = self.play(|play| {
            play.asked_at.push(play.begin.elapsed());
            play.deadlines.push(deadline);
            play.running += 1;
            play.most_running = play.most_running.max(play.running);
            let next = if play.row.len() > 1 { play.row.pop_front() } else { play.row.front().copied() };
            (next.unwrap(), play.took)
        });
        tokio::time::sleep(if next == 'h' { deadline } else { took }).await;
        self.play(|play| play.running -= 1);
        let failure = |kind| Failure::new(kind, "as the script says");
        match next {
            'p' => (Verdict::Pass, Some(200)),
            'd' => (Verdict::Degraded(failure(FailureKind::Status)), Some(500)),
            'u' => (Verdict::Unknown(failure(FailureKind::Local)), None),
            'h' => (Verdict::Fail(failure(FailureKind::Timeout)), None),
            _ => (Verdict::Fail(failure(FailureKind::Refused)), None),
        }
    }

    fn asked(&self) -> usize {
        self.play(|play| play.asked_at.len())
    }

    /// The waits between the questions in milliseconds, without the first wait, of which only a part is waited.
    fn rhythm(&self) -> Vec<u128> {
        self.play(|play| play.asked_at.windows(2).skip(1).map(|pair| (pair[1] - pair[0]).as_millis()).collect())
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Waits of 10 s, 1 s when something changes, 4 s when down; no jitter.
fn schedule() -> Schedule {
    Schedule {
        interval: secs(10),
        fast_interval: secs(1),
        down_interval: secs(4),
        jitter_percent: 0,
        ..Schedule::default()
    }
}

fn target(id: u32, script: &Script) -> Target {
    Target {
        id,
        address: SocketAddr::from(([192, 0, 2, 1], 80)),
        probe: Some(Probe::Scripted(script.clone())),
        schedule: schedule(),
        fingerprint: 1,
    }
}

fn checker(limit: usize) -> (Checker, mpsc::Receiver<HealthEvent>) {
    let (sender, receiver) = mpsc::channel(1024);
    (Checker::new(limit, 42, sender), receiver)
}

fn states(events: &mut mpsc::Receiver<HealthEvent>) -> Vec<(u32, Health, Health)> {
    let next = || events.try_recv().ok().map(|event| (event.id, event.transition.from, event.transition.to));
    std::iter::from_fn(next).collect()
}

#[tokio::test(start_paused = true)]
async fn the_rhythm_follows_the_phase() {
    let (mut checker, mut events) = checker(64);
    // Steady, then three failures until down, then down, then two passes until up, then steady.
    let script = Script::new("pppfffffppp");
    checker.set_targets(vec![target(1, &script)]);
    tokio::time::sleep(secs(70)).await;
    let waits = [10_000, 10_000, 1_000, 1_000, 4_000, 4_000, 4_000, 1_000, 10_000, 10_000];
    assert_eq!(script.rhythm()[..waits.len()], waits);
    use Health::{Down, Unproven, Up};
    assert_eq!(states(&mut events), [(1, Unproven, Up), (1, Up, Down), (1, Down, Up)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_server_is_asked_at_once_and_believed_at_once() {
    let (mut checker, mut events) = checker(64);
    let script = Script::new("f");
    checker.set_targets(vec![target(9, &script)]);
    assert_eq!(checker.report(9).unwrap().health, Health::Unproven);
    let event = events.recv().await.unwrap();
    assert_eq!((event.id, event.transition.to), (9, Health::Down));
    assert_eq!(event.transition.cause.unwrap().kind, FailureKind::Refused);
    assert_eq!(script.play(|play| play.asked_at.clone()), [Duration::ZERO]);
    let report = checker.report(9).unwrap();
    assert_eq!((report.health, report.passes, report.failures, report.history.len()), (Health::Down, 0, 1, 1));
    assert_eq!(report.last_failure.as_ref(), report.history.first());
    assert_eq!(report.since, Some(event.transition.at));
    assert_eq!(checker.probes_total(), 1);
    assert_eq!(checker.report(8), None);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_could_not_be_put_says_nothing_about_the_server() {
    let (mut checker, mut events) = checker(64);
    let script = Script::new("uuuuppuuuuuuuufuu");
    checker.set_targets(vec![target(1, &script)]);
    tokio::time::sleep(secs(200)).await;
    assert_eq!(states(&mut events), [(1, Health::Unproven, Health::Up)]);
    let report = checker.report(1).unwrap();
    assert_eq!((report.passes, report.failures, report.history.len()), (2, 1, 3));
    assert!(report.unknown > 10, "{}", report.unknown);
}

#[tokio::test(start_paused = true)]
async fn the_wait_begins_when_the_answer_is_there() {
    let (mut checker, _events) = checker(64);
    let script = Script::new("h");
    checker.set_targets(vec![target(1, &script)]);
    tokio::time::sleep(secs(60)).await;
    assert!(script.play(|play| play.deadlines.iter().all(|deadline| *deadline == schedule().timeout)));
    // A deadline of 2 s and a wait of 4 s; never two questions at once.
    assert!(script.rhythm().iter().all(|wait| *wait == 6_000), "{:?}", script.rhythm());
    assert_eq!(script.play(|play| play.most_running), 1);
    let report = checker.report(1).unwrap();
    assert!(report.history.iter().all(|record| record.took == secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_not_made_up_for() {
    let (mut checker, _events) = checker(64);
    let scripts: Vec<Script> = (0..20).map(|_| Script::new("p")).collect();
    checker.set_targets((0..).zip(&scripts).map(|(id, script)| target(id, script)).collect());
    tokio::time::sleep(secs(25)).await;
    let before: Vec<usize> = scripts.iter().map(Script::asked).collect();
    // The whole process stands still for 1000 intervals.
    advance(secs(10_000)).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    for (script, before) in scripts.iter().zip(before) {
        assert_eq!(script.asked(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_start_together_are_not_asked_in_step() {
    let (mut checker, _events) = checker(64);
    let scripts: Vec<Script> = (0..100).map(|_| Script::new("p")).collect();
    checker.set_targets((0..).zip(&scripts).map(|(id, script)| target(id, script)).collect());
    tokio::time::sleep(secs(15)).await;
    let mut per_second = [0; 10];
    for script in &scripts {
        let second = script.play(|play| play.asked_at[1]);
        per_second[second.as_secs() as usize] += 1;
    }
    assert!(per_second.iter().all(|n| (2..=25).contains(n)), "100 first waits over 10 s: {per_second:?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_stays_within_its_width() {
    let (mut checker, _events) = checker(64);
    let script = Script::new("p");
    let schedule = Schedule { jitter_percent: 20, ..schedule() };
    checker.set_targets(vec![Target { schedule, ..target(1, &script) }]);
    tokio::time::sleep(secs(2_000)).await;
    let rhythm = script.rhythm();
    assert!(rhythm.len() > 150);
    assert!(rhythm.iter().all(|wait| (9_000..=11_001).contains(wait)), "{rhythm:?}");
    assert!(rhythm.iter().any(|wait| *wait < 9_500) && rhythm.iter().any(|wait| *wait > 10_500), "{rhythm:?}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_and_everybody_gets_a_turn() {
    // Half of it is for those that are not known to answer.
    let (mut checker, _events) = checker(6);
    // One script for all, so that it sees how many are asked at once.
    let script = Script::new("p");
    script.play(|play| play.took = secs(1));
    checker.set_targets((0..12).map(|id| target(id, &script)).collect());
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(script.play(|play| play.most_running), 3);
    for id in 0..12 {
        assert!(checker.report(id).unwrap().passes >= 1, "server {id} after four rounds of three");
    }
}

/// How long it takes until a server that refuses connections is known to be down, when this many others are silent.
async fn found_dead_beside(silent: u32) -> Duration {
    let (mut checker, mut events) = checker(100);
    let silence = Script::new("h");
    let usual = Schedule { jitter_percent: 0, ..Schedule::default() };
    let mut targets: Vec<Target> = (1..=silent).map(|id| Target { schedule: usual, ..target(id, &silence) }).collect();
    let server = Script::new("p");
    targets.push(Target { schedule: usual, ..target(0, &server) });
    checker.set_targets(targets);
    // It is up, and all others are down.
    while checker.report(0).unwrap().passes < 20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((1..=silent).all(|id| checker.report(id).unwrap().health == Health::Down));
    states(&mut events);
    server.play(|play| play.row = VecDeque::from(['f']));
    let (died, down) = (Instant::now(), |event: &HealthEvent| event.id == 0 && event.transition.to == Health::Down);
    while !events.recv().await.is_some_and(|event| down(&event)) {}
    died.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_seen_as_soon_among_a_thousand_that_are_silent() {
    let (alone, among) = (found_dead_beside(0).await, found_dead_beside(1000).await);
    // The rest of an interval, and two fast ones.
    let most = Schedule::default().interval + 2 * Schedule::default().fast_interval + Duration::from_millis(200);
    assert!(alone <= most && among <= most, "alone {alone:?}, among others {among:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_are_silent_have_half_of_the_turns() {
    let (mut checker, _events) = checker(10);
    let (silence, answers) = (Script::new("h"), Script::new("p"));
    answers.play(|play| play.took = secs(1));
    checker.set_targets(
        (0..100).map(|id| target(id, &silence)).chain((100..200).map(|id| target(id, &answers))).collect(),
    );
    tokio::time::sleep(secs(600)).await;
    assert_eq!(silence.play(|play| play.most_running), 5);
    assert!(answers.play(|play| play.most_running) > 5, "the others may have more");
    for id in 0..100 {
        assert!(checker.report(id).unwrap().failures >= 3, "server {id} is still asked");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_fingerprint_asks_the_new_question_and_keeps_what_is_known() {
    let (mut checker, mut events) = checker(64);
    let (old, new) = (Script::new("pff"), Script::new("f"));
    let patient = Schedule { fall: 100, ..schedule() };
    checker.set_targets(vec![Target { schedule: patient, ..target(1, &old) }]);
    while old.asked() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    checker.set_targets(vec![target(1, &new)]);
    tokio::task::yield_now().await;
    assert_eq!(new.asked(), 0, "the same fingerprint is the same question");

    let (asked, history) = (old.asked(), checker.report(1).unwrap().history.len());
    assert_eq!((asked, history, schedule().fall), (3, 3, 3));
    checker.set_targets(vec![Target { fingerprint: 2, ..target(1, &new) }]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((old.asked(), new.asked()), (asked, 1));
    assert_eq!(checker.report(1).unwrap().history.len(), history + 1);
    // The failures before and after the change make one row, and three are enough now.
    use Health::{Down, Unproven, Up};
    assert_eq!(states(&mut events), [(1, Unproven, Up), (1, Up, Down)]);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(old.asked(), asked, "the old question is not asked any more");
}

#[tokio::test(start_paused = true)]
async fn who_is_no_target_any_more_is_not_asked() {
    let (mut checker, _events) = checker(64);
    let (stays, goes) = (Script::new("p"), Script::new("h"));
    checker.set_targets(vec![target(1, &stays), target(2, &goes)]);
    tokio::time::sleep(secs(1)).await;
    checker.set_targets(vec![target(1, &stays)]);
    assert_eq!(checker.report(2), None);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(goes.asked(), 1, "taken away in the middle of a question");
    let asked = stays.asked();
    assert!(asked > 5);
    drop(checker);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(stays.asked(), asked, "nobody asks after the checker is gone");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_probe_is_up_at_once() {
    let (mut checker, mut events) = checker(64);
    let script = Script::new("f");
    checker.set_targets(vec![Target { probe: None, ..target(1, &script) }]);
    assert_eq!(checker.report(1).unwrap().health, Health::Up);
    assert_eq!(events.recv().await.unwrap().transition.to, Health::Up);

    checker.set_targets(vec![Target { fingerprint: 2, ..target(1, &script) }]);
    assert_eq!(events.recv().await.unwrap().transition.to, Health::Down, "now it is asked");
    checker.set_targets(vec![Target { probe: None, fingerprint: 3, ..target(1, &script) }]);
    assert_eq!(checker.report(1).unwrap().health, Health::Up);
    let event = events.recv().await.unwrap();
    assert_eq!((event.transition.from, event.transition.to), (Health::Down, Health::Up));
    assert!(events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn news_wait_for_the_receiver_and_survive_a_restart() {
    let (sender, mut events) = mpsc::channel(1);
    let mut checker = Checker::new(64, 42, sender);
    let (one, two, later) = (Script::new("p"), Script::new("f"), Script::new("f"));
    checker.set_targets(vec![target(1, &one), target(2, &two)]);
    tokio::time::sleep(secs(100)).await;
    assert_eq!(one.asked().min(two.asked()), 1, "who waits to tell is not asked again");
    assert!(one.asked().max(two.asked()) > 5, "the other one is");
    let waiting = if one.asked() == 1 { 1 } else { 2 };
    // Its task is replaced in the middle of telling.
    let known = checker.report(waiting).unwrap().health;
    let other = if waiting == 1 { target(2, &two) } else { target(1, &one) };
    checker.set_targets(vec![other, Target { fingerprint: 2, ..target(waiting, &later) }]);
    tokio::time::sleep(secs(1)).await;
    assert_eq!(events.recv().await.unwrap().id, 3 - waiting);
    let event = events.recv().await.unwrap();
    assert_eq!((event.id, event.transition.from, event.transition.to), (waiting, Health::Unproven, known));
}

#[test]
fn untold_changes_become_one_or_none() {
    let change = |from, to| Transition { from, to, at: SystemTime::UNIX_EPOCH, cause: None };
    use Health::{Degraded, Down, Unproven, Up};
    for (changes, told) in [
        (&[(Unproven, Down)][..], Some((Unproven, Down))),
        (&[(Unproven, Down), (Down, Up)], Some((Unproven, Up))),
        (&[(Up, Down), (Down, Up)], None),
        (&[(Up, Down), (Down, Up), (Up, Degraded)], Some((Up, Degraded))),
    ] {
        let mut state = State { tracker: Tracker::new(&schedule()), news: None, passes: 0, failures: 0, unknown: 0 };
        changes.iter().for_each(|(from, to)| state.note(Some(change(*from, *to))));
        state.note(None);
        assert_eq!(state.news, told.map(|(from, to)| change(from, to)));
    }
}

#[tokio::test(start_paused = true)]
async fn questions_end_when_nobody_listens() {
    let (mut checker, events) = checker(64);
    let script = Script::new("pf");
    drop(events);
    checker.set_targets(vec![target(1, &script)]);
    tokio::time::sleep(secs(100)).await;
    assert_eq!(script.asked(), 1);
}
