//! What a client asks for and what it gets, whatever version of HTTP it speaks.

use http::StatusCode;

use crate::data::path::response_body::ResponseBody;
use crate::data::upstream::request_body::RequestBody;
use crate::wire::head::{RequestHead, ResponseHead};

/// A request of a client.
#[derive(Debug)]
pub struct ClientRequest {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: RequestBody,
}

/// A response to a client.
#[derive(Debug)]
pub struct ClientResponse {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: ResponseBody,
    /// Which connections can carry it.
    pub carried: Carried,
}

/// Which connections can carry a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// All.
    Always,
    /// None over HTTP/2: the client must ask again over HTTP/1.1.
    OverHttp11,
}

impl ClientResponse {
    /// One that every connection carries.
    pub fn new(head: ResponseHead, body: ResponseBody) -> Self {
        Self { head, body, carried: Carried::Always }
    }

    /// One of ours, without fields.
    pub fn with_status(status: StatusCode, body: ResponseBody) -> Self {
        Self::new(ResponseHead::new(status), body)
    }
}
