//! What was counted, for people. What is not there is `None` or nothing: which series there are may change.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{BOUNDS, FAMILIES, Metrics, Scope, Series, Value, labels as text, locked};

/// How many samples were at most as large as each bound. Two of them can be subtracted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// For each bound, and last for all samples.
    counts: Vec<u64>,
}

impl Distribution {
    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    /// What has come since an earlier one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        Self { counts: self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect() }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
    }

    /// The value that this share of the samples, 0 to 1, does not exceed, in seconds: between two bounds as if they were spread
    /// evenly. `None` without samples; above all bounds, the last one.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.total();
        let wanted = share.clamp(0.0, 1.0) * total as f64;
        let place = self.counts.iter().position(|count| total > 0 && *count as f64 >= wanted)?;
        let Some(upper) = BOUNDS.get(place) else { return BOUNDS.last().copied() };
        let (lower, below) = match place.checked_sub(1) {
            Some(before) => (BOUNDS[before], self.counts[before]),
            None => (0.0, 0),
        };
        let within = (self.counts[place] - below) as f64;
        let part = if within > 0.0 { (wanted - below as f64) / within } else { 1.0 };
        Some(lower + (upper - lower) * part)
    }
}

impl Metrics {
    /// The series that have these labels, if there are any.
    pub fn find(&self, labels: &[(&'static str, &str)]) -> Option<Arc<Scope>> {
        locked(&self.scopes).get(&text(labels)).map(Arc::clone)
    }
}

impl Scope {
    /// The counters of a family with the value of the label that tells them apart.
    pub fn counts(&self, family: &str) -> Vec<(&'static str, u64)> {
        self.read(family, |one| match &one.value {
            Value::Counter(value) => Some((one.label.map_or("", |(_, value)| value), value.load(Relaxed))),
            Value::Gauge(_) | Value::Histogram(_) => None,
        })
    }

    /// The sum of all counters of a family.
    pub fn total(&self, family: &str) -> u64 {
        self.counts(family).iter().map(|(_, count)| count).sum()
    }

    /// The value of a gauge.
    pub fn level(&self, family: &str) -> Option<f64> {
        let found = self.read(family, |one| match &one.value {
            Value::Gauge(value) => Some(f64::from_bits(value.load(Relaxed))),
            Value::Counter(_) | Value::Histogram(_) => None,
        });
        found.first().copied()
    }

    /// What a histogram has recorded.
    pub fn distribution(&self, family: &str) -> Option<Distribution> {
        let found = self.read(family, |one| match &one.value {
            Value::Histogram(buckets) => Some(Distribution { counts: buckets.cumulative().to_vec() }),
            Value::Counter(_) | Value::Gauge(_) => None,
        });
        found.into_iter().next()
    }

    fn read<T>(&self, family: &str, of: impl Fn(&Series) -> Option<T>) -> Vec<T> {
        let Some(family) = FAMILIES.iter().position(|known| known.0 == family) else { return Vec::new() };
        let series = locked(&self.series);
        let begin = series.partition_point(|one| one.family < family);
        series[begin..].iter().take_while(|one| one.family == family).filter_map(of).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read_and_what_is_not_there_is_nothing() {
        let metrics = Metrics::new();
        let labels = [("role", "a \"b\"")];
        assert!(metrics.find(&labels).is_none());
        let scope = metrics.scope(&labels);
        scope.counter_by("rolegate_requests_total", "code", "2xx").increment(3);
        scope.counter_by("rolegate_requests_total", "code", "5xx").increment(1);
        scope.gauge("rolegate_tunnels").set(7.0);
        let found = metrics.find(&labels).unwrap();
        assert_eq!(found.counts("rolegate_requests_total"), [("2xx", 3), ("5xx", 1)]);
        assert_eq!((found.total("rolegate_requests_total"), found.level("rolegate_tunnels")), (4, Some(7.0)));
        assert_eq!((found.total("rolegate_pins"), found.total("nothing"), found.level("nothing")), (0, 0, None));
        assert_eq!(found.distribution("rolegate_request_duration_seconds"), None);
    }

    #[test]
    fn quantiles_lie_between_their_bounds() {
        let metrics = Metrics::new();
        let histogram = metrics.scope(&[]).histogram("rolegate_request_duration_seconds");
        let look = || metrics.scope(&[]).distribution("rolegate_request_duration_seconds").unwrap();
        assert_eq!(look().quantile(0.5), None);
        (0..100).for_each(|_| histogram.record(0.03));
        let first = look();
        let median = first.quantile(0.5).unwrap();
        assert!((0.025..=0.05).contains(&median), "{median}");
        (0..100).for_each(|_| histogram.record(1000.0));
        let since = look().since(&first);
        assert_eq!((since.total(), since.quantile(0.5)), (100, BOUNDS.last().copied()));
        let mut both = since.clone();
        both.add(&first);
        assert_eq!(both, look());
        assert_eq!(Distribution::default().quantile(0.5), None);
    }
}
