//! Sizes and numbers that differ from time to time, drawn between two bounds.

use std::fmt;
use std::ops::RangeInclusive;

use bytesize::ByteSize;

/// A size that is drawn: each doubling between the bounds is as likely as any other, so that most are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    least: u64,
    most: u64,
}

/// A number that is drawn: each between the bounds is as likely as any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    least: u32,
    most: u32,
}

/// The two bounds in `a..b`, or the same one twice.
fn bounds<T: PartialOrd + Copy>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<(T, T), String> {
    let (least, most) = match text.split_once("..") {
        Some((least, most)) => (read(least.trim())?, read(most.trim())?),
        None => {
            let one = read(text.trim())?;
            (one, one)
        }
    };
    if least <= most {
        Ok((least, most))
    } else {
        Err(format!("'{text}' ends before it begins: write the smaller one first"))
    }
}

impl Sizes {
    /// Always this size, in bytes, 1 at least.
    #[must_use]
    pub const fn fixed(bytes: u64) -> Self {
        let bytes = if bytes == 0 { 1 } else { bytes };
        Self { least: bytes, most: bytes }
    }

    /// From `least` to `most`, in bytes.
    #[must_use]
    pub const fn between(least: u64, most: u64) -> Self {
        let least = Self::fixed(least).least;
        Self { least, most: if most < least { least } else { most } }
    }

    /// Reads `60KiB`, or `1KiB..64KiB`, of which both ends are within `allowed`, in bytes.
    ///
    /// # Errors
    /// Says what is wrong with the text, in one sentence.
    pub fn parse(text: &str, allowed: &RangeInclusive<u64>) -> Result<Self, String> {
        let read = |text: &str| {
            let form = "is not a size such as 60KiB, nor sizes such as 1KiB..64KiB";
            let size = text.parse::<ByteSize>().map_err(|_| format!("'{text}' {form}"))?.as_u64();
            if allowed.contains(&size) && size > 0 {
                return Ok(size);
            }
            let [least, most] = [allowed.start(), allowed.end()].map(|bound| ByteSize::b(*bound));
            Err(format!("'{text}' is outside {least} to {most}"))
        };
        let (least, most) = bounds(text, read)?;
        Ok(Self { least, most })
    }

    /// The size at a place of the distribution: 0 is the least, 1 the most.
    #[must_use]
    pub fn at(self, place: f64) -> u64 {
        // A float holds the digits of a size that matter, and what is too large is cut.
        #[allow(clippy::cast_precision_loss)]
        let (least, most) = (self.least as f64, self.most as f64);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let size = (least * (most / least).powf(place.clamp(0.0, 1.0))).round() as u64;
        size.clamp(self.least, self.most)
    }

    /// The size for these dice: the same for the same.
    #[must_use]
    pub fn draw(self, dice: u64) -> u64 {
        self.at(f64::from(high(dice)) / f64::from(u32::MAX))
    }
}

impl Counts {
    /// A number from `least` to `most`.
    #[must_use]
    pub const fn new(least: u32, most: u32) -> Self {
        Self { least, most: if most < least { least } else { most } }
    }

    /// Reads `3`, or `1..3`, of which both ends are within `allowed`.
    ///
    /// # Errors
    /// Says what is wrong with the text, in one sentence.
    pub fn parse(text: &str, allowed: &RangeInclusive<u32>) -> Result<Self, String> {
        let read = |text: &str| {
            let number = text.parse::<u32>().map_err(|_| format!("'{text}' is not a number such as 3, nor 1..3"))?;
            if allowed.contains(&number) {
                return Ok(number);
            }
            Err(format!("'{text}' is outside {} to {}", allowed.start(), allowed.end()))
        };
        let (least, most) = bounds(text, read)?;
        Ok(Self { least, most })
    }

    /// The number for these dice: the same for the same.
    #[must_use]
    pub fn draw(self, dice: u64) -> u32 {
        let numbers = u64::from(self.most - self.least) + 1;
        self.least + u32::try_from(u64::from(high(dice)) % numbers).unwrap_or_default()
    }
}

/// The upper half, which is as random as the lower one.
fn high(dice: u64) -> u32 {
    u32::try_from(dice >> 32).unwrap_or_default()
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, most] = [self.least, self.most].map(ByteSize::b);
        if least == most { write!(f, "{least}") } else { write!(f, "{least} to {most}") }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::mix::mix;

    #[test]
    fn each_doubling_of_a_size_is_as_likely_as_any_other() {
        let sizes = Sizes::parse("1KiB..64KiB", &(1..=1 << 20)).unwrap();
        let mut doublings = [0; 6];
        for number in 0..60_000 {
            let size = sizes.draw(mix(number));
            assert!((1024..=65_536).contains(&size));
            doublings[(size.ilog2() as usize - 10).min(5)] += 1;
        }
        assert!(doublings.iter().all(|count| (9_600..10_400).contains(count)), "{doublings:?}");
        assert_eq!((sizes.at(0.0), sizes.at(0.5), sizes.at(1.0)), (1024, 8192, 65_536));
        assert_eq!(Sizes::parse("60KiB", &(1..=1 << 20)).unwrap().draw(7), 61_440);
    }

    #[test]
    fn numbers_are_drawn_between_their_bounds() {
        let counts = Counts::parse("1..3", &(0..=10)).unwrap();
        let mut drawn = [0; 4];
        (0..30_000).for_each(|number| drawn[counts.draw(mix(number)) as usize] += 1);
        assert!(drawn[0] == 0 && drawn[1..].iter().all(|count| (9_600..10_400).contains(count)), "{drawn:?}");
        assert_eq!(Counts::parse("2", &(0..=10)).unwrap(), Counts::new(2, 2));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, what) in [
            ("lots", "is not a size"),
            ("0B", "is outside"),
            ("2KiB..1KiB", "the smaller one first"),
            ("1KiB..9GiB", "is outside"),
            ("1KiB..", "is not a size"),
        ] {
            let error = Sizes::parse(text, &(1..=1 << 30)).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        for (text, what) in [("few", "is not a number"), ("3..1", "the smaller"), ("1..99", "is outside")] {
            let error = Counts::parse(text, &(0..=10)).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
