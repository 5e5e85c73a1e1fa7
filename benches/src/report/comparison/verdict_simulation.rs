//! The rule of verdicts in simulated sittings: how often it is wrong, and how often it finds what is there.

use fastrand::Rng;

use super::*;

const PEERS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

/// What disturbs a sitting, as parts of a figure.
#[derive(Debug, Clone, Copy)]
struct World {
    /// From one measurement to the next: a standard deviation.
    noise: f64,
    /// From one start of a proxy to the next: a standard deviation.
    luck: f64,
    /// Whether each round has starts of its own.
    starts: Starts,
    /// How often another process is in the way of a measurement, so that all takes 30 % longer.
    disturbed: f64,
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Starts {
    EachRound,
    Once,
}

/// What a whole round has in common: a standard deviation.
const OF_A_ROUND: f64 = 0.05;
/// How much slower the machine is at the end of a sitting than at its beginning.
const DRIFT: f64 = 0.2;
/// How often something else is in the way on a machine that has other work.
const BUSY: f64 = 0.03;

/// The sum of twelve is as good as normal, with a standard deviation of 1.
fn normal(dice: &mut Rng) -> f64 {
    (0..12).map(|_| dice.f64()).sum::<f64>() - 6.0
}

impl World {
    const fn quiet(noise: f64) -> Self {
        Self { noise, luck: 0.0, starts: Starts::EachRound, disturbed: 0.0, rounds: ROUNDS }
    }

    /// One sitting, as `compare` does it: in each round every proxy once, in any order, while the machine drifts. Each peer
    /// needs so many times as much as rolegate.
    fn sitting(self, dice: &mut Rng, factors: [f64; 6]) -> Work {
        let others = PEERS.into_iter().zip(factors);
        let all: Vec<_> = [(ROLEGATE, 1.0), (CONTROL, 1.0), (FORWARDER, 0.7)].into_iter().chain(others).collect();
        let mut luck: Vec<f64> = all.iter().map(|_| 1.0 + self.luck * normal(dice)).collect();
        let mut rounds = vec![vec![0.0; self.rounds]; all.len()];
        let measurements = (self.rounds * all.len()) as f64;
        for round in 0..self.rounds {
            let of_round = 1.0 + OF_A_ROUND * normal(dice);
            let mut order: Vec<_> = (0..all.len()).collect();
            dice.shuffle(&mut order);
            for (place, at) in order.into_iter().enumerate() {
                if self.starts == Starts::EachRound {
                    luck[at] = 1.0 + self.luck * normal(dice);
                }
                let drift = 1.0 + DRIFT * (round * all.len() + place) as f64 / measurements;
                let disturbed = if dice.f64() < self.disturbed { 1.3 } else { 1.0 };
                let noise = 1.0 + self.noise * normal(dice);
                rounds[at][round] = 30.0 * all[at].1 * luck[at] * of_round * drift * disturbed * noise;
            }
        }
        let figures = all.iter().zip(rounds).map(|((proxy, _), rounds)| Figures {
            proxy: (*proxy).to_owned(),
            rounds,
            ..Figures::default()
        });
        Work {
            name: "w".to_owned(),
            title: "A work".to_owned(),
            unit: "us".to_owned(),
            better: Better::Lower,
            goal: None,
            note: String::new(),
            doubts: Vec::new(),
            figures: figures.collect(),
        }
    }

    fn judge(self, sittings: usize, seed: u64, factors: [f64; 6]) -> Judged {
        let mut dice = Rng::with_seed(seed);
        let mut judged = Judged::default();
        for _ in 0..sittings {
            match self.sitting(&mut dice, factors).verdict().unwrap().outcome {
                Outcome::Win => judged.wins += 1,
                Outcome::Loss => judged.losses += 1,
                Outcome::Even | Outcome::Undecided(_) => {}
            }
        }
        judged
    }
}

/// How often a winner was named.
#[derive(Debug, Clone, Copy, Default)]
struct Judged {
    wins: usize,
    losses: usize,
}

const EQUAL: [f64; 6] = [1.0; 6];

#[test]
fn equal_proxies_on_a_machine_that_drifts_have_no_winner() {
    for (seed, noise, disturbed, sittings) in [(11, 0.02, 0.0, 200), (12, 0.03, BUSY, 1_000), (13, 0.05, 0.0, 200)] {
        let Judged { wins, losses } = World { disturbed, ..World::quiet(noise) }.judge(sittings, seed, EQUAL);
        let told = format!("noise {noise}: {wins} wins and {losses} losses in {sittings} sittings of equal proxies");
        assert!((wins + losses) * 10 <= sittings, "{told}");
    }
    let world = World { disturbed: BUSY, rounds: 12, ..World::quiet(0.02) };
    let Judged { wins, losses } = world.judge(50, 17, EQUAL);
    assert!(wins + losses <= 5, "{wins} wins and {losses} losses in 50 sittings of 12 rounds");
}

#[test]
fn a_true_difference_is_found_on_a_machine_that_drifts() {
    let quiet = World::quiet(0.02);
    let Judged { wins, losses } = quiet.judge(60, 14, [1.1; 6]);
    assert!(wins >= 45 && losses == 0, "{wins} wins and {losses} losses of 60 where all peers are slower by 10 %");
    let one = [1.0, 1.0, 0.9, 1.0, 1.0, 1.0];
    let Judged { wins, losses } = quiet.judge(60, 15, one);
    assert!(losses >= 45 && wins == 0, "{wins} wins and {losses} losses of 60 where one peer is faster by 10 %");
    // What disturbs single measurements is made up for by more rounds.
    let world = World { disturbed: BUSY, rounds: 12, ..quiet };
    let Judged { wins, losses } = world.judge(60, 18, one);
    assert!(losses >= 45 && wins == 0, "{wins} wins and {losses} losses of 60 on a busy machine, 12 rounds");
}

/// Why `compare` starts every proxy anew for each round.
#[test]
fn the_luck_of_one_start_would_be_taken_for_a_difference() {
    let once = World { luck: 0.02, starts: Starts::Once, ..World::quiet(0.005) };
    let Judged { wins, losses } = once.judge(200, 16, EQUAL);
    assert!(wins + losses > 20, "{wins} wins and {losses} losses in 200 sittings with one start");
    let Judged { wins, losses } = World { starts: Starts::EachRound, ..once }.judge(200, 16, EQUAL);
    assert!(wins + losses <= 20, "{wins} wins and {losses} losses in 200 sittings with a start for each round");
}
