//! What a field of a line says of a record.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::data::thread::access_log::{Ended, Kind, Place, Record};
use crate::data::thread::log_texts::Text;
use crate::error::Error;
use crate::model::access_log::{LogField, LogFields, LogFormat};
use crate::model::snapshot::Snapshot;
use crate::model::tier::TierKind;
use crate::wire::address::{ip_text, socket_text};
use crate::wire::secrets::{self, Mask};

/// Names of boundary groups in a line; the field with their number says how many there are.
const MOST_GROUPS: usize = 4;
/// `ERROR_NETNAME_DELETED`, which IIS writes when a client has gone.
const CLIENT_GONE: u64 = 64;
/// `ERROR_SEM_TIMEOUT`, which IIS writes when a client was too slow.
const TOO_SLOW: u64 = 121;

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// There is none.
    Absent,
    /// A number.
    Number(u64),
    /// A text.
    Text(&'a [u8]),
    /// A target, or another reference.
    Target(&'a [u8]),
    /// What comes after the `?` of one.
    Query(&'a [u8]),
    /// Several names.
    Names(&'a [&'a str]),
    /// An address.
    Ip(IpAddr),
    /// An address with its port.
    Socket(SocketAddr),
}

impl<'a> Value<'a> {
    fn word(word: Option<&'a str>) -> Self {
        Self::text(word.map(str::as_bytes))
    }

    fn text(text: Option<&'a [u8]>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }

    /// Gives a value that is one text to `put`, in pieces, without what is secret. Numbers and lists are not.
    pub(super) fn pieces(self, mask: &Mask, mut put: impl FnMut(&[u8])) {
        match self {
            Self::Absent | Self::Number(_) | Self::Names(_) => {}
            Self::Text(text) => put(text),
            Self::Target(target) => mask.target(target, put),
            Self::Query(query) => mask.query(query, put),
            Self::Ip(ip) => put(ip_text(ip).as_bytes()),
            Self::Socket(socket) => put(socket_text(socket).as_bytes()),
        }
    }
}

/// A record with its names looked up.
pub(super) struct Facts<'a> {
    record: &'a Record,
    ts: &'a str,
    listener: &'a str,
    role: Option<&'a str>,
    site: Option<&'a str>,
    names: ArrayVec<&'a str, MOST_GROUPS>,
}

impl<'a> Facts<'a> {
    /// Names are looked up here, and not on the data thread. `ts` is the time in RFC 3339.
    pub(super) fn new(record: &'a Record, ts: &'a str, wanted: LogFields) -> Self {
        let snapshot = &*record.snapshot;
        let (listener, role, site) = match &record.place {
            Place::Of { listener, role } => {
                let topology = role.map(|role| &snapshot.cluster(role).topology);
                let listener = snapshot.site.listeners.get(usize::from(*listener)).map_or("", |own| &*own.name);
                let role = topology.map(|topology| topology.role.name.as_str());
                (listener, role, topology.and_then(|topology| topology.site.as_deref()))
            }
            Place::Named(named) => {
                (&*named.listener, named.role.as_ref().map(|role| role.name.as_str()), named.site.as_deref())
            }
        };
        let wants_names = wanted.has(LogField::BoundaryGroupNames) && record.groups > 0;
        let names = if wants_names { group_names(snapshot, record.client) } else { ArrayVec::new() };
        Self { record, ts, listener, role, site, names }
    }

    /// The value of one field.
    pub(super) fn value(&self, field: LogField, format: LogFormat) -> Value<'_> {
        let record = self.record;
        let text = |text| Value::text(record.texts.get(text));
        let reference = |text| record.texts.get(text).map_or(Value::Absent, Value::Target);
        match field {
            LogField::Ts => Value::word(Some(self.ts)),
            LogField::Date => Value::word(self.ts.split('T').next()),
            LogField::Time => Value::word(self.ts.split(['T', '.']).nth(1)),
            LogField::Snapshot => Value::Number(record.snapshot.version),
            LogField::Kind => Value::word(kind(record.kind)),
            LogField::Listener => Value::word(Some(self.listener)),
            LogField::Peer => Value::Socket(record.peer),
            LogField::Client => Value::Ip(record.client),
            LogField::Server => record.server.map_or(Value::Absent, Value::Socket),
            LogField::ServerAddress => record.server.map_or(Value::Absent, |own| Value::Ip(own.ip().to_canonical())),
            LogField::ServerPort => record.server.map_or(Value::Absent, |own| Value::Number(own.port().into())),
            LogField::Tls => Value::word(record.tls),
            LogField::TlsCipher => Value::word(record.cipher),
            LogField::ServerName => text(Text::ServerName),
            LogField::Http => Value::word(version(record.kind, format)),
            LogField::Method => Value::word(record.method.as_ref().map(http::Method::as_str)),
            LogField::Target => reference(Text::Target),
            LogField::UriStem => self.path().map_or(Value::Absent, |(stem, _)| Value::Target(stem)),
            LogField::UriQuery => self.path().and_then(|(_, query)| query).map_or(Value::Absent, Value::Query),
            // Who signs in does so at the site system.
            LogField::UserName => Value::Absent,
            LogField::Host => text(Text::Host),
            LogField::UserAgent => text(Text::UserAgent),
            LogField::Referer => reference(Text::Referer),
            LogField::ClientId => text(Text::ClientId),
            LogField::RequestId => text(Text::RequestId),
            LogField::TraceId => Value::text(record.texts.get(Text::TraceParent).and_then(trace_id)),
            LogField::Role => Value::word(self.role),
            LogField::Site => Value::word(self.site),
            LogField::BoundaryGroups => Value::Number(record.groups.into()),
            LogField::BoundaryGroupNames if self.names.is_empty() => Value::Absent,
            LogField::BoundaryGroupNames => Value::Names(&self.names),
            LogField::Tier => Value::word(record.tier.map(TierKind::as_str)),
            LogField::SiteSystem => Value::word(record.site_system.as_deref()),
            LogField::Endpoint => record.endpoint.map_or(Value::Absent, Value::Socket),
            LogField::Attempts => Value::Number(record.attempts.into()),
            LogField::Status => record.status.map_or(Value::Absent, |status| Value::Number(status.as_u16().into())),
            LogField::SubStatus => record.status.map_or(Value::Absent, |_| Value::Number(substatus(record.error))),
            LogField::Win32Status => record.status.map_or(Value::Absent, |_| Value::Number(win32(record.error))),
            LogField::Error => Value::word(record.error.map(Error::reason)),
            LogField::Ended => Value::word(record.ended.map(Ended::as_str)),
            LogField::BytesUp => Value::Number(record.received),
            LogField::BytesDown => Value::Number(record.sent),
            LogField::FirstByte => record.first_byte.map_or(Value::Absent, |time| Value::Number(micros(time))),
            LogField::Total => Value::Number(micros(record.total)),
            LogField::TimeTaken => Value::Number(micros(record.total) / 1000),
        }
    }

    /// Path and query of a request.
    fn path(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.record.texts.get(Text::Target).map(secrets::origin_form).map(secrets::split)
    }
}

