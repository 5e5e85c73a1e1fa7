//! What an alarm of live traffic is worth.
//!
//! An ejection is a guess: some requests failed, so others may fail too. A wrong guess about one server costs little
//! while its neighbors carry the load, and everything when there are none. Hence three rules that hold after every
//! call of [`Ejections::consider`]:
//!
//! - of n members at most n/2, rounded down, are ejected: of 2 at most 1, of 3 at most 1, of 4 at most 2;
//! - the only member of a cluster is never ejected;
//! - while any member is usable, at least one usable member is not ejected. The same holds for each audience: the members
//!   that some clients can use, when not all clients can use all members.
//!
//! The rules limit ejections only. They never overrule an active check that found a server down. But when active
//! checks, or a smaller cluster, leave too little, ejections end early: a doubtful server is better than none.

use std::collections::HashMap;

use crate::passive::PassivePolicy;

/// A strike is forgotten after this long without an ejection.
const FORGIVEN_AFTER_MS: u64 = 60_000;

/// One member of a cluster, as the caller sees it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which endpoint.
    pub id: u32,
    /// Its [`crate::Passive`] rings.
    pub alarmed: bool,
    /// Well by active checks and not draining, whether ejected or not.
    pub usable: bool,
}

/// What [`Ejections::consider`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The member gets no requests for now.
    Ejected {
        /// Which endpoint.
        id: u32,
        /// When the ejection ends, on the clock of `consider`, in milliseconds.
        until_ms: u64,
    },
    /// The member's ejection is over.
    Returned {
        /// Which endpoint.
        id: u32,
    },
}

/// The ejections of one cluster. Pure: the caller brings the time.
#[derive(Clone, Debug, Default)]
pub struct Ejections {
    entries: HashMap<u32, Entry>,
}

/// A member that is ejected, or was a short time ago.
#[derive(Clone, Copy, Debug)]
struct Entry {
    until_ms: Option<u64>,
    strikes: u32,
    /// When the time without an ejection began; `None` during one, and after forgiving until the next look at the clock.
    calm_since_ms: Option<u64>,
}

impl Ejections {
    /// A cluster in which nothing happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the ejections that are over, then ejects alarmed members as far as the rules of this module allow.
    ///
    /// `members` are **all** members of the cluster; one that is not among them is forgotten. `audiences` are positions in it.
    /// When several are alarmed
    /// and not all may go, the first ones go. An alarm without a [`Change::Ejected`] was not honored: the member is
    /// needed, not usable anyway, or ejected already. In every case the caller resets the alarm.
    pub fn consider(
        &mut self,
        policy: &PassivePolicy,
        now_ms: u64,
        members: &[Member],
        audiences: &[Vec<u32>],
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        self.entries.retain(|id, _| members.iter().any(|member| member.id == *id));
        self.settle(now_ms, members, &mut changes);
        self.make_room(now_ms, members, audiences, &mut changes);
        for member in members.iter().filter(|member| member.alarmed) {
            if self.may_eject(now_ms, members, audiences, member) {
                changes.extend(self.eject(policy, now_ms, member.id));
            }
        }
        changes
    }

