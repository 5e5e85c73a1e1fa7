//! What is written about requests and tunnels: formats, fields, secrets, numbers of requests, and files that move.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rolegate::control::config::Source;
use rolegate_bench::replay::{Log, Methods, Reading};
use serde_json::Value;
use support::peers::refuse;
use support::{Peer, Pki, Proxy, Setup, get, ok, pki, until};

/// A folder for logs.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The section of a log in a file of this name.
    fn section(&self, name: &str, lines: &str) -> String {
        format!("[access_log]\npath = {:?}\n{lines}\n", self.path(name).display().to_string())
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Its lines, when there are so many.
    async fn lines(&self, name: &str, count: usize) -> Vec<String> {
        until(&format!("{count} lines in {name}"), || self.text(name).lines().count() >= count).await;
        let lines: Vec<_> = self.text(name).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    async fn json(&self, name: &str, count: usize) -> Vec<Value> {
        let lines = self.lines(name, count).await;
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn reload(proxy: &Proxy, setup: &Setup) {
    proxy.app().reload_async(Source { name: "test.toml".to_owned(), text: setup.text() }).await.unwrap();
}

/// How many requests whoever reads such logs finds in one.
fn replayed(path: &Path) -> usize {
    let reading = Reading { methods: Methods::All, limit: 100, max_broken: 0.0 };
    Log::read(&[path.to_owned()], reading).unwrap().len()
}

const WINDOWS: &str = "GET /SMS_MP/.sms_aut?MPLIST&token=hush HTTP/1.1\r\nHost: mp1.lab.test\r\nUser-Agent: SMS CCM 5.0 (x)\r\n\
                       Referer: http://me:hush@h/?sig=hush\r\nCCMClientID: GUID:1-2\r\n\
                       traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nAuthorization: Basic aHVzaA==\r\n\r\n";

#[tokio::test]
async fn w3c_is_as_iis_writes_it() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let setup = Setup::new([server.address]).more(&logs.section("w3c.log", "format = \"w3c\""));
    let proxy = setup.start();
    let mut client = proxy.open().await;
    assert_eq!(client.ask(WINDOWS).await.status(), 200);
    assert_eq!(client.ask(&get("/plain")).await.status(), 200);
    let lines = logs.lines("w3c.log", 6).await;
    assert!(lines[0].starts_with("#Software: rolegate ") && lines[1] == "#Version: 1.0", "{lines:#?}");
    let usual = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) \
                 sc-status sc-substatus sc-win32-status time-taken sc-bytes cs-bytes cs-host x-role x-boundary-groups x-tier \
                 x-site-system x-attempts x-error x-request-id x-kind";
    assert_eq!(lines[3], usual);
    let values: Vec<&str> = lines[4].split(' ').collect();
    let port = proxy.at("http").port().to_string();
    assert_eq!(format!("#Date: {} {}", values[0], values[1]), lines[2]);
    let expected = ["127.0.0.1", "GET", "/SMS_MP/.sms_aut", "MPLIST&token=***", &port, "-", "127.0.0.1"];
    assert_eq!(values[2..9], expected);
    assert_eq!(values[9..14], ["SMS+CCM+5.0+(x)", "http://***@h/?sig=***", "200", "0", "0"]);
    let ends = ["5", "0", "mp1.lab.test", "web", "-", "site", "srv0.lab.test", "1", "-", "-", "-"];
    assert_eq!(values[15..], ends, "{values:?}");
    assert_eq!(lines[5].split(' ').nth(5), Some("-"), "no query");
    assert_eq!(replayed(&logs.path("w3c.log")), 2);
}

#[tokio::test]
async fn combined_is_as_apache_writes_it() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let proxy = Setup::new([server.address]).more(&logs.section("c.log", "format = \"combined\"")).start();
    let mut client = proxy.open().await;
    assert_eq!(client.ask(WINDOWS).await.status(), 200);
    assert_eq!(client.ask("GET /q HTTP/1.1\r\nHost: h\r\nUser-Agent: a\"b\\\r\n\r\n").await.status(), 200);
    let lines = logs.lines("c.log", 2).await;
    let (before, after) = lines[0].split_once(" +0000] ").unwrap();
    assert!(
        before.starts_with("127.0.0.1 - - [") && before.len() == "127.0.0.1 - - [10/Oct/2026:13:55:36".len(),
        "{before}"
    );
    let rest = "\"GET /SMS_MP/.sms_aut?MPLIST&token=*** HTTP/1.1\" 200 5 \"http://***@h/?sig=***\" \"SMS CCM 5.0 (x)\"";
    assert_eq!(after, rest);
    assert!(lines[1].ends_with("\"GET /q HTTP/1.1\" 200 5 \"-\" \"a\\\"b\\\\\""), "{}", lines[1]);
}

