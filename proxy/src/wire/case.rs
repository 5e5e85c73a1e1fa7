//! Field names as they were spelled, for servers and clients that tell capital letters from small ones.

use bytes::Bytes;
use http::Extensions;
use http::header::{HeaderMap, HeaderName, ValueIter};

/// How field names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// In small letters.
    Lower,
    /// As they came.
    Kept,
}

/// The names of a head as they came, each with the place of its line among those of its name.
#[derive(Clone, Debug, Default)]
pub struct Spelled(HeaderMap<Bytes>);

impl Spelling {
    /// Keeps the names of a head, if they are to be kept.
    pub fn keep(self, bytes: &Bytes, parsed: &[httparse::Header<'_>], head: &mut Extensions) {
        if self == Self::Lower {
            return;
        }
        let mut names = HeaderMap::default();
        for field in parsed {
            if let Ok(name) = HeaderName::from_bytes(field.name.as_bytes()) {
                // More than fit are no head.
                let _ = names.try_append(name, bytes.slice_ref(field.name.as_bytes()));
            }
        }
        head.insert(Spelled(names));
    }
}

/// Gives the names of a head as they are written, one line after the other.
#[derive(Debug)]
pub struct Speller<'a> {
    spelled: Option<&'a Spelled>,
    /// The last name, and how its next lines are written.
    last: Option<(HeaderName, ValueIter<'a, Bytes>)>,
}

impl<'a> Speller<'a> {
    /// For a head that has kept its names, or has not.
    pub fn of(head: &'a Extensions) -> Self {
        Self { spelled: head.get(), last: None }
    }

    /// How the name of the next line is written. The lines of one name come one after the other.
    pub fn spell<'n>(&mut self, name: &'n HeaderName) -> &'n [u8]
    where
        'a: 'n,
    {
        let Some(Spelled(names)) = self.spelled else { return name.as_str().as_bytes() };
        if self.last.as_ref().is_none_or(|(last, _)| last != name) {
            self.last = Some((name.clone(), names.get_all(name).iter()));
        }
        let own = self.last.as_mut().and_then(|(_, lines)| lines.next()).or_else(|| names.get(name));
        own.map_or(name.as_str().as_bytes(), |own| own)
    }
}
