//! The tables of presets as the configuration reference has them, made from the presets.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

use std::fmt::Write;

use rolegate::model::presets;
use rolegate::model::role::{Fallback, ProbeKind, Protocol, Role};
use serde::Serialize;

pub fn names(roles: &[Role]) -> String {
    let header = ["Role", "Also called", "`tls`", "`port`", "`tls_port`", "`paths`", "`hosts`"];
    let rows = roles.iter().map(|role| {
        let mut aliases = presets::known_names()
            .filter(|name| presets::canonical(name) == Some(&role.name) && *name != role.name)
            .collect::<Vec<_>>();
        aliases.dedup();
        let paths = if role.protocol == Protocol::Tcp { "any bytes (TCP)".to_owned() } else { codes(&role.paths) };
        vec![
            format!("`{}`", role.name),
            aliases.join(", "),
            role.tls.to_string(),
            role.port.to_string(),
            role.tls_port.to_string(),
            marked(role, "paths", paths),
            if role.hosts.is_empty() { "any".to_owned() } else { codes(&role.hosts) },
        ]
    });
    markdown(&header, rows)
}

pub fn behavior(roles: &[Role]) -> String {
    let header = [
        "Role",
        "`methods`",
        "`locality`",
        "`default_fallback`",
        "`balance`",
        "`panic`",
        "`connection_auth`",
        "`max_body`",
        "`max_requests`",
    ];
    let rows = roles.iter().map(|role| {
        let methods = if role.methods.is_empty() { "any".to_owned() } else { role.methods.join(" ") };
        let fallback = match role.default_fallback {
            Fallback::Minutes(minutes) => minutes.to_string(),
            Fallback::Never => "never".to_owned(),
        };
        vec![
            format!("`{}`", role.name),
            marked(role, "methods", methods),
            word(&role.locality),
            fallback,
            word(&role.balance),
            word(&role.panic),
            marked(role, "connection_auth", role.connection_auth.to_string()),
            marked(role, "max_body", size(role.max_body)),
            marked(role, "max_requests", role.max_requests.to_string()),
        ]
    });
    markdown(&header, rows)
}

pub fn staying(roles: &[Role]) -> String {
    let header = [
        "Role",
        "`named`",
        "`fallback_rule`",
        "`affinity`",
        "`hash_balance_factor`",
        "`same_subnet_first`",
        "`upload_affinity`",
        "`session_paths`",
        "`site_database_paths`",
    ];
    let parts = |list: &[String]| if list.is_empty() { "none".to_owned() } else { codes(list) };
    let rows = roles.iter().map(|role| {
        vec![
            format!("`{}`", role.name),
            word(&role.named),
            word(&role.fallback_rule),
            role.affinity.map_or("off".to_owned(), duration),
            role.hash_balance_factor.to_string(),
            role.same_subnet_first.to_string(),
            role.upload_affinity.to_string(),
            parts(&role.session_paths),
            parts(&role.site_database_paths),
        ]
    });
    markdown(&header, rows)
}

pub fn waits(roles: &[Role]) -> String {
    let header = [
        "Role",
        "`timeouts.response_header`",
        "`timeouts.total`",
        "`timeouts.tunnel_idle`",
        "`retry.attempts`",
        "`retry.methods`",
        "`retry.on_status`",
    ];
    let none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let rows = roles.iter().map(|role| {
        let statuses: Vec<String> = role.retry.on_status.iter().map(ToString::to_string).collect();
        vec![
            format!("`{}`", role.name),
            duration(role.timeouts.response_header),
            role.timeouts.total.map_or("unlimited".to_owned(), duration),
            marked(role, "timeouts.tunnel_idle", duration(role.timeouts.tunnel_idle)),
            role.retry.attempts.to_string(),
            none(role.retry.methods.join(" ")),
            none(statuses.join(" ")),
        ]
    });
    markdown(&header, rows)
}

