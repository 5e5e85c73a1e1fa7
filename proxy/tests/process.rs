//! The process `rolegate run` in surroundings that do not behave: readers of its log that go or stand still, and signals.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(15);

const ACCEPTED: &str = "rolegate_config_reloads_total{result=\"accepted\"}";
const REJECTED: &str = "rolegate_config_reloads_total{result=\"rejected\"}";
/// Between two looks at something that changes by itself.
const LOOK: Duration = Duration::from_millis(5);

/// A running `rolegate run`.
struct Process {
    child: Child,
    folder: TempDir,
    /// What reads its log; none when that is gone.
    log: Option<BufReader<PipeReader>>,
    admin: SocketAddr,
    listener: SocketAddr,
}

/// What is written into the configuration to make it another one.
fn configuration(path: &str) -> String {
    format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"web\"]\n\
         [roles.web]\npreset = \"plain\"\npaths = [\"{path}\"]\nprobe = {{ kind = \"none\" }}\n\
         [[site_systems]]\nname = \"srv\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"web\", port = 1 }}]\n"
    )
}

impl Process {
    fn spawn(text: &str) -> Self {
        Self::spawn_with(text, |_| {})
    }

    fn spawn_with(text: &str, change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rolegate.toml");
        fs::write(&file, text).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.args(["run".as_ref(), file.as_os_str()]).env("RUST_LOG", "info").env_remove("NOTIFY_SOCKET");
        change(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, folder, log: Some(BufReader::new(reader)), admin: nowhere, listener: nowhere }
    }

    /// One that serves.
    fn start() -> Self {
        let mut process = Self::spawn(&configuration("/first"));
        process.find_addresses();
        process
    }

    fn find_addresses(&mut self) {
        let address = |line: String| line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok();
        self.listener = self.said("listening").and_then(address).unwrap();
        self.admin = self.said("admin:").and_then(address).unwrap();
    }

    /// The next line of its log that has this in it.
    fn said(&mut self, what: &str) -> Option<String> {
        self.log.as_mut()?.lines().map_while(Result::ok).find(|line| line.contains(what))
    }

