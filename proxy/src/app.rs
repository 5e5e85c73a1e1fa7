//! Build, run, drain: puts control and data together. Also the way to run a proxy inside another program.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::Counter;
use socket2::SockRef;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::access_log::{self, Reopen};
use crate::admin::{Admin, Threads};
use crate::control::compile::{Compiled, Fixed};
use crate::control::config::Source;
use crate::control::director::{self, Director, Handles, Order, Reload};
use crate::control::listening::{FailedUpgrade, Listening};
use crate::control::origin::Origin;
use crate::control::state_file;
use crate::data::run::{Command, Told};
use crate::data::thread::access_log::Sink;
use crate::data::upstream::worker::Shared;
use crate::figures;
use crate::limits;
use crate::metrics::{Metrics, NO_ROLE, RoleMetrics, ThreadMetrics};
use crate::model::snapshot::Snapshot;
use crate::status::Status;
use crate::steering::{self, Steered};

pub mod inherited;
mod sockets;
mod stock;
pub mod takeover;
mod threads;
mod unix;

use inherited::Inherited;
use sockets::{CHANGES, Hall};
use stock::{Kept, Stock};
use takeover::Outcome;
use threads::{AdminSockets, Stoppable, Watched};
use unix::SocketFile;

/// Bytes that the kernel holds for one admin connection; it takes twice as much.
const ADMIN_UNSENT: usize = 128 << 10;
/// How long a shutdown waits for the last lines of the access log.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a proxy could not be started.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum StartError {
    /// Every mistake in the configuration, rendered.
    #[error("{0}")]
    Configuration(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what}): {cause}")]
    Bind { what: String, address: SocketAddr, cause: io::Error },
    /// Listeners cannot be listened on, each with why.
    #[error("{0}")]
    Listen(String),
    /// The access log cannot be opened.
    #[error("cannot open the access log {path}: {cause}")]
    AccessLog { path: String, cause: io::Error },
    /// The Unix socket of the admin listener cannot be made.
    #[error("cannot make the Unix socket {path} ([admin] socket): {cause}")]
    Socket { path: String, cause: io::Error },
    /// A thread or a runtime could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Why a running proxy did not take a configuration.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// Every mistake in it, rendered.
    #[error("{0}")]
    Rejected(String),
    /// The proxy is shutting down.
    #[error("the proxy is shutting down")]
    Gone,
}

/// A running proxy. Dropping it stops it at once; [`App::shutdown`] drains it first.
#[derive(Debug)]
pub struct App {
    handles: Handles,
    admin: SocketAddr,
    commands: watch::Sender<Command>,
    data: Vec<JoinHandle<io::Result<usize>>>,
    control: Option<Stoppable>,
    office: Option<Stoppable>,
    /// Removed when all threads have ended.
    _socket_file: Option<SocketFile>,
    log: Option<JoinHandle<()>>,
    reopen: Reopen,
    metrics: Arc<Metrics>,
    stock: Stock,
    threads: Threads,
    drain_timeout: Duration,
    shutdown_delay: Duration,
    upgrade_timeout: Duration,
    draining: Arc<AtomicBool>,
    ended: watch::Receiver<Option<String>>,
}

/// What a shutdown cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Client connections that were still open at the deadline.
    pub cut: usize,
}

impl App {
    /// Starts a proxy. With `file`, the file is watched and can be reloaded. The files that the configuration names are
    /// watched in any case, so that a renewed certificate is served at once. Warnings about the configuration are logged.
    ///
    /// # Errors
    /// [`StartError`] says what to do.
    pub fn start(source: &Source, file: Option<PathBuf>) -> Result<Self, StartError> {
        Self::start_with(source, file, Inherited::default())
    }

