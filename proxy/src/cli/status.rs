//! `rolegate status`: all of it or a part, once or again and again.

use std::process::ExitCode;

use clap::Args;

use super::ask::{self, Where};
use super::filter::Filter;
use super::{say, show, watch};
use crate::status::Status;

/// `rolegate status`
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) at: Where,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Ask again every so many seconds, and show rates; Ctrl-C ends it.
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", conflicts_with = "json",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub(super) watch: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks, and prints what is wanted.
pub(super) fn print(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    if let Some(seconds) = args.watch {
        return watch::watch(&args.at, &args.filter, seconds);
    }
    let body = ask::get(&args.at, "/status", &[])?;
    let status: Status = ask::read(&args.at, &body)?;
    let status = args.filter.apply(status)?;
    match (args.json, args.filter.is_empty()) {
        (true, true) => say::json(body)?,
        (true, false) => say::json(serde_json::to_string_pretty(&status)?)?,
        (false, _) => say::out(show::render(&status))?,
    }
    Ok(ExitCode::SUCCESS)
}
