//! The program `rolegate` as it asks a running one: parts of the status, again and again, readiness as an exit status.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use control_support::client::get;
use control_support::proxy::{MPLIST, PROBE, Toml, health, http, management_point};
use control_support::{PATIENCE, until_true};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolegate::app::App;
use rolegate_bench::site::SiteSystem;

const GROUPS: &str = "\
[[boundary_groups]]
name = \"Berlin\"
boundaries = [\"10.1.0.0/16\"]
site_systems = [\"mp1\"]
[[boundary_groups]]
name = \"Hamburg\"
boundaries = [\"10.2.0.0/16\"]
site_systems = [\"mp2\"]
";

/// Of two management points one is not there.
async fn half_a_site() -> (SiteSystem, App) {
    let site = management_point("mp1").await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let toml = Toml::new(&["MP"])
        .site(&site, "MP")
        .system("mp2", "MP", gone, "")
        .role("MP", &format!("{PROBE}panic = \"refuse\"\n"))
        .add(GROUPS);
    let app = toml.start();
    until_true("up", || health(&app, "mp1") == "up").await;
    until_true("down", || health(&app, "mp2") == "down").await;
    (site, app)
}

fn command(app: &App, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    command.args(arguments).args(["--admin", &app.admin().to_string()]).stdin(Stdio::null()).env_remove("COLUMNS");
    command
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_status_is_shown() {
    let (_site, app) = half_a_site().await;
    for (filter, shows, hides) in [
        (&["--unhealthy"][..], "mp2 ", "mp1 "),
        (&["--site-system", "MP1"], "mp1 ", "mp2 "),
        (&["--boundary-group", "hamburg"], "mp2 ", "mp1 "),
    ] {
        let output = run(command(&app, &[&["status"], filter].concat())).await;
        let said = text(&output.stdout);
        let table = said.split("SITE SYSTEM  ").nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(output.status.success() && table.contains(shows) && !table.contains(hides), "{filter:?}\n{said}");
        let json = run(command(&app, &[&["status", "--json"], filter].concat())).await;
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let endpoints = json["roles"][0]["endpoints"].as_array().unwrap();
        assert!(endpoints.len() == 1 && endpoints[0]["site_system"] == shows.trim(), "{json}");
    }
    let output = run(command(&app, &["status", "--site-system", "mp11"])).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: there is no site system \"mp11\": did you mean "), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_fits_its_columns() {
    let (_site, app) = half_a_site().await;
    for columns in [80, 120] {
        for arguments in [&["status"][..], &["content"], &["clocks"]] {
            let mut status = command(&app, arguments);
            status.env("COLUMNS", columns.to_string());
            let said = text(&run(status).await.stdout);
            let longest = said.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
            assert!(longest <= columns, "{longest} columns of {columns}:\n{said}");
            assert!(arguments != ["status"] || said.contains("ago: "), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_life_are_exit_statuses() {
    let (site, app) = half_a_site().await;
    for (arguments, word) in [(&["ready"][..], "ready\n"), (&["health"], "alive\n"), (&["ready", "--quiet"], "")] {
        let output = run(command(&app, arguments)).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), word.to_owned()), "{output:?}");
    }
    assert_eq!(text(&run(command(&app, &["ready", "--json"])).await.stdout), "{\"ready\":true}\n");
    drop(site);
    until_true("down", || health(&app, "mp1") == "down").await;
    let output = run(command(&app, &["ready"])).await;
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.starts_with("error: not ready: nobody is well: "), "{output:?}");
    let quiet = run(command(&app, &["ready", "-q"])).await;
    assert_eq!((quiet.status.code(), quiet.stdout, quiet.stderr), (Some(1), Vec::new(), Vec::new()));
    assert_eq!(run(command(&app, &["health", "-q"])).await.status.code(), Some(0));
}

fn end_of(child: &mut std::process::Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_rates_until_it_is_interrupted() {
    let (_site, app) = half_a_site().await;
    let mut watching = command(&app, &["status", "--watch", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    // The second block has rates; requests come until they are seen.
    let address = http(&app);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            get(address, MPLIST).await;
        }
    });
    let seen = tokio::task::spawn_blocking(move || {
        let rated = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            line.contains("mp1")
                && words.iter().rev().nth(1).is_some_and(|rate| rate.parse::<f64>().is_ok_and(|r| r > 0.0))
        };
        let line = lines.by_ref().map(Result::unwrap).find(|line| rated(line)).unwrap();
        (line, lines)
    });
    let (line, mut lines) = seen.await.unwrap();
    assert!(line.contains("Management point"), "{line}");
    stop.send(()).unwrap();
    asking.await.unwrap();
    kill(Pid::from_raw(i32::try_from(watching.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(end_of(&mut watching).code(), Some(0));
    let rest: Vec<String> = lines.by_ref().map(Result::unwrap).collect();
    assert!(!rest.iter().any(|line| line.contains('\u{1b}')), "a pipe is no terminal: {rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_reader() {
    let (_site, app) = half_a_site().await;
    let mut watching =
        command(&app, &["status", "--watch", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let mut first = [0; 4];
        watching.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let mut said = String::new();
        watching.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (first, said, end_of(&mut watching).code())
    });
    assert_eq!(ended.await.unwrap(), (*b"site", String::new(), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_compared_with_what_is_served() {
    let site = management_point("mp1").await;
    let toml = Toml::new(&["MP"]).site(&site, "MP").role("MP", PROBE).add(GROUPS).set("\"mp2\"", "\"mp1\"");
    let app = toml.start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.toml");
    let told = async |toml: &Toml| {
        std::fs::write(&file, &toml.0).unwrap();
        let output = run(command(&app, &["diff", file.to_str().unwrap()])).await;
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    assert_eq!(told(&toml).await, "nothing would change\n");
    let other = toml.clone().set("10.2.0.0/16", "10.3.0.0/16");
    let said = told(&other).await;
    assert!(said.contains("~ boundary group Hamburg\n    boundaries: - 10.2.0.0-10.2.255.255  + 10.3.0.0-"), "{said}");
    control_support::proxy::reload(&app, &other).await.unwrap();
    assert_eq!(told(&other).await, "nothing would change\n");
}
