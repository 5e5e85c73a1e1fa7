//! Forgetting, for those who may: clocks, what is known of contents, and where clients stay.

use std::sync::Arc;

use crate::control::ledger::Ledger;
use crate::control::survey::PACKAGES;
use crate::model::live::Ticks;
use crate::model::role::Balance;
use crate::model::snapshot::Snapshot;

/// Which clocks are meant: those that fit everything that is given.
#[derive(Clone, Debug, Default)]
pub struct ClockFilter {
    /// Name of the role.
    pub role: Option<String>,
    /// A boundary group of the clients.
    pub group: Option<String>,
    /// The content, in any case.
    pub content: Option<String>,
}

/// Ends fallback clocks: their clients begin at their own servers again. Gives how many ran. Clocks without a name end only
/// when all are meant.
pub fn reset_clocks(snapshot: &Snapshot, ledger: &mut Ledger, now: Ticks, filter: &ClockFilter) -> usize {
    let (live, idle) = (&snapshot.live, snapshot.site.fallback.idle_ticks());
    let ended = if filter.role.is_none() && filter.group.is_none() && filter.content.is_none() {
        let running = live.running_clocks(now, idle);
        live.clear_clocks();
        running
    } else {
        let meant = ledger.clocks().filter(|(_, name)| {
            filter.role.as_ref().is_none_or(|role| name.role.name == *role)
                && filter.group.as_ref().is_none_or(|group| name.groups.iter().any(|own| **own == **group))
                && filter
                    .content
                    .as_ref()
                    .is_none_or(|content| name.content.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(content)))
        });
        let running = meant.filter(|(key, _)| live.clock(*key, now, idle).is_some());
        running.filter(|(key, _)| live.clear_clock(*key)).count()
    };
    ledger.drop_ended(live, now, idle);
    ended
}

/// Which knowledge of contents is meant.
#[derive(Clone, Debug)]
pub enum ContentFilter {
    /// All of it, also what has no name.
    Everything,
    /// Of one content, at one site system or at all.
    Content(String, Option<Arc<str>>),
    /// Of all contents whose names are kept, at one site system.
    Server(Arc<str>),
}

/// Forgets what servers have said about contents: they are asked again. What is known of files is forgotten too, whatever
/// is meant: it is learned again by one request each. Gives how many answers about contents were forgotten.
pub fn forget_content(snapshot: &Snapshot, names: &[(String, u64)], filter: &ContentFilter) -> usize {
    let live = &snapshot.live;
    live.unlearn_files();
    let at = |server: Option<&Arc<str>>, keys: &mut dyn Iterator<Item = u64>| {
        let endpoints = endpoints(snapshot, server);
        keys.map(|key| endpoints.iter().filter(|id| live.unlearn(key, **id)).count()).sum()
    };
    match filter {
        ContentFilter::Everything => live.unlearn_all(),
        ContentFilter::Content(id, server) => {
            let own = names.iter().filter(|(name, _)| name.eq_ignore_ascii_case(id)).map(|(_, key)| *key);
            // One without a name may be known all the same, in the usual place.
            let usual = live.content_key(&format!("{PACKAGES}{id}"));
            let mut keys: Vec<u64> = own.chain([usual]).collect();
            keys.sort_unstable();
            keys.dedup();
            at(server.as_ref(), &mut keys.into_iter())
        }
        ContentFilter::Server(server) => at(Some(server), &mut names.iter().map(|(_, key)| *key)),
    }
}

/// Live parts of all endpoints, or of one site system, in roles that have content.
fn endpoints(snapshot: &Snapshot, server: Option<&Arc<str>>) -> Vec<u32> {
    let clusters = snapshot.clusters.iter().filter(|cluster| cluster.topology.role.balance == Balance::Content);
    let endpoints = clusters.flat_map(|cluster| &cluster.topology.endpoints);
    let meant = endpoints.filter(|endpoint| server.is_none_or(|server| endpoint.system == *server));
    meant.map(|endpoint| endpoint.state.id).collect()
}

/// Forgets who stays at a site system, in all its roles. Gives how many clients, downloads and uploads that were.
pub fn forget_affinity(snapshot: &Snapshot, server: &str) -> usize {
    let endpoints = snapshot.clusters.iter().flat_map(|cluster| &cluster.topology.endpoints);
    let own = endpoints.filter(|endpoint| &*endpoint.system == server);
    own.map(|endpoint| snapshot.live.end_stays_at(endpoint.state.id)).sum()
}
