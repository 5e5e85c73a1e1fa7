//! Mistakes of syntax: their words, and a text without them.
//!
//! A parser that recovers still loses what follows a broken line. So the broken lines are replaced by spaces and the text
//! is parsed again: the rest of the file is checked too, and nothing has moved.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::{DeTable, Error};

use super::unclosed::Unclosed;
use crate::control::config::problem::Problems;

/// Taking lines out may break others (a list whose opening is gone), so it is done again, but not for ever.
const ROUNDS: usize = 16;
/// With more broken lines than this it is no configuration, and nothing else in it is looked at.
const MOST: usize = 1000;
const DUPLICATE: &str = "duplicate key";

/// Lines with a mistake. What else is wrong there is most likely a consequence.
#[derive(Debug, Default)]
pub(super) struct Faults {
    lines: Vec<Range<usize>>,
    /// The parser keeps one of the two, so these are not taken out.
    duplicates: Vec<Range<usize>>,
}

impl Faults {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.duplicates.is_empty()
    }

    /// Whether something at this place need not be said.
    pub(super) fn cover(&self, span: &Range<usize>) -> bool {
        // The parser puts a value that is not there at the very beginning.
        let nowhere = *span == (0..0) && !self.is_empty();
        nowhere || self.lines.iter().chain(&self.duplicates).any(|line| line.contains(&span.start))
    }
}

/// The text with spaces in place of these lines.
pub(super) fn without_lines(source: &str, lines: impl Iterator<Item = Range<usize>>) -> Cow<'_, str> {
    let lines: Vec<Range<usize>> = lines.collect();
    if lines.is_empty() { Cow::Borrowed(source) } else { Cow::Owned(blank(source, &lines)) }
}

/// Adds the first mistake of every line to `problems`, and each list that is not closed. `errors` are those of the text without
/// these.
pub(super) fn report(source: &str, mut errors: Vec<Error>, unclosed: &[Unclosed], problems: &mut Problems) -> Faults {
    let lines = Lines::new(source);
    errors.sort_by_key(|error| error.span().unwrap_or_default().start);
    let mut faults = Faults::default();
    for list in unclosed {
        problems.error(
            list.at..list.at + 1,
            "the list that begins here is not closed",
            "write ] after its last element",
        );
        faults.lines.push(list.lines.clone());
    }
    let mut last = None;
    for error in errors {
        if faults.lines.len() >= MOST {
            break;
        }
        let span = error.span().unwrap_or(source.len()..source.len());
        let line = lines.of(span.start);
        if last.as_ref() == Some(&line) {
            continue;
        }
        let at = whole_word(source, span.clone());
        let written = source.get(at.clone()).unwrap_or_default();
        let (message, help) = other_format(written, source.get(line.start..).unwrap_or_default())
            .unwrap_or_else(|| words(error.message(), span.is_empty()));
        problems.error(at, message, help);
        faults.add(error.message(), &lines, line.clone());
        last = Some(line);
    }
    faults
}

/// An address without quotes is a number up to its second dot for the parser, but not for a person.
fn whole_word(source: &str, span: Range<usize>) -> Range<usize> {
    let before = source.get(..span.start).unwrap_or("");
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':');
    let start = if span.is_empty() { before.len() } else { before.trim_end_matches(part).len() };
    start..span.end
}

/// The text with spaces in place of broken lines.
pub(super) fn without_faults(source: &str, faults: &Faults) -> String {
    let mut gone = Faults { lines: faults.lines.clone(), duplicates: Vec::new() };
    let mut text = blank(source, &gone.lines);
    for _ in 0..ROUNDS {
        if gone.lines.len() >= MOST {
            return String::new();
        }
        let (_, errors) = DeTable::parse_recoverable(&text);
        let before = gone.lines.len();
        let lines = Lines::new(&text);
        for error in errors.into_iter().take(MOST) {
            let at = error.span().map_or(source.len(), |span| span.start);
            gone.add(error.message(), &lines, lines.of(at));
        }
        if gone.lines.len() == before {
            break;
        }
        text = blank(source, &gone.lines);
    }
    text
}

impl Faults {
    fn add(&mut self, message: &str, lines: &Lines<'_>, mut line: Range<usize>) {
        if message == DUPLICATE {
            self.duplicates.push(line);
            return;
        }
        if lines.is_header(&line) {
            // Without its header, what follows would be read as part of the section before.
            while line.end < lines.source.len() {
                let next = lines.of(line.end);
                if lines.is_header(&next) {
                    break;
                }
                line.end = next.end;
            }
        }
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }
}

