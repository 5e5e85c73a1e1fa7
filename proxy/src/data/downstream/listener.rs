//! Bound sockets and the loops that accept from them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rolegate_health::is_own_shortage;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::data::downstream::connection::Connection;
use crate::data::path::client::Client;
use crate::data::thread::ticker::{Room, Timer};
use crate::data::transport::keepalive::keep_alive;
use crate::data::upstream::worker::Worker;
use crate::metrics::ListenerMetrics;

/// Connections that may wait in the kernel.
const BACKLOG: i32 = 4096;
/// Pause after a failure to accept: the usual cause, no free descriptors, does not go away at once. And between two looks for
/// room.
const PAUSE: Duration = Duration::from_millis(100);
/// The same is not said again sooner.
const QUIET_MS: u64 = 60_000;

/// One listener as one data thread has it.
#[derive(Debug)]
pub struct Listener {
    /// Position in the configuration.
    pub index: u16,
    /// Bound, not blocking.
    pub socket: std::net::TcpListener,
    /// Handles.
    pub metrics: ListenerMetrics,
}

/// Binds one socket for each of `threads`, which the kernel spreads connections over.
///
/// # Errors
/// The address is in use, not ours, or not allowed.
pub fn bind(
    address: SocketAddr,
    threads: usize,
    keepalive: Option<Duration>,
) -> io::Result<Vec<std::net::TcpListener>> {
    // Sockets that share a port may belong to different processes: a second rolegate would take half of the connections
    // without a word. One that does not want to share finds out.
    drop(bound(address, false)?);
    let mut sockets: Vec<std::net::TcpListener> = Vec::with_capacity(threads);
    for _ in 0..threads {
        // Port 0 is chosen once: the others must have the same.
        let address = sockets.first().map_or(Ok(address), std::net::TcpListener::local_addr)?;
        let socket = bound(address, true)?;
        // Before anybody can connect.
        keep_alive(&socket, keepalive);
        socket.listen(BACKLOG)?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// Whether an address could be bound, without listening on it. Another program may bind it meanwhile.
///
/// # Errors
/// The address is in use, not ours, or not allowed.
pub fn can_bind(address: SocketAddr) -> io::Result<()> {
    bound(address, false).map(drop)
}

fn bound(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Nagle would hold back the last piece of every response. Accepted connections have it from here.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What is said once in a while although it goes on.
#[derive(Debug, Default)]
struct Quiet {
    until_ms: u64,
}

impl Quiet {
    fn may_speak(&mut self, now_ms: u64) -> bool {
        let may = now_ms >= self.until_ms;
        if may {
            self.until_ms = now_ms + QUIET_MS;
        }
        may
    }
}

/// Accepts until the worker drains. Ends only when the socket cannot be used at all.
pub async fn accept_loop(listener: Listener, worker: Rc<Worker>) {
    let Listener { index, socket, metrics } = listener;
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the listener's socket cannot be used"),
    };
    let metrics = Rc::new(metrics);
    let timer = worker.ticker.timer();
    let (mut keepalive, mut failing, mut full) = (None, Quiet::default(), Quiet::default());
    loop {
        let limits = worker.snapshot().site.limits;
        if limits.tcp_keepalive != keepalive {
            keepalive = limits.tcp_keepalive;
            keep_alive(&socket, keepalive);
        }
        match socket.accept().await {
            Ok((stream, peer)) => {
                // One waits here, and more in the kernel, where they cost us nothing.
                until_there_is_room(&worker, &timer, &mut full).await;
                start(stream, peer, index, &worker, &metrics);
            }
            Err(error) => {
                metrics.accept_errors.increment(1);
                // It goes on failing for as long as it lasts.
                if failing.may_speak(worker.ticker.now_ms()) {
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                let here = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
                if is_own_shortage(&error, here) && worker.ticker.make_room() == Room::Never {
                    worker.pool.shed();
                }
                pause(&timer).await;
            }
        }
    }
}

/// Waits until another client connection may be there. Idle ones give way, those first that have been idle for longest.
async fn until_there_is_room(worker: &Worker, timer: &Timer, full: &mut Quiet) {
    let has_room = || worker.has_room(worker.snapshot().site.limits.max_connections);
    while !has_room() {
        let room = worker.ticker.make_room();
        if full.may_speak(worker.ticker.now_ms()) {
            let connections = worker.connections.get();
            tracing::warn!(connections, "a data thread has all the client connections it may have: idle ones give way");
        }
        if room == Room::Soon {
            // Those that were told run before this one does again.
            tokio::task::yield_now().await;
            if has_room() {
                return;
            }
        }
        pause(timer).await;
    }
}

async fn pause(timer: &Timer) {
    let _ = timer.within(PAUSE, std::future::pending::<()>()).await;
}

fn start(stream: TcpStream, peer: SocketAddr, listener: u16, worker: &Rc<Worker>, metrics: &Rc<ListenerMetrics>) {
    metrics.accepted.increment(1);
    tokio::task::spawn_local(Connection::new(stream, Client::new(worker, metrics, listener, peer)));
}
