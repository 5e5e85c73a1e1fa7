//! Who reaches the admin listener, and what they may: by which names, from which pages, over TLS and over the Unix socket.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use control_support::client::Client;
use control_support::proxy::{Toml, reload, shutdown};
use rolegate::app::App;
use rolegate::status::Status;
use rolegate_bench::pki::{Authority, Wanted};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A proxy without site systems whose `[admin]` has these fields too.
fn toml(admin: &str) -> Toml {
    let address = ([127, 0, 0, 1], 1).into();
    let web = Toml::new(&["web"]).role("web", "preset = \"plain\"\nprobe = { kind = \"none\" }\n");
    web.system("srv", "web", address, "").set("[admin]\n", &format!("[admin]\n{admin}"))
}

fn write(folder: &Path, name: &str, bytes: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

async fn ask(app: &App, method: &str, target: &str, host: &str, more: &[(&str, &str)]) -> (u16, String) {
    let mut client = Client::connect_as(app.admin(), host).await;
    let answer = client.send_with(method, target, more).await.unwrap();
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{:?}", answer.headers);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    (answer.status.as_u16(), answer.text().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_is_led_here_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", TOKEN);
    let app = toml(&format!("token_file = {token:?}\nhost_names = [\"Rolegate.contoso.com\"]\n")).start();
    let own = app.admin().to_string();
    for host in [own.as_str(), "localhost:9180", "rolegate.contoso.com", "[::1]:80"] {
        for target in ["/status", "/health", "/ready", "/nowhere"] {
            let (status, text) = ask(&app, "GET", target, host, &[]).await;
            assert_eq!(status == 404, target == "/nowhere", "{host} {target}: {status} {text}");
            assert_ne!(status, 421, "{host} {target}: {text}");
        }
    }
    let bearer = format!("Bearer {TOKEN}");
    for target in ["/status", "/health", "/metrics", "/explain", "/openapi.json", "/nowhere"] {
        let (status, text) = ask(&app, "GET", target, "evil.test", &[("authorization", &bearer)]).await;
        assert_eq!(status, 421, "{target}: {text}");
        assert!(text.contains("host_names"), "{text}");
    }
    let with_token = ("authorization", bearer.as_str());
    for foreign in [("origin", "http://evil.test"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(ask(&app, "POST", "/clocks/reset", &own, &[with_token, foreign]).await.0, 403, "{foreign:?}");
        assert_eq!(ask(&app, "GET", "/status", &own, &[foreign]).await.0, 403, "{foreign:?}");
        assert_eq!(ask(&app, "OPTIONS", "/clocks/reset", &own, &[foreign]).await.0, 403, "{foreign:?}");
    }
    let same = format!("http://{own}");
    assert_eq!(ask(&app, "POST", "/clocks/reset", &own, &[with_token, ("origin", &same)]).await.0, 200);
    shutdown(app).await;
}

/// `rolegate` with these arguments, and nothing of its own environment.
async fn command(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    command.args(arguments).env_remove("ROLEGATE_ADMIN").env_remove("ROLEGATE_TOKEN_FILE");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unix_socket_is_for_its_owner_and_needs_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let app = toml(&format!("socket = {path:?}\n")).start();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
    let at = path.to_str().unwrap();
    let status = command(&["status", "--json", "--admin", at]).await;
    assert_eq!(serde_json::from_slice::<Status>(&status.stdout).unwrap().site, "P01", "{}", said(&status));
    let reset = command(&["clocks", "reset", "--admin", &format!("unix:{at}")]).await;
    assert!(reset.status.success(), "{}", said(&reset));
    // Over TCP there is still no right to change anything.
    let mut client = Client::connect(app.admin()).await;
    assert_eq!(client.send("POST", "/clocks/reset").await.unwrap().status, 403);
    shutdown(app).await;
    assert!(!path.exists(), "it goes with the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_client_certificate_counts_as_the_token_does() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("Lab CA"), Authority::new("Another CA"));
    let server = authority.server(&["localhost"]);
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    let ca = file("ca.crt", authority.certificate_pem());
    let (certificate, key) = (file("a.crt", &server.certificate_pem), file("a.key", &server.key_pem));
    let mut identities = Vec::new();
    for (name, issuer) in [("known", &authority), ("stranger", &stranger)] {
        let identity = issuer.issue(&Wanted::client("ops"));
        identities.push((
            file(&format!("{name}.crt"), &identity.certificate_pem),
            file(&format!("{name}.key"), &identity.key_pem),
        ));
    }
    let toml = toml(&format!("certificate = {certificate:?}\nkey = {key:?}\nclient_authorities = {ca:?}\n"));
    let app = toml.start();
    let at = format!("https://localhost:{}", app.admin().port());
    let base = ["--admin", &at, "--cacert", &ca];
    let run = async |first: &[&str], more: &[&str]| command(&[first, &base, more].concat()).await;
    let status = run(&["status"], &[]).await;
    assert!(status.status.success() && said(&status).contains("site P01"), "{}", said(&status));
    let untrusted = command(&["status", "--admin", &at]).await;
    assert!(!untrusted.status.success(), "{}", said(&untrusted));
    let known = ["--cert", &identities[0].0, "--key", &identities[0].1];
    let reset = run(&["clocks", "reset"], &known).await;
    assert!(reset.status.success(), "{}", said(&reset));
    let strange = ["--cert", &identities[1].0, "--key", &identities[1].1];
    let refused = run(&["clocks", "reset"], &strange).await;
    assert!(!refused.status.success(), "{}", said(&refused));
    let none = run(&["clocks", "reset"], &[]).await;
    assert!(!none.status.success() && said(&none).contains("token"), "{}", said(&none));

    // A renewed certificate is shown at once.
    let renewed = stranger.server(&["localhost"]);
    file("a.crt", &renewed.certificate_pem);
    file("a.key", &renewed.key_pem);
    reload(&app, &toml).await.unwrap();
    assert!(!run(&["status"], &[]).await.status.success(), "it is another authority's");
    let other = file("other.crt", stranger.certificate_pem());
    let status = command(&["status", "--admin", &at, "--cacert", &other]).await;
    assert!(status.status.success(), "{}", said(&status));
    shutdown(app).await;
}
