//! The `compare` program from end to end, with nothing but its own forwarder.

#![allow(clippy::unwrap_used)]

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
        // It needs a core for the proxy and another one.
        return;
    }
    let mut told = Vec::new();
    let comparison =
        compare::run(options(vec![WorkName::Small]), &mut |line| told.push(line.to_owned())).await.unwrap();
    assert_eq!(comparison.proxies.iter().map(|proxy| proxy.name.as_str()).collect::<Vec<_>>(), ["forwarder"]);
    let work = &comparison.works[0];
    let figures = work.rounds("forwarder");
    assert_eq!((work.name.as_str(), figures.len()), ("small-cpu", 1));
    assert!(figures[0] > 0.0 && !work.note.contains("failed"), "{work:?}");
    assert!(told.iter().any(|line| line.contains("us CPU/request")), "{told:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let none = Options { rounds: 0, ..options(vec![WorkName::Small]) };
    assert!(compare::run(none, &mut |_| {}).await.is_err());
    let nowhere = Options { with_rolegate: true, rolegate: Some("/nowhere".into()), ..options(vec![WorkName::Small]) };
    assert!(compare::run(nowhere, &mut |_| {}).await.is_err());
}

#[test]
fn a_wrong_name_ends_the_program_with_the_right_ones() {
    let program = Path::new(env!("CARGO_BIN_EXE_compare"));
    let said = Command::new(program).args(["--works", "nothing"]).output().unwrap();
    let error = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && error.contains("small-1000"), "{error}");
}