#[tokio::test]
async fn json_says_who_asked_and_never_with_what_secret() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let pki = Pki::new();
    let setup = Setup::new([server.address]).listener(&pki.terminates("")).more(&logs.section("j.log", ""));
    let proxy = setup.start();
    let mut client = proxy.secure(&pki.client().sni("mp1.lab.test")).await;
    assert_eq!(client.ask(WINDOWS).await.status(), 200);
    let heard = server.only();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(heard.field("traceparent"), Some(trace), "it is passed on as it is");
    let line = &logs.json("j.log", 1).await[0];
    for (field, expected) in [
        ("target", "/SMS_MP/.sms_aut?MPLIST&token=***"),
        ("user_agent", "SMS CCM 5.0 (x)"),
        ("client_id", "GUID:1-2"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("sni", "mp1.lab.test"),
        ("tls", "1.3"),
    ] {
        assert_eq!(line[field], expected, "{line}");
    }
    assert!(line["tls_cipher"].as_str().unwrap().starts_with("TLS_"), "{line}");
    assert!(!logs.text("j.log").contains("hush") && !logs.text("j.log").contains("aHVzaA"));
    assert_eq!(replayed(&logs.path("j.log")), 1);
}

#[tokio::test]
async fn chosen_fields_come_in_their_order_and_own_names_are_masked() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let lines = "fields = [\"status\", \"target\", \"referer\", \"server\"]\nmask = [\"mine\"]";
    let proxy = Setup::new([server.address]).more(&logs.section("j.log", lines)).start();
    proxy.get("/a?mine=1&token=2").await;
    let at = proxy.at("http");
    let expected = format!("{{\"status\":200,\"target\":\"/a?mine=***&token=2\",\"server\":\"{at}\"}}");
    assert_eq!(logs.lines("j.log", 1).await, [expected]);
}

#[tokio::test]
async fn a_reload_changes_fields_format_and_file() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let setup = |name: &str, lines: &str| Setup::new([server.address]).more(&logs.section(name, lines));
    let proxy = setup("one.log", "format = \"w3c\"\nfields = [\"cs-method\"]").start();
    let mut client = proxy.open().await;
    client.ask(&get("/1")).await;
    logs.lines("one.log", 5).await;
    reload(&proxy, &setup("one.log", "format = \"w3c\"\nfields = [\"cs-uri-stem\"]")).await;
    client.ask(&get("/2")).await;
    let lines = logs.lines("one.log", 10).await;
    assert_eq!((lines[8].as_str(), lines[9].as_str()), ("#Fields: cs-uri-stem", "/2"), "other fields, another header");
    reload(&proxy, &setup("one.log", "fields = [\"target\"]")).await;
    client.ask(&get("/3")).await;
    assert_eq!(logs.lines("one.log", 11).await[10], "{\"target\":\"/3\"}");
    reload(&proxy, &setup("two.log", "fields = [\"target\"]")).await;
    client.ask(&get("/4")).await;
    assert_eq!(logs.lines("two.log", 1).await, ["{\"target\":\"/4\"}"]);
    // One that cannot be opened leaves the other open.
    reload(&proxy, &setup("no/where.log", "fields = [\"status\"]")).await;
    client.ask(&get("/5")).await;
    assert_eq!(logs.lines("two.log", 2).await[1], "{\"status\":200}");
    logs.lines("one.log", 11).await;
}

