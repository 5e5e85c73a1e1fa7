//! How threads that make load record what happened, without a lock.
//!
//! [`recorders`] gives each thread a [`Recorder`] and one [`Collector`] for all. A recorder counts by itself and hands
//! over a second when the next one begins; the collector, on a thread that makes no load, puts the seconds together, tells
//! of each when every thread has left it, and at the end has everything. What is over later than the second in which it was
//! due is added to that second, also when that was told already. Histograms are merged, never percentiles.

mod collector;
mod own;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

pub use collector::{Collected, Collector, Histograms};
pub use own::{CpuTime, doubts};

use super::live::{Live, LiveThread};
use super::sample::{Sample, SeriesKey};
use super::{Failure, Latencies, Series};

/// Messages that the collector has not heard yet, for each recorder, before one waits for it.
const UNHEARD: usize = 16;
/// The second that a recorder is in that has ended.
const ENDED: u64 = u64::MAX / 2;

/// Recorders for so many threads, which know these series by their place in `keys`, and who collects from them.
///
/// What counts before `warm_up` is not recorded, and the times of intervals count from its end.
#[must_use]
pub fn recorders(keys: Vec<SeriesKey>, threads: usize, warm_up: Duration) -> (Vec<Recorder>, Collector) {
    let layout = Arc::new(Layout::new(keys, warm_up));
    let (to, from) = sync_channel(threads.max(1) * UNHEARD);
    let recorders = (0..threads).map(|number| Recorder::new(&layout, number, to.clone())).collect();
    (recorders, Collector::new(layout, threads, from))
}

/// Has these recorders, which are all of a run with these series, count where it can be seen meanwhile.
pub(crate) fn watched(recorders: &mut [Recorder], keys: &[SeriesKey]) -> Live {
    let live = Live::new(keys, recorders.len());
    for (number, recorder) in recorders.iter_mut().enumerate() {
        recorder.live = Some(live.of_thread(number));
    }
    live
}

/// What all recorders of a run agree on.
#[derive(Debug)]
struct Layout {
    keys: Vec<SeriesKey>,
    roles: Vec<String>,
    /// The place in `roles` of each series' role.
    role_of: Vec<usize>,
    warm_up: Duration,
}

impl Layout {
    fn new(keys: Vec<SeriesKey>, warm_up: Duration) -> Self {
        let mut roles: Vec<String> = keys.iter().map(|key| key.role.clone()).collect();
        roles.sort_unstable();
        roles.dedup();
        let place = |key: &SeriesKey| roles.binary_search(&key.role).unwrap_or_default();
        let role_of = keys.iter().map(place).collect();
        Self { keys, roles, role_of, warm_up }
    }
}

/// A second, or a part of one, of one role.
#[derive(Debug, Clone, Default)]
struct Part {
    done: u64,
    errors: u64,
    received: u64,
    latency: Latencies,
}

/// What there is of each role.
type Roles = Vec<Option<Part>>;

/// Where the requests and connections of a thread are.
#[derive(Debug, Clone, Copy, Default)]
struct Gauges {
    open: u64,
    /// Most that were open in this second.
    open_max: u64,
    under_way: u64,
}

/// What a recorder tells the collector.
enum Told {
    /// This second is over for this recorder, and it is now in second `next`.
    Second { recorder: usize, second: u64, next: u64, roles: Roles, earlier: BTreeMap<u64, Roles>, gauges: Gauges },
    /// All is over.
    End { series: Vec<(usize, Counted)>, late: Latencies, length: Duration, dropped: u64 },
}

/// One series of one thread.
#[derive(Debug, Default)]
struct Counted {
    done: u64,
    errors: BTreeMap<Failure, u64>,
    received: u64,
    sent: u64,
    latency: Latencies,
    service: Latencies,
}

/// What one thread records. It belongs to that thread; its tasks may share it in a cell.
pub struct Recorder {
    layout: Arc<Layout>,
    number: usize,
    to: SyncSender<Told>,
    // Both are made when there is something to count: a histogram is large.
    series: Vec<Option<Box<Counted>>>,
    roles: Roles,
    /// The second that `roles` is about.
    second: u64,
    /// What was due in seconds before it, and was over in this one.
    earlier: BTreeMap<u64, Roles>,
    /// When it is over, since the run began.
    second_ends: Duration,
    gauges: Gauges,
    late: Latencies,
    dropped: u64,
    /// Where it counts besides, for those who look while it runs.
    live: Option<LiveThread>,
}

impl Recorder {
    fn new(layout: &Arc<Layout>, number: usize, to: SyncSender<Told>) -> Self {
        Self {
            number,
            to,
            series: layout.keys.iter().map(|_| None).collect(),
            roles: vec![None; layout.roles.len()],
            second: 0,
            earlier: BTreeMap::new(),
            second_ends: layout.warm_up + Duration::from_secs(1),
            gauges: Gauges::default(),
            late: Latencies::default(),
            dropped: 0,
            live: None,
            layout: Arc::clone(layout),
        }
    }

