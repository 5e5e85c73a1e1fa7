//! The flags of `fleet plain` as a scenario, so that they are checked as one, and recorded as one.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use rolegate_bench::fleet::{Kind, Scenario};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use crate::flags::Plain;

/// More paths than this are recorded by their number and their hash.
const RECORDED: usize = 20;

/// The scenario that the flags come to. Its text has nothing of where to, what it is called and what is written.
pub(crate) fn scenario(flags: &Plain) -> anyhow::Result<Scenario> {
    let mut plain = Table::new();
    let mut set = |key: &str, value: Value| drop(plain.insert(key.to_owned(), value));
    let time = |time| Value::from(humantime::format_duration(time).to_string());
    if let Some(rate) = flags.rate {
        set("rate", rate.into());
    }
    if let Some(ramp) = &flags.ramp {
        set("ramp", ramp.as_str().into());
    }
    if flags.arrivals != "even" {
        set("arrivals", flags.arrivals.as_str().into());
    }
    if let Some(seed) = flags.seed {
        set("seed", i64::try_from(seed).with_context(|| format!("--seed: {seed} is too large"))?.into());
    }
    set("connections", i64::from(flags.connections).into());
    set("duration", time(flags.duration));
    set("warm_up", time(flags.warm_up));
    set("timeout", time(flags.timeout));
    set("new_connections", flags.new_connections.into());
    set("resume", (!flags.no_resume).into());
    set("method", flags.method.as_str().into());
    set("headers", flags.headers.clone().into());
    set("body", flags.body.as_str().into());
    if let Some(source) = flags.source {
        set("source", source.to_string().into());
    }
    let urls = flags.urls.as_deref().map(urls).transpose()?.unwrap_or_default();
    set("urls", urls.clone().into());
    let mut scenario = read(&plain)?;
    if urls.len() > RECORDED {
        let hash = Sha256::digest(urls.join("\n"));
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        plain.insert("urls".to_owned(), format!("{} paths, SHA-256 {hash}...", urls.len()).into());
        scenario.text = text(&plain)?;
    }
    Ok(scenario)
}

fn text(plain: &Table) -> anyhow::Result<String> {
    let all = Table::from_iter([("plain".to_owned(), Value::Table(plain.clone()))]);
    toml::to_string(&all).context("the flags cannot be written down")
}

fn read(plain: &Table) -> anyhow::Result<Scenario> {
    let scenario = Scenario::parse(&text(plain)?).map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(|mistake| as_flag(&mistake.what)).collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    match scenario.kind {
        Kind::Plain(_) => Ok(Scenario { name: "plain".to_owned(), ..scenario }),
        Kind::Fleet(_) => bail!("the flags are no plain load"),
    }
}

/// What is wrong with a key, said of the flag.
fn as_flag(what: &str) -> String {
    let Some((key, what)) = what.strip_prefix("plain.").and_then(|what| what.split_once(": ")) else {
        return what.to_owned();
    };
    let flag = if key == "headers" { "header".to_owned() } else { key.replace('_', "-") };
    format!("--{flag}: {what}")
}

/// Paths, one on each line.
fn urls(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let urls: Vec<_> = lines.map(str::to_owned).collect();
    match urls.iter().find(|url| !url.starts_with('/')) {
        Some(wrong) => {
            bail!("{}: '{wrong}' does not begin with '/': write a path such as /SMS_MP/.sms_aut?MPLIST", file.display())
        }
        None if urls.is_empty() => bail!("{} names no path", file.display()),
        None => Ok(urls),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Flags};

    fn of(flags: &[&str]) -> anyhow::Result<Scenario> {
        let all = ["fleet", "plain", "--target", "http://127.0.0.1:1", "--label", "mine"];
        let flags = Flags::try_parse_from(all.iter().chain(flags)).unwrap();
        let Command::Plain(plain) = flags.command else { panic!("not plain") };
        scenario(&plain)
    }

    #[test]
    fn flags_have_the_bounds_of_scenarios() {
        for (flags, told) in [
            (["--rate", "1e12"], "--rate: 1000000000000 is outside 0.01 to 10000000"),
            (["--rate", "nan"], "--rate: NaN is outside 0.01 to 10000000"),
            (["--rate", "inf"], "--rate: inf is outside"),
            (["--ramp", "1..1e12"], "--ramp: '1e12' is not a rate of"),
            (["--connections", "0"], "--connections: 0 is outside 1 to 1000000"),
            (["--connections", "4000000000"], "--connections: 4000000000 is outside"),
            (["--duration", "5days"], "--duration: '5days' is outside 100ms to 4days"),
            (["--warm-up", "4days"], "warm_up and duration are longer than 4days together"),
            (["--timeout", "400000000000years"], "--timeout: '400000000000years' is outside 1ms to"),
            (["--timeout", "0s"], "--timeout: '0s' is outside 1ms to"),
            (["--header", "nonsense"], "--header: 'nonsense' has no ':'"),
        ] {
            let error = of(&flags).unwrap_err().to_string();
            assert!(error.starts_with(told), "{flags:?}: {error}");
        }
    }

    #[test]
    fn what_is_recorded_is_the_load_and_not_where_to() {
        let one = of(&["--rate", "2000", "--body", "a \"b\"\n"]).unwrap();
        assert!(one.text.contains("rate = 2000.0") && one.text.contains("connections = 64"), "{}", one.text);
        assert!(!one.text.contains("127.0.0.1") && !one.text.contains("mine"), "{}", one.text);
        let Kind::Plain(plain) = one.kind else { panic!("not plain") };
        assert_eq!((plain.body.as_str(), plain.resume), ("a \"b\"\n", true));
        let Kind::Plain(plain) = of(&["--no-resume"]).unwrap().kind else { panic!("not plain") };
        assert!(!plain.resume);
    }

    #[test]
    fn many_paths_are_recorded_by_their_hash() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("paths");
        std::fs::write(&file, (0..100).map(|n| format!("/{n}\n")).collect::<String>()).unwrap();
        let scenario = of(&["--urls", file.to_str().unwrap()]).unwrap();
        assert!(scenario.text.contains("100 paths, SHA-256 ") && scenario.text.len() < 1000, "{}", scenario.text);
        let Kind::Plain(plain) = scenario.kind else { panic!("not plain") };
        assert_eq!(plain.urls.len(), 100);
    }
}
