//! `rolegate ready` and `rolegate health`: for scripts, containers and load balancers, which read the exit status.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use serde_json::json;

use super::ask::{self, Where};
use super::failure::Mistake;
use super::say;

/// Where it is asked, and how the answer is told.
#[derive(Args, Debug)]
pub(super) struct Probe {
    #[command(flatten)]
    at: Where,
    /// Print nothing at all.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Seconds to wait for the answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Whether every role that a listener serves has a server.
pub(super) fn ready(args: &Probe) -> anyhow::Result<ExitCode> {
    probe(args, "/ready", "ready")
}

/// Whether every thread works.
pub(super) fn health(args: &Probe) -> anyhow::Result<ExitCode> {
    probe(args, "/health", "alive")
}

fn probe(args: &Probe, path: &str, word: &str) -> anyhow::Result<ExitCode> {
    let answer = ask::look(&args.at, path, Duration::from_secs(args.timeout));
    if args.quiet {
        let good = answer.is_ok_and(|(status, _)| status == StatusCode::OK);
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let (status, body) = answer?;
    if status != StatusCode::OK {
        let why = body.trim().lines().collect::<Vec<_>>().join("; ");
        let why = if why.is_empty() { status.to_string() } else { why };
        return Err(Mistake::refused(format!("not {word}: {why}")).into());
    }
    match args.json {
        true => say::json(json!({ word: true }))?,
        false => say::out(word)?,
    }
    Ok(ExitCode::SUCCESS)
}
