//! Who may change something: those who have the token of `[admin] token_file`.

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{Answer, text};
use crate::model::snapshot::Site;

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no token.
    NoToken,
    /// The request has none, or another one.
    Unknown,
}

/// Looks whether a request has the token. Only digests are compared, so the time that it takes tells nothing of the token.
pub(super) fn check(site: &Site, headers: &HeaderMap) -> Result<(), Refusal> {
    let expected = site.admin_token.ok_or(Refusal::NoToken)?;
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let token = given.next().and_then(|field| bearer(field.as_bytes())).ok_or(Refusal::Unknown)?;
    let digest: [u8; 32] = Sha256::digest(token).into();
    if given.next().is_none() && digest == expected { Ok(()) } else { Err(Refusal::Unknown) }
}

/// The token behind the word `Bearer` (RFC 6750, section 2.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

impl Refusal {
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::NoToken => text(
                StatusCode::FORBIDDEN,
                "changes are refused: set [admin] token_file and reload, and send the token with the request\n",
            ),
            Self::Unknown => {
                let say = "changes need the token of [admin] token_file: Authorization: Bearer TOKEN\n";
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
}
