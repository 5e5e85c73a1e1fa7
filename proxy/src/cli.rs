//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::signals::Signals;

mod address;
mod ask;
mod check;
mod diff;
mod explain;
mod explanation;
mod failure;
mod init;
mod learned;
mod ready;
mod roles;
mod say;
mod serve;
mod shell;
mod show;
mod signals;
mod status;
mod trial;
mod version;
mod watch;

/// A load-balancing reverse proxy for the client-facing roles of Configuration Manager.
#[derive(Debug, Parser)]
#[command(name = "rolegate", version, about, arg_required_else_help = true, after_help = failure::EXIT_STATUS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a first configuration.
    Init(init::Init),
    /// Print every mistake in a configuration, and what `run` could not open here.
    Check(check::Check),
    /// Say what would change from one configuration to another.
    Diff(diff::Diff),
    /// Serve a configuration until SIGTERM or Ctrl-C.
    Run {
        /// The configuration.
        #[arg(default_value = "rolegate.toml")]
        file: PathBuf,
    },
    /// Ask a running rolegate how it is.
    Status(status::StatusArgs),
    /// Say whether a running rolegate can serve every role, by the exit status.
    Ready(ready::Probe),
    /// Say whether every thread of it works, by the exit status.
    Health(ready::Probe),
    /// Say why a request goes where it goes.
    Explain(explain::Explain),
    /// List the fallback clocks that run, or end them.
    Clocks(learned::ClocksArgs),
    /// List which content is known to be where, or forget it.
    Content(learned::ContentArgs),
    /// Forget which clients stay where.
    Affinity(learned::AffinityArgs),
    /// Print what rolegate knows about each role.
    Roles {
        /// Only this role, with every field.
        role: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what completes commands and flags in a shell.
    Completions(shell::Completions),
    /// Write manual pages, one for each command.
    Man(shell::Man),
    /// Print the version.
    Version(version::Version),
}

/// Runs the command line. A mistake of the user's is told in a sentence, with what caused it, and never with a backtrace.
#[must_use]
pub fn run() -> ExitCode {
    // Before the command line is read, which takes a moment.
    let signals = Signals::catch_for_run();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::tell_usage(&error),
    };
    let done = match cli.command {
        Command::Init(args) => init::print(&args),
        Command::Check(args) => check::print(&args),
        Command::Diff(args) => diff::print(&args),
        Command::Run { file } => signals.map_err(Into::into).and_then(|signals| serve::run(&file, signals)),
        Command::Status(args) => status::print(&args),
        Command::Ready(args) => ready::ready(&args),
        Command::Health(args) => ready::health(&args),
        Command::Explain(args) => explain::print(&args),
        Command::Clocks(args) => learned::clocks(&args),
        Command::Content(args) => learned::content(&args),
        Command::Affinity(args) => learned::affinity(&args),
        Command::Roles { role, json } => roles::print(role.as_deref(), json),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
        Command::Version(args) => version::print(&args),
    };
    done.unwrap_or_else(|error| failure::tell(&error))
}
