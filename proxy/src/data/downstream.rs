//! Connections of clients.

pub mod channel;
pub mod connection;
pub mod entrances;
pub mod entry;
pub mod hello;
pub mod http1;
pub mod http2;
pub mod idle;
pub mod listener;
pub mod next;
pub mod not_tls;
pub mod responding;
