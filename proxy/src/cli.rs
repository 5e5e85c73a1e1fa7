//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::signals::Signals;
use crate::process_log::Shape;

mod address;
mod ask;
mod check;
mod diff;
mod explain;
mod explanation;
mod failure;
mod filter;
mod init;
mod learned;
mod process;
mod ready;
mod roles;
mod say;
mod serve;
mod shell;
mod show;
mod signals;
mod status;
mod steering;
mod trial;
mod upgrade;
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
        /// How the log on standard error is written.
        #[arg(long, value_enum, default_value_t, env = "ROLEGATE_LOG_FORMAT")]
        log_format: Shape,
    },
    /// Ask a running rolegate how it is.
    Status(status::StatusArgs),
    /// Say whether a running rolegate can serve every role, by the exit status.
    Ready(ready::Probe),
    /// Say whether every thread of it works, by the exit status.
    Health(ready::Probe),
    /// Replace the running rolegate by the program that is on the disk now, without losing a connection.
    Upgrade(upgrade::Upgrade),
    /// Say why a request goes where it goes.
    Explain(explain::Explain),
    /// List the fallback clocks that run, or end them.
    Clocks(learned::ClocksArgs),
    /// List which content is known to be where, or forget it.
    Content(learned::ContentArgs),
    /// Forget which clients stay where.
    Affinity(learned::AffinityArgs),
    /// Send nothing new to a site system, or to one of its roles; what is under way ends there.
    Drain(steering::Drain),
    /// Undo `drain`.
    Undrain(steering::Undrain),
    /// Send nothing to a site system, now or for a planned time; it counts as failed nowhere.
    Maintenance(steering::Maintenance),
    /// Give a site system another share of the traffic.
    Weight(steering::Weight),
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
    /// Have a running rolegate read its configuration again, and print every mistake in it.
    Reload(process::Reload),
    /// Say or change how much a running rolegate logs.
    LogLevel(process::LogLevelArgs),
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
        Command::Run { file, log_format } => {
            signals.map_err(Into::into).and_then(|signals| serve::run(&file, log_format, signals))
        }
        Command::Status(args) => status::print(&args),
        Command::Ready(args) => ready::ready(&args),
        Command::Health(args) => ready::health(&args),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Explain(args) => explain::print(&args),
        Command::Clocks(args) => learned::clocks(&args),
        Command::Content(args) => learned::content(&args),
        Command::Affinity(args) => learned::affinity(&args),
        Command::Drain(args) => steering::drain(&args),
        Command::Undrain(args) => steering::undrain(&args),
        Command::Maintenance(args) => steering::maintenance(&args),
        Command::Weight(args) => steering::weight(&args),
        Command::Roles { role, json } => roles::print(role.as_deref(), json),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
        Command::Version(args) => version::print(&args),
        Command::Reload(args) => process::reload(&args),
        Command::LogLevel(args) => process::log_level(&args),
    };
    done.unwrap_or_else(|error| failure::tell(&error))
}
