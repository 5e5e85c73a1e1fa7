//! A configuration in the words of the site: what two of them differ in is told from this, and not from their text.
//!
//! Everything has its value, be it written or a default. Names of roles, ranges of addresses and times that mean the same are
//! the same here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::compile::Compiled;
use super::config::{BoundaryEntry, Config, GroupEntry, RoleEntry, parse_boundary, role_key};
use crate::model::role::Role;

/// What is said of something: its settings by name. A list means its elements, in no order.
pub type Facts = BTreeMap<String, Value>;

/// A kind of things that a site has.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A site: one, or several.
    Site,
    /// A listener.
    Listener,
    /// A role that is used.
    Role,
    /// A site system.
    SiteSystem,
    /// A boundary group, site default boundary groups included.
    BoundaryGroup,
    /// Where clients of a boundary group fall back to.
    Relationship,
    /// A site of Active Directory.
    AdSite,
    /// A section of settings.
    Settings,
}

impl Kind {
    /// In words, for one of them.
    pub fn words(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Listener => "listener",
            Self::Role => "role",
            Self::SiteSystem => "site system",
            Self::BoundaryGroup => "boundary group",
            Self::Relationship => "relationship",
            Self::AdSite => "Active Directory site",
            Self::Settings => "settings of",
        }
    }
}

/// All that a configuration says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[schema(value_type = HashMap<String, HashMap<String, HashMap<String, Value>>>)]
pub struct Described(pub BTreeMap<Kind, BTreeMap<String, Facts>>);

/// Describes a configuration that can be served. `roles` are those that it makes, with the sites that have their own.
pub fn describe<'a>(config: &Config, roles: impl Iterator<Item = (&'a Role, Option<&'a str>)>) -> Described {
    let mut all = Described::default();
    sites(config, &mut all);
    for listener in &config.listeners {
        let mut facts = flat(listener);
        let address = facts.get("address").map(text_of).unwrap_or_default();
        let name = facts.remove("name").map_or(address, |name| text_of(&name));
        roles_by_key(&mut facts);
        all.add(Kind::Listener, name, facts);
    }
    for (role, site) in roles {
        let name = site.map_or_else(|| role.name.clone(), |site| format!("{}@{site}", role.name));
        let mut facts = flat(role);
        for known in ["name", "short", "title"] {
            facts.remove(known);
        }
        all.add(Kind::Role, name, facts);
    }
    site_systems(config, &mut all);
    groups(config, &mut all);
    for (name, subnets) in &config.ad_sites {
        let subnets = subnets.iter().map(|subnet| Value::from(normal_range(subnet.get_ref()))).collect();
        all.add(Kind::AdSite, name.get_ref().clone(), Facts::from([("subnets".to_owned(), subnets)]));
    }
    settings(config, &mut all);
    all
}

/// The roles of a configuration that no process serves.
pub fn roles_of(compiled: &Compiled) -> impl Iterator<Item = (&Role, Option<&str>)> {
    compiled.roles.iter().map(|plan| (&*plan.role, plan.site.as_deref()))
}

impl Described {
    fn add(&mut self, kind: Kind, name: String, facts: Facts) {
        self.0.entry(kind).or_default().entry(name).or_default().extend(facts);
    }
}

fn sites(config: &Config, all: &mut Described) {
    if config.sites.is_empty() {
        let mut facts = flat(&config.site);
        let code = facts.remove("code").map(|code| text_of(&code)).unwrap_or_default();
        all.add(Kind::Site, code, facts);
        group_by_default(&config.default_boundary_group, "default".to_owned(), all);
    }
    for site in &config.sites {
        let mut facts = flat(site);
        let code = facts.remove("code").map(|code| text_of(&code)).unwrap_or_default();
        facts.retain(|name, _| !name.starts_with("default_boundary_group"));
        group_by_default(&site.default_boundary_group, format!("default of {code}"), all);
        all.add(Kind::Site, code, facts);
    }
}

fn group_by_default(group: &super::config::DefaultBoundaryGroup, name: String, all: &mut Described) {
    let mut facts = flat(group);
    facts.retain(|name, _| !name.starts_with("fallback"));
    let fallback = group.fallback.iter().map(|(role, time)| times(role.get_ref(), time.get_ref()));
    let fallback: Facts = fallback.collect();
    if !fallback.is_empty() {
        all.add(Kind::Relationship, format!("all groups -> {name}"), fallback);
    }
    if !facts.is_empty() {
        all.add(Kind::BoundaryGroup, name, facts);
    }
}

fn times(role: &str, time: &impl Serialize) -> (String, Value) {
    let value = match serde_json::to_value(time).unwrap_or_default() {
        Value::Number(minutes) => Value::from(format!("{minutes} min")),
        other => other,
    };
    (role_key(role), value)
}

