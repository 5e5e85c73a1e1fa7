//! Who may ask and who may change something.
//!
//! Changes need the token of `[admin] token_file`, a client certificate of `[admin] client_authorities`, or the Unix socket, whose
//! permissions say who may use it. Questions from other machines need one of these too, but for `/health` and `/ready`, which are
//! for load balancers. Processes of this machine may ask all that only tells.

use std::fmt;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{Answer, text};
use super::peer::Peer;
use crate::model::admin::AdminRules;

/// Addresses that answer everyone.
const OPEN: [&str; 2] = ["/health", "/ready"];

/// By what right something is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The token.
    Token,
    /// A client certificate for this subject.
    Certificate(Arc<str>),
    /// The Unix socket, used by this user.
    Unix(u32),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("token"),
            Self::Certificate(subject) => write!(f, "certificate {subject}"),
            Self::Unix(uid) => write!(f, "uid {uid}"),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A change, and there is no token.
    NoToken,
    /// A change without the token, or with another one.
    Unknown,
    /// A question from another machine, and there is neither token nor authority.
    Remote,
    /// A question from another machine without the token, or with another one.
    UnknownRemote,
}

/// Whether a question may be answered.
pub(super) fn may_ask(rules: &AdminRules, headers: &HeaderMap, peer: &Peer, path: &str) -> Result<(), Refusal> {
    if peer.is_local() || OPEN.contains(&path) {
        return Ok(());
    }
    let trusts = rules.token.is_some() || rules.tls.is_some();
    who(rules, headers, peer).map(drop).ok_or(if trusts { Refusal::UnknownRemote } else { Refusal::Remote })
}

/// By what right something may be changed.
pub(super) fn may_change(rules: &AdminRules, headers: &HeaderMap, peer: &Peer) -> Result<Who, Refusal> {
    who(rules, headers, peer).ok_or(if rules.token.is_some() { Refusal::Unknown } else { Refusal::NoToken })
}

fn who(rules: &AdminRules, headers: &HeaderMap, peer: &Peer) -> Option<Who> {
    match peer {
        Peer::Unix { uid } => Some(Who::Unix(*uid)),
        Peer::Tcp { certificate: Some(subject), .. } => Some(Who::Certificate(Arc::clone(subject))),
        Peer::Tcp { certificate: None, .. } => has_token(rules, headers).then_some(Who::Token),
    }
}

/// Whether a request has the token. Only digests are compared, so the time that it takes tells nothing of the token.
fn has_token(rules: &AdminRules, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let token = given.next().and_then(|field| bearer(field.as_bytes()));
    let (Some(expected), Some(token), None) = (rules.token, token, given.next()) else { return false };
    let digest: [u8; 32] = Sha256::digest(token).into();
    digest == expected
}

/// The token behind the word `Bearer` (RFC 6750, section 2.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

impl Refusal {
    pub(super) fn answer(self) -> Answer {
        let say = match self {
            Self::NoToken => {
                "changes are refused: set [admin] token_file and reload, and send the token with the request\n"
            }
            Self::Unknown => "changes need the token of [admin] token_file: Authorization: Bearer TOKEN\n",
            Self::Remote => {
                "other machines are answered /health and /ready alone: for the rest set [admin] token_file and reload, and \
                 send the token with the request\n"
            }
            Self::UnknownRemote => {
                "from another machine this needs the token of [admin] token_file (Authorization: Bearer TOKEN) or a client \
                 certificate of [admin] client_authorities\n"
            }
        };
        match self {
            Self::NoToken | Self::Remote => text(StatusCode::FORBIDDEN, say),
            Self::Unknown | Self::UnknownRemote => {
                let mut answer = text(StatusCode::UNAUTHORIZED, say);
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                answer
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_from_the_field() {
        for (field, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearerabc", None),
            ("Bearer ", Some("")),
            ("", None),
        ] {
            assert_eq!(bearer(field.as_bytes()), expected.map(str::as_bytes), "{field:?}");
        }
    }

    #[test]
    fn other_machines_are_answered_when_they_are_known() {
        let rules = |token: Option<&str>| AdminRules {
            token: token.map(|token| Sha256::digest(token).into()),
            ..AdminRules::default()
        };
        let from = |address: &str, certificate: Option<&str>| Peer::Tcp {
            from: address.parse().unwrap(),
            certificate: certificate.map(Arc::from),
        };
        let (near, far) = (from("127.0.0.1:1", None), from("10.0.0.1:1", None));
        let known = from("10.0.0.1:1", Some("CN=ops"));
        let with = |token: &str| HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
        let (none, some) = (rules(None), rules(Some("abc")));
        for (rules, headers, peer, path, expected) in [
            (&none, HeaderMap::new(), &near, "/status", Ok(())),
            (&none, HeaderMap::new(), &from("[::ffff:127.0.0.1]:1", None), "/status", Ok(())),
            (&none, HeaderMap::new(), &far, "/status", Err(Refusal::Remote)),
            (&none, HeaderMap::new(), &far, "/ready", Ok(())),
            (&none, HeaderMap::new(), &far, "/health", Ok(())),
            (&some, HeaderMap::new(), &far, "/", Err(Refusal::UnknownRemote)),
            (&some, with("abd"), &far, "/", Err(Refusal::UnknownRemote)),
            (&some, with("abc"), &far, "/", Ok(())),
            (&some, HeaderMap::new(), &known, "/", Ok(())),
            (&none, HeaderMap::new(), &Peer::Unix { uid: 7 }, "/", Ok(())),
        ] {
            assert_eq!(may_ask(rules, &headers, peer, path), expected, "{peer} {path}");
        }
        for (rules, headers, peer, expected) in [
            (&none, HeaderMap::new(), &near, Err(Refusal::NoToken)),
            (&some, HeaderMap::new(), &near, Err(Refusal::Unknown)),
            (&some, with("abc"), &near, Ok(Who::Token)),
            (&some, HeaderMap::new(), &known, Ok(Who::Certificate("CN=ops".into()))),
            (&none, HeaderMap::new(), &Peer::Unix { uid: 7 }, Ok(Who::Unix(7))),
        ] {
            assert_eq!(may_change(rules, &headers, peer), expected, "{peer}");
        }
    }
}
