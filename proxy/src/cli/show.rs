//! `rolegate status` for a person.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{ContentArrangement, Table, presets};

use crate::status::{EndpointStatus, RoleStatus, Status};
use crate::text::span;

/// Characters of a failure that are shown.
const CAUSE: usize = 72;
/// How many of the last probes are shown.
const HISTORY: usize = 20;

/// The status as text.
pub(super) fn render(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "site {}   rolegate {}   snapshot {} (configuration {}), published {} ago",
        status.site,
        status.rolegate,
        status.snapshot,
        status.generation,
        ago(status.published)
    );
    if !status.reload.accepted {
        let _ = writeln!(out, "\nTHE LAST RELOAD WAS REJECTED {} ago:", ago(status.reload.at));
        let _ = writeln!(out, "{}", status.reload.errors.as_deref().unwrap_or_default());
    }
    let _ = writeln!(out, "\n{}", endpoints(&status.roles));
    if !status.boundary_groups.is_empty() {
        let _ = writeln!(out, "\n{}", groups(status));
    }
    for name in status.names.iter().filter(|name| name.failure.is_some() || name.addresses.is_empty()) {
        let failure = name.failure.as_deref().unwrap_or("not asked yet");
        let kept = if name.addresses.is_empty() { "not served" } else { "last answer kept" };
        let _ = writeln!(out, "name {}: {failure} ({kept})", name.name);
    }
    for leaving in &status.draining {
        let (system, address, role) = (&leaving.site_system, &leaving.address, &leaving.role);
        let _ = writeln!(out, "draining: {system} {address} ({role}), {} in flight", leaving.in_flight);
    }
    out
}

/// A table without lines.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

fn endpoints(roles: &[RoleStatus]) -> Table {
    let mut table =
        table(&["ROLE", "SITE SYSTEM", "ADDRESS", "HEALTH", "FOR", "IN FLIGHT", "LAST PROBES", "LAST FAILURE"]);
    for role in roles {
        let title = if role.panic { format!("{} (panic)", role.title) } else { role.title.clone() };
        if role.endpoints.is_empty() {
            table.add_row([title.as_str(), "-", "-", "unresolved", "", "", "", ""]);
        }
        for (place, endpoint) in role.endpoints.iter().enumerate() {
            let title = if place == 0 { title.as_str() } else { "" };
            table.add_row(endpoint_row(title, endpoint));
        }
    }
    table
}

fn endpoint_row(title: &str, endpoint: &EndpointStatus) -> [String; 8] {
    let health = if endpoint.ejected { format!("{}, ejected", endpoint.health) } else { endpoint.health.clone() };
    let skip = endpoint.history.len().saturating_sub(HISTORY);
    let failure = endpoint.last_failure.as_ref();
    [
        title.to_owned(),
        endpoint.site_system.clone(),
        endpoint.address.clone(),
        health,
        endpoint.since.map(ago).unwrap_or_default(),
        endpoint.in_flight.to_string(),
        endpoint.history.chars().skip(skip).collect(),
        failure.map(|failure| format!("{} ago: {}", ago(failure.at), short(&failure.cause))).unwrap_or_default(),
    ]
}

/// The beginning of a text that may quote a whole page; `--json` has all of it.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(CAUSE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn groups(status: &Status) -> Table {
    let mut table = table(&["BOUNDARY GROUP", "SITE SYSTEMS", "FALLS BACK TO"]);
    for group in &status.boundary_groups {
        let servers = group.servers.iter().map(|(role, systems)| format!("{role}: {}", systems.join(", ")));
        let fallback = group.fallback.iter().map(|(role, links)| {
            let links = links.iter().map(|(group, minutes)| format!("{group} after {minutes} min"));
            format!("{role}: {}", links.collect::<Vec<_>>().join(", "))
        });
        table.add_row([
            group.name.clone(),
            servers.collect::<Vec<_>>().join("\n"),
            fallback.collect::<Vec<_>>().join("\n"),
        ]);
    }
    table
}

/// Time since then, in its two largest units.
pub(super) fn ago(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    span((now.as_secs_f64() - seconds).max(0.0).floor())
}
