//! HTTP/1.1 without I/O: bytes in, values out. No runtime, no clock.

pub mod body;
pub mod case;
pub mod head;
pub mod hop_by_hop;
pub mod host;
pub mod list;
pub mod request;
pub mod trailers;
