//! A client connection as its task knows it between requests. Small: tens of thousands wait at the same time.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::connection_error::ConnectionError;
use crate::data::path::admission::{self, Admission, Shown};
use crate::data::path::door::Door;
use crate::data::thread::held::Held;
use crate::data::thread::ticker::TICK;
use crate::data::upstream::worker::Worker;
use crate::model::entry::Entry;
use crate::model::snapshot::{Limits, ListenerId, Snapshot};

/// How many different ages there are, for connections that were accepted at the same time.
const SPREAD: u64 = 64;

/// One open client connection; it is counted for as long as this lives.
#[derive(Debug)]
pub struct Client {
    /// The data thread it lives on.
    pub worker: Rc<Worker>,
    /// The listener it came through.
    pub door: Rc<Door>,
    /// The client's end: of the socket, or what a trusted PROXY protocol header says.
    pub peer: SocketAddr,
    /// The tick in which it was accepted.
    since: u32,
    /// What has come of it.
    pub came: Came,
    /// On what grounds it was let in, besides its address.
    pub admission: Option<Rc<Admission>>,
}

/// What has come of a client so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// No request.
    Nothing,
    /// No request, and it has a moment left for one.
    NothingYet,
    /// A request.
    Request,
}

impl Client {
    /// A connection that has just been accepted.
    pub fn new(worker: &Rc<Worker>, door: &Rc<Door>, peer: SocketAddr) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        door.metrics.connections.increment(1.0);
        let since = worker.ticker.tick_number();
        Self { worker: Rc::clone(worker), door: Rc::clone(door), peer, since, came: Came::Nothing, admission: None }
    }

    /// What its listener is known by.
    pub fn listener(&self) -> ListenerId {
        self.door.id
    }

    /// The current snapshot, or the last one that had its listener.
    pub fn snapshot(&self) -> Held {
        self.worker.snapshot_with(self.listener())
    }

    /// How connections of its listener begin.
    pub fn entry<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Entry> {
        snapshot.site.listener(self.listener()).map(|listener| &listener.entry)
    }

    /// It is let in on these grounds, under the configuration of this generation.
    pub fn admit(&mut self, told_by: Option<IpAddr>, secured: Option<Shown>, generation: u64) {
        let now_ms = self.worker.ticker.now_ms();
        self.admission = Some(Rc::new(Admission::new(told_by, secured, generation, now_ms)));
    }

    /// Whether it would be let in today.
    pub fn is_welcome(&self, snapshot: &Snapshot) -> bool {
        admission::holds(self.admission.as_deref(), snapshot, self.listener())
    }

    /// When it has been there for long enough, or its certificate ends, on the clock of the data thread.
    pub fn ends_ms(&self, limits: &Limits) -> u64 {
        let expires_ms = self.admission.as_ref().map_or(u64::MAX, |admission| admission.expires_ms());
        let Some(age) = limits.max_connection_age else { return expires_ms };
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        // Up to a tenth less: those that came together do not go together.
        let less = age_ms / 10 / SPREAD * (u64::from(self.peer.port()) % SPREAD);
        let since_ms = u64::from(self.since).saturating_mul(TICK.as_millis() as u64);
        expires_ms.min(since_ms.saturating_add(age_ms - less))
    }

    /// How long it may still be there; `None`: nothing says so.
    pub fn left(&self) -> Option<Duration> {
        let ends_ms = self.ends_ms(&self.worker.limits());
        (ends_ms != u64::MAX).then(|| Duration::from_millis(ends_ms.saturating_sub(self.worker.ticker.now_ms())))
    }

    /// Whether it has been there for long enough, or would not be let in any more.
    pub fn is_to_leave(&self) -> bool {
        let worker = &self.worker;
        self.ends_ms(&worker.limits()) <= worker.ticker.now_ms()
            || !worker.with_held(|snapshot| self.is_welcome(snapshot))
    }

    /// Whether its listener has left, or the process is to.
    pub fn is_departing(&self) -> bool {
        let worker = &self.worker;
        worker.draining() || worker.with_held(|snapshot| snapshot.site.place(self.listener()).is_none())
    }

    /// Whether it is to end when nothing is under way on it.
    pub fn is_to_end(&self) -> bool {
        self.worker.ends_idle() || self.is_to_leave()
    }

    /// It ends before its first request: counted each time, said once in a while.
    pub fn refuse(&self, error: ConnectionError) {
        self.door.metrics.error(error).increment(1);
        if error == ConnectionError::GaveWay {
            self.door.metrics.gave_way.increment(1);
        }
        // A look whether the port is open is the one, and the other is said where it is decided.
        if matches!(error, ConnectionError::ClientGone | ConnectionError::GaveWay) {
            return;
        }
        let Some(since) = self.worker.complaints.about(error, self.worker.ticker.now_ms()) else { return };
        let snapshot = self.snapshot();
        let listener = snapshot.site.listener(self.listener()).map_or("", |listener| &listener.name);
        let (peer, reason) = (self.peer, error.reason());
        tracing::warn!(%listener, %peer, reason, since, "{}", error.details());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
        self.door.metrics.connections.decrement(1.0);
    }
}
