//! The fallback clock: which tiers of a location are open.
//!
//! ConfigMgr gives every client a clock of its own. A proxy has one for each (role, set of boundary groups, content): whether
//! the servers of some groups are well and have a content is the same for all clients of these groups. The clock starts
//! when the open tiers could not serve, later tiers open as it passes their times, and a success in a tier that needs no
//! clock ends it.

use super::live::{TICKS_PER_MINUTE, Ticks};
use super::location::{ContentLocation, Tier};
use super::role::{Clock, FallbackRule, Locality, Role, SWITCH_MINUTES};
use super::tier::TierKind;

/// Which tiers of a location are open at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    rule: FallbackRule,
    /// Nothing is waited for.
    all: bool,
    /// The client has a last known-good server, and keeps to it first.
    keeps: bool,
    /// The latest time of a tier in minutes.
    last: u32,
    speedup: u32,
    /// Ticks of the clock, faster than real ones where a lab asked for it; `None` when it does not run.
    elapsed: Option<u64>,
    /// Open up to this tier, whatever the clock says.
    through: Option<Tier>,
}

impl Opening {
    /// What is open. `started` is when the clock was started, `keeps` whether the client has a last known-good server, and
    /// `exempt` whether nothing is waited for.
    pub fn new(
        rule: FallbackRule,
        location: ContentLocation<'_>,
        speedup: u32,
        started: Option<Ticks>,
        now: Ticks,
        (keeps, exempt): (bool, bool),
    ) -> Self {
        let all = exempt || !knows_clocks(rule);
        let elapsed = started.map(|started| u64::from(now.saturating_sub(started)) * u64::from(speedup));
        let last = if all { 0 } else { location.last_offset() };
        Self { rule, all, keeps, last, speedup, elapsed, through: None }
    }

    /// The same, with all tiers open up to this one: the client has waited for it elsewhere.
    #[must_use]
    pub fn through(self, tier: Option<Tier>) -> Self {
        Self { through: tier, ..self }
    }

    /// Whether clients of a role wait for clocks at all.
    pub fn waits(role: &Role) -> bool {
        role.clock == Clock::Honor && role.locality != Locality::Prefer && knows_clocks(role.fallback_rule)
    }

    /// Minutes of the clock at which a tier opens; 0 needs no clock.
    pub fn opens_at(&self, tier: Tier) -> u32 {
        if self.all {
            return 0;
        }
        let own = match tier.kind {
            TierKind::Current | TierKind::Slow | TierKind::Site => 0,
            TierKind::Neighbor | TierKind::Default => tier.offset,
            // The last resort: when every time that there is has passed.
            TierKind::FallbackSource => self.last,
        };
        // A client without a last known-good server has nothing to keep to, and the times count as they are.
        if self.rule == FallbackRule::LastKnownGood && self.keeps { own.max(SWITCH_MINUTES) } else { own }
    }

    /// Whether a tier is open.
    pub fn is_open(&self, tier: Tier) -> bool {
        let at = u64::from(self.opens_at(tier)) * TICKS_PER_MINUTE;
        at == 0
            || self.through.is_some_and(|through| tier <= through)
            || self.elapsed.is_some_and(|elapsed| elapsed >= at)
    }

    /// Real ticks until a tier opens, counted from now when the clock does not run.
    pub fn until(&self, tier: Tier) -> u64 {
        let at = u64::from(self.opens_at(tier)) * TICKS_PER_MINUTE;
        at.saturating_sub(self.elapsed.unwrap_or(0)).div_ceil(u64::from(self.speedup))
    }

    /// Real ticks until the next tier with a server opens; `None` when all are open.
    pub fn next(&self, location: ContentLocation<'_>) -> Option<u64> {
        if self.all {
            return None;
        }
        location.tiers().filter(|tier| !self.is_open(*tier)).map(|tier| self.until(tier)).min()
    }

    /// How many times faster than real time the clock runs.
    pub fn speedup(&self) -> u32 {
        self.speedup
    }

    /// Minutes of the clock, if it runs.
    pub fn minutes(&self) -> Option<f64> {
        self.elapsed.map(|elapsed| elapsed as f64 / TICKS_PER_MINUTE as f64)
    }
}

fn knows_clocks(rule: FallbackRule) -> bool {
    match rule {
        FallbackRule::Offsets | FallbackRule::LastKnownGood => true,
        FallbackRule::Shared | FallbackRule::AtOnce | FallbackRule::None => false,
    }
}
