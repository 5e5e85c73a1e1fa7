//! The format that Apache and nginx call `combined`.

use super::escape;
use super::parts::{push_number, second};
use super::values::{Facts, Value};
use crate::model::access_log::{LogField, LogFormat};
use crate::wire::secrets::Mask;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes the line of a request. `ts` is the time in RFC 3339.
pub(super) fn write(out: &mut Vec<u8>, facts: &Facts<'_>, ts: &str, mask: &Mask) {
    let mut line = Line { out, facts, mask };
    line.field("", LogField::Client);
    line.out.extend_from_slice(b" - - [");
    date(line.out, ts);
    line.field("] \"", LogField::Method);
    line.field(" ", LogField::UriStem);
    if !matches!(facts.value(LogField::UriQuery, LogFormat::Combined), Value::Absent) {
        line.out.push(b'?');
        line.value(LogField::UriQuery);
    }
    line.field(" ", LogField::Http);
    line.field("\" ", LogField::Status);
    line.field(" ", LogField::BytesDown);
    line.field(" \"", LogField::Referer);
    line.field("\" \"", LogField::UserAgent);
    line.out.extend_from_slice(b"\"\n");
}

struct Line<'l> {
    out: &'l mut Vec<u8>,
    facts: &'l Facts<'l>,
    mask: &'l Mask,
}

impl Line<'_> {
    /// What stands before a field, and its value; `-` is none.
    fn field(&mut self, before: &str, field: LogField) {
        self.out.extend_from_slice(before.as_bytes());
        let begin = self.out.len();
        self.value(field);
        if self.out.len() == begin {
            self.out.push(b'-');
        }
    }

    fn value(&mut self, field: LogField) {
        let value = self.facts.value(field, LogFormat::Combined);
        if let Value::Number(number) = value {
            push_number(self.out, number);
        }
        value.pieces(self.mask, |piece| escape::quoted(self.out, piece));
    }
}

/// `10/Oct/2026:13:55:36 +0000`
fn date(out: &mut Vec<u8>, ts: &str) {
    let (date, time) = second(ts);
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?));
    for piece in [day.unwrap_or("-"), "/", month.unwrap_or(&"-"), "/", year.unwrap_or("-"), ":", time, " +0000"] {
        out.extend_from_slice(piece.as_bytes());
    }
}
