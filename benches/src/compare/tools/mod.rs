//! Load generators of others beside ours. They wake proxies in another way, so what several say holds better.
//!
//! They make closed loops only: none of them counts a latency from when a request was due. So their outcomes have no latencies,
//! and what comes at a rate is made by ours.

mod h2load;
mod wrk;

use std::path::PathBuf;
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

/// How long one may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A number of requests is tried until it takes so long.
const TRIAL: Duration = Duration::from_millis(250);

/// How much load one makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// What is possible in this time: `wrk`.
    Seconds(u64),
    /// So many requests, however long they take: `h2load`.
    Requests(u64),
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolName {
    Wrk,
    H2load,
}

/// One that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: ToolName,
    pub(super) version: String,
    path: PathBuf,
}

/// What one says at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    /// Answered with a good status, and completely.
    pub(super) good: u64,
    pub(super) failed: u64,
    /// The time that these are of.
    pub(super) seconds: f64,
}

impl ToolName {
    pub(super) const ALL: [Self; 2] = [Self::Wrk, Self::H2load];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
        }
    }

    /// Debian's package.
    const fn package(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::H2load => "nghttp2-client",
        }
    }

    /// How it is asked for its version.
    const fn question(self) -> &'static str {
        match self {
            Self::Wrk => "-v",
            Self::H2load => "--version",
        }
    }

    /// On how many connections it would make this load; nothing if it cannot.
    pub(super) const fn connections(self, load: &Load) -> Option<usize> {
        let Mode::Closed { connections } = load.mode else { return None };
        let can = match self {
            Self::Wrk => load.keep_alive && !load.tls,
            Self::H2load => true,
        };
        if can { Some(connections) } else { None }
    }

    /// The loads that it makes, for people.
    pub(super) const fn loads(self) -> &'static str {
        match self {
            Self::Wrk => "closed loops on kept connections without TLS",
            Self::H2load => "closed loops, with and without TLS, also those of a connection for each request",
        }
    }

    /// The one that was asked for, if one was.
    const fn wanted(generator: GeneratorName) -> Option<Self> {
        match generator {
            GeneratorName::Own => None,
            GeneratorName::Wrk => Some(Self::Wrk),
            GeneratorName::H2load => Some(Self::H2load),
        }
    }

    /// The first one in these folders, asked for its version.
    pub(super) fn find(self, folders: &[PathBuf]) -> Result<Option<Tool>, String> {
        let Some(path) = find::program(self.name(), folders) else { return Ok(None) };
        let version = find::version(&path, &find::said(&path, &[self.question()])?)?;
        Ok(Some(Tool { name: self, version, path }))
    }
}

/// The one that is to make the load, if it is not ours.
pub(super) fn wanted(options: &Options) -> Result<Option<Tool>, String> {
    let Some(name) = ToolName::wanted(options.generator) else { return Ok(None) };
    let missing = || {
        format!(
            "{} was not found: install your distribution's package {}, or say where it is with --find",
            name.name(),
            name.package()
        )
    };
    name.find(&find::folders(options))?.map(Some).ok_or_else(missing)
}

impl Tool {
    #[cfg(test)]
    pub(super) fn for_tests(name: ToolName, version: &str) -> Self {
        Self { name, version: version.to_owned(), path: format!("/bin/{}", name.name()).into() }
    }

