//! The rolegate under test, as a process.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ledger::Ledger;
use super::schedule::Reading;
use super::wire::Reader;

/// The longest that it may take to serve, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The end of its log that is kept.
const KEPT: usize = 64 * 1024;

/// What it uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Memory that is resident, in bytes.
    pub(super) memory: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
}

/// Where it is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// A running rolegate. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) addresses: Addresses,
    pub(super) log: watch::Sender<Option<Reading>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, or does now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it, and waits until it serves. `launch` is the program and what comes before the words of rolegate.
    pub(super) async fn start(launch: &mut Command, file: &Path, ledger: &Arc<Ledger>) -> anyhow::Result<Self> {
        let (reader, writer) = io::pipe()?;
        launch.arg("run").arg(file).env("RUST_LOG", "info").env_remove("NOTIFY_SOCKET");
        let child = launch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn();
        let child = child.with_context(|| format!("{} cannot be started", launch.get_program().display()))?;
        // The writing end must close with the child.
        launch.stderr(Stdio::null());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { plain: nowhere, tls: nowhere, admin: nowhere };
        let mut process = Self { child, addresses, log: watch::Sender::new(None) };
        let mut pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let mut said = String::new();
        let found = timeout(PATIENCE, addresses_in(&mut pipe, &mut said)).await;
        process.addresses = found.ok().flatten().with_context(|| format!("rolegate does not serve: {said}"))?;
        tokio::spawn(read_log(pipe, process.log.subscribe(), Arc::clone(ledger)));
        Ok(process)
    }

    fn pid(&self) -> i32 {
        // Process numbers of Linux fit.
        self.child.id().cast_signed()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        // If it has ended, that is seen elsewhere.
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Lets it open no more files than `spare` beyond those that it has open. Returns what was possible before.
    pub(super) fn limit_descriptors(&self, spare: u64) -> io::Result<(u64, u64)> {
        let (mut soft, mut hard) = (0, 0);
        rlimit::prlimit(self.pid(), rlimit::Resource::NOFILE, None, Some((&mut soft, &mut hard)))?;
        let few = usage(self.id())?.descriptors + spare;
        self.set_limit((few.min(hard), hard))?;
        Ok((soft, hard))
    }

    pub(super) fn set_limit(&self, limit: (u64, u64)) -> io::Result<()> {
        rlimit::prlimit(self.pid(), rlimit::Resource::NOFILE, Some(limit), None)
    }
}

/// What a process uses now.
pub(super) fn usage(process: u32) -> io::Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64;
    Ok(Usage { memory: kib * 1024, descriptors })
}

/// Reads the log until all addresses are in it.
async fn addresses_in(pipe: &mut Receiver, said: &mut String) -> Option<Addresses> {
    let mut piece = vec![0; 4096];
    loop {
        let address = |what: &str| -> Option<SocketAddr> {
            let line = said.lines().find(|line| line.contains(what))?;
            line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
        };
        if let (Some(plain), Some(tls), Some(admin)) =
            (address("listener=http "), address("listener=https "), address("admin:"))
        {
            return Some(Addresses { plain, tls, admin });
        }
        match pipe.read(&mut piece).await {
            Ok(len @ 1..) => said.push_str(&String::from_utf8_lossy(&piece[..len])),
            Ok(0) | Err(_) => return None,
        }
    }
}

