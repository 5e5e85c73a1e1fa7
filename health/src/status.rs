//! The four states of a server.

use std::fmt;

use serde::Serialize;

/// What is known about a server from asking it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Not asked yet. Such a server is used only when no other is known to be well.
    Unproven,
    /// Answers as expected.
    Up,
    /// Answers, but what it depends on does not: a management point whose site database is away.
    Degraded,
    /// Does not answer, or not as expected.
    Down,
}

impl Health {
    /// The name in logs, metrics and the admin interface: `unproven`, `up`, `degraded` or `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_json_name_is_the_name_everywhere_else() {
        for health in [Health::Unproven, Health::Up, Health::Degraded, Health::Down] {
            assert_eq!(serde_json::to_value(health).unwrap(), health.as_str());
            assert_eq!(health.to_string(), health.as_str());
        }
        assert_eq!(format!("[{:<9}]", Health::Up), "[up       ]", "columns in a table stay straight");
    }
}
