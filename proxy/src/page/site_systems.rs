//! All site systems, in each of their roles: a list that is filtered and cut into pages on the server.

use maud::{Markup, html};

use super::filter::{Asked, Paging, address};
use super::overview::endpoints;
use super::parts::{self, Align, State};
use super::{Made, Shown, Topic};
use crate::status::{EndpointStatus, RoleStatus};

/// What the list is narrowed down to.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted<'a> {
    text: &'a str,
    role: &'a str,
    group: &'a str,
    health: &'a str,
}

impl<'a> Wanted<'a> {
    fn new(asked: &Asked<'a>) -> Self {
        let one = |name| asked.one(name).unwrap_or_default();
        Self { text: one("q"), role: one("role"), group: one("group"), health: one("health") }
    }

    fn pairs(&self) -> [(&'static str, &'a str); 4] {
        [("q", self.text), ("role", self.role), ("group", self.group), ("health", self.health)]
    }

    /// The rows that are left, those that are not well first.
    fn rows<'s>(&self, shown: &'s Shown) -> Vec<(&'s RoleStatus, &'s EndpointStatus)> {
        let text = self.text.to_lowercase();
        let members = self.members(shown);
        let has = |part: &str| part.to_lowercase().contains(&text);
        let mut rows: Vec<_> = endpoints(shown)
            .filter(|(role, _)| self.role.is_empty() || role.name == self.role)
            .filter(|(_, endpoint)| text.is_empty() || has(&endpoint.site_system) || has(&endpoint.address))
            .filter(|(_, endpoint)| self.is_of_health(State::of(endpoint)))
            .filter(|(role, endpoint)| {
                members.as_ref().is_none_or(|all| all.contains(&(role.name.as_str(), endpoint.site_system.as_str())))
            })
            .collect();
        rows.sort_by_key(|(_, endpoint)| State::of(endpoint));
        rows
    }

    fn is_of_health(&self, state: State) -> bool {
        match self.health {
            "" => true,
            "unwell" => state != State::Up,
            word => state.word() == word,
        }
    }

    /// The site systems of the boundary group, by role.
    fn members<'s>(&self, shown: &'s Shown) -> Option<std::collections::HashSet<(&'s str, &'s str)>> {
        if self.group.is_empty() {
            return None;
        }
        let own = shown.status.boundary_groups.iter().find(|group| group.name == self.group);
        let by_role = own.into_iter().flat_map(|group| &group.servers);
        // A role of one of several sites is `role@SITE` there.
        let name = |label: &'s str| label.split('@').next().unwrap_or(label);
        Some(
            by_role
                .flat_map(|(role, systems)| systems.iter().map(move |system| (name(role), system.as_str())))
                .collect(),
        )
    }
}

pub(super) fn page(shown: &Shown, asked: &Asked<'_>) -> Made {
    let wanted = Wanted::new(asked);
    let rows = wanted.rows(shown);
    let paging = Paging::new(rows.len(), asked.page());
    let all = endpoints(shown).count();
    let live = html! {
        p.count role="status" { @if rows.len() == all { (parts::whole(all as u64)) " rows" } @else { (parts::whole(rows.len() as u64)) " of " (parts::whole(all as u64)) " rows" } ": a site system in one of its roles each." }
        @if rows.is_empty() { p.empty { "There is no such site system. " a href=(Topic::SiteSystems.path()) { "Show all" } } }
        @else { (table(shown, paging.cut(&rows))) }
        (parts::pager(Topic::SiteSystems, &wanted.pairs(), paging, "site systems"))
    };
    Made::live("Site systems", form(shown, &wanted), live)
}

pub(super) fn table(shown: &Shown, rows: &[(&RoleStatus, &EndpointStatus)]) -> Markup {
    let head = [
        ("Site system", Align::Text),
        ("Role", Align::Text),
        ("Address", Align::Text),
        ("Health", Align::Text),
        ("For", Align::Number),
        ("Requests/s", Align::Number),
        ("Errors/s", Align::Number),
        ("Under way", Align::Number),
        ("Weight", Align::Number),
        ("Last probes", Align::Text),
        ("Last failure", Align::Text),
    ];
    let rows = html! { @for (role, endpoint) in rows { (row(shown, role, endpoint)) } };
    parts::table("Site systems", &head, &rows)
}

fn row(shown: &Shown, role: &RoleStatus, endpoint: &EndpointStatus) -> Markup {
    let rates = shown.traffic.endpoint(role, endpoint);
    html! {
        tr data-key=(format!("{} {} {}", role.name, endpoint.site_system, endpoint.address)) {
            th scope="row" { (parts::system(&endpoint.site_system)) }
            td data-label="Role" { (role.title) }
            td data-label="Address" { code { (endpoint.address) } }
            td data-label="Health" { (parts::health(endpoint)) }
            td.n data-label="For" { (parts::lasting(shown.now, endpoint.since)) }
            td.n data-label="Requests/s" { (parts::rate(rates.requests())) }
            td.n data-label="Errors/s" { (parts::rate(rates.errors())) }
            td.n data-label="Under way" { (parts::whole(u64::from(endpoint.in_flight))) }
            td.n data-label="Weight" { (endpoint.weight) }
            td data-label="Last probes" { (parts::history(&endpoint.history)) }
            td.wide data-label="Last failure" { (parts::failure(shown.now, endpoint.last_failure.as_ref())) }
        }
    }
}

fn form(shown: &Shown, wanted: &Wanted<'_>) -> Markup {
    let roles: Vec<(&str, &str)> = {
        let mut all: Vec<_> = shown.status.roles.iter().map(|role| (role.name.as_str(), role.title.as_str())).collect();
        all.dedup();
        all
    };
    let groups = shown.status.boundary_groups.iter().map(|group| group.name.as_str());
    let states =
        std::iter::once(("unwell", "not well")).chain(State::ALL.iter().map(|state| (state.word(), state.word())));
    html! {
        form.filter method="get" action=(Topic::SiteSystems.path()) role="search" aria-label="Filter" {
            label { span { "Name or address" } input type="search" name="q" value=(wanted.text) autocomplete="off" spellcheck="false"; }
            label { span { "Role" } select name="role" { option value="" { "all" } @for (name, title) in roles { option value=(name) selected[name == wanted.role] { (title) } } } }
            label { span { "Boundary group" } input name="group" value=(wanted.group) list="groups" autocomplete="off" spellcheck="false"; }
            datalist #groups { @for name in groups.take(super::filter::ROWS) { option value=(name) {} } }
            label { span { "Health" } select name="health" { option value="" { "all" } @for (name, title) in states { option value=(name) selected[name == wanted.health] { (title) } } } }
            div.buttons { button type="submit" { "Filter" } a href=(address(Topic::SiteSystems, &[])) { "Show all" } }
        }
    }
}
