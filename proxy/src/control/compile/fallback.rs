//! `[fallback]`: which model of boundary groups holds, and how fallback times are counted.

use super::remembered;
use crate::control::config::fields::{number, word};
use crate::control::config::{CLOCKS, Config, Problems, text};
use crate::model::role::Clock;
use crate::model::snapshot::FallbackSettings;

/// What boundary groups can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// Relationships and a site default boundary group (ConfigMgr 1610 and later).
    Relationships,
    /// Fast and slow connections, and fallback sources (1511 to 1606).
    Preferred,
}

const MODELS: [(&str, Model); 2] = [("relationships", Model::Relationships), ("preferred", Model::Preferred)];
const DISTANT: [(&str, bool); 2] = [("download", true), ("do-not-download", false)];

#[derive(Debug)]
pub(super) struct Fallbacks {
    pub(super) model: Model,
    /// For roles that do not say their own.
    pub(super) clock: Clock,
    /// Content may come from slow connections and fallback sources.
    pub(super) distant: bool,
    pub(super) settings: FallbackSettings,
}

pub(super) fn compile(config: &Config, problems: &mut Problems) -> Fallbacks {
    let table = &config.fallback;
    let (mut model, mut clock, mut distant) = (Model::Relationships, Clock::Honor, true);
    word(&mut model, Some(&table.model), "model", &MODELS, problems);
    word(&mut clock, Some(&table.clock), "clock", &CLOCKS, problems);
    word(&mut distant, table.slow_or_fallback.as_ref(), "slow_or_fallback", &DISTANT, problems);
    if let (Some(written), Model::Relationships) = (&table.slow_or_fallback, model) {
        problems.error(
            written.span(),
            "`slow_or_fallback` is a setting of deployments before ConfigMgr 1610",
            "leave it out and write \"never\" for DP in the relationships, or write model = \"preferred\"",
        );
    }
    let mut speedup = 1;
    number(&mut speedup, Some(&table.speedup), "speedup", 1..=100_000, problems);
    if speedup > 1 {
        problems.warning(
            table.speedup.span(),
            format!("fallback times pass {speedup} times as fast as they say: this is for labs"),
            "leave speedup out at a site with real clients",
        );
    }
    let exempt_user_agents = remembered::boxed(text::each(&table.exempt_user_agents, text::user_agent, problems));
    let exempt_content = remembered::contents(&table.exempt_content, problems);
    let settings =
        FallbackSettings { speedup, clock_idle: super::finite(table.clock_idle), exempt_user_agents, exempt_content };
    Fallbacks { model, clock, distant, settings }
}
