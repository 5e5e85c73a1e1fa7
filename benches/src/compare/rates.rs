//! The arithmetic of a comparison.

use std::time::Duration;

/// In which order `count` proxies are measured in a round: each is first once before one is first again.
pub(super) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + round) % count.max(1))
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
    fn every_proxy_is_first_in_turn() {
        let orders: Vec<Vec<_>> = (0..4).map(|round| order(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
        assert_eq!(order(0, 5).count(), 0);
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
