//! Finding what an error is about by its place in the file, and taking it out.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::control::config::problem::quoted;

/// One step down the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A key with its value, or an element of a list.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) steps: Vec<Step>,
    /// The value in words, for example `the number 5`.
    pub(super) found: String,
}

impl Place {
    /// The names of the keys down to here; `parent` leaves the last one out.
    pub(super) fn name(&self, parent: bool) -> String {
        name(&self.steps[..self.steps.len() - usize::from(parent)])
    }
}

/// Elements of lists have no number in it: numbers change when elements are taken out, and a line is shown anyway.
pub(super) fn name(steps: &[Step]) -> String {
    let keys = steps.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    let name = keys.collect::<Vec<_>>().join(".");
    // A key in quotes may hold anything.
    let cut = quoted(&name);
    if cut.len() == name.len() + 2 { name } else { cut }
}

/// What is written at `span`; the innermost when a header is the place of several.
pub(super) fn find(table: &DeTable<'_>, span: &Range<usize>) -> Option<Place> {
    find_in_table(table, span, &mut Vec::new())
}

fn find_in_table(table: &DeTable<'_>, span: &Range<usize>, steps: &mut Vec<Step>) -> Option<Place> {
    for (key, value) in table {
        steps.push(Step::Key(key.get_ref().to_string()));
        let found = find_in_value(value, span, steps).or_else(|| (key.span() == *span).then(|| place(value, steps)));
        if found.is_some() {
            return found;
        }
        steps.pop();
    }
    None
}

fn find_in_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>, steps: &mut Vec<Step>) -> Option<Place> {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => find_in_table(table, span, steps),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, item)| {
            steps.push(Step::Index(index));
            let found = find_in_value(item, span, steps);
            if found.is_none() {
                steps.pop();
            }
            found
        }),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            None
        }
    };
    deeper.or_else(|| (value.span() == *span).then(|| place(value, steps)))
}

fn place(value: &Spanned<DeValue<'_>>, steps: &[Step]) -> Place {
    Place { steps: steps.to_vec(), found: describe(value.get_ref()) }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {}", quoted(text)),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => format!("the date or time {date}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Takes the value with its key, or the element, out of the tree.
pub(super) fn remove(table: &mut DeTable<'_>, steps: &[Step]) {
    match steps {
        [Step::Key(key)] => {
            table.remove(key.as_str());
        }
        [Step::Key(key), rest @ ..] => {
            if let Some(value) = table.get_mut(key.as_str()) {
                remove_below(value.get_mut(), rest);
            }
        }
        [] | [Step::Index(_), ..] => {}
    }
}

fn remove_below(value: &mut DeValue<'_>, steps: &[Step]) {
    match (value, steps) {
        (DeValue::Table(table), steps) => remove(table, steps),
        (DeValue::Array(array), [Step::Index(gone)]) => {
            let items = std::mem::replace(array, DeArray::new());
            *array = items.into_iter().enumerate().filter(|(index, _)| index != gone).map(|(_, item)| item).collect();
        }
        (DeValue::Array(array), [Step::Index(index), rest @ ..]) => {
            if let Some(item) = array.get_mut(*index) {
                remove_below(item.get_mut(), rest);
            }
        }
        (_, _) => {}
    }
}
