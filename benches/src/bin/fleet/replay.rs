//! The command that sends the requests of a log again.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use ipnet::{IpNet, Ipv4Net};
use rolegate_bench::fleet::{Address, TlsFiles};
use rolegate_bench::replay::{Broken, Log, MOST_REQUESTS, Methods, Plan, Reading, Sources, Tempo};
use rolegate_bench::{replay, say};
use toml::{Table, Value};

use crate::files::Files;
use crate::flags::Replay;
use crate::several::Shown;
use crate::{run, several};

pub(crate) fn replay(flags: &Replay) -> anyhow::Result<ExitCode> {
    let mut to = run::address(&flags.to)?;
    let reading = reading(flags)?;
    let log = Arc::new(Log::read(&flags.logs, reading).map_err(|error| anyhow!("{error}"))?);
    let runtime = run::runtime()?;
    let running = run::running(&flags.to, &flags.out);
    let tls = run::tls(&to, &flags.to, &TlsFiles::default())?;
    let mut plan = plan(flags, &log, &to);
    let total = plan.length(&log)?;
    plan.thresholds = flags.judge.thresholds(&log.names())?;
    let files = Files::check(&flags.out, &flags.judge, &plan.name, &running.label)?;
    run::reach(&mut to, tls.as_ref(), &runtime)?;
    (plan.to, plan.tls) = (to, tls);
    for Broken { file, line, why } in &log.counts().named {
        say::err(format_args!("note: {}, line {line}: {why}", file.display()));
    }
    if log.counts().unsorted > 0 {
        let unsorted = log.counts().unsorted;
        say::err(format_args!(
            "note: {unsorted} requests stood after later ones; they are sent in the order of their times"
        ));
    }
    say::err(format_args!(
        "{}: {} requests of {} clients in {} against {}; Ctrl-C ends it with a report",
        plan.name,
        log.len(),
        log.clients(),
        humantime::format_duration(Duration::from_millis(u64::try_from(total.as_millis()).unwrap_or(u64::MAX))),
        running.address
    ));
    let shown = Shown { judge: &flags.judge, metrics: flags.metrics_listen };
    several::alone(&runtime, total, &files, shown, |watch| replay::run(&log, &plan, &running, watch))
}

