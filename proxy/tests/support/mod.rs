//! What the tests of the data plane share: a proxy from a few lines of TOML, a client that speaks bytes, servers that do
//! exactly what a test says, and waits that end.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod peers;
pub mod pki;
pub mod wire;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rolegate::app::App;
use rolegate::control::config::Source;
use rolegate::status::EndpointStatus;
use rolegate_bench::client::{Connector, Tls};

pub use peers::{Peer, Talk};
pub use pki::Pki;
pub use wire::{Message, TlsWire, Wire};

/// No wait of a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Runs `work`, but not for ever.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let from = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < PATIENCE, "{from}: {what}: not within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A configuration with one role, `web`, that takes every path, and one listener, `http`.
#[derive(Clone, Default)]
pub struct Setup {
    proxy: String,
    role: String,
    held: Option<&'static str>,
    listener: String,
    system: String,
    more: String,
    servers: Vec<SocketAddr>,
    threads: usize,
}

impl Setup {
    /// The role is held by these servers, called `srv0.lab.test`, `srv1.lab.test` and so on. No probes: a server is what
    /// live traffic says it is.
    pub fn new(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { servers: servers.into_iter().collect(), threads: 1, ..Self::default() }
    }

    /// Lines of `[proxy]`.
    pub fn proxy(mut self, lines: &str) -> Self {
        self.proxy = lines.to_owned();
        self
    }

    /// More than one data thread.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Lines of `[roles.web]`.
    pub fn role(mut self, lines: &str) -> Self {
        self.role = lines.to_owned();
        self
    }

    /// Another role than `web`, which has a preset of its own.
    pub fn held(mut self, name: &'static str) -> Self {
        self.held = Some(name);
        self
    }

    /// Lines of the listener; its TLS comes last.
    pub fn listener(mut self, lines: &str) -> Self {
        self.listener = lines.to_owned();
        self
    }

    /// Lines of every site system.
    pub fn system(mut self, lines: &str) -> Self {
        self.system = lines.to_owned();
        self
    }

    /// More tables.
    pub fn more(mut self, tables: &str) -> Self {
        self.more = tables.to_owned();
        self
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let Self { proxy, role, held, listener, system, more, servers, threads } = self;
        let preset = if role.contains("preset") || held.is_some() { "" } else { "preset = \"plain\"" };
        let held = held.unwrap_or("web");
        let probe = if role.contains("probe") { "" } else { "probe = { kind = \"none\" }" };
        let systems: String = servers
            .iter()
            .enumerate()
            .map(|(number, server)| {
                format!(
                    "[[site_systems]]\nname = \"srv{number}.lab.test\"\naddress = \"{}\"\n\
                     roles = [{{ role = \"{held}\", port = {} }}]\n{system}\n",
                    server.ip(),
                    server.port()
                )
            })
            .collect();
        format!(
            "[site]\ncode = \"P01\"\n[proxy]\nthreads = {threads}\nendpoint_metrics = \"all\"\n{proxy}\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"{held}\"]\n{listener}\n\
             [roles.{held}]\n{preset}\n{probe}\n{role}\n{systems}\n{more}\n"
        )
    }

    /// Starts it.
    pub fn start(&self) -> Proxy {
        Proxy::start(&self.text())
    }
}

/// A running proxy.
pub struct Proxy {
    app: Option<App>,
}

impl Proxy {
    /// Starts a proxy from the text of its configuration.
    pub fn start(text: &str) -> Self {
        let source = Source { name: "test.toml".to_owned(), text: text.to_owned() };
        match App::start(&source, None) {
            Ok(app) => Self { app: Some(app) },
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    /// The library's view of it.
    pub fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    /// Takes the proxy out, to shut it down.
    pub fn into_app(mut self) -> App {
        self.app.take().unwrap()
    }

    /// Where a listener is.
    pub fn at(&self, listener: &str) -> SocketAddr {
        self.app().listener(listener).unwrap()
    }

    /// Opens a connection to the listener `http`.
    pub async fn open(&self) -> Wire {
        Wire::connect(self.at("http")).await
    }

    /// Opens a connection to the listener `http` from one of the loopback addresses.
    pub async fn open_from(&self, source: &str) -> Wire {
        let source: IpAddr = source.parse().unwrap();
        Wire::connect_from(source, self.at("http")).await
    }

    /// Opens a connection to the listener `http` and secures it.
    pub async fn secure(&self, tls: &Tls) -> TlsWire {
        self.try_secure(tls).await.unwrap()
    }

    /// As [`Proxy::secure`], for a handshake that may fail. With TLS 1.3 a client hears of that only later.
    pub async fn try_secure(&self, tls: &Tls) -> std::io::Result<TlsWire> {
        pki::secure(self.open().await, &tls.connector().unwrap()).await
    }

    /// As [`Proxy::secure`], with sessions that can be resumed.
    pub async fn secure_with(&self, connector: &Connector) -> TlsWire {
        pki::secure(self.open().await, connector).await.unwrap()
    }

    /// One GET on a secured connection of its own.
    pub async fn get_secured(&self, tls: &Tls, target: &str) -> Message {
        self.secure(tls).await.ask(&get(target)).await
    }

    /// Connections that ended before their first request for this reason.
    pub fn refused(&self, reason: &str) -> f64 {
        self.metric("rolegate_connection_errors_total", &[&format!("reason=\"{reason}\"")])
    }

    /// Waits until so many connections ended before their first request for this reason, and none for another.
    #[track_caller]
    pub fn until_refused(&self, reason: &'static str, count: usize) -> impl Future<Output = ()> {
        let from = std::panic::Location::caller();
        async move {
            let what = format!("{from}: {count} connections ended with {reason}");
            until(&what, || self.refused(reason) >= count as f64).await;
            let all = self.metric("rolegate_connection_errors_total", &[]);
            assert_eq!(all, count as f64, "{from}: {reason}\n{}", self.app().metrics());
        }
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &str) -> Message {
        let mut client = self.open().await;
        client.ask(request).await
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, target: &str) -> Message {
        self.ask(&get(target)).await
    }

    /// All endpoints of all roles.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.app().status().roles.into_iter().flat_map(|role| role.endpoints).collect()
    }

    /// Requests that are under way at all endpoints.
    pub fn in_flight(&self) -> u32 {
        self.endpoints().iter().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Waits until this many endpoints are well.
    pub async fn until_well(&self, count: usize) {
        let well = || self.endpoints().iter().filter(|endpoint| endpoint.available).count();
        until(&format!("{count} endpoints are well"), || well() == count).await;
    }

    /// Waits until no request is under way.
    pub async fn until_idle(&self) {
        until("every lease is given back", || self.in_flight() == 0).await;
    }

    /// The sum of a metric over the series that have all of these labels.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let rendered = self.app().metrics();
        let lines = rendered.lines().filter(|line| {
            let found = line.split(['{', ' ']).next() == Some(name);
            found && labels.iter().all(|label| line.contains(label))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// A GET without a body.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: lab.test\r\n\r\n")
}

/// An answer with a length.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An answer with this status and body.
pub fn status(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
