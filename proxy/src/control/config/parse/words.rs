//! A deserializer's errors in the words of the person who wrote the file.

use std::ops::Range;

use super::ranges;
use super::tree::Place;
use crate::control::config::problem::{nearest, quoted};
use crate::control::config::units::HELP;

/// What is wrong, and what to do.
pub(super) fn say(message: &str, place: Option<&Place>, source: &str, span: &Range<usize>) -> (String, String) {
    let Some(place) = place else {
        return (message.to_owned(), "correct what is underlined".to_owned());
    };
    let name = place.name(false);
    if let Some((what, help)) = message.split_once(HELP) {
        return (format!("`{name}`: {what}"), help.to_owned());
    }
    if message.starts_with("unknown field ") {
        return unknown_key(message, place);
    }
    if message.starts_with("invalid socket address") {
        return not_an_address(&name, place);
    }
    let wrong = message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if wrong => {
            let header = source.get(span.clone()).is_some_and(|text| text.starts_with('['));
            wrong_type(&name, place, expected, header)
        }
        _ => (format!("`{name}`: {message}"), format!("{} does not fit here", place.found)),
    }
}

fn unknown_key(message: &str, place: &Place) -> (String, String) {
    let known: Vec<&str> = match message.rsplit_once(", expected ") {
        Some((_, list)) => list.split('`').skip(1).step_by(2).collect(),
        None => Vec::new(),
    };
    let parent = place.name(true);
    let key = match place.steps.last() {
        Some(super::tree::Step::Key(key)) => key.as_str(),
        Some(super::tree::Step::Index(_)) | None => "",
    };
    let shown = quoted(key);
    let shown = shown.trim_matches('"');
    let message = if parent.is_empty() {
        format!("there is no section `{shown}`")
    } else {
        format!("`{parent}` has no key `{shown}`")
    };
    let help = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
    };
    (message, help)
}

fn not_an_address(name: &str, place: &Place) -> (String, String) {
    (
        format!("`{name}` must be an IP address with a port, not {}", place.found),
        "write for example \"0.0.0.0:80\", or \"[::]:80\" for IPv6; names are not looked up here".to_owned(),
    )
}

fn wrong_type(name: &str, place: &Place, expected: &str, header: bool) -> (String, String) {
    let number = |most: u64| {
        let range = ranges::of(last(name)).unwrap_or_else(|| format!("from 0 to {most}"));
        (format!("a whole number {range}"), "write the number without quotes and without a unit".to_owned())
    };
    let (must, help) = match expected {
        "u8" => number(u8::MAX.into()),
        "u16" => number(u16::MAX.into()),
        "u32" => number(u32::MAX.into()),
        "a string" => ("text".to_owned(), format!("write it in double quotes: {} = \"...\"", last(name))),
        "a boolean" => ("true or false".to_owned(), "write true or false, without quotes".to_owned()),
        "a sequence" if header => ("a list".to_owned(), format!("write [[{name}]] with two brackets, once for each")),
        "a sequence" => ("a list".to_owned(), format!("write it in square brackets: {} = [ ... ]", last(name))),
        "socket address" => return not_an_address(name, place),
        _ if expected == "a map" || expected.starts_with("struct ") => {
            ("a table".to_owned(), format!("write [{name}] on a line of its own and its keys below it"))
        }
        other => (other.to_owned(), format!("write {other}")),
    };
    (format!("`{name}` must be {must}, not {}", place.found), help)
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
