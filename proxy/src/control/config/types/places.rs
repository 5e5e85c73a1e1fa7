//! Where tables stand, for what is missing in them.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The places of tables by their path, such as `site_systems.3` or `boundary_groups.0.neighbors.1`. That of a table with a header
/// is the header.
#[derive(Clone, Debug, Default)]
pub struct TablePlaces(HashMap<String, Range<usize>>);

impl TablePlaces {
    /// Looks where the tables of a file are.
    pub(in crate::control::config) fn of(tree: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        for (key, value) in tree {
            places.add(key.get_ref().to_string(), value);
        }
        places
    }

    fn add(&mut self, path: String, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.add(format!("{path}.{}", key.get_ref()), value);
                }
                self.0.insert(path, value.span());
            }
            DeValue::Array(array) => {
                // Boundaries, of which there may be very many, are texts.
                for (index, item) in array.iter().enumerate().filter(|(_, item)| is_nested(item)) {
                    self.add(format!("{path}.{index}"), item);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// The place of a table; the beginning of the file when it is not written.
    pub fn table(&self, path: &str) -> Range<usize> {
        self.0.get(path).cloned().unwrap_or(0..0)
    }

    /// The place of an element of a list of tables.
    pub fn element(&self, list: &str, index: usize) -> Range<usize> {
        self.table(&format!("{list}.{index}"))
    }
}

fn is_nested(item: &Spanned<DeValue<'_>>) -> bool {
    matches!(item.get_ref(), DeValue::Table(_) | DeValue::Array(_))
}
