//! What is known of content: which site systems have it, and which lack it.

use maud::{Markup, html};

use super::filter::Asked;
use super::parts::{self, Align};
use super::{Made, Topic};
use crate::learned::content::{Audit, ContentStatus, RoleContent};
use crate::text::span;

const NAMES: usize = 6;

pub(super) fn page(asked: &Asked<'_>, audit: &Audit) -> Made {
    let text = asked.one("q").unwrap_or_default();
    let live = html! {
        @if audit.roles.is_empty() { p.empty { "No role of this site has content." } }
        @for role in &audit.roles { (section(role, text)) }
    };
    let still = html! {
        p.lead { "What site systems have answered to clients. Nothing is known of what no client has asked for." }
        form.filter method="get" action=(Topic::Content.path()) role="search" aria-label="Filter" {
            label { span { "Content ID" } input type="search" name="q" value=(text) autocomplete="off" spellcheck="false"; }
            div.buttons { button type="submit" { "Filter" } a href=(Topic::Content.path()) { "Show all" } }
        }
    };
    Made::live("Content", still, live)
}

fn section(role: &RoleContent, text: &str) -> Markup {
    let lower = text.to_lowercase();
    let mut rows: Vec<&ContentStatus> =
        role.contents.first.iter().filter(|one| one.id.to_lowercase().contains(&lower)).collect();
    // What somebody misses comes first.
    rows.sort_by_key(|one| one.lacks.is_empty());
    let head = [
        ("Content", Align::Text),
        ("Site systems that have it", Align::Text),
        ("that lack it", Align::Text),
        ("Not asked", Align::Number),
        ("Last heard", Align::Number),
    ];
    let body = html! {
        @for one in &rows {
            tr data-key=(one.id) {
                th scope="row" { code { (one.id) } }
                td.wide data-label="Have it" { @if one.has.is_empty() { span.none { "none is known" } } (parts::names(&one.has, NAMES, parts::system)) }
                td.wide data-label="Lack it" { @if one.lacks.is_empty() { span.none { "none" } } (parts::names(&one.lacks, NAMES, parts::system)) }
                td.n data-label="Not asked" { (one.unknown) }
                td.n data-label="Last heard" { (span(one.heard_ago)) " ago" }
            }
        }
    };
    html! {
        section {
            h2 { (role.title) }
            p.count { (crate::text::count(role.contents.total, "content")) " known, " (parts::whole(role.single.total as u64)) " of them at one site system only." @if role.contents.left_out() > 0 { " The first " (role.contents.first.len()) " are listed." } }
            @if rows.is_empty() { p.empty { "No such content has been asked for." } } @else { (parts::table(&format!("Content of {}", role.title), &head, &body)) }
            (servers(role))
        }
    }
}

fn servers(role: &RoleContent) -> Markup {
    let head = [
        ("Site system", Align::Text),
        ("Has", Align::Number),
        ("Lacks", Align::Number),
        ("Not asked", Align::Number),
        ("Alone", Align::Number),
    ];
    let mut all: Vec<_> = role.servers.iter().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.lacks));
    let rows = html! {
        @for one in all.iter().take(super::filter::ROWS) {
            tr data-key=(one.site_system) {
                th scope="row" { (parts::system(&one.site_system)) }
                td.n data-label="Has" { (parts::whole(one.has as u64)) }
                td.n data-label="Lacks" { (parts::whole(one.lacks as u64)) }
                td.n data-label="Not asked" { (parts::whole(one.unknown as u64)) }
                td.n data-label="Alone" { (parts::whole(one.alone as u64)) }
            }
        }
    };
    html! { @if role.contents.total > 0 { h3 { "By site system" } (parts::table(&format!("Content of {} by site system", role.title), &head, &rows)) @if all.len() > super::filter::ROWS { p.quiet { (all.len() - super::filter::ROWS) " more site systems" } } } }
}