    /// Bytes of its log that wait to be read.
    fn unread(&self) -> usize {
        let mut waiting = [0; 64];
        let reader = self.log.as_ref().unwrap().get_ref();
        fcntl(reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let count = { reader }.read(&mut waiting).unwrap_or(0);
        fcntl(reader, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        count
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Serves another path from now on, or something that is no configuration.
    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("rolegate.toml"), text).unwrap();
    }

    /// One answer, or nothing.
    fn ask(&self, at: SocketAddr, target: &str) -> String {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// A counter of its metrics.
    fn count(&self, series: &str) -> u64 {
        let metrics = self.ask(self.admin, "/metrics");
        let line = metrics.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// The status of the proxy's answer for a path: 404 when it is not served, and 502 when it is, because no server is there.
    fn status(&self, path: &str) -> u16 {
        self.ask(self.listener, path).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            assert_eq!(self.child.try_wait().unwrap(), None, "{what}: it has ended");
            std::thread::park_timeout(LOOK);
        }
    }

    /// Ends it as a service manager does.
    fn ends(mut self) {
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return assert_eq!(status.code(), Some(0));
            }
            assert!(begun.elapsed() < PATIENCE, "SIGTERM does not end it");
            std::thread::park_timeout(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_whose_reader_has_gone_stops_nothing() {
    let mut process = Process::start();
    process.log = None;
    process.write("broken =");
    process.signal(Signal::SIGHUP);
    process.until("the rejection", |process| process.count(REJECTED) > 0);
    process.write(&configuration("/second"));
    process.signal(Signal::SIGHUP);
    process.until("the reload", |process| process.status("/second") == 502 && process.status("/first") == 404);
    process.until("lines that are lost are counted", |process| {
        process.count("rolegate_telemetry_dropped_total{sink=\"log\"}") >= 2
    });
    process.ends();
}

#[test]
fn a_log_whose_reader_stands_still_stops_nothing() {
    let mut process = Process::start();
    // More than a pipe holds: each rejection is told of with all its errors.
    let wrong: String = (0..100).map(|number| format!("wrong{number} = 1\n")).collect();
    for number in 0..40 {
        process.write(&format!("{wrong}# {number}\n"));
        process.signal(Signal::SIGHUP);
        process.until("a rejection", |process| process.count(REJECTED) > number);
        assert_eq!(process.status("/first"), 502);
    }
    process.write(&configuration("/second"));
    process.signal(Signal::SIGHUP);
    process.until("the reload", |process| process.status("/second") == 502);
    assert!(process.ask(process.admin, "/health").contains("alive"));
    // When it is read again, it has all that was said meanwhile.
    assert!(process.said("the new configuration is served").is_some());
    process.ends();
}

#[test]
fn a_peer_cannot_write_the_log_full() {
    let configuration = configuration("/first").replace("roles = [\"web\"]", "roles = [\"web\"]\nhttp2 = true");
    let mut process = Process::spawn(&configuration);
    process.find_addresses();
    let mut client = TcpStream::connect_timeout(&process.listener, PATIENCE).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 0], payload].concat()
    };
    // Settings, answers to pings that were never sent, and a ping whose answer says that all that was read.
    let (settings, unasked, ping) = (frame(4, 0, b""), frame(6, 1, b"unasked!"), frame(6, 0, b"the last"));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    client.write_all(&[preface.as_slice(), &settings, &unasked.repeat(2000), &ping].concat()).unwrap();
    let (mut heard, answer) = (Vec::new(), frame(6, 1, b"the last"));
    while !heard.windows(answer.len()).any(|part| part == answer) {
        let mut piece = [0; 1024];
        let count = client.read(&mut piece).unwrap();
        assert!(count > 0, "it has closed");
        heard.extend_from_slice(&piece[..count]);
    }
    let log = process.log.take().unwrap();
    drop(client);
    process.ends();
    let lines: Vec<String> = log.lines().map_while(Result::ok).collect();
    assert!(lines.len() < 20, "{} lines, of which the last: {:?}", lines.len(), lines.last());
}

#[test]
fn signals_without_a_meaning_end_nothing() {
    let mut process = Process::start();
    for signal in [Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGIO, Signal::SIGPIPE] {
        process.signal(signal);
    }
    process.write(&configuration("/second"));
    process.signal(Signal::SIGHUP);
    process.until("it goes on", |process| process.status("/second") == 502);
    process.ends();
}

#[test]
fn an_access_log_without_a_reader_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let log = format!("[access_log]\npath = {path:?}\n");
    let mut process = Process::spawn(&(configuration("/first") + &log));
    process.find_addresses();
    assert_eq!(process.status("/first"), 502);
    // The line waits for the reader, and another one for the next.
    for target in ["/first/1", "/first/2"] {
        process.status(target);
        let mut reader = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
        let mut heard = Vec::new();
        process.until("its line", |_| {
            // An error says that there is nothing more now.
            let _ = reader.read_to_end(&mut heard);
            String::from_utf8_lossy(&heard).contains(target)
        });
    }
    process.ends();
}

#[test]
fn the_service_manager_hears_when_it_serves_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut process = Process::spawn_with(&configuration("/first"), |command| _ = command.env("NOTIFY_SOCKET", &path));
    let heard = || {
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    assert!(is_caught(&process.child, Signal::SIGHUP) && is_caught(&process.child, Signal::SIGUSR1));
    process.find_addresses();
    assert_eq!(process.status("/first"), 502);
    process.ends();
    assert_eq!(heard(), "STOPPING=1");
}

/// A signal that is caught, by the bits that the system shows.
fn is_caught(child: &Child, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (signal as i32 - 1)) != 0
}

#[test]
fn a_reload_that_is_asked_for_during_the_start_is_made_after_it() {
    // So many site systems that the start takes a while.
    let systems: String = (0..10_000)
        .map(|number| {
            format!(
                "[[site_systems]]\nname = \"srv{number}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"web\", port = {} }}]\n",
                number + 1000
            )
        })
        .collect();
    let mut process = Process::spawn(&(configuration("/first") + &systems));
    // One handler is set after the other.
    let caught =
        |process: &Process| [Signal::SIGHUP, Signal::SIGUSR1].iter().all(|&signal| is_caught(&process.child, signal));
    process.until("it listens to signals", |process| caught(process));
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGHUP] {
        process.signal(signal);
    }
    assert_eq!(process.unread(), 0, "the start was over");
    process.find_addresses();
    process.until("the reload", |process| process.count(ACCEPTED) == 1);
    process.ends();
}

/// Starts it with a low limit of open files.
fn with_files(command: &mut Command, files: u32) {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(command.get_program());
    limited.args(command.get_args()).env("RUST_LOG", "info").env_remove("NOTIFY_SOCKET");
    *command = limited;
}

