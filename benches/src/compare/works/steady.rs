//! What a request costs at rates that are the same for all: a proxy that is nearly idle needs more for each.

use super::super::measure::{Load, Outcome};
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::Running;
use super::super::targets::SMALL;
use super::plain::SOME;
use super::{Run, latency};

/// Parts of the slowest proxy's limit, in percent, and the row of each.
const PARTS: [(u32, &str); 3] = [(25, "rates-25-cpu"), (50, "rates-50-cpu"), (75, "rates-75-cpu")];

pub(super) async fn rates(run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut bed = run.bed().await?;
    let limits = latency::limits(run, &bed).await?;
    for (percent, row) in PARTS {
        let Some(rate) = rates::part_of_slowest(limits.iter().copied(), percent) else {
            run.say("rates: no proxy answers anything");
            return Ok(());
        };
        let title = format!("CPU per request at {percent} % of what the slowest can do: 1 KiB, 64 connections");
        let note = format!("{rate} requests a second for all. CPU of the proxy's processes, user and system.");
        run.sheet.row(Line::lower(row, title, "us").note(note));
        let load = |proxy: &Running| Load::rate(proxy.http, SMALL, SOME, rate);
        run.rounds(&mut bed, (row, &[row]), load, |sheet, proxy, round, outcome| {
            sheet.put(row, proxy.name(), round, outcome.cpu_us());
            told(outcome)
        })
        .await?;
    }
    Ok(())
}

fn told(outcome: &Outcome) -> String {
    let (cpu, rate, busy) = (outcome.cpu_us(), outcome.per_second(), outcome.busy() * 100.0);
    format!("{cpu:8.2} us CPU/request {rate:8.0} requests/s  {busy:3.0} % of the core")
}
