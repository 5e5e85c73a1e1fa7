//! Steering through the admin listener and the command line: what is asked, refused, told and shown.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use control_support::client::{Answer, Client};
use control_support::proxy::{MPCERT, Toml, admin, endpoint, http, management_point, shutdown};
use rolegate::app::App;
use rolegate::status::Status;
use rolegate::steering::Steered;
use rolegate::steering::listing::Listing;
use rolegate_bench::site::SiteSystem;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Lab {
    app: App,
    _sites: [SiteSystem; 2],
    folder: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let sites = [management_point("mp1").await, management_point("mp2").await];
        let toml = Toml::new(&["MP"]).role("MP", "probe = { kind = \"none\" }").site(&sites[0], "MP");
        let state = folder.path().join("steering.json");
        let toml = toml
            .site(&sites[1], "MP")
            .set("[admin]\n", &format!("state_file = {state:?}\n[admin]\ntoken_file = {token:?}\n"));
        Self { app: toml.start(), _sites: sites, folder }
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    async fn post(&self, target: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let mut client = Client::connect(self.app.admin()).await;
        client.send_with("POST", target, &[("authorization", &bearer)]).await.unwrap()
    }

    async fn done(&self, target: &str) -> Steered {
        let answer = self.post(target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn listing(&self, target: &str) -> Listing {
        let answer = admin(&self.app, target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Runs the program, and gives what it says and whether it was content.
    async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.args(arguments).args(["--admin", &self.app.admin().to_string()]);
        command.env("ROLEGATE_TOKEN_FILE", self.token()).env_remove("SUDO_USER").env("USER", "anna");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_steers_and_shows_it() {
    let lab = Lab::new().await;
    for target in ["/drain?server=mp1", "/undrain?server=mp1", "/maintenance?server=mp1", "/weight?server=mp1&weight=5"]
    {
        let answer = Client::connect(lab.app.admin()).await.send("POST", target).await.unwrap();
        assert_eq!(answer.status, 401, "{target} without the token");
    }
    let done = lab.done("/drain?server=mp1&role=MP&by=anna&comment=new+disks").await;
    assert!(done.warnings.is_empty(), "{done:?}");
    let own = &done.overrides[0];
    let written = &own.written;
    assert_eq!((written.kind.as_str(), written.role.as_deref()), ("drain", Some("management-point")));
    assert_eq!(
        (written.by.as_str(), written.comment.as_deref(), own.state.as_str()),
        ("anna", Some("new disks"), "holds")
    );
    assert!(written.from.starts_with("127.0.0.1:"), "{written:?}");
    for _ in 0..10 {
        assert_eq!(control_support::client::get(http(&lab.app), MPCERT).await.server(), Some("mp2"));
    }
    let status: Status = serde_json::from_slice(&admin(&lab.app, "/status").await.body).unwrap();
    assert_eq!(status.overrides, done.overrides);
    let mp1 = endpoint(&status, "mp1").unwrap();
    assert_eq!((mp1.steered.as_str(), mp1.available), ("drain", false));
    let explained = admin(&lab.app, "/explain?client=127.0.0.1&why-not=mp1&target=/SMS_MP/.sms_aut?MPCERT").await;
    assert!(explained.text().contains("drained by anna since"), "{}", explained.text());
    let listing = lab.listing("/steering").await;
    assert_eq!((listing.overrides.len(), listing.under_way.len()), (1, 1));
    assert_eq!(lab.listing("/steering?server=mp2").await.overrides.len(), 0);

    for (target, part) in [
        ("/drain", "server is missing"),
        ("/drain?server=mp9", "did you mean \"mp"),
        ("/drain?server=mp1&role=DP", "there is no role \"DP\""),
        ("/drain?server=mp1&x=1", "there is no parameter \"x\""),
        ("/undrain?server=mp2", "mp2 is not drained"),
        ("/maintenance?server=mp1&end=yesterday", "is not a time"),
        ("/maintenance?server=mp1&end=now", "mp1 is not in maintenance"),
        ("/weight?server=mp1", "weight is missing"),
        ("/weight?server=mp1&weight=1001", "the largest is 1000"),
    ] {
        let answer = lab.post(target).await;
        assert!(answer.status == 400 && answer.text().contains(part), "{target}: {} {}", answer.status, answer.text());
    }
    let both = lab.done("/maintenance?server=mp1&for=1h").await;
    assert_eq!(both.overrides.len(), 2, "one of the whole, and one of the role");
    let undone = lab.done("/undrain?server=mp1&role=MP").await;
    assert!(undone.warnings[0].contains("mp1 is still in maintenance"), "{undone:?}");
    lab.done("/maintenance?server=mp1&end=now").await;
    assert_eq!(lab.done("/weight?server=mp1&weight=50%25").await.overrides[0].written.weight.as_deref(), Some("50%"));
    lab.done("/weight?server=mp1&weight=reset").await;
    assert_eq!(lab.listing("/steering").await, Listing::default());
    shutdown(lab.app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_steers_and_waits() {
    let lab = Lab::new().await;
    let (ok, said) = lab.run(&["drain", "mp1", "--comment", "new disks", "--wait", "1min"]).await;
    assert!(ok, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["mp1 is drained: it gets nothing new; nothing is under way there", "mp1 is empty"]);
    let (ok, said) = lab.run(&["status"]).await;
    assert!(ok && said.contains(", drained") && said.contains("OVERRIDE OF") && said.contains("new disks"), "{said}");
    let (ok, said) = lab.run(&["drain", "mp2"]).await;
    assert!(ok && said.contains("warning: no server is left for the role management-point"), "{said}");
    let (ok, said) = lab.run(&["undrain", "mp1"]).await;
    assert!(ok && said.contains("drained no more") && said.contains("by anna"), "{said}");
    let (ok, said) = lab.run(&["undrain", "mp1"]).await;
    assert!(!ok && said == "error: mp1 is not drained\n", "{said}");
    let (ok, said) = lab.run(&["maintenance", "mp1", "--begin", "1h", "--for", "2h"]).await;
    assert!(ok && said.starts_with("mp1 goes into maintenance at "), "{said}");
    let (ok, said) = lab.run(&["maintenance", "mp1", "--end"]).await;
    assert!(ok && said.contains("in maintenance no more"), "{said}");
    let (ok, said) = lab.run(&["weight", "mp1", "50%", "--json"]).await;
    let steered: Steered = serde_json::from_str(&said).unwrap();
    assert!(ok && steered.sentence == "mp1 has the weight 50%", "{said}");
    let (ok, said) = lab.run(&["weight", "mp1", "--reset"]).await;
    assert!(ok && said.starts_with("mp1 has its configured weight"), "{said}");
    let (ok, said) = lab.run(&["drain", "--wait", "mp1"]).await;
    assert!(!ok && said.contains("the site system comes before --wait"), "{said}");
    shutdown(lab.app).await;
}
