//! A Configuration Manager site in miniature, for tests and measurements of rolegate.
//!
//! [`site`] has simulated site systems: management points, distribution points and the other client-facing roles,
//! which answer in the documented shapes and can be made ill in a dozen ways while they run. [`client`] has simulated
//! clients, which ask what a real client asks and repeat only what a real client would repeat. [`content`] is what both
//! sides know about packages, and [`message`] the frame of a client message. [`pki`] makes certificates for all of them,
//! [`threshold`] is what has to hold of a run, [`hold`] very many connections that are idle, and [`say`] prints for all programs.
//! [`fleet`] makes load of very many clients on their schedules, and [`load`] of the same few requests, as fast as they are answered
//! or at a rate; [`replay`] sends those of an access log again.
//!
//! [`chaos`] runs rolegate under faults that come at random.
//!
//! Nothing else here knows rolegate: the same pieces can be pointed at any proxy, or at each other.

// What a closed pipe makes of these is a panic; `say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod chaos;
pub mod client;
pub mod compare;
pub mod content;
mod dial;
pub mod fleet;
pub mod hold;
pub mod load;
pub mod message;
mod mix;
mod ntlm;
pub mod pki;
pub mod record;
pub mod replay;
pub mod report;
pub mod say;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod scripted;
pub mod site;
pub mod spread;
pub mod threshold;
mod tls;
#[cfg(test)]
mod waiting;
