//! Names of fields as they were seen last.

use http::HeaderName;

use super::known::Name;

/// Field names that are remembered, a power of two.
const NAMES: usize = 64;
/// Longer ones are not, in bytes.
const LONG: usize = 64;

/// Field names as they were seen last: a peer writes the same ones again and again, and to compare is cheaper than to look for
/// capital letters and for names that are known.
#[derive(Debug)]
pub struct Names([Option<Seen>; NAMES]);

#[derive(Debug)]
struct Seen {
    raw: Box<str>,
    name: Name,
}

impl Default for Names {
    fn default() -> Self {
        Self([const { None }; NAMES])
    }
}

impl Names {
    /// The name that is spelled so. `None`: it is none.
    pub(super) fn get(&mut self, raw: &str) -> Option<Name> {
        let bytes = raw.as_bytes();
        let (first, last) = (bytes.first().map_or(0, |&b| usize::from(b)), bytes.last().map_or(0, |&b| usize::from(b)));
        let slot = &mut self.0[(first.wrapping_mul(7) ^ last.wrapping_mul(3) ^ bytes.len()) % NAMES];
        if let Some(seen) = slot
            && *seen.raw == *raw
        {
            return Some(seen.name.clone());
        }
        let name = Name::from(HeaderName::from_bytes(bytes).ok()?);
        if raw.len() <= LONG {
            *slot = Some(Seen { raw: raw.into(), name: name.clone() });
        }
        Some(name)
    }
}
