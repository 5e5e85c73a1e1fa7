//! The request path. It does not know which version of HTTP a client speaks, nor how its bytes come.

pub mod admission;
pub mod attempt;
pub mod call;
pub mod client;
pub mod door;
pub mod exchange;
pub mod forwarding;
pub mod hops;
pub mod lawful;
pub mod message;
pub mod outcome;
pub mod patience;
pub mod redirect;
pub mod request_id;
pub mod respond;
pub mod response_body;
pub mod serve;
pub mod session;
pub mod uploading;
