//! Build, run, drain: puts control and data together. Also the way to run a proxy inside another program.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::Counter;
use socket2::SockRef;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::access_log::{self, Reopen};
use crate::admin::Admin;
use crate::control::compile::{Compiled, Fixed};
use crate::control::config::Source;
use crate::control::director::{self, Director, Handles, Order};
use crate::control::origin::Origin;
use crate::data::downstream::listener::{self, Listener};
use crate::data::run::Command;
use crate::data::thread::access_log::Sink;
use crate::data::upstream::worker::Shared;
use crate::limits;
use crate::metrics::{ListenerMetrics, Metrics, NO_ROLE, RoleMetrics, ThreadMetrics};
use crate::model::snapshot::Snapshot;
use crate::status::Status;

mod threads;

use threads::{Stoppable, Watched};

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
    /// The access log cannot be opened.
    #[error("cannot open the access log {path}: {cause}")]
    AccessLog { path: String, cause: io::Error },
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
    listeners: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    commands: watch::Sender<Command>,
    data: Vec<JoinHandle<io::Result<usize>>>,
    control: Option<Stoppable>,
    office: Option<Stoppable>,
    log: Option<JoinHandle<()>>,
    reopen: Reopen,
    metrics: Arc<Metrics>,
    drain_timeout: Duration,
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
        let (compiled, warnings) =
            director::read(source, false).map_err(|told| StartError::Configuration(told.text))?;
        warnings.iter().for_each(|warnings| warnings.log("the configuration has warnings"));
        let metrics = Arc::new(Metrics::new());
        let fixed = compiled.fixed.clone();
        let threads = usize::from(fixed.threads.unwrap_or_else(cores));
        let mut sockets = bind(&compiled, threads)?;
        let admin_socket = bind_admin(fixed.admin)?;
        let admin = admin_socket.local_addr().unwrap_or(fixed.admin);
        let epoch = Instant::now();
        let (mut watched, ended) = Watched::new(epoch);
        let listeners = addresses(&compiled, &sockets);
        let possible_connections = possible_connections(&compiled, threads);
        let origin = Some(Origin::new(file, source));
        let (director, handles) = Director::new(compiled, origin, Arc::clone(&metrics), epoch);
        let reopen = Reopen::default();
        let (log, log_thread) = open_access_log(&fixed, &handles, &metrics, (&watched, &reopen))?.unzip();
        handles.view.lock().unwrap_or_else(PoisonError::into_inner).addresses =
            listeners.iter().map(|(_, address)| *address).collect();
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
        for index in 0..threads {
            let own = listeners.iter().zip(&mut sockets).enumerate().filter_map(|(place, ((name, _), sockets))| {
                let index = u16::try_from(place).ok()?;
                Some(Listener { index, socket: sockets.pop()?, metrics: ListenerMetrics::new(&metrics, name) })
            });
            data.push(watched.start_data(index, own.collect(), shared.clone(), command.clone())?);
        }
        drop(shared);
        let (control, works) = watched.start_control(director)?;
        let shown = Admin {
            handles: handles.clone(),
            metrics: Arc::clone(&metrics),
            draining: watched.draining(),
            threads: watched.threads(),
        };
        let office = watched.start_admin(shown, admin_socket, works)?;
        Ok(Self {
            handles,
            listeners,
            admin,
            commands,
            data,
            control: Some(control),
            office: Some(office),
            log: log_thread,
            reopen,
            metrics,
            drain_timeout: fixed.drain_timeout,
            draining: watched.draining(),
            ended,
        })
    }

    /// The address that a listener is bound to.
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|(own, _)| own == name).map(|(_, address)| *address)
    }

    /// All listeners with the addresses that they are bound to.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
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
        self.metrics.render()
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

    /// Data threads.
    pub fn threads(&self) -> usize {
        self.data.len()
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
        let _ = self.commands.send(Command::Drain(deadline));
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

fn bind(compiled: &Compiled, threads: usize) -> Result<Vec<Vec<std::net::TcpListener>>, StartError> {
    let each =
        compiled.listeners.iter().map(|bound| {
            listener::bind(bound.address, threads, compiled.site.limits.tcp_keepalive).map_err(|cause| {
                StartError::Bind { what: format!("listener {:?}", bound.name), address: bound.address, cause }
            })
        });
    each.collect()
}

/// The listeners with the addresses that they are bound to: port 0 has become a real one.
fn addresses(compiled: &Compiled, sockets: &[Vec<std::net::TcpListener>]) -> Vec<(String, SocketAddr)> {
    let each = compiled.listeners.iter().zip(sockets).map(|(bound, sockets)| {
        let address = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(bound.address);
        (bound.name.clone(), address)
    });
    each.collect()
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bind = || {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        // Connections have it from here: what is sent to those who do not read is held in the kernel too.
        SockRef::from(&socket).set_send_buffer_size(ADMIN_UNSENT)?;
        Ok(socket)
    };
    bind().map_err(|cause| StartError::Bind { what: "[admin] address".to_owned(), address, cause })
}
