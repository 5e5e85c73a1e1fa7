//! The figures of a run while it runs, for a monitoring system.
//!
//! Every thread counts in a block of its own, which it alone writes, so that threads do not wait for each other. They are
//! added up when somebody asks. What is counted is what the report will have: no more, and in the end no less.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Failure;
use super::sample::{Sample, SeriesKey};

/// The upper ends of the buckets of latencies, in microseconds.
pub(crate) const BUCKETS_US: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
/// Different kinds of failure of a series that are told apart; statuses that come after so many are one kind.
const KINDS: usize = 40;
/// The kind of failures that are not told apart any more.
const OTHER: &str = "other";

/// What all threads of a run have counted until now.
#[derive(Debug, Clone)]
pub struct Live {
    keys: Arc<[SeriesKey]>,
    blocks: Arc<[Block]>,
}

/// What there is of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveSeries {
    /// Requests that were answered as they should be.
    pub done: u64,
    /// The others, by kind.
    pub failures: BTreeMap<String, u64>,
    /// Bytes of response bodies.
    pub received: u64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// How many latencies are in each bucket, and not in the one before; the last is of those that are longer than all.
    pub buckets: [u64; BUCKETS_US.len() + 1],
    /// The sum of all latencies.
    pub sum: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Block(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    series: Vec<LiveSeries>,
    open: u64,
    under_way: u64,
}

impl Live {
    /// For so many threads with these series.
    pub(super) fn new(keys: &[SeriesKey], threads: usize) -> Self {
        let block =
            |_| Block(Mutex::new(Counts { series: vec![LiveSeries::default(); keys.len()], ..Counts::default() }));
        Self { keys: keys.into(), blocks: (0..threads).map(block).collect() }
    }

    /// The block of a thread.
    pub(super) fn of_thread(&self, number: usize) -> LiveThread {
        LiveThread { blocks: Arc::clone(&self.blocks), number }
    }

    /// Each series, and what there is of it.
    #[must_use]
    pub fn series(&self) -> Vec<(&SeriesKey, LiveSeries)> {
        let mut all: Vec<_> = self.keys.iter().map(|key| (key, LiveSeries::default())).collect();
        for block in self.blocks.iter() {
            let counts = block.counts();
            for ((_, sum), its) in all.iter_mut().zip(&counts.series) {
                sum.add(its);
            }
        }
        all
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.blocks.iter().map(|block| block.counts().open).sum()
    }

    /// Requests that are under way; activities in a fleet.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.blocks.iter().map(|block| block.counts().under_way).sum()
    }
}

/// Where one thread counts.
#[derive(Debug)]
pub(super) struct LiveThread {
    blocks: Arc<[Block]>,
    number: usize,
}

impl LiveThread {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.blocks[self.number].counts()
    }

    /// Counts a request that is over.
    pub(super) fn record(&self, series: usize, sample: &Sample) {
        let mut counts = self.counts();
        let its = &mut counts.series[series];
        its.received += sample.received;
        its.sent += sample.sent;
        match sample.result {
            Ok(()) => {
                its.done += 1;
                its.sum += sample.latency;
                // Longer ones are in the last.
                let place = BUCKETS_US.partition_point(|end| Duration::from_micros(*end) < sample.latency);
                its.buckets[place] += 1;
            }
            Err(failure) => its.fail(failure, 1),
        }
    }

    /// Counts requests that were never sent.
    pub(super) fn fail(&self, series: usize, failure: Failure, count: u64) {
        self.counts().series[series].fail(failure, count);
    }

    /// So many connections are open, and so many requests under way.
    pub(super) fn gauges(&self, open: u64, under_way: u64) {
        let mut counts = self.counts();
        (counts.open, counts.under_way) = (open, under_way);
    }
}

impl Block {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveSeries {
    fn fail(&mut self, failure: Failure, count: u64) {
        let kind = failure.to_string();
        let kind =
            if self.failures.len() < KINDS || self.failures.contains_key(&kind) { kind } else { OTHER.to_owned() };
        *self.failures.entry(kind).or_default() += count;
    }

    /// Adds another's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.received += other.received;
        self.sent += other.sent;
        self.sum += other.sum;
        for (sum, its) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += its;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
    }

    /// Whether anything was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done == 0 && self.failures.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(latency: Duration, result: Result<(), Failure>) -> Sample {
        Sample { at: Duration::ZERO, latency, service: latency, sent: 3, received: 10, result }
    }

    #[test]
    fn threads_are_added_up_and_latencies_are_in_their_buckets() {
        let keys = [SeriesKey { message: "a".to_owned(), ..SeriesKey::default() }, SeriesKey::default()];
        let live = Live::new(&keys, 2);
        let [one, two] = [0, 1].map(|number| live.of_thread(number));
        one.record(0, &sample(Duration::from_micros(250), Ok(())));
        two.record(0, &sample(Duration::from_micros(251), Ok(())));
        two.record(0, &sample(Duration::from_secs(31), Ok(())));
        two.record(0, &sample(Duration::from_secs(1), Err(Failure::Reset)));
        one.fail(1, Failure::Unsent, 4);
        one.gauges(2, 1);
        two.gauges(3, 0);
        let all = live.series();
        assert_eq!((all[0].1.done, all[0].1.received, all[0].1.sent), (3, 40, 12));
        assert_eq!((all[0].1.buckets[0], all[0].1.buckets[1], all[0].1.buckets[BUCKETS_US.len()]), (1, 1, 1));
        assert_eq!(all[0].1.sum, Duration::from_micros(501) + Duration::from_secs(31));
        assert_eq!((all[0].1.failures["reset"], all[1].1.failures["unsent"]), (1, 4));
        assert_eq!((live.open(), live.under_way()), (5, 1));
    }

    #[test]
    fn kinds_of_failures_have_a_bound() {
        let live = Live::new(&[SeriesKey::default()], 1);
        let one = live.of_thread(0);
        (300..400).for_each(|status| one.fail(0, Failure::Status(status), 1));
        one.fail(0, Failure::Status(300), 1);
        let failures = live.series().remove(0).1.failures;
        assert_eq!((failures.len(), failures["status 300"], failures[OTHER]), (KINDS + 1, 2, 60));
    }
}
