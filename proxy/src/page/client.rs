//! One client: its boundary groups, where it may be served, and what happened to its last requests.

use std::net::IpAddr;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filter::{Asked, address};
use super::parts::{self, Align, State};
use super::{Made, Refresh, Sources, Topic, explain};
use crate::learned::clocks::ClockStatus;
use crate::model::cluster::Cluster;
use crate::model::location::ContentLocation;
use crate::model::recent::{Happened, KEPT};
use crate::model::snapshot::Snapshot;
use crate::model::tier::TierKind;
use crate::text::span;

/// What is known of one client.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ClientFacts {
    /// Its address.
    pub client: String,
    /// Its boundary groups.
    pub boundary_groups: Vec<String>,
    /// Where it may be served, for each role that boundary groups decide about.
    pub roles: Vec<ClientRole>,
    /// Fallback clocks of clients in the same boundary groups.
    pub clocks: Vec<ClockStatus>,
    /// Its last requests, the newest first: at most eight, and fewer where others have pushed them out.
    pub requests: Vec<ClientRequest>,
}

/// One role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ClientRole {
    /// Its name, with the site where there are several.
    pub role: String,
    /// The tiers in order of use.
    pub tiers: Vec<ClientTier>,
}

/// One tier.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ClientTier {
    /// `current`, `slow`, `neighbor`, `default`, `fallback_source` or `site`.
    pub kind: String,
    /// Minutes after which relationships open it.
    pub minutes: u32,
    /// Its site systems.
    pub site_systems: Vec<String>,
}

/// One request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ClientRequest {
    /// Seconds since it ended.
    pub ago: f64,
    /// The role; absent when it belonged to none, or that is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// The site system that was asked last; absent when none was, or it is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site_system: Option<String>,
    /// The tier that it was picked from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tier: Option<String>,
    /// Site systems that were asked.
    pub attempts: u8,
    /// The status that the client saw.
    pub status: u16,
    /// Why no site system answered, or why the answer was cut.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Looks everything up.
///
/// # Errors
/// A sentence, when the text is no address.
pub(super) fn facts(text: &str, sources: &Sources<'_>) -> Result<ClientFacts, String> {
    let client: IpAddr =
        text.parse().map_err(|_| format!("client {text:?} is not an address: write one such as 10.1.2.3"))?;
    let client = client.to_canonical();
    let snapshot = sources.snapshot();
    let groups = snapshot.site.boundaries.groups_of(client);
    let names: Vec<String> =
        groups.iter().map(|group| snapshot.site.group_names[usize::from(group.0)].clone()).collect();
    let grouped = snapshot.clusters.iter().filter(|cluster| cluster.topology.grouped());
    let roles = grouped.map(|cluster| role(cluster, ContentLocation::new(&cluster.topology, groups))).collect();
    let now_ms = sources.now_ms();
    let requests = snapshot.live.recent.of(client).iter().map(|one| request(&snapshot, one, now_ms)).collect();
    let mut clocks = sources.clocks().clocks;
    clocks.retain(|clock| clock.boundary_groups == names);
    clocks.truncate(super::filter::ROWS);
    Ok(ClientFacts { client: client.to_string(), boundary_groups: names, roles, clocks, requests })
}

fn role(cluster: &Cluster, location: ContentLocation<'_>) -> ClientRole {
    let tiers = location.tiers().map(|tier| {
        let members = location.members(tier).flatten();
        let mut systems: Vec<String> = members.map(|&index| cluster.endpoint(index).system.to_string()).collect();
        systems.sort_unstable();
        systems.dedup();
        let minutes = match tier.kind {
            TierKind::Current | TierKind::Slow | TierKind::Site => 0,
            TierKind::Neighbor | TierKind::Default => tier.offset,
            TierKind::FallbackSource => location.last_offset(),
        };
        ClientTier { kind: tier.kind.as_str().to_owned(), minutes, site_systems: systems }
    });
    let tiers = tiers.filter(|tier| !tier.site_systems.is_empty()).collect();
    ClientRole { role: cluster.topology.label().into_owned(), tiers }
}

fn request(snapshot: &Snapshot, one: &Happened, now_ms: u64) -> ClientRequest {
    let cluster = snapshot.clusters.iter().find(|cluster| one.role != 0 && cluster.topology.hash == one.role);
    let endpoint = cluster
        .zip(one.endpoint)
        .and_then(|(cluster, id)| cluster.topology.endpoints.iter().find(|endpoint| endpoint.state.id == id));
    ClientRequest {
        ago: now_ms.saturating_sub(one.at_ms) as f64 / 1000.0,
        role: cluster.map(|cluster| cluster.topology.label().into_owned()),
        site_system: endpoint.map(|endpoint| endpoint.system.to_string()),
        tier: one.tier.map(|tier| tier.as_str().to_owned()),
        attempts: one.attempts,
        status: one.status,
        error: one.error.map(|error| error.reason().to_owned()),
        bytes: one.sent,
        seconds: f64::from(one.micros) / 1e6,
    }
}

