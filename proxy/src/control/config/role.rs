//! What a role finally is: its preset, what `[roles.NAME]` overrides, and what differs on one site system.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;

use super::problem::{Problems, nearest, quoted};
use super::types::{RoleOnSiteSystem, RoleOverrides};
use crate::model::field_set::FieldSet;
use crate::model::presets;
use crate::model::role::{Balance, Locality, Naming, Panic, Protocol, Reach, Role};
pub use fallback::{check_time, count};
use fields::{duration, number, override_retry, override_timeouts, port, word};
pub use paths::covers as path_covers;

mod connections;
pub(in crate::control) mod fallback;
pub(in crate::control) mod fields;
mod paths;
mod probe;
mod staying;
pub(in crate::control) mod text;

const PLAIN: &str = "plain";
const WEIGHTS: RangeInclusive<u32> = 1..=1000;

const LOCALITIES: [(&str, Locality); 4] = [
    ("boundary-groups", Locality::BoundaryGroups),
    ("boundary-groups-or-site", Locality::BoundaryGroupsOrSite),
    ("prefer", Locality::Prefer),
    ("site", Locality::Site),
];
const REACHES: [(&str, Reach); 2] = [("site", Reach::Site), ("hierarchy", Reach::Hierarchy)];
const BALANCES: [(&str, Balance); 5] = [
    ("least-requests", Balance::LeastRequests),
    ("random", Balance::Random),
    ("client", Balance::Client),
    ("content", Balance::Content),
    ("device", Balance::Device),
];
const PANICS: [(&str, Panic); 2] = [("serve", Panic::Serve), ("refuse", Panic::Refuse)];

/// The name under which a role is kept: the preset's own, whatever abbreviation was written, or for a role of one's own
/// the name in small letters with `-` between its words.
pub fn role_key(name: &str) -> String {
    match presets::canonical(name) {
        Some(canonical) => canonical.to_owned(),
        None => name.trim().to_ascii_lowercase().replace([' ', '_'], "-"),
    }
}

/// The role of this name with its overrides. `None` when there is no such role, which is then an error at `name`.
///
/// To be called once for each role, because it reports what is wrong with the overrides.
pub fn effective_role(
    name: &Spanned<String>,
    overrides: Option<&RoleOverrides>,
    problems: &mut Problems,
) -> Option<Role> {
    let mut role = base(name, overrides, problems)?;
    if let Some(overrides) = overrides {
        override_role(&mut role, overrides, &name.span(), problems);
    }
    Some(role)
}

/// The role as one site system holds it. Its weight is not part of the role: see [`weight`].
pub fn on_site_system(role: &Role, entry: &RoleOnSiteSystem, problems: &mut Problems) -> Role {
    let at = entry.role.as_ref().map_or(0..0, Spanned::span);
    let mut role = role.clone();
    role.tls = entry.tls.unwrap_or(role.tls);
    let tls = role.tls;
    role.lend_certificate = entry.lend_certificate.as_ref().map_or(role.lend_certificate, |lend| *lend.get_ref());
    connections::override_tells(&mut role, entry.via.as_ref(), entry.forwarded.as_ref(), problems);
    override_replica(&mut role, entry.replica.as_ref(), problems);
    port(if tls { &mut role.tls_port } else { &mut role.port }, entry.port.as_ref(), problems);
    number(&mut role.max_requests, entry.max_requests.as_ref(), "max_requests", 1..=u32::MAX, problems);
    duration(&mut role.slow_start, entry.slow_start);
    override_timeouts(&mut role.timeouts, &entry.timeouts, problems);
    probe::override_probe(&mut role, &entry.probe, &at, problems);
    probe::override_passive(&mut role.passive, &entry.passive, &at, problems);
    role
}

/// A weight as written, or `absent`.
pub fn weight(written: Option<&Spanned<u32>>, absent: u32, problems: &mut Problems) -> u32 {
    let mut weight = absent;
    number(&mut weight, written, "weight", WEIGHTS, problems);
    weight
}

