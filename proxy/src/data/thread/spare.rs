//! Memory of fields that one message needs no more and the next one can have.

use std::cell::RefCell;

use crate::wire::fields::Fields;

/// A larger one is slow to empty, each time.
const LARGEST: usize = 128;
/// Most that are kept: about as many requests are under way at a time on a busy thread. Together they have little more
/// than half a megabyte.
const MOST: usize = 64;

/// Emptied fields.
#[derive(Debug, Default)]
pub struct SpareFields(RefCell<Vec<Fields>>);

impl SpareFields {
    /// Keeps the memory of these, unless there is very much of it.
    pub fn put(&self, mut fields: Fields) {
        let mut kept = self.0.borrow_mut();
        if fields.capacity() <= LARGEST && kept.len() < MOST {
            fields.clear();
            kept.push(fields);
        }
    }

    /// Empty fields.
    pub fn take(&self) -> Fields {
        self.0.borrow_mut().pop().unwrap_or_default()
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
        (0..2 * MOST).for_each(|_| spare.put(Fields::of(&[("a", "secret")])));
        assert_eq!((0..2 * MOST).filter(|_| spare.take().capacity() > 0).count(), MOST);
    }
}
