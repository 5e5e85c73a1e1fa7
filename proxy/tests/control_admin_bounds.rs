//! What one who asks the admin listener can make it do is bounded, and others are answered meanwhile.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::time::{Duration, Instant};

use control_support::client::Client;
use control_support::proxy::{Toml, admin, shutdown};
use rolegate::app::App;
use rolegate::explain::Explanation;
use rolegate_bench::pki::Authority;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A site whose answers are long.
fn large() -> Toml {
    let mut large = Toml::new(&["web"]).role("web", "preset = \"plain\"\nprobe = { kind = \"none\" }\n");
    for number in 0..200_u16 {
        large = large.system(&format!("srv{number}"), "web", ([127, 0, 0, 1], 1000 + number).into(), "");
    }
    large
}

/// Forty connections that say nothing.
async fn silent(app: &App) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(app.admin()).await.unwrap());
    }
    silent
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_delay_health() {
    let app = large().start();
    let silent_ones = silent(&app).await;
    let asked = Instant::now();
    for _ in 0..5 {
        assert_eq!(admin(&app, "/health").await.status, 200);
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    drop(silent_ones);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_begin_no_handshake_do_not_delay_others() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new("Lab CA").server(&["localhost"]).write(folder.path(), "a").unwrap();
    let tls = format!("[admin]\ncertificate = {:?}\nkey = {:?}\n", files.certificate, files.key);
    let app = large().set("[admin]\n", &tls).start();
    let silent_ones = silent(&app).await;
    let asked = Instant::now();
    // The certificate is nobody's whom the command trusts: what it says has come over the connection all the same.
    let at = format!("https://localhost:{}", app.admin().port());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolegate"));
    command.args(["status", "--admin", &at]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("certificate"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    drop(silent_ones);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_bounds_and_ids() {
    let app = large().start();
    let ask = async |target: &str, fields: &[(&str, &str)]| {
        Client::connect(app.admin()).await.send_with("GET", target, fields).await.unwrap()
    };
    let long = format!("/explain?client=127.0.0.1&target=/{}", "x".repeat(8 << 10));
    assert_eq!(ask(&long, &[]).await.status, 414);
    let answer = ask("/health", &[("x-request-id", "abc-123")]).await;
    assert_eq!(answer.headers["x-request-id"], "abc-123");
    for bad in ["a b", &"x".repeat(129)] {
        let answer = ask("/nowhere", &[("x-request-id", bad)]).await;
        assert_eq!(answer.headers["x-request-id"].len(), 32, "{bad}");
    }
    let (first, second) = (ask("/status", &[]).await, ask("/status", &[]).await);
    assert_ne!(first.headers["x-request-id"], second.headers["x-request-id"]);
    let mut stream = TcpStream::connect(app.admin()).await.unwrap();
    stream.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_for_those_who_take_it() {
    let app = large().start();
    for target in ["/status", "/metrics", "/openapi.json"] {
        let mut client = Client::connect(app.admin()).await;
        let plain = client.get(target).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{target}");
        let packed = client.send_with("GET", target, &[("accept-encoding", "gzip, br")]).await.unwrap();
        assert_eq!(
            (packed.status.as_u16(), &packed.headers["content-encoding"]),
            (200, &"gzip".parse().unwrap()),
            "{target}"
        );
        assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len() / 3, "{target}");
        assert!(packed.headers["vary"].to_str().unwrap().contains("Accept-Encoding"), "{target}");
    }
    let mut client = Client::connect(app.admin()).await;
    let short = client.send_with("GET", "/health", &[("accept-encoding", "gzip")]).await.unwrap();
    assert_eq!(short.text(), "alive\n");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_answered_is_described() {
    let app = large().start();
    let answer = admin(&app, "/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let openapi: Value = serde_json::from_slice(&answer.body).unwrap();
    let paths = openapi["paths"].as_object().unwrap();
    for path in ["/status", "/metrics", "/ready", "/health", "/explain", "/clocks", "/content", "/reload", "/log-level"]
    {
        assert!(paths.contains_key(path), "{path}");
    }
    let told = admin(&app, "/nowhere").await;
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let place = format!("{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200") && responses.contains_key("421"), "{place}");
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{place}");
            // What changes something needs the token, and says so.
            assert_eq!(operation.get("security").is_some(), method != "get", "{place}");
            let answer = Client::connect(app.admin()).await.send(&method.to_uppercase(), path).await.unwrap();
            assert_eq!(answer.status == 403, method != "get", "{place}: {}", answer.text());
            assert!(responses.contains_key(answer.status.as_str()), "{place}: {}", answer.status);
            assert!(
                method != "get" || path.len() == 1 || told.text().contains(path.as_str()),
                "{place} {}",
                told.text()
            );
        }
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_of_a_client_in_very_many_groups_is_quick() {
    let mut toml = Toml::new(&["DP"]).role("DP", "probe = { kind = \"none\" }\n");
    for number in 0..200_u16 {
        toml = toml.system(&format!("dp{number}"), "DP", ([127, 0, 0, 1], 1000 + number).into(), "");
    }
    // A client is in each of 300 groups, and there are 30,300 boundaries.
    let systems: Vec<String> = (0..200).map(|number| format!("\"dp{number}\"")).collect();
    let systems = systems.join(", ");
    for number in 0..300_u32 {
        let others = (0..100_u32).map(|other| {
            let place = number * 100 + other;
            let first = format!("172.{}.{}.{}", 16 + place / 32768, place / 128 % 256, place % 128 * 2);
            format!("\"{first}/31\"")
        });
        let boundaries = others.chain(["\"10.0.0.0/8\"".to_owned()]).collect::<Vec<_>>().join(", ");
        toml = toml.add(&format!(
            "[[boundary_groups]]\nname = \"g{number}\"\nboundaries = [{boundaries}]\nsite_systems = [{systems}]"
        ));
    }
    let app = toml.start();
    let target = "/explain?client=10.1.2.3&target=/SMS_DP_SMSPKG$/PKG00001/a";
    let begun = Instant::now();
    let answer = admin(&app, target).await;
    let took = begun.elapsed();
    let told: Explanation = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((told.boundary_groups.len(), told.tiers[0].servers.len()), (300, 200));
    assert!(told.boundary_groups.iter().all(|group| group.boundaries == ["10.0.0.0-10.255.255.255"]));
    assert!(told.tiers[0].servers.iter().all(|server| server.boundary_groups.len() == 300));
    assert!(took < Duration::from_secs(1), "{took:?}");
    shutdown(app).await;
}
