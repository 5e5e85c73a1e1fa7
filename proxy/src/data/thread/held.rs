//! The snapshot as one data thread holds it.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::snapshot::Snapshot;

/// A snapshot as a data thread holds it. Cloning it counts on a number of this thread, not on one that all cores share.
#[derive(Clone, Debug)]
#[expect(clippy::redundant_allocation, reason = "the outer count is this thread's alone, which is the point")]
pub struct Held(Rc<Arc<Snapshot>>);

impl Deref for Held {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Held {
    /// Held by the thread that this is called on.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Rc::new(snapshot))
    }

    /// What all threads share.
    pub fn shared(&self) -> &Arc<Snapshot> {
        &self.0
    }

    /// The snapshot for another thread.
    pub fn share(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0)
    }
}
