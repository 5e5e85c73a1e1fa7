use fastrand::Rng;

use super::*;

fn work(better: Better, all: &[(&str, Vec<f64>)]) -> Work {
    let figures = all.iter().map(|(proxy, rounds)| Figures {
        proxy: (*proxy).to_owned(),
        rounds: rounds.clone(),
        ..Figures::default()
    });
    Work {
        name: "w".to_owned(),
        title: "A work".to_owned(),
        unit: "us".to_owned(),
        better,
        goal: None,
        note: String::new(),
        doubts: Vec::new(),
        figures: figures.collect(),
    }
}

/// One sitting: figures with 2 % of noise, each proxy so many times as slow as rolegate.
fn sitting(dice: &mut Rng, peers: &[(&'static str, f64)]) -> Work {
    let mut rounds = |middle: f64| -> Vec<f64> {
        // The sum of twelve is as good as normal, with a standard deviation of 1.
        (0..ROUNDS).map(|_| middle * (1.0 + 0.02 * ((0..12).map(|_| dice.f64()).sum::<f64>() - 6.0))).collect()
    };
    let mut all = vec![(ROLEGATE, rounds(30.0)), (CONTROL, rounds(30.0)), (FORWARDER, rounds(20.0))];
    all.extend(peers.iter().map(|(name, factor)| (*name, rounds(30.0 * factor))));
    work(Better::Lower, &all)
}

const SIX: [(&str, f64); 6] = [("one", 1.0), ("two", 1.0), ("three", 1.0), ("four", 1.0), ("five", 1.0), ("six", 1.0)];

/// So often, of so many sittings, is a winner named.
fn named(sittings: usize, seed: u64, peers: &[(&'static str, f64)]) -> [usize; 2] {
    let mut dice = Rng::with_seed(seed);
    let mut counts = [0; 2];
    for _ in 0..sittings {
        match sitting(&mut dice, peers).verdict().unwrap().outcome {
            Outcome::Win => counts[0] += 1,
            Outcome::Loss => counts[1] += 1,
            Outcome::Even | Outcome::Undecided(_) => {}
        }
    }
    counts
}

#[test]
fn equal_proxies_have_no_winner() {
    let [wins, losses] = named(1_000, 1, &SIX);
    assert!(wins + losses <= 50, "{wins} wins and {losses} losses in 1,000 sittings of equal proxies");
    let [wins, losses] = named(1_000, 2, &SIX[..1]);
    assert!(wins + losses <= 50, "{wins} wins and {losses} losses in 1,000 sittings with one equal peer");
}

#[test]
fn a_true_difference_is_found() {
    let [wins, losses] = named(200, 3, &SIX.map(|(name, _)| (name, 1.1)));
    assert!(wins >= 180 && losses == 0, "{wins} wins and {losses} losses of 200 where all peers are slower by 10 %");
    let mut peers = SIX;
    peers[3].1 = 0.9;
    let [wins, losses] = named(200, 4, &peers);
    assert!(losses >= 180 && wins == 0, "{wins} wins and {losses} losses of 200 where one peer is faster by 10 %");
}

/// rolegate at 10, its control as given, and one peer.
fn outcome(better: Better, control: &[f64], peer: &[f64]) -> Outcome {
    let rolegate = vec![10.0; peer.len()];
    let all = [(ROLEGATE, rolegate), (CONTROL, control.to_vec()), ("peer", peer.to_vec())];
    work(better, &all).verdict().unwrap().outcome
}

#[test]
fn a_difference_is_larger_than_that_of_rolegate_beside_itself() {
    let quiet = [10.0, 10.1, 9.9, 10.0, 10.1, 9.95];
    let loud = [10.0, 12.0, 8.0, 10.0, 11.5, 9.0];
    let peer = [10.8, 10.9, 10.7, 10.8, 10.8, 10.9];
    assert_eq!(outcome(Better::Lower, &quiet, &peer), Outcome::Win);
    assert_eq!(outcome(Better::Higher, &quiet, &peer), Outcome::Loss);
    let Outcome::Undecided(Why::Control(least)) = outcome(Better::Lower, &loud, &peer) else { panic!() };
    assert!((1.1..=1.25).contains(&least), "{least}");
    // As far below 1 as above it.
    let slower = peer.map(|figure| 100.0 / figure);
    assert_eq!(outcome(Better::Lower, &quiet, &slower), Outcome::Loss);
    assert!(matches!(outcome(Better::Lower, &loud, &slower), Outcome::Undecided(Why::Control(_))));
}

#[test]
fn what_cannot_be_decided_says_why() {
    let same = [10.0; 6];
    let undecided = |why| Outcome::Undecided(why);
    assert_eq!(outcome(Better::Lower, &same[..5], &[20.0; 5]), undecided(Why::FewRounds(5)));
    assert_eq!(outcome(Better::Lower, &same, &[20.0, 20.0, f64::NAN, 20.0, 20.0, 20.0]), undecided(Why::FewRounds(5)));
    assert_eq!(outcome(Better::Lower, &[], &[20.0; 6]), undecided(Why::NoControl));
    let failing = |proxy: &str| {
        let mut work =
            work(Better::Lower, &[(ROLEGATE, same.to_vec()), (CONTROL, same.to_vec()), ("peer", vec![20.0; 6])]);
        for (share, wanted) in [(0.009, Outcome::Win), (0.02, undecided(Why::Failures))] {
            work.figures.iter_mut().filter(|figures| figures.proxy == proxy).for_each(|figures| figures.failed = share);
            assert_eq!(work.verdict().unwrap().outcome, wanted, "{proxy} fails {share}");
        }
    };
    failing("peer");
    failing(ROLEGATE);
    let disagree = [12.0, 12.0, 12.0, 12.0, 12.0, 9.0];
    assert_eq!(outcome(Better::Lower, &same, &disagree), undecided(Why::RoundsDisagree));
    // One of twelve may have been disturbed, three may not.
    let twelve = |disturbed: usize| {
        let peer: Vec<_> = (0..12).map(|round| if round < disturbed { 9.0 } else { 12.0 }).collect();
        outcome(Better::Lower, &[10.0; 12], &peer)
    };
    let expected = [Outcome::Win, Outcome::Win, Outcome::Win, undecided(Why::RoundsDisagree)];
    assert_eq!([0, 1, 2, 3].map(twelve), expected);
    // No round says the opposite by more than 1 %, but some say nothing.
    let chance = [10.4, 9.95, 10.5, 9.95, 10.4, 9.95];
    assert_eq!(outcome(Better::Lower, &same, &chance), undecided(Why::Chance));
    let even = [10.02, 9.98, 10.05, 10.0, 10.03, 9.97];
    assert_eq!(outcome(Better::Lower, &same, &even), Outcome::Even);
}

#[test]
fn one_better_peer_is_a_loss_and_one_that_is_open_leaves_it_open() {
    let quiet = vec![10.0, 10.02, 9.98, 10.0, 10.01, 9.99];
    let all = [
        (ROLEGATE, vec![10.0; 6]),
        (CONTROL, quiet),
        ("slow", vec![20.0; 6]),
        ("wild", vec![1.0, 30.0, 2.0, 12.0, 1.0, 30.0]),
        ("fast", vec![8.0; 6]),
        (FORWARDER, vec![1.0; 6]),
        (BEFORE, vec![1.0; 6]),
    ];
    let verdict = |better, proxies: &[usize]| {
        let some: Vec<_> = proxies.iter().map(|at| all[*at].clone()).collect();
        work(better, &some).verdict().map(|verdict| (verdict.outcome, verdict.peer))
    };
    let name = |name: &str| name.to_owned();
    assert_eq!(verdict(Better::Lower, &[0, 1, 2, 3, 4, 5, 6]), Some((Outcome::Loss, name("fast"))));
    assert_eq!(verdict(Better::Higher, &[0, 1, 2, 3, 4]), Some((Outcome::Loss, name("slow"))));
    assert_eq!(verdict(Better::Lower, &[0, 1, 2, 5, 6]), Some((Outcome::Win, name("slow"))));
    let open = Some((Outcome::Undecided(Why::RoundsDisagree), name("wild")));
    assert_eq!(verdict(Better::Lower, &[0, 1, 2, 3]), open);
    assert_eq!(verdict(Better::Lower, &[0, 1, 5, 6]), None, "neither the floor nor an older build is a peer");
    assert_eq!(verdict(Better::Lower, &[2, 3, 4]), None, "without rolegate");
}

#[test]
fn more_peers_need_a_clearer_difference() {
    let mut dice = Rng::with_seed(5);
    let many = sitting(&mut dice, &SIX);
    let one = Work { figures: many.figures[..4].to_vec(), ..many.clone() };
    let width = |work: &Work| work.interval("one").map(|interval| interval.high - interval.low).unwrap();
    assert!(width(&many) > width(&one), "{} {}", width(&many), width(&one));
    assert!(many.least() >= one.least());
}
