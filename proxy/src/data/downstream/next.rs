//! What becomes of a client connection after each of its states.

use std::future::Future;
use std::pin::Pin;

use crate::data::downstream::idle::Waiting;

/// What a client connection does next.
pub enum Next {
    /// Something that needs more than this.
    Work(Pin<Box<dyn Future<Output = Self>>>),
    /// It waits for a request.
    Wait(Waiting),
    /// Nothing.
    Over,
}