/// A server that answers every request.
fn answering() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.map_while(Result::ok) {
                    if line.is_empty() && write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn few_open_files_are_shared_out_and_no_server_is_blamed() {
    let probe = "probe = { kind = \"tcp\", interval = \"500ms\", timeout = \"400ms\", fast_interval = \"200ms\", \
                 fall = 1, rise = 1 }\npanic = \"refuse\"";
    let text = configuration("/").replace("port = 1", &format!("port = {}", answering().port()));
    let text = text.replace("probe = { kind = \"none\" }", probe);
    let text = text.replace("threads = 1\n", "threads = 1\nendpoint_metrics = \"all\"\n");
    let mut process = Process::spawn_with(&text, |command| with_files(command, 90));
    assert!(process.said("may have 90 files open").unwrap().contains("for 22 client connections"));
    process.find_addresses();
    let sum = |process: &Process, name: &str, label: &str| -> f64 {
        let metrics = process.ask(process.admin, "/metrics");
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    process.until("the server is well", |process| process.status("/") == 200);
    let mut client = TcpStream::connect_timeout(&process.listener, PATIENCE).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut again = || {
        write!(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let count = client.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..count]));
    };
    again();
    let connect = |_| TcpStream::connect_timeout(&process.listener, Duration::from_secs(1)).ok();
    let flood: Vec<TcpStream> = (0..200).filter_map(connect).collect();
    assert!(flood.len() > 90, "{}", flood.len());
    let passed = |process: &Process| sum(process, "rolegate_endpoint_checks_total", "\"pass\"");
    let before = passed(&process);
    process.until("some probes pass meanwhile", |process| {
        again();
        passed(process) >= before + 4.0
    });
    for (name, label) in [
        ("rolegate_accept_errors_total", ""),
        ("rolegate_endpoint_checks_total", "\"fail\""),
        ("rolegate_endpoint_checks_total", "\"unknown\""),
        ("rolegate_endpoint_failures_total", ""),
        ("rolegate_request_errors_total{role=\"web\"", ""),
    ] {
        assert_eq!(sum(&process, name, label), 0.0, "{name} {label}");
    }
    // Those that say nothing give way to one that asks.
    assert_eq!(process.status("/"), 200);
    drop(flood);
    process.ends();
}

#[test]
fn sigusr1_opens_the_access_log_again() {
    let logs = tempfile::tempdir().unwrap();
    let (path, moved) = (logs.path().join("access.log"), logs.path().join("access.log.1"));
    let mut process = Process::spawn(&format!("{}[access_log]\npath = {path:?}\n", configuration("/first")));
    process.find_addresses();
    assert_eq!(process.status("/first"), 502);
    process.until("a line", |_| fs::read_to_string(&path).unwrap().lines().count() == 1);
    fs::rename(&path, &moved).unwrap();
    process.signal(Signal::SIGUSR1);
    process.until("a new file", |_| path.exists());
    assert_eq!(process.status("/first"), 502);
    process.until("a line in it", |_| fs::read_to_string(&path).unwrap().lines().count() == 1);
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 1);
    process.ends();
}

#[test]
fn each_event_and_each_mistake_is_one_line() {
    let mut process = Process::spawn_with(&configuration("/first"), |command| {
        command.env("ROLEGATE_LOG_FORMAT", "json");
    });
    let line = |line: String| -> serde_json::Value { serde_json::from_str(&line).unwrap() };
    let start = process.said("rolegate starts").map(line).unwrap();
    assert_eq!((&start["version"], &start["threads"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()), "{start}");
    assert!(start["file"].as_str().unwrap().ends_with("rolegate.toml"), "{start}");
    process.said("admin:").unwrap();
    process
        .write(&configuration("/first").replace("preset", "prset").replace("code = \"P01\"", "code = \"\\u001b[2J\""));
    process.signal(Signal::SIGHUP);
    let summary = process.said("is rejected").map(line).unwrap();
    assert!(summary["errors"].as_u64() >= Some(2) && summary["level"] == "ERROR", "{summary}");
    for (place, part) in [("toml:2:", "code"), ("toml:12:", "prset")] {
        let text = process.said(place).unwrap();
        assert!(!text.contains('\x1b'), "{text:?}");
        let mistake = line(text);
        assert!(mistake["message"].as_str().unwrap().contains(part), "{mistake}");
        assert!(!mistake["help"].as_str().unwrap().is_empty(), "{mistake}");
    }
    process.ends();
}
