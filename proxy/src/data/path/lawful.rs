//! Requests that HTTP forbids to forward: looked for before anything is decided by them.

use std::net::SocketAddr;

use http::header::HeaderValue;
use http::{Method, Version};

use crate::data::path::session::Session;
use crate::error::Error;
use crate::wire::head::RequestHead;
use crate::wire::host::is_host;
use crate::wire::known::Known;

/// Refuses a request that must not be forwarded, and gives one without a host ours. What follows is routed by what is in the
/// request now, and that is forwarded.
///
/// # Errors
/// Why it is refused. The connection closes after the answer, because the next request may not begin where it seems to.
pub fn check(session: &Session, head: &mut RequestHead) -> Result<(), Error> {
    let checked = settle_host(session, head).and_then(|()| {
        if head.method == Method::CONNECT {
            return Err(Error::BadRequest);
        }
        // A value is the same without them, and one of two readers may see another (RFC 9113, section 8.2.1).
        if session.is_http2() && head.fields.iter().any(|field| has_blanks_around(field.value)) {
            return Err(Error::BadHead);
        }
        // The server as a whole, which only OPTIONS asks about (RFC 9112, section 3.2.4).
        if head.uri.path() == "*" && head.method != Method::OPTIONS {
            return Err(Error::InvalidTarget);
        }
        Ok(())
    });
    checked.inspect_err(|_| session.close_after_response())
}

/// One host, and a valid one, in the field, in the target, or the same in both (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
fn settle_host(session: &Session, head: &mut RequestHead) -> Result<(), Error> {
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let (field, another) = {
        let mut fields = head.fields.all(Known::Host);
        (fields.next(), fields.next())
    };
    if another.is_some() || !field.into_iter().chain(authority).all(is_host) {
        return Err(Error::InvalidHost);
    }
    match (head.version, field, authority) {
        // Over HTTP/2 two names for the host are one too many. Over HTTP/1.1 the target's replaces the other.
        (Version::HTTP_2, Some(field), Some(authority)) if !field.eq_ignore_ascii_case(authority) => {
            Err(Error::InvalidHost)
        }
        (Version::HTTP_2, None, None) | (Version::HTTP_11, None, _) => Err(Error::InvalidHost),
        (_, None, None) => {
            let ours = our_host(session).ok_or(Error::InvalidHost)?;
            head.fields.set(Known::Host, ours);
            Ok(())
        }
        (_, Some(_), _) | (_, _, Some(_)) => Ok(()),
    }
}

/// Where the client has connected to: all that an HTTP/1.0 request without a host says about its target.
fn our_host(session: &Session) -> Option<HeaderValue> {
    let to = session.to?;
    let usual = if session.secured.is_some() { 443 } else { 80 };
    // Without the scope of a link-local address, which is no part of a host.
    let text = SocketAddr::new(to.ip(), to.port()).to_string();
    let host = if to.port() == usual { text.rsplit_once(':')?.0 } else { &text };
    HeaderValue::from_str(host).ok()
}

fn has_blanks_around(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.first()) || blank(value.last())
}
