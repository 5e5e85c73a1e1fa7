//! The sockets of listeners: bound here, handed to the data threads, and known until the last client is gone.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::sync::mpsc;

use super::inherited::Inherited;
use super::stock::{Kept, Stock};
use crate::control::compile::Bound;
use crate::control::listening::{Listening, Planned, Sockets};
use crate::data::downstream::entrances::{Change, Renamed};
use crate::data::downstream::listener::{self, Listener, Share};
use crate::data::path::door::{Door, Presence};
use crate::metrics::{ListenerMetrics, Metrics};
use crate::model::snapshot::ListenerId;

/// Changes that may wait for a data thread. It takes them at once.
pub(super) const CHANGES: usize = 16;

/// A listener that is served.
struct Served {
    id: ListenerId,
    name: String,
    address: SocketAddr,
    presence: Arc<Presence>,
}

/// A listener, or a name of one, that is served no more.
struct Left {
    /// `None`: it has only another name.
    id: Option<ListenerId>,
    name: String,
    address: SocketAddr,
    presence: Arc<Presence>,
}

/// What is to be served next.
struct Prepared {
    planned: Vec<Planned>,
    sockets: Vec<(ListenerId, Vec<TcpListener>)>,
    room: Vec<mpsc::OwnedPermit<Change>>,
}

/// Binds sockets for the Director.
pub(super) struct Hall {
    threads: Vec<mpsc::Sender<Change>>,
    keepalive: Option<Duration>,
    metrics: Arc<Metrics>,
    /// Sockets of another process, for the first listeners.
    inherited: Inherited,
    stock: Stock,
    served: Vec<Served>,
    left: Vec<Left>,
    prepared: Option<Prepared>,
}

impl Hall {
    /// Serves nothing yet.
    pub(super) fn new(
        threads: Vec<mpsc::Sender<Change>>,
        keepalive: Option<Duration>,
        metrics: Arc<Metrics>,
        (inherited, stock): (Inherited, Stock),
    ) -> Self {
        Self { threads, keepalive, metrics, inherited, stock, served: Vec::new(), left: Vec::new(), prepared: None }
    }

    /// Sockets of a new listener, which nobody can connect to yet.
    fn bind(&mut self, bound: &Bound) -> io::Result<Vec<TcpListener>> {
        if let Some(sockets) = self.inherited.take(bound) {
            return spread(sockets, self.threads.len(), self.keepalive);
        }
        let ours = self.served.iter().map(|served| served.address);
        // A socket that closes takes in first what has connected.
        let mut ours = ours.chain(self.left.iter().map(|left| left.address));
        let share = match ours.any(|address| overlap(address, bound.address)) {
            true => Share::WithOurselves,
            false => Share::WithNobody,
        };
        listener::bind(bound.address, self.threads.len(), self.keepalive, share)
    }

    fn bind_all(&mut self, planned: &[Planned]) -> Result<Vec<(ListenerId, Vec<TcpListener>)>, String> {
        let (mut sockets, mut errors) = (Vec::new(), Vec::new());
        for one in planned.iter().filter(|one| one.takes.is_none()) {
            match self.bind(&one.bound) {
                Ok(bound) => sockets.push((one.id, bound)),
                Err(cause) => errors.push(cannot(&one.bound, &cause)),
            }
        }
        if errors.is_empty() { Ok(sockets) } else { Err(errors.join("\n")) }
    }

    /// The last that can fail: who connects from here on is served.
    fn listen_all(planned: &[Planned], sockets: &[(ListenerId, Vec<TcpListener>)]) -> Result<(), String> {
        for (id, sockets) in sockets {
            let of = planned.iter().find(|one| one.id == *id);
            if let (Err(cause), Some(one)) = (listener::listen(sockets), of) {
                return Err(cannot(&one.bound, &cause));
            }
        }
        Ok(())
    }

    fn door(&self, id: ListenerId, name: &str, presence: &Arc<Presence>) -> Door {
        Door { id, metrics: ListenerMetrics::new(&self.metrics, name), presence: Arc::clone(presence) }
    }

    /// The sockets stay. If the name, or what clients speak, is another one, clients come through another door.
    fn inherit(&mut self, one: &Planned, old: Served, changes: &mut [Change]) -> Served {
        if old.id == one.id && old.name == one.bound.name {
            return old;
        }
        let presence = Arc::default();
        let door = self.door(one.id, &one.bound.name, &presence);
        for change in changes {
            change.rename.push(Renamed { listener: old.id, door: door.clone() });
        }
        self.stock.rename(old.id, one.id, &one.bound.name);
        let id = (old.id != one.id).then_some(old.id);
        self.left.push(Left { id, name: old.name, address: old.address, presence: old.presence });
        Served { id: one.id, name: one.bound.name.clone(), address: old.address, presence }
    }

