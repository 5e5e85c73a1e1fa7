//! Which boundary groups have series of their own in `/metrics`.

use std::collections::BTreeSet;

use toml::Spanned;

use super::RolePlan;
use crate::control::config::{Config, Problems, SeriesLimit};
use crate::metrics::GROUP_SERIES;

/// The most series that may be asked for. Each takes a line of about 120 bytes whenever `/metrics` is read.
const MOST: u32 = 1_000_000;

pub(super) fn check(written: &Spanned<SeriesLimit>, problems: &mut Problems) {
    let most = written.get_ref().most();
    if most > MOST {
        let text = format!("{most} series are more than anything reads");
        problems.error(written.span(), text, format!("write true, false, or a number from 0 to {MOST}"));
    }
}

/// The number of groups, from the first one on, that have series of their own; the others share those of one. `None`: there are no
/// such series at all.
pub(super) fn compile(config: &Config, plans: &[RolePlan], problems: &mut Problems) -> Option<usize> {
    let written = &config.proxy.group_metrics;
    let most = written.get_ref().most() as usize;
    let names: BTreeSet<&str> =
        plans.iter().filter(|plan| plan.grouped()).map(|plan| plan.role.name.as_str()).collect();
    let roles = names.len();
    if most == 0 || roles == 0 {
        return None;
    }
    // Each site has a default group.
    let groups = plans.iter().map(|plan| plan.groups.len()).max().unwrap_or(0);
    let (each, needed) = (roles * GROUP_SERIES, groups * roles * GROUP_SERIES);
    if needed <= most {
        return Some(groups);
    }
    // One more for those that share.
    let own = (most / each).checked_sub(1);
    let first = config.boundary_groups.first().and_then(|group| group.name.as_ref());
    let place = if written.span().is_empty() { first.map_or(0..0, Spanned::span) } else { written.span() };
    let rest = match own {
        Some(own) => format!("the first {own} have series of their own, the other {} share some", groups - own),
        None => "there are none".to_owned(),
    };
    problems.warning(
        place,
        format!("{groups} boundary groups in {roles} roles are {needed} series, more than {most}: {rest}"),
        format!("write group_metrics = {needed} below [proxy], or false for none"),
    );
    own
}
