//! A decision in words, for whoever asks.

use std::fmt::Write as _;

use super::balance::Pick;
use super::decision::Decision;

/// The short form, for a response field: `role=distribution-point; groups=HQ; tier=neighbor; minutes=10; server=DP2;
/// how=drawn; attempts=2`.
pub fn short(decision: &Decision<'_>, pick: &Pick, attempts: u32) -> String {
    let mut text = format!("role={}; ", decision.cluster.topology.role.name);
    let site = decision.placed.and_then(|placed| decision.site().sites.list.get(usize::from(placed.site)));
    if let Some(site) = site {
        let _ = write!(text, "site={}; ", site.code);
    }
    text.push_str("groups=");
    for (place, name) in decision.group_names().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{name}");
    }
    let endpoint = decision.cluster.endpoint(pick.endpoint);
    let (tier, how) = (pick.tier.kind.as_str(), pick.how.as_str());
    let minutes = decision.opening.opens_at(pick.tier);
    let _ =
        write!(text, "; tier={tier}; minutes={minutes}; server={}; how={how}; attempts={attempts}", endpoint.system);
    text
}
