//! `[fallback]`, `[content]` and `[affinity]`: how fallback times are counted, and what is remembered of what was served.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::control::config::units::{self, HumanDuration};

/// `[fallback]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackTable {
    /// `relationships` (ConfigMgr 1610 and later) or `preferred` (1511 to 1606).
    pub model: Spanned<String>,
    /// `honor` or `immediate`, for every role that does not say its own.
    pub clock: Spanned<String>,
    /// Every minute of a fallback time lasts a minute divided by this (1 to 100,000).
    pub speedup: Spanned<u32>,
    /// A clock that nobody has asked for this long is forgotten. A failed download is tried again every four hours.
    #[serde(deserialize_with = "units::finite")]
    pub clock_idle: HumanDuration,
    /// Clocks that may run at the same time (1 to 16,777,216).
    pub max_clocks: Spanned<u32>,
    /// Beginnings of `User-Agent`: such requests wait for no clock.
    pub exempt_user_agents: Vec<Spanned<String>>,
    /// Contents whose requests wait for no clock.
    pub exempt_content: Vec<Spanned<String>>,
    /// `download` (when absent) or `do-not-download`. Only for `model = "preferred"`.
    pub slow_or_fallback: Option<Spanned<String>>,
}

impl Default for FallbackTable {
    fn default() -> Self {
        Self {
            model: Spanned::new(0..0, "relationships".to_owned()),
            clock: Spanned::new(0..0, "honor".to_owned()),
            speedup: Spanned::new(0..0, 1),
            clock_idle: HumanDuration::from_secs(6 * 3600),
            max_clocks: Spanned::new(0..0, 65_536),
            exempt_user_agents: ["SMS CCM 5.0 TS", "ccmsetup"].map(|agent| Spanned::new(0..0, agent.to_owned())).into(),
            exempt_content: Vec::new(),
            slow_or_fallback: None,
        }
    }
}

/// `[content]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentTable {
    /// A server that lacked a content or a file is asked again after this time.
    #[serde(deserialize_with = "units::finite")]
    pub missing_ttl: HumanDuration,
    /// A content that nobody has asked for this long is left out of the audit.
    #[serde(deserialize_with = "units::finite")]
    pub known_ttl: HumanDuration,
    /// Verdicts that may be remembered at the same time (1 to 67,108,864).
    pub max_entries: Spanned<u32>,
    /// Contents that every server is asked for ahead of time.
    pub discover: Vec<Spanned<String>>,
    /// How often it is asked for them.
    #[serde(deserialize_with = "units::finite")]
    pub discover_interval: HumanDuration,
}

impl Default for ContentTable {
    fn default() -> Self {
        Self {
            missing_ttl: HumanDuration::from_secs(300),
            known_ttl: HumanDuration::from_secs(24 * 3600),
            max_entries: Spanned::new(0..0, 262_144),
            discover: Vec::new(),
            discover_interval: HumanDuration::from_secs(3600),
        }
    }
}

/// `[affinity]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AffinityTable {
    /// Clients, downloads and uploads that may be remembered at the same time (1 to 67,108,864).
    pub max_entries: Spanned<u32>,
    /// A BITS upload session is forgotten when nothing of it came for this long.
    #[serde(deserialize_with = "units::finite")]
    pub upload_idle: HumanDuration,
}

impl Default for AffinityTable {
    fn default() -> Self {
        Self { max_entries: Spanned::new(0..0, 1_048_576), upload_idle: HumanDuration::from_secs(24 * 3600) }
    }
}
