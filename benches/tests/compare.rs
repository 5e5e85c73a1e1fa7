//! The `compare` program from end to end, with nothing but its own forwarder.

#![allow(clippy::unwrap_used)]

use std::future::pending;
use std::path::Path;
use std::process::Command;

use rolegate_bench::compare::{self, Options, Set, WorkName};

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