    fn open(&self, one: &Planned, sockets: Vec<TcpListener>, changes: &mut [Change]) -> Served {
        let address = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(one.bound.address);
        let presence = Arc::default();
        let door = self.door(one.id, &one.bound.name, &presence);
        // Without one, a successor would have to bind what is still in use: it says so.
        if let Ok(sockets) = sockets.iter().map(TcpListener::try_clone).collect() {
            let (name, wanted) = (one.bound.name.clone(), one.bound.address);
            self.stock.put(Kept { id: Some(one.id), name, wanted, sockets });
        }
        let threads = changes.len();
        for (number, socket) in sockets.into_iter().enumerate() {
            changes[number % threads].open.push(Listener { door: door.clone(), socket });
        }
        Served { id: one.id, name: one.bound.name.clone(), address, presence }
    }
}

impl Sockets for Hall {
    fn prepare(&mut self, planned: &[Planned]) -> Result<(), String> {
        if self.stock.is_closed() {
            return Err("this process is about to end".to_owned());
        }
        let sockets = self.bind_all(planned)?;
        let room = self.threads.iter().map(|thread| thread.clone().try_reserve_owned());
        let room = room.collect::<Result<Vec<_>, _>>();
        let room = room.map_err(|_| "a data thread does not take other listeners now".to_owned())?;
        Self::listen_all(planned, &sockets)?;
        self.prepared = Some(Prepared { planned: planned.to_vec(), sockets, room });
        Ok(())
    }

    fn commit(&mut self) -> Vec<Listening> {
        if let Some(Prepared { planned, mut sockets, room }) = self.prepared.take() {
            let mut changes: Vec<Change> = room.iter().map(|_| Change::default()).collect();
            let mut before = std::mem::take(&mut self.served);
            for one in &planned {
                let old = before.iter().position(|old| Some(old.id) == one.takes).map(|at| before.swap_remove(at));
                let own = sockets.iter().position(|(id, _)| *id == one.id).map(|at| sockets.swap_remove(at).1);
                let served = match old {
                    Some(old) => self.inherit(one, old, &mut changes),
                    None => self.open(one, own.unwrap_or_default(), &mut changes),
                };
                self.served.push(served);
            }
            let gone: Vec<ListenerId> = before.iter().map(|served| served.id).collect();
            self.stock.remove(&gone);
            for Served { id, name, address, presence } in before {
                changes.iter_mut().for_each(|change| change.close.push(id));
                self.left.push(Left { id: Some(id), name, address, presence });
            }
            for address in std::mem::take(&mut self.inherited).left() {
                tracing::warn!(%address, "no listener has this address, of which a socket was handed over: it closes");
            }
            for (room, change) in room.into_iter().zip(changes) {
                room.send(change);
            }
        }
        let each = self.served.iter();
        each.map(|one| Listening { id: one.id, name: one.name.clone(), address: one.address }).collect()
    }

    fn gone(&mut self) -> Vec<ListenerId> {
        let here = |left: &mut Left| Arc::strong_count(&left.presence) == 1;
        let gone: Vec<Left> = self.left.extract_if(.., here).collect();
        for left in &gone {
            let named = |name: &str| name == left.name;
            if !self.served.iter().any(|one| named(&one.name)) && !self.left.iter().any(|one| named(&one.name)) {
                ListenerMetrics::forget(&self.metrics, &left.name);
            }
        }
        gone.into_iter().filter_map(|left| left.id).collect()
    }
}

/// Sockets of another process for this number of threads: each thread has one, and each socket a thread.
fn spread(mut sockets: Vec<TcpListener>, threads: usize, keepalive: Option<Duration>) -> io::Result<Vec<TcpListener>> {
    for socket in &sockets {
        socket.set_nonblocking(true)?;
        SockRef::from(socket).set_tcp_nodelay(true)?;
    }
    let given = sockets.len();
    let missing = threads.saturating_sub(given);
    let (Some(first), 1..) = (sockets.first(), missing) else { return Ok(sockets) };
    let more = match SockRef::from(first).reuse_port()? {
        true => listener::bind(first.local_addr()?, missing, keepalive, Share::WithOurselves).ok(),
        false => None,
    };
    match more {
        Some(more) => sockets.extend(more),
        // Several threads accept from one.
        None => {
            for number in 0..missing {
                sockets.push(sockets[number % given].try_clone()?);
            }
        }
    }
    Ok(sockets)
}

fn cannot(bound: &Bound, cause: &io::Error) -> String {
    format!("cannot listen on {} (listener {:?}): {cause}", bound.address, bound.name)
}

/// The same port, and one address contains the other.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
