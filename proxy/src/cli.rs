//! The command line.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};

use self::ask::Where;
use self::signals::Signals;
use crate::control::certificates;
use crate::control::compile::compile;
use crate::control::config::{Problems, Source, parse};
use crate::status::Status;

mod ask;
mod explain;
mod explanation;
mod learned;
mod roles;
mod serve;
mod show;
mod signals;

/// A load-balancing reverse proxy for the client-facing roles of Configuration Manager.
#[derive(Debug, Parser)]
#[command(name = "rolegate", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a configuration until SIGTERM or Ctrl-C; SIGHUP or a change of the file reloads it.
    Run {
        /// The configuration.
        #[arg(default_value = "rolegate.toml")]
        file: PathBuf,
    },
    /// Check a configuration and print every mistake in it.
    Check {
        /// The configuration.
        #[arg(default_value = "rolegate.toml")]
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what rolegate knows about each role.
    Roles {
        /// Only this role, with every field.
        role: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a running rolegate how it is.
    Status {
        #[command(flatten)]
        at: Where,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say why a request goes where it goes.
    Explain(explain::Explain),
    /// List the fallback clocks that run, or end them.
    Clocks(learned::ClocksArgs),
    /// List which content is known to be where, or forget it.
    Content(learned::ContentArgs),
    /// Forget which clients stay where.
    Affinity(learned::AffinityArgs),
}

/// Runs the command line.
///
/// # Errors
/// What the user must know; the process exits with 1.
pub fn run() -> anyhow::Result<ExitCode> {
    let signals = Signals::catch_for_run()?;
    match Cli::parse().command {
        Command::Run { file } => serve::run(&file, signals),
        Command::Check { file, json } => check(&file, json),
        Command::Roles { role, json } => roles::print(role.as_deref(), json),
        Command::Status { at, json } => status(at, json),
        Command::Explain(args) => explain::print(&args),
        Command::Clocks(args) => learned::clocks(&args),
        Command::Content(args) => learned::content(&args),
        Command::Affinity(args) => learned::affinity(&args),
    }
}

fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let source = match Source::read(file) {
        Ok(source) => source,
        Err(error) if json => {
            println!("{}", serde_json::json!([{ "file": file, "message": error.to_string() }]));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let mut problems = Problems::new();
    let config = parse(&source.text, &mut problems);
    let compiled = compile(&config, &mut problems);
    if json {
        println!("{}", serde_json::to_string_pretty(&problems.json(&source.name, &source.text))?);
    } else if !problems.is_empty() {
        let color = std::io::stderr().is_terminal();
        eprintln!("{}", problems.render(&source.name, &source.text, color));
    }
    let Some(compiled) = compiled else { return Ok(ExitCode::FAILURE) };
    for line in certificates::doubtful(&compiled.site, SystemTime::now()) {
        eprintln!("warning: {line}");
    }
    if !json {
        let systems: std::collections::BTreeSet<_> =
            compiled.roles.iter().flat_map(|plan| &plan.members).map(|member| &member.system).collect();
        println!(
            "{}: site {}, {} listeners, {} site systems, {} boundary groups: can be served",
            source.name,
            compiled.site.code,
            compiled.listeners.len(),
            systems.len(),
            compiled.site.group_names.len() - 1
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn status(at: Where, json: bool) -> anyhow::Result<ExitCode> {
    let body = ask::get(at, "/status", &[])?;
    let status: Status = ask::read(at, &body)?;
    if json {
        println!("{body}")
    } else {
        print!("{}", show::render(&status))
    }
    Ok(ExitCode::SUCCESS)
}
