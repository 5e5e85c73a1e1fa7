//! An event is one line: what breaks lines in it, or moves a cursor, is written as an escape.

use std::borrow::Cow;
use std::fmt::Write;

use super::Shape;
use crate::text::is_hidden;

/// Where the rest of an event of several lines begins on a terminal.
const INDENT: &str = "\n    ";

/// What becomes of line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaks {
    /// They stay, for a person at a terminal, and what follows them is indented.
    Indented,
    /// They are escapes, as other control characters.
    Escaped,
    /// There are none: JSON has its own escapes.
    Json,
}

impl Breaks {
    /// For a log of this shape.
    pub(super) fn of(shape: Shape, terminal: bool) -> Self {
        match (shape, terminal) {
            (Shape::Json, _) => Self::Json,
            (Shape::Text, true) => Self::Indented,
            (Shape::Text, false) => Self::Escaped,
        }
    }
}

/// An event as it is written. The formatter ends it with a line break.
pub(super) fn one(event: &[u8], breaks: Breaks) -> Cow<'_, [u8]> {
    let (inner, end) = event.strip_suffix(b"\n").map_or((event, ""), |inner| (inner, "\n"));
    if inner.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(event);
    }
    let mut line = String::with_capacity(event.len() + 16);
    for char in String::from_utf8_lossy(inner).chars() {
        match char {
            '\n' if breaks == Breaks::Indented => line.push_str(INDENT),
            // The colors of the formatter. It escapes those of others itself.
            '\x1b' if breaks == Breaks::Indented => line.push(char),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            '\r' => line.push_str("\\r"),
            // A string cannot be written to in vain.
            char if is_hidden(char) => match breaks {
                Breaks::Json => _ = write!(line, "\\u{:04x}", u32::from(char)),
                Breaks::Indented | Breaks::Escaped => _ = write!(line, "\\u{{{:x}}}", u32::from(char)),
            },
            char => line.push(char),
        }
    }
    line.push_str(end);
    Cow::Owned(line.into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(event: &str, breaks: Breaks) -> String {
        String::from_utf8(one(event.as_bytes(), breaks).into_owned()).unwrap()
    }

    #[test]
    fn line_breaks_are_for_people_at_a_terminal() {
        let event = "WARN a\nb\r\x1b[2J\u{9b}\u{202e}\u{fc}\n";
        assert_eq!(text(event, Breaks::Escaped), "WARN a\\nb\\r\\u{1b}[2J\\u{9b}\\u{202e}\u{fc}\n");
        assert_eq!(text(event, Breaks::Indented), "WARN a\n    b\\r\x1b[2J\\u{9b}\\u{202e}\u{fc}\n");
        assert_eq!(text("{\"a\":\"\u{7f}\u{9b}\"}\n", Breaks::Json), "{\"a\":\"\\u007f\\u009b\"}\n");
        assert_eq!(text("as it is\n", Breaks::Escaped), "as it is\n");
    }

    #[test]
    fn the_formatter_lets_no_escape_of_others_through() {
        #[derive(Clone, Default)]
        struct Out(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Out {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let out = Out::default();
        let sink = out.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
        tracing::subscriber::with_default(log, || {
            let name = "mp1\x1b[2J\u{9b}2J";
            tracing::warn!(name, display = %name, debug = ?name, "{name}");
        });
        let written = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert!(!written.contains('\x1b'), "what the indented form relies on: {written:?}");
    }

    proptest! {
        #[test]
        fn an_event_is_one_line(event in ".*") {
            for breaks in [Breaks::Escaped, Breaks::Json] {
                let line = text(&format!("{event}\n"), breaks);
                prop_assert!(line.ends_with('\n') && !line[..line.len() - 1].chars().any(is_hidden), "{line:?}");
            }
        }
    }
}
