//! Numbers as people read them.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// A latency, given in microseconds: `412 µs`, `1.53 ms`, `2.41 s`.
pub(super) fn latency(microseconds: f64) -> String {
    match microseconds {
        us if us < 999.5 => format!("{} µs", number(us.round())),
        us if us < 999_500.0 => format!("{} ms", number(us / 1e3)),
        us => format!("{} s", number(us / 1e6)),
    }
}

/// A count: `1,234,567`.
pub(super) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// Three or more digits that count: `0.0123`, `1.23`, `12.3`, `1,234`; no zeros at the end of a fraction.
pub(super) fn number(figure: f64) -> String {
    if !figure.is_finite() {
        return "–".to_owned();
    }
    let size = figure.abs();
    let places = match size {
        _ if size >= 99.95 || size == 0.0 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.1 => 3,
        _ if size >= 0.01 => 4,
        _ => 6,
    };
    let text = format!("{figure:.places$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    match fraction.trim_end_matches('0') {
        "" => grouped(whole),
        fraction => format!("{}.{fraction}", grouped(whole)),
    }
}

/// A ratio: `1.00×`, `0.052×`, `17.4×`; `∞×` to nothing.
pub(super) fn ratio(ratio: f64) -> String {
    match ratio {
        r if r.is_nan() => "–".to_owned(),
        f64::INFINITY => "∞×".to_owned(),
        f64::NEG_INFINITY => "-∞×".to_owned(),
        r if r.abs() >= 9.995 => format!("{}×", number(r)),
        r if r.abs() >= 0.1 || r == 0.0 => format!("{r:.2}×"),
        r => format!("{r:.3}×"),
    }
}

/// A part of 1 in percent: `0.02 %`.
pub(super) fn percent(part: f64) -> String {
    format!("{} %", number(part * 100.0))
}

/// So many a second: `12,345/s`.
pub(super) fn rate(a_second: f64) -> String {
    format!("{}/s", number(a_second))
}

/// Bytes: `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A length of time, given in seconds: `1m 30s`; in milliseconds if it is short.
pub(super) fn length(seconds: f64) -> String {
    let length = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let step = if seconds < 10.0 { 10 } else { 1000 };
    let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).saturating_add(step / 2) / step * step;
    humantime::format_duration(Duration::from_millis(milliseconds)).to_string()
}

/// When, given in milliseconds since 1970: `2026-11-24 13:48:08 UTC`.
pub(super) fn moment(unix_ms: u64) -> String {
    // The last second that humantime can write: the year 9999.
    let seconds = (unix_ms / 1000).min(253_402_300_799);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// The percentile of a latency: `p99.9`.
pub(super) fn percentile(percent: f64) -> String {
    if percent >= 100.0 { "max".to_owned() } else { format!("p{percent}") }
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (0.0, "0"),
            (0.012_34, "0.0123"),
            (1.0, "1"),
            (1.234, "1.23"),
            (9.999, "10"),
            (12.34, "12.3"),
            (99.97, "100"),
            (1_234_567.8, "1,234,568"),
            (-1_234.0, "-1,234"),
            (f64::NAN, "–"),
        ];
        for (figure, text) in cases {
            assert_eq!(number(figure), text, "{figure}");
        }
    }

    #[test]
    fn latencies_have_a_unit_that_fits() {
        let cases = [(0.0, "0 µs"), (999.4, "999 µs"), (999.6, "1 ms"), (1_534.0, "1.53 ms"), (2_410_000.0, "2.41 s")];
        for (us, text) in cases {
            assert_eq!(latency(us), text, "{us}");
        }
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(moment(1_795_528_088_123), "2026-11-24 13:48:08 UTC");
        assert!(moment(u64::MAX).starts_with("9999"));
        assert_eq!(length(90.2), "1m 30s");
        assert_eq!(length(1.234), "1s 230ms");
        assert_eq!(length(f64::NAN), "0s");
        assert_eq!(length(f64::INFINITY), "0s");
    }

    #[test]
    fn ratios_and_parts() {
        let ratios = [1.0, 0.052, 17.42, f64::INFINITY, -f64::INFINITY, f64::NAN].map(ratio);
        assert_eq!(ratios, ["1.00×", "0.052×", "17.4×", "∞×", "-∞×", "–"]);
        assert_eq!(percent(0.000_2), "0.02 %");
        assert_eq!(percentile(99.9), "p99.9");
        assert_eq!(count(1_000), "1,000");
    }
}
