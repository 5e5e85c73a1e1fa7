//! Bound sockets and the loops that accept from them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::connection;
use super::session::Session;
use super::tcp;
use super::worker::Worker;
use crate::metrics::ListenerMetrics;

/// Connections that may wait in the kernel.
const BACKLOG: i32 = 4096;
/// Pause after a failure to accept: the usual cause, no free descriptors, does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);

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
pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // Sockets that share a port may belong to different processes: a second rolegate would take half of the connections
    // without a word. One that does not want to share finds out.
    drop(bound(address, false)?);
    let mut sockets: Vec<std::net::TcpListener> = Vec::with_capacity(threads);
    for _ in 0..threads {
        // Port 0 is chosen once: the others must have the same.
        let address = sockets.first().map_or(Ok(address), std::net::TcpListener::local_addr)?;
        let socket = bound(address, true)?;
        socket.listen(BACKLOG)?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

fn bound(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts until the worker drains. Never ends because of an error.
pub async fn accept_loop(listener: Listener, worker: Rc<Worker>) {
    let Listener { index, socket, metrics } = listener;
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the listener's socket cannot be used"),
    };
    let metrics = Rc::new(metrics);
    let timer = worker.ticker.timer();
    loop {
        let limit = worker.snapshot().site.limits.max_connections;
        if worker.connections.get() >= limit {
            // More wait in the kernel, where they cost us nothing.
            let _ = timer.within(PAUSE, std::future::pending::<()>()).await;
            continue;
        }
        match socket.accept().await {
            Ok((stream, peer)) => start(stream, peer, index, &worker, &metrics),
            Err(error) => {
                metrics.accept_errors.increment(1);
                tracing::warn!(%error, "a connection could not be accepted");
                let _ = timer.within(PAUSE, std::future::pending::<()>()).await;
            }
        }
    }
}

fn start(stream: TcpStream, peer: SocketAddr, listener: u16, worker: &Rc<Worker>, metrics: &Rc<ListenerMetrics>) {
    metrics.accepted.increment(1);
    let _ = stream.set_nodelay(true);
    let open = Open::new(worker, metrics);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let snapshot = worker.snapshot();
        let role = snapshot.site.listeners[usize::from(listener)].tcp;
        match role {
            Some(role) => {
                drop(snapshot);
                tcp::serve(stream, peer.ip(), role, &worker).await;
            }
            None => {
                let session = Session::new(Rc::clone(&worker), listener, peer, &snapshot);
                drop(snapshot);
                connection::serve(stream, session, &open.metrics).await;
            }
        }
        drop(open);
    });
}

/// Counts an open connection for as long as it lives.
struct Open {
    worker: Rc<Worker>,
    metrics: Rc<ListenerMetrics>,
}

impl Open {
    fn new(worker: &Rc<Worker>, metrics: &Rc<ListenerMetrics>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        metrics.connections.increment(1.0);
        Self { worker: Rc::clone(worker), metrics: Rc::clone(metrics) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
        self.metrics.connections.decrement(1.0);
    }
}