fn site_systems(config: &Config, all: &mut Described) {
    for system in &config.site_systems {
        let mut facts = flat(system);
        facts.retain(|name, _| name != "roles" && name != "name");
        facts.entry("weight".to_owned()).or_insert_with(|| Value::from(100));
        let mut roles = Vec::new();
        for entry in system.roles() {
            let (name, own) = match entry.get_ref() {
                RoleEntry::Name(name) => (role_key(name), Facts::new()),
                RoleEntry::Table(table) => {
                    let written = table.role.as_ref().map(|role| role.get_ref().as_str()).unwrap_or_default();
                    (role_key(written), flat(table))
                }
            };
            let own = own.into_iter().filter(|(field, _)| field != "role");
            facts.extend(own.map(|(field, value)| (format!("{name} {field}"), value)));
            roles.push(Value::from(name));
        }
        facts.insert("roles".to_owned(), Value::from(roles));
        let name = system.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default();
        all.add(Kind::SiteSystem, name, facts);
    }
}

fn groups(config: &Config, all: &mut Described) {
    for group in &config.boundary_groups {
        let name = group.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default();
        let mut facts = flat(group);
        facts.retain(|field, _| !["name", "boundaries", "site_systems", "neighbors"].contains(&field.as_str()));
        let boundaries = group.boundaries.iter().map(|boundary| {
            Value::from(match boundary.get_ref() {
                BoundaryEntry::Addresses(text) => normal_range(text),
                BoundaryEntry::AdSite { ad_site } => format!("Active Directory site {ad_site}"),
                BoundaryEntry::Vpn { vpn } => format!("VPN {vpn}"),
            })
        });
        facts.insert("boundaries".to_owned(), boundaries.collect());
        let systems = group.site_systems.iter().map(|system| {
            Value::from(match system.get_ref() {
                GroupEntry::Name(name) => name.clone(),
                GroupEntry::Table(table) => {
                    let of =
                        |written: &Option<toml::Spanned<String>>| written.as_ref().map(|text| text.get_ref().clone());
                    let name = of(&table.name).unwrap_or_default();
                    match of(&table.connection).filter(|connection| connection != "fast") {
                        Some(connection) => format!("{name} ({connection})"),
                        None => name,
                    }
                }
            })
        });
        facts.insert("site_systems".to_owned(), systems.collect());
        for neighbor in &group.neighbors {
            let other = neighbor.group.as_ref().map(|group| group.get_ref().as_str()).unwrap_or_default();
            let fallback = neighbor.fallback.iter().map(|(role, time)| times(role.get_ref(), time.get_ref()));
            all.add(Kind::Relationship, format!("{name} -> {other}"), fallback.collect());
        }
        all.add(Kind::BoundaryGroup, name, facts);
    }
}

fn settings(config: &Config, all: &mut Described) {
    let Ok(Value::Object(sections)) = serde_json::to_value(config) else { return };
    /// Told as something of the site.
    const TOLD: [&str; 8] = [
        "site",
        "sites",
        "listeners",
        "roles",
        "site_systems",
        "ad_sites",
        "boundary_groups",
        "default_boundary_group",
    ];
    for (section, value) in sections.into_iter().filter(|(section, _)| !TOLD.contains(&section.as_str())) {
        let facts = flat(&value);
        if !facts.is_empty() {
            all.add(Kind::Settings, format!("[{section}]"), facts);
        }
    }
}

/// Roles by the one name that each has.
fn roles_by_key(facts: &mut Facts) {
    if let Some(Value::Array(roles)) = facts.get_mut("roles") {
        roles.iter_mut().for_each(|role| *role = Value::from(role_key(&text_of(role))));
    }
}

/// `10.1.0.0/16` and `10.1.0.0-10.1.255.255` are the same.
fn normal_range(text: &str) -> String {
    parse_boundary(text).map_or_else(|_| text.to_owned(), |range| range.to_string())
}

/// Every setting with its path; what is not there, or empty, is left out.
fn flat(value: &impl Serialize) -> Facts {
    let mut facts = Facts::new();
    flatten("", serde_json::to_value(value).unwrap_or_default(), &mut facts);
    facts
}

fn flatten(path: &str, value: Value, facts: &mut Facts) {
    match value {
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        Value::Object(fields) => match span(&fields) {
            Some(time) => {
                facts.insert(path.to_owned(), Value::from(time));
            }
            None => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                    flatten(&path, value, facts);
                }
            }
        },
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            facts.insert(path.to_owned(), value);
        }
    }
}

/// A duration, as it is serialized.
fn span(fields: &serde_json::Map<String, Value>) -> Option<String> {
    let (seconds, nanos) = (fields.get("secs")?.as_u64()?, fields.get("nanos")?.as_u64()?);
    let duration = std::time::Duration::new(seconds, u32::try_from(nanos).ok()?);
    (fields.len() == 2).then(|| humantime::format_duration(duration).to_string())
}

/// A value as a person writes it.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text_of).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
