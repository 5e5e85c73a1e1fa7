//! What fallback times mean to a role.

use toml::Spanned;

use super::fields::word;
use crate::control::config::problem::Problems;
use crate::control::config::types::RoleOverrides;
use crate::control::config::units::FallbackTime;
use crate::model::role::{Clock, Fallback, FallbackRule, Locality, Role};

const RULES: [(&str, FallbackRule); 5] = [
    ("offsets", FallbackRule::Offsets),
    ("last-known-good", FallbackRule::LastKnownGood),
    ("shared", FallbackRule::Shared),
    ("at-once", FallbackRule::AtOnce),
    ("none", FallbackRule::None),
];
/// Whether fallback times are waited for.
pub(in crate::control) const CLOCKS: [(&str, Clock); 2] = [("honor", Clock::Honor), ("immediate", Clock::Immediate)];

pub(super) fn override_fallback(role: &mut Role, o: &RoleOverrides, problems: &mut Problems) {
    word(&mut role.fallback_rule, o.fallback_rule.as_ref(), "fallback_rule", &RULES, problems);
    word(&mut role.clock, o.clock.as_ref(), "clock", &CLOCKS, problems);
    role.default_fallback = match &o.default_fallback {
        Some(time) => check_time(role, time, problems),
        None => count(role, role.default_fallback),
    };
}

/// A fallback time as it was written for a role, and what it counts as. A warning says when that is something else.
pub fn check_time(role: &Role, time: &Spanned<FallbackTime>, problems: &mut Problems) -> Fallback {
    let written = time.get_ref().get();
    let counted = count(role, written);
    if counted != written {
        let title = &role.title;
        let (message, help) = match counted {
            Fallback::Minutes(_) if role.fallback_rule == FallbackRule::Shared => (
                format!("with fallback_rule = \"shared\" no client of the role {title} waits: this counts as 0"),
                "write 0 or \"never\"",
            ),
            Fallback::Minutes(_) if role.fallback_rule != FallbackRule::AtOnce => (
                format!("with locality = \"prefer\" no client of the role {title} waits: this counts as 0"),
                "write 0 or \"never\"",
            ),
            Fallback::Minutes(_) => (
                format!("the fallback time of the role {title} is fixed at 0 or never in ConfigMgr: this counts as 0"),
                "write 0 or \"never\"",
            ),
            Fallback::Never => (
                format!("the role {title} has no working fallback in ConfigMgr: this counts as never"),
                "write \"never\", or no time for this role",
            ),
        };
        problems.warning(time.span(), message, help);
    }
    counted
}

/// What a fallback time that was said counts as for a role.
pub fn count(role: &Role, time: Fallback) -> Fallback {
    match (role.fallback_rule, time) {
        (FallbackRule::None, _) => Fallback::Never,
        (FallbackRule::AtOnce | FallbackRule::Shared, Fallback::Minutes(_)) => Fallback::Minutes(0),
        (_, Fallback::Minutes(_)) if role.locality == Locality::Prefer => Fallback::Minutes(0),
        (_, Fallback::Minutes(_) | Fallback::Never) => time,
    }
}
