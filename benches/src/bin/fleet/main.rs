//! Sends a fleet of simulated Configuration Manager clients, or plain load, to an address, and reports what it measured.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod files;
mod flags;
mod metrics;
mod outcome;
mod pki;
mod plain;
mod replay;
mod run;
mod screen;
mod several;
mod signals;

use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser as _;
use rolegate_bench::fleet::{self, Scenario};
use rolegate_bench::record::Missing;
use rolegate_bench::{report, say};

use flags::{Command, Flags, Out};

fn main() -> ExitCode {
    let flags = Flags::parse();
    let done = match flags.command {
        Command::Run(flags) => run::scenario(&flags),
        Command::Plain(flags) => run::plain(&flags),
        Command::List => {
            say::out(fleet::listed().trim_end());
            say::out("\nfleet show NAME prints one; change a copy of it and run that.");
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { name } => show(&name),
        Command::Check { file, set } => check(&file, &set),
        Command::Pki { folder, force, names } => {
            let there = if force { pki::There::Replaced } else { pki::There::Refused };
            pki::make(&folder, &names, there)
        }
        Command::Compare { runs, html } => outcome::compare(&runs, html.as_deref()),
        Command::Merge { runs, partial, label, json, html } => {
            let missing = if partial { Missing::Doubted } else { Missing::Refused };
            several::merge(&runs, missing, &Out { label, out: None, json, html })
        }
        Command::Repeats { runs } => several::repeats(&runs),
        Command::Replay(flags) => replay::replay(&flags),
        Command::Report { run, html, judge } => outcome::report(&run, html.as_deref(), &judge),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                say::err(format_args!("error: {line}"));
            }
            ExitCode::from(2)
        }
    }
}

fn show(name: &str) -> anyhow::Result<ExitCode> {
    say::out(fleet::find(name)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn check(file: &str, set: &[String]) -> anyhow::Result<ExitCode> {
    let scenario = read(file, set)?;
    say::out(format_args!("{file} is fine: {}. {}", scenario.name, scenario.about));
    Ok(ExitCode::SUCCESS)
}

/// A scenario by its name or from a file; all its mistakes are one error of several lines.
fn read(name: &str, set: &[String]) -> anyhow::Result<Scenario> {
    let text = fleet::find(name)?;
    Scenario::parse_with(&text, set).map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(|mistake| format!("{name}: {mistake}")).collect();
        anyhow!("{}", lines.join("\n"))
    })
}

/// Reads a run that was written with `--json`.
fn read_run(file: &Path) -> anyhow::Result<rolegate_bench::record::Run> {
    // The error has its name.
    Ok(report::read(file)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn mistakes_of_a_file_are_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, "clients = 0\nspeed = 1\n").unwrap();
        let file = file.to_string_lossy();
        let told = read(&file, &[]).unwrap_err().to_string();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert!(lines.iter().all(|line| line.starts_with(&*file)), "{told}");
        assert!(read("steady", &["clients=5".to_owned()]).is_ok());
    }
}
