//! Finds in a snapshot what a person names, in any case, and says what was probably meant when there is no such thing.

use std::sync::Arc;

use crate::control::config::{nearest, role_key};
use crate::model::cluster::Cluster;
use crate::model::snapshot::Snapshot;

/// A site system by its name, or by a host name or address of it.
///
/// # Errors
/// A sentence for the person.
pub fn site_system(snapshot: &Snapshot, name: &str) -> Result<Arc<str>, String> {
    let endpoints = || snapshot.clusters.iter().flat_map(|cluster| &cluster.topology.endpoints);
    if let Some(known) = endpoints().find(|endpoint| endpoint.system.eq_ignore_ascii_case(name)) {
        return Ok(Arc::clone(&known.system));
    }
    let named = snapshot.clusters.iter().find_map(|cluster| {
        let index = cluster.topology.by_name(Some(name))?;
        Some(cluster.topology.endpoints.iter().find(|endpoint| endpoint.system_index == index))
    });
    match named {
        Some(Some(endpoint)) => Ok(Arc::clone(&endpoint.system)),
        Some(None) => Err(format!("site system {name:?} has no address: `rolegate status` says why")),
        None => Err(missing("site system", name, endpoints().map(|endpoint| &*endpoint.system))),
    }
}

/// A site system by its name, or by a host name or address of it, be it without an address; or one that is gone from the
/// configuration and still has overrides.
///
/// # Errors
/// A sentence for the person.
pub fn steered_system(snapshot: &Snapshot, name: &str) -> Result<Arc<str>, String> {
    let systems = || snapshot.clusters.iter().flat_map(|cluster| &cluster.topology.systems);
    let gone = || snapshot.steering.of_system(name).first().map(|own| Arc::clone(&own.site_system));
    let by_name =
        systems().find(|system| system.name.eq_ignore_ascii_case(name)).map(|system| Arc::clone(&system.name));
    if let Some(known) = by_name.or_else(gone) {
        return Ok(known);
    }
    let named = snapshot.clusters.iter().find_map(|cluster| {
        let index = cluster.topology.by_name(Some(name))?;
        cluster.topology.called(index)
    });
    named.cloned().ok_or_else(|| missing("site system", name, systems().map(|system| &*system.name)))
}

/// Whether a site system, or one of its roles, is in the configuration.
pub fn holds(snapshot: &Snapshot, system: &str, role: Option<&str>) -> bool {
    roles_of(snapshot, system).any(|own| role.is_none_or(|role| own == role))
}

/// A role that a site system holds, or of which it has overrides, by its name, its abbreviation or another name of it.
///
/// # Errors
/// A sentence for the person.
pub fn role_of(snapshot: &Snapshot, system: &str, name: &str) -> Result<Arc<str>, String> {
    let key = role_key(name);
    let steered = snapshot.steering.of_system(system).iter().any(|own| own.role.as_deref() == Some(&*key));
    if steered || roles_of(snapshot, system).any(|own| own == key) {
        return Ok(Arc::from(key));
    }
    role(snapshot, name)?;
    let held: Vec<&str> = roles_of(snapshot, system).collect();
    Err(format!("{system} does not hold the role {key}: it holds {}", held.join(", ")))
}

fn roles_of<'a>(snapshot: &'a Snapshot, system: &'a str) -> impl Iterator<Item = &'a str> {
    let holds = |cluster: &&Arc<Cluster>| {
        let mut systems = cluster.topology.systems.iter();
        systems.any(|own| own.name.eq_ignore_ascii_case(system))
    };
    snapshot.clusters.iter().filter(holds).map(|cluster| cluster.topology.role.name.as_str())
}

/// A role by its name, its abbreviation or another name of it.
///
/// # Errors
/// A sentence for the person.
pub fn role<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Arc<Cluster>, String> {
    let key = role_key(name);
    let found = snapshot.clusters.iter().find(|cluster| cluster.topology.role.name == key);
    let names = snapshot.clusters.iter().flat_map(|cluster| {
        let role = &cluster.topology.role;
        [role.name.as_str(), role.short.as_str()].into_iter().filter(|name| !name.is_empty())
    });
    found.ok_or_else(|| missing("role", name, names))
}

/// The name of a boundary group; `default` is the site default boundary group.
///
/// # Errors
/// A sentence for the person.
pub fn boundary_group<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a str, String> {
    let names = || snapshot.site.group_names.iter().map(String::as_str);
    let found = names().find(|known| known.eq_ignore_ascii_case(name));
    let one = snapshot.site.sites.list.is_empty();
    let default = || names().next_back().filter(|_| one && name.eq_ignore_ascii_case("default"));
    found.or_else(default).ok_or_else(|| missing("boundary group", name, names()))
}

/// The position of a listener.
///
/// # Errors
/// A sentence for the person.
pub fn listener(snapshot: &Snapshot, name: &str) -> Result<u16, String> {
    let listeners = &snapshot.site.listeners;
    let place = listeners.iter().position(|listener| listener.name.eq_ignore_ascii_case(name));
    let found = place.and_then(|place| u16::try_from(place).ok());
    found.ok_or_else(|| missing("listener", name, listeners.iter().map(|listener| &*listener.name)))
}

/// What is wrong with a name.
pub fn missing<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("there is no {what} {name:?}: did you mean {near:?}?"),
        None => format!("there is no {what} {name:?}: `rolegate status` lists them"),
    }
}
