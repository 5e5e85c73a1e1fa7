//! A request as the decision sees it.

use std::net::IpAddr;

use crate::wire::fields::Fields;

/// What the decision needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a, 'h> {
    /// Position of the listener.
    pub listener: u16,
    /// `Host` without its port.
    pub host: Option<&'h str>,
    /// Method, as sent.
    pub method: &'h str,
    /// Path, as sent.
    pub path: &'a str,
    /// Query, as sent.
    pub query: Option<&'a str>,
    /// The client's address, after trusted forwarding fields.
    pub client: IpAddr,
    /// The fields of the request; `None` for a connection of a TCP role.
    pub fields: Option<&'h Fields>,
    /// [`super::stay::subject_hash`] of who the client's certificate is for, if it has shown one of its own.
    pub subject: Option<u64>,
}
