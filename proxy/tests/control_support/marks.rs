//! Mistakes in a configuration, and where they are: in each example `«` and `»` enclose what must be pointed at; a mistake
//! about something missing points at the place that the person must complete.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use rolegate::control::compile::{Compiled, compile};
use rolegate::control::config::{Problems, Record, Severity, parse};

pub fn look(text: &str) -> (Vec<Record>, Option<Compiled>) {
    let mut problems = Problems::new();
    let config = parse(text, &mut problems);
    assert!(!problems.is_fatal(), "not for the parser: {}", problems.render("test.toml", text, false));
    let compiled = compile(&config, &mut problems);
    assert_eq!(compiled.is_none(), problems.is_fatal(), "None exactly when there is an error");
    let shown = problems.render("test.toml", text, false);
    let records = problems.json("test.toml", text);
    for record in &records {
        assert!(shown.contains(&record.message) || record.message.len() > 80, "{shown}");
        assert!(record.help.len() > 5 && !record.help.ends_with('.'), "{record:?}");
        assert!(!record.message.ends_with('.') && !record.message.contains('\n'), "{record:?}");
    }
    (records, compiled)
}

/// Takes the marks out: line, column and text of what they enclose.
pub fn marked(text: &str) -> (String, usize, usize, String) {
    let (before, rest) = text.split_once('«').expect("a mark");
    let (inside, after) = rest.split_once('»').expect("its end");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    (format!("{before}{inside}{after}"), line, column, inside.to_owned())
}

/// Exactly one problem, at the marks.
#[track_caller]
pub fn one(severity: Severity, text: &str, message: &str, help: &str) {
    let (text, line, column, inside) = marked(text);
    let (records, _) = look(&text);
    let [record] = records.as_slice() else { panic!("{records:#?}\n{text}") };
    assert_eq!(
        (record.line, record.column, record.text.as_str()),
        (line, column, inside.as_str()),
        "{record:?}\n{text}"
    );
    assert_eq!(record.severity, severity, "{record:?}");
    assert!(record.message.contains(message), "{record:?}");
    assert!(record.help.contains(help), "{record:?}");
}

#[track_caller]
pub fn error(text: &str, message: &str, help: &str) {
    one(Severity::Error, text, message, help);
}

#[track_caller]
pub fn warning(text: &str, message: &str, help: &str) {
    one(Severity::Warning, text, message, help);
}

pub const SITE: &str = "[site]\ncode = \"P01\"\n";
pub const LISTENER: &str = "[[listeners]]\nname = \"http\"\naddress = \"0.0.0.0:80\"\nroles = [\"MP\"]\n";
pub const MP1: &str = "[[site_systems]]\nname = \"mp1\"\naddress = \"10.0.0.1\"\nroles = [\"MP\"]\n";
pub const GROUP: &str =
    "[[boundary_groups]]\nname = \"Berlin\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"mp1\"]\n";

/// A good configuration with one more piece.
pub fn with(piece: &str) -> String {
    format!("{SITE}{LISTENER}{MP1}{piece}")
}

/// With a piece of a boundary group.
pub fn with_group(piece: &str) -> String {
    with(&format!("{GROUP}{piece}"))
}
