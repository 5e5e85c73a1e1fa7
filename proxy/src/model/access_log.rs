//! What the access log is to say of a request: its format, its fields, and which requests it is told of.

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object each.
    Json,
    /// As Apache and nginx write `combined`.
    Combined,
    /// W3C extended, with the names of IIS.
    W3c,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Combined, Self::W3c];

    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Combined => "combined",
            Self::W3c => "w3c",
        }
    }

    /// Fields that can be chosen.
    pub fn fields(self) -> impl Iterator<Item = LogField> {
        LogField::ALL.iter().copied().filter(move |field| field.name(self).is_some())
    }

    /// Fields that are written when none are chosen.
    pub fn usual(self) -> &'static [LogField] {
        match self {
            Self::Json => &USUAL_JSON,
            Self::Combined => &COMBINED,
            Self::W3c => &USUAL_W3C,
        }
    }
}

macro_rules! fields {
    ($($variant:ident $json:literal $w3c:literal,)*) => {
        /// One field of a line. Its names are in the document about operations, with their units.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum LogField {
            $(#[doc = concat!("`", $json, "` of JSON, `", $w3c, "` of W3C; none where it is empty.")] $variant,)*
        }

        impl LogField {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in a format that lets fields be chosen, if it is one of its fields.
            pub fn name(self, format: LogFormat) -> Option<&'static str> {
                let (json, w3c) = match self {
                    $(Self::$variant => ($json, $w3c),)*
                };
                let name = match format {
                    LogFormat::Json => json,
                    LogFormat::W3c => w3c,
                    LogFormat::Combined => "",
                };
                (!name.is_empty()).then_some(name)
            }
        }
    };
}

fields! {
    Ts "ts" "",
    Date "" "date",
    Time "" "time",
    Snapshot "snapshot" "x-snapshot",
    Kind "kind" "x-kind",
    Listener "listener" "x-listener",
    Peer "peer" "x-peer",
    Client "client" "c-ip",
    Server "server" "",
    ServerAddress "" "s-ip",
    ServerPort "" "s-port",
    Tls "tls" "x-tls",
    TlsCipher "tls_cipher" "x-tls-cipher",
    ServerName "sni" "x-sni",
    Http "http" "cs-version",
    Method "method" "cs-method",
    Target "target" "",
    UriStem "" "cs-uri-stem",
    UriQuery "" "cs-uri-query",
    UserName "" "cs-username",
    Host "host" "cs-host",
    UserAgent "user_agent" "cs(User-Agent)",
    Referer "referer" "cs(Referer)",
    ClientId "client_id" "x-client-id",
    RequestId "request_id" "x-request-id",
    TraceId "trace_id" "x-trace-id",
    Role "role" "x-role",
    Site "site" "x-site",
    BoundaryGroups "boundary_groups" "x-boundary-group-count",
    BoundaryGroupNames "boundary_group_names" "x-boundary-groups",
    Tier "tier" "x-tier",
    SiteSystem "site_system" "x-site-system",
    Endpoint "endpoint" "x-endpoint",
    Attempts "attempts" "x-attempts",
    Status "status" "sc-status",
    SubStatus "" "sc-substatus",
    Win32Status "" "sc-win32-status",
    Error "error" "x-error",
    Ended "ended" "x-ended",
    BytesUp "bytes_up" "cs-bytes",
    BytesDown "bytes_down" "sc-bytes",
    FirstByte "first_byte_us" "x-first-byte-us",
    Total "total_us" "x-total-us",
    TimeTaken "" "time-taken",
}

use LogField as F;

const USUAL_JSON: [F; 32] = [
    F::Ts,
    F::Snapshot,
    F::Kind,
    F::Listener,
    F::Peer,
    F::Client,
    F::Tls,
    F::TlsCipher,
    F::ServerName,
    F::Http,
    F::Method,
    F::Target,
    F::Host,
    F::UserAgent,
    F::ClientId,
    F::RequestId,
    F::TraceId,
    F::Role,
    F::Site,
    F::BoundaryGroups,
    F::BoundaryGroupNames,
    F::Tier,
    F::SiteSystem,
    F::Endpoint,
    F::Attempts,
    F::Status,
    F::Error,
    F::Ended,
    F::BytesUp,
    F::BytesDown,
    F::FirstByte,
    F::Total,
];

const USUAL_W3C: [F; 26] = [
    F::Date,
    F::Time,
    F::ServerAddress,
    F::Method,
    F::UriStem,
    F::UriQuery,
    F::ServerPort,
    F::UserName,
    F::Client,
    F::UserAgent,
    F::Referer,
    F::Status,
    F::SubStatus,
    F::Win32Status,
    F::TimeTaken,
    F::BytesDown,
    F::BytesUp,
    F::Host,
    F::Role,
    F::BoundaryGroupNames,
    F::Tier,
    F::SiteSystem,
    F::Attempts,
    F::Error,
    F::RequestId,
    F::Kind,
];

/// What a line of `combined` is made of.
const COMBINED: [F; 8] = [F::Client, F::Ts, F::Method, F::Target, F::Status, F::BytesDown, F::Referer, F::UserAgent];

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFields(u64);

impl LogFields {
    /// These.
    pub fn of(fields: &[LogField]) -> Self {
        Self(fields.iter().fold(0, |bits, field| bits | 1 << *field as u8))
    }

    /// Whether it has this one.
    pub fn has(self, field: LogField) -> bool {
        self.0 & 1 << field as u8 != 0
    }
}

/// Which requests the log is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// One is drawn whose number is at most this; `u64::MAX` draws all.
    pub up_to: u64,
    /// Errors that were not drawn are told of too.
    pub errors: Always,
}

/// Whether something is logged whatever the dice say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Always {
    /// It is.
    Logged,
    /// As all others.
    Drawn,
}

/// `[access_log]`, as far as a reload changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The file, or `-` for standard output.
    pub path: Box<str>,
    /// How lines are written.
    pub format: LogFormat,
    /// What a line has, in this order.
    pub fields: Box<[LogField]>,
    /// The same as a set.
    pub has: LogFields,
    /// Which requests are logged.
    pub sampling: Sampling,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_has_a_name_of_its_own() {
        assert!(LogField::ALL.len() <= 64, "they are bits of a number");
        for format in [LogFormat::Json, LogFormat::W3c] {
            let names: Vec<_> = format.fields().filter_map(|field| field.name(format)).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
            for field in format.usual() {
                assert!(field.name(format).is_some(), "{field:?} is no field of {format:?}");
                assert!(LogFields::of(format.usual()).has(*field));
            }
        }
        assert_eq!(LogFormat::Combined.fields().count(), 0, "its fields are fixed");
        for field in LogField::ALL {
            let named = [LogFormat::Json, LogFormat::W3c].iter().any(|format| field.name(*format).is_some());
            assert!(named, "{field:?} has no name");
        }
    }
}
