//! One site system in all of its roles.

use maud::{Markup, html};

use super::filter::{Asked, address};
use super::overview::endpoints;
use super::{Made, Shown, Topic, overrides, parts, site_systems};
use crate::learned::content::Audit;
use crate::status::{EndpointStatus, RoleStatus};

pub(super) fn page(shown: &Shown, asked: &Asked<'_>, audit: impl Fn(&str) -> Audit) -> Made {
    let name = asked.one("name").unwrap_or_default();
    let rows: Vec<(&RoleStatus, &EndpointStatus)> =
        endpoints(shown).filter(|(_, endpoint)| endpoint.site_system.eq_ignore_ascii_case(name)).collect();
    let Some((_, first)) = rows.first() else { return Made::missing("site system", name) };
    let name = first.site_system.as_str();
    let live = html! {
        @if let Some(text) = &first.description { p.lead { (text) } }
        section { h2 { "Roles" } (site_systems::table(shown, &rows)) }
        (overrides::section(shown, Some(name)))
        @for (role, endpoint) in &rows { (changes(shown, role, endpoint)) }
        (groups(shown, name))
        (content(&audit(name)))
        p { a href=(address(Topic::Explain, &[("why-not", name)])) { "Explain why it does or does not serve a request" } }
    };
    Made::live(name, html! {}, live)
}

fn changes(shown: &Shown, role: &RoleStatus, endpoint: &EndpointStatus) -> Markup {
    html! {
        section {
            h2 { (role.title) " at " (endpoint.address) }
            p { (parts::health(endpoint)) " for " (parts::lasting(shown.now, endpoint.since)) ". "
                (parts::whole(endpoint.probes.0)) " probes passed, " (parts::whole(endpoint.probes.1)) " did not. Last failure: " (parts::failure(shown.now, endpoint.last_failure.as_ref())) }
            @if endpoint.changes.is_empty() { p.empty { "Its health has not changed." } }
            @else { (parts::changes(shown.now, &endpoint.changes, false)) }
        }
    }
}

fn groups(shown: &Shown, name: &str) -> Markup {
    let own = shown.status.boundary_groups.iter().filter_map(|group| {
        let roles: Vec<&str> = group
            .servers
            .iter()
            .filter(|(_, systems)| systems.iter().any(|system| system == name))
            .map(|(role, _)| role.as_str())
            .collect();
        (!roles.is_empty()).then_some((group, roles))
    });
    let own: Vec<_> = own.take(super::filter::ROWS).collect();
    html! {
        section {
            h2 { "Boundary groups" }
            @if own.is_empty() { p.empty { "No boundary group names it." } }
            @else { ul.plain { @for (group, roles) in &own { li { (parts::group(&group.name)) " " span.quiet { (roles.join(", ")) } } } } }
        }
    }
}

fn content(audit: &Audit) -> Markup {
    html! {
        @for role in &audit.roles {
            section {
                h2 { "Content as " (role.title) }
                @for own in &role.servers {
                    p { "Of what clients have asked for, it has " b { (own.has) } ", lacks " b { (own.lacks) } ", and has not been asked for " b { (own.unknown) } "; " b { (own.alone) } " are known at no other." }
                }
                @let lacking: Vec<String> = role.contents.first.iter().filter(|one| !one.lacks.is_empty()).map(|one| one.id.clone()).collect();
                @if !lacking.is_empty() { p { "It lacks: " (parts::names(&lacking, 20, |id| html! { code { (id) } })) } }
            }
        }
    }
}
