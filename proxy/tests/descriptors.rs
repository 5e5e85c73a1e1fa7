//! A process with few descriptors, all of which connections to site systems would take: what others need is left to them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::process::{Child, Command, Stdio};

use control_support::client::Client;
use control_support::proxy::Toml;
use control_support::{PATIENCE, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the process may have open.
const OPEN_FILES: usize = 160;
/// Addresses of the site system.
const ENDPOINTS: u8 = 60;

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that answers every request and keeps its connections.
async fn server() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A port that is free now.
async fn free() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_leave_descriptors_to_others() {
    let (port, listener, admin) = (server().await, free().await, free().await);
    let mut toml = Toml::new(&["web"])
        .set("name = \"http\"\naddress = \"127.0.0.1:0\"", &format!("name = \"http\"\naddress = \"{listener}\""))
        .set("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"{admin}\""))
        .role("web", "preset = \"plain\"\nbalance = \"random\"\nprobe = { kind = \"none\" }\n");
    for number in 1..=ENDPOINTS {
        toml = toml.system(&format!("srv{number}"), "web", ([127, 0, 1, number], port).into(), "");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rolegate.toml");
    std::fs::write(&file, &toml.0).unwrap();
    let command = format!("ulimit -n {OPEN_FILES}; exec {} run {}", env!("CARGO_BIN_EXE_rolegate"), file.display());
    let child = Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let process = Running(child);
    until("it serves", || async { tokio::net::TcpStream::connect(listener).await.ok() }).await;

    // As many clients as there is room for, each at all of the servers after a while.
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect(listener).await);
    }
    for _ in 0..60 {
        let asked = clients.iter_mut().map(|client| client.send("GET", "/"));
        let answers = tokio::time::timeout(PATIENCE, futures_util::future::join_all(asked)).await.unwrap();
        assert!(answers.into_iter().all(|answer| answer.unwrap().status == 200));
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.0.id())).unwrap().count();
        assert!(open <= OPEN_FILES - OPEN_FILES / 4 + 8, "{open} are open");
    }
    assert_eq!(Client::connect(admin).await.get("/health").await.status, 200);
    std::fs::write(&file, toml.set("code = \"P01\"", "code = \"P02\"").0).unwrap();
    until("a configuration is read", || async {
        Client::connect(admin).await.get("/status").await.text().contains("\"P02\"").then_some(())
    })
    .await;
}

#[test]
fn a_thread_that_cannot_go_on_ends_the_process_so_that_it_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rolegate.toml");
    let web = "preset = \"plain\"\nprobe = { kind = \"none\" }\n";
    let toml = Toml::new(&["web"]).role("web", web).system("srv", "web", ([127, 0, 0, 1], 1).into(), "");
    std::fs::write(&file, toml.0).unwrap();
    let mut ends = Vec::new();
    // Enough descriptors for its listeners, and too few for what its threads need.
    for descriptors in 12..18 {
        let program = env!("CARGO_BIN_EXE_rolegate");
        let run = format!("ulimit -n {descriptors}; exec timeout 15 {program} run {}", file.display());
        let mut command = Command::new("sh");
        command.args(["-c", &run]).env("RUST_LOG", "info").stdin(Stdio::null()).stderr(Stdio::piped());
        let ended = command.output().unwrap();
        let log = String::from_utf8_lossy(&ended.stderr);
        let code = ended.status.code();
        assert!(code != Some(70) || log.contains("a thread has ended, or has panicked"), "{log}");
        ends.push(code);
    }
    assert!(ends.contains(&Some(70)), "{ends:?}");
}
