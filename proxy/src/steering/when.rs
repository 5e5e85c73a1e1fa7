//! Times as people write them: RFC 3339, or so long from now.

use std::time::{Duration, UNIX_EPOCH};

use crate::control::state_file::date;

/// Longest way ahead, in seconds: a year.
const AHEAD: u64 = 366 * 24 * 3600;

/// From when to when, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// When it begins; absent: now.
    pub begin: Option<String>,
    /// When it ends by itself; absent: when it is undone.
    pub end: Option<String>,
    /// How long it lasts, instead of `end`.
    pub lasts: Option<String>,
}

impl Window {
    /// Both ends in seconds since 1970; `None` for a begin that is now, and for no end.
    pub(super) fn read(&self, now: u64) -> Result<(Option<u64>, Option<u64>), String> {
        let begin = self.begin.as_deref().map(|text| moment(text, now)).transpose()?.filter(|begin| *begin > now);
        let from = begin.unwrap_or(now);
        let end = match (&self.end, &self.lasts) {
            (Some(_), Some(_)) => return Err("end and for both say when it ends: give one of them".to_owned()),
            (Some(text), None) => Some(moment(text, now)?),
            (None, Some(text)) => Some(from.saturating_add(duration(text)?.as_secs().max(1))),
            (None, None) => None,
        };
        if let Some(end) = end.filter(|end| *end <= from) {
            return Err(format!("the end {} is not after the begin {}", date(end), date(from)));
        }
        let far = [begin, end].into_iter().flatten().find(|at| *at > now.saturating_add(AHEAD));
        match far {
            Some(far) => Err(format!("{} is more than a year ahead", date(far))),
            None => Ok((begin, end)),
        }
    }
}

/// `now`, a time of RFC 3339, or a duration from now.
fn moment(text: &str, now: u64) -> Result<u64, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let Ok(ahead) = duration(text) {
        return Ok(now.saturating_add(ahead.as_secs()));
    }
    rfc3339(text).ok_or_else(|| {
        let example = date(now.saturating_add(3600));
        format!("{text:?} is not a time: write it as {example}, with Z or an offset such as +02:00, or as 2h from now")
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = humantime::parse_duration(text.trim());
    read.map_err(|_| format!("{text:?} is not a duration: write a number with a unit, such as 30min, 2h or 1day"))
}

/// A time with `Z` or an offset. A `+` that a form has made a blank is one all the same.
fn rfc3339(text: &str) -> Option<u64> {
    let text = text.replace(['t', ' '], "T").to_ascii_uppercase();
    if text.ends_with('Z') {
        return seconds(&text);
    }
    let place = text.len().checked_sub(6)?;
    let (local, offset) = text.split_at_checked(place)?;
    let sign = match offset.as_bytes().first()? {
        b'+' | b'T' => -1,
        b'-' => 1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    seconds(&format!("{local}Z"))?.checked_add_signed(sign * (hours * 3600 + minutes * 60))
}

fn seconds(utc: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339(utc).ok()?;
    Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// 2026-03-01T10:00:00Z
    const NOW: u64 = 1_772_359_200;

    fn window(begin: &str, end: &str, lasts: &str) -> Result<(Option<u64>, Option<u64>), String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Window { begin: some(begin), end: some(end), lasts: some(lasts) }.read(NOW)
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(date(NOW), "2026-03-01T10:00:00Z");
        for (text, expected) in [
            ("2026-03-01T22:00:00Z", NOW + 12 * 3600),
            ("2026-03-01t22:00:00z", NOW + 12 * 3600),
            ("2026-03-01T22:00:00+02:00", NOW + 10 * 3600),
            ("2026-03-01T22:00:00 02:00", NOW + 10 * 3600),
            ("2026-03-01 22:00:00-01:30", NOW + 12 * 3600 + 5400),
            ("2026-03-01T22:00:00.5Z", NOW + 12 * 3600),
            ("2h", NOW + 7200),
            ("1h 30min", NOW + 5400),
            ("now", NOW),
        ] {
            assert_eq!(moment(text, NOW).as_ref(), Ok(&expected), "{text}");
        }
        for wrong in ["", "22:00", "2026-03-01", "2026-03-01T22:00:00", "2026-13-01T22:00:00Z", "5", "ü", "äöüäöü"]
        {
            assert!(moment(wrong, NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_has_its_ends_in_order() {
        assert_eq!(window("", "", ""), Ok((None, None)));
        assert_eq!(window("", "", "2h"), Ok((None, Some(NOW + 7200))));
        assert_eq!(window("1h", "", "2h"), Ok((Some(NOW + 3600), Some(NOW + 3 * 3600))), "so long from its begin");
        assert_eq!(window("now", "2h", ""), Ok((None, Some(NOW + 7200))));
        assert_eq!(window("2020-01-01T00:00:00Z", "", ""), Ok((None, None)), "it has begun");
        for (begin, end, lasts) in [
            ("2h", "1h", ""),
            ("", "now", ""),
            ("", "2020-01-01T00:00:00Z", ""),
            ("", "1h", "1h"),
            ("400days", "", ""),
            ("", "", "400days"),
            ("", "", "soon"),
        ] {
            assert!(window(begin, end, lasts).is_err(), "{begin} {end} {lasts}");
        }
    }
}
