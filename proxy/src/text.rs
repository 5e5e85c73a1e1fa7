//! Small pieces of text that answers for people share.

use std::borrow::Cow;
use std::time::Duration;

/// A span of time in its two largest units; a short one with tenths.
pub fn span(seconds: f64) -> String {
    if seconds < 9.95 {
        let tenths = format!("{:.1}", seconds.max(0.0));
        return format!("{}s", tenths.strip_suffix(".0").unwrap_or(&tenths));
    }
    let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX);
    let text = humantime::format_duration(Duration::from_secs(whole.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Said wherever a fallback clock is shown that does not run in real time.
pub fn at_speed(speedup: u32) -> String {
    if speedup == 1 { String::new() } else { format!(" ({speedup} times as fast as real time)") }
}

/// The text with every character written out that would steer a terminal or turn the direction of writing; lines stay lines.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match hidden(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that turn the direction in which text is written.
pub fn hidden(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c != '\n' && c.is_control()
}

/// The text in lines that are not longer, as far as its words allow.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last =
            lines.last_mut().filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        match last {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `1 clock`, `2 clocks`.
pub fn count(number: usize, what: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {what}{end}")
}

/// Whether a character moves the cursor, or changes the order in which others are shown.
pub fn is_hidden(char: char) -> bool {
    let turns = matches!(u32::from(char), 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff);
    char.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, expected) in [
            (-1.0, "0s"),
            (0.0, "0s"),
            (0.25, "0.2s"),
            (4.0, "4s"),
            (9.94, "9.9s"),
            (9.96, "10s"),
            (61.4, "1m 1s"),
            (3_725.0, "1h 2m"),
            (90_061.0, "1day 1h"),
        ] {
            assert_eq!(span(seconds), expected, "{seconds}");
        }
        assert!(!span(f64::MAX).is_empty() && !span(f64::INFINITY).is_empty());
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert!(matches!(visible("mp1 ü\n"), Cow::Borrowed(_)));
        let hostile = "a\u{1b}]0;title\u{7}\rb\t\u{9b}31m\u{202e}c\n";
        assert_eq!(visible(hostile), "a\\u{1b}]0;title\\u{7}\\rb\\t\\u{9b}31m\\u{202e}c\n");
    }

    #[test]
    fn one_and_many() {
        assert_eq!((count(1, "clock"), count(0, "clock")), ("1 clock".to_owned(), "0 clocks".to_owned()));
        assert_eq!((at_speed(1), at_speed(60)), (String::new(), " (60 times as fast as real time)".to_owned()));
    }
}
