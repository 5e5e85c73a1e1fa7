//! The listening sockets of this process, kept so that another process can be given them.

#![allow(clippy::disallowed_types, reason = "no thread that serves waits for it")]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::snapshot::ListenerId;

/// Sockets of one listener, or of the admin listener.
#[derive(Debug)]
pub(super) struct Kept {
    /// `None`: the admin listener.
    pub(super) id: Option<ListenerId>,
    /// Name of the listener.
    pub(super) name: String,
    /// The address in the configuration, where port 0 may be any.
    pub(super) wanted: SocketAddr,
    /// More handles of the sockets that the data threads accept from.
    pub(super) sockets: Vec<TcpListener>,
}

#[derive(Debug, Default)]
struct Content {
    kept: Vec<Kept>,
    closed: bool,
}

/// More handles of all listening sockets: as long as one is here, its socket is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Stock(Arc<Mutex<Content>>);

impl Stock {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps these too.
    pub(super) fn put(&self, kept: Kept) {
        let mut content = self.content();
        if !content.closed {
            content.kept.push(kept);
        }
    }

    /// A listener has another name, or is known otherwise.
    pub(super) fn rename(&self, from: ListenerId, to: ListenerId, name: &str) {
        let mut content = self.content();
        if let Some(kept) = content.kept.iter_mut().find(|kept| kept.id == Some(from)) {
            kept.id = Some(to);
            name.clone_into(&mut kept.name);
        }
    }

    /// These listeners have left.
    pub(super) fn remove(&self, gone: &[ListenerId]) {
        self.content().kept.retain(|kept| kept.id.is_none_or(|id| !gone.contains(&id)));
    }

    /// The process is to end: its sockets close when those who accept from them close theirs.
    pub(super) fn close(&self) {
        let mut content = self.content();
        content.closed = true;
        content.kept.clear();
    }

    /// Whether nothing is kept any more.
    pub(super) fn is_closed(&self) -> bool {
        self.content().closed
    }

    /// All of them once more, to give away.
    pub(super) fn copy(&self) -> io::Result<Vec<Kept>> {
        let content = self.content();
        let each = content.kept.iter().map(|kept| {
            let sockets = kept.sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
            Ok(Kept { id: kept.id, name: kept.name.clone(), wanted: kept.wanted, sockets })
        });
        each.collect()
    }
}
