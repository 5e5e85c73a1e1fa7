//! Small pieces of text that answers for people share.

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
    fn one_and_many() {
        assert_eq!((count(1, "clock"), count(0, "clock")), ("1 clock".to_owned(), "0 clocks".to_owned()));
        assert_eq!((at_speed(1), at_speed(60)), (String::new(), " (60 times as fast as real time)".to_owned()));
    }
}
