//! The fallback clocks that run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::ledger::{ClockName, Ledger};
use crate::model::boundary::GroupId;
use crate::model::cluster::Cluster;
use crate::model::fallback::Opening;
use crate::model::live::{TICKS_PER_MINUTE, Ticks};
use crate::model::location::ContentLocation;
use crate::model::role::FallbackRule;
use crate::model::snapshot::Snapshot;

/// Most clocks that one answer lists.
const MOST: usize = 1000;
/// Ticks of a second.
const SECOND: f64 = 10.0;

/// All of them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Clocks {
    /// How many times faster than real time they run.
    pub speedup: u32,
    /// How many run.
    pub running: usize,
    /// How many of them run without a name: it came too late to be kept, or was forgotten.
    pub unnamed: usize,
    /// Those with a name, the one that was started first is the first; at most 1000.
    pub clocks: Vec<ClockStatus>,
}

/// One clock.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ClockStatus {
    /// Name of the role.
    pub role: String,
    /// Code of the site, for a role of one of several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<String>,
    /// Boundary groups of its clients; empty for clients of none.
    pub boundary_groups: Vec<String>,
    /// The content that could not be had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// Real seconds since it was started.
    pub started_ago: f64,
    /// Minutes of the clock since then.
    pub minutes: f64,
    /// Tiers that it has opened.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub open: Vec<OpenTier>,
    /// The tier that opens next; absent when all are open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<NextTier>,
}

/// A tier that a clock has opened.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct OpenTier {
    /// `current`, `neighbor`, `default` or `fallback_source`.
    pub kind: String,
    /// Minutes of the clock at which it opened.
    pub minutes: u32,
    /// Real seconds since then.
    pub open_for: f64,
}

/// The tier that opens next.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct NextTier {
    /// `current`, `neighbor`, `default` or `fallback_source`.
    pub kind: String,
    /// Minutes of the clock at which it opens.
    pub minutes: u32,
    /// Real seconds until then.
    pub opens_in: f64,
}

impl Clocks {
    /// Looks which of the ledger's clocks run.
    pub fn new(snapshot: &Snapshot, ledger: &Ledger, now: Ticks) -> Self {
        let settings = &snapshot.site.fallback;
        let running = snapshot.live.running_clocks(now, settings.idle_ticks());
        let mut named: Vec<(Ticks, &ClockName)> = ledger
            .clocks()
            .filter_map(|(key, name)| Some((snapshot.live.clock(key, now, settings.idle_ticks())?, name)))
            .collect();
        named.sort_by(|(a_started, a), (b_started, b)| {
            (a_started, &a.role.name, &a.groups, &a.content).cmp(&(b_started, &b.role.name, &b.groups, &b.content))
        });
        let unnamed = running.saturating_sub(named.len());
        let clocks = named.iter().take(MOST).map(|(started, name)| status(snapshot, name, *started, now)).collect();
        Self { speedup: settings.speedup, running, unnamed, clocks }
    }
}

fn status(snapshot: &Snapshot, name: &ClockName, started: Ticks, now: Ticks) -> ClockStatus {
    let ticks = now.saturating_sub(started);
    let minutes = f64::from(ticks) * f64::from(snapshot.site.fallback.speedup) / TICKS_PER_MINUTE as f64;
    let own = |cluster: &&Arc<Cluster>| {
        let topology = &cluster.topology;
        topology.role.name == name.role.name && (topology.site.is_none() || topology.site == name.site)
    };
    let cluster = snapshot.clusters.iter().find(own);
    let tiers = cluster.and_then(|cluster| tiers(snapshot, cluster, name, started, now));
    let (open, next) = tiers.unwrap_or_default();
    ClockStatus {
        role: name.role.name.clone(),
        site: name.site.as_ref().map(ToString::to_string),
        boundary_groups: name.groups.iter().map(ToString::to_string).collect(),
        content: name.content.as_ref().map(ToString::to_string),
        started_ago: f64::from(ticks) / SECOND,
        minutes,
        open,
        next,
    }
}

/// The tiers of these clients that needed the clock and are open.
fn opened(location: ContentLocation<'_>, opening: &Opening) -> Vec<OpenTier> {
    let waited = location.tiers().filter(|tier| opening.is_open(*tier) && opening.opens_at(*tier) > 0);
    let elapsed = opening.minutes().unwrap_or_default();
    let mut open: Vec<OpenTier> = waited
        .map(|tier| {
            let minutes = opening.opens_at(tier);
            let open_for = (elapsed - f64::from(minutes)) * 60.0 / f64::from(opening.speedup());
            OpenTier { kind: tier.kind.as_str().to_owned(), minutes, open_for }
        })
        .collect();
    open.dedup_by(|a, b| (&a.kind, a.minutes) == (&b.kind, b.minutes));
    open
}

/// The tiers that are open for these clients, and the one that opens next, as their requests will see it.
fn tiers(
    snapshot: &Snapshot,
    cluster: &Cluster,
    name: &ClockName,
    started: Ticks,
    now: Ticks,
) -> Option<(Vec<OpenTier>, Option<NextTier>)> {
    let topology = &*cluster.topology;
    let id = |group: &str| snapshot.site.group_names.iter().position(|known| known == group);
    // A group that a reload has taken away has no clients any more.
    let groups: Vec<GroupId> =
        name.groups.iter().filter_map(|group| id(group)).filter_map(|id| u16::try_from(id).ok().map(GroupId)).collect();
    if groups.len() < name.groups.len() {
        return None;
    }
    let location = ContentLocation::new(topology, &groups);
    let opening = |keeps| {
        let speedup = snapshot.site.fallback.speedup;
        let immediate = !Opening::waits(&topology.role);
        Opening::new(topology.role.fallback_rule, location, speedup, Some(started), now, (keeps, immediate))
    };
    let mut opening_now = opening(false);
    // A clock with nothing to wait for is that of a client which keeps to its last known-good server.
    let waits = location.tiers().any(|tier| opening_now.opens_at(tier) > 0);
    if !waits && topology.role.fallback_rule == FallbackRule::LastKnownGood {
        opening_now = opening(true);
    }
    Some((opened(location, &opening_now), next(location, &opening_now)))
}

/// The tier that opens next for these clients.
fn next(location: ContentLocation<'_>, opening: &Opening) -> Option<NextTier> {
    let closed = location.tiers().filter(|tier| !opening.is_open(*tier));
    let tier = closed.min_by_key(|tier| opening.until(*tier))?;
    Some(NextTier {
        kind: tier.kind.as_str().to_owned(),
        minutes: opening.opens_at(tier),
        opens_in: opening.until(tier) as f64 / SECOND,
    })
}
