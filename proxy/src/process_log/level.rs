//! How much is logged, which can be changed while the process runs.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use super::{LEVEL, directives};

/// The target of lines that say who has changed what. They are logged at every level.
pub const AUDIT: &str = "rolegate::audit";
/// Most bytes of what can be asked for.
const LONGEST: usize = 1000;

/// The log of this process, if it has one of its own.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    set: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
    at_start: String,
    now: ArcSwap<String>,
}

/// How much is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Now.
    pub now: String,
    /// At the start: what `RUST_LOG` said, or `info`.
    pub at_start: String,
}

/// Why it could not be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The program that runs the proxy has a log of its own.
    NotOurs,
    /// This is no level.
    Wrong(String),
}

/// The filter of what was asked for by `RUST_LOG` or later.
pub(super) fn filter(asked: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::try_new(directives(asked)).map_err(|error| error.to_string())?;
    Ok(filter.add_directive(format!("{AUDIT}=info").parse().map_err(|_| "a target is no target".to_owned())?))
}

/// Remembers how the filter of the process is changed, and what it was at the start.
pub(super) fn keep<S: 'static>(handle: Handle<EnvFilter, S>, at_start: Option<&str>) {
    let at_start = at_start.unwrap_or(LEVEL).trim().to_owned();
    let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
    // There is one log, and it is started once.
    let _ = LOG.set(Log { set: Box::new(set), now: ArcSwap::from_pointee(at_start.clone()), at_start });
}

/// How much is logged; `None` when the program that runs the proxy has a log of its own.
pub fn levels() -> Option<Levels> {
    let log = LOG.get()?;
    Some(Levels { now: log.now.load().to_string(), at_start: log.at_start.clone() })
}

/// Logs so much from now on: a level, or what `RUST_LOG` may say.
///
/// # Errors
/// What was asked for is no level, or the log is not ours. Nothing has changed then.
pub fn set(asked: &str) -> Result<Levels, Refused> {
    check(asked).map_err(Refused::Wrong)?;
    apply(asked)
}

/// Logs as much as at the start.
///
/// # Errors
/// The log is not ours.
pub fn reset() -> Result<Levels, Refused> {
    let at_start = levels().ok_or(Refused::NotOurs)?.at_start;
    apply(&at_start)
}

fn apply(asked: &str) -> Result<Levels, Refused> {
    let log = LOG.get().ok_or(Refused::NotOurs)?;
    let filter = filter(asked).map_err(Refused::Wrong)?;
    (log.set)(filter).map_err(Refused::Wrong)?;
    log.now.store(Arc::new(asked.trim().to_owned()));
    Ok(Levels { now: asked.trim().to_owned(), at_start: log.at_start.clone() })
}

/// A word that is no level would silently be the name of a target.
fn check(asked: &str) -> Result<(), String> {
    // Numbers, and nothing at all, are levels too, which are not meant.
    let level = |text: &str| {
        text.trim().starts_with(|c: char| c.is_ascii_alphabetic()) && text.trim().parse::<LevelFilter>().is_ok()
    };
    let whole = |part: &str| part.rsplit_once('=').map_or_else(|| level(part), |(_, word)| level(word));
    if asked.len() <= LONGEST && asked.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && asked.split(',').all(whole)
    {
        return Ok(());
    }
    Err("write off, error, warn, info, debug or trace, or targets with one each, such as info,h2=debug".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_level_is_refused() {
        for right in ["info", "WARN", "off", "info,h2=debug", "rolegate::data=trace , warn"] {
            assert_eq!(check(right), Ok(()), "{right}");
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["", "infoo", "hyper", "info,", "3", "a=b", "info\n"] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn audit_lines_are_logged_at_every_level() {
        let text = filter("error").map(|filter| filter.to_string()).unwrap_or_default();
        assert!(text.contains("rolegate::audit=info") && text.contains("rolegate=error"), "{text}");
    }

    #[test]
    fn a_log_that_is_not_ours_is_left_alone() {
        // No test of the library starts the log of the process.
        assert_eq!((levels(), set("debug"), reset()), (None, Err(Refused::NotOurs), Err(Refused::NotOurs)));
    }
}
