//! When requests are due.

use std::time::Duration;

use super::{Mode, Plan, Spacing};

/// The times at which the requests of one thread are due, since the run began, in order.
///
/// The number of requests that are due until a time is a function of it. The times of even spacing are where it is a whole
/// number; those of Poisson's process are where it is a sum of exponential steps. Threads take turns in the first case,
/// and in the second know nothing of each other.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Requests each second at first.
    from: f64,
    /// How many more each second, after the warm-up.
    growth: f64,
    warm_up: f64,
    total: f64,
    /// Which is next, in requests of all threads.
    number: f64,
    threads: f64,
    dice: Option<fastrand::Rng>,
}

impl Schedule {
    /// That of thread `number` of so many; `None` in a closed loop, where nothing is due. The threads of other parts of a load
    /// are among those that take turns.
    pub(super) fn new(plan: &Plan, number: usize, threads: usize) -> Option<Self> {
        let (from, to) = match plan.mode {
            Mode::Closed { .. } => return None,
            Mode::Rate { per_second, .. } => (per_second, per_second),
            Mode::Ramp { from, to, .. } => (from, to),
        };
        let (number, threads) = plan.turn(number, threads);
        let dice = match plan.spacing {
            Spacing::Even => None,
            // So far apart that neighbouring seeds of users do not meet.
            Spacing::Poisson { seed } => Some(fastrand::Rng::with_seed(seed ^ ((number as u64) << 48))),
        };
        let mut schedule = Self {
            from,
            growth: (to - from) / plan.duration.as_secs_f64(),
            warm_up: plan.warm_up.as_secs_f64(),
            total: plan.total().as_secs_f64(),
            number: number as f64,
            threads: threads as f64,
            dice,
        };
        if schedule.dice.is_some() {
            schedule.number = schedule.step();
        }
        Some(schedule)
    }

    /// When the next is due; `None` if there is none any more.
    pub(super) fn peek(&self) -> Option<Duration> {
        let at = self.time_of(self.number)?;
        (at < self.total).then(|| Duration::from_secs_f64(at))
    }

    /// On to the one after it.
    pub(super) fn advance(&mut self) {
        self.number += self.step();
    }

    /// How many are due before `until`, the next one and later, as the rate has them: one more or less where they are at
    /// random. It takes no longer for very many.
    pub(super) fn left_before(&self, until: Duration) -> u64 {
        let until = until.as_secs_f64().min(self.total);
        let after = (until - self.warm_up).max(0.0);
        let due = (0.5 * self.growth * after).mul_add(after, self.from * until.min(self.warm_up) + self.from * after);
        // What is due at this very time is not before it, however the numbers are rounded.
        let left = ((due - self.number - 1e-6) / self.threads).ceil().max(0.0);
        // At most 10,000,000 a second for a few days.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let left = left as u64;
        left
    }

    fn step(&mut self) -> f64 {
        match &mut self.dice {
            None => self.threads,
            // 1 - f64() is never 0.
            Some(dice) => -(1.0 - dice.f64()).ln() * self.threads,
        }
    }

    /// When so many were due. The root of `from * t + growth / 2 * t^2 = number`, in a form that also holds without growth.
    fn time_of(&self, number: f64) -> Option<f64> {
        if number <= self.from * self.warm_up {
            return Some(if self.from > 0.0 { number / self.from } else { self.warm_up });
        }
        let number = number - self.from * self.warm_up;
        let root = self.from.mul_add(self.from, 2.0 * self.growth * number);
        // A rate that falls to 0 never reaches more.
        let at = 2.0 * number / (self.from + if root < 0.0 { return None } else { root.sqrt() });
        at.is_finite().then_some(self.warm_up + at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Slice;
    use super::*;

    fn times(mode: Mode, spacing: Spacing, warm_up: u64, threads: usize) -> Vec<f64> {
        let mut plan = Plan::new(([127, 0, 0, 1], 1).into(), "");
        (plan.mode, plan.spacing) = (mode, spacing);
        (plan.warm_up, plan.duration) = (Duration::from_secs(warm_up), Duration::from_secs(10));
        times_of(&plan, threads)
    }

    fn times_of(plan: &Plan, threads: usize) -> Vec<f64> {
        let mut all = Vec::new();
        for number in 0..threads {
            let mut schedule = Schedule::new(plan, number, threads).unwrap();
            while let Some(at) = schedule.peek() {
                all.push(at.as_secs_f64());
                schedule.advance();
            }
        }
        all.sort_by(f64::total_cmp);
        all
    }

    /// Those of all parts, each with another number of threads.
    fn times_of_parts(plan: &Plan, of: usize) -> Vec<f64> {
        let part = |number| Plan { part: Some(Slice { number, of, begin: None }), ..plan.clone() };
        let mut all: Vec<_> = (0..of).flat_map(|number| times_of(&part(number), number + 1)).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// How many there are in each hundredth of a second: their mean, and their variance.
    fn spread(times: &[f64], seconds: f64) -> (f64, f64) {
        let bins = (seconds * 100.0) as usize;
        let mut counts = vec![0.0; bins];
        times.iter().for_each(|at| counts[((at * 100.0) as usize).min(bins - 1)] += 1.0);
        let mean = counts.iter().sum::<f64>() / bins as f64;
        (mean, counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / bins as f64)
    }

    const fn rate(per_second: f64) -> Mode {
        Mode::Rate { per_second, connections: 1 }
    }

    const fn ramp(from: f64, to: f64) -> Mode {
        Mode::Ramp { from, to, connections: 1 }
    }

    fn between(times: &[f64], from: f64, to: f64) -> usize {
        times.iter().filter(|at| **at >= from && **at < to).count()
    }

    #[test]
    fn even_spacing_is_even_over_all_threads() {
        let times = times(rate(100.0), Spacing::Even, 2, 3);
        assert_eq!(times.len(), 1200);
        assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.01).abs() < 1e-6));
    }

