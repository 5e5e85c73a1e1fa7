//! What is said on standard output and standard error. A reader that has gone away, as `head` does, is no reason to fail.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;

/// Says what was asked for, on standard output.
///
/// # Errors
/// It cannot be written, for another reason than that its reader has gone.
pub(super) fn out(text: impl Display) -> anyhow::Result<()> {
    match write(io::stdout().lock(), text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Says what a person should know besides, on standard error. If that is not possible there is no other place for it.
pub(super) fn err(text: impl Display) {
    let _ = write(io::stderr().lock(), text);
}

/// A text and the end of its line, in one piece if it is short.
fn write(mut to: impl Write, text: impl Display) -> io::Result<()> {
    let mut text = text.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    to.write_all(text.as_bytes())?;
    to.flush()
}
