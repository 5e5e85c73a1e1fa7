//! From text to [`Config`], with every mistake of syntax, type and name reported at once.
//!
//! A deserializer stops at its first error. So what it complains about is reported, taken out of the tree, and the rest
//! is tried again. That is done for each section and each element of a list by itself: the cost grows with the
//! mistakes in one element and not with the size of the file.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue, Deserializer};

use super::problem::Problems;
use super::types::{Config, TablePlaces};

mod ranges;
mod shape;
mod syntax;
mod tree;
mod unclosed;
mod words;

/// More mistakes than this in one section or element are not looked for.
const ROUNDS: usize = 200;

/// Reads a configuration. What is wrong is added to `problems` and left out of the result.
pub fn parse(source: &str, problems: &mut Problems) -> Config {
    let unclosed = unclosed::find(source);
    let closed = syntax::without_lines(source, unclosed.iter().map(|list| list.lines.clone()));
    let (mut tree, errors) = DeTable::parse_recoverable(&closed);
    let faults = syntax::report(source, errors, &unclosed, problems);
    let repaired;
    if !faults.is_empty() {
        repaired = syntax::without_faults(source, &faults);
        tree = DeTable::parse_recoverable(&repaired).0;
    }
    let mut reader = Reader { source, faults: &faults, problems };
    let sound = reader.sound_part(tree.into_inner());
    problems.mark_holes();
    let tables = TablePlaces::of(&sound);
    // Each part has been read without an error before, so the whole can be.
    let config = Config::deserialize(Deserializer::from(Spanned::new(0..source.len(), sound))).unwrap_or_default();
    Config { tables, ..config }
}

struct Reader<'a> {
    source: &'a str,
    faults: &'a syntax::Faults,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn sound_part<'i>(&mut self, tree: DeTable<'i>) -> DeTable<'i> {
        let mut sound = DeTable::new();
        for (key, value) in tree {
            let span = value.span();
            match value.into_inner() {
                DeValue::Array(items) if !items.is_empty() => {
                    if let Some(kept) = self.sound_elements(&key, &span, items) {
                        sound.insert(key, Spanned::new(span, DeValue::Array(kept)));
                    }
                }
                value => sound.extend(self.settle(single(&key, &span, value))),
            }
        }
        sound
    }

    /// `None` when the list itself is wrong, and not only elements of it.
    fn sound_elements<'i>(
        &mut self,
        key: &Spanned<DeString<'i>>,
        span: &Range<usize>,
        items: DeArray<'i>,
    ) -> Option<DeArray<'i>> {
        let mut kept = DeArray::new();
        for item in items {
            let mut element = DeArray::new();
            element.push(item);
            let part = self.settle(single(key, span, DeValue::Array(element)));
            let (_, value) = part.into_iter().next()?;
            let DeValue::Array(element) = value.into_inner() else {
                return None;
            };
            element.into_iter().for_each(|item| kept.push(item));
        }
        Some(kept)
    }

    /// Takes out of a part whatever the deserializer complains about.
    fn settle<'i>(&mut self, mut part: DeTable<'i>) -> DeTable<'i> {
        shape::check(&mut part, self.source, self.faults, self.problems);
        for _ in 0..ROUNDS {
            let error = match Config::deserialize(Deserializer::from(Spanned::new(0..0, part.clone()))) {
                Ok(_) => return part,
                Err(error) => error,
            };
            let place = error.span().and_then(|span| tree::find(&part, &span));
            let span = error.span().unwrap_or_default();
            if !self.faults.cover(&span) {
                let (message, help) = words::say(error.message(), place.as_ref(), self.source, &span);
                self.problems.error(span, message, help);
            }
            match place {
                Some(place) => tree::remove(&mut part, &place.steps),
                None => return DeTable::new(),
            }
        }
        DeTable::new()
    }
}

fn single<'i>(key: &Spanned<DeString<'i>>, span: &Range<usize>, value: DeValue<'i>) -> DeTable<'i> {
    std::iter::once((key.clone(), Spanned::new(span.clone(), value))).collect()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