    /// Whether the endpoint gets no requests at `now_ms`.
    pub fn is_ejected(&self, id: u32, now_ms: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.is_ejected(now_ms))
    }

    /// Whether there is no ejection, and none is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the next ejection ends, in milliseconds: call `consider` then.
    pub fn next_expiry(&self) -> Option<u64> {
        self.entries.values().filter_map(|entry| entry.until_ms).min()
    }

    /// Ends an ejection because an active probe brought the endpoint from down to up. Its strikes stay, so if the
    /// probe was wrong, the next ejection is longer.
    pub fn forgive(&mut self, id: u32) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.until_ms.is_some()) {
            entry.until_ms = None;
        }
    }

    /// Drops all that is known about an endpoint.
    pub fn forget(&mut self, id: u32) {
        self.entries.remove(&id);
    }

    /// Returns whose time is over and lets strikes fade.
    fn settle(&mut self, now_ms: u64, members: &[Member], changes: &mut Vec<Change>) {
        for member in members {
            let Some(entry) = self.entries.get_mut(&member.id) else {
                continue;
            };
            if let Some(until_ms) = entry.until_ms.filter(|until_ms| *until_ms <= now_ms) {
                entry.end(until_ms);
                changes.push(Change::Returned { id: member.id });
            }
            entry.fade(now_ms);
        }
        self.entries.retain(|_, entry| entry.until_ms.is_some() || entry.strikes > 0);
    }

    /// Ends ejections early, the one that is nearest to its end first, until the rules hold.
    fn make_room(&mut self, now_ms: u64, members: &[Member], audiences: &[Vec<u32>], changes: &mut Vec<Change>) {
        while let Some(id) = self.returns_early(now_ms, members, audiences) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.end(now_ms);
            }
            changes.push(Change::Returned { id });
        }
    }

    /// A member whose ejection the rules do not allow any more.
    fn returns_early(&self, now_ms: u64, members: &[Member], audiences: &[Vec<u32>]) -> Option<u32> {
        let ejected = members.iter().filter(|member| self.is_ejected(member.id, now_ms));
        let until = |member: &&Member| (!member.usable, self.entries.get(&member.id).and_then(|entry| entry.until_ms));
        if ejected.clone().count() > members.len() / 2 {
            return ejected.min_by_key(until).map(|member| member.id);
        }
        let audiences = audiences.iter().find_map(|audience| self.needed(now_ms, members_of(members, audience)));
        self.needed(now_ms, members.iter()).or(audiences)
    }

    /// The ejected one of these that ends first, if no usable one is left. To return one that is not usable would help no client.
    fn needed<'a>(&self, now_ms: u64, own: impl Iterator<Item = &'a Member>) -> Option<u32> {
        let usable: Vec<&Member> = own.filter(|member| member.usable).collect();
        let none_left = usable.iter().all(|member| self.is_ejected(member.id, now_ms));
        let first =
            usable.into_iter().min_by_key(|member| self.entries.get(&member.id).and_then(|entry| entry.until_ms));
        first.filter(|_| none_left).map(|member| member.id)
    }

    fn may_eject(&self, now_ms: u64, members: &[Member], audiences: &[Vec<u32>], candidate: &Member) -> bool {
        let ejected = members.iter().filter(|member| self.is_ejected(member.id, now_ms)).count();
        let is_left =
            |member: &Member| member.id != candidate.id && member.usable && !self.is_ejected(member.id, now_ms);
        let relies = |audience: &&Vec<u32>| members_of(members, audience).any(|member| member.id == candidate.id);
        candidate.usable
            && ejected < members.len() / 2
            && !self.is_ejected(candidate.id, now_ms)
            && members.iter().any(is_left)
            && audiences.iter().filter(relies).all(|audience| members_of(members, audience).any(is_left))
    }

    fn eject(&mut self, policy: &PassivePolicy, now_ms: u64, id: u32) -> Option<Change> {
        let strikes = self.entries.get(&id).map_or(0, |entry| entry.strikes).saturating_add(1);
        let duration = policy.eject_time.saturating_mul(strikes).min(policy.max_eject_time);
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if duration_ms == 0 {
            return None;
        }
        let until_ms = now_ms.saturating_add(duration_ms);
        self.entries.insert(id, Entry { until_ms: Some(until_ms), strikes, calm_since_ms: None });
        Some(Change::Ejected { id, until_ms })
    }
}

fn members_of<'a>(members: &'a [Member], audience: &'a [u32]) -> impl Iterator<Item = &'a Member> {
    audience.iter().filter_map(|place| members.get(*place as usize))
}

impl Entry {
    fn is_ejected(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms > now_ms)
    }

    fn end(&mut self, at_ms: u64) {
        self.until_ms = None;
        self.calm_since_ms = Some(at_ms);
    }

    fn fade(&mut self, now_ms: u64) {
        if self.until_ms.is_some() {
            return;
        }
        let since_ms = *self.calm_since_ms.get_or_insert(now_ms);
        let faded = now_ms.saturating_sub(since_ms) / FORGIVEN_AFTER_MS;
        self.strikes = self.strikes.saturating_sub(u32::try_from(faded).unwrap_or(u32::MAX));
        self.calm_since_ms = Some(since_ms + faded * FORGIVEN_AFTER_MS);
    }
}

#[cfg(test)]
mod tests;
