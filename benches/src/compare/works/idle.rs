//! Memory: of a proxy at rest, and of connections that do nothing.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::origin::{Origin, Serves};
use super::super::probe;
use super::super::proxies::{Kind, Program};
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::{Origins, Running, Setup};
use super::super::targets::{HOST, REMEMBERED_BY_NOBODY};
use super::super::usage;
use super::Run;
use crate::client::Tls;
use crate::hold::{self, Opening, Plan, Report};

/// Those that it is measured with before: the difference is what more connections cost, without what is needed once.
const FEW: usize = 2_000;
/// How long after the last request a connection counts as idle.
pub(in crate::compare) const SETTLE: Duration = Duration::from_secs(8);
pub(in crate::compare) const REST: Duration = Duration::from_secs(2);

/// How long one may take to be opened.
const PATIENCE: Duration = Duration::from_secs(10);

/// What kind of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    Plain,
    Tls,
    /// Client notification: bytes that are passed on, and no requests.
    Tunnel,
}

impl Idle {
    const ALL: [Self; 3] = [Self::Plain, Self::Tls, Self::Tunnel];

    const fn row(self) -> &'static str {
        match self {
            Self::Plain => "idle-connection",
            Self::Tls => "idle-tls",
            Self::Tunnel => "idle-tunnel",
        }
    }

    /// How many. A tunnel needs two open files, as each connection of a forwarder, and a process may often have 20,000. rolegate
    /// keeps two for each client connection in reserve, and lets more wait.
    const fn count(self) -> usize {
        match self {
            Self::Plain | Self::Tunnel => 9_000,
            Self::Tls => 5_000,
        }
    }

    /// Whether a proxy can have them; if not, why, in parts of a sentence.
    fn possible(self, program: &Program) -> Result<(), &'static str> {
        match self {
            Self::Plain => Ok(()),
            Self::Tls if program.kind == Kind::Forwarder => Err("it knows no TLS"),
            Self::Tls => Ok(()),
            Self::Tunnel => program.tunnels().map(drop),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Tls => " over TLS",
            Self::Tunnel => " tunnels",
        }
    }
}

/// What stands behind the proxies.
struct Behind {
    site: Origins,
    notification: Origin,
}

fn rows(run: &mut Run<'_>) {
    let note = "Private memory two seconds after the start, without a request but one. Some reserve room for their connections \
                when they start: nginx for 12,000.";
    run.sheet.row(Line::lower("idle-rest", "Memory at rest", "MiB").note(note));
    let note = "One request on each, then 8 s of silence: private memory with 9,000 connections less that with \
                2,000, divided by the difference.";
    run.sheet.row(Line::lower(Idle::Plain.row(), "Memory of an idle connection", "bytes").note(note).goal("the least"));
    let note = "The same with 5,000 connections.";
    run.sheet.row(Line::lower(Idle::Tls.row(), "Memory of an idle TLS connection", "bytes").note(note));
    let left_out = run.stage.programs.iter().filter_map(|program| {
        let why = Idle::Tunnel.possible(program).err()?;
        Some(format!(" {} is left out: {why}.", program.name()))
    });
    let note = format!(
        "The same with tunnels, on each of which a line was said and answered. A tunnel is two connections of the \
         proxy.{}",
        left_out.collect::<String>()
    );
    let title = "Memory of an idle tunnel of client notification";
    run.sheet.row(Line::lower(Idle::Tunnel.row(), title, "bytes").note(note).goal("the least"));
}

pub(super) async fn idle(run: &mut Run<'_>) -> anyhow::Result<()> {
    rows(run);
    let [address] = probe::free::<1>()?;
    let notification = Origin::start(&run.stage.starts(), Serves::Lines, address).await.map_err(anyhow::Error::msg)?;
    let behind = Behind { site: Origins::start(run.stage).await?, notification };
    for round in 0..run.stage.options.rounds {
        for at in run.order(run.stage.programs.len()) {
            let program = &run.stage.programs[at];
            if let Err(why) = of_one(run, program, &behind, round).await {
                run.left_out(&format!("idle          round {:2}  {:9} left out: {why:#}", round + 1, program.name()));
            }
        }
    }
    Ok(())
}

