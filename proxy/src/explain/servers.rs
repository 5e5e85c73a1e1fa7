//! The servers of a role as one client sees them: tier by tier, and those that it never gets.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::known::{KnownContent, TICKS};
use super::words;
use crate::model::balance::{Ask, Not, Pick, hashed};
use crate::model::cluster::{Class, EndpointIndex};
use crate::model::decision::Decision;
use crate::model::knowledge::{Knowledge, Lack};
use crate::model::live::Verdict;
use crate::model::location::Tier;
use crate::model::role::Balance;
use crate::model::stay::Stay;
use crate::model::tier::TierKind;

/// Servers that open together.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct TierFacts {
    /// `current`, `slow`, `neighbor`, `default`, `fallback_source` or `site`.
    pub kind: String,
    /// Minutes of the fallback clock after which it opens; 0 waits for none.
    pub minutes: u32,
    /// Whether it is open.
    pub open: bool,
    /// Real seconds until it opens, from now when the clock does not run yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opens_in: Option<f64>,
    /// Its servers.
    pub servers: Vec<ServerFacts>,
}

/// One endpoint of the role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ServerFacts {
    /// Id of its live part.
    #[serde(skip)]
    pub id: u32,
    /// Site system.
    pub site_system: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Its address.
    pub address: String,
    /// `unproven`, `up`, `degraded` or `down`.
    pub health: String,
    /// Since when; seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<f64>,
    /// Why it is not up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// Taken out by live traffic.
    pub ejected: bool,
    /// Taken out by a person: `drain` or `maintenance`.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub steered: String,
    /// Share of the traffic.
    pub weight: u32,
    /// Requests and tunnels under way.
    pub in_flight: u32,
    /// What is known of the content there; absent when the request is for none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<KnownContent>,
    /// Boundary groups that bring it into its tier; for a server in no tier, those that name it.
    pub boundary_groups: Vec<String>,
    /// It is in the client's own subnet, and comes first in its tier for that.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub same_subnet: bool,
    /// Whether it can be picked when its tier has its turn.
    pub eligible: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why_not: Option<String>,
}

/// All servers: by tier, each in the first that opens for it, and those that are in none.
pub(super) fn all(
    decision: &Decision<'_>,
    ask: &Ask<'_>,
    pick: Option<&Pick>,
    group_names: &[String],
) -> (Vec<TierFacts>, Vec<ServerFacts>) {
    let topology = &*decision.cluster.topology;
    // By endpoint: when the tiers open that it was listed in so far.
    let mut listed: Vec<Option<u32>> = vec![None; topology.endpoints.len()];
    let only = only(decision, ask);
    let mut tiers = Vec::new();
    for tier in decision.location.tiers() {
        let minutes = decision.opening.opens_at(tier);
        let mut servers = Vec::new();
        let mut brought = bringing(decision, tier);
        for &index in decision.location.members(tier).flatten() {
            let earlier = &mut listed[index as usize];
            if earlier.is_none_or(|earlier| minutes < earlier) {
                *earlier = Some(minutes);
                let groups = brought.remove(&index).unwrap_or_default();
                servers.push(server(decision, ask, pick, index, only, names(groups, group_names)));
            }
        }
        if !servers.is_empty() {
            let open = decision.opening.is_open(tier);
            let opens_in = (!open).then(|| decision.opening.until(tier) as f64 / TICKS);
            tiers.push(TierFacts { kind: tier.kind.as_str().to_owned(), minutes, open, opens_in, servers });
        }
    }
    let others = (0..topology.endpoints.len() as EndpointIndex).filter(|&index| listed[index as usize].is_none());
    let mut naming: BTreeMap<EndpointIndex, Vec<usize>> = others.map(|index| (index, Vec::new())).collect();
    for (place, group) in topology.groups.iter().enumerate() {
        for index in group.members.iter().chain(&group.slow) {
            naming.entry(*index).and_modify(|groups| groups.push(place));
        }
    }
    let others = naming.into_iter().map(|(index, groups)| ServerFacts {
        eligible: false,
        ..server(decision, ask, pick, index, only, names(groups, group_names))
    });
    let others = others.collect();
    (tiers, others)
}

fn names(groups: Vec<usize>, names: &[String]) -> Vec<String> {
    groups.into_iter().filter_map(|group| names.get(group).cloned()).collect()
}

