//! What the admin listener does to the process: it reads its configuration again and says what came of it, and logs more or less.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use control_support::client::Client;
use control_support::proxy::{Toml, shutdown, source};
use control_support::until;
use rolegate::admin::{LogLevel, Reloaded};
use rolegate::app::App;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A configuration in a file, with a token.
struct Written {
    folder: tempfile::TempDir,
    text: String,
}

impl Written {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, TOKEN).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let toml = Toml::new(&["web"])
            .role("web", "preset = \"plain\"\nprobe = { kind = \"none\" }\n")
            .system("srv", "web", ([127, 0, 0, 1], 1).into(), "")
            .set("[admin]\n", &format!("[admin]\ntoken_file = {token:?}\n"))
            // A reload is asked for here, and does not come by itself.
            .set("[proxy]\n", "[proxy]\nwatch = false\n");
        let written = Self { folder, text: toml.0 };
        written.write(&written.text);
        written
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("rolegate.toml")
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// `rolegate` with these arguments and the token.
    async fn command(&self, at: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.args(arguments).args(["--admin", at, "--token-file"]).arg(self.token()).env_remove("ROLEGATE_ADMIN");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_and_says_what_came_of_it() {
    let written = Written::new();
    let app = App::start(&source(&written.text), Some(written.file())).unwrap();
    let at = app.admin().to_string();
    let accepted = written.command(&at, &["reload"]).await;
    assert_eq!((text(&accepted.stdout).trim(), accepted.status.code()), ("configuration 2 is served", Some(0)));

    written.write(&format!("{}\n[[boundary_groups]]\nname = \"HQ\"\nsite_systems = [\"srf\"]\n", written.text));
    let rejected = written.command(&at, &["reload"]).await;
    let errors = text(&rejected.stderr);
    assert_eq!((rejected.status.code(), rejected.stdout.len()), (Some(1), 0), "{errors}");
    assert!(
        errors.contains("rolegate.toml:") && errors.contains("\"srf\"") && errors.contains("did you mean"),
        "{errors}"
    );
    assert!(errors.lines().last().unwrap().starts_with("error: the new configuration is rejected"), "{errors}");
    let json = written.command(&at, &["reload", "--json"]).await;
    let told: Reloaded = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((told.accepted, told.generation, json.status.code()), (false, 2, Some(1)));
    assert!(told.errors.unwrap().contains("\"srf\""));

    fs::remove_file(written.file()).unwrap();
    let unreadable = written.command(&at, &["reload"]).await;
    assert!(text(&unreadable.stderr).contains("rolegate.toml"), "{}", text(&unreadable.stderr));
    written.write(&written.text);
    let mut client = Client::connect(app.admin()).await;
    let answer = client.send("POST", "/reload").await.unwrap();
    assert_eq!(answer.status, 401, "{}", answer.text());
    let bearer = format!("Bearer {TOKEN}");
    let answer = client.send_with("POST", "/reload", &[("authorization", &bearer)]).await.unwrap();
    let told: Reloaded = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), told), (200, Reloaded { accepted: true, generation: 3, errors: None }));
    assert_eq!(app.snapshot().generation, 3);
    // The log of this process is not the proxy's.
    assert_eq!(client.get("/log-level").await.status, 409);
    shutdown(app).await;
}

/// `rolegate run`, killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, and gives its admin address.
async fn run(written: &Written, log: &Path) -> (Running, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_rolegate"))
        .arg("run")
        .arg(written.file())
        .env("RUST_LOG", "warn,rolegate=info")
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap();
    let running = Running(child);
    let address = || async {
        let text = fs::read_to_string(log).unwrap();
        let line = text.lines().find(|line| line.contains("admin: "))?;
        line.split_once("address=").map(|(_, address)| address.split(' ').next().unwrap().to_owned())
    };
    let address = until("the admin address", address).await;
    (running, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_changes_while_it_runs_and_audit_lines_stay() {
    let written = Written::new();
    let log = written.folder.path().join("log");
    let (_running, at) = run(&written, &log).await;
    let said = async |arguments: &[&str]| {
        let output = written.command(&at, &[&["log-level"], arguments].concat()).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        format!("{}{}", out.trim(), err.trim())
    };
    assert_eq!(said(&[]).await, "warn,rolegate=info");
    assert_eq!(said(&["error"]).await, "error (at the start: warn,rolegate=info)");
    // A line at a level that is not logged any more, and one that says who has changed what.
    assert!(written.command(&at, &["reload"]).await.status.success());
    assert!(said(&["loud"]).await.starts_with("error: write off, error, warn,"), "{}", said(&["loud"]).await);
    let json: LogLevel = serde_json::from_str(&said(&["--json"]).await).unwrap();
    assert_eq!((json.level.as_str(), json.at_start.as_str()), ("error", "warn,rolegate=info"));
    assert_eq!(said(&["--reset"]).await, "warn,rolegate=info");
    assert!(written.command(&at, &["reload"]).await.status.success());
    let served = || async { fs::read_to_string(&log).unwrap().contains("generation=3").then_some(()) };
    until("the last reload is in the log", served).await;
    let log = fs::read_to_string(&log).unwrap();
    assert!(!log.contains("generation=2"), "{log}");
    for line in [
        "changed: the log level is error",
        "changed: reloaded: configuration 2 is served",
        "changed: the log level is warn,rolegate=info",
        "request=\"PUT /log-level?level=error\"",
        "request=\"POST /reload\"",
        "who=token",
        "from=\"127.0.0.1:",
    ] {
        assert!(log.contains(line), "{line} is not in\n{log}");
    }
    assert!(!log.contains(TOKEN) && !log.contains("loud"), "{log}");
}
