//! Handles of one boundary group in one role: what its clients have asked, and who has served them.

use std::sync::Arc;

use super::store::{Metrics, Tally};
use crate::model::tier::TierKind;

/// Series of one boundary group in one role: its tiers, its failures and its bytes.
pub const GROUP_SERIES: usize = TierKind::ALL.len() + 2;

/// Handles of one boundary group in one role.
#[derive(Clone, Debug)]
pub struct GroupMetrics(Arc<GroupHandles>);

#[derive(Debug)]
struct GroupHandles {
    requests: [Tally; TierKind::ALL.len()],
    failures: Tally,
    sent: Tally,
    shared: bool,
}

impl GroupMetrics {
    /// Resolves the handles. Without a name they are those of all groups that have none of their own.
    pub fn new(metrics: &Metrics, role: &str, group: Option<&str>) -> Self {
        let of = metrics.scope(&Self::labels(role, group));
        Self(Arc::new(GroupHandles {
            requests: TierKind::ALL
                .map(|tier| of.tally("rolegate_group_requests_total", Some(("tier", tier.as_str())))),
            failures: of.tally("rolegate_group_failures_total", None),
            sent: of.tally("rolegate_group_sent_bytes_total", None),
            shared: group.is_none(),
        }))
    }

    /// Takes the series of a group that is gone away.
    pub fn forget(metrics: &Metrics, role: &str, group: Option<&str>) {
        metrics.forget(&Self::labels(role, group));
    }

    fn labels<'a>(role: &'a str, group: Option<&'a str>) -> [(&'static str, &'a str); 2] {
        [("role", role), ("boundary_group", group.unwrap_or_default())]
    }

    /// A server of this tier has answered a client of the group.
    pub fn answered(&self, tier: TierKind) {
        self.0.requests[tier as usize].add(1);
    }

    /// No server has answered a client of the group.
    pub fn failed(&self) {
        self.0.failures.add(1);
    }

    /// This many bytes went to a client of the group.
    pub fn sent(&self, bytes: u64) {
        if bytes > 0 {
            self.0.sent.add(bytes);
        }
    }

    /// What was counted, unless it is of other groups too.
    pub fn counts(&self) -> Option<GroupCounts> {
        let handles = (!self.0.shared).then_some(&self.0)?;
        let answered = TierKind::ALL.map(|tier| (tier, handles.requests[tier as usize].get()));
        Some(GroupCounts { answered, failed: handles.failures.get(), sent: handles.sent.get() })
    }
}

/// What was counted of one boundary group in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCounts {
    /// Requests that servers have answered, by their tier.
    pub answered: [(TierKind, u64); TierKind::ALL.len()],
    /// Requests that no server has answered.
    pub failed: u64,
    /// Bytes that went to its clients.
    pub sent: u64,
}

impl GroupCounts {
    /// Nobody has asked.
    pub fn is_empty(&self) -> bool {
        self.failed == 0 && self.answered.iter().all(|(_, count)| *count == 0)
    }
}
