//! `rolegate status` for a person.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::say;
use crate::control::certificates::date;
use crate::control::state_file::date as wall;
use crate::status::{EndpointStatus, ListenerStatus, RoleStatus, SiteStatus, Status};
use crate::steering::listing::OverrideStatus;
use crate::text::{count, span, wrapped};

/// Characters of a failure that are shown.
const CAUSE: usize = 72;
/// How many of the last probes are shown.
const HISTORY: usize = 20;
/// Columns below which failures are told below the table of endpoints.
const WIDE: u16 = 120;
/// How many of the last probes are shown where there is less room.
const NARROW_HISTORY: usize = 8;
/// Characters of an address that is not broken in two.
const WHOLE: usize = 24;

/// The status as text.
pub(super) fn render(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{} {}   rolegate {}   snapshot {} (configuration {}), published {} ago",
        if status.sites.is_empty() { "site" } else { "sites" },
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
    if !status.sites.is_empty() {
        let _ = writeln!(out, "\n{}", sites(&status.sites));
    }
    let _ = writeln!(out, "\n{}", listeners(&status.listeners));
    if status.listeners.iter().any(|listener| !listener.certificates.is_empty()) {
        let _ = writeln!(out, "\n{}", certificates(&status.listeners));
    }
    let narrow = say::width().is_some_and(|width| width < WIDE);
    let _ = writeln!(out, "\n{}", endpoints(&status.roles, narrow));
    if narrow {
        out.push_str(&failures(&status.roles));
    }
    if !status.overrides.is_empty() {
        let _ = writeln!(out, "\n{}", overrides(&status.overrides));
    }
    let rules =
        status.roles.iter().filter_map(|role| Some(format!("{}: {}", role.title, role.fallback_rule.as_ref()?)));
    let mut rules: Vec<String> = rules.collect();
    rules.dedup();
    for rule in rules {
        let _ = writeln!(out, "{rule}");
    }
    if !status.boundary_groups.is_empty() {
        let _ = writeln!(out, "\n{}", groups(status));
    }
    if status.boundary_groups.iter().any(|group| !group.requests.is_empty()) {
        let _ = writeln!(out, "\n{}", requests(status));
    }
    let descriptions = descriptions(status);
    if descriptions.row_count() > 0 {
        let _ = writeln!(out, "\n{descriptions}");
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
    if let Some(width) = say::width() {
        table.set_width(width);
    }
    table
}

/// An address that is broken in two cannot be copied. A very long one leaves no room for anything else.
pub(super) fn keep_whole<'a>(table: &mut Table, column: usize, texts: impl Iterator<Item = &'a String>) {
    let longest = texts.map(|text| text.chars().count()).max().unwrap_or_default();
    if let Some(column) = table.column_mut(column).filter(|_| longest <= WHOLE) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

fn listeners(listeners: &[ListenerStatus]) -> Table {
    let mut table = table(&["LISTENER", "ADDRESS", "CLIENTS SPEAK", "CLIENT CERTIFICATES", "ROLES"]);
    for listener in listeners {
        let mut speak = vec![listener.security.as_str()];
        speak.extend(listener.http2.then_some("HTTP/2"));
        speak.extend(listener.proxy_protocol.then_some("PROXY protocol"));
        table.add_row([
            listener.name.clone(),
            listener.address.clone(),
            speak.join(", "),
            listener.client_certificates.clone().unwrap_or_default(),
            listener.roles.join(", "),
        ]);
    }
    keep_whole(&mut table, 1, listeners.iter().map(|listener| &listener.address));
    table
}

fn sites(sites: &[SiteStatus]) -> Table {
    let mut table = table(&["SITE", "SECONDARY OF", "NAMES", "BOUNDARY GROUPS"]);
    for site in sites {
        table.add_row([
            site.code.clone(),
            site.primary.clone().unwrap_or_default(),
            site.hosts.join(", "),
            site.boundary_groups.join(", "),
        ]);
    }
    table
}

fn certificates(listeners: &[ListenerStatus]) -> Table {
    let mut table = table(&["CERTIFICATE", "LISTENER", "FILE", "ENDS", "LEFT"]);
    for listener in listeners {
        for certificate in &listener.certificates {
            let ends = date(certificate.not_after as i64);
            let left = match certificate.days_left {
                ..0 => "EXPIRED".to_owned(),
                days => count(usize::try_from(days).unwrap_or_default(), "day"),
            };
            table.add_row([
                certificate.names.join(", "),
                listener.name.clone(),
                certificate.file.clone(),
                ends.split('T').next().unwrap_or_default().to_owned(),
                left,
            ]);
        }
    }
    table
}

fn endpoints(roles: &[RoleStatus], narrow: bool) -> Table {
    let header = ["ROLE", "SITE SYSTEM", "ADDRESS", "HEALTH", "FOR", "IN FLIGHT", "LAST PROBES", "LAST FAILURE"];
    let mut table = table(&header[..if narrow { 7 } else { 8 }]);
    for role in roles {
        let site = role.site.as_ref().map(|site| format!(" @{site}")).unwrap_or_default();
        let panic = if role.panic { " (panic)" } else { "" };
        let title = format!("{}{site}{panic}", role.title);
        if role.endpoints.is_empty() {
            table.add_row([title.as_str(), "-", "-", "unresolved", "", "", "", ""]);
        }
        for (place, endpoint) in role.endpoints.iter().enumerate() {
            let title = if place == 0 { title.as_str() } else { "" };
            let mut row = endpoint_row(title, endpoint, if narrow { NARROW_HISTORY } else { HISTORY }).to_vec();
            row.truncate(if narrow { 7 } else { 8 });
            table.add_row(row);
        }
    }
    keep_whole(&mut table, 2, roles.iter().flat_map(|role| &role.endpoints).map(|endpoint| &endpoint.address));
    table
}

/// The last failures, where the table has no room for them.
fn failures(roles: &[RoleStatus]) -> String {
    let mut out = String::new();
    for endpoint in roles.iter().flat_map(|role| &role.endpoints) {
        let Some(failure) = &endpoint.last_failure else { continue };
        let (system, address, cause) = (&endpoint.site_system, &endpoint.address, one_line(&failure.cause));
        let line = format!("last failure of {system} {address}, {} ago: {}", ago(failure.at), short(&cause));
        let width = say::width().map_or(usize::from(WIDE), usize::from);
        let _ = writeln!(out, "{}", wrapped(&line, width.saturating_sub(2)).join("\n  "));
    }
    out
}

/// A text of a server's, in one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is known of its health, in a word or two.
pub(super) fn health(endpoint: &EndpointStatus) -> String {
    let mut health = endpoint.health.clone();
    if endpoint.ejected {
        health += ", ejected";
    }
    match endpoint.steered.as_str() {
        "" => {}
        "drain" => health += ", drained",
        steered => health = format!("{health}, {steered}"),
    }
    health
}

fn endpoint_row(title: &str, endpoint: &EndpointStatus, history: usize) -> [String; 8] {
    let skip = endpoint.history.len().saturating_sub(history);
    let failure = endpoint.last_failure.as_ref();
    [
        title.to_owned(),
        endpoint.site_system.clone(),
        endpoint.address.clone(),
        health(endpoint),
        endpoint.since.map(ago).unwrap_or_default(),
        endpoint.in_flight.to_string(),
        endpoint.history.chars().skip(skip).collect(),
        failure
            .map(|failure| format!("{} ago: {}", ago(failure.at), short(&one_line(&failure.cause))))
            .unwrap_or_default(),
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

/// What people have written about things that have a name.
fn descriptions(status: &Status) -> Table {
    let site = [("site", status.site.as_str(), &status.description)];
    let listeners = status.listeners.iter().map(|listener| ("listener", listener.name.as_str(), &listener.description));
    let roles = status.roles.iter().map(|role| ("role", role.title.as_str(), &role.description));
    let endpoints = status.roles.iter().flat_map(|role| &role.endpoints);
    let systems = endpoints.map(|endpoint| ("site system", endpoint.site_system.as_str(), &endpoint.description));
    let groups = status.boundary_groups.iter().map(|group| ("boundary group", group.name.as_str(), &group.description));
    let all = site.into_iter().chain(listeners).chain(roles).chain(systems).chain(groups);
    let mut table = table(&["WHAT", "NAME", "DESCRIPTION"]);
    let mut rows: Vec<[&str; 3]> = Vec::new();
    for (what, name, description) in all {
        let row = [what, name, description.as_deref().unwrap_or_default()];
        // A site system has an endpoint in each of its roles.
        if !row[2].is_empty() && !rows.contains(&row) {
            rows.push(row);
        }
    }
    table.add_rows(rows);
    table
}

fn requests(status: &Status) -> Table {
    let mut table = table(&["CLIENTS OF", "ROLE", "ANSWERED BY TIER", "NOT ANSWERED", "BYTES"]);
    for group in &status.boundary_groups {
        for (place, asked) in group.requests.iter().enumerate() {
            let answered = asked.answered.iter().map(|(tier, count)| format!("{tier} {count}"));
            table.add_row([
                if place == 0 { group.name.clone() } else { String::new() },
                asked.role.clone(),
                answered.collect::<Vec<_>>().join(", "),
                asked.failed.to_string(),
                asked.bytes.to_string(),
            ]);
        }
    }
    table
}

/// What people have decided, in `rolegate status`.
fn overrides(list: &[OverrideStatus]) -> Table {
    let mut table = table(&["OVERRIDE OF", "ROLE", "WHAT", "BY", "SINCE", "BEGINS", "ENDS", "STATE", "COMMENT"]);
    for OverrideStatus { written, state } in list {
        let what = match &written.weight {
            Some(weight) => format!("weight {weight}"),
            None => written.kind.clone(),
        };
        table.add_row([
            written.site_system.clone(),
            written.role.clone().unwrap_or_default(),
            what,
            written.by.clone(),
            wall(written.since),
            written.begin.map(wall).unwrap_or_default(),
            written.end.map(wall).unwrap_or_default(),
            state.clone(),
            written.comment.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// Time since then, in its two largest units.
pub(super) fn ago(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    span((now.as_secs_f64() - seconds).max(0.0).floor())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::state_file::Written;
    use crate::status::{CertificateStatus, GroupStatus, RequestsStatus};

    #[test]
    fn overrides_as_text() {
        let drain = Written {
            site_system: "dp1".to_owned(),
            role: Some("distribution-point".to_owned()),
            kind: "drain".to_owned(),
            by: "anna".to_owned(),
            comment: Some("new disks".to_owned()),
            ..Written::default()
        };
        let weight = Written { kind: "weight".to_owned(), weight: Some("50%".to_owned()), ..drain.clone() };
        let list = [drain, weight].map(|written| OverrideStatus { written, state: "holds".to_owned() });
        let text = overrides(&list).to_string();
        for part in ["OVERRIDE OF", "dp1", "drain", "weight 50%", "anna", "1970-01-01T00:00:00Z", "holds", "new disks"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn what_clients_of_groups_have_asked_is_shown_when_they_have() {
        let asked = RequestsStatus {
            role: "distribution-point".to_owned(),
            answered: vec![("current".to_owned(), 17), ("neighbor".to_owned(), 2)],
            failed: 3,
            bytes: 4096,
        };
        let mut group = GroupStatus { name: "Hamburg".to_owned(), requests: vec![asked], ..GroupStatus::default() };
        let text = render(&Status { boundary_groups: vec![group.clone()], ..Status::default() });
        let line = text.lines().find(|line| line.contains("current 17, neighbor 2")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["Hamburg", "distribution-point", "current", "17,", "neighbor", "2", "3", "4096"]);
        group.requests.clear();
        let text = render(&Status { boundary_groups: vec![group], ..Status::default() });
        assert!(!text.contains("ANSWERED"), "{text}");
    }

    #[test]
    fn sites_and_whose_role_it_is_are_shown() {
        let site = |code: &str, primary: Option<&str>| SiteStatus {
            code: code.to_owned(),
            primary: primary.map(str::to_owned),
            hosts: vec![format!("{code}.lab.test")],
            ..SiteStatus::default()
        };
        let role = |site: Option<&str>| RoleStatus {
            title: "Management point".to_owned(),
            site: site.map(str::to_owned),
            fallback_rule: Some("the rule".to_owned()),
            ..RoleStatus::default()
        };
        let status = Status {
            site: "P01, S01".to_owned(),
            sites: vec![site("P01", None), site("S01", Some("P01"))],
            roles: vec![role(Some("P01")), role(Some("P02"))],
            ..Status::default()
        };
        let text = render(&status);
        for part in ["sites P01, S01   rolegate", "SECONDARY OF", "S01.lab.test", "Management point @P02"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("the rule").count(), 1, "{text}");
        let text = render(&Status { site: "P01".to_owned(), roles: vec![role(None)], ..Status::default() });
        assert!(text.starts_with("site P01 ") && !text.contains('@') && !text.contains("SECONDARY"), "{text}");
    }

    #[test]
    fn listeners_and_their_certificates_are_shown() {
        let certificate = |name: &str, days_left: i64| CertificateStatus {
            names: vec![name.to_owned(), "127.0.0.1".to_owned()],
            file: "/etc/rolegate/mp1.crt".to_owned(),
            not_before: 0.0,
            not_after: 86_400.0 * 365.0,
            days_left,
        };
        let mut https = ListenerStatus {
            description: None,
            name: "https".to_owned(),
            address: "0.0.0.0:443".to_owned(),
            roles: vec!["management-point".to_owned()],
            security: "tls".to_owned(),
            http2: true,
            proxy_protocol: true,
            client_certificates: Some("required".to_owned()),
            certificates: vec![certificate("mp1.lab.test", 1), certificate("old.lab.test", -1)],
        };
        let status = Status { listeners: vec![https.clone()], ..Status::default() };
        let text = render(&status);
        for part in [
            "tls, HTTP/2, PROXY protocol",
            "0.0.0.0:443",
            "required",
            "mp1.lab.test, 127.0.0.1",
            "1971-01-01",
            "1 day",
            "EXPIRED",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        https.certificates.clear();
        let text = render(&Status { listeners: vec![https], ..Status::default() });
        assert!(!text.contains("ENDS"), "{text}");
    }
}
