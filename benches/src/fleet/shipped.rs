//! The scenarios that come with the program.

use std::io;
use std::path::Path;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Each scenario's name and text.
        pub const SHIPPED: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../scenarios/", $name, ".toml"))),)*
        ];
    };
}

shipped!(
    "steady",
    "morning",
    "rollout",
    "policy-push",
    "patch-day",
    "content",
    "notification",
    "outage",
    "plain-closed",
    "plain-rate",
    "plain-ramp",
);

/// The text of a scenario: a shipped one, or else a file.
///
/// # Errors
/// There is neither; the message says which there are.
pub fn find(name: &str) -> io::Result<String> {
    if let Some((_, text)) = SHIPPED.iter().find(|(its, _)| *its == name) {
        return Ok((*text).to_owned());
    }
    std::fs::read_to_string(Path::new(name)).map_err(|error| {
        let names: Vec<_> = SHIPPED.iter().map(|(name, _)| *name).collect();
        let close = names.iter().find(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let advice = match close {
            Some(close) => format!("did you mean '{close}'?"),
            None => format!("there are {}, or the name of a file", names.join(", ")),
        };
        io::Error::new(
            error.kind(),
            format!("'{name}' is no scenario and no file that can be read ({error}); {advice}"),
        )
    })
}

/// A line for each shipped scenario: its name, and what it is for.
#[must_use]
pub fn listed() -> String {
    let line = |(name, text): &(&str, &str)| {
        let about = super::Scenario::parse(text).map(|scenario| scenario.about).unwrap_or_default();
        format!("{name:<14} {about}\n")
    };
    SHIPPED.iter().map(line).collect()
}
