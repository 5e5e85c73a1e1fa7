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
    let text = String::from_utf8_lossy(inner);
    for (at, char) in text.char_indices() {
        match char {
            '\n' if breaks == Breaks::Indented => line.push_str(INDENT),
            '\x1b' if breaks == Breaks::Indented && is_color(&text[at..]) => line.push(char),
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

/// Whether a text begins with a color, or another way to write, that the formatter uses: those of others can do no more.
fn is_color(text: &str) -> bool {
    const WAYS: [&str; 9] = ["0", "1", "2", "3", "31", "32", "33", "34", "35"];
    let way = text.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m'));
    way.is_some_and(|(way, _)| WAYS.contains(&way))
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
        assert_eq!(text(event, Breaks::Indented), "WARN a\n    b\\r\\u{1b}[2J\\u{9b}\\u{202e}\u{fc}\n");
        assert_eq!(text("{\"a\":\"\u{7f}\u{9b}\"}\n", Breaks::Json), "{\"a\":\"\\u007f\\u009b\"}\n");
        assert_eq!(text("as it is\n", Breaks::Escaped), "as it is\n");
    }

    #[test]
    fn colors_of_the_formatter_stay_at_a_terminal() {
        let event = "\x1b[2mtime\x1b[0m \x1b[33m WARN\x1b[0m a\x1b[2J\x1b[8mb\x1b[1;31mc\x1b]0;d\x07\x1b\n";
        let shown =
            "\x1b[2mtime\x1b[0m \x1b[33m WARN\x1b[0m a\\u{1b}[2J\\u{1b}[8mb\\u{1b}[1;31mc\\u{1b}]0;d\\u{7}\\u{1b}\n";
        assert_eq!(text(event, Breaks::Indented), shown);
        assert!(!text(event, Breaks::Escaped).contains('\x1b'));
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
