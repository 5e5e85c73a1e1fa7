//! Plain values: what the proxy knows and how it decides. No I/O, no runtime, no clock, no dice: those are passed in.

pub mod audience;
pub mod balance;
pub mod boundary;
pub mod boundary_range;
pub mod cluster;
pub mod content;
pub mod decision;
pub mod endpoint;
pub mod entry;
pub mod explain;
pub mod fallback;
pub mod knowledge;
pub mod learn;
pub mod live;
pub mod location;
pub mod mix;
pub mod note;
pub mod path;
pub mod presets;
pub mod retry;
pub mod role;
pub mod route;
pub mod snapshot;
pub mod stay;
pub mod table;
pub mod tls;
