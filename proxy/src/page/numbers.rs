//! Numbers as people read them.

use maud::{Markup, html};

/// Nothing is known.
pub(super) fn none() -> Markup {
    html! { span.none { span aria-hidden="true" { "–" } span.hidden { "not known" } } }
}

/// A whole number with its thousands apart.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A rate: few digits.
pub(super) fn rate(value: Option<f64>) -> Markup {
    match value {
        None => none(),
        Some(value) if value <= 0.0 => html! { "0" },
        Some(value) if value < 10.0 => html! { (format!("{value:.1}")) },
        Some(value) => html! { (whole(value.round() as u64)) },
    }
}

/// Bytes in the unit that fits.
pub(super) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut place) = (value.max(0.0), 0);
    while value >= 1024.0 && place + 1 < units.len() {
        (value, place) = (value / 1024.0, place + 1);
    }
    let digits = usize::from(value < 10.0 && place > 0);
    format!("{value:.digits$}\u{202f}{}", units[place])
}

pub(super) fn byte_rate(value: Option<f64>) -> Markup {
    html! { @if let Some(value) = value { (bytes(value)) "/s" } @else { (none()) } }
}

/// A duration in seconds, in the unit that fits.
pub(super) fn took(seconds: Option<f64>) -> Markup {
    match seconds {
        None => none(),
        Some(seconds) if seconds < 0.01 => html! { (format!("{:.1}\u{202f}ms", seconds * 1000.0)) },
        Some(seconds) if seconds < 1.0 => html! { (format!("{:.0}\u{202f}ms", seconds * 1000.0)) },
        Some(seconds) => html! { (format!("{seconds:.1}\u{202f}s")) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_in_units() {
        assert_eq!(
            (whole(7), whole(1234), whole(1_234_567)),
            ("7".into(), "1\u{202f}234".into(), "1\u{202f}234\u{202f}567".into())
        );
        assert_eq!(
            (bytes(0.0), bytes(1023.0), bytes(1536.0)),
            ("0\u{202f}B".into(), "1023\u{202f}B".into(), "1.5\u{202f}KiB".into())
        );
        assert_eq!(bytes(-1.0), "0\u{202f}B");
        let text = |markup: Markup| markup.into_string();
        assert_eq!(
            (text(rate(Some(0.0))), text(rate(Some(2.34))), text(rate(Some(99.6)))),
            ("0".into(), "2.3".into(), "100".into())
        );
        assert_eq!(
            (text(took(Some(0.0012))), text(took(Some(0.5))), text(took(Some(2.0)))),
            ("1.2\u{202f}ms".into(), "500\u{202f}ms".into(), "2.0\u{202f}s".into())
        );
        assert!(text(took(None)).contains("not known"));
    }
}
