//! What the access log is told of one exchange, and the queue to the thread that writes it, see [`crate::access_log`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use http::{Method, StatusCode};

use crate::error::Error;
use crate::model::route::ClusterId;
use crate::model::snapshot::{ListenerId, Snapshot};
use crate::model::tier::TierKind;

/// Bytes of targets, hosts and methods that wait. Clients choose how long they are.
const WAITING: usize = 32 << 20;

/// One finished exchange. Everything here is moved, copied or counted, nothing is formatted on the data thread. Texts are copies:
/// a part of a connection's buffer would hold all of it.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Record {
    pub at: SystemTime,
    pub listener: ListenerId,
    pub snapshot: Arc<Snapshot>,
    pub peer: SocketAddr,
    pub tls: Option<&'static str>,
    pub http2: bool,
    pub client: IpAddr,
    pub method: Method,
    pub target: Box<str>,
    pub host: Option<Box<str>>,
    pub role: Option<ClusterId>,
    pub groups: u16,
    pub tier: Option<TierKind>,
    pub endpoint: Option<SocketAddr>,
    pub site_system: Option<Arc<str>>,
    pub attempts: u32,
    pub status: StatusCode,
    pub error: Option<Error>,
    pub received: u64,
    pub sent: u64,
    pub first_byte: Option<Duration>,
    pub total: Duration,
}

impl Record {
    /// What it takes besides its place in the queue.
    fn bytes(&self) -> usize {
        self.target.len() + self.host.as_ref().map_or(0, |host| host.len()) + self.method.as_str().len()
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
    queue: Sender<Record>,
    room: Arc<Room>,
}

/// Where they come out.
#[derive(Debug)]
pub struct Records {
    queue: Receiver<Record>,
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
    pub fn put(&self, record: Record) -> Result<(), Full> {
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
    pub fn next(&self, within: Duration) -> Result<Record, RecvTimeoutError> {
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
