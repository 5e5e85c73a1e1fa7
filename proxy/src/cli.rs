//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::ask::Where;
use self::signals::Signals;
use crate::process_log::Shape;
use crate::status::Status;

mod ask;
mod check;
mod explain;
mod explanation;
mod learned;
mod roles;
mod say;
mod serve;
mod show;
mod signals;
mod trial;

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
        /// How the log on standard error is written.
        #[arg(long, value_enum, default_value_t, env = "ROLEGATE_LOG_FORMAT")]
        log_format: Shape,
    },
    /// Check a configuration and print every mistake in it, and what `run` could not open here.
    Check(check::Check),
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

/// Runs the command line. A mistake of the user's is told in a sentence, with what caused it, and never with a backtrace.
#[must_use]
pub fn run() -> ExitCode {
    // Before the command line is read, which takes a moment.
    let signals = Signals::catch_for_run();
    let done = match Cli::parse().command {
        Command::Run { file, log_format } => {
            signals.map_err(Into::into).and_then(|signals| serve::run(&file, log_format, signals))
        }
        Command::Check(args) => check::print(&args),
        Command::Roles { role, json } => roles::print(role.as_deref(), json),
        Command::Status { at, json } => status(at, json),
        Command::Explain(args) => explain::print(&args),
        Command::Clocks(args) => learned::clocks(&args),
        Command::Content(args) => learned::content(&args),
        Command::Affinity(args) => learned::affinity(&args),
    };
    done.unwrap_or_else(|error| {
        say::err(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn status(at: Where, json: bool) -> anyhow::Result<ExitCode> {
    let body = ask::get(at, "/status", &[])?;
    let status: Status = ask::read(at, &body)?;
    say::out(if json { body } else { show::render(&status) })?;
    Ok(ExitCode::SUCCESS)
}
