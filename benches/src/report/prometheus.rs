//! The figures of a run that is under way, as the text that Prometheus reads.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::record::{BUCKETS_US, Live, LiveSeries, SeriesKey};

/// More message types and boundary groups than this are told without the groups: each has some twenty lines.
const MOST: usize = 500;

/// What is counted of each series, besides failures and latencies: its name, what it is, and where it stands.
type Counter = (&'static str, &'static str, fn(&LiveSeries) -> u64);

const COUNTERS: [Counter; 3] = [
    ("fleet_good_answers_total", "Requests that were answered as they should be.", |series| series.done),
    ("fleet_received_bytes_total", "Bytes of bodies of answers.", |series| series.received),
    ("fleet_sent_bytes_total", "Bytes of bodies of requests.", |series| series.sent),
];

/// The text; of a run that has not begun there are no figures.
#[must_use]
pub fn prometheus(live: Option<&Live>) -> String {
    let mut out = String::new();
    let Some(live) = live else { return out };
    let all = series(live);
    for (name, about, count) in COUNTERS {
        head(&mut out, name, "counter", about);
        for (labels, series) in &all {
            line(&mut out, name, labels, count(series));
        }
    }
    head(&mut out, "fleet_failures_total", "counter", "Requests that were not, by what went wrong.");
    for (labels, series) in &all {
        for (kind, count) in &series.failures {
            line(&mut out, "fleet_failures_total", &format!("{labels},kind=\"{}\"", escaped(kind)), *count);
        }
    }
    let about = "From when a request was due to the last byte of its answer; good answers only.";
    head(&mut out, "fleet_latency_seconds", "histogram", about);
    for (labels, series) in all.iter().filter(|(_, series)| series.done > 0) {
        latencies(&mut out, labels, series);
    }
    head(&mut out, "fleet_open_connections", "gauge", "Connections that are open.");
    line(&mut out, "fleet_open_connections", "", live.open());
    head(&mut out, "fleet_under_way", "gauge", "Requests that are under way; activities of a fleet.");
    line(&mut out, "fleet_under_way", "", live.under_way());
    out
}

/// Each series with its labels.
fn series(live: &Live) -> Vec<(String, LiveSeries)> {
    let all = live.series();
    if all.len() <= MOST {
        return all.into_iter().map(|(key, series)| (labels(key), series)).collect();
    }
    let mut told: Vec<(String, LiveSeries)> = Vec::new();
    for (key, series) in all {
        let labels = labels(&SeriesKey { group: String::new(), ..key.clone() });
        // Those of a message type follow each other.
        match told.last_mut().filter(|(last, _)| *last == labels) {
            Some((_, sum)) => sum.add(&series),
            None => told.push((labels, series)),
        }
    }
    told
}

/// Labels that say nothing are left out.
fn labels(key: &SeriesKey) -> String {
    let labels = [("message", &key.message), ("role", &key.role), ("group", &key.group)];
    let labels = labels.into_iter().filter(|(name, value)| *name == "message" || !value.is_empty());
    labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

fn latencies(out: &mut String, labels: &str, series: &LiveSeries) {
    let mut sum = 0;
    for (end, count) in BUCKETS_US.iter().zip(series.buckets) {
        sum += count;
        let end = Duration::from_micros(*end).as_secs_f64();
        line(out, "fleet_latency_seconds_bucket", &format!("{labels},le=\"{end}\""), sum);
    }
    line(out, "fleet_latency_seconds_bucket", &format!("{labels},le=\"+Inf\""), series.done);
    line(out, "fleet_latency_seconds_sum", labels, series.sum.as_secs_f64());
    line(out, "fleet_latency_seconds_count", labels, series.done);
}

fn head(out: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl Display) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
