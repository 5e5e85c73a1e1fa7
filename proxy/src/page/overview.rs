//! The site at a glance.

use maud::{Markup, html};

use super::filter::address;
use super::overrides;
use super::parts::{self, State};
use super::roles;
use super::{Made, Shown, Topic};
use crate::learned::clocks::Clocks;
use crate::status::{EndpointStatus, RoleStatus};

/// Endpoints that are not well, and changes, that are listed here.
const LISTED: usize = 12;
/// Certificates that end within so many days are worth a word.
const SOON: i64 = 30;

pub(super) fn page(shown: &Shown, clocks: &Clocks) -> Made {
    let live = html! {
        (headline(shown))
        (warnings(shown))
        (numbers(shown))
        (roles::section(shown))
        (overrides::section(shown, None))
        (unwell(shown))
        div.columns {
            (recent(shown))
            (fallback(clocks))
        }
        (sites(shown))
        (listeners(shown))
    };
    Made::live("Overview", html! {}, live)
}

/// All endpoints, with their roles.
pub(super) fn endpoints(shown: &Shown) -> impl Iterator<Item = (&RoleStatus, &EndpointStatus)> {
    shown.status.roles.iter().flat_map(|role| role.endpoints.iter().map(move |endpoint| (role, endpoint)))
}

/// The one sentence that says how the site is. It is read aloud when it changes.
fn headline(shown: &Shown) -> Markup {
    let lost: Vec<&str> = shown
        .status
        .roles
        .iter()
        .filter(|role| roles::best(role) == Some(State::Down) || role.endpoints.is_empty())
        .map(|role| role.title.as_str())
        .collect();
    let count = |wanted| endpoints(shown).filter(|(_, endpoint)| State::of(endpoint) == wanted).count();
    let all = endpoints(shown).count();
    let bad: Vec<String> = State::ALL[..4]
        .iter()
        .map(|state| (count(*state), state.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let (state, text) = match (all, lost.as_slice(), bad.is_empty()) {
        (_, [_, ..], _) => (State::Down, format!("No site system is well for: {}", lost.join(", "))),
        (0, [], _) => (State::Unproven, "There are no site systems yet".to_owned()),
        (_, [], true) => (State::Up, format!("All is well: {all} of {all} up")),
        (_, [], false) => {
            let only_new = count(State::Unproven) + count(State::Up) == all;
            let state = if only_new { State::Unproven } else { State::Degraded };
            (state, format!("Every role is served; of {all}: {}", bad.join(", ")))
        }
    };
    html! { p.headline.(state.word()) role="status" { (parts::marked(state, &text)) } }
}

fn warnings(shown: &Shown) -> Markup {
    let status = &shown.status;
    let ending = status.listeners.iter().flat_map(|listener| &listener.certificates).filter(|one| one.days_left < SOON);
    let ending: Vec<_> = ending.collect();
    let panic: Vec<&str> = status.roles.iter().filter(|role| role.panic).map(|role| role.title.as_str()).collect();
    let unresolved: Vec<&str> =
        status.names.iter().filter(|name| name.addresses.is_empty()).map(|name| name.name.as_str()).collect();
    html! {
        @if !status.reload.accepted {
            p.warning { (parts::marked(State::Down, "Rejected")) " The configuration that was tried " (parts::ago(shown.now, status.reload.at)) " has errors; the old one is served. " a href=(Topic::Versions.path()) { "Its errors" } }
        }
        @for one in &ending {
            p.warning { (parts::marked(State::Degraded, "Certificate")) " " (one.names.first().unwrap_or(&one.file)) @if one.days_left < 0 { " has ended. " } @else { " ends in " (one.days_left) " days. " } a href=(Topic::Certificates.path()) { "Certificates" } }
        }
        @if !panic.is_empty() {
            p.warning { (parts::marked(State::Down, "Panic")) " Requests are sent although no site system is well: " (panic.join(", ")) }
        }
        @if !unresolved.is_empty() {
            p.warning { (parts::marked(State::Degraded, "DNS")) " No address is known for " (parts::names(&unresolved.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), 5, |name| html! { (name) })) }
        }
        @for leaving in status.draining.iter().take(LISTED) {
            p.warning { (parts::marked(State::Unproven, "Draining")) " " (leaving.site_system) " left as " (leaving.role) " and still has " (leaving.in_flight) " under way" }
        }
    }
}

fn numbers(shown: &Shown) -> Markup {
    let all = shown.traffic.all();
    let in_flight: u64 = endpoints(shown).map(|(_, endpoint)| u64::from(endpoint.in_flight)).sum();
    let of = match shown.traffic.seconds() {
        Some(seconds) => format!("of the last {seconds:.0} s"),
        None => "after the second look".to_owned(),
    };
    let one = |title: &str, value: Markup, below: Markup| html! { div { dt { (title) } dd { b { (value) } span.quiet { (below) } } } };
    html! {
        dl.numbers {
            (one("Requests/s", parts::rate(all.requests()), html! { (parts::whole(all.total.requests)) " in all" }))
            (one("Errors/s", parts::rate(all.errors()), html! { (parts::whole(all.total.errors)) " in all" }))
            (one("Latency p50", parts::took(all.grown.durations.quantile(0.5)), html! { (of) }))
            (one("Latency p95", parts::took(all.grown.durations.quantile(0.95)), html! { (of) }))
            (one("Sent", parts::byte_rate(all.bytes()), html! { (parts::bytes(all.total.bytes as f64)) " in all" }))
            (one("Under way", html! { (parts::whole(in_flight)) }, html! { (parts::whole(shown.traffic.connections() as u64)) " client connections" }))
        }
    }
}

fn unwell(shown: &Shown) -> Markup {
    let mut unwell: Vec<(State, &RoleStatus, &EndpointStatus)> = endpoints(shown)
        .map(|(role, endpoint)| (State::of(endpoint), role, endpoint))
        .filter(|(state, ..)| *state != State::Up)
        .collect();
    unwell.sort_by_key(|(state, ..)| *state);
    let head = [
        ("Site system", parts::Align::Text),
        ("Role", parts::Align::Text),
        ("Health", parts::Align::Text),
        ("For", parts::Align::Number),
        ("Last probes", parts::Align::Text),
        ("Last failure", parts::Align::Text),
    ];
    let rows = html! {
        @for (_, role, endpoint) in unwell.iter().take(LISTED) {
            tr data-key=(format!("{} {} {}", role.name, endpoint.site_system, endpoint.address)) {
                th scope="row" { (parts::system(&endpoint.site_system)) }
                td data-label="Role" { (role.title) }
                td data-label="Health" { (parts::health(endpoint)) }
                td.n data-label="For" { (parts::lasting(shown.now, endpoint.since)) }
                td data-label="Last probes" { (parts::history(&endpoint.history)) }
                td.wide data-label="Last failure" { (parts::failure(shown.now, endpoint.last_failure.as_ref())) }
            }
        }
    };
    html! {
        section #unwell {
            h2 { "Not well" }
            @if unwell.is_empty() { p.empty { "Every site system is well in all of its roles." } } @else {
                (parts::table("Site systems that are not well", &head, &rows))
                @if unwell.len() > LISTED { p { a href=(address(Topic::SiteSystems, &[("health", "unwell")])) { "All " (unwell.len()) " that are not well" } } }
            }
        }
    }
}

