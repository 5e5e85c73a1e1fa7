//! What is wrong with a configuration: collected, then shown all at once, each with where it is and what to do.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};
use serde::Serialize;

/// More problems than this are counted but not kept: nobody reads them, and a file of garbage has millions.
const MOST: usize = 500;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// The configuration is used, and somebody should look at it.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it was written, in bytes.
    pub span: Range<usize>,
    /// What is wrong, one sentence.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// All problems of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    errors: usize,
    warnings: usize,
    holes: bool,
}

/// One problem for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// How bad it is.
    pub severity: Severity,
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is written there, up to the end of the line.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Record {
    /// A warning about all of a file, at no place in it.
    pub fn of_the_whole(file: &str, message: String) -> Self {
        let severity = Severity::Warning;
        Self { severity, file: file.to_owned(), line: 1, column: 1, text: String::new(), message, help: String::new() }
    }
}

impl Problems {
    /// No problems yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration cannot be used.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), help.into());
    }

    /// Something is not there. Says nothing when the text had mistakes that were taken out: it may have been there.
    pub fn missing(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if !self.holes {
            self.error(span, message, help);
        }
    }

    /// What was read has holes where mistakes were taken out.
    pub fn mark_holes(&mut self) {
        self.holes = self.is_fatal();
    }

    /// The configuration can be used, but is probably not what was meant.
    pub fn warning(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), help.into());
    }

    /// Whether there is an error.
    pub fn is_fatal(&self) -> bool {
        self.errors > 0
    }

    /// In the order in which they were found. Of very many, only the first.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.errors + self.warnings
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For a person: every problem with its line, in the order of the file, and the count.
    pub fn render(&self, file_name: &str, source: &str, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let lines = Lines::new(source);
        let mut shown = String::new();
        for problem in self.sorted() {
            let place = lines.locate(&problem.span);
            let level = match problem.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            // Only the one line is handed over: the rest of a large file would be looked through for every problem.
            let snippet = Snippet::source(place.line_text)
                .path(file_name)
                .line_start(place.line)
                .annotation(AnnotationKind::Primary.span(place.within.clone()));
            let mut group = level.primary_title(problem.message.as_str()).element(snippet);
            if !problem.help.is_empty() {
                group = group.element(Level::HELP.message(normalize_untrusted_str(&problem.help)));
            }
            shown.push_str(&renderer.render(&[group]));
            shown.push_str("\n\n");
        }
        shown.push_str(&self.summary());
        shown
    }

    /// For a machine, in the order of the file.
    pub fn json(&self, file: &str, source: &str) -> Vec<Record> {
        let lines = Lines::new(source);
        let record = |problem: &Problem| {
            let place = lines.locate(&problem.span);
            Record {
                severity: problem.severity,
                file: file.to_owned(),
                line: place.line,
                column: place.column,
                text: place.line_text[place.within].to_owned(),
                message: problem.message.clone(),
                help: problem.help.clone(),
            }
        };
        self.sorted().into_iter().map(record).collect()
    }

    fn push(&mut self, severity: Severity, span: Range<usize>, message: String, help: String) {
        let problem = Problem { severity, span, message, help };
        // A site system is looked at once for each of its roles.
        if self.list.contains(&problem) {
            return;
        }
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.list.len() < MOST {
            self.list.push(problem);
        }
    }

    fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| problem.span.start);
        sorted
    }

    fn summary(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut line = match (self.errors, self.warnings) {
            (0, 0) => return String::new(),
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        };
        if self.len() > self.list.len() {
            line.push_str(&format!(" (the first {} are shown)", self.list.len()));
        }
        line.push('\n');
        line
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Where the lines of a text start.
struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

struct Place<'a> {
    line: usize,
    column: usize,
    line_text: &'a str,
    within: Range<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str) -> Self {
        // A byte order mark is not a column.
        let first = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut starts = vec![first];
        starts.extend(source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Self { source, starts }
    }

    /// The first line of a span. Any span is accepted: it is cut to the text, to whole characters and to its line.
    fn locate(&self, span: &Range<usize>) -> Place<'a> {
        let start = self.floor(span.start).max(self.starts[0]);
        let index = self.starts.partition_point(|&begin| begin <= start) - 1;
        let begin = self.starts[index];
        let end = self.starts.get(index + 1).map_or(self.source.len(), |next| next - 1);
        let line_text = &self.source[begin..end];
        let line_text = line_text.strip_suffix('\r').unwrap_or(line_text);
        let from = (start - begin).min(line_text.len());
        let to = self.floor(span.end).saturating_sub(begin).clamp(from, line_text.len());
        Place { line: index + 1, column: line_text[..from].chars().count() + 1, line_text, within: from..to }
    }

    fn floor(&self, at: usize) -> usize {
        let at = at.min(self.source.len());
        (0..=at).rev().find(|&at| self.source.is_char_boundary(at)).unwrap_or(0)
    }
}

/// The word among the known ones that was probably meant. Case and the separators ` `, `-`, `_` do not count.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| -> String {
        word.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
    };
    // A longer text is no misspelled word, and the comparison takes the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let word = plain(word);
    let distance = |known: &'a str| {
        let close = plain(known);
        let far = strsim::damerau_levenshtein(&word, &close);
        (far <= 1.max(close.chars().count() / 3) && far < close.chars().count()).then_some((far, known))
    };
    among.filter_map(distance).min_by_key(|(far, _)| *far).map(|(_, known)| known)
}

/// A person's text for a message: in quotes, without control characters, and not too long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let cut: Cow<'_, str> = if text.chars().count() > LONGEST {
        Cow::Owned(text.chars().take(LONGEST - 1).chain(std::iter::once('…')).collect())
    } else {
        Cow::Borrowed(text)
    };
    format!("{cut:?}")
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