async fn of_one(run: &mut Run<'_>, program: &Program, behind: &Behind, round: usize) -> anyhow::Result<()> {
    let name = program.name();
    let mut told = String::new();
    for idle in Idle::ALL.into_iter().filter(|idle| idle.possible(program).is_ok()) {
        let notification = (idle == Idle::Tunnel).then_some(behind.notification.address);
        let setup = Setup { notification, ..Setup::of(run.stage.options.set) };
        // A process of its own for each: some keep what they once needed.
        let start = Running::start(run.stage, program, behind.site.addresses(), setup);
        let proxy = start.await.map_err(anyhow::Error::msg)?;
        if idle == Idle::Plain {
            tokio::time::sleep(REST).await;
            let rest = usage::private(proxy.id())? as f64 / (1024.0 * 1024.0);
            run.sheet.put("idle-rest", name, round, rest);
            told.push_str(&format!("{rest:8.1} MiB at rest"));
        }
        let count = idle.count();
        let few = held(&proxy, FEW, idle).await?;
        // It would take very long to find out that more fail too.
        anyhow::ensure!(few.alive == FEW as u64, "only {} of {FEW} connections{} stayed", few.alive, idle.words());
        let many = held(&proxy, count, idle).await?;
        // It has to be there still: what died holds nothing.
        let answers = probe::until_ready(proxy.http, REMEMBERED_BY_NOBODY, || false).await;
        answers.map_err(|why| anyhow::anyhow!("it {why}"))?;
        let each = rates::growth_each(few.memory, many.memory, many.alive.saturating_sub(few.alive));
        run.sheet.put(idle.row(), name, round, each);
        run.sheet.failed(idle.row(), name, (count as u64).saturating_sub(many.alive), count as u64);
        told.push_str(&format!("  {each:8.0} bytes for each of {}{}", many.alive, idle.words()));
    }
    run.say(format!("idle          round {:2}  {name:9} {told}", round + 1));
    Ok(())
}

/// Connections that are idle, and the proxy's memory meanwhile.
#[derive(Debug, Clone, Copy)]
struct Held {
    alive: u64,
    /// In bytes.
    memory: u64,
}

/// Opens connections and holds them until they are idle.
async fn held(proxy: &Running, count: usize, idle: Idle) -> anyhow::Result<Held> {
    let (alive, memory) = (Cell::new(0), Cell::new(0));
    let until = || async {
        tokio::time::sleep(SETTLE).await;
        memory.set(usage::private(proxy.id()).unwrap_or_default());
    };
    hold::run(plan(idle, proxy, count)?, until, |report| {
        if let Report::End { alive: open, .. } = report {
            alive.set(*open as u64);
        }
        Ok(())
    })
    .await?;
    Ok(Held { alive: alive.get(), memory: memory.get() })
}

fn plan(idle: Idle, proxy: &Running, count: usize) -> anyhow::Result<Plan> {
    let get = || Opening::Get { target: REMEMBERED_BY_NOBODY.to_owned(), host: HOST.to_owned() };
    let plain = |to: SocketAddr, opening| Plan {
        connections: count,
        concurrency: 64,
        timeout: PATIENCE,
        ..Plan::new(to, opening)
    };
    let plan = match idle {
        Idle::Plain => plain(proxy.http, get()),
        Idle::Tls => {
            let tls = Some(Tls::new().connector().map_err(anyhow::Error::msg)?);
            Plan { tls, ..plain(proxy.https, get()) }
        }
        Idle::Tunnel => plain(proxy.notify, Opening::Line("Ping".to_owned())),
    };
    Ok(Plan { sources: Some("127.5.0.0/16".parse()?), ..plan })
}

#[cfg(test)]
mod tests {
    use super::super::super::build::Build;
    use super::super::super::options::Peer;
    use super::*;

    #[test]
    fn everyone_holds_what_it_can() {
        let program = |kind| Program { kind, path: "/p".into(), version: "1".to_owned(), build: Build::default() };
        let can = |kind| Idle::ALL.map(|idle| idle.possible(&program(kind)).is_ok());
        assert_eq!(can(Kind::Rolegate), [true; 3]);
        assert_eq!(can(Kind::Peer(Peer::Haproxy)), [true; 3]);
        assert_eq!(can(Kind::Peer(Peer::Nginx)), [true, true, false], "it does not say that it has the module");
        assert_eq!(can(Kind::Forwarder), [true, false, true]);
        // rolegate takes 9,360 with 20,000 files.
        assert!(Idle::ALL.iter().all(|idle| idle.count() > FEW && idle.count() <= 9_360));
    }
}
