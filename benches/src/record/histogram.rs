//! A histogram of latencies that can be written to JSON.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as Reader, Serializer as Writer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longer latencies are counted as this: ten minutes.
pub(crate) const LONGEST_US: u64 = 600_000_000;
/// Three digits are right, whatever the size.
const DIGITS: u8 = 3;

/// Whether so many latencies are enough for a percentile: at least one is slower than it. The slowest of all needs no other.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn is_enough(count: u64, percent: f64) -> bool {
    let slower = count as f64 * (100.0 - percent) / 100.0;
    count > 0 && (percent >= 100.0 || slower >= 0.999)
}

/// Latencies in microseconds: an HDR histogram, in JSON in its usual compressed form in Base64.
#[derive(Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, microseconds: u64) {
        self.0.saturating_record(microseconds.min(LONGEST_US));
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// The histogram, for percentiles.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// So many percent were not slower, in microseconds; 0 if there are none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_percentile(percent) }
    }

    /// Whether there are enough for a percentile, see [`is_enough`].
    #[must_use]
    pub fn is_enough(&self, percent: f64) -> bool {
        is_enough(self.count(), percent)
    }

    /// The mean in microseconds; nothing if there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean())
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// In its usual compressed form, in Base64.
    fn written(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(|error| error.to_string())?;
        Ok(STANDARD.encode(bytes))
    }

    fn read(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
        let read: Histogram<u64> = Reader::new().deserialize(&mut &bytes[..]).map_err(|error| error.to_string())?;
        // With our own bounds, so that it can be merged with others.
        let mut own = Self::default();
        own.0.add(&read).map_err(|error| error.to_string())?;
        Ok(own)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }
}

/// Latencies that wait to be added to others: as they stand in JSON, some hundred bytes instead of some hundred thousand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Packed(String);

impl Packed {
    /// Packs them; `None` if that cannot be done.
    #[must_use]
    pub fn new(latencies: &Latencies) -> Option<Self> {
        latencies.written().ok().map(Self)
    }

    /// The latencies.
    ///
    /// # Errors
    /// The text is no histogram: says why.
    pub fn unpack(&self) -> Result<Latencies, String> {
        Latencies::read(&self.0)
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let bounds = "the bounds are constants that hdrhistogram takes";
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect(bounds))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, half, most) = (self.count(), self.percentile(50.0), self.percentile(99.0));
        write!(f, "{count} latencies, p50 {half} us, p99 {most} us, max {} us", self.0.max())
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.written().map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut latencies = Latencies::default();
        for value in [0, 1, 17, 1_000, 123_456, LONGEST_US, u64::MAX] {
            latencies.record(value);
        }
        let text = serde_json::to_string(&latencies).unwrap();
        let read: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(read, latencies);
        assert_eq!(read.count(), 7);
        assert!(read.percentile(100.0).abs_diff(LONGEST_US) < LONGEST_US / 1000);
        let packed = Packed::new(&latencies).unwrap();
        assert_eq!(serde_json::to_string(&packed).unwrap(), text, "as they stand in JSON");
        assert_eq!(packed.unpack().unwrap(), latencies);
    }

    #[test]
    fn a_percentile_needs_one_that_is_slower() {
        let mut latencies = Latencies::default();
        let enough = |latencies: &Latencies| [50.0, 90.0, 99.0, 100.0].map(|percent| latencies.is_enough(percent));
        assert_eq!(enough(&latencies), [false; 4]);
        (0..10).for_each(|value| latencies.record(value));
        assert_eq!(enough(&latencies), [true, true, false, true]);
        (0..90).for_each(|value| latencies.record(value));
        assert_eq!(enough(&latencies), [true; 4]);
    }

    #[test]
    fn none_have_no_percentile() {
        assert_eq!(Latencies::default().percentile(99.0), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["\"\"", "\"AAAA\"", "\"%\"", "7"] {
            assert!(serde_json::from_str::<Latencies>(text).is_err(), "{text}");
        }
    }
}
