//! Names of fields that a proxy reads, writes or takes out.

use http::HeaderName;

macro_rules! known {
    ($($variant:ident = $text:literal,)*) => {
        /// A name of a field that something here depends on. Names of all others pass as they are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        impl Known {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// In small letters.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The one with this name, in small letters.
            pub fn of(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

known! {
    Allow = "allow",
    Authorization = "authorization",
    BitsError = "bits-error",
    BitsErrorCode = "bits-error-code",
    BitsErrorContext = "bits-error-context",
    BitsHostId = "bits-host-id",
    BitsHostIdFallbackTimeout = "bits-host-id-fallback-timeout",
    BitsPacketType = "bits-packet-type",
    BitsSessionId = "bits-session-id",
    CcmClientId = "ccmclientid",
    CdnLoop = "cdn-loop",
    ClientCert = "client-cert",
    ClientCertChain = "client-cert-chain",
    Connection = "connection",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Expect = "expect",
    Forwarded = "forwarded",
    Host = "host",
    Http2Settings = "http2-settings",
    KeepAlive = "keep-alive",
    MaxForwards = "max-forwards",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    ProxyStatus = "proxy-status",
    Range = "range",
    Referer = "referer",
    RetryAfter = "retry-after",
    Te = "te",
    TraceParent = "traceparent",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Via = "via",
    WwwAuthenticate = "www-authenticate",
    XArrClientCert = "x-arr-clientcert",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
    XRolegateDecision = "x-rolegate-decision",
}

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

impl KnownSet {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(names: &[Known]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < names.len() {
            bits |= 1 << names[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether it has this one.
    pub const fn has(self, name: Known) -> bool {
        self.0 & (1 << name as u8) != 0
    }

    /// Whether it has one of those.
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// With this one.
    #[must_use]
    pub const fn with(self, name: Known) -> Self {
        Self(self.0 | 1 << name as u8)
    }

    /// Without those.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Something here depends on it.
    Known(Known),
    /// It passes.
    Other(HeaderName),
}

impl Name {
    /// In small letters.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Other(name) => name.as_str(),
        }
    }

    /// The name, if it is a known one.
    pub fn known(&self) -> Option<Known> {
        match self {
            Self::Known(known) => Some(*known),
            Self::Other(_) => None,
        }
    }

    /// For libraries.
    pub fn to_header_name(&self) -> HeaderName {
        match self {
            Self::Known(known) => HeaderName::from_static(known.as_str()),
            Self::Other(name) => name.clone(),
        }
    }
}

impl From<HeaderName> for Name {
    fn from(name: HeaderName) -> Self {
        Known::of(name.as_str()).map_or(Self::Other(name), Self::Known)
    }
}

impl From<Known> for Name {
    fn from(name: Known) -> Self {
        Self::Known(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_is_itself_and_a_set_has_a_place_for_each() {
        assert!(Known::ALL.len() <= 64, "a bit for each");
        for &known in Known::ALL {
            assert_eq!(Known::of(known.as_str()), Some(known));
            assert_eq!(Name::from(Name::Known(known).to_header_name()), Name::Known(known));
            let alone = KnownSet::of(&[known]);
            assert_eq!(Known::ALL.iter().filter(|&&other| alone.has(other)).count(), 1);
            assert_eq!((alone.has(known), KnownSet::NONE.with(known)), (true, alone));
            assert!(!KnownSet::of(Known::ALL).without(alone).has(known));
        }
        assert_eq!(Known::of("accept"), None);
        assert!(!KnownSet::of(&[Known::Host]).meets(KnownSet::of(&[Known::Te, Known::Via])));
        assert!(KnownSet::of(&[Known::Host, Known::Via]).meets(KnownSet::of(&[Known::Te, Known::Via])));
    }
}
