//! What programs say on standard output and standard error. That nobody reads it any more is no reason to end, and never a
//! panic.

use std::fmt::Display;
use std::io::{self, Write as _};

/// A line on standard output.
pub fn out(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A line on standard error.
pub fn err(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
