//! Boundary groups whose clients are sent to nobody.

use super::RolePlan;
use crate::control::config::{Config, Problems};
use crate::model::boundary::GroupId;

/// A group with boundaries, without site systems, and with nowhere to fall back to is probably not finished: its clients are refused
/// by every role that boundary groups decide about, unless they are in another group too.
pub(super) fn warn(config: &Config, plans: &[RolePlan], problems: &mut Problems) {
    let decided: Vec<&RolePlan> = plans.iter().filter(|plan| plan.grouped()).collect();
    // In the older model some servers are for everybody.
    let for_all = |plan: &&RolePlan| plan.members.iter().any(|member| member.fallback_source);
    if decided.is_empty() || decided.iter().any(for_all) {
        return;
    }
    for (id, group) in config.boundary_groups.iter().enumerate() {
        let Some(name) = group.name.as_ref().filter(|_| !group.boundaries.is_empty()) else { continue };
        if decided.iter().any(|plan| serves(plan, id)) {
            continue;
        }
        problems.warning(
            name.span(),
            format!("no site system is for clients in boundary group {:?}", name.get_ref()),
            "add site_systems to it, or neighbors, or site systems to [default_boundary_group]",
        );
    }
}

/// Whether clients of a group get to a server of the role, sooner or later.
fn serves(plan: &RolePlan, id: usize) -> bool {
    let has = |id: usize| plan.groups.get(id).is_some_and(|group| !group.members.is_empty() || !group.slow.is_empty());
    let follows = |group: GroupId| has(usize::from(group.0));
    has(id) || plan.groups.get(id).is_some_and(|group| group.links.iter().any(|link| follows(link.group)))
}
