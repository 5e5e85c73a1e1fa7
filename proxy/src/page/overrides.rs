//! What people have decided about site systems at run time.

use maud::{Markup, html};

use super::Shown;
use super::parts::{self, Align};
use crate::steering::listing::OverrideStatus;

/// Overrides that are listed on one page.
const LISTED: usize = 50;

/// All overrides, or those of one site system; nothing when there are none.
pub(super) fn section(shown: &Shown, of: Option<&str>) -> Markup {
    let own = |one: &&OverrideStatus| of.is_none_or(|name| name == one.written.site_system);
    let all: Vec<&OverrideStatus> = shown.status.overrides.iter().filter(own).collect();
    let head = [
        ("Site system", Align::Text),
        ("Role", Align::Text),
        ("What", Align::Text),
        ("State", Align::Text),
        ("Asked for", Align::Text),
        ("Until", Align::Text),
        ("By", Align::Text),
        ("Why", Align::Text),
    ];
    let rows = html! { @for one in all.iter().take(LISTED) { (row(shown, one)) } };
    html! {
        @if !all.is_empty() {
            section #overrides {
                h2 { "Overrides" }
                (parts::table("Overrides", &head, &rows))
                @if all.len() > LISTED { p { (all.len() - LISTED) " more: " code { "rolegate status" } } }
            }
        }
    }
}

fn row(shown: &Shown, one: &OverrideStatus) -> Markup {
    let own = &one.written;
    let what = match (own.kind.as_str(), &own.weight) {
        (kind, Some(weight)) => format!("{kind} {weight}"),
        (kind, None) => kind.to_owned(),
    };
    let begins = own.begin.filter(|_| one.state == "planned");
    html! {
        tr data-key=(format!("{} {} {}", own.site_system, own.role.as_deref().unwrap_or_default(), own.kind)) {
            th scope="row" { (parts::system(&own.site_system)) }
            td data-label="Role" { (own.role.as_deref().unwrap_or("all")) }
            td data-label="What" { (what) }
            td data-label="State" { (one.state) @if let Some(begin) = begins { " from " (parts::moment(begin as f64)) } }
            td data-label="Asked for" { (parts::ago(shown.now, own.since as f64)) }
            td data-label="Until" { @if let Some(end) = own.end { (parts::moment(end as f64)) } @else { "undone" } }
            td data-label="By" { (own.by) @if !own.from.is_empty() { " (" (own.from) ")" } }
            td.wide data-label="Why" { (own.comment.as_deref().unwrap_or_default()) }
        }
    }
}