pub fn probes(roles: &[Role]) -> String {
    let header = ["Role", "Question", "`probe.status`", "`probe.interval`", "`probe.timeout`"];
    let rows = roles.iter().map(|role| {
        let (question, status) = match &role.probe.kind {
            ProbeKind::None => ("none".to_owned(), String::new()),
            ProbeKind::Tcp if role.tls => ("opens a connection, with TLS".to_owned(), String::new()),
            ProbeKind::Tcp => ("opens a connection".to_owned(), String::new()),
            ProbeKind::Http(http) => {
                let mut question = format!("`{} {}`", http.method, http.target);
                if let Some(text) = &http.body_contains {
                    write!(question, ", the body contains `{text}`").unwrap();
                }
                if let Some(target) = &http.second_opinion {
                    write!(question, ", second opinion `{target}`").unwrap();
                }
                (question, http.status.iter().map(|range| status_range(*range)).collect::<Vec<_>>().join(", "))
            }
        };
        vec![
            format!("`{}`", role.name),
            marked(role, "probe.target", question),
            marked(role, "probe.status", status),
            duration(role.probe.schedule.interval),
            duration(role.probe.schedule.timeout),
        ]
    });
    markdown(&header, rows)
}

pub fn the_same_for_all(roles: &[Role]) -> String {
    let rows_of = |role: &Role| -> Vec<Vec<String>> {
        let (timeouts, schedule, passive) = (&role.timeouts, &role.probe.schedule, &role.passive);
        let rows = [
            ("http2", role.http2.to_string()),
            ("lend_certificate", role.lend_certificate.to_string()),
            ("client_certificates", word(&role.client_certificates)),
            ("via", role.via.to_string()),
            ("forwarded", role.forwarded.to_string()),
            ("proxy_protocol", word(&role.proxy_protocol)),
            ("source_addresses", if role.source_addresses.is_empty() { "none".to_owned() } else { "some".to_owned() }),
            ("strip_fields", codes(role.strip_fields.written())),
            ("upgrades", if role.upgrades.is_empty() { "none".to_owned() } else { codes(&role.upgrades) }),
            ("clock", word(&role.clock)),
            ("client_field", role.client_field.clone().unwrap_or_else(|| "none".to_owned())),
            ("slow_start", duration(role.slow_start)),
            ("timeouts.connect", duration(timeouts.connect)),
            ("timeouts.request_body_idle", duration(timeouts.request_body_idle)),
            ("timeouts.response_body_idle", duration(timeouts.response_body_idle)),
            ("timeouts.upstream_idle", duration(timeouts.upstream_idle)),
            ("retry.budget_percent", role.retry.budget_percent.to_string()),
            ("retry.budget_min_per_second", role.retry.budget_min_per_second.to_string()),
            ("probe.port", role.probe.port.map_or("that of the role".to_owned(), |port| port.to_string())),
            ("probe.fast_interval", duration(schedule.fast_interval)),
            ("probe.down_interval", duration(schedule.down_interval)),
            ("probe.rise", schedule.rise.to_string()),
            ("probe.fall", schedule.fall.to_string()),
            ("probe.jitter_percent", schedule.jitter_percent.to_string()),
            ("passive.consecutive_failures", passive.consecutive_failures.to_string()),
            ("passive.failure_percent", passive.failure_percent.to_string()),
            ("passive.min_requests", passive.min_requests.to_string()),
            ("passive.window", duration(passive.window)),
            ("passive.eject_time", duration(passive.eject_time)),
            ("passive.max_eject_time", duration(passive.max_eject_time)),
        ];
        rows.into_iter().map(|(key, value)| vec![format!("`{key}`"), value]).collect()
    };
    let rows = rows_of(&roles[0]);
    for role in roles {
        assert_eq!(rows_of(role), rows, "{}: move what differs into another table", role.name);
    }
    markdown(&["Key", "Default"], rows.into_iter())
}

fn markdown(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut table = line(header);
    table.push_str(&line(&vec!["---"; header.len()]));
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        table.push_str(&line(&cells));
    }
    table
}

/// A cell, with a star when no public source confirms the field.
fn marked(role: &Role, field: &str, cell: String) -> String {
    if presets::assumptions(&role.name).contains(&field) { format!("{cell} \\*") } else { cell }
}

fn codes(list: &[String]) -> String {
    list.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(" ")
}

/// A closed enum as the word that the configuration uses.
pub fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn status_range((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

pub fn duration(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A size as one writes it.
pub fn size(bytes: Option<u64>) -> String {
    match bytes {
        None => "unlimited".to_owned(),
        Some(bytes) if bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
        Some(bytes) if bytes % (1 << 10) == 0 => format!("{}KiB", bytes >> 10),
        Some(bytes) => bytes.to_string(),
    }
}
