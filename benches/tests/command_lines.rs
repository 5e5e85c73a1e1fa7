//! The programs of this package as a shell runs them: closed pipes are no panic, and mistakes no backtrace.

#![allow(clippy::unwrap_used)]

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).env("RUST_BACKTRACE", "full").env_remove("RUST_LIB_BACKTRACE");
    command
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Mistakes, with the exit status of each.
const MISTAKES: [(&str, &[&str], i32); 9] = [
    (env!("CARGO_BIN_EXE_site"), &[], 2),
    (env!("CARGO_BIN_EXE_site"), &["--system", "mp1=MP@192.0.2.1:80"], 1),
    (env!("CARGO_BIN_EXE_hold"), &["https", "--to", "127.0.0.1:1", "--ca", "/nowhere/root.crt"], 1),
    (env!("CARGO_BIN_EXE_fleet"), &["show", "nothing"], 2),
    (env!("CARGO_BIN_EXE_fleet"), &["merge", "/nowhere/part1.json", "/nowhere/part2.json"], 2),
    (env!("CARGO_BIN_EXE_fleet"), &["replay", "/nowhere/u_ex.log", "--target", "http://127.0.0.1:1"], 2),
    (
        env!("CARGO_BIN_EXE_fleet"),
        &["run", "steady", "--target", "http://127.0.0.1:1", "--part", "1/2", "--at", "2000-01-01T00:00:00Z"],
        2,
    ),
    (env!("CARGO_BIN_EXE_compare"), &["--works", "nothing"], 1),
    (env!("CARGO_BIN_EXE_compare"), &["chaos", "--rolegate", "/nowhere/rolegate"], 1),
];

#[test]
fn a_mistake_is_a_sentence_and_never_a_backtrace() {
    for (path, arguments, code) in MISTAKES {
        let output = program(path, arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{path}: {said}");
        assert!(said.starts_with("error: "), "{path}: {said}");
        assert!(!said.to_lowercase().contains("backtrace"), "{path}: {said}");
    }
}

#[test]
fn a_mistake_that_nobody_hears_is_one_without_a_panic() {
    for (path, arguments, code) in MISTAKES {
        let status = program(path, arguments).stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{path} {arguments:?}: a panic ends with 101");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [&["list"][..], &["show", "steady"]] {
        let output = program(env!("CARGO_BIN_EXE_fleet"), arguments).stdout(closed()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    // It ends at its first report, as it would with `head`, and not after a minute.
    let held = ["http", "--to", "127.0.0.1:1", "--connections", "0", "--hold", "1min"];
    let begin = Instant::now();
    let output = program(env!("CARGO_BIN_EXE_hold"), &held).stdout(closed()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn who_serves_goes_on_when_nobody_reads() {
    let mut serving = program(env!("CARGO_BIN_EXE_site"), &["--system", "mp1=MP@127.0.0.1:0"]);
    let mut site = serving.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(site.stdout.take().unwrap()).read_line(&mut first).unwrap();
    // The reader is gone now, and the counts at the end have nowhere to go.
    let interrupt = nix::sys::signal::Signal::SIGINT;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(site.id().try_into().unwrap()), interrupt).unwrap();
    let output = site.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(first.starts_with("mp1 127.0.0.1:") && output.stderr.is_empty(), "{first} {output:?}");
}
