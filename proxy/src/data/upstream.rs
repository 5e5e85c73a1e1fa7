//! Connections to site systems.

pub mod connect;
pub mod http1;
pub mod leftover;
pub mod made;
pub mod pin;
pub mod pool;
pub mod request_body;
pub mod worker;
