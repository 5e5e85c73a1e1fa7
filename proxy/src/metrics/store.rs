//! Where series are kept, and how they are taken away again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram};

use super::detail::{Detail, Shown};
use super::families::{FAMILIES, Family, Kind};
use super::histogram::{BOUNDS, Buckets};
use super::text::{Label, Line, labels};

mod read;

pub use read::Distribution;

/// All series. There is no global one, so several proxies can live in one process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By their labels as the text has them.
    scopes: Mutex<BTreeMap<Box<str>, Arc<Scope>>>,
    detail: Mutex<Detail>,
    /// Bytes of the last text: the next one is about as long.
    size: AtomicUsize,
}

/// No family.
const NONE: usize = usize::MAX;

impl Metrics {
    /// Only what this program is.
    pub fn new() -> Self {
        let metrics = Self::default();
        metrics.scope(&[("version", env!("CARGO_PKG_VERSION"))]).gauge("rolegate_build_info").set(1.0);
        metrics
    }

    /// How much is said of each endpoint from now on.
    pub fn show(&self, detail: Detail) {
        *locked(&self.detail) = detail;
    }

    /// How much is said of each endpoint.
    pub fn detail(&self) -> Detail {
        *locked(&self.detail)
    }

    /// The series that have these labels: the same as before, or none yet.
    pub fn scope(&self, of: &[(&'static str, &str)]) -> Arc<Scope> {
        let labels = labels(of);
        let mut scopes = locked(&self.scopes);
        if let Some(scope) = scopes.get(&labels) {
            return Arc::clone(scope);
        }
        let scope = Arc::new(Scope { labels: labels.clone(), series: Mutex::default() });
        scopes.insert(labels, Arc::clone(&scope));
        scope
    }

    /// Takes the series that have these labels away. What is counted with their handles after that is not shown any more.
    pub fn forget(&self, of: &[(&'static str, &str)]) {
        locked(&self.scopes).remove(&labels(of));
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        // The list is copied: the control thread, which changes it, does not wait until a long text is written.
        let scopes: Vec<Arc<Scope>> = locked(&self.scopes).values().map(Arc::clone).collect();
        // Most scopes have nothing of a family: each one knows which of them comes next.
        let mut unread: Vec<(usize, &Scope)> = scopes.iter().map(|scope| (scope.next(None), &**scope)).collect();
        let detail = self.detail();
        let mut out = String::with_capacity(self.size.load(Relaxed) * 9 / 8);
        for (place, family) in FAMILIES.iter().enumerate() {
            let Family(name, kind, _, help) = family;
            let (begin, shown) = (out.len(), detail.of(family));
            // Writing to a `String` cannot fail, here and elsewhere.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", shown.kind(*kind));
            let before = out.len();
            for (next, scope) in unread.iter_mut().filter(|(next, _)| *next == place) {
                *next = scope.write(place, shown, &mut out);
            }
            match out.len() == before {
                true => out.truncate(begin),
                false => out.push('\n'),
            }
        }
        self.size.store(out.len(), Relaxed);
        out
    }
}

/// Series with the same labels from the configuration. They come and go together.
#[derive(Debug)]
pub struct Scope {
    /// As the text has them, without braces.
    labels: Box<str>,
    /// In the order of [`FAMILIES`].
    series: Mutex<Vec<Series>>,
}

#[derive(Debug)]
struct Series {
    /// Position in [`FAMILIES`].
    family: usize,
    /// What tells it from others of its family in this scope.
    label: Option<Label>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Scope {
    /// A counter handle.
    pub fn counter(&self, family: &'static str) -> Counter {
        self.find((family, Kind::Counter), None, Value::counter, Value::as_counter)
    }

    /// A counter handle, of those that one more label tells apart.
    pub fn counter_by(&self, family: &'static str, label: &'static str, value: &'static str) -> Counter {
        self.find((family, Kind::Counter), Some((label, value)), Value::counter, Value::as_counter)
    }

    /// A counter handle that can be read, of those that one more label may tell apart.
    pub fn tally(&self, family: &'static str, label: Option<(&'static str, &'static str)>) -> Tally {
        self.find((family, Kind::Counter), label, Value::counter, Value::as_tally)
    }

    /// A counter that is counted elsewhere and set here, with fractions.
    pub fn reading(&self, family: &'static str) -> Gauge {
        self.find((family, Kind::Counter), None, Value::gauge, Value::as_gauge)
    }

    /// A gauge handle.
    pub fn gauge(&self, family: &'static str) -> Gauge {
        self.find((family, Kind::Gauge), None, Value::gauge, Value::as_gauge)
    }

    /// A gauge handle, of those that one more label tells apart.
    pub fn gauge_by(&self, family: &'static str, label: &'static str, value: &'static str) -> Gauge {
        self.find((family, Kind::Gauge), Some((label, value)), Value::gauge, Value::as_gauge)
    }

    /// A histogram handle.
    pub fn histogram(&self, family: &'static str) -> Histogram {
        self.find((family, Kind::Histogram), None, Value::histogram, Value::as_histogram)
    }

    /// The handle of a series, which begins at zero.
    fn find<H>(
        &self,
        (name, kind): (&str, Kind),
        label: Option<Label>,
        new: fn() -> Value,
        handle: impl FnOnce(&Value) -> H,
    ) -> H {
        let family = FAMILIES.iter().position(|family| family.0 == name && family.1 == kind);
        debug_assert!(family.is_some(), "there is no {} {name}", kind.as_str());
        // A series of no family is in no text.
        let Some(family) = family else { return handle(&new()) };
        let mut series = locked(&self.series);
        let place = match series.binary_search_by_key(&(family, label), |one| (one.family, one.label)) {
            Ok(place) => place,
            Err(place) => {
                series.insert(place, Series { family, label, value: new() });
                place
            }
        };
        handle(&series[place].value)
    }

    /// The family after this one of which it has series, or the first one.
    fn next(&self, after: Option<usize>) -> usize {
        next(&locked(&self.series), after)
    }

    /// Writes the lines of one family. Gives the next family of which it has series.
    fn write(&self, family: usize, shown: Shown, out: &mut String) -> usize {
        let series = locked(&self.series);
        let begin = series.partition_point(|one| one.family < family);
        let own = series[begin..].iter().take_while(|one| one.family == family);
        for one in own.filter(|_| shown != Shown::Hidden) {
            let line = Line { name: FAMILIES[family].0, labels: &self.labels, label: one.label };
            match &one.value {
                Value::Counter(value) => {
                    let count = value.load(Relaxed);
                    if count > 0 || shown == Shown::Whole {
                        line.write(out, "", count);
                    }
                }
                Value::Gauge(value) => {
                    let value = f64::from_bits(value.load(Relaxed));
                    if value != 0.0 || shown == Shown::Whole {
                        line.write(out, "", value);
                    }
                }
                Value::Histogram(buckets) if shown == Shown::Whole => line.write_histogram(out, buckets),
                Value::Histogram(buckets) => line.write_summary(out, buckets),
            }
        }
        next(&series, Some(family))
    }
}

fn next(series: &[Series], after: Option<usize>) -> usize {
    let place = after.map_or(0, |after| series.partition_point(|one| one.family <= after));
    series.get(place).map_or(NONE, |one| one.family)
}

impl Value {
    fn counter() -> Self {
        Self::Counter(Arc::default())
    }

    fn gauge() -> Self {
        Self::Gauge(Arc::default())
    }

    fn histogram() -> Self {
        Self::Histogram(Arc::default())
    }

    fn as_counter(&self) -> Counter {
        match self {
            Self::Counter(value) => Arc::clone(value).into(),
            Self::Gauge(_) | Self::Histogram(_) => Counter::noop(),
        }
    }

    fn as_tally(&self) -> Tally {
        match self {
            Self::Counter(value) => Tally(Arc::clone(value)),
            Self::Gauge(_) | Self::Histogram(_) => Tally::default(),
        }
    }

    fn as_gauge(&self) -> Gauge {
        match self {
            Self::Gauge(value) => Arc::clone(value).into(),
            Self::Counter(_) | Self::Histogram(_) => Gauge::noop(),
        }
    }

    fn as_histogram(&self) -> Histogram {
        match self {
            Self::Histogram(value) => Arc::clone(value).into(),
            Self::Counter(_) | Self::Gauge(_) => Histogram::noop(),
        }
    }
}

/// A counter that can be read.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<AtomicU64>);

impl Tally {
    /// Counts on.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// How much was counted.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// No more is done under any of these locks than finding a place, so that none is left half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