    #[test]
    fn poisson_keeps_the_rate_and_is_repeatable() {
        let seven = times(rate(1000.0), Spacing::Poisson { seed: 7 }, 0, 2);
        // Ten standard deviations.
        assert!(seven.len().abs_diff(10_000) < 1000, "{}", seven.len());
        assert_eq!(seven, times(rate(1000.0), Spacing::Poisson { seed: 7 }, 0, 2));
        assert_ne!(seven, times(rate(1000.0), Spacing::Poisson { seed: 8 }, 0, 2));
        let gaps: Vec<f64> = seven.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // In Poisson's process, e^-1 of the gaps are longer than their mean.
        let long = between(&gaps, 1e-3, f64::MAX) as f64 / gaps.len() as f64;
        assert!((long - 0.3679).abs() < 0.05, "{long}");
    }

    #[test]
    fn random_arrivals_are_as_far_from_even_as_they_should_be() {
        // Of a Poisson process the variance of counts is their mean. Of 1,000 counts, 0.05 is their ratio's own deviation.
        for seed in 1..=5 {
            let times = times(rate(1000.0), Spacing::Poisson { seed }, 0, 3);
            let (mean, variance) = spread(&times, 10.0);
            assert!(
                (mean - 10.0).abs() < 0.4 && (0.85..1.15).contains(&(variance / mean)),
                "{seed}: {mean} {variance}"
            );
        }
        let (mean, variance) = spread(&times(rate(1000.0), Spacing::Even, 0, 3), 10.0);
        assert!((mean - 10.0).abs() < 0.01 && variance < 0.2, "{mean} {variance}");
        // A ramp has its rates, and no more from one seed to another than chance.
        let ramped = times(ramp(100.0, 1900.0), Spacing::Poisson { seed: 3 }, 0, 2);
        let halves = [between(&ramped, 0.0, 5.0), between(&ramped, 5.0, 10.0)];
        assert!(halves[0].abs_diff(2750) < 200 && halves[1].abs_diff(7250) < 300, "{halves:?}");
    }

    #[test]
    fn parts_together_are_the_whole() {
        for mode in [rate(100.0), ramp(10.0, 200.0)] {
            let mut plan = Plan::new(([127, 0, 0, 1], 1).into(), "");
            (plan.mode, plan.warm_up, plan.duration) = (mode, Duration::from_secs(1), Duration::from_secs(10));
            let (whole, parts) = (times_of(&plan, 2), times_of_parts(&plan, 3));
            assert_eq!(whole.len(), parts.len());
            assert!(whole.iter().zip(&parts).all(|(one, other)| (one - other).abs() < 1e-6), "{mode:?}");
        }
        let mut plan = Plan::new(([127, 0, 0, 1], 1).into(), "");
        (plan.mode, plan.spacing) = (rate(1000.0), Spacing::Poisson { seed: 1 });
        let (mean, variance) = spread(&times_of_parts(&plan, 4), 10.0);
        assert!((mean - 10.0).abs() < 0.4 && (0.85..1.15).contains(&(variance / mean)), "{mean} {variance}");
    }

    #[test]
    fn a_ramp_rises_evenly_after_the_warm_up() {
        let times = times(ramp(100.0, 300.0), Spacing::Even, 5, 1);
        assert!(between(&times, 0.0, 5.0).abs_diff(500) <= 1);
        assert!(times.len().abs_diff(2500) <= 1, "{}", times.len());
        assert!(between(&times, 5.0, 6.0).abs_diff(110) <= 1);
        assert!(between(&times, 14.0, 15.0).abs_diff(290) <= 1);
    }

    #[test]
    fn what_is_left_is_counted_without_going_through_it() {
        let seconds = Duration::from_secs_f64;
        for (mode, threads) in [(rate(100.0), 1), (rate(33.3), 3), (ramp(0.0, 100.0), 2), (ramp(100.0, 0.0), 1)] {
            let mut plan = Plan::new(([127, 0, 0, 1], 1).into(), "");
            (plan.mode, plan.warm_up, plan.duration) = (mode, seconds(2.0), seconds(10.0));
            let mut schedule = Schedule::new(&plan, 0, threads).unwrap();
            for until in [0.0, 1.013, 5.377, 12.0, 99.0].map(seconds) {
                let mut through = Schedule::new(&plan, 0, threads).unwrap();
                let mut counted = 0;
                while through.peek().is_some_and(|at| at < until) {
                    (counted, _) = (counted + 1, through.advance());
                }
                assert_eq!(schedule.left_before(until), counted, "{mode:?} until {until:?}");
            }
            let all = schedule.left_before(Duration::MAX);
            schedule.advance();
            assert_eq!(schedule.left_before(Duration::MAX), all - 1);
        }
        let mut plan = Plan::new(([127, 0, 0, 1], 1).into(), "");
        (plan.mode, plan.duration) = (rate(1e7), Duration::from_secs(345_600));
        assert_eq!(Schedule::new(&plan, 0, 1).unwrap().left_before(Duration::MAX), 3_456_000_000_000);
    }

    #[test]
    fn ramps_begin_and_end_at_nothing() {
        let rising = times(ramp(0.0, 100.0), Spacing::Even, 1, 2);
        assert!(rising.len().abs_diff(500) <= 2 && rising[0] >= 1.0, "{rising:?}");
        let falling = times(ramp(100.0, 0.0), Spacing::Even, 0, 1);
        assert!(falling.len().abs_diff(500) <= 1, "{}", falling.len());
        assert!(between(&falling, 9.0, 10.0) <= 6);
    }
}
