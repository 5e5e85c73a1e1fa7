//! The control plane: reads configuration, names and health, and writes snapshots.

pub mod assemble;
pub mod certificates;
pub mod compile;
pub mod config;
pub mod director;
pub mod doubts;
pub mod encoding;
pub mod ledger;
pub mod origin;
pub mod probing;
pub mod publish;
pub mod registry;
pub mod resolve;
pub mod settle;
pub mod survey;
pub mod told;
pub mod watch;
