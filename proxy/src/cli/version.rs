//! `rolegate version`.

use std::env::consts::{ARCH, OS};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::say;

/// `rolegate version`
#[derive(Args, Debug)]
pub(super) struct Version {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the version of this program, which need not be that of the one that runs.
pub(super) fn print(args: &Version) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    match args.json {
        true => say::json(json!({ "rolegate": version, "os": OS, "architecture": ARCH }))?,
        false => say::out(format_args!("rolegate {version} ({OS}, {ARCH})"))?,
    }
    Ok(ExitCode::SUCCESS)
}
