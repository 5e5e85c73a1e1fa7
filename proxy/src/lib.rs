//! rolegate: a load-balancing reverse proxy for the client-facing site system roles of Configuration Manager.
//!
//! Everything a request needs is in one immutable [`model::snapshot::Snapshot`]. Only the [`control::director::Director`]
//! makes snapshots. A request takes a [`model::endpoint::Lease`] on an endpoint and gives it back with an outcome.
//! `ARCHITECTURE.md` has the picture; [`data::path::serve`] is the request path; [`app::App`] runs all of it inside a program.

// What a closed pipe makes of these is a panic; `cli::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod access_log;
#[allow(clippy::disallowed_types, reason = "no thread that serves waits for it")]
pub mod admin;
pub mod app;
#[allow(clippy::disallowed_methods, reason = "people read times of the wall clock")]
pub mod cli;
pub mod connection_error;
#[allow(clippy::disallowed_methods, reason = "certificates and people go by the wall clock")]
#[allow(clippy::disallowed_types, reason = "no thread that serves waits for it")]
pub mod control;
pub mod data;
pub mod error;
#[allow(clippy::disallowed_methods, reason = "people read times of the wall clock")]
#[allow(clippy::disallowed_types, reason = "no thread that serves waits for it")]
pub mod explain;
pub mod figures;
pub mod learned;
pub mod limits;
pub mod lookup;
#[allow(clippy::disallowed_types, reason = "a thread that serves has its handles, and counts without a lock")]
pub mod metrics;
pub mod model;
#[allow(clippy::disallowed_methods, reason = "people read times of the wall clock")]
#[allow(clippy::disallowed_types, reason = "no thread that serves waits for it")]
pub mod page;
pub mod process_log;
#[allow(clippy::disallowed_methods, reason = "people read times of the wall clock")]
#[allow(clippy::disallowed_types, reason = "no thread that serves waits for it")]
pub mod status;
pub mod steering;
pub mod text;
pub mod wire;
