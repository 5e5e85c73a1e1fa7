//! Bound sockets, and how one data thread accepts from one of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rolegate_health::is_own_shortage;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::data::downstream::connection::Connection;
use crate::data::path::client::Client;
use crate::data::path::door::Door;
use crate::data::thread::ticker::{Room, Timer};
use crate::data::transport::keepalive::keep_alive;
use crate::data::upstream::worker::Worker;

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
    /// What its clients have in common.
    pub door: Door,
    /// Bound, not blocking.
    pub socket: std::net::TcpListener,
}

/// Whether an address is to be ours alone when it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Nobody else may have it.
    WithNobody,
    /// Sockets of this process may still have it, or an address that contains it.
    WithOurselves,
}

/// Binds one socket for each of `threads`, which the kernel spreads connections over. Nobody can connect before [`listen`].
///
/// # Errors
/// The address is in use, not ours, or not allowed.
pub fn bind(
    address: SocketAddr,
    threads: usize,
    keepalive: Option<Duration>,
    share: Share,
) -> io::Result<Vec<std::net::TcpListener>> {
    // Sockets that share a port may belong to different processes: a second rolegate would take half of the connections
    // without a word. One that does not want to share finds out.
    if share == Share::WithNobody {
        drop(bound(address, false)?);
    }
    let mut sockets: Vec<std::net::TcpListener> = Vec::with_capacity(threads);
    for _ in 0..threads {
        // Port 0 is chosen once: the others must have the same.
        let address = sockets.first().map_or(Ok(address), std::net::TcpListener::local_addr)?;
        let socket = bound(address, true)?;
        // Before anybody can connect.
        keep_alive(&socket, keepalive);
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// Clients can connect from now on.
///
/// # Errors
/// Another program listens there, and did not when it was bound.
pub fn listen(sockets: &[std::net::TcpListener]) -> io::Result<()> {
    sockets.iter().try_for_each(|socket| SockRef::from(socket).listen(BACKLOG))
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

/// A socket that one data thread accepts from.
#[derive(Debug)]
pub struct Entrance {
    door: RefCell<Rc<Door>>,
    closes: Cell<bool>,
    told: Notify,
}

/// Why nothing is accepted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, and all that had connected is in.
    Closed,
    /// The socket cannot be used.
    Broken,
}

impl Entrance {
    /// One that leads through this door.
    pub fn new(door: Door) -> Rc<Self> {
        Rc::new(Self { door: RefCell::new(Rc::new(door)), closes: Cell::new(false), told: Notify::new() })
    }

    /// The door that it leads through.
    pub fn door(&self) -> Rc<Door> {
        Rc::clone(&self.door.borrow())
    }

    /// Leads through another door from the next client on.
    pub fn lead_through(&self, door: Rc<Door>) {
        *self.door.borrow_mut() = door;
    }

    /// Nothing is accepted any more but what has connected already.
    pub fn close(&self) {
        self.closes.set(true);
        self.told.notify_one();
    }

    /// Whether it closes.
    pub fn closes(&self) -> bool {
        self.closes.get()
    }

    /// Accepts until it is closed, or the socket cannot be used at all.
    pub async fn accept(self: Rc<Self>, socket: std::net::TcpListener, worker: Rc<Worker>) -> Ended {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "the listener's socket cannot be used");
                return Ended::Broken;
            }
        };
        let timer = worker.ticker.timer();
        let (mut keepalive, mut failing, mut full) = (None, Quiet::default(), Quiet::default());
        while !self.closes() {
            let limits = worker.snapshot().site.limits;
            if limits.tcp_keepalive != keepalive {
                keepalive = limits.tcp_keepalive;
                keep_alive(&socket, keepalive);
            }
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.told.notified() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // One waits here, and more in the kernel, where they cost us nothing.
                    until_there_is_room(&worker, &timer, &mut full).await;
                    self.start(stream, peer, &worker);
                }
                Err(error) => {
                    self.door().metrics.accept_errors.increment(1);
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
        self.empty(socket, &worker, &timer, &mut full).await;
        Ended::Closed
    }

    /// Takes in what has connected: closing a socket resets what waits in its queue.
    async fn empty(&self, socket: TcpListener, worker: &Rc<Worker>, timer: &Timer, full: &mut Quiet) {
        // The runtime's idea of what is there may be older than what is.
        let Ok(socket) = socket.into_std() else { return };
        for _ in 0..=BACKLOG {
            match socket.accept().and_then(|(stream, peer)| Ok((as_ours(stream)?, peer))) {
                Ok((stream, peer)) => {
                    until_there_is_room(worker, timer, full).await;
                    self.start(stream, peer, worker);
                }
                // A client that has gone meanwhile.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(_) => return,
            }
        }
    }

    fn start(&self, stream: TcpStream, peer: SocketAddr, worker: &Rc<Worker>) {
        let door = self.door();
        door.metrics.accepted.increment(1);
        tokio::task::spawn_local(Connection::new(stream, Client::new(worker, &door, peer)));
    }
}

fn as_ours(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
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
