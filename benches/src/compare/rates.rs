//! The arithmetic of a comparison.

use std::time::Duration;

use fastrand::Rng;

/// In which order `count` proxies are measured in a round: any, so that none always follows the same one.
pub(super) fn order(count: usize, dice: &mut Rng) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    dice.shuffle(&mut order);
    order
}

/// What each of `count` things took, in microseconds; `NaN` if there were none.
pub(super) fn each_us(seconds: f64, count: u64) -> f64 {
    if count == 0 { f64::NAN } else { seconds * 1e6 / count as f64 }
}

/// How many there were in each of these seconds; `NaN` if no time passed, as far as it can be told.
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { f64::NAN }
}

/// A part of the lowest limit, in whole requests a second, at least 1. `None` without limits.
pub(super) fn part_of_slowest(limits: impl IntoIterator<Item = f64>, percent: u32) -> Option<f64> {
    let slowest = limits.into_iter().filter(|limit| limit.is_finite()).min_by(f64::total_cmp)?;
    Some((slowest * f64::from(percent) / 100.0).floor().max(1.0))
}

/// How much more there is than before, for each of `count`; less than before is negative.
pub(super) fn growth_each(before: u64, after: u64, count: u64) -> f64 {
    if count == 0 { f64::NAN } else { (after as f64 - before as f64) / count as f64 }
}

/// Milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_any_and_the_same_for_the_same_seed() {
        let orders = |seed| {
            let mut dice = Rng::with_seed(seed);
            (0..600).map(|_| order(3, &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(orders(7), orders(7));
        assert_ne!(orders(7), orders(8));
        for wanted in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let count = orders(7).iter().filter(|order| **order == wanted).count();
            assert!((60..=140).contains(&count), "{wanted:?} {count} times of 600");
        }
        assert!(order(0, &mut Rng::with_seed(1)).is_empty());
    }

    #[test]
    fn rates() {
        assert!((each_us(2.0, 100_000) - 20.0).abs() < 1e-9 && each_us(1.0, 0).is_nan());
        assert!((per_second(30, 1.5) - 20.0).abs() < 1e-9 && per_second(30, 0.0).is_nan());
        assert_eq!(part_of_slowest([3000.0, f64::NAN, 2001.0], 50), Some(1000.0));
        assert_eq!(part_of_slowest([0.5], 80), Some(1.0));
        assert_eq!(part_of_slowest([f64::NAN], 80), None);
        assert!((growth_each(100, 40, 3) + 20.0).abs() < 1e-9 && growth_each(1, 2, 0).is_nan());
        assert!((millis(Duration::from_micros(1500)) - 1.5).abs() < 1e-9);
    }
}
