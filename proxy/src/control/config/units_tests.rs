#![allow(clippy::unwrap_used)]

use super::*;
use serde::de::DeserializeOwned;

#[derive(Debug, serde::Deserialize)]
struct Value<T> {
    x: T,
}

#[derive(Debug, serde::Deserialize)]
struct Limits {
    #[serde(deserialize_with = "header_size")]
    x: HumanSize,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str::<Value<T>>(&format!("x = {text}")).map(|v| v.x).map_err(|e| e.message().to_owned())
}

fn duration(text: &str) -> Result<Option<Duration>, String> {
    read::<HumanDuration>(text).map(HumanDuration::get)
}

fn says<T: fmt::Debug>(result: Result<T, String>, message: &str, help: &str) {
    let error = result.unwrap_err();
    let (said, to_do) = error.split_once(HELP).unwrap_or((&error, ""));
    assert!(said.contains(message) && to_do.contains(help), "{error}");
}

#[test]
fn durations() {
    assert_eq!(duration("\"30s\""), Ok(Some(Duration::from_secs(30))));
    assert_eq!(duration("\" 1h 30min \""), Ok(Some(Duration::from_secs(5400))));
    assert_eq!(duration("\"Unlimited\""), Ok(None));
    assert_eq!(HumanDuration::from_secs(3).finite(), Some(Duration::from_secs(3)));
    says(duration("5"), "the duration 5 has no unit", "\"5s\"");
    says(duration("\"5\""), "the duration 5 has no unit", "\"5s\"");
    says(duration("1.5"), "has no unit", "\"1.5s\"");
    says(duration("\"\""), "\"\" is not a duration", "\"30s\"");
    says(duration("\"soon\""), "\"soon\" is not a duration", "\"500ms\"");
    says(duration("\"-5s\""), "is not a duration", "unit");
    says(duration("\"0s\""), "zero", "\"1ms\"");
    says(duration("\"99999y\""), "longer than a year", "\"unlimited\"");
    says(duration("\"9999999999999999999999y\""), "is not a duration", "unit");
    says(duration("true"), "expected a duration such as \"30s\"", "");
}

#[test]
fn durations_that_must_be_limited_or_may_be_zero() {
    #[derive(Debug, serde::Deserialize)]
    struct Fields {
        #[serde(default, deserialize_with = "finite_option")]
        a: Option<HumanDuration>,
        #[serde(default, deserialize_with = "finite_spanned")]
        b: Option<Spanned<HumanDuration>>,
        #[serde(default, deserialize_with = "finite_or_zero")]
        c: Option<HumanDuration>,
    }
    let read = |text: &str| toml::from_str::<Fields>(text).map_err(|e| e.message().to_owned());
    let fields = read("a = \"1s\"\nb = \"2s\"\nc = \"0s\"").unwrap();
    assert_eq!(fields.a, Some(HumanDuration::from_secs(1)));
    assert_eq!(fields.b.unwrap().span(), 13..17);
    assert_eq!(fields.c, Some(HumanDuration::from_secs(0)));
    for key in ["a", "b", "c"] {
        says(read(&format!("{key} = \"unlimited\"")), "not possible here", "\"30s\"");
    }
    says(read("a = \"0s\""), "zero", "\"1ms\"");
}

#[test]
fn durations_that_may_be_off() {
    let time = |text: &str| read::<DurationOrOff>(text).map(DurationOrOff::get);
    assert_eq!(time("\" 15min \""), Ok(Some(Duration::from_secs(900))));
    for off in ["\"off\"", "\" Off \"", "\"0s\""] {
        assert_eq!(time(off), Ok(None), "{off}");
    }
    says(time("\"unlimited\""), "not possible here", "\"30s\"");
    says(time("\"often\""), "\"often\" is not a duration", "\"500ms\"");
    says(time("5"), "the duration 5 has no unit", "\"5s\"");
    says(time("1.5"), "the duration 1.5 has no unit", "\"1.5s\"");
    says(time("true"), "expected a duration such as \"30s\", or \"off\"", "");
}

#[test]
fn sizes() {
    let size = |text: &str| read::<HumanSize>(text).map(HumanSize::get);
    assert_eq!(size("\"64MiB\""), Ok(Some(64 << 20)));
    assert_eq!(size("\"1.5 kib\""), Ok(Some(1536)));
    assert_eq!(size("4096"), Ok(Some(4096)));
    assert_eq!(size("0"), Ok(Some(0)));
    assert_eq!(size("\"unlimited\""), Ok(None));
    assert_eq!(HumanSize::kib(64).get(), Some(65_536));
    says(size("-1"), "below zero", "from 0");
    says(size("\"big\""), "\"big\" is not a size", "\"64MiB\"");
    says(size("[]"), "expected a size such as \"64MiB\"", "");
    assert_eq!(toml::from_str::<Limits>("x = \"64KiB\"").unwrap().x, HumanSize::kib(64));
    for text in ["\"1KiB\"", "\"2MiB\"", "\"unlimited\""] {
        let error = toml::from_str::<Limits>(&format!("x = {text}")).unwrap_err();
        says::<()>(Err(error.message().to_owned()), "no possible bound", "\"8KiB\"");
    }
}

#[test]
fn fallback_times() {
    let time = |text: &str| read::<FallbackTime>(text).map(FallbackTime::get);
    assert_eq!(time("0"), Ok(Fallback::Minutes(0)));
    assert_eq!(time("120"), Ok(Fallback::Minutes(120)));
    assert_eq!(time("\"Never\""), Ok(Fallback::Never));
    assert_eq!(Fallback::from(read::<FallbackTime>("5").unwrap()), Fallback::Minutes(5));
    says(time("-1"), "-1 is not a fallback time", "0 to 527040");
    says(time("99999999"), "is not a fallback time", "527040");
    says(time("\"120\""), "\"120\" is not a fallback time", "without quotes: 120");
    says(time("\"2h\""), "\"2h\" is not a fallback time", "without quotes: 120");
    says(time("\"later\""), "\"later\" is not a fallback time", "\"never\"");
    says(time("1.5"), "1.5 is not a fallback time", "whole minutes");
    says(time("true"), "expected a number of minutes, or \"never\"", "");
}
