//! An access log as load: the requests that it has, at its own times, from addresses of its clients.
//!
//! [`Log::read`] makes requests of the lines of an IIS log (W3C extended) or of rolegate's access log, [`run`] sends them. Times
//! are those of the log, sped up or not, or a rate in the order of the log. The load is open: a request is sent when it is due,
//! whatever became of those before it, and its latency counts from then. Each client of the log has a connection of its own,
//! and more while its answers are late.
//!
//! A log has no bodies, no fields but a few, and no user's password. Bodies are made up, in the size that the log tells; an
//! answer is good if its status is of the same class as that in the log.

mod drive;
mod json;
mod line;
mod log;
mod message;
mod plan;
mod run;
mod sources;
mod w3c;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use log::{Broken, Counts, Log, MOST_REQUESTS, Methods, Reading};
pub use message::{Message, message_of};
pub use plan::{Error, Plan, Tempo};
pub use run::run;
pub use sources::Sources;
