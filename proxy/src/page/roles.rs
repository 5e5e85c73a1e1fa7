//! The roles of the site in numbers.

use maud::{Markup, html};

use super::filter::address;
use super::parts::{self, Align, State};
use super::{Shown, Topic};
use crate::status::RoleStatus;

/// The state of its best endpoint: whether the role can be served. `None` without endpoints.
pub(super) fn best(role: &RoleStatus) -> Option<State> {
    role.endpoints.iter().map(State::of).map(|state| if state == State::Ejected { State::Down } else { state }).max()
}

pub(super) fn section(shown: &Shown) -> Markup {
    let head = [
        ("Role", Align::Text),
        ("Site systems", Align::Text),
        ("Requests/s", Align::Number),
        ("Errors/s", Align::Number),
        ("p50", Align::Number),
        ("p95", Align::Number),
        ("Sent", Align::Number),
        ("Under way", Align::Number),
        ("Requests in all", Align::Number),
    ];
    let rows = html! { @for role in &shown.status.roles { (row(shown, role)) } };
    html! {
        section #roles {
            h2 { "Roles" }
            @if shown.status.roles.is_empty() { p.empty { "No role is served." } }
            @else { (parts::table("Roles", &head, &rows)) }
        }
    }
}

fn row(shown: &Shown, role: &RoleStatus) -> Markup {
    let rates = shown.traffic.role(role);
    let in_flight: u64 = role.endpoints.iter().map(|endpoint| u64::from(endpoint.in_flight)).sum();
    let title = match &role.site {
        Some(site) => format!("{} ({site})", role.title),
        None => role.title.clone(),
    };
    html! {
        tr data-key=(title) {
            th scope="row" { a href=(address(Topic::SiteSystems, &[("role", &role.name)])) { (title) } @if let Some(text) = &role.description { " " span.quiet { (text) } } }
            td.wide data-label="Site systems" { (standing(role)) }
            td.n data-label="Requests/s" { (parts::rate(rates.requests())) }
            td.n data-label="Errors/s" { (parts::rate(rates.errors())) }
            td.n data-label="p50" { (parts::took(rates.grown.durations.quantile(0.5))) }
            td.n data-label="p95" { (parts::took(rates.grown.durations.quantile(0.95))) }
            td.n data-label="Sent" { (parts::byte_rate(rates.bytes())) }
            td.n data-label="Under way" { (parts::whole(in_flight)) }
            td.n data-label="Requests in all" { (parts::whole(rates.total.requests)) }
        }
    }
}

/// How many endpoints are in which state.
fn standing(role: &RoleStatus) -> Markup {
    let count = |wanted| role.endpoints.iter().filter(|endpoint| State::of(endpoint) == wanted).count();
    html! {
        @if role.endpoints.is_empty() { (parts::marked(State::Down, "no address is known")) }
        @for state in [State::Up, State::Degraded, State::Ejected, State::Down, State::Unproven] {
            @if count(state) > 0 { (parts::marked(state, &format!("{} {}", count(state), state.word()))) " " }
        }
        @if role.panic { (parts::marked(State::Down, "panic")) }
    }
}
