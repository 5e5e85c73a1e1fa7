//! The control plane: reads configuration, names and health, and writes snapshots.

pub mod assemble;
pub mod certificates;
pub mod changes;
pub mod compile;
pub mod config;
pub mod describe;
pub mod difference;
pub mod director;
pub mod doubts;
pub mod encoding;
pub mod ledger;
pub mod listening;
pub mod origin;
pub mod probing;
pub mod publish;
pub mod registry;
pub mod resolve;
pub mod settle;
pub mod state_file;
pub mod steering;
pub mod survey;
pub mod told;
mod transitions;
pub mod versions;
pub mod view;
pub mod watch;
