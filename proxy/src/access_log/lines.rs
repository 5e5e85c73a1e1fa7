//! Makes lines of records, each in the memory of the one before.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;

use super::values::Facts;
use super::{combined, json, w3c};
use crate::data::thread::access_log::{Kind, Record};
use crate::model::access_log::{LogFormat, LogSettings};
use crate::wire::secrets::Mask;

/// Longest time of a line, in bytes.
const LONGEST_TIME: usize = 40;

/// A time in RFC 3339, in UTC, with microseconds.
type Ts = ArrayString<LONGEST_TIME>;

/// Makes lines.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    clock: Clock,
}

impl Lines {
    /// What a log in W3C begins with.
    pub(super) fn header(&mut self, settings: &LogSettings, at: SystemTime) -> &[u8] {
        self.line.clear();
        let ts = self.clock.ts(at);
        w3c::header(&mut self.line, settings, &ts);
        &self.line
    }

    /// The line of a record, if the format has one for it.
    pub(super) fn line(&mut self, record: &Record, settings: &LogSettings, mask: &Mask) -> Option<&[u8]> {
        self.line.clear();
        let ts = self.clock.ts(record.at);
        let facts = Facts::new(record, &ts, settings.has);
        match (settings.format, record.kind) {
            (LogFormat::Json, _) => json::write(&mut self.line, &facts, settings, mask),
            (LogFormat::W3c, _) => w3c::write(&mut self.line, &facts, settings, mask),
            (LogFormat::Combined, Kind::Http1 | Kind::Http2) => combined::write(&mut self.line, &facts, &ts, mask),
            // It is for requests.
            (LogFormat::Combined, Kind::Tcp | Kind::Passthrough) => return None,
        }
        Some(&self.line)
    }
}

/// Writes times; most are of the same second as the one before.
#[derive(Default)]
struct Clock {
    /// The last second, as it is written.
    second: Option<(u64, String)>,
}

impl Clock {
    fn ts(&mut self, at: SystemTime) -> Ts {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second.as_ref().is_none_or(|(second, _)| *second != since.as_secs()) {
            let text = humantime::format_rfc3339_seconds(at).to_string();
            self.second = Some((since.as_secs(), text));
        }
        let second = self.second.as_ref().map_or("", |(_, text)| text.trim_end_matches('Z'));
        let mut ts = Ts::new();
        // It fits: what is written are digits, and a year of no more than five.
        let _ = write!(ts, "{second}.{:06}Z", since.subsec_micros());
        ts
    }
}
