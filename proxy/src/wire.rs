//! HTTP/1.1 and what comes before it on a connection, without I/O: bytes in, values out. No runtime, no clock.

pub mod address;
pub mod body;
pub mod client_hello;
pub mod fields;
pub mod head;
pub mod hop_by_hop;
pub mod host;
pub mod known;
pub mod list;
pub mod names;
pub mod proxy_header;
pub mod request;
pub mod secrets;
pub mod trailers;
