//! `rolegate diff`: what would change from one configuration to another, in the words of the site.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::ask::{self, Where};
use super::failure::Mistake;
use super::say::{self, Channel};
use crate::control::compile::compile;
use crate::control::config::{Problems, Source, parse};
use crate::control::describe::{Described, Facts, Kind, describe, roles_of, text_of};
use crate::text::count;

/// Elements of a list that are named; `--json` names all.
const ELEMENTS: usize = 8;

/// The two configurations.
#[derive(Args, Debug)]
pub(super) struct Diff {
    /// The configuration as it would be; with a second one, the configuration as it is.
    #[arg(value_name = "FILE")]
    first: PathBuf,
    /// The configuration as it would be. Without it, the running rolegate is asked for the one that it serves.
    #[arg(value_name = "NEW")]
    second: Option<PathBuf>,
    #[command(flatten)]
    at: Where,
    /// Exit with 1 when something would change.
    #[arg(long)]
    exit_code: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What happens to something that a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Added,
    Removed,
    Changed,
}

/// A setting whose value changes; `null` is none.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    setting: String,
    old: Value,
    new: Value,
    /// A running rolegate takes it at its next start, and not with a reload.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    next_start: bool,
}

/// Something that would not be as it was.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    kind: Kind,
    name: String,
    what: What,
    changes: Vec<Change>,
}

/// Compares them, and says what would change.
pub(super) fn print(args: &Diff) -> anyhow::Result<ExitCode> {
    let (old, new) = match &args.second {
        Some(second) => (read(&args.first)?, read(second)?),
        None => {
            let new = read(&args.first)?;
            (ask::read(&args.at, &ask::get(&args.at, "/configuration", &[])?)?, new)
        }
    };
    let differences = compare(&old, &new);
    match args.json {
        true => say::json(serde_json::to_string_pretty(&differences)?)?,
        false => say::out(render(&differences))?,
    }
    Ok(if args.exit_code && !differences.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One that cannot be served is an error, after its mistakes.
fn read(file: &Path) -> anyhow::Result<Described> {
    let source = Source::read_once(file)?;
    let mut problems = Problems::new();
    let config = parse(&source.text, &mut problems);
    let compiled = compile(&config, &mut problems);
    let Some(compiled) = compiled else {
        say::colored_err(problems.render(&source.name, &source.text, Channel::Err.has_colors()));
        let help = format!("`rolegate check {}` must accept it before it can be compared", source.name);
        return Err(Mistake::refused(format!("{} cannot be served", source.name)).help(help).into());
    };
    Ok(describe(&config, roles_of(&compiled)))
}

fn compare(old: &Described, new: &Described) -> Vec<Difference> {
    let none = BTreeMap::new();
    let kinds: BTreeSet<Kind> = old.0.keys().chain(new.0.keys()).copied().collect();
    let mut differences = Vec::new();
    for kind in kinds {
        let (before, after) = (old.0.get(&kind).unwrap_or(&none), new.0.get(&kind).unwrap_or(&none));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (what, changes) = match (before.get(name), after.get(name)) {
                (Some(before), Some(after)) => (What::Changed, changes(kind, name, before, after)),
                (Some(before), None) => (What::Removed, changes(kind, name, before, &Facts::new())),
                (None, Some(after)) => (What::Added, changes(kind, name, &Facts::new(), after)),
                (None, None) => continue,
            };
            if what != What::Changed || !changes.is_empty() {
                differences.push(Difference { kind, name: name.clone(), what, changes });
            }
        }
    }
    differences
}

fn changes(kind: Kind, name: &str, before: &Facts, after: &Facts) -> Vec<Change> {
    let settings: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let each = settings.into_iter().filter_map(|setting| {
        let (old, new) = (before.get(setting), after.get(setting));
        let differ = match (old, new) {
            (Some(Value::Array(old)), Some(Value::Array(new))) => elements(old) != elements(new),
            (old, new) => old != new,
        };
        differ.then(|| Change {
            setting: setting.clone(),
            old: old.cloned().unwrap_or_default(),
            new: new.cloned().unwrap_or_default(),
            next_start: kind == Kind::Settings && is_fixed(name, setting),
        })
    });
    each.collect()
}

/// Whether a setting is used at the next start only: `docs/configuration.md` has the list.
fn is_fixed(section: &str, setting: &str) -> bool {
    match section {
        "[access_log]" => true,
        "[admin]" => setting == "address",
        "[proxy]" => matches!(setting, "threads" | "drain_timeout"),
        "[fallback]" => setting == "max_clocks",
        "[content]" | "[affinity]" => setting == "max_entries",
        _ => false,
    }
}

fn elements(list: &[Value]) -> BTreeSet<String> {
    list.iter().map(text_of).collect()
}

fn render(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "nothing would change\n".to_owned();
    }
    let mut out = String::new();
    // Writing to a String cannot fail.
    for difference in differences {
        let sign = match difference.what {
            What::Added => '+',
            What::Removed => '-',
            What::Changed => '~',
        };
        let _ = write!(out, "{sign} {} {}", difference.kind.words(), difference.name);
        match difference.what {
            // Most settings of it are defaults: what it is for is enough.
            What::Added | What::Removed => {
                let said: Vec<String> =
                    difference.changes.iter().filter_map(|change| in_short(difference, change)).collect();
                let _ = writeln!(out, "{}{}", if said.is_empty() { "" } else { ": " }, said.join("; "));
            }
            What::Changed => {
                out.push('\n');
                for change in &difference.changes {
                    let later = if change.next_start { "   (at the next start)" } else { "" };
                    let _ = writeln!(out, "    {}: {}{later}", change.setting, transition(&change.old, &change.new));
                }
            }
        }
    }
    let of = |what: What| differences.iter().filter(|difference| difference.what == what).count();
    let (added, removed, changed) = (of(What::Added), of(What::Removed), of(What::Changed));
    let _ = writeln!(
        out,
        "\n{}: {added} added, {removed} removed, {changed} changed",
        count(differences.len(), "difference")
    );
    out
}

/// What one wants to know of something that comes or goes.
fn in_short(difference: &Difference, change: &Change) -> Option<String> {
    let wanted = match difference.kind {
        Kind::Listener | Kind::SiteSystem => matches!(change.setting.as_str(), "address" | "roles"),
        Kind::BoundaryGroup => matches!(change.setting.as_str(), "boundaries" | "site_systems"),
        Kind::Site | Kind::Relationship | Kind::AdSite | Kind::Settings => true,
        Kind::Role => false,
    };
    let value = if difference.what == What::Removed { &change.old } else { &change.new };
    wanted.then(|| format!("{} {}", change.setting, shown(value)))
}

fn transition(old: &Value, new: &Value) -> String {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => {
            let (old, new) = (elements(old), elements(new));
            let gone = signed('-', old.difference(&new));
            let come = signed('+', new.difference(&old));
            [gone, come].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
        }
        (old, new) => format!("{} -> {}", shown(old), shown(new)),
    }
}

fn signed<'a>(sign: char, elements: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<String> = elements.map(|element| format!("{sign} {element}")).collect();
    few(&all, "  ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::Array(list) => few(&list.iter().map(text_of).collect::<Vec<_>>(), ", "),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => text_of(value),
    }
}

fn few(all: &[String], between: &str) -> String {
    let shown = all.iter().take(ELEMENTS).map(String::as_str).collect::<Vec<_>>().join(between);
    if all.len() > ELEMENTS { format!("{shown}{between}and {} more", all.len() - ELEMENTS) } else { shown }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