#[tokio::test]
async fn a_log_that_was_moved_is_opened_again_for_its_owner_alone() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let section = logs.section("w3c.log", "format = \"w3c\"\nfields = [\"cs-uri-stem\"]");
    let proxy = Setup::new([server.address]).more(&section).start();
    let mode = |name: &str| std::fs::metadata(logs.path(name)).unwrap().permissions().mode() & 0o777;
    proxy.get("/1").await;
    logs.lines("w3c.log", 5).await;
    assert_eq!(mode("w3c.log"), 0o600);
    std::fs::rename(logs.path("w3c.log"), logs.path("old.log")).unwrap();
    proxy.app().reopen_access_log();
    until("the file is there again", || logs.path("w3c.log").exists()).await;
    proxy.get("/2").await;
    let lines = logs.lines("w3c.log", 5).await;
    assert!(lines[0].starts_with("#Software") && lines[4] == "/2", "a new file says what its fields are: {lines:?}");
    assert_eq!(mode("w3c.log"), 0o600);
    assert_eq!(logs.lines("old.log", 5).await[4], "/1");
    std::fs::set_permissions(logs.path("w3c.log"), std::fs::Permissions::from_mode(0o640)).unwrap();
    proxy.app().reopen_access_log();
    proxy.get("/3").await;
    until("it is written", || logs.text("w3c.log").ends_with("/3\n")).await;
    assert_eq!(mode("w3c.log"), 0o640, "a mode that somebody has chosen stays");
}

