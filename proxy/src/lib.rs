//! rolegate: a load-balancing reverse proxy for the client-facing site system roles of Configuration Manager.
//!
//! Everything a request needs is in one immutable [`model::snapshot::Snapshot`]. Only the [`control::director::Director`]
//! makes snapshots. A request takes a [`model::endpoint::Lease`] on an endpoint and gives it back with an outcome.
//! `ARCHITECTURE.md` has the picture; [`data::path::serve`] is the request path; [`app::App`] runs all of it inside a program.

// What a closed pipe makes of these is a panic; `cli::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod access_log;
pub mod admin;
pub mod app;
pub mod cli;
pub mod connection_error;
pub mod control;
pub mod data;
pub mod error;
pub mod explain;
pub mod learned;
pub mod limits;
pub mod lookup;
pub mod metrics;
pub mod model;
pub mod process_log;
pub mod status;
pub mod text;
pub mod wire;
