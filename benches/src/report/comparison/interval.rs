//! The interval in which the median of a few ratios lies: a percentile bootstrap over the rounds.
//!
//! The rounds are drawn again and again, with replacement, and the middle of the medians of these draws is the interval. It
//! takes no distribution for granted, which ratios of latencies would not follow. The dice have a fixed seed: the same record
//! always says the same.

use fastrand::Rng;

/// How often the rounds are drawn again.
const DRAWS: usize = 2_000;
const SEED: u64 = 0x0072_6f6c_6567_6174;

/// From where to where something lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Of the median of these figures, with so much confidence: 0.95. Nothing if there are fewer than two.
    pub(super) fn of_median(figures: &[f64], confidence: f64) -> Option<Self> {
        if figures.len() < 2 {
            return None;
        }
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut dice = Rng::with_seed(SEED);
        let mut times = vec![0; sorted.len()];
        let mut draw = || {
            times.fill(0);
            (0..times.len()).for_each(|_| times[dice.usize(..sorted.len())] += 1);
            middle_of_drawn(&sorted, &times)
        };
        let mut medians: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
        medians.sort_unstable_by(f64::total_cmp);
        let outside = rank(1.0 - confidence);
        Some(Self { low: medians[outside], high: medians[DRAWS - 1 - outside] })
    }

    /// Whether it has this figure in it.
    pub(super) fn has(&self, figure: f64) -> bool {
        (self.low..=self.high).contains(&figure)
    }
}

/// The middle of as many figures as there are, each of which was drawn so many times.
fn middle_of_drawn(sorted: &[f64], times: &[usize]) -> f64 {
    let at = |place: usize| {
        let mut seen = 0;
        let drawn = times.iter().position(|times| {
            seen += times;
            seen > place
        });
        sorted[drawn.unwrap_or_default()]
    };
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half - 1), at(half)) }
}

/// How many of the lowest medians are outside, and as many of the highest.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn rank(outside: f64) -> usize {
    (DRAWS as f64 * outside.clamp(0.0, 0.99) / 2.0) as usize
}

/// The middle one of figures in their order, or what lies between the two middle ones. There has to be one.
pub(super) fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    let upper = sorted[half];
    if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[half - 1], upper) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn more_confidence_and_more_noise_make_it_wider() {
        let figures = [0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04];
        let width = |figures: &[f64], confidence| {
            let Interval { low, high } = Interval::of_median(figures, confidence).unwrap();
            assert!(low < 1.005 && high > 1.005, "the median is in it");
            high - low
        };
        assert!(width(&figures, 0.5) < width(&figures, 0.95) && width(&figures, 0.95) < width(&figures, 0.999));
        let noisy = figures.map(|figure| 1.005 + (figure - 1.005) * 3.0);
        assert!(width(&figures, 0.95) * 2.0 < width(&noisy, 0.95));
    }

    #[test]
    fn the_middle_of_what_was_drawn_is_that_of_the_drawn_figures() {
        let mut dice = Rng::with_seed(3);
        for len in 2..9 {
            let sorted: Vec<f64> = (0..len).map(|figure| figure as f64).collect();
            let drawn: Vec<usize> = (0..len).map(|_| dice.usize(..len)).collect();
            let mut times = vec![0; len];
            drawn.iter().for_each(|figure| times[*figure] += 1);
            let mut expected: Vec<f64> = drawn.iter().map(|figure| sorted[*figure]).collect();
            expected.sort_by(f64::total_cmp);
            assert!((middle_of_drawn(&sorted, &times) - middle(&expected)).abs() < 1e-9, "{drawn:?}");
        }
    }

    #[test]
    fn what_is_always_the_same_leaves_no_room() {
        assert_eq!(Interval::of_median(&[2.0; 6], 0.95), Some(Interval { low: 2.0, high: 2.0 }));
        assert_eq!(Interval::of_median(&[f64::INFINITY; 6], 0.95).map(|found| found.has(1.0)), Some(false));
        assert_eq!(Interval::of_median(&[1.0], 0.95), None);
        let figures = [1.1, 0.9, 1.2, 1.0, 0.8, 1.3];
        assert_eq!(Interval::of_median(&figures, 0.95), Interval::of_median(&figures, 0.95));
    }

    /// The share of intervals that have the true median in them is what was asked for, as far as six rounds can give it.
    #[test]
    fn it_has_the_true_median_about_as_often_as_it_says() {
        let mut dice = Rng::with_seed(7);
        let mut noise = || (0..12).map(|_| dice.f64()).sum::<f64>() - 6.0;
        let mut hits = 0;
        for _ in 0..200 {
            let figures: Vec<f64> = (0..10).map(|_| 1.0 + 0.02 * noise()).collect();
            hits += usize::from(Interval::of_median(&figures, 0.95).unwrap().has(1.0));
        }
        assert!((180..=199).contains(&hits), "{hits} of 200");
    }
}