pub(super) fn page(asked: &Asked<'_>, facts: Option<&Result<ClientFacts, String>>) -> Made {
    let still = form(asked);
    match facts {
        None => Made::answer(http::StatusCode::OK, "Client", still, html! {}),
        Some(Err(mistake)) => {
            let told = explain::mistakes(std::slice::from_ref(mistake));
            Made::answer(http::StatusCode::BAD_REQUEST, "Client", still, told)
        }
        Some(Ok(facts)) => {
            let made = Made::live(format!("Client {}", facts.client), still, shown(facts));
            Made { refresh: Refresh::Live, ..made }
        }
    }
}

fn form(asked: &Asked<'_>) -> Markup {
    html! {
        p.lead { "What happened to one address lately, and where it may be served." }
        form.filter method="get" action=(Topic::Client.path()) aria-label="Client" {
            label { span { "Client address" } input name="client" value=(asked.one("client").unwrap_or_default()) placeholder="10.1.2.3" autocomplete="off" spellcheck="false"; }
            div.buttons { button type="submit" { "Look up" } }
        }
    }
}

fn shown(facts: &ClientFacts) -> Markup {
    html! {
        section { h2 { "Boundary groups" }
            @if facts.boundary_groups.is_empty() { p.empty { "None contains it: the site default boundary group serves it." } }
            @else { p { (parts::names(&facts.boundary_groups, super::filter::ROWS, parts::group)) } }
        }
        section { h2 { "Last requests" }
            @if facts.requests.is_empty() { p.empty { "Nothing is known: it has asked nothing, or other clients have pushed its requests out." } }
            @else { (requests(facts)) }
            p.quiet { "At most " (KEPT) " are kept of a client, without what they asked for, and no tunnels. The access log has all of them." }
        }
        section { h2 { "Where it may be served" } (locations(facts)) }
        section { h2 { "Fallback clocks" }
            @if facts.clocks.is_empty() { p.empty { "None runs for clients in its boundary groups." } }
            @else { ul.plain { @for clock in &facts.clocks { li { (super::boundary_groups::state(clock)) } } } }
        }
        p { a href=(address(Topic::Explain, &[("client", &facts.client)])) { "Explain a request of this client" } }
    }
}

fn requests(facts: &ClientFacts) -> Markup {
    let head = [
        ("When", Align::Text),
        ("Role", Align::Text),
        ("Site system", Align::Text),
        ("Tier", Align::Text),
        ("Status", Align::Text),
        ("Asked", Align::Number),
        ("Sent", Align::Number),
        ("Took", Align::Number),
    ];
    let rows = html! {
        @for one in &facts.requests {
            tr {
                th scope="row" { (span(one.ago)) " ago" }
                td data-label="Role" { @if let Some(role) = &one.role { (role) } @else { (parts::none()) } }
                td data-label="Site system" { @if let Some(system) = &one.site_system { (parts::system(system)) } @else { (parts::none()) } }
                td data-label="Tier" { @if let Some(tier) = &one.tier { (tier.replace('_', " ")) } @else { (parts::none()) } }
                td data-label="Status" { (parts::marked(if one.status < 500 && one.error.is_none() { State::Up } else { State::Down }, &one.status.to_string())) @if let Some(error) = &one.error { " " code { (error) } } }
                td.n data-label="Asked" { (one.attempts) }
                td.n data-label="Sent" { (parts::bytes(one.bytes as f64)) }
                td.n data-label="Took" { (parts::took(Some(one.seconds))) }
            }
        }
    };
    parts::table("Last requests", &head, &rows)
}

fn locations(facts: &ClientFacts) -> Markup {
    let head = [("Role", Align::Text), ("Tiers, in order of use", Align::Text)];
    let rows = html! {
        @for role in &facts.roles {
            tr {
                th scope="row" { (role.role) }
                td.wide data-label="Tiers" {
                    @if role.tiers.is_empty() { span.none { "nowhere" } }
                    @for tier in &role.tiers {
                        div { b { (tier.kind.replace('_', " ")) } @if tier.minutes > 0 { " after " (tier.minutes) " min" } ": " (parts::names(&tier.site_systems, 6, parts::system)) }
                    }
                }
            }
        }
    };
    html! { @if facts.roles.is_empty() { p.empty { "Boundary groups decide about no role: every site system may serve it." } } @else { (parts::table("Where it may be served", &head, &rows)) } }
}