    fn command(&self, load: &Load, connections: usize, amount: Amount) -> Command {
        let mut command = Command::new(&self.path);
        match amount {
            Amount::Seconds(seconds) => wrk::arguments(&mut command, load, connections, seconds),
            Amount::Requests(requests) => h2load::arguments(&mut command, load, connections, requests),
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn connections(&self, load: &Load) -> anyhow::Result<usize> {
        self.name.connections(load).with_context(|| format!("{} cannot make this load", self.name.name()))
    }

    /// As much load as takes so long. What is told in requests is tried first: that is load too, and is not measured.
    pub(super) async fn amount(&self, load: &Load, duration: Duration) -> anyhow::Result<Amount> {
        let connections = self.connections(load)?;
        match self.name {
            ToolName::Wrk => Ok(Amount::Seconds(duration.as_secs().max(1))),
            ToolName::H2load => self.requests_within(load, connections as u64, duration).await.map(Amount::Requests),
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    async fn requests_within(&self, load: &Load, connections: u64, duration: Duration) -> anyhow::Result<u64> {
        let mut count = connections * 4;
        loop {
            let running = self.start(load, Amount::Requests(count))?;
            let Said { good, seconds, .. } = self.end(running, duration).await?;
            anyhow::ensure!(good > 0, "{} had no good answer in {count} requests", self.name.name());
            if seconds >= TRIAL.as_secs_f64() {
                let requests = count as f64 * duration.as_secs_f64() / seconds;
                return Ok((requests as u64).max(connections));
            }
            count = count.saturating_mul(4);
        }
    }

    /// Starts to make so much load. It runs where the calling thread does.
    pub(super) fn start(&self, load: &Load, amount: Amount) -> anyhow::Result<Group> {
        let mut command = self.command(load, self.connections(load)?, amount);
        Group::start(&mut command).with_context(|| self.path.display().to_string())
    }

    /// Waits until it has ended, which may take some times as long as it should, and reads what it says.
    pub(super) async fn end(&self, mut running: Group, duration: Duration) -> anyhow::Result<Said> {
        let (name, end) = (self.name.name(), Instant::now() + duration * 3 + PATIENCE);
        let status = loop {
            if let Some(status) = running.ended() {
                break status;
            }
            anyhow::ensure!(Instant::now() < end, "{name} did not end");
            tokio::time::sleep(PAUSE).await;
        };
        let said = running.said();
        let read = match self.name {
            ToolName::Wrk => wrk::read(&said),
            ToolName::H2load => h2load::read(&said),
        };
        let version = &self.version;
        let last = || format!("{name} {version} ended with {status}, and says: {}", find::last_lines(&said, 3));
        read.map_err(anyhow::Error::msg).with_context(last)
    }

    /// Makes load for so long, at the cost of a process group.
    pub(super) async fn of_group(&self, load: &Load, duration: Duration, group: u32) -> anyhow::Result<Outcome> {
        let amount = self.amount(load, duration).await?;
        let (mut before, mut from) = (Used::by_group(group), Instant::now());
        let running = self.start(load, amount)?;
        match amount {
            // All of it counts.
            Amount::Requests(_) => {
                let told = self.end(running, duration).await?;
                let use_rate = Used::by_group(group).since_s(&before) / told.seconds;
                Ok(self.outcome(told, use_rate))
            }
            Amount::Seconds(seconds) => {
                let begin = from;
                tokio::time::sleep_until(begin + WARM_UP / 2).await;
                (before, from) = (Used::by_group(group), Instant::now());
                // Until shortly before it ends by itself.
                tokio::time::sleep_until(begin + Duration::from_secs(seconds) - WARM_UP / 4).await;
                let (after, until) = (Used::by_group(group), Instant::now());
                let told = self.end(running, duration).await?;
                let use_rate = after.since_s(&before) / until.duration_since(from).as_secs_f64();
                Ok(self.outcome(told, use_rate))
            }
        }
    }

    /// `use_rate` is how much of a core the proxy used.
    fn outcome(&self, told: Said, use_rate: f64) -> Outcome {
        let failures =
            if told.failed == 0 { String::new() } else { format!("by {} {}", self.name.name(), told.failed) };
        Outcome {
            done: told.good,
            failed: told.failed,
            failures,
            measured_s: told.seconds,
            cpu_s: use_rate * told.seconds,
            ..Outcome::default()
        }
    }
}

/// A time as they write it: `120us`, `1.10ms`, `1.10s`, `1.50m`. In seconds.
fn seconds(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[number.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn tool(name: ToolName) -> Tool {
        Tool::for_tests(name, "1.2")
    }

    fn closed() -> Load {
        Load::closed(([127, 0, 0, 1], 1).into(), "/", 8)
    }

    #[test]
    fn each_makes_the_loads_that_it_can() {
        let tls = Load { tls: true, ..closed() };
        let new = Load { keep_alive: false, ..closed() };
        let rate = Load::rate(closed().to, "/", 8, 100.0);
        let can = |name: ToolName| [&closed(), &tls, &new, &rate].map(|load| name.connections(load).is_some());
        assert_eq!(can(ToolName::Wrk), [true, false, false, false]);
        assert_eq!(can(ToolName::H2load), [true, true, true, false]);
        let refused = tool(ToolName::Wrk).start(&tls, Amount::Seconds(1)).unwrap_err();
        assert_eq!(refused.to_string(), "wrk cannot make this load");
    }

    #[test]
    fn they_are_told_what_to_do() {
        let told = |name, load: &Load, amount| format!("{:?}", tool(name).command(load, 8, amount));
        let load = Load { threads: 9, ..closed() };
        let wrk = r#""/bin/wrk" "-t8" "-c8" "-d3s" "http://127.0.0.1:1/" "-H" "Host: mp1.lab.test""#;
        assert_eq!(told(ToolName::Wrk, &load, Amount::Seconds(3)), wrk);
        let h2load = told(ToolName::H2load, &load, Amount::Requests(900));
        let expected = r#""/bin/h2load" "--h1" "-t8" "-c8" "-n900" "--connect-to=127.0.0.1:1" "http://mp1.lab.test/""#;
        assert_eq!(h2load, expected);
        let secured = Load { tls: true, keep_alive: false, ..load };
        let h2load = told(ToolName::H2load, &secured, Amount::Requests(900));
        for part in ["https://mp1.lab.test/", "Connection: close", "--tls13-ciphers=TLS_AES_256_GCM_SHA384"] {
            assert!(h2load.contains(&format!("\"{part}\"")), "{part}: {h2load}");
        }
    }

    #[test]
    fn times_are_read() {
        let read = ["120us", "1.10ms", "1.10s", "1.50m", "2h"].map(|text| seconds(text).unwrap());
        let expected = [120e-6, 1.1e-3, 1.1, 90.0, 7200.0];
        assert!(read.iter().zip(expected).all(|(read, expected)| (read - expected).abs() < 1e-9), "{read:?}");
        assert_eq!(["", "s", "1", "1d", "x1s"].map(seconds), [None; 5]);
    }

    #[test]
    fn what_they_count_comes_to_an_outcome() {
        let tool = tool(ToolName::H2load);
        let told = tool.outcome(Said { good: 1_000, failed: 0, seconds: 2.0 }, 0.5);
        assert!((told.cpu_us() - 1_000.0).abs() < 1e-9 && (told.per_second() - 500.0).abs() < 1e-9);
        assert_eq!(told.failed_words(), "");
        let told = tool.outcome(Said { good: 7, failed: 3, seconds: 1.0 }, 0.5);
        assert_eq!((told.done, told.failed, told.failed_words().as_str()), (7, 3, "  3 FAILED: by h2load 3"));
    }

    /// A script in the place of a generator, and options that ask for it.
    fn script(name: ToolName, generator: GeneratorName, text: &str) -> (tempfile::TempDir, Options) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name.name());
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let find = vec![folder.path().to_owned()];
        (folder, Options { generator, find, ..Options::new("/bin/compare".into()) })
    }

    #[tokio::test]
    async fn it_is_found_asked_for_its_version_run_and_heard() {
        let says = "[ \"$1\" = -v ] && { echo 'wrk debian/4.1.0-3+b2 [epoll]'; exit 1; }\necho '  500 requests in 1.00s, 1MB read'";
        let (_folder, options) = script(ToolName::Wrk, GeneratorName::Wrk, says);
        let tool = wanted(&options).unwrap().unwrap();
        assert_eq!((tool.name, tool.version.as_str()), (ToolName::Wrk, "4.1.0"));
        assert_eq!(wanted(&Options { generator: GeneratorName::Own, ..options }).unwrap(), None);
        let outcome = tool.of_group(&closed(), Duration::from_secs(1), std::process::id()).await.unwrap();
        assert_eq!((outcome.done, outcome.failed), (500, 0));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error_with_what_it_says() {
        let says = "[ \"$1\" = --version ] && { echo 'h2load nghttp2/1.52.0'; exit; }\necho 'requests: many'; exit 3";
        let (_folder, options) = script(ToolName::H2load, GeneratorName::H2load, says);
        let tool = wanted(&options).unwrap().unwrap();
        let error = format!("{:#}", tool.amount(&closed(), Duration::from_secs(1)).await.unwrap_err());
        for word in ["h2load 1.52.0 ended with exit status: 3", "says: requests: many", "'finished in'"] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    /// A script that is as fast as 1,000 requests a second: what it is asked for follows from that.
    const THOUSAND: &str = "[ \"$1\" = --version ] && { echo 'h2load nghttp2/1.52.0'; exit; }
for word; do case $word in -n*) n=${word#-n};; esac; done
echo \"finished in ${n}ms, 1000.00 req/s, 1MB/s\"
echo \"requests: $n total, $n started, $n done, $n succeeded, 0 failed, 0 errored, 0 timeout\"
echo \"status codes: $n 2xx, 0 3xx, 0 4xx, 0 5xx\"";

    #[tokio::test]
    async fn a_number_of_requests_is_one_that_takes_the_time() {
        let (_folder, options) = script(ToolName::H2load, GeneratorName::H2load, THOUSAND);
        let tool = wanted(&options).unwrap().unwrap();
        let amount = tool.amount(&closed(), Duration::from_secs(3)).await.unwrap();
        assert_eq!(amount, Amount::Requests(3_000));
        let outcome = tool.of_group(&closed(), Duration::from_secs(3), std::process::id()).await.unwrap();
        assert_eq!((outcome.done, outcome.failed), (3_000, 0));
        assert!((outcome.per_second() - 1_000.0).abs() < 1e-9, "{outcome:?}");
    }
}
