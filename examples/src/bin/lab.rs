//! `cargo run --release --bin lab`: a whole site in one process, with everything going wrong that can.

use std::process::ExitCode;

use clap::Parser;
use rolegate_examples::lab::{self, Options};

fn main() -> ExitCode {
    match lab::run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {}", format!("{error:#}").trim_end());
            ExitCode::FAILURE
        }
    }
}
