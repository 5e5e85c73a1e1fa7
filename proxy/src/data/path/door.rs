//! What client connections of one listener have in common on one data thread.

use std::sync::Arc;

use crate::metrics::ListenerMetrics;
use crate::model::snapshot::ListenerId;

/// The side of a listener that its clients know. All that come in through it hold it, so that it is known when the last is gone.
#[derive(Clone, Debug)]
pub struct Door {
    /// What it is known by.
    pub id: ListenerId,
    /// Handles.
    pub metrics: ListenerMetrics,
    /// Shared by the doors of all data threads to one listener of one name: held by one alone, nobody is left.
    pub presence: Arc<Presence>,
}

/// Is there for as long as a client, or a socket, of a listener is.
#[derive(Debug, Default)]
pub struct Presence(());
