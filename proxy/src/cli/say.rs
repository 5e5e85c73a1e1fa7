//! What is said on standard output and standard error. A reader that has gone away, as `head` does, is no reason to fail, and
//! no name and no text of a server reaches a terminal as anything but letters.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use comfy_table::Table;

use crate::text::{hidden, visible};

/// No table and no sentence is made for less.
const NARROWEST: u16 = 40;

/// Who reads what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody may.
    There,
    /// The other end of the pipe is closed.
    Gone,
}

/// As [`out`], for one of several texts: there is no use in the next one when the reader has gone. `steps` are ours, before it.
///
/// # Errors
/// It cannot be written, for another reason than that its reader has gone.
pub(super) fn next(steps: &str, text: impl Display) -> anyhow::Result<Reader> {
    match write(io::stdout().lock(), &format!("{steps}{}", visible(&text.to_string()))) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        written => told(written).map(|()| Reader::There),
    }
}

/// Says a script of our own, as it is.
///
/// # Errors
/// It cannot be written, for another reason than that its reader has gone.
pub(super) fn script(bytes: &[u8]) -> anyhow::Result<()> {
    let mut to = io::stdout().lock();
    told(to.write_all(bytes).and_then(|()| to.flush()))
}

/// Says what was asked for, on standard output.
///
/// # Errors
/// It cannot be written, for another reason than that its reader has gone.
pub(super) fn out(text: impl Display) -> anyhow::Result<()> {
    told(write(io::stdout().lock(), &visible(&text.to_string())))
}

/// Says the help of the program, in its colors where they are welcome.
///
/// # Errors
/// It cannot be written, for another reason than that its reader has gone.
pub(super) fn help(text: &clap::Error) -> anyhow::Result<()> {
    let styled = text.render();
    match Channel::Out.has_colors() {
        true => told(write(io::stdout().lock(), &styled.ansi().to_string())),
        false => out(styled),
    }
}

/// Says a JSON value on standard output.
///
/// # Errors
/// It cannot be written, for another reason than that its reader has gone.
pub(super) fn json(text: impl Display) -> anyhow::Result<()> {
    told(write(io::stdout().lock(), &plain_json(&text.to_string())))
}

fn told(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Says what a person should know besides, on standard error. If that is not possible there is no other place for it.
pub(super) fn err(text: impl Display) {
    let _ = write(io::stderr().lock(), &visible(&text.to_string()));
}

/// As [`err`], for a text with colors of ours in it: where text of others is quoted in it, that is written out already.
pub(super) fn colored_err(text: impl Display) {
    let text = text.to_string();
    let plain = visible(&text);
    let _ = write(io::stderr().lock(), if Channel::Err.has_colors() { &text } else { &plain });
}

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Channel {
    /// Whether colors are welcome: on a terminal that has them, unless `NO_COLOR` is set.
    pub(super) fn has_colors(self) -> bool {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        self.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether a person reads it as it comes.
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Out => io::stdout().is_terminal(),
            Self::Err => io::stderr().is_terminal(),
        }
    }
}

/// Columns of the output: what `COLUMNS` says, else the terminal; `None` where there is no bound.
pub(super) fn width() -> Option<u16> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse::<u16>().ok());
    let columns = said.filter(|columns| *columns > 0).or_else(|| Table::new().width());
    // Some terminals do not know.
    columns.filter(|columns| *columns > 0).map(|columns| columns.max(NARROWEST))
}

/// JSON may hold what steers a terminal, as long as it is in a string; it means the same when it is written as numbers.
fn plain_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match hidden(c) && c != '\r' && c != '\t' {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }),
            false => out.push(c),
        }
    }
    out
}

/// A text and the end of its line, in one piece if it is short.
fn write(mut to: impl Write, text: &str) -> io::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    to.write_all(format!("{text}{end}").as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_meaning_and_steers_nothing() {
        let written = "{\n\t\"a\": \"\u{9b}31m\u{7f}\u{202e}\u{fc}\"}";
        let plain = plain_json(written);
        assert_eq!(plain, "{\n\t\"a\": \"\\u009b31m\\u007f\\u202e\u{fc}\"}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        assert!(value(written).is_some() && value(&plain) == value(written));
    }
}
