//! A histogram of fixed buckets: recording is two additions, without a queue, a lock or an allocation.

use std::sync::atomic::Ordering::Relaxed;

use metrics::HistogramFn;
use metrics::atomics::AtomicU64;

/// Upper bounds of all duration histograms, in seconds.
pub(super) const BOUNDS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// How many samples are in each bucket, and their sum.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// The last one is of samples above all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Buckets {
    /// How many samples are at most as large as each bound, and last, how many there are.
    pub(super) fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut below = 0;
        self.counts.each_ref().map(|count| {
            below += count.load(Relaxed);
            below
        })
    }

    /// The sum of all samples.
    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Relaxed))
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        // Fails only while others add, and then looks again.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, |sum| Some((f64::from_bits(sum) + value).to_bits()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_in_the_first_bucket_that_is_not_below_it() {
        let buckets = Buckets::default();
        for value in [0.0, 0.0005, 0.0006, 1.0, 300.0, 300.5] {
            buckets.record(value);
        }
        let counts = buckets.cumulative();
        assert_eq!(counts[..2], [2, 3], "a bound is in its own bucket");
        assert_eq!(BOUNDS[10], 1.0);
        assert_eq!(counts[9..11], [3, 4]);
        assert_eq!(counts[17..], [5, 6], "above all bounds is only in the last one");
        assert!((buckets.sum() - 601.5011).abs() < 1e-9, "{}", buckets.sum());
    }

    #[test]
    fn samples_of_many_threads_are_all_counted() {
        let buckets = Buckets::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| buckets.record(0.5)));
            }
        });
        assert_eq!((buckets.cumulative()[BOUNDS.len()], buckets.sum()), (40_000, 20_000.0));
    }
}
