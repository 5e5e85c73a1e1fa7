//! A client connection as its task knows it between requests. Small: tens of thousands wait at the same time.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::connection_error::ConnectionError;
use crate::data::thread::held::Held;
use crate::data::upstream::worker::Worker;
use crate::metrics::ListenerMetrics;
use crate::model::entry::Entry;
use crate::model::snapshot::Snapshot;

/// One open client connection; it is counted for as long as this lives.
#[derive(Debug)]
pub struct Client {
    /// The data thread it lives on.
    pub worker: Rc<Worker>,
    /// Handles of its listener.
    pub metrics: Rc<ListenerMetrics>,
    /// The client's end: of the socket, or what a trusted PROXY protocol header says.
    pub peer: SocketAddr,
    /// Position of the listener it came through.
    pub listener: u16,
}

impl Client {
    /// A connection that has just been accepted.
    pub fn new(worker: &Rc<Worker>, metrics: &Rc<ListenerMetrics>, listener: u16, peer: SocketAddr) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        metrics.connections.increment(1.0);
        Self { worker: Rc::clone(worker), metrics: Rc::clone(metrics), peer, listener }
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Held {
        self.worker.snapshot()
    }

    /// How connections of its listener begin.
    pub fn entry<'a>(&self, snapshot: &'a Snapshot) -> &'a Entry {
        &snapshot.site.listeners[usize::from(self.listener)].entry
    }

    /// It ends before its first request: counted each time, said once in a while.
    pub fn refuse(&self, error: ConnectionError) {
        self.metrics.error(error).increment(1);
        // Whoever only looks whether the port is open does that.
        if error == ConnectionError::ClientGone {
            return;
        }
        let Some(since) = self.worker.complaints.about(error, self.worker.ticker.now_ms()) else { return };
        let snapshot = self.snapshot();
        let listener = &snapshot.site.listeners[usize::from(self.listener)].name;
        let (peer, reason) = (self.peer, error.reason());
        tracing::warn!(%listener, %peer, reason, since, "{}", error.details());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
        self.metrics.connections.decrement(1.0);
    }
}
