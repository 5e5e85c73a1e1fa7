//! Reading a TOML table key by key, so that every mistake is told at once and with its place.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// Something wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line and the column, from 1; `None` if it is about the whole.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what to do about it.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What serde says, without the names of Rust's types.
fn plain(message: &str) -> String {
    let (what, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    match expected {
        "" => what.to_owned(),
        "f64" => format!("{what}, expected a number"),
        "u32" | "u64" | "i64" | "usize" => format!("{what}, expected a whole number"),
        other => format!("{what}, expected {other}"),
    }
}

/// The mistakes found so far.
pub(super) struct Notes<'t> {
    text: &'t str,
    pub(super) mistakes: Vec<Mistake>,
}

impl<'t> Notes<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, mistakes: Vec::new() }
    }

    pub(super) fn at(&mut self, span: &Range<usize>, what: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.mistakes.push(Mistake { place: Some((line, column)), what: what.into() });
    }

    pub(super) fn whole(&mut self, what: impl Into<String>) {
        self.mistakes.push(Mistake { place: None, what: what.into() });
    }

    /// In the order of the text.
    pub(super) fn sorted(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|mistake| mistake.place.unwrap_or((usize::MAX, 0)));
        self.mistakes
    }
}

/// A table whose keys are taken one after another.
pub(super) struct Fields<'t> {
    /// What it is called in messages: `activities.scan`; empty for the file itself.
    path: String,
    pub(super) span: Range<usize>,
    table: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    pub(super) fn parse(text: &'t str, notes: &mut Notes<'_>) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            match error.span() {
                Some(span) => notes.at(&span, format!("this is not TOML: {}", error.message())),
                None => notes.whole(format!("this is not TOML: {}", error.message())),
            }
        }
        Self { path: String::new(), span: table.span(), table: table.into_inner(), known: Vec::new() }
    }

    pub(super) fn called(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn value(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Where the value of a key is, or the table if there is none.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<T> {
        self.spanned(key, notes).map(Spanned::into_inner)
    }

    pub(super) fn spanned<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        notes: &mut Notes<'_>,
    ) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        let span = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Spanned::new(span, value)),
            Err(error) => {
                let place = error.span().filter(|inside| !inside.is_empty()).unwrap_or(span);
                notes.at(&place, format!("{}: {}", self.called(key), plain(error.message())));
                None
            }
        }
    }

    /// A value that `read` makes of a text.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        notes: &mut Notes<'_>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.spanned::<String>(key, notes)?;
        match read(text.get_ref()) {
            Ok(value) => Some(value),
            Err(error) => {
                notes.at(&text.span(), format!("{}: {error}", self.called(key)));
                None
            }
        }
    }

    /// A time such as `15min`, within bounds.
    pub(super) fn time(
        &mut self,
        key: &'static str,
        bounds: &RangeInclusive<Duration>,
        notes: &mut Notes<'_>,
    ) -> Option<Duration> {
        self.read(key, notes, |text| {
            let time = humantime::parse_duration(text)
                .map_err(|_| format!("'{text}' is not a time; write it as 90s, 15min, 25h or 7d"))?;
            if bounds.contains(&time) {
                return Ok(time);
            }
            let [least, most] = [bounds.start(), bounds.end()].map(|bound| humantime::format_duration(*bound));
            Err(format!("'{text}' is outside {least} to {most}"))
        })
    }

    /// A number within bounds.
    pub(super) fn number<T>(
        &mut self,
        key: &'static str,
        bounds: &RangeInclusive<T>,
        notes: &mut Notes<'_>,
    ) -> Option<T>
    where
        T: DeserializeOwned + PartialOrd + fmt::Display + Copy,
    {
        let value = self.spanned::<T>(key, notes)?;
        if bounds.contains(value.get_ref()) {
            return Some(value.into_inner());
        }
        let what = format!("{} is outside {} to {}", value.get_ref(), bounds.start(), bounds.end());
        notes.at(&value.span(), format!("{}: {what}", self.called(key)));
        None
    }

    /// A share or a chance, 0 to 1.
    pub(super) fn share(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<f64> {
        self.number(key, &(0.0..=1.0), notes)
    }

    /// A size such as `60KiB`.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        bounds: &RangeInclusive<u64>,
        notes: &mut Notes<'_>,
    ) -> Option<u64> {
        self.read(key, notes, |text| {
            let size = text.parse::<ByteSize>().map_err(|_| format!("'{text}' is not a size such as 60KiB"))?.as_u64();
            if bounds.contains(&size) {
                return Ok(size);
            }
            let [least, most] = [bounds.start(), bounds.end()].map(|bound| ByteSize::b(*bound));
            Err(format!("'{text}' is outside {least} to {most}"))
        })
    }

    /// A table below this one.
    pub(super) fn table(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Self> {
        let value = self.value(key)?;
        let (span, path) = (value.span(), self.called(key));
        match value.into_inner() {
            DeValue::Table(table) => Some(Self { path, span, table, known: Vec::new() }),
            other => {
                notes.at(&span, format!("{path} is a table: write [{path}], not a {}", other.type_str()));
                None
            }
        }
    }

    /// Tables of which there may be several.
    pub(super) fn tables(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let (span, path) = (value.span(), self.called(key));
        let mut tables = Vec::new();
        match value.into_inner() {
            DeValue::Array(values) => {
                for value in values {
                    let span = value.span();
                    match value.into_inner() {
                        DeValue::Table(table) => {
                            tables.push(Self { path: path.clone(), span, table, known: Vec::new() });
                        }
                        other => notes.at(&span, format!("{path} holds tables, not a {}", other.type_str())),
                    }
                }
            }
            other => notes.at(&span, format!("write [[{path}]] for each, not a {}", other.type_str())),
        }
        tables
    }

    /// Whatever is left is not known.
    pub(super) fn end(self, notes: &mut Notes<'_>) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            let close = self.known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
            let advice = match close {
                Some((distance, known)) if distance <= 2 || known.starts_with(name) => {
                    format!("did you mean '{known}'?")
                }
                _ => format!("there are {}", self.known.join(", ")),
            };
            notes.at(&key.span(), format!("'{}' is not known here; {advice}", self.called(name)));
        }
    }
}
