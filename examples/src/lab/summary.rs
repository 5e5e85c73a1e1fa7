//! What the run comes to.

use std::collections::BTreeSet;
use std::time::Duration;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};

use super::site::{NAMES, Place};
use super::tally::{Activity, Counts};

/// Everything that the summary is made of.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How long the clients were at it.
    pub took: Duration,
    /// What they saw.
    pub counts: Counts,
    /// What the proxy counted, in the text format of its metrics.
    pub metrics: String,
    /// Distinct state messages that arrived and how many of them more than once, if that is known.
    pub arrived: Option<(u64, u64)>,
}

impl Summary {
    /// Adds what only a comparison of both sides shows: messages that were sent again without the one good reason, and
    /// messages that were acknowledged and never arrived.
    #[must_use]
    pub fn new(took: Duration, mut counts: Counts, metrics: String, arrived: Option<(u64, u64)>) -> Self {
        let errors = |reason| sum(&metrics, "rolegate_request_errors_total", &["role=\"management-point\"", reason]);
        let excused = errors("reason=\"connection_terminated\"") + errors("reason=\"http_response_timeout\"");
        let baseless = counts.resent.saturating_sub(excused);
        if baseless > 0 {
            counts.failures += baseless;
            counts.told.push(format!("{baseless} messages were sent again although no server can have seen them"));
        }
        let lost = arrived.map_or(0, |(distinct, _)| counts.acknowledged.saturating_sub(distinct));
        if lost > 0 {
            counts.failures += lost;
            counts.told.push(format!("{lost} state messages were acknowledged and never arrived"));
        }
        counts.resent -= baseless;
        Self { took, counts, metrics, arrived }
    }

    /// Whether no request that may be retried failed.
    #[must_use]
    pub const fn promise_held(&self) -> bool {
        self.counts.failures == 0
    }

    /// The text.
    #[must_use]
    pub fn render(&self) -> String {
        [self.totals(), self.told(), self.by_place(), self.times(), self.proxy()].join("\n\n")
    }

    fn totals(&self) -> String {
        let counts = &self.counts;
        let seconds = self.took.as_secs_f64().max(0.001);
        let rate = |count: u64| (count as f64 / seconds).round() as u64;
        let mut text = format!(
            "{} requests in {seconds:.1} s ({}/s), {} of answers ({}/s)\n{} failures of requests that may be retried",
            thousands(counts.requests),
            thousands(rate(counts.requests)),
            ByteSize(counts.bytes),
            ByteSize(rate(counts.bytes)),
            counts.failures
        );
        for told in &counts.told {
            text += &format!("\n  {told}");
        }
        text
    }

    fn told(&self) -> String {
        let counts = &self.counts;
        let mut rows = vec![
            (counts.resumed, "downloads cut by a kill; the client asked for the rest"),
            (counts.restarted, "files begun again by the client: another server's copy has other time stamps"),
            (counts.resent, "messages sent again by the client: their bytes had reached a server that died"),
            (counts.refused, "messages sent again by the client: the server answered 500 without its database"),
        ];
        if let Some((arrived, twice)) = self.arrived {
            rows.push((arrived, "state messages arrived, none that was acknowledged is missing"));
            rows.push((twice, "of them arrived twice (a server that died had taken them)"));
        }
        "Not failures, because no proxy may hide them:".to_owned() + &list(&rows)
    }

    fn by_place(&self) -> String {
        let systems: BTreeSet<&String> = self.counts.served.keys().map(|(_, system)| system).collect();
        let mut table = table(&["WHO SERVED WHOM"]);
        let mut header = vec!["WHO SERVED WHOM".to_owned()];
        header.extend(systems.iter().map(|system| (*system).clone()));
        table.set_header(header);
        for place in Place::ALL {
            let mut row = vec![place.title().to_owned()];
            row.extend(systems.iter().map(|system| {
                let count = self.counts.served.get(&(place, (*system).clone()));
                count.map_or_else(|| "-".to_owned(), |count| thousands(*count))
            }));
            table.add_row(row);
        }
        right(table)
    }

    fn times(&self) -> String {
        let mut table = table(&["HOW LONG IT TOOK", "TIMES", "p50 ms", "p99 ms", "max ms"]);
        for activity in Activity::ALL {
            let Some(times) = self.counts.times.get(&activity) else { continue };
            let ms = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
            let quantiles = [times.value_at_quantile(0.5), times.value_at_quantile(0.99), times.max()].map(ms);
            let mut row = vec![activity.title().to_owned(), thousands(times.len())];
            row.extend(quantiles);
            table.add_row(row);
        }
        right(table)
    }

    fn proxy(&self) -> String {
        let count = |name: &str, label: &str| sum(&self.metrics, name, &[label]);
        let (reloads, changes) = ("rolegate_config_reloads_total", "rolegate_endpoint_state_changes_total");
        let again = count(changes, "to=\"up\"").saturating_sub(NAMES.len() as u64);
        let rows = [
            (count(reloads, "result=\"accepted\""), "swaps of the routing table"),
            (count(reloads, "result=\"rejected\""), "configurations rejected"),
            (count("rolegate_retries_total", "allowed=\"yes\""), "attempts at another server that no client noticed"),
            (count("rolegate_endpoint_ejections_total", ""), "times that live traffic took a server out"),
            (count(changes, "to=\"down\""), "times that probes found a server down"),
            (count(changes, "to=\"degraded\""), "times that probes found a server without what it depends on"),
            (again, "times that probes found a server well again"),
            (
                count("rolegate_content_learned_total", "verdict=\"lacks\""),
                "contents that a distribution point was found to lack",
            ),
            (count("rolegate_affinity_moves_total", ""), "downloads that went on at another server, and scans"),
        ];
        "The proxy:".to_owned() + &list(&rows)
    }
}

/// A line for each count.
fn list(rows: &[(u64, &str)]) -> String {
    rows.iter().map(|(count, what)| format!("\n  {:>9}  {what}", thousands(*count))).collect()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

/// The table with every column but the first aligned to the right.
fn right(mut table: Table) -> String {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.trim_fmt()
}

/// The sum of the samples of `name` that have all these labels.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let samples = metrics.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# TYPE rolegate_request_errors_total counter\n\
        rolegate_request_errors_total{role=\"management-point\",reason=\"connection_terminated\"} 2\n\
        rolegate_request_errors_total{role=\"management-point\",reason=\"connection_refused\"} 7\n\
        rolegate_request_errors_total{role=\"distribution-point\",reason=\"connection_terminated\"} 9\n";

    fn summary(resent: u64, acknowledged: u64) -> Summary {
        let counts = Counts { resent, acknowledged, ..Counts::default() };
        Summary::new(Duration::from_secs(1), counts, METRICS.to_owned(), Some((10, 1)))
    }

    #[test]
    fn a_message_sent_again_needs_a_server_that_died() {
        assert!(summary(2, 10).promise_held());
        let bad = summary(3, 10);
        assert_eq!((bad.counts.failures, bad.counts.resent), (1, 2));
        assert!(bad.render().contains("1 failures of requests that may be retried\n  1 messages"));
    }

    #[test]
    fn a_message_that_was_acknowledged_must_have_arrived() {
        assert_eq!(summary(0, 13).counts.failures, 3);
    }

    #[test]
    fn numbers_are_read_and_written() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(sum(METRICS, "rolegate_request_errors_total", &[]), 18);
        assert_eq!(sum(METRICS, "rolegate_request_errors", &[]), 0);
    }
}
