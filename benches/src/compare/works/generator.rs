//! What the load generator itself costs, against those of others.

use std::net::SocketAddr;

use nix::sys::resource::{UsageWho, getrusage};

use super::super::find;
use super::super::measure::{self, Load};
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::Origins;
use super::super::targets::SMALL;
use super::super::tools::{Tool, ToolName};
use super::super::usage::Used;
use super::Run;
use super::plain::SOME;
use crate::report::comparison::Proxy;

const OURS: &str = "generator";
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
    let tools = tools(run);
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
        for tool in &tools {
            of_tool(run, round, tool, to).await?;
        }
    }
    Ok(())
}

/// The generators of others that are installed.
fn tools(run: &mut Run<'_>) -> Vec<Tool> {
    let folders = find::folders(&run.stage.options);
    let mut tools = Vec::new();
    for name in ToolName::ALL {
        match name.find(&folders) {
            Ok(Some(tool)) => {
                run.more.push(Proxy {
                    name: name.name().to_owned(),
                    version: tool.version.clone(),
                    note: "a load generator, no proxy".to_owned(),
                    ..Proxy::default()
                });
                tools.push(tool);
            }
            Ok(None) => run.say(format!("generator: {} was not found, so it is not in the comparison", name.name())),
            Err(why) => run.left_out(&format!("generator: {} is left out: {why}", name.name())),
        }
    }
    tools
}

fn tell(run: &mut Run<'_>, round: usize, name: &str, cpu_us: f64, rate: f64) {
    run.sheet.put(ROW, name, round, cpu_us);
    run.say(format!("generator     round {:2}  {name:9} {cpu_us:8.2} us CPU/request {rate:8.0} requests/s", round + 1));
}

/// One measurement of another generator: all of its time of the processor, also that of its start.
async fn of_tool(run: &mut Run<'_>, round: usize, tool: &Tool, to: SocketAddr) -> anyhow::Result<()> {
    let (duration, load) = (run.duration(), Load::closed(to, SMALL, SOME));
    let amount = tool.amount(&load, duration).await?;
    let before = children_s();
    let said = tool.end(tool.start(&load, amount)?, duration).await?;
    let cpu_us = rates::each_us(children_s() - before, said.good);
    tell(run, round, tool.name.name(), cpu_us, rates::per_second(said.good, said.seconds));
    if said.failed > 0 {
        run.doubt(&[ROW], &format!("{} had {} failed requests.", tool.name.name(), said.failed));
    }
    Ok(())
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
