//! The `rolegate` program.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    rolegate::cli::run()
}
