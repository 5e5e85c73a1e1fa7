//! What a site system has seen: for tests to ask, and for measurements to sum up.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode, Version};

use super::tls::TlsSeen;
use crate::content::Hash;

const MAX_SEEN: usize = 1024;
const MAX_MESSAGES: usize = 65_536;
const MAX_UPLOADS: usize = 1024;
const MAX_CONTENTS: usize = 4096;
const MAX_HEADERS: usize = 64;
const MAX_VALUE: usize = 4096;

/// What a request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Kind {
    /// `.sms_aut` queries: MPLIST, MPCERT and the like.
    Authority,
    /// `.sms_pol`: a policy body.
    Policy,
    /// `.sms_dcm`: a configuration item.
    ConfigurationItem,
    /// `CCM_POST` to `/ccm_system*/request`.
    Message,
    /// `BITS_POST` to `/CCM_Incoming`.
    Upload,
    /// `/CCM_Client`.
    ClientFiles,
    /// `/bgb/handler.ashx`.
    Notification,
    /// A leg of a Windows authentication that was answered 401.
    Unauthorized,
    /// A distribution point's `PROPFIND`.
    ContentListing,
    /// A distribution point's `GET` or `HEAD`.
    Content,
    /// A signature file.
    Signature,
    /// A software update point.
    Update,
    /// A fallback status point.
    FallbackStatus,
    /// A state migration point.
    StateMigration,
    /// Any other page.
    Page,
    /// What this site system does not have.
    Unknown,
    /// A request that met a fault instead of an answer.
    Fault,
}

const KINDS: usize = Kind::Fault as usize + 1;

/// One request as the site system saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// The first 64 header fields, names in lower case, values up to 4 KiB.
    pub headers: Vec<(String, String)>,
    /// Where the connection came from.
    pub client: SocketAddr,
    /// The number of the connection, counted from the start of the site system.
    pub connection: u64,
    /// The status of the answer.
    pub status: u16,
    /// How much of the body was read.
    pub body_bytes: u64,
    /// The SHA-256 of the body, if there was one and all of it was read.
    pub body_sha256: Option<Hash>,
    /// Whether the body was read to its end.
    pub complete: bool,
    /// The version of HTTP.
    pub version: Version,
    /// What the handshake of the connection told, if it is secured.
    pub tls: Option<TlsSeen>,
    /// Who had proved to be whom on this connection when the answer was made, such as `LAB\ann`.
    pub user: Option<String>,
}

impl Seen {
    /// The first value of that field, whatever the name's case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn copy_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let cut = |value: &[u8]| String::from_utf8_lossy(&value[..value.len().min(MAX_VALUE)]).into_owned();
    let copy = headers.iter().take(MAX_HEADERS);
    copy.map(|(name, value)| (name.as_str().to_owned(), cut(value.as_bytes()))).collect()
}

/// A BITS upload that was closed by its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The session id, as this server made it.
    pub session: String,
    /// The target of the upload.
    pub target: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Hash,
}

/// What was asked for one content id, whatever the answer was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContentSeen {
    /// `PROPFIND`s.
    pub listings: u64,
    /// `GET`s and `HEAD`s.
    pub reads: u64,
    /// Answers 404.
    pub not_found: u64,
}

#[derive(Debug, Default)]
struct Log {
    contents: HashMap<String, ContentSeen>,
    seen: VecDeque<Seen>,
    messages: HashMap<String, u32>,
    uploads: VecDeque<Uploaded>,
    handshakes: VecDeque<TlsSeen>,
}

/// Counts and the last requests of one site system.
#[derive(Debug, Default)]
pub struct Counters {
    kinds: [AtomicU64; KINDS],
    connections: AtomicU64,
    open: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    messages_left_out: AtomicU64,
    not_found: AtomicU64,
    failed_handshakes: AtomicU64,
    log: Mutex<Log>,
}

impl Counters {
    /// Requests of one kind.
    #[must_use]
    pub fn requests_of(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize].load(Relaxed)
    }

    /// All requests, those that met a fault included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.kinds.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Requests that were answered 404.
    #[must_use]
    pub fn not_found(&self) -> u64 {
        self.not_found.load(Relaxed)
    }

    /// What was asked for one content id. Holds 4096 ids at most; nothing when the site system does not record.
    #[must_use]
    pub fn content(&self, id: &str) -> ContentSeen {
        self.log().contents.get(&id.to_ascii_lowercase()).copied().unwrap_or_default()
    }

    /// Connections ever accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Bytes read from sockets.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// Bytes written to sockets.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }

    /// The last 1024 requests, oldest first. Empty when the site system does not record.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.log().seen.iter().cloned().collect()
    }

    /// How often each state, status or inventory message arrived, by message id. Holds 65,536 ids at most.
    #[must_use]
    pub fn messages(&self) -> HashMap<String, u32> {
        self.log().messages.clone()
    }

    /// Messages whose id found no room in [`Counters::messages`].
    #[must_use]
    pub fn messages_left_out(&self) -> u64 {
        self.messages_left_out.load(Relaxed)
    }

    /// The last 1024 finished BITS uploads, oldest first.
    #[must_use]
    pub fn uploads(&self) -> Vec<Uploaded> {
        self.log().uploads.iter().cloned().collect()
    }

    /// The last 1024 TLS handshakes, those for client notification included, oldest first. Empty when the site system
    /// does not record.
    #[must_use]
    pub fn handshakes(&self) -> Vec<TlsSeen> {
        self.log().handshakes.iter().cloned().collect()
    }

    /// TLS handshakes that came to nothing.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Relaxed)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, kind: Kind, status: StatusCode) {
        self.kinds[kind as usize].fetch_add(1, Relaxed);
        self.not_found.fetch_add(u64::from(status == StatusCode::NOT_FOUND), Relaxed);
    }

    pub(crate) fn opened(&self) -> u64 {
        self.open.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn handshake_failed(&self) {
        self.failed_handshakes.fetch_add(1, Relaxed);
    }

    pub(crate) fn shook_hands(&self, seen: TlsSeen) {
        let mut log = self.log();
        if log.handshakes.len() == MAX_SEEN {
            log.handshakes.pop_front();
        }
        log.handshakes.push_back(seen);
    }

    pub(crate) fn record(&self, seen: Seen, content_id: Option<&str>) {
        let mut log = self.log();
        if let Some(id) = content_id.map(str::to_ascii_lowercase)
            && (log.contents.len() < MAX_CONTENTS || log.contents.contains_key(&id))
        {
            let content = log.contents.entry(id).or_default();
            content.listings += u64::from(seen.method == "PROPFIND");
            content.reads += u64::from(matches!(seen.method.as_str(), "GET" | "HEAD"));
            content.not_found += u64::from(seen.status == 404);
        }
        if log.seen.len() == MAX_SEEN {
            log.seen.pop_front();
        }
        log.seen.push_back(seen);
    }

    pub(crate) fn message(&self, id: &str) {
        let mut log = self.log();
        if let Some(times) = log.messages.get_mut(id) {
            *times = times.saturating_add(1);
        } else if log.messages.len() < MAX_MESSAGES {
            log.messages.insert(id.to_owned(), 1);
        } else {
            self.messages_left_out.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn uploaded(&self, upload: Uploaded) {
        let mut log = self.log();
        if log.uploads.len() == MAX_UPLOADS {
            log.uploads.pop_front();
        }
        log.uploads.push_back(upload);
    }
}