fn base(name: &Spanned<String>, overrides: Option<&RoleOverrides>, problems: &mut Problems) -> Option<Role> {
    let written = name.get_ref();
    match (presets::find(written), overrides.and_then(|own| own.preset.as_ref())) {
        (Some(known), None) => Some(known),
        (Some(known), Some(preset)) => {
            if presets::canonical(preset.get_ref()) != Some(known.name.as_str()) {
                problems.error(
                    preset.span(),
                    format!("{} is a role of ConfigMgr and does not start from another preset", quoted(written)),
                    "leave `preset` out, or choose another name for a role of your own",
                );
            }
            Some(known)
        }
        (None, Some(preset)) => own_role(name, preset, problems),
        (None, None) => {
            match overrides {
                Some(_) => without_preset(name, problems),
                None => unknown_role(name, problems),
            }
            None
        }
    }
}

fn own_role(name: &Spanned<String>, preset: &Spanned<String>, problems: &mut Problems) -> Option<Role> {
    let key = role_key(name.get_ref());
    if key.is_empty() || key.len() > 64 || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
        problems.error(
            name.span(),
            format!("{} cannot be the name of a role", quoted(name.get_ref())),
            "use up to 64 letters, digits, - and .: the name is used in metrics",
        );
        return None;
    }
    let written = preset.get_ref();
    let start =
        if written.trim().eq_ignore_ascii_case(PLAIN) { Some(presets::plain()) } else { presets::find(written) };
    let Some(start) = start else {
        let help = match nearest(written, presets::known_names().chain([PLAIN])) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "write the name of a role such as \"management-point\", or \"plain\"".to_owned(),
        };
        problems.error(preset.span(), format!("there is no preset {}", quoted(written)), help);
        return None;
    };
    let times_of = presets::canonical(written).map(str::to_owned);
    Some(Role { name: key, short: String::new(), title: name.get_ref().trim().to_owned(), times_of, ..start })
}

/// A section of a role that is none of ConfigMgr's, and does not say what it starts from.
fn without_preset(name: &Spanned<String>, problems: &mut Problems) {
    let written = name.get_ref();
    if let Some(why) = presets::without_clients(written) {
        problems.error(name.span(), why, "leave this role out: there is nothing to balance");
        return;
    }
    let own = "for a role of your own, add preset = \"plain\" below it, or the name of a role to start from";
    let help = match nearest(written, presets::known_names()) {
        Some(near) => format!("did you mean {near:?}? {own}"),
        None => own.to_owned(),
    };
    problems.error(name.span(), format!("there is no role {}", quoted(written)), help);
}

fn unknown_role(name: &Spanned<String>, problems: &mut Problems) {
    let written = name.get_ref();
    if let Some(why) = presets::without_clients(written) {
        problems.error(name.span(), why, "leave this role out: there is nothing to balance");
        return;
    }
    let own = "for a role of your own, give it a section [roles.NAME] with preset = \"plain\"";
    let help = match nearest(written, presets::known_names()) {
        Some(near) => format!("did you mean {near:?}? {own}"),
        None => own.to_owned(),
    };
    problems.error(name.span(), format!("there is no role {}", quoted(written)), help);
}

fn override_role(role: &mut Role, o: &RoleOverrides, at: &Range<usize>, problems: &mut Problems) {
    override_requests(role, o, at, problems);
    port(&mut role.port, o.port.as_ref(), problems);
    port(&mut role.tls_port, o.tls_port.as_ref(), problems);
    role.tls = o.tls.unwrap_or(role.tls);
    connections::override_connections(role, o, problems);
    word(&mut role.locality, o.locality.as_ref(), "locality", &LOCALITIES, problems);
    word(&mut role.reach, o.reach.as_ref(), "reach", &REACHES, problems);
    fallback::override_fallback(role, o, problems);
    override_balance(role, o.balance.as_ref(), problems);
    staying::override_staying(role, o, problems);
    word(&mut role.panic, o.panic.as_ref(), "panic", &PANICS, problems);
    override_connection_auth(role, o, problems);
    override_retry(&mut role.retry, &o.retry, problems);
    role.max_body = o.max_body.map_or(role.max_body, |size| size.get());
    number(&mut role.max_requests, o.max_requests.as_ref(), "max_requests", 1..=u32::MAX, problems);
    duration(&mut role.slow_start, o.slow_start);
    override_timeouts(&mut role.timeouts, &o.timeouts, problems);
    probe::override_probe(role, &o.probe, at, problems);
    probe::override_passive(&mut role.passive, &o.passive, at, problems);
    check_together(role, o, problems);
}

