//! Holds very many idle connections, or serves them.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use rolegate_bench::client::Tls;
use rolegate_bench::hold::{self, Alive, Opening, Plan, Report};
use rolegate_bench::say;
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};

/// Holds very many idle connections, or serves them
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// One GET on each connection, then nothing
    Http(Http),
    /// As http, over TLS
    Https(Https),
    /// One line on each connection, then nothing
    Tunnel(Tunnel),
    /// The other side: answers a GET with a few bytes and a line with the line
    Serve {
        /// Where to listen
        #[arg(long)]
        address: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Where to connect to
    #[arg(long, value_name = "ADDRESS")]
    to: SocketAddr,
    /// How many connections
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// The network whose addresses they come from in turn, for example 127.1.0.0/16
    #[arg(long, value_name = "NETWORK")]
    sources: Option<IpNet>,
    /// How many are opened at a time
    #[arg(long, default_value_t = 100)]
    concurrency: usize,
    /// How long one may take to be opened
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// How long they are held once all are open; else until a line on the input or SIGTERM
    #[arg(long, value_parser = humantime::parse_duration)]
    hold: Option<Duration>,
    /// The process whose memory is told
    #[arg(long)]
    pid: Option<u32>,
    /// After how many connections it is told
    #[arg(long, default_value_t = 5000)]
    step: usize,
    /// Opens those again that close
    #[arg(long)]
    reconnect: bool,
}

#[derive(Debug, Args)]
struct Http {
    #[command(flatten)]
    common: Common,
    /// What to ask for
    #[arg(long, default_value = "/")]
    target: String,
    /// Whom to ask for
    #[arg(long, default_value = "hold.lab.test")]
    host: String,
}

#[derive(Debug, Args)]
struct Https {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    tls: Secure,
}

#[derive(Debug, Args)]
struct Tunnel {
    #[command(flatten)]
    common: Common,
    /// What to say
    #[arg(long, default_value = "Ping")]
    line: String,
    /// Speaks TLS
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    secure: Secure,
}

#[derive(Debug, Args)]
struct Secure {
    /// The name in the handshake; that of the host if not given
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The authorities that the server's certificate must come from; any will do if not given
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Secure {
    fn connector(&self) -> anyhow::Result<rolegate_bench::client::Connector> {
        let mut tls = Tls::new();
        if let Some(name) = &self.sni {
            tls = tls.sni(name);
        }
        if let Some(file) = &self.ca {
            let pem = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            tls = tls.trusting(&pem);
        }
        tls.connector().map_err(anyhow::Error::msg)
    }
}

impl Common {
    fn plan(&self, opening: Opening) -> Plan {
        Plan {
            connections: self.connections,
            sources: self.sources,
            concurrency: self.concurrency,
            timeout: self.timeout,
            step: self.step,
            pid: self.pid,
            reconnect: self.reconnect,
            ..Plan::new(self.to, opening)
        }
    }
}

/// Ready when the time is over, or when somebody says so.
async fn until(hold: Option<Duration>) {
    let (said, heard) = tokio::sync::oneshot::channel();
    // A thread, because reading the input cannot be waited for otherwise. An input that ends says nothing.
    std::thread::spawn(move || {
        if io::stdin().read_line(&mut String::new()).is_ok_and(|len| len > 0) {
            let _ = said.send(());
        }
    });
    let over = async {
        match hold {
            Some(hold) => tokio::time::sleep(hold).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        Ok(()) = heard => {}
        () = stopped() => {}
    }
}

async fn stopped() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn tell(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()?;
    match report {
        Report::Step { alive, failed, seconds, .. } => {
            say::err(format_args!("{seconds:.1} s: {alive} open, {failed} failed"));
        }
        Report::Second { alive, closed, reopened, .. } => {
            say::err(format_args!("{closed} closed and {reopened} opened again in a second: {alive} open"));
        }
        Report::End { first_error: Some(error), .. } => say::err(format_args!("the first that failed: {error}")),
        Report::End { .. } => {}
    }
    Ok(())
}

fn raise(connections: usize) {
    match hold::raise_open_files(connections as u64) {
        Ok(possible) if possible >= connections as u64 => {}
        Ok(possible) => {
            say::err(format_args!("warning: the system lets this process open {possible} connections only"));
        }
        Err(error) => say::err(format_args!("warning: the limit of open files cannot be raised: {error}")),
    }
}

async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    raise(1_000_000);
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| format!("{address} cannot be listened on"))?;
    let listener = socket.listen(8192)?;
    say::out(listener.local_addr()?);
    let alive = Alive::default();
    let watch = async {
        let mut told = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = alive.count();
            if now != told {
                say::err(format_args!("{now} open"));
                told = now;
            }
        }
    };
    tokio::select! {
        () = hold::serve(listener, alive.clone()) => {}
        () = watch => {}
        () = stopped() => {}
    }
    Ok(())
}

async fn run(mode: Mode) -> anyhow::Result<()> {
    let get = |http: &Http| Opening::Get { target: http.target.clone(), host: http.host.clone() };
    let (common, plan) = match mode {
        Mode::Serve { address } => return serve(address).await,
        Mode::Http(http) => {
            let plan = http.common.plan(get(&http));
            (http.common, plan)
        }
        Mode::Https(Https { http, tls }) => {
            let plan = Plan { tls: Some(tls.connector()?), ..http.common.plan(get(&http)) };
            (http.common, plan)
        }
        Mode::Tunnel(tunnel) => {
            let tls = tunnel.tls.then(|| tunnel.secure.connector()).transpose()?;
            let plan = Plan { tls, ..tunnel.common.plan(Opening::Line(tunnel.line)) };
            (tunnel.common, plan)
        }
    };
    raise(common.connections);
    let mut unread = false;
    let told = |report: &Report| tell(report).inspect_err(|error| unread = error.kind() == io::ErrorKind::BrokenPipe);
    let held = hold::run(plan, || until(common.hold), told).await;
    // Who reads the reports has read enough, as `head` does.
    if unread { Ok(()) } else { held.context("holding the connections") }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime");
    match runtime.and_then(|runtime| runtime.block_on(run(flags.mode))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::err(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
