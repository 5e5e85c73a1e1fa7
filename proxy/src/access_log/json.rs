//! A line that is a JSON object.

use super::escape;
use super::parts::push_number;
use super::values::{Facts, Value};
use crate::model::access_log::{LogFormat, LogSettings};
use crate::wire::secrets::Mask;

/// Writes a line. Fields without a value are left out.
pub(super) fn write(out: &mut Vec<u8>, facts: &Facts<'_>, settings: &LogSettings, mask: &Mask) {
    let mut before = b'{';
    for field in &settings.fields {
        let value = facts.value(*field, LogFormat::Json);
        let (Some(name), false) = (field.name(LogFormat::Json), matches!(value, Value::Absent)) else { continue };
        out.extend_from_slice(&[before, b'"']);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match value {
            Value::Number(number) => push_number(out, number),
            Value::Names(names) => list(out, names),
            Value::Absent | Value::Text(_) | Value::Target(_) | Value::Query(_) | Value::Ip(_) | Value::Socket(_) => {
                out.push(b'"');
                value.pieces(mask, |piece| escape::json(out, piece));
                out.push(b'"');
            }
        }
        before = b',';
    }
    out.extend_from_slice(if before == b'{' { b"{}\n" } else { b"}\n" });
}

fn list(out: &mut Vec<u8>, names: &[&str]) {
    let mut before = b'[';
    for name in names {
        out.extend_from_slice(&[before, b'"']);
        escape::json(out, name.as_bytes());
        out.push(b'"');
        before = b',';
    }
    out.push(b']');
}