#[tokio::test]
async fn a_tunnel_is_logged_when_it_ends() {
    let server = Peer::serve(|mut talk| async move {
        talk.wire.take(4).await;
        talk.say("goodbye").await;
        talk.wait().await;
    })
    .await;
    let logs = Folder::new();
    let proxy = Setup::new([server.address]).held("client-notification").more(&logs.section("j.log", "")).start();
    let mut client = proxy.open().await;
    client.say("ping").await;
    assert_eq!(client.take(7).await, b"goodbye");
    assert_eq!(logs.text("j.log"), "", "it is not over");
    client.end().await;
    client.ends().await;
    let line = &logs.json("j.log", 1).await[0];
    for (field, expected) in [
        ("kind", Value::from("tcp")),
        ("role", "client-notification".into()),
        ("listener", "http".into()),
        ("site_system", "srv0.lab.test".into()),
        ("endpoint", server.address.to_string().into()),
        ("bytes_up", 4.into()),
        ("bytes_down", 7.into()),
        ("attempts", 1.into()),
        ("ended", "client_closed".into()),
        ("method", Value::Null),
        ("status", Value::Null),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    assert!(line["total_us"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn why_a_tunnel_has_ended() {
    let logs = Folder::new();
    let leaving = Peer::serve(|mut talk| async move {
        talk.wire.take(4).await;
    })
    .await;
    let proxy = Setup::new([leaving.address]).held("client-notification").more(&logs.section("1.log", "")).start();
    let mut client = proxy.open().await;
    client.say("ping").await;
    client.ends().await;
    drop(client);
    assert_eq!(logs.json("1.log", 1).await[0]["ended"], "server_closed");
    let nobody = refuse();
    let proxy = Setup::new([nobody.address]).held("client-notification").more(&logs.section("2.log", "")).start();
    proxy.open().await.ends().await;
    let line = &logs.json("2.log", 1).await[0];
    assert_eq!((&line["ended"], &line["error"]), (&"refused".into(), &"connection_refused".into()), "{line}");
    let silent = Peer::serve(|mut talk| async move { talk.wait().await }).await;
    let lines = "timeouts = { tunnel_idle = \"100ms\" }";
    let setup = Setup::new([silent.address]).held("client-notification").role(lines);
    let proxy = setup
        .more(&logs.section("3.log", "format = \"w3c\"\nfields = [\"x-ended\", \"x-kind\", \"cs-method\"]"))
        .start();
    proxy.open().await.ends().await;
    assert_eq!(logs.lines("3.log", 5).await[4], "idle tcp -");
    let proxy = Setup::new([silent.address]).held("client-notification").more(&logs.section("4.log", "")).start();
    let client = proxy.open().await;
    until("it is open", || silent.open() > 0).await;
    client.reset();
    assert_eq!(logs.json("4.log", 1).await[0]["ended"], "client_broke");
}

#[tokio::test]
async fn tls_that_is_passed_through_is_logged_by_its_name() {
    let (pki, logs) = (Pki::new(), Folder::new());
    let server = Peer::serve(|mut talk| async move {
        talk.wire.more().await;
    })
    .await;
    let setup = Setup::new([server.address]).role("tls = true").listener("passthrough = true");
    let proxy = setup.more(&logs.section("j.log", "")).start();
    let mut client = proxy.open().await;
    let hello = pki::client_hello("mp1.lab.test");
    client.say(&hello).await;
    client.ends().await;
    drop(client);
    let line = &logs.json("j.log", 1).await[0];
    assert_eq!((&line["kind"], &line["sni"]), (&"passthrough".into(), &"mp1.lab.test".into()), "{line}");
    assert_eq!(line["bytes_up"], hello.len());
    drop(pki);
}

#[tokio::test]
async fn of_a_sample_errors_are_logged_all_the_same() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let setup = Setup::new([server.address]).role("paths = [\"/ok\"]");
    let proxy = setup.clone().more(&logs.section("j.log", "sample = 0\nfields = [\"target\"]")).start();
    let mut client = proxy.open().await;
    for target in ["/ok", "/nowhere?1", "/ok/2", "/nowhere?2"] {
        client.ask(&get(target)).await;
    }
    assert_eq!(logs.lines("j.log", 2).await, ["{\"target\":\"/nowhere?1\"}", "{\"target\":\"/nowhere?2\"}"]);
    reload(
        &proxy,
        &setup.clone().more(&logs.section("j.log", "sample = 0\nsample_errors = false\nfields = [\"target\"]")),
    )
    .await;
    client.ask(&get("/nowhere?3")).await;
    reload(&proxy, &setup.clone().more(&logs.section("j.log", "sample = 1\nfields = [\"target\"]"))).await;
    client.ask(&get("/ok/4")).await;
    assert_eq!(logs.lines("j.log", 3).await[2], "{\"target\":\"/ok/4\"}");
}

#[tokio::test]
async fn a_part_of_all_requests_is_drawn() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let proxy =
        Setup::new([server.address]).more(&logs.section("j.log", "sample = 0.25\nfields = [\"target\"]")).start();
    let mut client = proxy.open().await;
    for number in 0..2000 {
        client.ask(&get(&format!("/{number}"))).await;
    }
    drop(client);
    let app = proxy.into_app();
    tokio::task::spawn_blocking(move || app.shutdown()).await.unwrap();
    let count = logs.text("j.log").lines().count();
    // Ten standard deviations: this fails by chance less than once in a lifetime.
    assert!((306..=694).contains(&count), "{count} of 2000");
}

#[tokio::test]
async fn requests_have_numbers_if_they_are_to() {
    let (server, logs) = (Peer::saying(ok("hello")).await, Folder::new());
    let lines = "request_id_field = \"X-Request-ID\"";
    let setup = Setup::new([server.address])
        .role("paths = [\"/ok\"]")
        .more(&logs.section("j.log", "fields = [\"request_id\"]"));
    let proxy = setup.clone().proxy(lines).start();
    let ask = |path: &str, id: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{id}\r\n");
    let mut client = proxy.open().await;
    let answer = client.ask(&ask("/ok", "X-Request-Id: mine\r\nx_request_id: mine\r\n")).await;
    assert_eq!(answer.field("x-request-id"), None, "answers of servers are as they are");
    let heard = server.heard().pop().unwrap();
    let made = heard.field("x-request-id").unwrap().to_owned();
    assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "nobody is believed: {made}");
    assert_eq!((heard.all("x-request-id").len(), heard.field("x_request_id")), (1, None));
    let own = client.ask(&ask("/nowhere", "")).await;
    own.is_own(404, "destination_not_found");
    let second = own.field("x-request-id").unwrap().to_owned();
    assert_ne!(made, second);
    let expected = |id: &str| format!("{{\"request_id\":\"{id}\"}}");
    assert_eq!(logs.lines("j.log", 2).await, [expected(&made), expected(&second)]);
    // From a trusted proxy.
    reload(&proxy, &setup.clone().proxy(&format!("{lines}\ntrusted_proxies = [\"127.0.0.1\"]"))).await;
    client.ask(&ask("/ok", "X-Request-Id: theirs-1\r\n")).await;
    assert_eq!(server.heard().pop().unwrap().field("x-request-id"), Some("theirs-1"));
    client.ask(&ask("/ok", "X-Request-Id: a b\"c\r\n")).await;
    assert_eq!(server.heard().pop().unwrap().field("x-request-id").map(str::len), Some(32), "that is none");
    assert_eq!(logs.lines("j.log", 4).await[2], expected("theirs-1"));
    // Without it, it is a field like any other.
    reload(&proxy, &setup).await;
    client.ask(&ask("/ok", "X-Request-Id: mine\r\n")).await;
    assert_eq!(server.heard().pop().unwrap().field("x-request-id"), Some("mine"));
    assert_eq!(client.ask(&get("/nowhere")).await.field("x-request-id"), None);
}
