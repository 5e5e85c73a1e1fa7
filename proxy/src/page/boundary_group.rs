//! One boundary group.

use maud::{Markup, html};

use super::boundary_groups::{of_group, served, state};
use super::filter::{Asked, ROWS, address};
use super::parts::{self, Align};
use super::{Made, Shown, Topic};
use crate::learned::clocks::Clocks;
use crate::status::GroupStatus;

pub(super) fn page(shown: &Shown, asked: &Asked<'_>, clocks: &Clocks) -> Made {
    let name = asked.one("name").unwrap_or_default();
    let found = shown.status.boundary_groups.iter().find(|group| group.name.eq_ignore_ascii_case(name));
    let Some(group) = found else { return Made::missing("boundary group", name) };
    let live = html! {
        @if let Some(text) = &group.description { p.lead { (text) } }
        section { h2 { "Site systems" } (servers(shown, group)) }
        section { h2 { "Clients served from" } (served(group)) }
        section { h2 { "Fallback" } (relationships(group)) (running(group, clocks)) }
        p { a href=(address(Topic::SiteSystems, &[("group", &group.name)])) { "Its site systems with their traffic" } }
    };
    Made::live(group.name.as_str(), html! {}, live)
}

fn servers(shown: &Shown, group: &GroupStatus) -> Markup {
    let head = [("Role", Align::Text), ("Site system", Align::Text), ("Health", Align::Text), ("For", Align::Number)];
    let each = group.servers.iter().flat_map(|(role, systems)| systems.iter().map(move |system| (role, system)));
    let all: Vec<_> = each.take(ROWS).collect();
    let endpoint = |label: &str, system: &str| {
        let name = label.split('@').next().unwrap_or(label);
        let roles = shown.status.roles.iter().filter(move |role| role.name == name);
        roles.flat_map(|role| &role.endpoints).find(|endpoint| endpoint.site_system == system)
    };
    let rows = html! {
        @for (role, system) in &all {
            tr {
                th scope="row" { (role) }
                td data-label="Site system" { (parts::system(system)) }
                @if let Some(endpoint) = endpoint(role, system) {
                    td data-label="Health" { (parts::health(endpoint)) }
                    td.n data-label="For" { (parts::lasting(shown.now, endpoint.since)) }
                } @else { td data-label="Health" { (parts::none()) } td.n data-label="For" { (parts::none()) } }
            }
        }
    };
    html! { @if all.is_empty() { p.empty { "It has none: its clients are served by the groups that they fall back to." } } @else { (parts::table("Site systems of the boundary group", &head, &rows)) } }
}

fn relationships(group: &GroupStatus) -> Markup {
    html! {
        @if group.fallback.is_empty() { p.empty { "Its clients fall back nowhere." } }
        ul.plain {
            @for (role, links) in &group.fallback {
                li { span.quiet { (role) ": " }
                    @for (place, (to, minutes)) in links.iter().take(ROWS).enumerate() { @if place > 0 { ", " } (parts::group(to)) " after " (minutes) " min" }
                }
            }
        }
    }
}

fn running(group: &GroupStatus, clocks: &Clocks) -> Markup {
    let own = of_group(clocks, &group.name);
    html! {
        @if own.is_empty() { p.empty { "No clock of its clients runs: no fallback tier is open." } }
        @else { ul.plain { @for clock in own.iter().take(ROWS) { li { (state(clock)) } } } }
    }
}