/// The fields that only make sense for a role of requests.
fn override_requests(role: &mut Role, o: &RoleOverrides, at: &Range<usize>, problems: &mut Problems) {
    let lists = [
        ("paths", &o.paths),
        ("paths_add", &o.paths_add),
        ("paths_remove", &o.paths_remove),
        ("session_paths", &o.session_paths),
        ("site_database_paths", &o.site_database_paths),
        ("methods", &o.methods),
        ("hosts", &o.hosts),
        ("strip_fields", &o.strip_fields),
        ("upgrades", &o.upgrades),
    ];
    if role.protocol == Protocol::Tcp {
        for (key, list) in lists {
            if let Some(list) = list {
                no_meaning(role, key, list.first().map_or(at.clone(), Spanned::span), problems);
            }
        }
        return;
    }
    paths::override_paths(role, o, at, problems);
    paths::override_parts(role, o, problems);
    if let Some(list) = &o.methods {
        role.methods = text::each(list, text::method, problems);
    }
    if let Some(list) = &o.hosts {
        role.hosts = text::each(list, text::host, problems);
    }
    if let Some(list) = &o.strip_fields {
        role.strip_fields = FieldSet::new(text::each(list, text::stripped_field, problems));
    }
    if let Some(list) = &o.upgrades {
        role.upgrades = text::each(list, text::upgrade, problems);
    }
}

/// A replica is another server only where some path needs the site database itself.
fn override_replica(role: &mut Role, written: Option<&Spanned<bool>>, problems: &mut Problems) {
    let Some(written) = written else { return };
    role.replica = *written.get_ref();
    if role.replica && role.site_database_paths.is_empty() {
        problems.error(
            written.span(),
            format!("no path of the role {} needs the site database, so a replica makes no difference", role.title),
            format!("take replica out, or write site_database_paths in [roles.{}]", role.name),
        );
    }
}

fn override_balance(role: &mut Role, written: Option<&Spanned<String>>, problems: &mut Problems) {
    if let Some(written) = written.filter(|written| written.get_ref().eq_ignore_ascii_case("named")) {
        let message = "`balance` does not say whether a name in `Host` counts";
        problems.error(written.span(), message, "write named = \"only\" instead");
        return;
    }
    word(&mut role.balance, written, "balance", &BALANCES, problems);
}

fn override_connection_auth(role: &mut Role, o: &RoleOverrides, problems: &mut Problems) {
    let Some(written) = &o.connection_auth else { return };
    role.connection_auth = *written.get_ref();
    if !role.connection_auth && role.protocol == Protocol::Http {
        problems.warning(
            written.span(),
            "a client that signs in with NTLM or Negotiate would sign in a connection that others use too",
            "leave connection_auth out, unless no site system of this role asks for Windows authentication",
        );
    }
}

/// For a role of bytes.
fn no_meaning(role: &Role, key: &str, at: Range<usize>, problems: &mut Problems) {
    let message = format!("`{key}` has no meaning for the role {}: its bytes are not looked into", role.name);
    problems.error(at, message, format!("leave `{key}` out"));
}

/// Fields that are right one by one and wrong together.
fn check_together(role: &Role, o: &RoleOverrides, problems: &mut Problems) {
    if let (Some(balance), Protocol::Tcp, Balance::Content) = (&o.balance, role.protocol, role.balance) {
        problems.error(
            balance.span(),
            format!(
                "the role {} has no requests, so {} cannot be told from them",
                role.name,
                quoted(balance.get_ref())
            ),
            "write \"least-requests\", \"random\", \"client\" or \"device\"",
        );
    }
    for list in [&o.session_paths, &o.site_database_paths] {
        if let (Some(first), Balance::Content) = (list.as_ref().and_then(|list| list.first()), role.balance) {
            let message =
                "with balance = \"content\" what follows the role's path is a content, so no part of it differs";
            problems.error(first.span(), message, "leave it out, or make another role for this path");
        }
    }
    if let (Balance::Device, Naming::Only) = (role.balance, role.named) {
        let at = o.balance.as_ref().map(Spanned::span).or(o.named.as_ref().map(Spanned::span)).unwrap_or_default();
        problems.error(
            at,
            "balance = \"device\" and named = \"only\" both say which site system a request belongs to",
            "write one of them; with balance = \"device\" also named = \"ignore\"",
        );
    }
    if let (Some(attempts), Naming::Only) = (&o.retry.attempts, role.named)
        && role.retry.attempts > 0
    {
        let message = "with named = \"only\" there is no other site system to try";
        problems.warning(attempts.span(), message, "write attempts = 0");
    }
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
