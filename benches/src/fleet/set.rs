//! Other values for keys of a scenario: `activities.scan.share=0`, `storms.0.share=0.5`, `groups.HQ.share=2`.

use toml::{Table, Value};

use super::activity::Activity;

const FORM: &str = "expected KEY=VALUE, for example activities.scan.share=0";

/// Sets a value; what is no TOML value is taken as a text. An element of a list is meant by its number, from 0, or by its
/// `name`. Keys that are not there yet come to be, elements do not.
///
/// # Errors
/// Says what is wrong, and what there is.
pub(super) fn set(table: &mut Table, setting: &str) -> Result<(), String> {
    let (path, value) = setting.split_once('=').ok_or_else(|| format!("'{setting}' has no '='; {FORM}"))?;
    let (path, value) = (path.trim(), value.trim());
    let parsed: Result<Table, _> = toml::from_str(&format!("v = {value}"));
    let value = parsed.ok().and_then(|mut table| table.remove("v")).unwrap_or_else(|| value.into());
    let mut keys: Vec<_> = path.split('.').collect();
    let last = keys.pop().filter(|last| !last.is_empty()).ok_or_else(|| format!("'{setting}' has no key; {FORM}"))?;
    let leaves_out = left_out(&keys, last, &value);
    let mut root = Value::Table(std::mem::take(table));
    let mut place = Some(&mut root);
    let mut wrong = None;
    for key in keys {
        match place.take().map(|place| below(place, key)) {
            Some(Ok(found)) => place = Some(found),
            Some(Err(error)) => wrong = Some(error),
            None => break,
        }
    }
    let done = match (place, wrong) {
        (Some(place), _) => put(place, last, value),
        (None, wrong) => Err(wrong.unwrap_or_default()),
    };
    if let Value::Table(root) = root {
        *table = root;
    }
    done.map_err(|error| format!("'{path}': {error}"))?;
    if let Some(activity) = leaves_out {
        leave_out(table, activity);
    }
    Ok(())
}

/// What is below a key, or an element of a list.
fn below<'v>(value: &'v mut Value, key: &str) -> Result<&'v mut Value, String> {
    match value {
        Value::Table(table) => Ok(table.entry(key).or_insert_with(|| Value::Table(Table::new()))),
        Value::Array(list) => {
            let place = element(list, key)?;
            list.get_mut(place).ok_or_else(String::new)
        }
        other => Err(format!("there is nothing below a {}, and so no {key}", other.type_str())),
    }
}

fn put(value: &mut Value, key: &str, new: Value) -> Result<(), String> {
    match value {
        Value::Table(table) => {
            table.insert(key.to_owned(), new);
        }
        Value::Array(list) => {
            let place = element(list, key)?;
            list[place] = new;
        }
        other => return Err(format!("there is nothing below a {}, and so no {key}", other.type_str())),
    }
    Ok(())
}

/// The place of an element in a list.
fn element(list: &[Value], key: &str) -> Result<usize, String> {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    let number = key.parse::<usize>().ok().filter(|number| *number < list.len());
    if let Some(place) = number.or_else(|| list.iter().position(|value| name(value).as_deref() == Some(key))) {
        return Ok(place);
    }
    let names: Vec<_> = list.iter().filter_map(name).filter(|name| !name.is_empty()).collect();
    let numbers = match list.len() {
        0 => "the list is empty".to_owned(),
        1 => "there is 0".to_owned(),
        all => format!("there are 0 to {}", all - 1),
    };
    let named = if names.is_empty() { String::new() } else { format!(", by name {}", names.join(", ")) };
    Err(format!("there is no element {key} in this list: {numbers}{named}"))
}

/// The activity that this value leaves out.
fn left_out(keys: &[&str], last: &str, value: &Value) -> Option<Activity> {
    let is_zero = value.as_integer() == Some(0) || value.as_float() == Some(0.0);
    match keys {
        ["activities", name] if last == "share" && is_zero => Activity::find(name),
        _ => None,
    }
}

/// Takes an activity out of every storm and of the start. A storm that has nothing else to do goes.
fn leave_out(table: &mut Table, activity: Activity) {
    let others = |event: &mut Table| {
        let list = event.get_mut("activities").and_then(Value::as_array_mut);
        list.is_none_or(|list| {
            list.retain(|name| name.as_str() != Some(activity.name()));
            !list.is_empty()
        })
    };
    if let Some(start) = table.get_mut("start").and_then(Value::as_table_mut) {
        others(start);
    }
    if let Some(storms) = table.get_mut("storms").and_then(Value::as_array_mut) {
        storms.retain_mut(|storm| storm.as_table_mut().is_none_or(others));
    }
}
