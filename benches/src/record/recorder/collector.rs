//! What puts together what the threads recorded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Counted, ENDED, Gauges, Layout, Part, Roles, Told};
use crate::record::{Interval, Latencies, Packed, RoleInterval, Series};

/// Seconds that may wait for a thread that lags behind.
const MAX_WAITING: usize = 30;
/// Seconds that were told and of which everything is kept: what is still said of them is in their percentiles. What is said
/// of earlier ones is counted, and their percentiles stay.
const KEPT: usize = 30;

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
    /// What was told.
    timeline: Vec<Interval>,
    /// The last of these.
    kept: VecDeque<Roles>,
    open_max: u64,
    histograms: Histograms,
}

/// What becomes of the histograms of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Histograms {
    /// They are thrown away when their percentiles are known.
    #[default]
    Forgotten,
    /// They stay in the timeline, so that those of other machines can be added.
    Kept,
}

#[derive(Debug)]
struct Second {
    roles: Roles,
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
            timeline: Vec::new(),
            kept: VecDeque::new(),
            open_max: 0,
            histograms: Histograms::Forgotten,
        }
    }

    /// The same, but the timeline has these histograms.
    #[must_use]
    pub const fn with(mut self, histograms: Histograms) -> Self {
        self.histograms = histograms;
        self
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
                Told::Second { recorder, second, next, roles, earlier, gauges } => {
                    for (second, roles) in earlier {
                        self.add(second, roles);
                    }
                    self.add(second, roles);
                    if let Some(waiting) = self.waiting(second) {
                        waiting.gauges[recorder] = Some(gauges);
                    }
                    self.progress[recorder] = next;
                    self.release(&mut each);
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
        let told = self.timeline.len();
        while let Some(second) = self.waiting.pop_front() {
            self.tell(second);
        }
        all.timeline = std::mem::take(&mut self.timeline);
        trim(&mut all.timeline, length.as_secs_f64());
        all.timeline.iter().skip(told).for_each(each);
        let key = |place: usize| self.layout.keys[place].clone();
        all.series = series.into_iter().map(|(place, counted)| counted.into_series(key(place))).collect();
        all.open_max = self.open_max;
        all.measured_s = length.as_secs_f64();
        all
    }

    /// The second, if it was not told yet.
    fn waiting(&mut self, second: u64) -> Option<&mut Second> {
        let into = usize::try_from(second.checked_sub(self.first)?).unwrap_or(usize::MAX).min(MAX_WAITING);
        while self.waiting.len() <= into {
            self.waiting.push_back(Second::new(self.layout.roles.len(), self.progress.len()));
        }
        self.waiting.get_mut(into)
    }

    /// Adds to a second, whether it was told or not.
    fn add(&mut self, second: u64, roles: Roles) {
        if let Some(waiting) = self.waiting(second) {
            return merge(&mut waiting.roles, roles);
        }
        let place = usize::try_from(second).unwrap_or(usize::MAX);
        let Some(interval) = self.timeline.get_mut(place) else { return };
        let oldest = self.first - self.kept.len() as u64;
        let kept = second.checked_sub(oldest).and_then(|place| self.kept.get_mut(usize::try_from(place).ok()?));
        if let Some(kept) = kept {
            merge(kept, roles);
            figures(interval, &self.layout.roles, kept, self.histograms);
            return;
        }
        for (role, part) in self.layout.roles.iter().zip(roles) {
            let Some(part) = part else { continue };
            interval.done += part.done;
            interval.errors += part.errors;
            interval.received += part.received;
            interval.max_us = interval.max_us.max(part.latency.percentile(100.0));
            self.histograms.add(&mut interval.latency, &part.latency);
            if !role.is_empty() {
                let its = interval.roles.entry(role.clone()).or_default();
                its.done += part.done;
                its.errors += part.errors;
                self.histograms.add(&mut its.latency, &part.latency);
            }
        }
    }

    /// Tells of the seconds that are over for every recorder, as long as one is still at work.
    fn release(&mut self, each: &mut impl FnMut(&Interval)) {
        let over = self.progress.iter().copied().min().unwrap_or(ENDED);
        while over != ENDED && (self.first < over || self.waiting.len() > MAX_WAITING) {
            // If there is none, every thread stood still: that nothing was done has to be seen.
            let none = || Second::new(self.layout.roles.len(), self.progress.len());
            let second = self.waiting.pop_front().unwrap_or_else(none);
            each(self.tell(second));
        }
    }

    /// Puts the first second that was not told of into the timeline.
    fn tell(&mut self, second: Second) -> &Interval {
        let mut interval = Interval { at_s: seconds(self.first), length_s: 1.0, ..Interval::default() };
        figures(&mut interval, &self.layout.roles, &second.roles, self.histograms);
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
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(second.roles);
        self.timeline.push(interval);
        &self.timeline[self.timeline.len() - 1]
    }
}

/// Adds what there is of each role.
fn merge(all: &mut [Option<Part>], more: Roles) {
    for (all, its) in all.iter_mut().zip(more) {
        match (all, its) {
            (Some(all), Some(its)) => all.merge(&its),
            (all, Some(its)) => *all = Some(its),
            (_, None) => {}
        }
    }
}

/// Writes what there is of each role into a second.
fn figures(interval: &mut Interval, names: &[String], roles: &[Option<Part>], histograms: Histograms) {
    (interval.done, interval.errors, interval.received) = (0, 0, 0);
    let mut latency = Latencies::default();
    for (role, part) in names.iter().zip(roles) {
        let Some(part) = part else { continue };
        interval.done += part.done;
        interval.errors += part.errors;
        interval.received += part.received;
        if !role.is_empty() {
            interval.roles.insert(role.clone(), part.as_role(histograms));
        }
        latency.merge(&part.latency);
    }
    interval.p50_us = latency.percentile(50.0);
    interval.p99_us = latency.percentile(99.0);
    interval.p999_us = latency.percentile(99.9);
    interval.max_us = latency.percentile(100.0);
    interval.latency = histograms.pack(&latency);
}

impl Histograms {
    /// What stays of these.
    fn pack(self, latencies: &Latencies) -> Option<Packed> {
        match self {
            Self::Kept if latencies.count() > 0 => Packed::new(latencies),
            Self::Kept | Self::Forgotten => None,
        }
    }

    /// Adds more to what has stayed.
    fn add(self, packed: &mut Option<Packed>, more: &Latencies) {
        let mut all = packed.as_ref().and_then(|packed| packed.unpack().ok()).unwrap_or_default();
        all.merge(more);
        *packed = self.pack(&all);
    }
}

impl Part {
    fn merge(&mut self, other: &Self) {
        self.done += other.done;
        self.errors += other.errors;
        self.received += other.received;
        self.latency.merge(&other.latency);
    }

    fn as_role(&self, histograms: Histograms) -> RoleInterval {
        let (p50_us, p99_us) = (self.latency.percentile(50.0), self.latency.percentile(99.0));
        RoleInterval { done: self.done, errors: self.errors, p50_us, p99_us, latency: histograms.pack(&self.latency) }
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
