//! What the access log is told of a tunnel when it ends.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use crate::data::thread::access_log::{Ended, Kind, Named, Place, Record};
use crate::data::thread::log_texts::{Drawn, Texts};
use crate::data::transport::stream::Transport;
use crate::data::upstream::connect::Dial;
use crate::data::upstream::worker::Worker;
use crate::error::Error;
use crate::model::balance::Pick;
use crate::model::decision::Decision;
use crate::model::endpoint::Endpoint;
use crate::model::snapshot::Snapshot;
use crate::model::tier::TierKind;

/// What is told of the client's side of a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The data thread that it lives on.
    pub worker: &'a Rc<Worker>,
    /// A TCP role, or TLS that is passed through.
    pub kind: Kind,
    /// Version of TLS that ends here.
    pub tls: Option<&'static str>,
    /// Its cipher suite.
    pub cipher: Option<&'static str>,
    /// The server name that the client has asked for.
    pub server_name: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// Of a connection of a TCP role.
    pub fn of(worker: &'a Rc<Worker>, transport: &'a Transport) -> Self {
        let (tls, cipher) = (transport.tls_version(), transport.tls_cipher());
        Self { worker, kind: Kind::Tcp, tls, cipher, server_name: transport.server_name() }
    }

    /// Of TLS that is passed through.
    pub fn passed(worker: &'a Rc<Worker>, server_name: Option<&'a str>) -> Self {
        Self { worker, kind: Kind::Passthrough, tls: None, cipher: None, server_name }
    }
}

/// One tunnel, from its first connection to a server to its end. It is logged when it is dropped.
#[derive(Debug)]
pub struct TunnelLine {
    worker: Rc<Worker>,
    kind: Kind,
    place: Option<Box<Named>>,
    peer: SocketAddr,
    server: Option<SocketAddr>,
    tls: Option<&'static str>,
    cipher: Option<&'static str>,
    server_name: Box<str>,
    groups: u16,
    tier: Option<TierKind>,
    endpoint: Option<SocketAddr>,
    site_system: Option<Arc<str>>,
    attempts: u32,
    error: Option<Error>,
    drawn: Drawn,
    begun: Instant,
    up: Cell<u64>,
    down: Cell<u64>,
    ended: Cell<Ended>,
    first_end: Cell<Option<Ended>>,
}

impl TunnelLine {
    /// A tunnel begins, if the log is to be told of it.
    pub fn begin(from: &Dial<'_>, snapshot: &Snapshot, listener: u16, told: &Told<'_>) -> Option<Box<Self>> {
        let worker = told.worker;
        let settings = worker.log.as_ref().and(snapshot.site.access_log.as_ref())?;
        let drawn = worker.drawn(settings.sampling)?;
        let listener = Arc::clone(&snapshot.site.listeners.get(usize::from(listener))?.name);
        Some(Box::new(Self {
            worker: Rc::clone(worker),
            kind: told.kind,
            place: Some(Box::new(Named { listener, role: None, site: None })),
            peer: from.peer,
            server: from.to,
            tls: told.tls,
            cipher: told.cipher,
            server_name: told.server_name.unwrap_or_default().into(),
            groups: 0,
            tier: None,
            endpoint: None,
            site_system: None,
            attempts: 0,
            error: None,
            drawn,
            begun: Instant::now(),
            up: Cell::new(0),
            down: Cell::new(0),
            ended: Cell::new(Ended::Cut),
            first_end: Cell::new(None),
        }))
    }

    /// It has its role, and its client its boundary groups.
    pub fn locate(&mut self, decision: &Decision<'_>) {
        let topology = &decision.cluster.topology;
        if let Some(place) = &mut self.place {
            (place.role, place.site) = (Some(Arc::clone(&topology.role)), topology.site.clone());
        }
        self.groups = u16::try_from(decision.groups.len()).unwrap_or(u16::MAX);
    }

    /// This server is asked.
    pub fn tries(&mut self, pick: &Pick, endpoint: &Endpoint) {
        self.attempts += 1;
        self.tier = Some(pick.tier.kind);
        self.endpoint = Some(endpoint.address);
        self.site_system = Some(Arc::clone(&endpoint.system));
    }

    /// No server took it.
    pub fn refused(&mut self, error: Error) {
        self.error = Some(error);
        self.ended.set(Ended::Refused);
    }

    /// This many bytes went to the server.
    pub fn went_up(&self, bytes: u64) {
        self.up.set(self.up.get() + bytes);
    }

    /// This many bytes went to the client.
    pub fn went_down(&self, bytes: u64) {
        self.down.set(self.down.get() + bytes);
    }

    /// One direction has come to its end, the other may go on. Only the first one counts.
    pub fn half_closed(&self, by: Ended) {
        if self.first_end.get().is_none() {
            self.first_end.set(Some(by));
        }
    }

    /// Why it ends; that one side has closed it is known already.
    pub fn ends(&self, why: Option<Ended>) {
        self.ended.set(why.or(self.first_end.get()).unwrap_or(Ended::Cut));
    }

    fn record(&mut self) -> Option<Box<Record>> {
        Some(Box::new(Record {
            #[allow(clippy::disallowed_methods, reason = "people read it in the log")]
            at: std::time::SystemTime::now(),
            kind: self.kind,
            snapshot: self.worker.snapshot().share(),
            place: Place::Named(self.place.take()?),
            peer: self.peer,
            server: self.server,
            tls: self.tls,
            cipher: self.cipher,
            client: self.peer.ip().to_canonical(),
            method: None,
            texts: Texts::of_name(&self.server_name),
            groups: self.groups,
            tier: self.tier,
            endpoint: self.endpoint,
            site_system: self.site_system.take(),
            attempts: self.attempts,
            status: None,
            error: self.error,
            ended: Some(self.ended.get()),
            received: self.up.get(),
            sent: self.down.get(),
            first_byte: None,
            total: self.begun.elapsed(),
        }))
    }
}

impl Drop for TunnelLine {
    fn drop(&mut self) {
        if self.drawn == Drawn::IfError && self.error.is_none() {
            return;
        }
        let Some(record) = self.record() else { return };
        if self.worker.log.as_ref().is_some_and(|log| log.put(record).is_err()) {
            self.worker.metrics.log_dropped.increment(1);
        }
    }
}
