//! Upgrades of the running program, the end of it, and sockets that others have bound.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that changes by itself.
const LOOK: Duration = Duration::from_millis(5);

/// A server that answers `ok`; a path with `slow` in it when it is told to go on, in two pieces. What does not begin with a request
/// comes back as it is.
struct Server {
    address: SocketAddr,
    go_on: Arc<AtomicBool>,
}

fn serve(stream: &TcpStream, go_on: &AtomicBool) -> std::io::Result<()> {
    let (mut reader, mut out) = (BufReader::new(stream), stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            if !head.starts_with("GET ") {
                out.write_all(std::mem::take(&mut head).as_bytes())?;
            }
        }
        if head.contains("slow") {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")?;
            let begun = Instant::now();
            while !go_on.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                std::thread::park_timeout(LOOK);
            }
            out.write_all(b"k")?;
        } else {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, go_on) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let told = Arc::clone(&go_on);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                std::thread::spawn(move || serve(&stream, &told));
            }
        });
        Self { address, go_on }
    }

    /// Two listeners, `http` and `tunnel`.
    fn configuration(&self, threads: usize, proxy: &str) -> String {
        let port = self.address.port();
        format!(
            "[site]\ncode = \"P01\"\n[proxy]\nthreads = {threads}\n{proxy}\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"web\"]\n\
             [[listeners]]\nname = \"tunnel\"\naddress = \"127.0.0.1:0\"\nroles = [\"bytes\"]\n\
             [roles.web]\npreset = \"plain\"\nprobe = {{ kind = \"none\" }}\n\
             [roles.bytes]\npreset = \"client-notification\"\nprobe = {{ kind = \"none\" }}\n\
             [[site_systems]]\nname = \"srv\"\naddress = \"127.0.0.1\"\n\
             roles = [{{ role = \"web\", port = {port} }}, {{ role = \"bytes\", port = {port} }}]\n"
        )
    }
}

/// A `rolegate run`, and those that have taken over from it.
struct Process {
    child: Child,
    folder: TempDir,
    log: BufReader<PipeReader>,
    http: SocketAddr,
    tunnel: SocketAddr,
    admin: SocketAddr,
    pids: Vec<i32>,
}

impl Process {
    fn start(text: &str) -> Self {
        Self::start_with(text, |_| {})
    }

    fn start_with(text: &str, change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rolegate.toml");
        fs::write(&file, text).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.args(["run".as_ref(), file.as_os_str()]).env("RUST_LOG", "info").env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        change(&mut command);
        let child = command.stderr(writer).spawn().unwrap();
        // Its end of the pipe.
        drop(command);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let pid = i32::try_from(child.id()).unwrap();
        let (log, pids) = (BufReader::new(reader), vec![pid]);
        let mut process = Self { child, folder, log, http: nowhere, tunnel: nowhere, admin: nowhere, pids };
        let address =
            |line: String| line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        process.http = address(process.said("listening")).parse().unwrap();
        process.tunnel = address(process.said("listening")).parse().unwrap();
        process.admin = address(process.said("admin:")).parse().unwrap();
        process
    }

    /// The next line of the log that has this in it.
    fn said(&mut self, what: &str) -> String {
        let mut lines = Vec::new();
        for line in (&mut self.log).lines().map_while(Result::ok) {
            if line.contains(what) {
                return line;
            }
            lines.push(line);
        }
        panic!("{what} is not in {lines:#?}");
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("rolegate.toml"), text).unwrap();
    }

    fn status(&self) -> serde_json::Value {
        self.try_status().unwrap()
    }

    /// None from one that hands its admin address over at that moment.
    fn try_status(&self) -> Option<serde_json::Value> {
        let answer = ask(self.admin, "/status").ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The process that answers.
    fn pid(&self) -> i32 {
        i32::try_from(self.status()["pid"].as_i64().unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(*self.pids.last().unwrap()), signal).unwrap();
    }

    /// Has the program take over from itself.
    fn upgrade(&mut self) {
        let before = self.pid();
        self.signal(Signal::SIGUSR2);
        self.said("this process has taken over");
        let mut now = before;
        until("the old one answers no more", || {
            now = self.try_status().and_then(|status| i32::try_from(status["pid"].as_i64()?).ok()).unwrap_or(before);
            now != before
        });
        self.pids.push(now);
    }

    fn command(&self, name: &str) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command.args([name, "--admin", &self.admin.to_string()]).output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for pid in &self.pids {
            // It may have ended.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(LOOK);
    }
}

