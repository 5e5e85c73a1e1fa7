//! Durations, sizes and fallback times as a person writes them.
//!
//! What is refused is refused while the file is read, because only then it is known where it stands.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use toml::Spanned;

use super::problem::quoted;
use crate::model::role::Fallback;

const UNLIMITED: &str = "unlimited";
const OFF: &str = "off";
/// A clock plus more than this may not be a time any more; nobody waits for a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
const MOST_MINUTES: u32 = 366 * 24 * 60;
/// The HTTP parser cannot work with less than 8 KiB.
const HEADER_SIZES: std::ops::RangeInclusive<u64> = 8 << 10..=1 << 20;

/// Separates what is wrong from what to do in the text of a deserialization error.
pub(super) const HELP: &str = "\nhelp: ";

/// A deserialization error that also says what to do.
pub(super) fn refuse<E: Error>(message: impl fmt::Display, help: impl fmt::Display) -> E {
    E::custom(format_args!("{message}{HELP}{help}"))
}

/// A time such as `"30s"`, or `"unlimited"`. Never zero, except where a setting says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(Option<Duration>);

impl HumanDuration {
    /// This many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }

    /// `None` is unlimited.
    pub const fn get(self) -> Option<Duration> {
        self.0
    }

    /// For settings that must be limited: `None` is a mistake, which the settings of this file refuse when it is read.
    pub const fn finite(self) -> Option<Duration> {
        self.0
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let duration = deserializer.deserialize_any(DurationVisitor)?;
        if duration.0 == Some(Duration::ZERO) {
            return Err(refuse("a duration of zero", "write at least \"1ms\""));
        }
        Ok(duration)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
        let text = text.trim();
        if text.eq_ignore_ascii_case(UNLIMITED) {
            return Ok(HumanDuration(None));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(without_unit(text));
        }
        match humantime::parse_duration(text) {
            Ok(duration) if duration > LONGEST => Err(refuse(
                format_args!("{} is longer than a year", quoted(text)),
                "write a shorter time; \"unlimited\" where there should be no bound at all",
            )),
            Ok(duration) => Ok(HumanDuration(Some(duration))),
            Err(_) => Err(refuse(
                format_args!("{} is not a duration", quoted(text)),
                "write a number with a unit, such as \"500ms\", \"30s\", \"2min\" or \"1h 30min\"",
            )),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<HumanDuration, E> {
        Err(without_unit(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<HumanDuration, E> {
        Err(without_unit(number))
    }
}

fn without_unit<E: Error>(number: impl fmt::Display) -> E {
    refuse(
        format_args!("the duration {number} has no unit"),
        format_args!(
            "write it with its unit and in quotes: \"{number}s\" for seconds, \"{number}ms\" for milliseconds"
        ),
    )
}

/// For settings where `"unlimited"` makes no sense.
pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HumanDuration, D::Error> {
    limited(HumanDuration::deserialize(deserializer)?)
}

/// As [`finite`], for a setting that may be absent.
pub(super) fn finite_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HumanDuration>, D::Error> {
    finite(deserializer).map(Some)
}

/// As [`finite_option`], keeping where it was written.
pub(super) fn finite_spanned<'de, D>(deserializer: D) -> Result<Option<Spanned<HumanDuration>>, D::Error>
where
    D: Deserializer<'de>,
{
    let spanned = Spanned::<HumanDuration>::deserialize(deserializer)?;
    limited::<D::Error>(*spanned.get_ref())?;
    Ok(Some(spanned))
}

/// As [`finite_option`], and zero switches the thing off.
pub(super) fn finite_or_zero<'de, D>(deserializer: D) -> Result<Option<HumanDuration>, D::Error>
where
    D: Deserializer<'de>,
{
    limited(deserializer.deserialize_any(DurationVisitor)?).map(Some)
}

fn limited<E: Error>(duration: HumanDuration) -> Result<HumanDuration, E> {
    match duration.0 {
        Some(_) => Ok(duration),
        None => Err(refuse("\"unlimited\" is not possible here", "write a duration such as \"30s\"")),
    }
}

/// A time such as `"30s"`, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationOrOff(Option<Duration>);

impl DurationOrOff {
    /// So many seconds.
    pub(super) const fn on(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }

    /// For ever.
    pub(super) const fn off() -> Self {
        Self(None)
    }

    /// `None` is off.
    pub const fn get(self) -> Option<Duration> {
        self.0
    }
}

impl<'de> Deserialize<'de> for DurationOrOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let duration = limited(deserializer.deserialize_any(OrOffVisitor)?)?;
        Ok(Self(duration.0.filter(|duration| !duration.is_zero())))
    }
}

struct OrOffVisitor;

impl Visitor<'_> for OrOffVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\", or \"off\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
        match text.trim().eq_ignore_ascii_case(OFF) {
            true => Ok(HumanDuration(Some(Duration::ZERO))),
            false => DurationVisitor.visit_str(text),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<HumanDuration, E> {
        DurationVisitor.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<HumanDuration, E> {
        DurationVisitor.visit_f64(number)
    }
}

/// A size such as `"64MiB"`, a number of bytes, or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanSize(Option<u64>);

impl HumanSize {
    /// This many KiB.
    pub const fn kib(kib: u64) -> Self {
        Self(Some(kib.saturating_mul(1024)))
    }

    /// Bytes; `None` is unlimited.
    pub const fn get(self) -> Option<u64> {
        self.0
    }
}

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = HumanSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HumanSize, E> {
        let text = text.trim();
        if text.eq_ignore_ascii_case(UNLIMITED) {
            return Ok(HumanSize(None));
        }
        text.parse::<ByteSize>().map(|size| HumanSize(Some(size.as_u64()))).map_err(|_| {
            refuse(
                format_args!("{} is not a size", quoted(text)),
                "write a number with a unit, such as \"512KiB\" or \"64MiB\", or a number of bytes",
            )
        })
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<HumanSize, E> {
        u64::try_from(bytes)
            .map(|bytes| HumanSize(Some(bytes)))
            .map_err(|_| refuse(format_args!("the size {bytes} is below zero"), "write a number of bytes from 0"))
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<HumanSize, E> {
        Ok(HumanSize(Some(bytes)))
    }
}

/// For the bound of a request's head.
pub(super) fn header_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HumanSize, D::Error> {
    let size = HumanSize::deserialize(deserializer)?;
    match size.0 {
        Some(bytes) if HEADER_SIZES.contains(&bytes) => Ok(size),
        Some(_) | None => Err(refuse(
            "this is no possible bound for the head of a request",
            "write a size from \"8KiB\" to \"1MiB\"; Kerberos tickets need up to 64KiB",
        )),
    }
}

/// Minutes, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallbackTime(Fallback);

impl FallbackTime {
    /// The time.
    pub const fn get(self) -> Fallback {
        self.0
    }
}

impl From<FallbackTime> for Fallback {
    fn from(time: FallbackTime) -> Self {
        time.0
    }
}

impl<'de> Deserialize<'de> for FallbackTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FallbackVisitor)
    }
}

struct FallbackVisitor;

impl Visitor<'_> for FallbackVisitor {
    type Value = FallbackTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of minutes, or \"never\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FallbackTime, E> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("never") {
            return Ok(FallbackTime(Fallback::Never));
        }
        let minutes = text.parse::<u64>().ok().or_else(|| Some(humantime::parse_duration(text).ok()?.as_secs() / 60));
        let help = match minutes {
            Some(minutes) => format!("write the minutes as a number without quotes: {minutes}"),
            None => "write a number of minutes such as 120, or \"never\"".to_owned(),
        };
        Err(refuse(format_args!("{} is not a fallback time", quoted(text)), help))
    }

    fn visit_i64<E: Error>(self, minutes: i64) -> Result<FallbackTime, E> {
        match u32::try_from(minutes) {
            Ok(minutes) if minutes <= MOST_MINUTES => Ok(FallbackTime(Fallback::Minutes(minutes))),
            Ok(_) | Err(_) => Err(refuse(
                format_args!("{minutes} is not a fallback time"),
                format_args!("write minutes from 0 to {MOST_MINUTES}, or \"never\""),
            )),
        }
    }

    fn visit_f64<E: Error>(self, minutes: f64) -> Result<FallbackTime, E> {
        Err(refuse(format_args!("{minutes} is not a fallback time"), "write whole minutes such as 120, or \"never\""))
    }
}

/// As it would be written.
impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        written(self.0, UNLIMITED, serializer)
    }
}

/// As it would be written.
impl Serialize for DurationOrOff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        written(self.0, OFF, serializer)
    }
}

fn written<S: Serializer>(duration: Option<Duration>, without: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.collect_str(&humantime::format_duration(duration)),
        None => serializer.serialize_str(without),
    }
}

/// As it would be written.
impl Serialize for HumanSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(bytes) => serializer.collect_str(&ByteSize(bytes)),
            None => serializer.serialize_str(UNLIMITED),
        }
    }
}

/// As it would be written.
impl Serialize for FallbackTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Fallback::Minutes(minutes) => serializer.serialize_u32(minutes),
            Fallback::Never => serializer.serialize_str("never"),
        }
    }
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
