//! What `fleet` says of a run to a build server: exit status, files, annotations, and figures while it runs.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Any machine does what a test waits for in this time.
const LONGEST: Duration = Duration::from_secs(60);

/// A simulated management point, which ends with the test.
struct Site {
    process: Child,
    target: String,
}

impl Site {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_site"));
        command
            .args(["--system", "mp1=MP@127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let address = first.split_whitespace().nth(1).unwrap_or_else(|| panic!("{first}"));
        Self { target: format!("http://{address}/SMS_MP/.sms_aut?MPLIST"), process }
    }

    /// Plain load of a third of a second.
    fn plain(&self, more: &[&str]) -> Command {
        let load = ["plain", "--target", &self.target, "--connections", "2", "--duration", "300ms"];
        let mut command = fleet(&load);
        command.args(more);
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn fleet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
    command.args(arguments).stdin(Stdio::null()).env_remove("GITHUB_ACTIONS");
    command
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn at(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn the_exit_status_says_whether_thresholds_were_met() {
    let (site, folder) = (Site::start(), tempfile::tempdir().unwrap());
    let (json, junit) = (at(folder.path(), "run.json"), at(folder.path(), "junit.xml"));
    let met =
        ["--threshold", "errors < 1%", "--threshold", "GET /SMS_MP/.sms_aut?MPLIST: requests > 1", "--json", &json];
    let (code, out, err) = told(&site.plain(&met).output().unwrap());
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Thresholds: 2 met.") && !out.contains("::"), "{out}");

    let missed = ["--threshold", "errors < 1%", "--threshold", "rate > 1000000", "--junit", &junit, "--annotations"];
    let (code, out, err) = told(&site.plain(&missed).output().unwrap());
    assert_eq!(code, Some(3), "{out}{err}");
    assert!(
        out.lines().any(|line| line.starts_with("::error title=plain%3A threshold missed::rate > 1000000: ")),
        "{out}"
    );
    let xml = std::fs::read_to_string(&junit).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let failed = document.descendants().filter(|node| node.has_tag_name("failure")).count();
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase")).count();
    assert_eq!((cases, failed), (3, 1), "{xml}");

    let wrong = ["--threshold", "p99 = 1s", "--threshold", "GET /other: max < 1s", "--threshold", "role MP: max < 1s"];
    let (code, out, err) = told(&site.plain(&wrong).output().unwrap());
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 3), "{err}");
    assert!(err.lines().all(|line| line.starts_with("error: --threshold: '")), "{err}");

    // A run that was written is judged later.
    for (threshold, expected) in [("max < 1min", 0), ("requests < 1", 3), ("p99.9999 < 1s", 3), ("GET /b: max < 1s", 2)]
    {
        let (code, out, err) = told(&fleet(&["report", &json, "--threshold", threshold]).output().unwrap());
        assert_eq!(code, Some(expected), "{threshold}: {out}{err}");
    }
    let mut report = fleet(&["report", &json]);
    let (code, out, _) = told(&report.env("GITHUB_ACTIONS", "true").output().unwrap());
    assert!(code == Some(0) && out.contains("Thresholds: 2 met."), "as it was judged: {out}");
    let (_, out, _) =
        told(&fleet(&["report", &json, "--threshold", "requests < 1"]).env("GITHUB_ACTIONS", "true").output().unwrap());
    assert!(out.contains("\n::error title="), "unasked there: {out}");
}

#[test]
fn a_scenario_can_demand_something() {
    let (site, folder) = (Site::start(), tempfile::tempdir().unwrap());
    let file = at(folder.path(), "mine.toml");
    let text = "thresholds = [\"requests > 0\", \"GET /SMS_MP/.sms_aut?MPLIST: errors <= 0\"]\n[plain]\nduration = \"200ms\"\n";
    std::fs::write(&file, text).unwrap();
    let run = |more: &[&str]| told(&fleet(&["run", &file, "--target", &site.target]).args(more).output().unwrap());
    let (code, out, err) = run(&[]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, _) = run(&["--set", "thresholds=[\"requests < 1\"]", "--threshold", "errors < 1%"]);
    assert!(code == Some(3) && out.contains("Thresholds: 1 met, 1 missed."), "{out}");
    let other = fleet(&["run", &file, "--target", "http://127.0.0.1:1/other"]).output().unwrap();
    assert!(told(&other).2.contains("there is no message type 'GET /SMS_MP"), "{other:?}");
}

#[test]
fn what_cannot_be_begun_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = at(folder.path(), "a/b");
    // Nobody listens on the port of a listener that is gone.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for command in [&["plain"][..], &["run", "plain-closed"], &["run", "steady", "--duration", "1s"]] {
        let target = format!("http://{closed}/");
        let (code, _, err) = told(&fleet(command).args(["--target", &target, "--out", &out]).output().unwrap());
        assert_eq!(code, Some(2), "{command:?}: {err}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{command:?}");
    }
    let mut compare = Command::new(env!("CARGO_BIN_EXE_compare"));
    let output = compare
        .args(["--works", "small", "--peers", "none", "--rolegate", "/bin/false", "--out", &out])
        .output()
        .unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{output:?}");
}

#[test]
fn files_are_written_also_when_nobody_reads_and_one_of_them_cannot_be() {
    let (site, folder) = (Site::start(), tempfile::tempdir().unwrap());
    let (json, html) = (at(folder.path(), "run.json"), at(folder.path(), "run.html"));
    std::fs::write(&json, "before").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut plain = site.plain(&["--json", &json]);
    let output = plain.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(std::fs::read_to_string(&json).unwrap().starts_with("{\n"));
    // No device is ever as full as this one.
    let (code, out, err) = told(&site.plain(&["--json", "/dev/full", "--html", &html]).output().unwrap());
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("/dev/full cannot be written: ") && out.contains("good answers"), "{out}{err}");
    assert!(std::fs::read_to_string(&html).unwrap().ends_with("</html>"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

/// What is at the address that is said in this line of standard error.
fn scrape(line: &str) -> String {
    let address =
        line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_else(|| panic!("{line}"));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn figures_can_be_read_while_it_runs_and_a_signal_ends_it_with_a_report() {
    let (site, folder) = (Site::start(), tempfile::tempdir().unwrap());
    let out = at(folder.path(), "runs");
    let load =
        ["plain", "--target", &site.target, "--rate", "200", "--duration", "10min", "--timeout", "5s", "--label", "a"];
    let mut long = fleet(&load);
    long.args(["--metrics-listen", "127.0.0.1:0", "--out", &out, "--threshold", "requests < 1"]);
    let mut process = long.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("figures: http://")).unwrap();
    let begin = Instant::now();
    let message = "fleet_good_answers_total{message=\"GET /SMS_MP/.sms_aut?MPLIST\"} ";
    let good =
        |text: &str| text.lines().find_map(|line| line.strip_prefix(message)?.parse::<u64>().ok()).unwrap_or_default();
    while good(&scrape(&line)) < 5 {
        assert!(begin.elapsed() < LONGEST);
    }
    kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    lines.for_each(drop);
    let (code, text, _) = told(&process.wait_with_output().unwrap());
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.starts_with("DOUBT: ") && text.contains("The run was interrupted after") && text.contains("MISSED"),
        "{text}"
    );
    let mut files: Vec<_> = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["plain-a.html", "plain-a.json"]);
}