/// Reads what it says, as a reader that does as it is told.
async fn read_log(mut pipe: Receiver, mut how: watch::Receiver<Option<Reading>>, ledger: Arc<Ledger>) {
    let (mut piece, mut kept) = (vec![0; 16 * 1024], String::new());
    loop {
        let now = *how.borrow_and_update();
        match now {
            Some(Reading::Goes) => return,
            Some(Reading::Stops) => {
                if how.changed().await.is_err() {
                    return;
                }
                continue;
            }
            None => {}
        }
        tokio::select! {
            changed = how.changed() => if changed.is_err() { return },
            read = pipe.read(&mut piece) => match read {
                Ok(len @ 1..) => {
                    kept.push_str(&String::from_utf8_lossy(&piece[..len]));
                    if let Some(at) = kept.find("panicked") {
                        ledger.violation(format_args!("rolegate says: {}", &kept[at..]));
                        return;
                    }
                    if kept.len() > KEPT {
                        // A line that is cut here is looked at again in part only.
                        kept = kept.lines().last().unwrap_or_default().to_owned();
                    }
                }
                Ok(0) | Err(_) => return,
            },
        }
    }
}

/// Makes the file that rolegate writes its access log to, and reads it, as a reader that does as it is told.
pub(super) async fn read_access_log(file: std::path::PathBuf, mut how: watch::Receiver<Option<Reading>>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let now = *how.borrow_and_update();
        let reader = match now {
            Some(Reading::Goes) => None,
            Some(Reading::Stops) | None => OpenOptions::new().open_receiver(&file).ok(),
        };
        loop {
            let now = *how.borrow_and_update();
            match (now, &reader) {
                (None, Some(pipe)) => tokio::select! {
                    changed = how.changed() => if changed.is_err() { return },
                    ready = pipe.readable() => {
                        // Nothing to read, or no writer yet: both come again.
                        if ready.is_err() || matches!(pipe.try_read(&mut piece), Ok(0) | Err(_)) {
                            sleep(Duration::from_millis(20)).await;
                        }
                    }
                },
                (Some(Reading::Goes), Some(_)) => break,
                (None, None) => {
                    sleep(Duration::from_millis(20)).await;
                    break;
                }
                (Some(_), _) => {
                    if how.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// A connection to the admin listener that is kept.
#[derive(Debug)]
pub(super) struct Admin {
    address: SocketAddr,
    connection: Option<TcpStream>,
}

impl Admin {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// The status and the body of an answer.
    pub(super) async fn ask(&mut self, target: &str) -> io::Result<Answer> {
        let stream = match self.connection.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        let mut reader = Reader::new(stream);
        reader.stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let head = reader.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (mut body, mut text) = (head.response_body(), Vec::new());
        while let Some(piece) = reader.piece(&mut body, usize::MAX).await? {
            text.extend(piece);
        }
        if !head.closes() {
            self.connection = Some(reader.stream);
        }
        Ok(Answer { status: head.status(), text: String::from_utf8_lossy(&text).into_owned() })
    }

    /// All metrics.
    pub(super) async fn metrics(&mut self) -> io::Result<Metrics> {
        Ok(Metrics(self.ask("/metrics").await?.text))
    }

    /// How long it takes to say that it is alive; nothing when it is not said in this time.
    pub(super) async fn health(&mut self, longest: Duration) -> Option<Duration> {
        let begun = Instant::now();
        // A connection that was closed meanwhile is no answer: a new one is asked in the time that is left.
        let asked = async {
            match self.ask("/health").await {
                Ok(answer) => Ok(answer),
                Err(_) => self.ask("/health").await,
            }
        };
        match timeout(longest, asked).await {
            Ok(Ok(answer)) if answer.status == 200 => Some(begun.elapsed()),
            _ => {
                self.connection = None;
                None
            }
        }
    }
}

/// An answer of the admin listener.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

/// What `/metrics` says.
#[derive(Debug)]
pub(super) struct Metrics(String);

impl Metrics {
    /// The sum of all series of this name whose labels contain this.
    pub(super) fn sum(&self, name: &str, label: &str) -> f64 {
        self.values(name, label).sum()
    }

    /// The values of all series of this name whose labels contain this.
    pub(super) fn values<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = f64> + 'a {
        let lines = self.0.lines().filter_map(move |line| line.strip_prefix(name));
        let own = lines.filter(move |rest| rest.starts_with(['{', ' ']) && rest.contains(label));
        own.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
    }
}
