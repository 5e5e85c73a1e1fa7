//! What is wrong with a configuration, as it is told: to a person in one text, and to the log with a line for each problem.

use std::fmt;

use super::config::{Problems, Record, Severity, Source};

/// Problems of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// For a person: all of them, with their lines.
    pub text: String,
    records: Vec<Record>,
}

impl Told {
    /// What is known of a configuration, unless nothing is wrong with it.
    pub fn of(problems: &Problems, source: &Source, color: bool) -> Option<Self> {
        (!problems.is_empty()).then(|| Self {
            text: problems.render(&source.name, &source.text, color),
            records: problems.json(&source.name, &source.text),
        })
    }

    /// Writes them to the log of the process. `what` is said before an error that is no mistake in a text.
    pub fn log(&self, what: &str) {
        if self.records.is_empty() {
            return tracing::error!("{what}: {}", self.text.trim_end());
        }
        let errors = self.records.iter().filter(|record| record.severity == Severity::Error).count();
        if errors > 0 {
            tracing::error!(errors, "{what}");
        }
        for Record { severity, file, line, column, message, help, .. } in &self.records {
            let at = format!("{file}:{line}:{column}");
            match severity {
                Severity::Error => tracing::error!(%at, help, "{message}"),
                Severity::Warning => tracing::warn!(%at, help, "{message}"),
            }
        }
    }
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self { text, records: Vec::new() }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
