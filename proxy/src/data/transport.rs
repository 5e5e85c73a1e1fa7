//! Sockets: with and without TLS, past our memory, and what is on its way into them.

pub mod descriptors;
pub mod keepalive;
pub mod outgoing;
pub mod proxy_protocol;
pub mod splice;
pub mod stream;