fn connect(at: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One answer on a connection of its own.
fn ask(at: SocketAddr, target: &str) -> std::io::Result<String> {
    let mut stream = connect(at)?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// One answer with the body `ok` on a connection that may be kept. Says whether it may.
fn ask_again(stream: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    stream.get_mut().write_all(b"GET /kept HTTP/1.1\r\nHost: h\r\n\r\n")?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut body = [0; 2];
    stream.read_exact(&mut body)?;
    assert!(head.starts_with("HTTP/1.1 200") && &body == b"ok", "{head}");
    Ok(!head.contains("connection: close"))
}

/// Clients that connect anew for each request, and clients that keep their connection.
struct Load {
    over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(at: SocketAddr) -> Self {
        let (over, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..6).map(|number| {
            let (over, served) = (Arc::clone(&over), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut kept: Option<BufReader<TcpStream>> = None;
                while !over.load(Ordering::Relaxed) {
                    let mut stream = kept.take().unwrap_or_else(|| BufReader::new(connect(at).unwrap()));
                    let may_stay = ask_again(&mut stream).unwrap_or_else(|error| panic!("client {number}: {error}"));
                    kept = Some(stream).filter(|_| may_stay && number % 2 == 0);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self { over, served, clients }
    }

    fn until_more(&self) {
        let before = self.served.load(Ordering::Relaxed);
        until("clients go on", || self.served.load(Ordering::Relaxed) > before + 50);
    }

    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
    }
}

#[test]
fn upgrades_under_load_lose_nothing() {
    let server = Server::start();
    let times = "drain_timeout = \"2s\"";
    let mut process = Process::start(&server.configuration(2, times));
    let load = Load::start(process.http);
    load.until_more();
    // A download, and a tunnel, that are under way.
    let mut download = connect(process.http).unwrap();
    download.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut tunnel = BufReader::new(connect(process.tunnel).unwrap());
    let mut through = |text: &str| {
        writeln!(tunnel.get_mut(), "{text}").unwrap();
        let mut line = String::new();
        tunnel.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(through("before"), "before\n");
    // Fewer threads, more of them, and as many as before.
    for threads in [1, 3, 2, 2] {
        process.write(&server.configuration(threads, times));
        process.upgrade();
        load.until_more();
        for _ in 0..20 {
            assert!(ask(process.http, "/").unwrap().ends_with("ok"));
        }
    }
    let pids: std::collections::BTreeSet<i32> = process.pids.iter().copied().collect();
    assert_eq!(pids.len(), 5);
    assert_eq!(process.status()["listeners"][0]["address"], process.http.to_string());
    // The tunnel goes with its process, little by little; the download has all the time that it needs.
    let mut rest = String::new();
    tunnel.read_line(&mut rest).unwrap();
    assert_eq!(rest, "", "the tunnel has ended, its client comes back");
    assert_eq!(process.child.try_wait().unwrap(), None, "the first one goes on with its download");
    server.go_on.store(true, Ordering::Relaxed);
    let mut answer = String::new();
    download.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    until("it ends", || process.child.try_wait().unwrap().is_some_and(|status| status.code() == Some(0)));
    load.end();
    process.signal(Signal::SIGTERM);
    until("the last one ends", || TcpStream::connect(process.http).is_err());
}

#[test]
fn a_successor_that_cannot_serve_changes_nothing() {
    let server = Server::start();
    let good = server.configuration(1, "watch = false");
    let mut process = Process::start(&good);
    process.write("broken =");
    let failed = process.command("upgrade");
    let text = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("the upgrade has failed") && text.contains("exit status: 1"), "{text}");
    process.said("the upgrade has failed: this process goes on");
    assert_eq!(process.pid(), process.pids[0]);
    assert!(ask(process.http, "/").unwrap().ends_with("ok"));
    process.write(&good);
    let done = process.command("upgrade");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains(&format!("has taken over from {}", process.pids[0])));
    process.pids.push(process.pid());
    assert_ne!(process.pids[0], process.pids[1]);
    assert!(ask(process.http, "/").unwrap().ends_with("ok"));
}

#[test]
fn the_service_manager_hears_which_process_is_the_main_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |what: &str| loop {
        let mut message = [0; 128];
        let length = socket.recv(&mut message).unwrap();
        let text = String::from_utf8_lossy(&message[..length]).trim().to_owned();
        if text != "WATCHDOG=1" || text == what {
            return text;
        }
    };
    let server = Server::start();
    let mut process = Process::start_with(&server.configuration(1, ""), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    });
    assert_eq!(heard("READY=1"), "READY=1");
    assert_eq!(heard("WATCHDOG=1"), "WATCHDOG=1");
    process.upgrade();
    assert_eq!(heard("MAINPID"), format!("MAINPID={}\nREADY=1", process.pids[1]));
    until("the first one ends", || process.child.try_wait().unwrap().is_some());
    process.signal(Signal::SIGTERM);
    assert_eq!(heard("STOPPING=1"), "STOPPING=1");
}

#[test]
fn the_service_manager_hears_of_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let server = Server::start();
    let text = server.configuration(1, "watch = false");
    let process = Process::start_with(&text, |command| _ = command.env("NOTIFY_SOCKET", &path));
    assert!(heard().starts_with("READY=1"));
    for (text, result) in [(text.as_str(), "was read again"), ("broken =", "is rejected")] {
        process.write(text);
        process.signal(Signal::SIGHUP);
        let begun = heard();
        assert!(begun.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begun}");
        let ended = heard();
        assert!(ended.starts_with("READY=1\nSTATUS=") && ended.contains(result), "{ended}");
    }
}

#[test]
fn before_the_end_ready_says_no_and_everything_goes_on() {
    let server = Server::start();
    let mut process = Process::start(&server.configuration(1, "shutdown_delay = \"1h\""));
    assert!(ask(process.admin, "/ready").unwrap().starts_with("HTTP/1.1 200"));
    process.signal(Signal::SIGTERM);
    until("/ready says no", || ask(process.admin, "/ready").unwrap().starts_with("HTTP/1.1 503"));
    assert!(ask(process.http, "/").unwrap().ends_with("ok"));
    // A client that has connected and not sent its request is served when the wait ends.
    let mut clients: Vec<_> = (0..20).map(|_| BufReader::new(connect(process.http).unwrap())).collect();
    process.signal(Signal::SIGTERM);
    process.said("shutting down");
    for client in &mut clients {
        assert!(!ask_again(client).unwrap(), "it closes after the answer");
    }
    until("it ends", || process.child.try_wait().unwrap().is_some_and(|status| status.code() == Some(0)));
}

#[test]
fn sockets_that_another_has_bound_are_used() {
    let server = Server::start();
    let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, admin) = (bound(), bound());
    let places = [http.local_addr().unwrap(), admin.local_addr().unwrap()];
    // As systemd does it: at descriptor 3 and after it, and for this process alone.
    let script =
        "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:admin exec \"$0\" \"$@\"";
    let mut process = Process::start_with(&server.configuration(3, ""), |command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(command.get_program()).args(command.get_args());
        shell.env("RUST_LOG", "info").env_remove("NOTIFY_SOCKET");
        shell.stdin(OwnedFd::from(http)).stdout(OwnedFd::from(admin));
        *command = shell;
    });
    assert_eq!([process.http, process.admin], places);
    for _ in 0..30 {
        assert!(ask(process.http, "/").unwrap().ends_with("ok"));
    }
    // They go on to a successor.
    process.upgrade();
    assert_eq!(process.status()["listeners"][0]["address"], places[0].to_string());
    for _ in 0..30 {
        assert!(ask(process.http, "/").unwrap().ends_with("ok"));
    }
}
