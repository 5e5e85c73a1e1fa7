//! `rolegate reload` and `rolegate log-level`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use http::{Method, StatusCode};

use super::ask::{self, Where};
use super::say;
use crate::admin::{LogLevel, Reloaded};

/// `rolegate reload`
#[derive(Args, Debug)]
pub(super) struct Reload {
    #[command(flatten)]
    at: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `rolegate log-level`
#[derive(Args, Debug)]
pub(super) struct LogLevelArgs {
    /// off, error, warn, info, debug or trace, or targets with one each, such as info,h2=debug; without it, says how much is logged.
    level: Option<String>,
    /// As at the start, as RUST_LOG said.
    #[arg(long, conflicts_with = "level")]
    reset: bool,
    #[command(flatten)]
    at: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Has the running rolegate read its file again, waits, and says what came of it.
pub(super) fn reload(args: &Reload) -> anyhow::Result<ExitCode> {
    let (status, body) = ask::change(&args.at, Method::POST, "/reload", &[])?;
    if status != StatusCode::OK && status != StatusCode::UNPROCESSABLE_ENTITY {
        bail!("{}", ask::refusal(status, &body));
    }
    let reloaded: Reloaded = ask::read(&args.at, &body)?;
    if args.json {
        say::out(&body)?;
    } else if reloaded.accepted {
        say::out(format_args!("configuration {} is served", reloaded.generation))?;
    }
    if reloaded.accepted {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        // They have their own layout.
        say::err(reloaded.errors.unwrap_or_default());
        let generation = reloaded.generation;
        say::err(format_args!("error: the new configuration is rejected, configuration {generation} goes on serving"));
    }
    Ok(ExitCode::FAILURE)
}

/// Says how much is logged, or changes it.
pub(super) fn log_level(args: &LogLevelArgs) -> anyhow::Result<ExitCode> {
    const PATH: &str = "/log-level";
    let body = match (&args.level, args.reset) {
        (Some(level), _) => ask::changed(&args.at, Method::PUT, PATH, &[("level", level.clone())])?,
        (None, true) => ask::changed(&args.at, Method::DELETE, PATH, &[])?,
        (None, false) => ask::get(&args.at, PATH, &[])?,
    };
    let LogLevel { level, at_start } = ask::read(&args.at, &body)?;
    say::out(match args.json {
        true => body,
        false if level == at_start => level,
        false => format!("{level} (at the start: {at_start})"),
    })?;
    Ok(ExitCode::SUCCESS)
}
