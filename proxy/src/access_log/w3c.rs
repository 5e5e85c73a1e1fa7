//! W3C extended log format, with the names and the ways of IIS.

use super::escape;
use super::parts::{push_number, second};
use super::values::{Facts, Value};
use crate::model::access_log::{LogFormat, LogSettings};
use crate::wire::secrets::Mask;

/// Who writes the log, and in which version of the format.
const SOFTWARE: &str = concat!("#Software: rolegate ", env!("CARGO_PKG_VERSION"), "\n#Version: 1.0\n#Date: ");

/// Writes the lines that say what follows. `ts` is the time in RFC 3339.
pub(super) fn header(out: &mut Vec<u8>, settings: &LogSettings, ts: &str) {
    let (date, time) = second(ts);
    for piece in [SOFTWARE, date, " ", time, "\n#Fields:"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for name in settings.fields.iter().filter_map(|field| field.name(LogFormat::W3c)) {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b'\n');
}

/// Writes a line. A field without a value is `-`.
pub(super) fn write(out: &mut Vec<u8>, facts: &Facts<'_>, settings: &LogSettings, mask: &Mask) {
    for (place, field) in settings.fields.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        let begin = out.len();
        let value = facts.value(*field, LogFormat::W3c);
        match value {
            Value::Number(number) => push_number(out, number),
            Value::Names(names) => list(out, names),
            Value::Absent | Value::Text(_) | Value::Target(_) | Value::Query(_) | Value::Ip(_) | Value::Socket(_) => {
                value.pieces(mask, |piece| escape::w3c(out, piece))
            }
        }
        if out.len() == begin {
            out.push(b'-');
        }
    }
    out.push(b'\n');
}

/// Names with commas between them; one in a name is escaped.
fn list(out: &mut Vec<u8>, names: &[&str]) {
    for (place, name) in names.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        for (place, part) in name.split(',').enumerate() {
            if place > 0 {
                out.extend_from_slice(b"%2C");
            }
            escape::w3c(out, part.as_bytes());
        }
    }
}
