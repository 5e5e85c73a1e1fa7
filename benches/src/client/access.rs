//! By which paths a client reaches the applications of a site.

use http::HeaderValue;

use crate::content::hex;
use crate::mix::{mix, mix_text};

/// Words of eight bytes of a token. It is opaque; that it has some 1,200 characters is an assumption.
const TOKEN_WORDS: u64 = 75;

/// How a client or its user is known to the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By what is in its messages.
    Anonymous,
    /// By Windows authentication: the `*_WindowsAuth` paths of a management point.
    Windows,
    /// By a token: the `*_TokenAuth` paths, and those of distribution points.
    Token,
}

impl Access {
    /// Where client messages go.
    pub(super) const fn messages(self) -> &'static str {
        match self {
            Self::Anonymous => "/ccm_system/request",
            Self::Windows => "/CCM_System_WindowsAuth/request",
            Self::Token => "/CCM_System_TokenAuth/request",
        }
    }

    /// The application that has policies and configuration items.
    pub(super) const fn authority(self) -> &'static str {
        match self {
            Self::Anonymous => "/SMS_MP",
            Self::Windows => "/SMS_MP_WindowsAuth",
            Self::Token => "/SMS_MP_TokenAuth",
        }
    }

    /// The target of a package's file or listing, which is named as it is without a token.
    pub(super) fn content(self, target: &str) -> String {
        match self {
            Self::Anonymous | Self::Windows => target.to_owned(),
            Self::Token => target.replacen("/SMS_DP_", "/CCMTOKENAUTH_SMS_DP_", 1),
        }
    }
}

/// Whether the path is one for those who have a token.
pub(super) fn wants_token(target: &str) -> bool {
    let first = target.trim_start_matches('/').split('/').next().unwrap_or_default();
    first.ends_with("_TokenAuth") || first.starts_with("CCMTOKENAUTH_")
}

/// The token of a client or its user, as a header field has it.
pub(super) fn token(of: &str) -> Option<HeaderValue> {
    let seed = mix_text(0x70, of);
    let text = (0..TOKEN_WORDS).map(|word| hex(&mix(seed ^ word).to_be_bytes())).collect::<String>();
    HeaderValue::from_str(&format!("Bearer {text}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_where_one_is_wanted() {
        for (target, wanted) in [
            (Access::Token.messages(), true),
            (&Access::Token.content("/SMS_DP_SMSPKG$/PKG00001"), true),
            (Access::Anonymous.messages(), false),
            (Access::Windows.authority(), false),
            ("/ClientWebService/client.asmx?/CCM_System_TokenAuth", false),
        ] {
            assert_eq!(wants_token(target), wanted, "{target}");
        }
        assert_ne!(token("a"), token("b"));
    }
}
