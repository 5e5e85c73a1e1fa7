//! `wrk` as a second load generator: it wakes proxies in another way than ours, so what both say holds better.
//!
//! It makes closed loops without TLS on connections that are kept. It tells no latencies that count from when a request was
//! due, so its outcomes have none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use super::find;
use super::measure::{Load, Outcome, WARM_UP};
use super::options::{GeneratorName, Options};
use super::process::Group;
use super::usage::Used;
use crate::load::Mode;

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it says at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    pub(super) requests: u64,
    pub(super) seconds: f64,
    pub(super) failed: u64,
}

/// Where it is, if it is to make the load.
pub(super) fn wanted(options: &Options) -> Result<Option<PathBuf>, String> {
    if options.generator == GeneratorName::Own {
        return Ok(None);
    }
    let folders: Vec<_> = options.find.iter().cloned().chain([find::installed()]).chain(find::path()).collect();
    let found = find::program("wrk", &folders);
    found.map(Some).ok_or_else(|| "wrk was not found: install your distribution's package".to_owned())
}

/// How many connections it is to use, if it can make this load.
pub(super) fn connections(load: &Load) -> Option<usize> {
    match load.mode {
        Mode::Closed { connections } if load.keep_alive && !load.tls => Some(connections),
        Mode::Closed { .. } | Mode::Rate { .. } | Mode::Ramp { .. } => None,
    }
}

/// Makes load for so long, at the cost of a process group. It runs where the calling thread does.
pub(super) async fn of_group(
    wrk: &Path,
    (load, connections): (&Load, usize),
    duration: Duration,
    group: u32,
) -> anyhow::Result<Outcome> {
    // It takes whole seconds.
    let seconds = duration.as_secs().max(1);
    let threads = load.threads.min(connections).max(1);
    let mut command = Command::new(wrk);
    command.args([format!("-t{threads}"), format!("-c{connections}"), format!("-d{seconds}s")]);
    command.arg(format!("http://{}{}", load.to, load.target)).args(["-H", &format!("Host: {}", super::origin::HOST)]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begin = Instant::now();
    let mut running = Group::start(&mut command).with_context(|| wrk.display().to_string())?;
    tokio::time::sleep_until(begin + WARM_UP / 2).await;
    let (before, from) = (Used::by_group(group), Instant::now());
    // Until shortly before it ends by itself.
    tokio::time::sleep_until(begin + Duration::from_secs(seconds) - WARM_UP / 4).await;
    let (after, until) = (Used::by_group(group), Instant::now());
    let end = until + PATIENCE;
    while running.ended().is_none() {
        anyhow::ensure!(Instant::now() < end, "wrk did not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = running.said();
    let told = read(&said).with_context(|| format!("wrk says: {}", find::last_lines(&said, 3)))?;
    let use_rate = after.since_s(&before) / until.duration_since(from).as_secs_f64();
    Ok(outcome(told, use_rate))
}

/// `use_rate` is how much of a core the proxy used.
fn outcome(told: Said, use_rate: f64) -> Outcome {
    let failures = if told.failed == 0 { String::new() } else { format!("by wrk {}", told.failed) };
    Outcome {
        // Those that were answered badly are among the requests, and those that were not are not.
        done: told.requests.saturating_sub(told.failed),
        failed: told.failed,
        failures,
        measured_s: told.seconds,
        cpu_s: use_rate * told.seconds,
        ..Outcome::default()
    }
}

/// Reads `12345 requests in 1.10s, 15.04MB read` and the lines about failures.
pub(super) fn read(said: &str) -> Option<Said> {
    let line = said.lines().find(|line| line.contains(" requests in "))?;
    let (requests, rest) = line.trim().split_once(" requests in ")?;
    let errors = said.lines().find_map(|line| line.trim().strip_prefix("Socket errors:"));
    let numbers = errors.into_iter().flat_map(|errors| errors.split(|letter: char| !letter.is_ascii_digit()));
    let broken: u64 = numbers.filter_map(|number| number.parse::<u64>().ok()).sum();
    let bad = said.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses:"));
    let bad = bad.and_then(|bad| bad.trim().parse::<u64>().ok()).unwrap_or_default();
    let seconds = seconds(rest.split(',').next()?)?;
    Some(Said { requests: requests.parse().ok()?, seconds, failed: broken + bad })
}

/// `1.10s`, `1.50m`.
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let good = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
                    12345 requests in 1.10s, 15.04MB read\nRequests/sec:  11222.72\n";
        assert_eq!(read(good), Some(Said { requests: 12_345, seconds: 1.1, failed: 0 }));
        let bad = "  600 requests in 1.50m, 1MB read\n  Socket errors: connect 1, read 20, write 0, timeout 300\n  \
                   Non-2xx or 3xx responses: 4000\n";
        assert_eq!(read(bad), Some(Said { requests: 600, seconds: 90.0, failed: 4_321 }));
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused"), None);
        let told = outcome(Said { requests: 1_000, seconds: 2.0, failed: 0 }, 0.5);
        assert!((told.cpu_us() - 1_000.0).abs() < 1e-9 && (told.per_second() - 500.0).abs() < 1e-9);
        assert_eq!(outcome(Said { requests: 10, seconds: 1.0, failed: 3 }, 0.5).done, 7);
    }

    #[test]
    fn it_makes_closed_loops_on_kept_connections_only() {
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let closed = Load::closed(to, "/", 8);
        assert_eq!(connections(&closed), Some(8));
        assert_eq!(connections(&Load { tls: true, ..closed.clone() }), None);
        assert_eq!(connections(&Load { keep_alive: false, ..closed }), None);
        assert_eq!(connections(&Load::rate(to, "/", 8, 100.0)), None);
    }

    /// A script in its place takes the time and says what `wrk` would.
    #[tokio::test]
    async fn it_is_run_and_heard() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wrk");
        std::fs::write(&file, "#!/bin/sh\necho \"$@\" >&2\necho '  500 requests in 1.00s, 1MB read'\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let options = Options {
            generator: GeneratorName::Wrk,
            find: vec![folder.path().to_owned()],
            ..Options::new("/bin/compare".into())
        };
        assert_eq!(wanted(&options).unwrap(), Some(file.clone()));
        assert_eq!(wanted(&Options { generator: GeneratorName::Own, ..options }).unwrap(), None);
        let load = Load::closed(([127, 0, 0, 1], 1).into(), "/", 8);
        let second = Duration::from_secs(1);
        let outcome = of_group(&file, (&load, 8), second, std::process::id()).await.unwrap();
        assert_eq!((outcome.done, outcome.failed), (500, 0));
    }
}