fn recent(shown: &Shown) -> Markup {
    let changes = &shown.status.changes;
    html! {
        section #recent {
            h2 { "Recent changes" }
            @if changes.is_empty() { p.empty { "No health has changed since the start." } }
            @else { (parts::changes(shown.now, &changes[..changes.len().min(LISTED)], true)) }
        }
    }
}

fn fallback(clocks: &Clocks) -> Markup {
    let open = clocks.clocks.iter().filter(|clock| !clock.open.is_empty());
    html! {
        section #fallback {
            h2 { "Fallback" }
            @if clocks.running == 0 { p.empty { "No fallback clock runs: clients are served by their own boundary groups." } } @else {
                p { (crate::text::count(clocks.running, "clock")) " " @if clocks.running == 1 { "runs" } @else { "run" } "." }
                ul.plain {
                    @for clock in open.take(LISTED) {
                        li {
                            (parts::names(&clock.boundary_groups, 2, parts::group)) " " span.quiet { (clock.role) @if let Some(content) = &clock.content { " " code { (content) } } }
                            @for tier in &clock.open { " " (parts::marked(State::Degraded, &format!("{} open", tier.kind.replace('_', " ")))) " for " (crate::text::span(tier.open_for)) }
                        }
                    }
                }
                p { a href=(Topic::BoundaryGroups.path()) { "Boundary groups" } }
            }
        }
    }
}

fn sites(shown: &Shown) -> Markup {
    html! {
        @if !shown.status.sites.is_empty() {
            section #sites {
                h2 { "Sites" }
                ul.plain {
                    @for site in &shown.status.sites {
                        li { b { (site.code) } @if let Some(primary) = &site.primary { " " span.quiet { "secondary site of " (primary) } }
                            @if let Some(description) = &site.description { " " (description) }
                            " " span.quiet { (crate::text::count(site.boundary_groups.len(), "boundary group")) " assign clients to it" } }
                    }
                }
            }
        }
    }
}

fn listeners(shown: &Shown) -> Markup {
    let head = [
        ("Listener", parts::Align::Text),
        ("Address", parts::Align::Text),
        ("Clients speak", parts::Align::Text),
        ("Roles", parts::Align::Text),
    ];
    let rows = html! {
        @for listener in &shown.status.listeners {
            tr {
                th scope="row" { (listener.name) }
                td data-label="Address" { code { (listener.address) } }
                td data-label="Clients speak" { (listener.security) @if listener.http2 { ", HTTP/2" } @if listener.proxy_protocol { ", PROXY protocol" } }
                td.wide data-label="Roles" { (listener.roles.join(", ")) }
            }
        }
    };
    html! { section #listeners { h2 { "Listeners" } (parts::table("Listeners", &head, &rows)) } }
}
