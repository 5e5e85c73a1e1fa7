//! Memory: of a proxy at rest, and of connections that do nothing.

use std::cell::Cell;
use std::time::Duration;

use super::super::origin::{HOST, REMEMBERED_BY_NOBODY};
use super::super::probe;
use super::super::proxies::{Kind, Program};
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::{Origins, Running, Setup};
use super::super::usage;
use super::Run;
use crate::client::Tls;
use crate::hold::{self, Opening, Plan, Report};

/// Idle connections over plain HTTP. A forwarder needs two open files for each, and this machine may have 20,000.
const MANY: usize = 10_000;
const MANY_OF_FORWARDER: usize = 9_000;
const MANY_TLS: usize = 5_000;
/// Those that it is measured with before: the difference is what more connections cost, without what is needed once.
const FEW: usize = 2_000;
/// How long after the last request a connection counts as idle.
const SETTLE: Duration = Duration::from_secs(8);
const REST: Duration = Duration::from_secs(2);

pub(super) async fn idle(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "Private memory two seconds after the start, without a request but one.";
    run.sheet.row(Line::lower("idle-rest", "Memory at rest", "MiB").note(note));
    let note = "One request on each, then 8 s of silence: private memory with 10,000 connections (forwarder: 9,000) less that \
                with 2,000, divided by the difference.";
    run.sheet.row(Line::lower("idle-connection", "Memory of an idle connection", "bytes").note(note).goal("the least"));
    let note = "The same with 5,000 connections.";
    run.sheet.row(Line::lower("idle-tls", "Memory of an idle TLS connection", "bytes").note(note));
    let origins = Origins::start(run.stage).await?;
    for round in 0..run.stage.options.rounds {
        for at in run.order(run.stage.programs.len()) {
            let program = &run.stage.programs[at];
            if let Err(why) = of_one(run, program, &origins, round).await {
                run.left_out(&format!("idle          round {:2}  {:9} left out: {why:#}", round + 1, program.name()));
            }
        }
    }
    Ok(())
}

async fn of_one(run: &mut Run<'_>, program: &Program, origins: &Origins, round: usize) -> anyhow::Result<()> {
    let name = program.name();
    let mut told = String::new();
    let many = if program.kind == Kind::Forwarder { MANY_OF_FORWARDER } else { MANY };
    let works = [("idle-connection", many, false), ("idle-tls", MANY_TLS, true)];
    for (row, count, tls) in works.into_iter().filter(|(_, _, tls)| !tls || program.kind != Kind::Forwarder) {
        // A process of its own for each: some keep what they once needed.
        let start = Running::start(run.stage, program, origins, Setup::of(run.stage.options.set));
        let proxy = start.await.map_err(anyhow::Error::msg)?;
        if !tls {
            tokio::time::sleep(REST).await;
            let rest = usage::private(proxy.id())? as f64 / (1024.0 * 1024.0);
            run.sheet.put("idle-rest", name, round, rest);
            told.push_str(&format!("{rest:8.1} MiB at rest"));
        }
        let (few, before) = held(&proxy, FEW, tls).await?;
        let (alive, after) = held(&proxy, count, tls).await?;
        // It has to be there still: what died holds nothing.
        let answers = probe::until_ready(proxy.http, REMEMBERED_BY_NOBODY, || false).await;
        answers.map_err(|why| anyhow::anyhow!("it {why}"))?;
        let each = rates::growth_each(before, after, alive.saturating_sub(few));
        run.sheet.put(row, name, round, each);
        run.sheet.failed(row, name, (count as u64).saturating_sub(alive), count as u64);
        told.push_str(&format!("  {each:8.0} bytes for each of {alive}{}", if tls { " over TLS" } else { "" }));
    }
    run.say(format!("idle          round {:2}  {name:9} {told}", round + 1));
    Ok(())
}

/// Opens connections and holds them until they are idle: how many there were, and the proxy's memory then.
async fn held(proxy: &Running, count: usize, tls: bool) -> anyhow::Result<(u64, u64)> {
    let opening = Opening::Get { target: REMEMBERED_BY_NOBODY.to_owned(), host: HOST.to_owned() };
    let connector = tls.then(|| Tls::new().connector()).transpose().map_err(anyhow::Error::msg)?;
    let to = if tls { proxy.https } else { proxy.http };
    let sources = Some("127.5.0.0/16".parse()?);
    let plan = Plan { connections: count, tls: connector, sources, concurrency: 64, ..Plan::new(to, opening) };
    let (alive, memory) = (Cell::new(0), Cell::new(0));
    let until = || async {
        tokio::time::sleep(SETTLE).await;
        memory.set(usage::private(proxy.id()).unwrap_or_default());
    };
    hold::run(plan, until, |report| {
        if let Report::End { alive: open, .. } = report {
            alive.set(*open as u64);
        }
        Ok(())
    })
    .await?;
    Ok((alive.get(), memory.get()))
}
