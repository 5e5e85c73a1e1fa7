//! Who is left without a server when a person takes one out.

use std::sync::Arc;

use crate::model::audience::{Left, left_without as left};
use crate::model::cluster::Cluster;
use crate::model::role::{Balance, Naming};
use crate::model::snapshot::Snapshot;
use crate::model::steering::Override;

/// Groups that are named in one sentence.
const NAMED: usize = 10;

/// One sentence for each role that is left without a server, or some of whose clients are.
pub(super) fn left_without(snapshot: &Snapshot, new: &Override) -> Vec<String> {
    let mut warnings = Vec::new();
    for cluster in clusters_of(snapshot, new) {
        let topology = &cluster.topology;
        let goes = |index: u32| cluster.endpoint(index).system.eq_ignore_ascii_case(&new.site_system);
        let role = topology.label();
        match left(cluster, &snapshot.site, goes) {
            Left::None => {}
            Left::All => warnings.push(format!("no server is left for the role {role}: its clients get 503")),
            Left::Some { groups, none } => {
                let names = groups.iter().map(|group| snapshot.site.group_names[usize::from(group.0)].as_str());
                let mut names: Vec<&str> = names.collect();
                names.extend(none.then_some("(no boundary group)"));
                warnings.push(format!(
                    "no {role} is left at once for clients of {}: they wait for their fallback times, or get 503",
                    listed(&names)
                ));
            }
        }
        warnings.extend(bound(cluster, new));
    }
    warnings
}

/// The clusters that an override is about.
pub(super) fn clusters_of<'a>(snapshot: &'a Snapshot, own: &'a Override) -> impl Iterator<Item = &'a Arc<Cluster>> {
    snapshot.clusters.iter().filter(move |cluster| {
        let topology = &cluster.topology;
        let held = || topology.systems.iter().any(|system| system.name.eq_ignore_ascii_case(&own.site_system));
        own.covers(&topology.role.name) && held()
    })
}

/// Roles whose clients cannot go to another server.
fn bound(cluster: &Cluster, new: &Override) -> Option<String> {
    let role = &cluster.topology.role;
    let system = &new.site_system;
    match (role.balance, role.named) {
        (Balance::Device, _) => Some(format!("devices of {} that are enrolled at {system} get 503", role.name)),
        (_, Naming::Only) => Some(format!("clients of {} that name {system} get 503: named = \"only\"", role.name)),
        (_, Naming::First | Naming::FirstIfDistinct | Naming::Ignore) => None,
    }
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{shown} and {} more", names.len() - NAMED) } else { shown }
}
