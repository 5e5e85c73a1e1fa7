mod reading;
mod truth;

use std::path::PathBuf;
use std::time::Duration;

use super::log::Request;
use super::*;
use crate::fleet::{Address, Running};

const ALL: Reading = Reading { methods: Methods::Harmless, limit: usize::MAX, max_broken: 0.5 };
const LONGEST: Duration = Duration::from_secs(60);

/// A log of these texts, each in a file of its own.
fn read_with(texts: &[&[u8]], reading: Reading) -> Result<Log, String> {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (1..=texts.len()).map(|number| folder.path().join(format!("{number}.log"))).collect();
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).unwrap();
    }
    Log::read(&files, reading)
}

fn read(text: &str) -> Log {
    read_with(&[text.as_bytes()], ALL).unwrap()
}

fn plan(to: &str) -> Plan {
    Plan {
        name: "replay test.log".to_owned(),
        text: "[replay]".to_owned(),
        to: Address::parse(to).unwrap(),
        host: None,
        tls: None,
        thresholds: Vec::new(),
        tempo: Tempo::Rate(1000.0),
        duration: None,
        timeout: LONGEST,
        keep: LONGEST,
        sources: Sources::System,
        under_way: 1000,
    }
}

fn running() -> Running {
    Running { label: "server".to_owned(), address: "here".to_owned(), threads: 2 }
}
