//! From text to thresholds.

use std::str::FromStr;
use std::time::Duration;

use super::{Figure, Operator, Scope, Threshold};
use crate::record::LONGEST_US;

/// What a threshold looks like.
const FORM: &str = "write it as 'p99 < 200ms', 'errors < 1%', 'role MP: rate > 500'";

impl FromStr for Threshold {
    type Err = String;

    /// Reads one. The error says what is wrong with it and how it is written, in a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |what: String| format!("'{text}': {what}");
        // A rule has no colon, and the target of a plain request may have one.
        let (scope, rule) = match text.rsplit_once(':') {
            Some((scope, rule)) => (self::scope(scope.trim()).map_err(wrong)?, rule),
            None => (Scope::Whole, text),
        };
        let at = rule.find(['<', '>']).ok_or_else(|| wrong(format!("there is no '<' or '>'; {FORM}")))?;
        let (name, rest) = rule.split_at(at);
        let (operator, limit) = operator(rest);
        let limit = limit.trim();
        let (figure, limit) = figure(name.trim(), limit).map_err(wrong)?;
        Ok(Self { text: text.to_owned(), scope, figure, operator, limit })
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    let named =
        |kind: &str| text.strip_prefix(kind).filter(|rest| rest.starts_with(' ')).map(|rest| rest.trim().to_owned());
    if let Some(name) = named("role") {
        return Ok(Scope::Role(name));
    }
    if let Some(name) = named("group") {
        return Ok(Scope::Group(name));
    }
    match named("message").unwrap_or_else(|| text.to_owned()) {
        name if name.is_empty() => Err(format!("there is no message type before the ':'; {FORM}")),
        name => Ok(Scope::Message(name)),
    }
}

/// Of a text that begins with one of these signs.
fn operator(text: &str) -> (Operator, &str) {
    let signs = [("<=", Operator::AtMost), (">=", Operator::AtLeast), ("<", Operator::Less), (">", Operator::More)];
    let found = signs.into_iter().find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)));
    found.unwrap_or((Operator::Less, text))
}

/// The figure of this name and its limit.
fn figure(name: &str, limit: &str) -> Result<(Figure, f64), String> {
    let percentile = |text: &str| text.parse::<f64>().ok().filter(|percent| *percent > 0.0 && *percent < 100.0);
    match name {
        "max" => Ok((Figure::Percentile(100.0), time(limit)?)),
        "mean" => Ok((Figure::Mean, time(limit)?)),
        "errors" => match limit.strip_suffix('%') {
            Some(percent) => {
                let percent = number(percent).filter(|percent| *percent <= 100.0);
                let part = percent.map(|percent| percent / 100.0);
                Ok((Figure::FailedPart, part.ok_or_else(|| format!("'{limit}' is outside 0% to 100%"))?))
            }
            None => whole(limit)
                .map(|limit| (Figure::Failed, limit))
                .ok_or_else(|| format!("'{limit}' is neither a part such as 1% nor a whole number of requests")),
        },
        "rate" => {
            let rate = number(limit.strip_suffix("/s").unwrap_or(limit));
            Ok((Figure::Rate, rate.ok_or_else(|| format!("'{limit}' is no number of good answers a second"))?))
        }
        "requests" => {
            let requests = whole(limit).ok_or_else(|| format!("'{limit}' is no whole number of requests"))?;
            Ok((Figure::Requests, requests))
        }
        name => match name.strip_prefix('p').and_then(percentile) {
            Some(percent) => Ok((Figure::Percentile(percent), time(limit)?)),
            None => Err(format!(
                "'{name}' is no figure; there are p50, p90, p99, p99.9 and other percentiles, max, mean, errors, rate, requests"
            )),
        },
    }
}

/// In microseconds.
fn time(text: &str) -> Result<f64, String> {
    let time =
        humantime::parse_duration(text).map_err(|_| format!("'{text}' is not a time such as 200ms or 1s 500ms"))?;
    let longest = Duration::from_micros(LONGEST_US);
    if time > longest {
        // What is longer counts as this long, so that it would be met by anything.
        return Err(format!(
            "'{text}' is longer than {}, as which all longer latencies count",
            humantime::format_duration(longest)
        ));
    }
    Ok(time.as_secs_f64() * 1e6)
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

#[allow(clippy::cast_precision_loss)]
fn whole(text: &str) -> Option<f64> {
    text.parse::<u64>().ok().map(|number| number as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Scope, Figure, Operator, f64) {
        let Threshold { scope, figure, operator, limit, .. } = text.parse().unwrap();
        (scope, figure, operator, limit)
    }

    #[test]
    fn all_forms_are_read() {
        let message = |name: &str| Scope::Message(name.to_owned());
        for (text, expected) in [
            ("p99 < 200ms", (Scope::Whole, Figure::Percentile(99.0), Operator::Less, 200_000.0)),
            (" p99.9<=1s 500ms ", (Scope::Whole, Figure::Percentile(99.9), Operator::AtMost, 1_500_000.0)),
            ("max < 30s", (Scope::Whole, Figure::Percentile(100.0), Operator::Less, 30_000_000.0)),
            ("mean < 1ms", (Scope::Whole, Figure::Mean, Operator::Less, 1_000.0)),
            ("errors < 1%", (Scope::Whole, Figure::FailedPart, Operator::Less, 0.01)),
            ("errors <= 0", (Scope::Whole, Figure::Failed, Operator::AtMost, 0.0)),
            ("rate > 500.5/s", (Scope::Whole, Figure::Rate, Operator::More, 500.5)),
            ("requests >= 1000", (Scope::Whole, Figure::Requests, Operator::AtLeast, 1000.0)),
            ("role MP: errors < 1%", (Scope::Role("MP".into()), Figure::FailedPart, Operator::Less, 0.01)),
            ("group A B: rate > 1", (Scope::Group("A B".into()), Figure::Rate, Operator::More, 1.0)),
            ("policy request: requests > 1", (message("policy request"), Figure::Requests, Operator::More, 1.0)),
            ("message role x: requests > 1", (message("role x"), Figure::Requests, Operator::More, 1.0)),
            ("GET /a:b?c: requests > 1", (message("GET /a:b?c"), Figure::Requests, Operator::More, 1.0)),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(" p99 < 1s ".parse::<Threshold>().unwrap().to_string(), "p99 < 1s");
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, what) in [
            ("", "there is no '<' or '>'; write it as 'p99 < 200ms'"),
            ("p99 = 1s", "there is no '<' or '>'"),
            ("p100 < 1s", "'p100' is no figure; there are p50"),
            ("p0 < 1s", "is no figure"),
            ("pnan < 1s", "is no figure"),
            ("median < 1s", "'median' is no figure"),
            ("p99 < 200", "'200' is not a time such as 200ms"),
            ("p99 <", "'' is not a time"),
            ("p99 << 1s", "'< 1s' is not a time"),
            ("p99 < 11min", "longer than 10m"),
            ("errors < 101%", "outside 0% to 100%"),
            ("errors < -1%", "outside 0% to 100%"),
            ("errors < 0.5", "neither a part such as 1% nor a whole number"),
            ("rate > fast", "'fast' is no number"),
            ("rate > inf", "'inf' is no number"),
            ("requests > 1.5", "'1.5' is no whole number"),
            (": p99 < 1s", "no message type before the ':'"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.starts_with(&format!("'{}': ", text.trim())) && error.contains(what), "{text}: {error}");
        }
    }
}
