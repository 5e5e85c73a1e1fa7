//! What the load generator itself costs, against `wrk`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::Instant;

use super::super::cores;
use super::super::find;
use super::super::measure::{self, Load};
use super::super::origin::SMALL;
use super::super::process::Group;
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::Origins;
use super::super::usage::Used;
use super::super::wrk;
use super::Run;
use super::plain::SOME;
use crate::report::comparison::Proxy;

const OURS: &str = "generator";
const WRK: &str = "wrk";
const ROW: &str = "generator-cpu";

pub(super) async fn generator(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "One thread, 1 KiB, 64 connections, straight to an origin: no proxy is involved.";
    run.sheet.row(Line::lower(ROW, "CPU of the load generator per request", "us").note(note));
    run.more.push(Proxy {
        name: OURS.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        note: "the load generator of this comparison, no proxy".to_owned(),
        ..Proxy::default()
    });
    let wrk = find::program(WRK, &find::path());
    match &wrk {
        Some(_) => run.more.push(Proxy {
            name: WRK.to_owned(),
            note: "a load generator, no proxy".to_owned(),
            ..Proxy::default()
        }),
        None => run.say("generator: wrk was not found on the path, so there is nothing to compare with"),
    }
    let origins = Origins::start(run.stage).await?;
    let to = origins.one.address;
    for round in 0..run.stage.options.rounds {
        let before = Used::by_group(origins.one.id());
        let load = Load::closed(to, SMALL, SOME);
        let outcome = measure::measure(&load, run.duration(), || Used::by_process(std::process::id())).await?;
        // The warm-up is in the origin's time, and not among the requests.
        let part = outcome.measured_s / (outcome.measured_s + measure::WARM_UP.as_secs_f64());
        let origin = rates::each_us(Used::by_group(origins.one.id()).since_s(&before) * part, outcome.done);
        tell(run, round, OURS, outcome.cpu_us(), outcome.per_second());
        run.say(format!("              the origin needs about {origin:.1} us{}", outcome.failed_words()));
        if let Some(wrk) = &wrk {
            let (cpu, rate) = of_wrk(run, wrk, to).await?;
            tell(run, round, WRK, cpu, rate);
        }
    }
    Ok(())
}

fn tell(run: &mut Run<'_>, round: usize, name: &str, cpu_us: f64, rate: f64) {
    run.sheet.put(ROW, name, round, cpu_us);
    run.say(format!("generator     round {:2}  {name:9} {cpu_us:8.2} us CPU/request {rate:8.0} requests/s", round + 1));
}

/// Its time of the processor per request, in microseconds, and its requests a second.
async fn of_wrk(run: &Run<'_>, wrk: &std::path::Path, to: SocketAddr) -> anyhow::Result<(f64, f64)> {
    let seconds = run.duration();
    let mut command = Command::new(wrk);
    command.args(["-t1", &format!("-c{SOME}"), &format!("-d{}s", seconds.as_secs()), &format!("http://{to}{SMALL}")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let before = children_s();
    let mut group = cores::on(&run.stage.cores.others, || Group::start(&mut command)).and_then(|started| started)?;
    let until = Instant::now() + seconds + Duration::from_secs(10);
    while group.ended().is_none() {
        anyhow::ensure!(Instant::now() < until, "wrk did not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = group.said();
    let done = wrk::read(&said)
        .map(|told| told.requests)
        .with_context(|| format!("wrk says: {}", find::last_lines(&said, 3)))?;
    Ok((rates::each_us(children_s() - before, done), rates::per_second(done, seconds.as_secs_f64())))
}

/// User and system time of the children that were waited for, in seconds.
fn children_s() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return f64::NAN };
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_children_is_known() {
        assert!(children_s() >= 0.0);
    }
}
