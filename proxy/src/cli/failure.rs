//! How a command fails: one convention for what is printed and for the exit status.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde_json::json;

use super::say;

/// The exit status when what was asked for was refused, is not possible, or is not so.
const REFUSED: u8 = 1;
/// The exit status when the command line itself is wrong.
const USAGE: u8 = 2;

/// Below the help of every command.
pub(super) const EXIT_STATUS: &str = "\
Exit status:
  0  It is done, or it is so
  1  It is refused, wrong or not so: standard error says why
  2  The command line is wrong";

/// What went wrong, and what helps. It may stand before the cause of an error, as its context.
#[derive(Debug)]
pub(super) struct Mistake {
    what: String,
    help: Option<String>,
    status: u8,
}

impl Mistake {
    /// The command line is wrong.
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, status: USAGE }
    }

    /// What was asked for is not done.
    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, status: REFUSED }
    }

    /// With what the person can do.
    #[must_use]
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Mistake {}

/// Says a failure on standard error, for scripts that asked for JSON also on standard output, and gives its exit status.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    let mistake = error.downcast_ref::<Mistake>();
    let (help, status) = mistake.map_or((None, REFUSED), |mistake| (mistake.help.as_deref(), mistake.status));
    say(&format!("{error:#}"), help, status)
}

/// A command line that the program does not understand, or that asks for help.
pub(super) fn tell_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match say::help(error) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => tell(&error),
        },
        _ => {
            let rendered = error.render().to_string();
            let rendered = match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    format!("error: a command is missing\n\n{rendered}")
                }
                _ => rendered,
            };
            let told = rendered.replace("\n  tip: ", "\nhelp: ");
            if wants_json() {
                let what = told.lines().next().unwrap_or_default();
                let help = told.lines().find_map(|line| line.strip_prefix("help: "));
                let _ = as_json(what.strip_prefix("error: ").unwrap_or(what), help, USAGE);
            }
            say::err(told);
            ExitCode::from(USAGE)
        }
    }
}

/// Every line of a failure is an error of its own.
fn say(what: &str, help: Option<&str>, status: u8) -> ExitCode {
    if wants_json() {
        let _ = as_json(what, help, status);
    }
    for line in what.lines() {
        say::err(format_args!("error: {line}"));
    }
    if let Some(help) = help {
        say::err(format_args!("help: {help}"));
    }
    ExitCode::from(status)
}

fn as_json(what: &str, help: Option<&str>, status: u8) -> anyhow::Result<()> {
    say::json(json!({ "error": what, "help": help, "exit_status": status }))
}

/// Also where the command line was not understood.
fn wants_json() -> bool {
    std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json")
}
