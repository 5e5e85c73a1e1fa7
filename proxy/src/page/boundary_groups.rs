//! Boundary groups: who is served from where, and which fallback tiers are open.

use maud::{Markup, html};

use super::filter::{Asked, Paging};
use super::parts::{self, Align, State};
use super::{Made, Shown, Topic};
use crate::learned::clocks::{ClockStatus, Clocks};
use crate::status::GroupStatus;
use crate::text::span;

/// Names of site systems in one cell.
const NAMES: usize = 4;

pub(super) fn page(shown: &Shown, asked: &Asked<'_>, clocks: &Clocks) -> Made {
    let text = asked.one("q").unwrap_or_default();
    let lower = text.to_lowercase();
    let groups: Vec<&GroupStatus> = shown
        .status
        .boundary_groups
        .iter()
        .filter(|group| lower.is_empty() || group.name.to_lowercase().contains(&lower))
        .collect();
    let paging = Paging::new(groups.len(), asked.page());
    let live = html! {
        p.count role="status" { (parts::whole(groups.len() as u64)) " of " (crate::text::count(shown.status.boundary_groups.len(), "boundary group")) ". " (running(clocks)) }
        @if groups.is_empty() { p.empty { "There is no such boundary group." } } @else { (table(paging.cut(&groups), clocks)) }
        (parts::pager(Topic::BoundaryGroups, &[("q", text)], paging, "boundary groups"))
    };
    let still = html! {
        form.filter method="get" action=(Topic::BoundaryGroups.path()) role="search" aria-label="Filter" {
            label { span { "Name" } input type="search" name="q" value=(text) autocomplete="off" spellcheck="false"; }
            div.buttons { button type="submit" { "Filter" } a href=(Topic::BoundaryGroups.path()) { "Show all" } }
        }
    };
    Made::live("Boundary groups", still, live)
}

fn running(clocks: &Clocks) -> String {
    match clocks.running {
        0 => "No fallback clock runs.".to_owned(),
        1 => "1 fallback clock runs.".to_owned(),
        more => format!("{more} fallback clocks run."),
    }
}

fn table(groups: &[&GroupStatus], clocks: &Clocks) -> Markup {
    let head = [
        ("Boundary group", Align::Text),
        ("Site systems", Align::Text),
        ("Clients served from", Align::Text),
        ("Not answered", Align::Number),
        ("Sent", Align::Number),
        ("Fallback", Align::Text),
    ];
    let rows = html! {
        @for group in groups {
            tr data-key=(group.name) {
                th scope="row" { (parts::group(&group.name)) @if let Some(text) = &group.description { " " span.quiet { (text) } } }
                td.wide data-label="Site systems" { (servers(group)) }
                td.wide data-label="Clients served from" { (served(group)) }
                td.n data-label="Not answered" { (failed(group)) }
                td.n data-label="Sent" { (sent(group)) }
                td.wide data-label="Fallback" { (fallback(&of_group(clocks, &group.name), group)) }
            }
        }
    };
    parts::table("Boundary groups", &head, &rows)
}

fn servers(group: &GroupStatus) -> Markup {
    html! {
        @if group.servers.is_empty() { span.none { "none" } }
        @for (role, systems) in &group.servers { div { span.quiet { (role) ": " } (parts::names(systems, NAMES, parts::system)) } }
    }
}

/// Which tiers have answered the group's clients, with their shares.
pub(super) fn served(group: &GroupStatus) -> Markup {
    html! {
        @if group.requests.is_empty() { span.none { "no client has asked" } }
        @for asked in &group.requests {
            @let all: u64 = asked.answered.iter().map(|(_, count)| count).sum();
            div { span.quiet { (asked.role) ": " }
                @for (place, (tier, count)) in asked.answered.iter().enumerate() {
                    @if place > 0 { ", " } (tier.replace('_', " ")) " " b { (parts::whole(*count)) } @if all > *count { " (" (count * 100 / all.max(1)) " %)" }
                }
                @if asked.answered.is_empty() { span.none { "nobody" } }
            }
        }
    }
}

fn failed(group: &GroupStatus) -> Markup {
    let failed: u64 = group.requests.iter().map(|asked| asked.failed).sum();
    html! { (parts::whole(failed)) }
}

fn sent(group: &GroupStatus) -> Markup {
    let sent: u64 = group.requests.iter().map(|asked| asked.bytes).sum();
    html! { (parts::bytes(sent as f64)) }
}

/// The clocks of a group's clients.
pub(super) fn of_group<'a>(clocks: &'a Clocks, name: &str) -> Vec<&'a ClockStatus> {
    clocks.clocks.iter().filter(|clock| clock.boundary_groups.iter().any(|own| own == name)).collect()
}

/// What is open now, or what would open.
fn fallback(clocks: &[&ClockStatus], group: &GroupStatus) -> Markup {
    html! {
        @if clocks.is_empty() {
            @if group.fallback.is_empty() { span.none { "nowhere" } } @else { "closed: no clock runs" }
        }
        @for clock in clocks.iter().take(NAMES) { div { (state(clock)) } }
        @if clocks.len() > NAMES { div.quiet { (clocks.len() - NAMES) " more clocks" } }
    }
}

/// One clock: which tiers are open and since when, and which comes next.
pub(super) fn state(clock: &ClockStatus) -> Markup {
    html! {
        span.quiet { (clock.role) @if let Some(content) = &clock.content { " " code { (content) } } ": " }
        @for tier in &clock.open { (parts::marked(State::Degraded, &format!("{} open", tier.kind.replace('_', " ")))) " for " (span(tier.open_for)) ". " }
        @if let Some(next) = &clock.next { (next.kind.replace('_', " ")) " opens in " (span(next.opens_in)) "." }
        @else if clock.open.is_empty() { "started " (span(clock.started_ago)) " ago" }
    }
}
