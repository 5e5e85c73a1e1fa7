//! The `compare` program from end to end, with nothing but its own forwarder.

#![allow(clippy::unwrap_used)]

use std::future::pending;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolegate_bench::compare::{self, Options, Set, WorkName};
use rolegate_bench::report::read_comparison;

fn options(works: Vec<WorkName>) -> Options {
    Options {
        peers: Vec::new(),
        works,
        rounds: 1,
        seconds: 1,
        set: Set::Plain,
        with_rolegate: false,
        ..Options::new(env!("CARGO_BIN_EXE_compare").into())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

#[tokio::test]
async fn the_forwarder_alone_is_measured() {
    if cores() < 2 {
        eprintln!("skipped: it needs a core for the proxy and another one, and there is one core only");
        return;
    }
    let mut told = Vec::new();
    let comparison =
        compare::run(options(vec![WorkName::Small]), pending(), &mut |line| told.push(line.to_owned())).await.unwrap();
    assert!(!comparison.interrupted && comparison.doubts.is_empty(), "{:?}", comparison.doubts);
    assert_eq!(comparison.proxies.iter().map(|proxy| proxy.name.as_str()).collect::<Vec<_>>(), ["forwarder"]);
    let work = &comparison.works[0];
    let figures = work.rounds("forwarder");
    assert_eq!((work.name.as_str(), figures.len()), ("small-cpu", 1));
    assert!(figures[0] > 0.0 && !work.doubts.iter().any(|doubt| doubt.contains("failed")), "{work:?}");
    assert!(told.iter().any(|line| line.contains("us CPU/request")), "{told:?}");
}

#[tokio::test]
async fn what_was_measured_until_it_is_stopped_is_not_lost() {
    if cores() < 2 {
        eprintln!("skipped: it needs a core for the proxy and another one, and there is one core only");
        return;
    }
    let enough = tokio::sync::Notify::new();
    let works = vec![WorkName::Small, WorkName::Small1000];
    let endless = Options { rounds: 1000, ..options(works) };
    let mut tell = |line: &str| {
        if line.contains("round  1") {
            enough.notify_one();
        }
    };
    let comparison = compare::run(endless, enough.notified(), &mut tell).await.unwrap();
    assert!(comparison.interrupted);
    assert!(comparison.doubts.iter().any(|doubt| doubt.contains("Stopped at the work 'small'")), "{comparison:?}");
    assert_eq!(comparison.works.len(), 1);
    assert!(comparison.works[0].rounds("forwarder")[0] > 0.0);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let none = Options { rounds: 0, ..options(vec![WorkName::Small]) };
    assert!(compare::run(none, pending(), &mut |_| {}).await.is_err());
    let nowhere = Options { with_rolegate: true, rolegate: Some("/nowhere".into()), ..options(vec![WorkName::Small]) };
    assert!(compare::run(nowhere, pending(), &mut |_| {}).await.is_err());
}

#[test]
fn a_wrong_name_ends_the_program_with_the_right_ones() {
    let program = Path::new(env!("CARGO_BIN_EXE_compare"));
    let said = Command::new(program).args(["--works", "nothing"]).output().unwrap();
    let error = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && error.contains("small-1000"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_is_told_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    let said = command.args(["--works", "small", "--peers", "none", "--out"]).arg(file.join("out")).output().unwrap();
    let error = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && error.contains("writing reports to"), "{error}");
    assert!(said.stdout.is_empty(), "{said:?}");
}

/// Something that stands in for rolegate: it moves bytes to the ports of the origins that are in its configuration.
const STAND_IN: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "rolegate 0.0.1"; exit; fi
http=$(sed -n '/^name = "http"/{n;s/.*"\(.*\)"/\1/p}' "$2")
origins=$(sed -n 's/^roles = \[{ role = "MP", port = \([0-9]*\).*/127.0.0.1:\1/p' "$2")
exec COMPARE forwarder $http $origins
"#;

/// Starts a long comparison with its temporary files in one folder and its reports below another, and waits for the first figures.
fn long(scratch: &Path, folder: &Path, out: &str) -> Child {
    let (rolegate, out) = (folder.join("rolegate"), folder.join(out));
    std::fs::write(&rolegate, STAND_IN.replace("COMPARE", env!("CARGO_BIN_EXE_compare"))).unwrap();
    std::fs::set_permissions(&rolegate, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command
        .args(["--works", "small", "--peers", "none", "--seconds", "1", "--rounds", "1000", "--rolegate"])
        .arg(rolegate);
    command.arg("--out").arg(out).env("TMPDIR", scratch).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.stderr(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(process.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains("round  1")), "it has ended");
    process
}

fn send(process: &Child, signal: Signal) {
    kill(Pid::from_raw(process.id().try_into().unwrap()), signal).unwrap();
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_signal_ends_it_with_a_report_and_nothing_else_is_left() {
    if cores() < 2 {
        eprintln!("skipped: it needs a core for the proxy and another one, and there is one core only");
        return;
    }
    let (scratch, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = folder.path().join("a/b");
    let process = long(scratch.path(), folder.path(), "a/b");
    assert!(!is_empty(scratch.path()) && !out.exists(), "reports are not there before they are written");
    send(&process, Signal::SIGINT);
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("DOUBT: Stopped at the work 'small'"), "{said}");
    let comparison = read_comparison(&out.join("comparison.json")).unwrap();
    assert!(comparison.interrupted && !comparison.works[0].figures.is_empty(), "{comparison:?}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3);
    assert!(is_empty(scratch.path()));

    // One that is killed can write nothing, and somebody else takes its folder away.
    let gone = folder.path().join("c");
    let mut process = long(scratch.path(), folder.path(), "c");
    assert!(!is_empty(scratch.path()));
    send(&process, Signal::SIGKILL);
    process.wait().unwrap();
    let begin = Instant::now();
    while !is_empty(scratch.path()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "it is still there");
        std::thread::yield_now();
    }
    assert!(!gone.exists());
}