    /// As [`App::start`], with listening sockets that another process has bound.
    ///
    /// # Errors
    /// [`StartError`] says what to do.
    pub fn start_with(source: &Source, file: Option<PathBuf>, mut inherited: Inherited) -> Result<Self, StartError> {
        let (compiled, warnings) =
            director::read(source, false).map_err(|told| StartError::Configuration(told.text))?;
        warnings.iter().for_each(|warnings| warnings.log("the configuration has warnings"));
        let metrics = Arc::new(Metrics::new());
        let fixed = compiled.fixed.clone();
        let threads = usize::from(fixed.threads.unwrap_or_else(cores));
        let stock = Stock::default();
        let admin_socket = admin_socket(fixed.admin, &mut inherited, &stock)?;
        let admin = admin_socket.local_addr().unwrap_or(fixed.admin);
        let (unix, socket_file) = bind_unix(&fixed)?.unzip();
        let epoch = Instant::now();
        let (mut watched, ended) = Watched::new(epoch);
        let possible_connections = possible_connections(&compiled, threads);
        let origin = Some(Origin::new(file, source));
        let keepalive = compiled.site.limits.tcp_keepalive;
        let reopen = Reopen::default();
        let (mut director, handles) = Director::new(compiled, origin, Arc::clone(&metrics), epoch);
        if let Some(path) = state_file::place(fixed.state_file.as_deref()) {
            director.keep_overrides_in(path);
        }
        let (log, log_thread) = open_access_log(&fixed, &handles, &metrics, (&watched, &reopen))?.unzip();
        let (doors, mut changes): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel(CHANGES)).unzip();
        let hall = Hall::new(doors, keepalive, Arc::clone(&metrics), (inherited, stock.clone()));
        director.listen(Box::new(hall)).map_err(StartError::Listen)?;
        let shared = Shared {
            snapshots: Arc::clone(&handles.snapshots),
            bell: Arc::clone(&handles.bell),
            log,
            metrics: ThreadMetrics::new(&metrics),
            no_role: RoleMetrics::new(&metrics, NO_ROLE, None),
            epoch,
            notes: handles.notes.clone(),
            threads,
            possible_connections,
        };
        let (commands, command) = watch::channel(Command::Run);
        let mut data = Vec::with_capacity(threads);
        for (index, changes) in changes.drain(..).enumerate() {
            let told = Told { commands: command.clone(), changes };
            data.push(watched.start_data(index, shared.clone(), told)?);
        }
        drop(shared);
        let (control, works) = watched.start_control(director)?;
        let shown = Admin {
            handles: handles.clone(),
            metrics: Arc::clone(&metrics),
            draining: watched.draining(),
            threads: watched.threads(),
        };
        let office = watched.start_admin(shown, AdminSockets { tcp: admin_socket, unix }, works)?;
        Ok(Self {
            handles,
            admin,
            commands,
            data,
            control: Some(control),
            office: Some(office),
            _socket_file: socket_file,
            log: log_thread,
            reopen,
            metrics,
            stock,
            threads: watched.threads(),
            drain_timeout: fixed.drain_timeout,
            shutdown_delay: fixed.shutdown_delay,
            upgrade_timeout: fixed.upgrade_timeout,
            draining: watched.draining(),
            ended,
        })
    }

    /// The address that a listener is bound to.
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners().into_iter().find(|own| own.name == name).map(|own| own.address)
    }

    /// All listeners with the addresses that they are bound to.
    pub fn listeners(&self) -> Vec<Listening> {
        self.handles.view.lock().unwrap_or_else(PoisonError::into_inner).listening.clone()
    }

    /// The address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The snapshot that is served.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.handles.snapshots.current()
    }

    /// What `/status` says.
    pub fn status(&self) -> Status {
        Status::new(&self.snapshot(), &self.handles.view)
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        figures::text(&self.handles, &self.metrics)
    }

    /// Serves another configuration from now on; gives its generation. Blocks until it is served or rejected.
    ///
    /// # Errors
    /// A rejected configuration changes nothing.
    pub fn reload(&self, source: Source) -> Result<u64, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.handles.orders.blocking_send(Order::Reload(source, reply)).map_err(|_| ReloadError::Gone)?;
        answer.blocking_recv().map_err(|_| ReloadError::Gone)?.map_err(ReloadError::Rejected)
    }

    /// As [`App::reload`], for callers on a runtime.
    ///
    /// # Errors
    /// A rejected configuration changes nothing.
    pub async fn reload_async(&self, source: Source) -> Result<u64, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.handles.orders.send(Order::Reload(source, reply)).await.map_err(|_| ReloadError::Gone)?;
        answer.await.map_err(|_| ReloadError::Gone)?.map_err(ReloadError::Rejected)
    }

    /// Drains a site system, puts it into maintenance, weighs it anew, or takes that back.
    ///
    /// # Errors
    /// Every mistake, one sentence each.
    pub async fn steer(&self, asked: &steering::Asked, command: &steering::Command) -> Result<Steered, Vec<String>> {
        steering::steer(&self.handles, asked, command).await
    }

    /// Waits until a thread of the proxy ends although it was not shut down, and gives its name. What is left is half a proxy:
    /// end the process, so that it is started again.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        // The senders live as long as the threads, and the last of them says that it has ended.
        let name = ended.wait_for(Option::is_some).await.ok().and_then(|name| name.clone());
        name.unwrap_or_default()
    }

    /// A counter of `rolegate_telemetry_dropped_total`, for what the program that runs the proxy writes itself.
    pub fn telemetry_dropped(&self, sink: &'static str) -> Counter {
        self.metrics.scope(&[]).counter_by("rolegate_telemetry_dropped_total", "sink", sink)
    }

    /// How long a shutdown may take.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// How long `/ready` says no before a shutdown begins.
    pub fn shutdown_delay(&self) -> Duration {
        self.shutdown_delay
    }

    /// From now on `/ready` says no, and everything else is as before: so that those who watch it leave before the shutdown.
    pub fn announce_shutdown(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether all threads give signs of life; answers within a moment.
    pub async fn works(&self) -> bool {
        self.threads.broken().await.is_empty()
    }

    /// Starts the program anew, from where it is on the disk now, with the listening sockets of this one. This one goes on until the
    /// outcome says that the other serves.
    ///
    /// # Errors
    /// It could not be started.
    pub fn begin_upgrade(&self) -> io::Result<oneshot::Receiver<Outcome>> {
        takeover::begin(&self.stock)
    }

    /// An upgrade came to nothing, and `/status` says why.
    pub fn upgrade_failed(&self, error: String) {
        #[allow(clippy::disallowed_methods, reason = "people read it")]
        let at = std::time::SystemTime::now();
        self.handles.view.lock().unwrap_or_else(PoisonError::into_inner).upgrade = Some(FailedUpgrade { at, error });
    }

    /// Another process serves: what waits ends little by little within `drain_timeout`, what is under way within `upgrade_timeout`.
    /// Says what was cut.
    pub fn hand_over(mut self) -> Drained {
        self.draining.store(true, Ordering::Relaxed);
        // Questions and changes are the other one's.
        self.office.take().into_iter().for_each(Stoppable::stop);
        self.end(Command::HandOver { idle: self.drain_timeout, all: self.upgrade_timeout })
    }

    /// Data threads.
    pub fn threads(&self) -> usize {
        self.data.len()
    }

    /// How the last reload went.
    pub fn last_reload(&self) -> Reload {
        self.handles.view.lock().unwrap_or_else(PoisonError::into_inner).reload.clone()
    }

    /// Reads the configuration file and those that it names again.
    pub fn reload_file(&self) {
        // A full queue means that a reload is already on its way.
        let _ = self.handles.orders.try_send(Order::ReloadFile);
    }

    /// Opens the file of the access log again: it was moved away to make room.
    pub fn reopen_access_log(&self) {
        self.reopen.ask();
    }

    /// Stops accepting, lets requests finish until the configured deadline, and says what was cut.
    pub fn shutdown(self) -> Drained {
        let deadline = self.drain_timeout;
        self.shutdown_within(deadline)
    }

    /// As [`App::shutdown`], with another deadline.
    pub fn shutdown_within(mut self, deadline: Duration) -> Drained {
        self.draining.store(true, Ordering::Relaxed);
        self.end(Command::Drain(deadline))
    }

    fn end(&mut self, how: Command) -> Drained {
        self.stock.close();
        let _ = self.commands.send(how);
        let cut = self.data.drain(..).filter_map(|thread| thread.join().ok()?.ok()).sum();
        self.stop_others();
        Drained { cut }
    }

    fn stop_others(&mut self) {
        self.control.take().into_iter().chain(self.office.take()).for_each(Stoppable::stop);
        let Some(log) = self.log.take() else { return };
        // Whoever reads the log may have stopped reading.
        let deadline = std::time::Instant::now() + LOG_TIMEOUT;
        while !log.is_finished() {
            if std::time::Instant::now() >= deadline {
                return tracing::error!("the access log takes no lines: its last ones are lost");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.draining.store(true, Ordering::Relaxed);
        self.stock.close();
        let _ = self.commands.send(Command::Drain(Duration::ZERO));
        for thread in self.data.drain(..) {
            let _ = thread.join();
        }
        self.stop_others();
    }
}

fn open_access_log(
    fixed: &Fixed,
    handles: &Handles,
    metrics: &Metrics,
    (watched, reopen): (&Watched, &Reopen),
) -> Result<Option<(Sink, JoinHandle<()>)>, StartError> {
    let Some(buffer) = fixed.access_log else { return Ok(None) };
    let start = access_log::Start {
        snapshots: Arc::clone(&handles.snapshots),
        buffer: buffer as usize,
        lost: ThreadMetrics::new(metrics).log_dropped,
        reopen: reopen.clone(),
    };
    let settings = handles.snapshots.current().site.access_log.clone();
    let path = settings.map_or_else(String::new, |settings| settings.path.to_string());
    let opened = access_log::start(start, watched.alive("access-log"));
    opened.map(Some).map_err(|cause| StartError::AccessLog { path, cause })
}

/// Client connections of a data thread that there are descriptors for. A warning says when the configuration allows more.
fn possible_connections(compiled: &Compiled, threads: usize) -> usize {
    let Some(open_files) = limits::open_files() else { return usize::MAX };
    limits::keep_a_reserve(open_files);
    if let Some(text) = limits::lowered(open_files, threads as u64, compiled.site.limits.max_connections as u64) {
        tracing::warn!("{text}");
    }
    usize::try_from(limits::connections(open_files, threads as u64)).unwrap_or(usize::MAX)
}

fn cores() -> u16 {
    std::thread::available_parallelism().ok().and_then(|cores| u16::try_from(cores.get()).ok()).unwrap_or(1)
}

fn admin_socket(
    address: SocketAddr,
    inherited: &mut Inherited,
    stock: &Stock,
) -> Result<std::net::TcpListener, StartError> {
    let mut bind = || {
        let socket = inherited.take_admin(address).map_or_else(|| std::net::TcpListener::bind(address), Ok)?;
        stock.put(Kept { id: None, name: String::new(), wanted: address, sockets: vec![socket.try_clone()?] });
        socket.set_nonblocking(true)?;
        // Connections have it from here: what is sent to those who do not read is held in the kernel too.
        SockRef::from(&socket).set_send_buffer_size(ADMIN_UNSENT)?;
        Ok(socket)
    };
    bind().map_err(|cause| StartError::Bind { what: "[admin] address".to_owned(), address, cause })
}

/// The Unix socket of the admin listener, where there is one.
fn bind_unix(fixed: &Fixed) -> Result<Option<(UnixListener, SocketFile)>, StartError> {
    let Some(path) = &fixed.admin_socket else { return Ok(None) };
    unix::bind(Path::new(path)).map(Some).map_err(|cause| StartError::Socket { path: path.clone(), cause })
}
