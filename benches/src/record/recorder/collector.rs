//! What puts together what the threads recorded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Counted, ENDED, Gauges, Layout, Part, Told};
use crate::record::{Interval, Latencies, RoleInterval, Series};

/// Seconds that may wait for a thread that lags behind. What it says later is counted in the first that still waits.
const MAX_WAITING: usize = 30;

/// Everything that was recorded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Collected {
    /// The series in which something happened, in the order of their keys.
    pub series: Vec<Series>,
    /// Second by second, from the end of the warm-up.
    pub timeline: Vec<Interval>,
    /// How much later than intended requests were sent that found a free connection, in microseconds.
    pub late: Latencies,
    /// Most connections that were open at a time.
    pub open_max: u64,
    /// Requests that were under way when all was over and that nobody waited for.
    pub dropped: u64,
    /// How long it took, in seconds, warm-up not counted.
    pub measured_s: f64,
}

/// Who collects from the recorders of a run.
#[derive(Debug)]
pub struct Collector {
    layout: Arc<Layout>,
    from: Receiver<Told>,
    /// The second that each recorder is in.
    progress: Vec<u64>,
    /// Where each recorder's connections and requests were last.
    gauges: Vec<Gauges>,
    /// Those from `first` on.
    waiting: VecDeque<Second>,
    first: u64,
    open_max: u64,
}

#[derive(Debug)]
struct Second {
    roles: Vec<Option<Part>>,
    /// Those of each recorder that was in it.
    gauges: Vec<Option<Gauges>>,
}

impl Second {
    fn new(roles: usize, recorders: usize) -> Self {
        Self { roles: vec![None; roles], gauges: vec![None; recorders] }
    }
}

impl Collector {
    pub(super) fn new(layout: Arc<Layout>, recorders: usize, from: Receiver<Told>) -> Self {
        Self {
            layout,
            from,
            progress: vec![0; recorders],
            gauges: vec![Gauges::default(); recorders],
            waiting: VecDeque::new(),
            first: 0,
            open_max: 0,
        }
    }

    /// Collects until every recorder was finished or dropped, and tells of each second as soon as it can.
    ///
    /// A recorder waits if this does not keep up: do not draw or write in `each`, but pass the interval on.
    #[must_use]
    pub fn collect(mut self, mut each: impl FnMut(&Interval)) -> Collected {
        let mut all = Collected::default();
        let mut series: BTreeMap<usize, Counted> = BTreeMap::new();
        let mut length = Duration::ZERO;
        while let Ok(told) = self.from.recv() {
            match told {
                Told::Second { recorder, second, next, roles, gauges } => {
                    self.add(recorder, second, next, roles, gauges);
                    self.release(&mut all.timeline, &mut each);
                }
                Told::End { series: ended, late, length: its, dropped } => {
                    for (place, counted) in ended {
                        series.entry(place).or_default().merge(&counted);
                    }
                    all.late.merge(&late);
                    all.dropped += dropped;
                    length = length.max(its);
                }
            }
        }
        let told = all.timeline.len();
        while let Some(second) = self.waiting.pop_front() {
            all.timeline.push(self.interval(second));
        }
        trim(&mut all.timeline, length.as_secs_f64());
        all.timeline.iter().skip(told).for_each(each);
        let key = |place: usize| self.layout.keys[place].clone();
        all.series = series.into_iter().map(|(place, counted)| counted.into_series(key(place))).collect();
        all.open_max = self.open_max;
        all.measured_s = length.as_secs_f64();
        all
    }

    fn add(&mut self, recorder: usize, second: u64, next: u64, roles: Vec<Option<Part>>, gauges: Gauges) {
        let into = usize::try_from(second.saturating_sub(self.first)).unwrap_or(usize::MAX).min(MAX_WAITING);
        while self.waiting.len() <= into {
            self.waiting.push_back(Second::new(self.layout.roles.len(), self.progress.len()));
        }
        let waiting = &mut self.waiting[into];
        for (all, its) in waiting.roles.iter_mut().zip(roles) {
            match (all, its) {
                (Some(all), Some(its)) => all.merge(&its),
                (all, Some(its)) => *all = Some(its),
                (_, None) => {}
            }
        }
        waiting.gauges[recorder] = Some(gauges);
        self.progress[recorder] = next;
    }

    /// Tells of the seconds that are over for every recorder, as long as one is still at work.
    fn release(&mut self, timeline: &mut Vec<Interval>, each: &mut impl FnMut(&Interval)) {
        let over = self.progress.iter().copied().min().unwrap_or(ENDED);
        while over != ENDED && (self.first < over || self.waiting.len() > MAX_WAITING) {
            // If there is none, every thread stood still: that nothing was done has to be seen.
            let none = || Second::new(self.layout.roles.len(), self.progress.len());
            let second = self.waiting.pop_front().unwrap_or_else(none);
            let interval = self.interval(second);
            each(&interval);
            timeline.push(interval);
        }
    }

    /// The first second that was not told of.
    fn interval(&mut self, second: Second) -> Interval {
        let mut interval = Interval { at_s: seconds(self.first), length_s: 1.0, ..Interval::default() };
        let mut latency = Latencies::default();
        for (role, part) in self.layout.roles.iter().zip(second.roles) {
            let Some(part) = part else { continue };
            interval.done += part.done;
            interval.errors += part.errors;
            interval.received += part.received;
            if !role.is_empty() {
                interval.roles.insert(role.clone(), part.as_role());
            }
            latency.merge(&part.latency);
        }
        interval.p50_us = latency.percentile(50.0);
        interval.p99_us = latency.percentile(99.0);
        interval.p999_us = latency.percentile(99.9);
        interval.max_us = latency.percentile(100.0);
        let mut open_max = 0;
        for (known, its) in self.gauges.iter_mut().zip(second.gauges) {
            // One that stood still holds what it held.
            *known = its.unwrap_or(Gauges { open_max: known.open, ..*known });
            open_max += known.open_max;
            interval.open += known.open;
            interval.under_way += known.under_way;
        }
        self.open_max = self.open_max.max(open_max);
        self.first += 1;
        interval
    }
}

impl Part {
    fn merge(&mut self, other: &Self) {
        self.done += other.done;
        self.errors += other.errors;
        self.received += other.received;
        self.latency.merge(&other.latency);
    }

    fn as_role(&self) -> RoleInterval {
        let (p50_us, p99_us) = (self.latency.percentile(50.0), self.latency.percentile(99.0));
        RoleInterval { done: self.done, errors: self.errors, p50_us, p99_us }
    }
}

fn seconds(second: u64) -> f64 {
    u32::try_from(second).map_or(f64::MAX, f64::from)
}

/// Gives the last interval its real length, and takes it away if it is empty and came only from rounding.
fn trim(timeline: &mut Vec<Interval>, measured_s: f64) {
    while let Some(last) = timeline.last_mut() {
        let length = measured_s - last.at_s;
        if length > 0.0 {
            last.length_s = length.min(1.0);
            return;
        }
        if last.done + last.errors > 0 {
            // Something ended in the very moment in which all did.
            last.length_s = 1e-6;
            return;
        }
        timeline.pop();
    }
}
