//! `rolegate check`: every mistake in a configuration, and what `run` could not open.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::say::{self, Channel};
use super::trial;
use crate::control::certificates;
use crate::control::compile::{Compiled, compile};
use crate::control::config::{Problems, Record, Source, parse};
use crate::control::doubts::doubts;

/// The configuration that is checked.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The configuration.
    #[arg(default_value = "rolegate.toml")]
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Check it for another machine or user: do not try its addresses and its access log.
    #[arg(long)]
    elsewhere: bool,
}

/// Checks it, and says all that is wrong.
pub(super) fn print(args: &Check) -> anyhow::Result<ExitCode> {
    let source = match Source::read_once(&args.file) {
        Ok(source) => source,
        Err(error) if args.json => {
            say::json(json!([{ "severity": "error", "file": args.file, "message": error.to_string() }]))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let mut problems = Problems::new();
    let config = parse(&source.text, &mut problems);
    let compiled = compile(&config, &mut problems);
    if !args.elsewhere {
        trial::attempt(&config, &args.file, &mut problems);
        if let Some(compiled) = &compiled {
            trial::circles(&config, compiled, &mut problems);
        }
    }
    let doubts = compiled.as_ref().map(|compiled| {
        certificates::doubtful(&compiled.site, SystemTime::now())
            .into_iter()
            .chain(doubts(compiled))
            .collect::<Vec<_>>()
    });
    if args.json {
        let mut records = problems.json(&source.name, &source.text);
        records.extend(doubts.into_iter().flatten().map(|line| Record::of_the_whole(&source.name, line)));
        say::json(serde_json::to_string_pretty(&records)?)?;
    } else {
        if !problems.is_empty() {
            say::colored_err(problems.render(&source.name, &source.text, Channel::Err.has_colors()));
        }
        for line in doubts.into_iter().flatten() {
            say::err(format_args!("warning: {line}"));
        }
    }
    let Some(compiled) = compiled else { return Ok(ExitCode::FAILURE) };
    // The trial may have found what the compiler does not look for.
    if problems.is_fatal() {
        return Ok(ExitCode::FAILURE);
    }
    if !args.json {
        say::out(summary(&source, &compiled))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(source: &Source, compiled: &Compiled) -> String {
    let systems: BTreeSet<_> =
        compiled.roles.iter().flat_map(|plan| &plan.members).map(|member| &member.system).collect();
    let rules = compiled.roles.iter().filter_map(|plan| {
        let why = plan.role.fallback_rule.why()?;
        Some(format!("{}: {why}\n", plan.role.title))
    });
    // Once for a role, however many sites have it.
    let mut rules: Vec<String> = rules.collect();
    rules.dedup();
    let rules = rules.concat();
    format!(
        "{rules}{}: {} {}, {} listeners, {} site systems, {} boundary groups: can be served",
        source.name,
        if compiled.site.sites.list.is_empty() { "site" } else { "sites" },
        compiled.site.code,
        compiled.listeners.len(),
        systems.len(),
        compiled.site.written_groups()
    )
}