fn kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Http1 | Kind::Http2 => None,
        Kind::Tcp => Some("tcp"),
        Kind::Passthrough => Some("passthrough"),
    }
}

fn version(kind: Kind, format: LogFormat) -> Option<&'static str> {
    match (kind, format) {
        (Kind::Http1, LogFormat::Json) => Some("1.1"),
        (Kind::Http2, LogFormat::Json) => Some("2"),
        (Kind::Http1, LogFormat::W3c | LogFormat::Combined) => Some("HTTP/1.1"),
        (Kind::Http2, LogFormat::W3c | LogFormat::Combined) => Some("HTTP/2.0"),
        (Kind::Tcp | Kind::Passthrough, _) => None,
    }
}

/// The client's groups, in the order of the configuration.
fn group_names(snapshot: &Snapshot, client: IpAddr) -> ArrayVec<&str, MOST_GROUPS> {
    let site = &snapshot.site;
    let groups = site.boundaries.groups_of(client);
    groups.iter().take(MOST_GROUPS).map(|group| site.group_names[usize::from(group.0)].as_str()).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn substatus(error: Option<Error>) -> u64 {
    // The one that administrators of management points know.
    if error == Some(Error::NoClientCertificate) { 7 } else { 0 }
}

fn win32(error: Option<Error>) -> u64 {
    match error {
        Some(Error::ClientGone) => CLIENT_GONE,
        Some(Error::BodyTimeout | Error::TotalTimeout) => TOO_SLOW,
        Some(_) | None => 0,
    }
}

/// The trace of a `traceparent` (W3C Trace Context, section 3.2), if it is one.
fn trace_id(value: &[u8]) -> Option<&[u8]> {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let [version, trace, parent, flags] =
        [0..2, 3..35, 36..52, 53..55].map(|place| value.get(place).unwrap_or_default());
    let dashes = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
    let known = match version {
        b"00" => value.len() == 55,
        b"ff" => false,
        _ => value.len() == 55 || value.get(55) == Some(&b'-'),
    };
    let whole = dashes && known && [version, trace, parent, flags].into_iter().all(hex) && some(trace) && some(parent);
    whole.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_a_traceparent() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(good.as_bytes()), Some(&good.as_bytes()[3..35]));
        assert!(trace_id(format!("01{}-more", &good[2..]).as_bytes()).is_some(), "of a version to come");
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}-more"),
            &good.replace("4bf9", "4BF9"),
            &good.replace('-', "_"),
            &good.replace("00-4", "ff-4"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-\"}\n{\"a\":\"34da6a3ce929d0e0e4736abc-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_id(bad.as_bytes()), None, "{bad}");
        }
    }
}
