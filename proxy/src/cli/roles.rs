//! `rolegate roles`: the table of presets for a person, and as JSON.

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets as looks};
use serde_json::json;

use super::failure::Mistake;
use super::say;
use crate::control::config::nearest;
use crate::model::presets;
use crate::model::role::{Fallback, ProbeKind, Protocol, Role};

/// What the table says of each role.
const COLUMNS: [&str; 6] = ["ROLE", "SHORT", "PATHS", "PORTS", "BALANCING", "PROBE"];
/// Columns of a narrow table,
const NARROW: usize = 4;
/// which is that of a terminal with less than so many.
const WIDE: u16 = 110;

/// Below the table.
const NOTES: &str = "\
* not confirmed by public documentation: check it; [roles.NAME] overrides it
`rolegate roles NAME` shows every field of a role.
`[roles.NAME] preset = \"plain\"` makes one of your own.";

/// Prints all roles, or one with every field.
pub(super) fn print(name: Option<&str>, as_json: bool) -> anyhow::Result<ExitCode> {
    let roles = match name {
        None => presets::presets(),
        Some(name) => {
            if let Some(why) = presets::without_clients(name) {
                return Err(Mistake::usage(why).into());
            }
            let plain = name.eq_ignore_ascii_case("plain").then(presets::plain);
            match plain.or_else(|| presets::find(name)) {
                Some(role) => vec![role],
                None => return Err(missing(name).into()),
            }
        }
    };
    if as_json {
        let list: Vec<_> =
            roles.iter().map(|role| json!({ "role": role, "assumptions": presets::assumptions(&role.name) })).collect();
        say::json(serde_json::to_string_pretty(&list)?)?;
    } else if name.is_some() {
        say::out(roles.iter().map(details).collect::<String>())?;
    } else {
        say::out(format_args!("{}\n\n{NOTES}", overview(&roles)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn missing(name: &str) -> Mistake {
    let help = match nearest(name, presets::known_names()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "`rolegate roles` lists them".to_owned(),
    };
    Mistake::usage(format!("there is no role {name:?}")).help(help)
}

fn overview(roles: &[Role]) -> Table {
    let mut table = Table::new();
    table.load_preset(looks::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(say::width().unwrap_or(160));
    let columns = if say::width().is_some_and(|width| width < WIDE) { NARROW } else { COLUMNS.len() };
    table.set_header(&COLUMNS[..columns]);
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    for role in roles {
        let assumed = |field: &str| if presets::assumptions(&role.name).contains(&field) { " *" } else { "" };
        let paths = if role.protocol == Protocol::Tcp { "(TCP)".to_owned() } else { role.paths.join(" ") };
        let ports = if role.tls { role.tls_port.to_string() } else { role.port.to_string() };
        let row = [
            role.name.clone(),
            role.short.clone(),
            format!("{paths}{}", assumed("paths")),
            ports,
            word(&role.balance),
            format!("{}{}", probe(role), assumed("probe.target")),
        ];
        table.add_row(&row[..columns]);
    }
    table
}

fn probe(role: &Role) -> String {
    match &role.probe.kind {
        ProbeKind::None => "none".to_owned(),
        ProbeKind::Tcp => "TCP connect".to_owned(),
        ProbeKind::Http(http) => format!("{} {}", http.method, http.target),
    }
}

fn sources(role: &Role) -> String {
    if role.source_addresses.is_empty() {
        return "those of the system".to_owned();
    }
    role.source_addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A closed enum as the word that the configuration uses.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn details(role: &Role) -> String {
    let list = |items: &[String]| if items.is_empty() { "any".to_owned() } else { items.join(" ") };
    let time = |duration: Duration| humantime::format_duration(duration).to_string();
    let fallback = match role.default_fallback {
        Fallback::Minutes(minutes) => format!("{minutes} min"),
        Fallback::Never => "never".to_owned(),
    };
    let timeouts = &role.timeouts;
    let schedule = &role.probe.schedule;
    let rows = [
        ("title", role.title.clone()),
        ("short", role.short.clone()),
        ("protocol", word(&role.protocol)),
        ("paths", list(&role.paths)),
        ("session_paths", list(&role.session_paths)),
        ("site_database_paths", list(&role.site_database_paths)),
        ("methods", list(&role.methods)),
        ("hosts", list(&role.hosts)),
        ("port", role.port.to_string()),
        ("tls_port", role.tls_port.to_string()),
        ("tls", role.tls.to_string()),
        ("http2", role.http2.to_string()),
        ("lend_certificate", role.lend_certificate.to_string()),
        ("client_certificates", word(&role.client_certificates)),
        ("via", role.via.to_string()),
        ("forwarded", role.forwarded.to_string()),
        ("proxy_protocol", word(&role.proxy_protocol)),
        ("source_addresses", sources(role)),
        ("strip_fields", role.strip_fields.written().join(" ")),
        ("upgrades", if role.upgrades.is_empty() { "none".to_owned() } else { role.upgrades.join(" ") }),
        ("locality", word(&role.locality)),
        ("reach", word(&role.reach)),
        ("default_fallback", fallback),
        ("fallback_rule", word(&role.fallback_rule)),
        ("clock", word(&role.clock)),
        ("balance", word(&role.balance)),
        ("hash_balance_factor", role.hash_balance_factor.to_string()),
        ("same_subnet_first", role.same_subnet_first.to_string()),
        ("affinity", role.affinity.map_or("off".to_owned(), time)),
        ("client_field", role.client_field.clone().unwrap_or_else(|| "none (the client's address)".to_owned())),
        ("named", word(&role.named)),
        ("upload_affinity", role.upload_affinity.to_string()),
        ("panic", word(&role.panic)),
        ("connection_auth", role.connection_auth.to_string()),
        ("retry.attempts", role.retry.attempts.to_string()),
        ("retry.methods", role.retry.methods.join(" ")),
        ("retry.on_status", role.retry.on_status.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")),
        ("max_body", role.max_body.map_or("unlimited".to_owned(), |max| bytesize::ByteSize(max).to_string())),
        ("max_requests", role.max_requests.to_string()),
        ("slow_start", time(role.slow_start)),
        ("timeouts.connect", time(timeouts.connect)),
        ("timeouts.response_header", time(timeouts.response_header)),
        ("timeouts.request_body_idle", time(timeouts.request_body_idle)),
        ("timeouts.response_body_idle", time(timeouts.response_body_idle)),
        ("timeouts.total", timeouts.total.map_or("unlimited".to_owned(), time)),
        ("timeouts.upstream_idle", time(timeouts.upstream_idle)),
        ("timeouts.tunnel_idle", time(timeouts.tunnel_idle)),
        ("probe", probe(role)),
        ("probe.interval", time(schedule.interval)),
        ("probe.timeout", time(schedule.timeout)),
        ("probe.rise / fall", format!("{} / {}", schedule.rise, schedule.fall)),
    ];
    let assumed = presets::assumptions(&role.name);
    let mut out = format!("{}\n", role.name);
    for (field, value) in rows {
        let mark = if assumed.contains(&field) { "  * not confirmed" } else { "" };
        out.push_str(&format!("  {field:28} {value}{mark}\n"));
    }
    out
}
