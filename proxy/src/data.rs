//! The data plane: reads snapshots, never waits for the control thread.

pub mod access_log;
pub mod body;
pub mod call;
pub mod connect;
pub mod connection;
pub mod exchange;
pub mod forward;
pub mod headers;
pub mod io;
pub mod listener;
pub mod outcome;
pub mod pin;
pub mod pool;
pub mod proxy;
pub mod respond;
pub mod search;
pub mod session;
pub mod tcp;
pub mod thread;
pub mod ticker;
pub mod tunnel;
pub mod worker;