fn reading(flags: &Replay) -> anyhow::Result<Reading> {
    let limit = flags.limit.map_or(MOST_REQUESTS as u64, |limit| limit);
    let mut wrong = Vec::new();
    if limit == 0 || limit > MOST_REQUESTS as u64 {
        wrong.push(format!("--limit: {limit} is outside 1 to {MOST_REQUESTS}"));
    }
    if !(0.0..=1.0).contains(&flags.max_broken) {
        wrong.push(format!("--max-broken: {} is outside 0 to 1", flags.max_broken));
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    let methods = if flags.all_methods { Methods::All } else { Methods::Harmless };
    // Without the flag, one more than there may be is told as such.
    let limit = if flags.limit.is_some() { usize::try_from(limit).unwrap_or(MOST_REQUESTS) } else { usize::MAX };
    Ok(Reading { methods, limit, max_broken: flags.max_broken })
}

fn plan(flags: &Replay, log: &Log, to: &Address) -> Plan {
    let tempo = flags.rate.map_or(Tempo::Logged(flags.speedup), Tempo::Rate);
    let sources = match (flags.sources, flags.no_sources) {
        (_, true) => Sources::System,
        (Some(network), false) => Sources::Mapped(network),
        (None, false) => own(to),
    };
    Plan {
        name: name(&flags.logs),
        text: text(flags, log),
        host: flags.to.host.clone(),
        to: to.clone(),
        tls: None,
        thresholds: Vec::new(),
        tempo,
        duration: flags.duration,
        timeout: flags.timeout,
        keep: flags.keep,
        sources,
        under_way: flags.under_way,
    }
}

/// On this machine, every address of 127.0.0.0/8 can be used.
fn own(to: &Address) -> Sources {
    let all = Ipv4Net::new([127, 0, 0, 0].into(), 8).ok().map(IpNet::V4);
    all.filter(|all| all.contains(&to.socket.ip())).map_or(Sources::System, Sources::Mapped)
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn name(logs: &[std::path::PathBuf]) -> String {
    let first = logs.first().map(|log| file_name(log)).unwrap_or_default();
    if logs.len() > 1 { format!("replay {first} and {} more", logs.len() - 1) } else { format!("replay {first}") }
}

/// What is done, for the record: it has nothing of where to.
fn text(flags: &Replay, log: &Log) -> String {
    let number = |number: usize| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let time = |time: Duration| Value::from(humantime::format_duration(time).to_string());
    let mut table = Table::new();
    table.insert("logs".to_owned(), flags.logs.iter().map(|log| file_name(log)).collect::<Vec<_>>().into());
    table.insert("requests".to_owned(), number(log.len()));
    table.insert("clients".to_owned(), number(log.clients()));
    table.insert("began".to_owned(), humantime::format_rfc3339_seconds(log.began()).to_string().into());
    table.insert("length".to_owned(), time(log.length()));
    match flags.rate {
        Some(rate) => table.insert("rate".to_owned(), rate.into()),
        None => table.insert("speedup".to_owned(), flags.speedup.into()),
    };
    if let Some(duration) = flags.duration {
        table.insert("duration".to_owned(), time(duration));
    }
    table.insert("timeout".to_owned(), time(flags.timeout));
    table.insert("keep".to_owned(), time(flags.keep));
    let all = Table::from_iter([("replay".to_owned(), Value::Table(table))]);
    // A table of texts and numbers can be written.
    toml::to_string(&all).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Flags};

    fn of(flags: &[&str]) -> Replay {
        let all = ["fleet", "replay", "--target", "http://127.0.0.1:1", "u_ex260301.log", "u_ex260302.log"];
        let flags = Flags::try_parse_from(all.iter().chain(flags)).unwrap();
        let Command::Replay(replay) = flags.command else { panic!("no replay") };
        *replay
    }

    #[test]
    fn flags_make_a_plan() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let line = r#"{"ts":"2026-03-01T08:15:30.5Z","client":"10.1.7.9","method":"GET","target":"/","status":200}"#;
        std::fs::write(&file, line).unwrap();
        let flags = of(&["--rate", "5", "--host", "mp1"]);
        let log = Log::read(&[file], reading(&flags).unwrap()).unwrap();
        let plan = |flags: &[&str], to: &str| plan(&of(flags), &log, &Address::parse(to).unwrap());
        let one = plan(&["--rate", "5", "--host", "mp1"], "http://127.0.0.1:1");
        assert_eq!(
            (one.tempo, one.host.as_deref(), one.name.as_str()),
            (Tempo::Rate(5.0), Some("mp1"), "replay u_ex260301.log and 1 more")
        );
        assert!(one.text.contains("2026-03-01T08:15:30Z") && one.text.contains("rate = 5.0"), "{}", one.text);
        let mapped = Sources::Mapped("127.0.0.0/8".parse().unwrap());
        assert_eq!(one.sources, mapped);
        assert_eq!(plan(&[], "http://192.0.2.1:1").sources, Sources::System, "no such address is this machine's");
        assert_eq!(plan(&["--no-sources"], "http://127.0.0.1:1").sources, Sources::System);
        assert_eq!(plan(&["--sources", "127.0.0.0/8"], "http://192.0.2.1:1").sources, mapped);
    }

    #[test]
    fn flags_out_of_their_bounds_are_told_together() {
        let told = reading(&of(&["--limit", "0", "--max-broken", "2"])).unwrap_err().to_string();
        assert!(told.contains("--limit: 0 is outside") && told.contains("--max-broken: 2 is outside"), "{told}");
    }
}
