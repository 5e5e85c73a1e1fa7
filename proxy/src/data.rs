//! The data plane: reads snapshots, never waits for the control thread.
//!
//! From the bottom to the top: [`thread`], [`transport`], [`upstream`], [`path`], [`tunnel`], [`downstream`]. Imports go down only.

pub mod downstream;
pub mod path;
pub mod run;
pub mod thread;
pub mod transport;
pub mod tunnel;
pub mod upstream;
