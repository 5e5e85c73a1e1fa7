//! rolegate against itself: two data threads.

use super::super::measure::{self, Load};
use super::super::proxies::Kind;
use super::super::sheet::Line;
use super::super::stage::{Origins, Running, Setup};
use super::super::targets::SMALL;
use super::Run;

/// Enough to keep two threads busy.
const CONNECTIONS: usize = 128;
const ROWS: [&str; 2] = ["threads-1", "threads-2"];

pub(super) async fn threads(run: &mut Run<'_>) -> anyhow::Result<()> {
    if run.stage.cores.spare.is_empty() {
        run.say("threads: left out, because it needs four cores: two for rolegate, two for origins and load");
        return Ok(());
    }
    let Some(program) = run.stage.program(Kind::Rolegate) else {
        run.say("threads: only with rolegate");
        return Ok(());
    };
    let note = "1 KiB, 128 connections, a core for each thread.";
    run.sheet.row(Line::higher(ROWS[0], "Requests a second with one data thread", "1/s").note(note));
    run.sheet.row(Line::higher(ROWS[1], "Requests a second with two data threads", "1/s").note(note));
    run.sheet.row(Line::higher("threads-ratio", "Two data threads, of one", "times").goal("at least 1.9 times"));
    let origins = Origins::start(run.stage).await?;
    let mut proxies = Vec::new();
    for threads in [1, 2] {
        let setup = Setup { threads, ..Setup::of(run.stage.options.set) };
        proxies.push(Running::start(run.stage, program, origins.addresses(), setup).await.map_err(anyhow::Error::msg)?);
    }
    for round in 0..run.stage.options.rounds {
        let mut rate = [f64::NAN; 2];
        for at in run.order(2) {
            let (row, proxy) = (ROWS[at], &proxies[at]);
            let load = Load { threads: run.threads(), ..Load::closed(proxy.http, SMALL, CONNECTIONS) };
            let outcome = measure::of_group(&load, run.duration(), proxy.id()).await?;
            rate[at] = outcome.per_second();
            run.sheet.put(row, proxy.name(), round, rate[at]);
            run.note(&[row], proxy.name(), &outcome);
            let failed = outcome.failed_words();
            run.say(format!("{row:13} round {:2}  {:9} {:8.0} requests/s{failed}", round + 1, proxy.name(), rate[at]));
        }
        run.sheet.put("threads-ratio", proxies[0].name(), round, rate[1] / rate[0]);
    }
    Ok(())
}
