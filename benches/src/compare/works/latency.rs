//! How long a request takes at a rate that all can do.

use super::super::measure::{self, Load, Outcome};
use super::super::proxies::Kind;
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::{Bed, Running};
use super::super::targets::SMALL;
use super::Run;
use super::plain::SOME;

/// Parts of the slowest proxy's limit, in percent, and the rows of each.
const PARTS: [(u32, [&str; 3], &str); 2] = [
    (50, ["latency-50-p50", "latency-50-p99", "latency-50-p999"], "latency-50"),
    (80, ["latency-80-p50", "latency-80-p99", "latency-80-p999"], "latency-80"),
];
const PERCENTILES: [(f64, &str); 3] = [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")];

pub(super) async fn latency(run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut bed = run.bed().await?;
    let limits = limits(run, &bed).await?;
    for (percent, rows, work) in PARTS {
        let Some(rate) = rates::part_of_slowest(limits.iter().copied(), percent) else {
            run.say("latency: nobody answers anything");
            return Ok(());
        };
        let requests = rate * run.duration().as_secs_f64();
        for (row, (percentile, name)) in rows.into_iter().zip(PERCENTILES) {
            let title = format!("Latency {name} at {percent} % of what the slowest can do");
            let slower = requests * (100.0 - percentile) / 100.0;
            let note = format!(
                "{rate} requests a second for all, 1 KiB, 64 connections; from when a request was due. Of {requests:.0} in each \
                 round {slower:.0} are slower. Proxy, origins and generator wait for each other where they share cores."
            );
            run.sheet.row(Line::lower(row, title, "us").note(note));
        }
        let load = |proxy: &Running| Load::rate(proxy.http, SMALL, SOME, rate);
        run.rounds(&mut bed, (work, &rows), load, |sheet, proxy, round, outcome| {
            for (row, (percentile, _)) in rows.into_iter().zip(PERCENTILES) {
                sheet.put(row, proxy.name(), round, outcome.latency_us(percentile));
            }
            told(outcome)
        })
        .await?;
    }
    Ok(())
}

fn told(outcome: &Outcome) -> String {
    let [p50, p99, p999] = PERCENTILES.map(|(percentile, _)| outcome.latency_us(percentile));
    format!("{:8.0} requests/s  p50 {p50} us  p99 {p99} us  p99.9 {p999} us", outcome.per_second())
}

/// What each proxy manages in a closed loop, in requests a second: as it was measured before, or measured now.
pub(super) async fn limits(run: &mut Run<'_>, bed: &Bed<'_>) -> anyhow::Result<Vec<f64>> {
    let mut limits = Vec::new();
    for proxy in bed.proxies.iter().filter(|proxy| proxy.kind != Kind::Forwarder) {
        let limit = match run.sheet.limit(proxy.name()) {
            Some(limit) => limit,
            None => {
                let load = Load { threads: run.threads(), ..Load::closed(proxy.http, SMALL, SOME) };
                let outcome = measure::of_group(&load, run.duration(), proxy.id()).await?;
                outcome.limit()
            }
        };
        run.say(format!("              limit     {:9} {limit:8.0} requests/s", proxy.name()));
        limits.push(limit);
    }
    Ok(limits)
}
