//! Memory of fields that one message needs no more and the next one can have.

use std::cell::RefCell;

use crate::wire::fields::Fields;

/// A larger one is slow to empty, each time.
const LARGEST: usize = 128;

/// Emptied fields.
#[derive(Debug, Default)]
pub struct SpareFields(RefCell<Fields>);

impl SpareFields {
    /// Keeps the memory of these, unless there is very much of it.
    pub fn put(&self, mut fields: Fields) {
        if fields.capacity() <= LARGEST {
            fields.clear();
            self.0.replace(fields);
        }
    }

    /// Empty fields.
    pub fn take(&self) -> Fields {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_empty_and_not_very_large() {
        let spare = SpareFields::default();
        for (size, kept) in [(10, true), (5000, false)] {
            let fields = Fields::of(&vec![("a", "secret"); size]);
            spare.put(fields);
            let fields = spare.take();
            assert_eq!((fields.is_empty(), fields.capacity() > 0), (true, kept), "{size}");
        }
    }
}