    /// Counts a request that is over, of the series at this place.
    ///
    /// # Panics
    /// There is no such series.
    pub fn record(&mut self, series: usize, sample: &Sample) {
        if sample.at < self.layout.warm_up {
            return;
        }
        self.pass(sample.at);
        if let Some(live) = &self.live {
            live.record(series, sample);
        }
        let (counted, part) = self.places(series, sample.at);
        counted.received += sample.received;
        counted.sent += sample.sent;
        part.received += sample.received;
        match sample.result {
            Ok(()) => {
                let latency = microseconds(sample.latency);
                counted.done += 1;
                counted.latency.record(latency);
                counted.service.record(microseconds(sample.service));
                part.done += 1;
                part.latency.record(latency);
            }
            Err(failure) => {
                *counted.errors.entry(failure).or_default() += 1;
                part.errors += 1;
            }
        }
    }

    /// So many requests of the series at this place have failed, which were never sent.
    ///
    /// # Panics
    /// There is no such series.
    pub fn fail(&mut self, series: usize, at: Duration, failure: Failure, count: u64) {
        if count == 0 || at < self.layout.warm_up {
            return;
        }
        self.pass(at);
        if let Some(live) = &self.live {
            live.fail(series, failure, count);
        }
        let (counted, part) = self.places(series, at);
        *counted.errors.entry(failure).or_default() += count;
        part.errors += count;
    }

    /// Where a request of this series is counted that counts at this time: in all, and in its second.
    fn places(&mut self, series: usize, at: Duration) -> (&mut Counted, &mut Part) {
        let second = at.saturating_sub(self.layout.warm_up).as_secs();
        let none = || vec![None; self.layout.roles.len()];
        let roles =
            if second < self.second { self.earlier.entry(second).or_insert_with(none) } else { &mut self.roles };
        let part = roles[self.layout.role_of[series]].get_or_insert_default();
        (self.series[series].get_or_insert_default(), part)
    }

    /// A request that found a free connection, or an activity that found a place, was due `at` and began so much later.
    /// What had to wait for the target is not told of here.
    pub fn late(&mut self, at: Duration, by: Duration) {
        if at >= self.layout.warm_up {
            self.late.record(microseconds(by));
        }
    }

    /// A connection was opened.
    pub fn opened(&mut self) {
        self.gauges.open += 1;
        self.gauges.open_max = self.gauges.open_max.max(self.gauges.open);
    }

    /// A connection was closed.
    pub const fn closed(&mut self) {
        self.gauges.open = self.gauges.open.saturating_sub(1);
    }

    /// A request is under way.
    pub const fn begun(&mut self) {
        self.gauges.under_way += 1;
    }

    /// A request is not under way any more.
    pub const fn ended(&mut self) {
        self.gauges.under_way = self.gauges.under_way.saturating_sub(1);
    }

    /// A request was under way when the run was over, and nobody waits for its answer: it is neither done nor failed.
    pub const fn dropped(&mut self) {
        self.dropped += 1;
    }

    /// All requests that are under way now are dropped.
    pub const fn drop_under_way(&mut self) {
        self.dropped += self.gauges.under_way;
    }

    /// Hands over the current second if it is over. Call it several times a second, so that others do not wait for a
    /// thread on which nothing happens.
    pub fn tick(&mut self, at: Duration) {
        if let Some(live) = &self.live {
            live.gauges(self.gauges.open, self.gauges.under_way);
        }
        self.pass(at);
    }

    fn pass(&mut self, at: Duration) {
        if at >= self.second_ends {
            self.hand_over(at.saturating_sub(self.layout.warm_up).as_secs());
        }
    }

    #[cold]
    fn hand_over(&mut self, next: u64) {
        let roles = self.roles.iter_mut().map(Option::take).collect();
        let (recorder, second, gauges) = (self.number, self.second, self.gauges);
        let told = Told::Second { recorder, second, next, roles, earlier: std::mem::take(&mut self.earlier), gauges };
        // Nobody hears it if the collector was dropped, and then nobody wants it.
        let _ = self.to.send(told);
        self.gauges.open_max = self.gauges.open;
        self.second = next;
        self.second_ends = self.layout.warm_up.saturating_add(Duration::from_secs(next + 1));
    }

    /// Hands over everything. The run is over `at` so long after it began.
    pub fn finish(mut self, at: Duration) {
        self.tick(at);
        self.hand_over(ENDED);
        let series = std::mem::take(&mut self.series).into_iter().enumerate();
        let series = series.filter_map(|(place, counted)| Some((place, *counted?))).collect();
        let length = at.saturating_sub(self.layout.warm_up);
        let _ = self.to.send(Told::End { series, late: self.late, length, dropped: self.dropped });
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("number", &self.number).field("second", &self.second).finish_non_exhaustive()
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Counted {
    fn merge(&mut self, other: &Self) {
        self.done += other.done;
        self.received += other.received;
        self.sent += other.sent;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        for (failure, count) in &other.errors {
            *self.errors.entry(*failure).or_default() += count;
        }
    }

    fn into_series(self, key: SeriesKey) -> Series {
        let errors = self.errors.iter().map(|(failure, count)| (failure.to_string(), *count)).collect();
        Series {
            message: key.message,
            role: key.role,
            group: key.group,
            done: self.done,
            errors,
            received: self.received,
            sent: self.sent,
            latency: self.latency,
            service: self.service,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