fn blank(source: &str, gone: &[Range<usize>]) -> String {
    let mut gone: Vec<&Range<usize>> = gone.iter().collect();
    gone.sort_by_key(|range| range.start);
    let mut gone = gone.into_iter().peekable();
    let (mut text, mut at, mut until) = (String::with_capacity(source.len()), 0, 0);
    for line in source.split_inclusive('\n') {
        while let Some(range) = gone.next_if(|range| range.start <= at) {
            until = until.max(range.end);
        }
        if at < until {
            let content = line.trim_end_matches(['\r', '\n']);
            text.extend(std::iter::repeat_n(' ', content.len()));
            text.push_str(&line[content.len()..]);
        } else {
            text.push_str(line);
        }
        at += line.len();
    }
    text
}

struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str) -> Self {
        let rest = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(rest).collect() }
    }

    fn of(&self, at: usize) -> Range<usize> {
        let index = self.starts.partition_point(|&start| start <= at) - 1;
        let end = self.starts.get(index + 1).copied();
        // The end of the file belongs to its last line.
        self.starts[index]..end.unwrap_or(self.source.len() + 1)
    }

    fn is_header(&self, line: &Range<usize>) -> bool {
        let end = line.end.min(self.source.len());
        self.source.get(line.start..end).is_some_and(|text| text.trim_start().starts_with('['))
    }
}

/// What is right elsewhere: YAML, JSON, or a text processor.
fn other_format(written: &str, line: &str) -> Option<(String, String)> {
    let (what, help) = if written.starts_with(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) {
        ("these are quotes of a text processor", "write straight ones: \"P01\"")
    } else if written.ends_with(':') && !written.starts_with('"') {
        (
            "a name is followed by =, and not by a colon",
            "write key = value, and [section] on a line of its own: this is TOML",
        )
    } else if line.trim_start().starts_with('{') {
        ("this is JSON", "write [section] on a line of its own, and key = value below it: this is TOML")
    } else {
        return None;
    };
    Some((what.to_owned(), help.to_owned()))
}

fn words(message: &str, nothing_there: bool) -> (String, String) {
    let (what, help) = match message {
        m if m.starts_with("string values must be quoted") && nothing_there => {
            ("a value is missing after the =", "write key = value, for example port = 8530")
        }
        m if m.starts_with("string values must be quoted") || m.starts_with("invalid float") => {
            ("this is text without quotes", "put it in double quotes, for example \"10.0.0.1\" or \"30s\"")
        }
        m if m.starts_with("key with no value") => {
            ("a key without a value", "write key = value, for example port = 8530")
        }
        m if m.starts_with("invalid boolean") => {
            ("this is text without quotes", "write true or false in small letters, or put the text in double quotes")
        }
        DUPLICATE => (
            "this name is already used in the same table",
            "keep one of the two; the elements of a list have headers with two brackets: [[name]]",
        ),
        m if m.starts_with("unclosed array table") => {
            ("the header is not closed", "write [[name]] on a line of its own")
        }
        m if m.starts_with("unclosed table") => ("the header is not closed", "write [name] on a line of its own"),
        m if m.starts_with("unclosed array") => ("the list is not closed", "write ] after its last element"),
        m if m.starts_with("unclosed inline table") => {
            ("the table in braces is not closed", "write } after its last value")
        }
        m if m.starts_with("invalid inline table element") => {
            ("the table in braces is not closed", "write } after its last value, or a comma before the next one")
        }
        m if m.starts_with("missing comma between array elements") => {
            ("a comma is missing between two elements of a list", "write a comma before this, or close the list with ]")
        }
        m if m.starts_with("missing comma between key-value pairs") => {
            ("a comma is missing between two values in braces", "write a comma before this, or close the table with }")
        }
        m if m.starts_with("missing escaped value") => (
            "a backslash in double quotes starts an escape sequence",
            "write paths in single quotes: 'C:\\logs\\rolegate.log'",
        ),
        m if m.starts_with("invalid basic string") || m.starts_with("invalid literal string") => {
            ("the text is not closed, or has a control character in it", "write the same quote at both ends")
        }
        m if m.starts_with("invalid unquoted key") || m.starts_with("unquoted keys cannot be empty") => {
            ("this is no name for a key", "put names that are not only letters, digits, - and _ in quotes")
        }
        m if m.starts_with("unexpected key or value") => {
            ("nothing more can be written on this line", "write one key = value on a line; # starts a comment")
        }
        m if m.starts_with("cannot recurse further") => ("this is nested too deeply", "write it with fewer levels"),
        other => {
            return (format!("this cannot be read: {other}"), "the format is TOML: key = value, [section]".to_owned());
        }
    };
    (what.to_owned(), help.to_owned())
}
