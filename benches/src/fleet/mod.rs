//! A fleet of Configuration Manager clients, as load: many clients, each on its own schedules.
//!
//! A [`Scenario`] says who does what when; a [`Schedule`] makes of it when each client is due, by arithmetic alone; a
//! [`Crowd`] holds the idle clients of a thread, a few words each. Only an activity under way has a task, a
//! [`Client`](crate::client::Client) and perhaps a connection.
//!
//! The load is open: an activity begins when it is due, whatever the target does, and its latency counts from then. What
//! finds no place because too much is under way waits, and its waiting counts.

mod act;
mod activity;
mod address;
mod crowd;
mod desk;
mod details;
mod engine;
mod exposed;
mod fields;
mod kept;
mod messages;
mod notify;
mod observed;
mod parse;
mod plain;
mod preflight;
mod probe;
mod ran;
mod read;
mod scenario;
mod schedule;
mod sense;
mod set;
mod shipped;
mod sources;
mod worker;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use activity::{Activity, Habit};
pub use address::Address;
pub use crowd::{Crowd, Occasion};
pub use desk::Target;
pub use details::{Details, Poll};
pub use engine::run;
pub use exposed::expose;
pub use fields::Mistake;
pub(crate) use kept::Kept;
pub use plain::{check_plain, run_plain, secures};
pub use preflight::{Found, check};
pub(crate) use ran::Ran;
pub use ran::Running;
pub use read::parse_ramp;
pub use scenario::{Clock, Fleet, Kind, MAX_CLIENTS, Notification, Outage, Pace, Plain, Scenario, Storm, TlsFiles};
pub use schedule::{Schedule, Tick};
pub use shipped::{SHIPPED, find, listed};
pub use sources::Group;
