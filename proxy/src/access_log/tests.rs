//! Lines of records, whatever strangers have written into them.

use std::sync::Arc;

use http::{Method, StatusCode, Uri};
use proptest::prelude::*;
use tokio::time::Instant;

use super::lines::Lines;
use crate::control::config::Source;
use crate::control::director::{self, Director};
use crate::data::thread::access_log::{Kind, Place, Record};
use crate::data::thread::log_texts::{Own, Texts};
use crate::metrics::Metrics;
use crate::model::access_log::{LogFields, LogFormat, LogSettings};
use crate::model::snapshot::Snapshot;
use crate::text::is_hidden;
use crate::wire::fields::Fields;
use crate::wire::known::Known;

const SITE: &str = "[site]\ncode = \"P01\"\n[access_log]\n[[listeners]]\nname = \"a \\\"b\\\" #\"\naddress = \"127.0.0.1:0\"\n\
                    roles = [\"web\"]\n[roles.web]\npreset = \"plain\"\n[[site_systems]]\nname = \"srv\"\n\
                    address = \"127.0.0.1\"\nroles = [{ role = \"web\", port = 1 }]\n[[boundary_groups]]\n\
                    name = \"HQ, \\\"first\\\" #1 \\u202e\"\nboundaries = [\"10.0.0.0/8\"]\nsite_systems = [\"srv\"]\n";

fn snapshot() -> Arc<Snapshot> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let source = Source { name: "test.toml".to_owned(), text: SITE.to_owned() };
    let (compiled, _) = director::read(&source, false).unwrap();
    let (_, handles) = Director::new(compiled, None, Arc::new(Metrics::new()), Instant::now());
    handles.snapshots.current()
}

/// What a client sends.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    target: String,
    /// `Host`, `User-Agent`, `Referer`, `CCMClientID`, `traceparent`.
    values: [Vec<u8>; 5],
}

/// What a head may have: the lexer lets no other bytes through.
fn sent() -> impl Strategy<Value = Sent> {
    let byte = prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8, Just(b'"'), Just(b'\\'), Just(b'#')];
    let value = proptest::collection::vec(byte, 0..24);
    let values = [value.clone(), value.clone(), value.clone(), value.clone(), value];
    ("[!#$%&'*+.^_`|~A-Za-z0-9-]{1,12}", "/[!-\"$->@-~]{0,24}(\\?[!-\"$-~]{0,24})?", values)
        .prop_map(|(method, target, values)| Sent { method, target, values })
}

fn record(snapshot: &Arc<Snapshot>, sent: &Sent) -> Option<Record> {
    let target: Uri = sent.target.parse().ok()?;
    let names = [Known::Host, Known::UserAgent, Known::Referer, Known::CcmClientId, Known::TraceParent];
    let mut fields = Fields::default();
    for (name, value) in names.into_iter().zip(&sent.values) {
        fields.append(name, http::HeaderValue::from_bytes(value).ok()?);
    }
    let mut texts = Texts::default();
    let all = LogFields::of(crate::model::access_log::LogField::ALL);
    texts.fill(all, &target, &fields, &Own { request_id: Some(b"1"), server_name: Some("mp1") });
    Some(Record {
        at: std::time::UNIX_EPOCH + std::time::Duration::from_micros(1_790_000_000_123_456),
        kind: Kind::Http1,
        snapshot: Arc::clone(snapshot),
        place: Place::Of { listener: 0, role: None },
        peer: ([10, 1, 2, 3], 4711).into(),
        server: Some(([10, 1, 2, 4], 80).into()),
        tls: None,
        cipher: None,
        client: [10, 1, 2, 3].into(),
        method: Some(Method::from_bytes(sent.method.as_bytes()).ok()?),
        texts,
        groups: 1,
        tier: None,
        endpoint: None,
        site_system: None,
        attempts: 0,
        status: Some(StatusCode::NOT_FOUND),
        error: None,
        ended: None,
        received: 0,
        sent: u64::MAX,
        first_byte: None,
        total: std::time::Duration::from_millis(1999),
    })
}

/// The line of a record, with all fields that the format has.
fn line(record: &Record, format: LogFormat) -> String {
    let fields: Box<[_]> = match format {
        LogFormat::Combined => format.usual().into(),
        LogFormat::Json | LogFormat::W3c => format.fields().collect(),
    };
    let written = record.snapshot.site.access_log.as_deref().unwrap();
    let settings = LogSettings { format, has: LogFields::of(&fields), fields, ..written.clone() };
    let mut lines = Lines::default();
    let line = lines.line(record, &settings, &record.snapshot.site.mask).unwrap();
    let line = String::from_utf8(line.to_vec()).unwrap();
    assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
    assert!(!line.trim_end_matches('\n').chars().any(is_hidden), "{line:?}");
    line
}

#[test]
fn names_of_the_configuration_are_escaped_too() {
    let snapshot = snapshot();
    let sent = Sent { method: "GET".to_owned(), target: "/x".to_owned(), values: Default::default() };
    let record = record(&snapshot, &sent).unwrap();
    let json: serde_json::Value = serde_json::from_str(&line(&record, LogFormat::Json)).unwrap();
    assert_eq!(json["boundary_group_names"][0], "HQ, \"first\" #1 \u{202e}");
    assert_eq!((&json["listener"], &json["bytes_down"]), (&"a \"b\" #".into(), &u64::MAX.into()));
    assert_eq!((&json["ts"], &json["total_us"]), (&"2026-09-21T14:13:20.123456Z".into(), &1_999_000.into()));
    let w3c = line(&record, LogFormat::W3c);
    assert!(w3c.starts_with("2026-09-21 14:13:20 ") && w3c.ends_with(" 1999\n"), "{w3c}");
    assert!(w3c.contains(" HQ%2C+\"first\"+%231+%E2%80%AE "), "{w3c}");
    let combined = line(&record, LogFormat::Combined);
    assert_eq!(
        combined,
        format!("10.1.2.3 - - [21/Sep/2026:14:13:20 +0000] \"GET /x HTTP/1.1\" 404 {} \"-\" \"-\"\n", u64::MAX)
    );
}

#[test]
fn no_client_forges_or_breaks_a_line() {
    let snapshot = snapshot();
    let columns = LogFormat::W3c.fields().count();
    proptest!(|(sent in sent())| {
        let Some(record) = record(&snapshot, &sent) else { return Ok(()) };
        let json: serde_json::Value = serde_json::from_str(&line(&record, LogFormat::Json)).unwrap();
        prop_assert_eq!(&json["method"], &sent.method);
        prop_assert_eq!((&json["status"], &json["role"]), (&404.into(), &serde_json::Value::Null));
        if !sent.values[1].is_empty() {
            prop_assert_eq!(&json["user_agent"], &*String::from_utf8_lossy(&sent.values[1]));
        }
        let w3c = line(&record, LogFormat::W3c);
        prop_assert_eq!(w3c.split(' ').count(), columns, "{}", w3c);
        prop_assert!(!w3c.contains('#') && w3c.split(' ').all(|value| !value.is_empty()), "{}", w3c);
        let combined = line(&record, LogFormat::Combined);
        let bare = combined.replace("\\\\", "").replace("\\\"", "");
        prop_assert_eq!(bare.matches('"').count(), 6, "{}", combined);
        prop_assert!(bare.split('"').nth(2) == Some(&format!(" 404 {} ", u64::MAX)), "{}", combined);
    });
}
