//! A listening address that can be shut and opened while its owner runs.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const BACKLOG: i32 = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct State {
    running: bool,
    refusing: bool,
    open: Option<Socket>,
}

/// One listening address: open while its owner runs and does not refuse.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    // Bound but never listening: nobody else is given the port while the gate is shut.
    _reservation: Option<Socket>,
    state: Mutex<State>,
    epoch: watch::Sender<u64>,
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Gate {
    /// Binds `address`, port 0 included, and starts to listen.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        // Only Linux lets a listener share its address with a bound socket that does not listen.
        let reservation = cfg!(target_os = "linux").then_some(socket);
        let state = Mutex::new(State { running: false, refusing: false, open: None });
        let gate = Self { address, _reservation: reservation, state, epoch: watch::Sender::new(0) };
        gate.run(true)?;
        Ok(gate)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens or shuts; when this returns, connecting works or is refused.
    pub(crate) fn run(&self, running: bool) -> io::Result<()> {
        let mut state = self.state();
        state.running = running;
        self.settle(&mut state)
    }

    /// Refuses connections, or no longer.
    pub(crate) fn refuse(&self, refusing: bool) -> io::Result<()> {
        let mut state = self.state();
        state.refusing = refusing;
        self.settle(&mut state)
    }

    fn settle(&self, state: &mut State) -> io::Result<()> {
        let wanted = state.running && !state.refusing;
        if wanted == state.open.is_some() {
            return Ok(());
        }
        if wanted {
            let socket = bound(self.address)?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            state.open = Some(socket);
        } else if let Some(socket) = state.open.take() {
            // The accept loop holds a copy of the descriptor, so that closing ours would leave the port listening.
            // Where a listener cannot be shut down, the loop closes it a moment later.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.epoch.send_modify(|epoch| *epoch += 1);
        Ok(())
    }

    fn listener(&self) -> io::Result<Option<TcpListener>> {
        let Some(socket) = self.state().open.as_ref().map(Socket::try_clone).transpose()? else {
            return Ok(None);
        };
        TcpListener::from_std(StdListener::from(socket)).map(Some)
    }

    /// What one accept loop keeps between calls of [`Acceptor::accept`].
    pub(crate) fn acceptor(&self) -> Acceptor<'_> {
        Acceptor { gate: self, epoch: self.epoch.subscribe(), listener: None, seen: None }
    }
}

/// The accepting side of a [`Gate`].
pub(crate) struct Acceptor<'a> {
    gate: &'a Gate,
    epoch: watch::Receiver<u64>,
    listener: Option<TcpListener>,
    seen: Option<u64>,
}

impl Acceptor<'_> {
    /// The next connection; waits while the gate is shut.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let epoch = *self.epoch.borrow_and_update();
            if self.seen != Some(epoch) {
                self.listener = self.gate.listener().unwrap_or(None);
                self.seen = Some(epoch);
            }
            let Some(listener) = &self.listener else {
                // The sender lives in the gate that this borrows, so the only answer is a change.
                let _ = self.epoch.changed().await;
                continue;
            };
            tokio::select! {
                biased;
                _ = self.epoch.changed() => {}
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => return accepted,
                    // Out of descriptors, or a listener that was shut this moment.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }
}
