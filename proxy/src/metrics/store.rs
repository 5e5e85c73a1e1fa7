//! Where series are kept, how they are taken away again, and their text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram};

use super::families::{FAMILIES, Family, Kind};
use super::histogram::{BOUNDS, Buckets};

mod read;

pub use read::Distribution;

/// A label whose values are a closed list.
type Label = (&'static str, &'static str);

/// All series. There is no global one, so several proxies can live in one process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By their labels as the text has them.
    scopes: Mutex<BTreeMap<Box<str>, Arc<Scope>>>,
}

impl Metrics {
    /// Only what this program is.
    pub fn new() -> Self {
        let metrics = Self::default();
        metrics.scope(&[("version", env!("CARGO_PKG_VERSION"))]).gauge("rolegate_build_info").set(1.0);
        metrics
    }

    /// The series that have these labels: the same as before, or none yet.
    pub fn scope(&self, labels: &[(&'static str, &str)]) -> Arc<Scope> {
        let labels = text(labels);
        let mut scopes = locked(&self.scopes);
        if let Some(scope) = scopes.get(&labels) {
            return Arc::clone(scope);
        }
        let scope = Arc::new(Scope { labels: labels.clone(), series: Mutex::default() });
        scopes.insert(labels, Arc::clone(&scope));
        scope
    }

    /// Takes the series that have these labels away. What is counted with their handles after that is not shown any more.
    pub fn forget(&self, labels: &[(&'static str, &str)]) {
        locked(&self.scopes).remove(&text(labels));
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        // The list is copied: the control thread, which changes it, does not wait until a long text is written.
        let scopes: Vec<Arc<Scope>> = locked(&self.scopes).values().map(Arc::clone).collect();
        let mut out = String::new();
        for (family, Family(name, kind, _, help)) in FAMILIES.iter().enumerate() {
            let begin = out.len();
            // Writing to a `String` cannot fail, here and below.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
            let before = out.len();
            scopes.iter().for_each(|scope| scope.write(family, &mut out));
            match out.len() == before {
                true => out.truncate(begin),
                false => out.push('\n'),
            }
        }
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
        self.find(family, Kind::Counter, None, Value::as_counter)
    }

    /// A counter handle, of those that one more label tells apart.
    pub fn counter_by(&self, family: &'static str, label: &'static str, value: &'static str) -> Counter {
        self.find(family, Kind::Counter, Some((label, value)), Value::as_counter)
    }

    /// A counter handle that can be read, of those that one more label may tell apart.
    pub fn tally(&self, family: &'static str, label: Option<(&'static str, &'static str)>) -> Tally {
        self.find(family, Kind::Counter, label, Value::as_tally)
    }

    /// A gauge handle.
    pub fn gauge(&self, family: &'static str) -> Gauge {
        self.find(family, Kind::Gauge, None, Value::as_gauge)
    }

    /// A histogram handle.
    pub fn histogram(&self, family: &'static str) -> Histogram {
        self.find(family, Kind::Histogram, None, Value::as_histogram)
    }

    /// The handle of a series, which begins at zero.
    fn find<H>(&self, name: &str, kind: Kind, label: Option<Label>, handle: impl FnOnce(&Value) -> H) -> H {
        let family = FAMILIES.iter().position(|family| family.0 == name && family.1 == kind);
        debug_assert!(family.is_some(), "there is no {} {name}", kind.as_str());
        // A series of no family is in no text.
        let Some(family) = family else { return handle(&Value::new(kind)) };
        let mut series = locked(&self.series);
        let place = match series.binary_search_by_key(&(family, label), |one| (one.family, one.label)) {
            Ok(place) => place,
            Err(place) => {
                series.insert(place, Series { family, label, value: Value::new(kind) });
                place
            }
        };
        handle(&series[place].value)
    }

    /// The lines of one family.
    fn write(&self, family: usize, out: &mut String) {
        let series = locked(&self.series);
        let begin = series.partition_point(|one| one.family < family);
        for one in series[begin..].iter().take_while(|one| one.family == family) {
            let line = Line { name: FAMILIES[family].0, labels: &self.labels, label: one.label };
            match &one.value {
                Value::Counter(value) => line.write(out, "", None, value.load(Relaxed)),
                Value::Gauge(value) => line.write(out, "", None, f64::from_bits(value.load(Relaxed))),
                Value::Histogram(buckets) => {
                    let counts = buckets.cumulative();
                    for (bound, count) in BOUNDS.iter().zip(counts) {
                        line.write(out, "_bucket", Some(bound), count);
                    }
                    let all = counts[BOUNDS.len()];
                    line.write(out, "_bucket", Some(&"+Inf"), all);
                    line.write(out, "_sum", None, buckets.sum());
                    line.write(out, "_count", None, all);
                }
            }
        }
    }
}

impl Value {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Arc::default()),
            Kind::Gauge => Self::Gauge(Arc::default()),
            Kind::Histogram => Self::Histogram(Arc::default()),
        }
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

/// What the lines of one series have in common.
struct Line<'a> {
    name: &'static str,
    labels: &'a str,
    label: Option<Label>,
}

impl Line<'_> {
    fn write(&self, out: &mut String, suffix: &str, le: Option<&dyn std::fmt::Display>, value: impl std::fmt::Display) {
        let Self { name, labels, label } = self;
        let _ = write!(out, "{name}{suffix}");
        let mut before = '{';
        if !labels.is_empty() {
            let _ = write!(out, "{before}{labels}");
            before = ',';
        }
        if let Some((name, value)) = label {
            let _ = write!(out, "{before}{name}=\"{value}\"");
            before = ',';
        }
        if let Some(le) = le {
            let _ = write!(out, "{before}le=\"{le}\"");
            before = ',';
        }
        let end = if before == ',' { "}" } else { "" };
        let _ = writeln!(out, "{end} {value}");
    }
}

/// Labels as the text has them, without braces.
fn text(labels: &[(&'static str, &str)]) -> Box<str> {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text.into_boxed_str()
}

/// No more is done under any of these locks than finding a place, so that none is left half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
