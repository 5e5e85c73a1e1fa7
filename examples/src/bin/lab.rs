//! `cargo run --profile lab --bin lab`: a whole site in one process, with everything going wrong that can.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::process::ExitCode;

use clap::Parser;
use rolegate_bench::say;
use rolegate_examples::lab::{self, Options};

fn main() -> ExitCode {
    match lab::run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::err(format_args!("lab: {}", format!("{error:#}").trim_end()));
            ExitCode::FAILURE
        }
    }
}
