//! The routing table is swapped all the time, while requests come at a rate.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::measure::{self, Load, Outcome};
use super::super::probe;
use super::super::proxies::Kind;
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::{Running, Setup};
use super::super::targets::SMALL;
use super::super::template::{self, fill};
use super::plain::SOME;
use super::{Bed, Run};

/// A hundred a second.
const PERIOD: Duration = Duration::from_millis(10);
/// The part of rolegate's own limit at which requests come, in percent.
const PART: u32 = 50;
const ANCHOR: &str = "name = \"one\"\n";

pub(super) async fn swap(run: &mut Run<'_>) -> anyhow::Result<()> {
    let text = template::ROLEGATE.text(run.stage.options.set);
    let heavy = text.replace(ANCHOR, "name = \"one\"\nweight = 100\n");
    let light = text.replace(ANCHOR, "name = \"one\"\nweight = 99\n");
    let setup = Setup { text: Some(&heavy), ..Setup::of(run.stage.options.set) };
    // It is not compared with others, so it needs no control and no copies.
    let wanted = |kind: Kind| matches!(kind, Kind::Rolegate | Kind::Before);
    let bed = Bed::start(run.stage, setup, wanted).await?;
    for proxy in &bed.proxies {
        of_one(run, proxy, [&light, &heavy]).await?;
    }
    Ok(())
}

async fn of_one(run: &mut Run<'_>, proxy: &Running, texts: [&str; 2]) -> anyhow::Result<()> {
    let name = proxy.name();
    let threads = run.threads();
    let closed = Load { threads, ..Load::closed(proxy.http, SMALL, SOME) };
    let limit = measure::of_group(&closed, run.duration(), proxy.id()).await?.per_second();
    let Some(rate) = rates::part_of_slowest([limit], PART) else { return Ok(()) };
    let note = "Half of what rolegate manages, 1 KiB, 64 connections; a swap is a changed file and SIGHUP.";
    run.sheet.row(Line::lower("swap-quiet-p99", "rolegate's latency p99 without swaps", "us").note(note));
    run.sheet.row(Line::lower("swap-p99", "The same with up to 100 swaps of the table a second", "us").note(note));
    run.sheet.row(Line::higher("swap-rate", "Swaps of the table", "1/s").note("As rolegate counts them."));
    let load = Load { threads, ..Load::rate(proxy.http, SMALL, SOME, rate) };
    for round in 0..run.stage.options.rounds {
        let quiet = measure::of_group(&load, run.duration(), proxy.id()).await?;
        let (before, from) = (swaps(proxy).await?, Instant::now());
        let swapped = tokio::select! {
            outcome = measure::of_group(&load, run.duration(), proxy.id()) => outcome?,
            error = swapping(proxy, texts) => return Err(error.into()),
        };
        let per_second = rates::per_second(swaps(proxy).await?.saturating_sub(before), from.elapsed().as_secs_f64());
        let p99 = |outcome: &Outcome| outcome.latency.percentile(99.0);
        for (row, outcome) in [("swap-quiet-p99", &quiet), ("swap-p99", &swapped)] {
            run.sheet.put(row, name, round, p99(outcome) as f64);
            run.note(&[row], name, outcome);
        }
        run.sheet.put("swap-rate", name, round, per_second);
        let failed = format!("{}{}", quiet.failed_words(), swapped.failed_words());
        let (quiet, swapped) = (p99(&quiet), p99(&swapped));
        let told =
            format!("p99 {quiet} us without, {swapped} us with {per_second:.0} swaps/s at {rate} requests/s{failed}");
        run.say(format!("swap          round {:2}  {name:9} {told}", round + 1));
    }
    Ok(())
}

/// Swaps until it is dropped, or until it cannot.
async fn swapping(proxy: &Running, texts: [&str; 2]) -> io::Error {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for text in texts.into_iter().cycle() {
        ticks.tick().await;
        let filled = fill(text, &proxy.values).map_err(io::Error::other);
        let swapped =
            filled.and_then(|text| replace(&proxy.folder, &text)).and_then(|()| proxy.group().signal(Signal::SIGHUP));
        if let Err(error) = swapped {
            return error;
        }
    }
    io::ErrorKind::InvalidInput.into()
}

/// The file is there with all of its text, or still with that of before.
fn replace(folder: &Path, text: &str) -> io::Result<()> {
    let new = folder.join("next.toml");
    std::fs::write(&new, text)?;
    std::fs::rename(new, folder.join("rolegate.toml"))
}

/// How many configurations were accepted since the start.
async fn swaps(proxy: &Running) -> anyhow::Result<u64> {
    let (_, metrics) = probe::admin(proxy.admin, "/metrics").await?;
    Ok(accepted(&metrics))
}

fn accepted(metrics: &str) -> u64 {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("rolegate_config_reloads_total{") && line.contains("result=\"accepted\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_configurations_are_counted() {
        let metrics = "# TYPE rolegate_config_reloads_total counter\n\
                       rolegate_config_reloads_total{result=\"rejected\"} 1\n\
                       rolegate_config_reloads_total{result=\"accepted\"} 42\n";
        assert_eq!((accepted(metrics), accepted("")), (42, 0));
        assert!(template::ROLEGATE.text(super::super::super::options::Set::Plain).contains(ANCHOR));
    }
}
