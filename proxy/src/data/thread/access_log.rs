//! What the access log is told of one exchange, and the queue to the thread that writes it, see [`crate::access_log`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use http::{Method, StatusCode};

use crate::data::thread::log_texts::Texts;
use crate::error::Error;
use crate::model::role::Role;
use crate::model::route::ClusterId;
use crate::model::snapshot::Snapshot;
use crate::model::tier::TierKind;

/// Bytes of records that wait. Clients choose how long their texts are.
const WAITING: usize = 48 << 20;

/// One exchange or tunnel that is over. Everything here is moved, copied or counted, nothing is formatted on the data thread.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Record {
    pub at: SystemTime,
    pub kind: Kind,
    pub snapshot: Arc<Snapshot>,
    pub place: Place,
    pub peer: SocketAddr,
    /// Where the client has connected to.
    pub server: Option<SocketAddr>,
    pub tls: Option<&'static str>,
    pub cipher: Option<&'static str>,
    pub client: IpAddr,
    pub method: Option<Method>,
    pub texts: Texts,
    pub groups: u16,
    pub tier: Option<TierKind>,
    pub endpoint: Option<SocketAddr>,
    pub site_system: Option<Arc<str>>,
    pub attempts: u32,
    pub status: Option<StatusCode>,
    pub error: Option<Error>,
    pub ended: Option<Ended>,
    pub received: u64,
    pub sent: u64,
    pub first_byte: Option<Duration>,
    pub total: Duration,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request over HTTP/1.0 or HTTP/1.1.
    Http1,
    /// A request over HTTP/2.
    Http2,
    /// A connection of a TCP role.
    Tcp,
    /// TLS that is passed through.
    Passthrough,
}

/// Where it came in, and whose it is.
#[derive(Debug)]
pub enum Place {
    /// By positions in the record's snapshot.
    Of {
        /// Of the listener.
        listener: u16,
        /// The role, once it is known.
        role: Option<ClusterId>,
    },
    /// By names: a tunnel outlives its snapshot.
    Named(Box<Named>),
}

/// Names of a place.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Named {
    pub listener: Arc<str>,
    pub role: Option<Arc<Role>>,
    pub site: Option<Arc<str>>,
}

/// Why a tunnel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No server took it.
    Refused,
    /// The client closed it first.
    ClientClosed,
    /// The server closed it first.
    ServerClosed,
    /// The client's connection broke.
    ClientBroke,
    /// The server's connection broke.
    ServerBroke,
    /// Nothing moved for too long.
    Idle,
    /// Its client was to go elsewhere.
    Moved,
    /// It was cut: the process ends, or the connection has been there for long enough.
    Cut,
}

impl Ended {
    /// As it is written in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ClientClosed => "client_closed",
            Self::ServerClosed => "server_closed",
            Self::ClientBroke => "client_broke",
            Self::ServerBroke => "server_broke",
            Self::Idle => "idle",
            Self::Moved => "moved",
            Self::Cut => "cut",
        }
    }
}

impl Record {
    /// What it takes besides its place in the queue.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.texts.bytes() + self.method.as_ref().map_or(0, |method| method.as_str().len())
    }
}

/// There is no room for another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Bytes that wait.
#[derive(Debug, Default)]
struct Room(AtomicUsize);

impl Room {
    fn take(&self, bytes: usize) -> Result<(), Full> {
        if self.0.fetch_add(bytes, Relaxed) + bytes > WAITING {
            self.give_back(bytes);
            return Err(Full);
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

/// Where records go; bounded in number and in bytes.
#[derive(Clone, Debug)]
pub struct Sink {
    queue: Sender<Box<Record>>,
    room: Arc<Room>,
}

/// Where they come out.
#[derive(Debug)]
pub struct Records {
    queue: Receiver<Box<Record>>,
    room: Arc<Room>,
}

/// A queue for this number of records.
pub fn queue(length: usize) -> (Sink, Records) {
    let (sender, receiver) = bounded(length.max(1));
    let room = Arc::<Room>::default();
    (Sink { queue: sender, room: Arc::clone(&room) }, Records { queue: receiver, room })
}

impl Sink {
    /// Hands a record over, without waiting.
    ///
    /// # Errors
    /// [`Full`]: the record is lost.
    pub fn put(&self, record: Box<Record>) -> Result<(), Full> {
        let bytes = record.bytes();
        self.room.take(bytes)?;
        self.queue.try_send(record).map_err(|_| {
            self.room.give_back(bytes);
            Full
        })
    }
}

impl Records {
    /// The next record, if it comes within this time.
    ///
    /// # Errors
    /// None came, or none will come any more.
    pub fn next(&self, within: Duration) -> Result<Box<Record>, RecvTimeoutError> {
        let record = self.queue.recv_timeout(within)?;
        self.room.give_back(record.bytes());
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let room = Room::default();
        let long = 64 << 10;
        let taken = (0..10_000).filter(|_| room.take(long).is_ok()).count();
        assert_eq!(taken, WAITING / long);
        assert_eq!(room.take(1), Err(Full));
        room.give_back(long);
        assert_eq!((room.take(long), room.take(1)), (Ok(()), Err(Full)));
    }
}
