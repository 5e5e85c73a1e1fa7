//! `rolegate completions` and `rolegate man`: what the command line says of itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use super::say;

/// `rolegate completions`
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

/// `rolegate man`
#[derive(Args, Debug)]
pub(super) struct Man {
    /// The folder to write them to; it is made when it is not there.
    folder: PathBuf,
}

/// Prints a script for the shell.
pub(super) fn completions(args: &Completions, mut program: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    say::script(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `rolegate.1`, and `rolegate-COMMAND.1` for each command.
pub(super) fn man(args: &Man, program: Command) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(program, folder)
    };
    write().with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
