//! The command line.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use self::ask::Where;
use crate::app::App;
use crate::control::config::Source;
use crate::status::Status;

mod ask;
mod check;
mod explain;
mod explanation;
mod learned;
mod limits;
mod roles;
mod say;
mod show;
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
    let done = match Cli::parse().command {
        Command::Run { file } => serve(&file),
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

fn serve(file: &Path) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(
            filter.unwrap_or_else(|_| "info,hickory_proto=warn,hickory_net=warn,hickory_resolver=warn".into()),
        )
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    limits::raise();
    let source = Source::read(file)?;
    let app = match App::start(&source, Some(file.to_owned())) {
        Ok(app) => app,
        Err(error) => {
            // The errors of a configuration are many lines with their own layout.
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    limits::check(&app);
    for (name, address) in app.listeners() {
        tracing::info!(listener = %name, %address, "listening");
    }
    tracing::info!(address = %app.admin(), "admin: /status /metrics /ready /health");
    wait_for_signals(&app)?;
    tracing::info!("shutting down: no new connections, requests in flight may finish; a second signal ends at once");
    std::thread::spawn(|| {
        if wait_for_end().is_ok() {
            std::process::exit(1);
        }
    });
    let drained = app.shutdown();
    if drained.cut == 0 {
        tracing::info!("all requests are finished");
    } else {
        tracing::warn!(connections = drained.cut, "the deadline passed: connections were cut");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns at SIGTERM or SIGINT; SIGHUP reloads.
fn wait_for_signals(app: &App) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = hangup.recv() => app.reload_file(),
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    })
}

fn wait_for_end() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

fn status(at: Where, json: bool) -> anyhow::Result<ExitCode> {
    let body = ask::get(at, "/status", &[])?;
    let status: Status = ask::read(at, &body)?;
    say::out(if json { body } else { show::render(&status) })?;
    Ok(ExitCode::SUCCESS)
}
