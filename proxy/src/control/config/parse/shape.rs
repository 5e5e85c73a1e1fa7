//! Lists where a table belongs.
//!
//! A derived struct also reads itself from a list, field by field in the order of the program text, which is nothing
//! that a person should be able to write. `[[proxy]]` would be such a list.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::syntax::Faults;
use super::tree::{self, Step};
use crate::control::config::problem::Problems;

/// Reports and takes out every list that must be a table.
pub(super) fn check(part: &mut DeTable<'_>, source: &str, faults: &Faults, problems: &mut Problems) {
    let mut wrong = Vec::new();
    for (key, value) in part.iter() {
        walk(value, &mut vec![Step::Key(key.get_ref().to_string())], &mut wrong);
    }
    // From the back, so that the numbers of elements before stay right.
    for (steps, span) in wrong.iter().rev() {
        if !faults.cover(span) {
            let name = tree::name(steps);
            let help = if source.get(span.clone()).is_some_and(|text| text.starts_with("[[")) {
                format!("write [{name}] once, with single brackets")
            } else {
                "write { key = value } instead of square brackets".to_owned()
            };
            problems.error(span.clone(), format!("`{name}` must be a table, not a list"), help);
        }
        tree::remove(part, steps);
    }
}

type Wrong = (Vec<Step>, std::ops::Range<usize>);

fn walk(value: &Spanned<DeValue<'_>>, steps: &mut Vec<Step>, wrong: &mut Vec<Wrong>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                steps.push(Step::Key(key.get_ref().to_string()));
                walk(value, steps, wrong);
                steps.pop();
            }
        }
        DeValue::Array(_) if must_be_table(steps) => wrong.push((steps.clone(), value.span())),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                steps.push(Step::Index(index));
                walk(item, steps, wrong);
                steps.pop();
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn must_be_table(steps: &[Step]) -> bool {
    const ELEMENT: &str = "[]";
    let path: Vec<&str> = steps
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Index(_) => ELEMENT,
        })
        .collect();
    matches!(
        path.as_slice(),
        ["site" | "proxy" | "admin" | "access_log" | "dns" | "tls" | "roles" | "ad_sites" | "default_boundary_group"]
            | ["fallback" | "content" | "affinity"]
            | ["roles", _]
            | ["roles", _, "retry" | "timeouts" | "probe" | "passive"]
            | ["sites" | "listeners" | "site_systems" | "boundary_groups", ELEMENT]
            | ["sites", ELEMENT, "default_boundary_group"]
            | ["listeners", ELEMENT, "tls"]
            | ["listeners", ELEMENT, "tls", "certificates", ELEMENT]
            | ["boundary_groups", ELEMENT, "neighbors", ELEMENT]
            | ["site_systems", ELEMENT, "roles", ELEMENT, "timeouts" | "probe" | "passive"]
    )
}