/// Positions of the groups that bring servers into a tier, by server: each group is looked at once.
fn bringing(decision: &Decision<'_>, tier: Tier) -> HashMap<EndpointIndex, Vec<usize>> {
    let (topology, own) = (&*decision.cluster.topology, decision.groups);
    let default_group = decision.location.default_group();
    let fallback = [default_group];
    let own = if own.is_empty() && topology.grouped() { &fallback[..] } else { own };
    let own = own.iter().map(|group| usize::from(group.0));
    let mut groups: Vec<usize> = match tier.kind {
        TierKind::Current | TierKind::Slow => own.collect(),
        TierKind::Neighbor | TierKind::Default => own
            .flat_map(|group| &topology.groups[group].links[..])
            .filter(|link| link.kind == tier.kind && link.offset == tier.offset)
            .map(|link| usize::from(link.group.0))
            .collect(),
        TierKind::FallbackSource | TierKind::Site => Vec::new(),
    };
    groups.sort_unstable();
    groups.dedup();
    let mut found: HashMap<EndpointIndex, Vec<usize>> = HashMap::new();
    for group in groups {
        let servers = match tier.kind {
            TierKind::Slow => &topology.groups[group].slow,
            TierKind::Current | TierKind::Neighbor | TierKind::Default | TierKind::FallbackSource | TierKind::Site => {
                &topology.groups[group].members
            }
        };
        for server in servers {
            let groups = found.entry(*server).or_default();
            // A server is in a group once for each of its addresses.
            if groups.last() != Some(&group) {
                groups.push(group);
            }
        }
    }
    found
}

fn server(
    decision: &Decision<'_>,
    ask: &Ask<'_>,
    pick: Option<&Pick>,
    index: EndpointIndex,
    only: Option<Option<EndpointIndex>>,
    boundary_groups: Vec<String>,
) -> ServerFacts {
    let endpoint = decision.cluster.endpoint(index);
    let standing = decision.cluster.standing(index);
    let content = decision.knowledge().map(|known| known_content(&known, endpoint.state.id));
    let why_not = match only {
        Some(only) if only != Some(index) => Some("the request belongs to one server, and this is another".to_owned()),
        // Nothing but being down keeps the only one from serving.
        Some(Some(only)) if finishes(decision, only) => None,
        Some(_) if standing.class() < Class::Out => None,
        Some(_) if standing.class() == Class::Out && decision.cluster.panicking() => None,
        Some(_) | None => objection(decision, ask, pick, index)
            .map(|not| words::not(not, standing, content.as_ref(), endpoint.role.max_requests)),
    };
    ServerFacts {
        id: endpoint.state.id,
        site_system: endpoint.system.to_string(),
        description: None,
        address: endpoint.address.to_string(),
        health: standing.health.as_str().to_owned(),
        since: None,
        failure: None,
        ejected: standing.ejected,
        steered: standing.steer.as_str().to_owned(),
        weight: endpoint.weight,
        in_flight: endpoint.state.in_flight(),
        content,
        boundary_groups,
        same_subnet: decision.subnet.is_some() && endpoint.subnet == decision.subnet,
        eligible: why_not.is_none(),
        why_not,
    }
}

/// The one server that may serve the request, where there is only one.
fn only(decision: &Decision<'_>, ask: &Ask<'_>) -> Option<Option<EndpointIndex>> {
    match (decision.cluster.topology.role.balance, decision.stay) {
        (Balance::Device, _) => Some(hashed(decision.cluster, ask.key, ask.tried)),
        (_, Some(Stay::Only(endpoint))) => Some(endpoint),
        (_, Some(Stay::Prefer(_) | Stay::After(_)) | None) => None,
    }
}

/// Whether an upload goes on there although a person has taken the server out.
fn finishes(decision: &Decision<'_>, endpoint: EndpointIndex) -> bool {
    matches!(decision.stay, Some(Stay::Only(_))) && decision.cluster.finishes(endpoint)
}

/// Why a server cannot be picked when its tier has its turn.
fn objection(decision: &Decision<'_>, ask: &Ask<'_>, pick: Option<&Pick>, index: EndpointIndex) -> Option<Not> {
    if pick.is_some_and(|pick| pick.endpoint == index) {
        return None;
    }
    let own = ask.class(decision.cluster, index);
    let wanted = match own {
        Class::Well => Class::Well,
        // A server that is well goes first, in whichever open tier it is.
        Class::Second => pick.map_or(Class::Second, |pick| pick.class),
        Class::Out if decision.cluster.panicking() => Class::Out,
        Class::Out | Class::Away => Class::Well,
    };
    ask.judge(decision.cluster, index, wanted).err()
}

fn known_content(known: &Knowledge<'_>, id: u32) -> KnownContent {
    let word = |verdict: &str, ago| KnownContent { verdict: verdict.to_owned(), ago, asked_again_in: None };
    let lacks = |verdict: &str, age: u32| KnownContent {
        verdict: verdict.to_owned(),
        ago: Some(f64::from(age) / TICKS),
        asked_again_in: Some(f64::from(known.ttl.saturating_sub(age)) / TICKS),
    };
    match known.lacks(id) {
        Some(Lack::Content(age)) => lacks("lacks", age),
        Some(Lack::File(age)) => lacks("lacks-file", age),
        None => match known.live.verdict(known.content, id, known.now, known.ttl) {
            Some((Verdict::Has, age)) => word("has", Some(f64::from(age) / TICKS)),
            Some((Verdict::Lacks, _)) | None => word("unknown", None),
        },
    }
}
