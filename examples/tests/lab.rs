//! The lab as a newcomer starts it.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(arguments).output().unwrap()
}

#[test]
fn the_story_is_told_and_nobody_loses_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written.toml");
    let output = lab(&["--for", "6s", "--clients", "8", "--config-out", written.to_str().unwrap()]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("\n0 failures of requests that may be retried\n"), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.contains("The status page was http://127.0.0.1:") && last.contains("--keep"), "{last}");
    for event in [
        "DP1 is killed",
        "DP1 is back",
        "DP1 loses its content",
        "DP1 has its content again",
        "MP1 is killed",
        "MP2 loses its database",
        "clients of HQ download from",
    ] {
        assert!(told.contains(event), "{event}: {told}");
    }
    let served = told.split_once("WHO SERVED WHOM").unwrap().1;
    for place in ["HQ", "Branch", "Remote", "no group"] {
        let row = served.lines().find(|line| line.trim_start().starts_with(place)).unwrap();
        let requests: u64 = row.replace(',', "").split_whitespace().filter_map(|count| count.parse::<u64>().ok()).sum();
        assert!(requests > 0, "{row}");
    }

    let source = rolegate::control::config::Source::read(&written).unwrap();
    let (_, warnings) = rolegate::control::director::read(&source, false).unwrap();
    assert_eq!(warnings, None);
    assert!(!source.text.contains("127.0.0.1:0\""), "the addresses are those that were bound");
}

#[test]
fn an_address_in_use_is_said_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin"] {
        let output = lab(&[flag, &address]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said.starts_with("lab: cannot listen on ") && said.contains(&address), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn the_embedded_proxy_checks_itself() {
    let output = Command::new(env!("CARGO_BIN_EXE_embed")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn whoever_stops_reading_stops_nothing() {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    let lab = lab.args(["--for", "4s", "--clients", "4"]).stdout(closed()).stderr(Stdio::piped()).output().unwrap();
    assert!(lab.status.success() && lab.stderr.is_empty(), "{lab:?}");
    let embed = Command::new(env!("CARGO_BIN_EXE_embed")).stdout(closed()).output().unwrap();
    assert!(embed.status.success() && embed.stderr.is_empty(), "{embed:?}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_lab")).args(["--listen", "192.0.2.1:1"]).stderr(closed()).status();
    assert_eq!(wrong.unwrap().code(), Some(1), "a panic ends with 101");
}
