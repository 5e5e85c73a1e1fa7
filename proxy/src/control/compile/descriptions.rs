//! What people write about the things of their site.

use super::SpannedName;
use super::sites::Sites;
use crate::control::config::{Config, Problems, role_key};
use crate::model::description::{Descriptions, Thing};

/// Longest description, in bytes.
const LONGEST: usize = 256;

pub(super) fn compile(config: &Config, sites: &Sites<'_>, problems: &mut Problems) -> Descriptions {
    let mut all = Descriptions::default();
    let mut add = |thing, name: &str, written: &Option<SpannedName>| {
        if let Some(text) = written.as_ref().and_then(|written| check(written, problems)) {
            all.set(thing, name, text);
        }
    };
    let named = |name: &Option<SpannedName>| name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default();
    for (site, default) in sites.list.iter().zip(sites.default_names()) {
        add(Thing::Site, if sites.several() { &site.code } else { "" }, site.description);
        add(Thing::BoundaryGroup, &default, &site.default.description);
    }
    for listener in &config.listeners {
        let address = listener.address.as_ref().map(|address| address.get_ref().to_string()).unwrap_or_default();
        let name = listener.name.as_ref().map_or(address, |name| name.get_ref().clone());
        add(Thing::Listener, &name, &listener.description);
    }
    for (name, role) in &config.roles {
        add(Thing::Role, &role_key(name.get_ref()), &role.description);
    }
    for system in &config.site_systems {
        add(Thing::SiteSystem, &named(&system.name), &system.description);
    }
    for group in &config.boundary_groups {
        add(Thing::BoundaryGroup, &named(&group.name), &group.description);
    }
    all
}

fn check<'a>(written: &'a SpannedName, problems: &mut Problems) -> Option<&'a str> {
    let text = written.get_ref().trim();
    if text.len() > LONGEST {
        problems.error(
            written.span(),
            format!("this description has {} bytes", text.len()),
            format!("write at most {LONGEST}; a comment may be longer"),
        );
    } else if text.chars().any(char::is_control) {
        problems.error(written.span(), "a description is one line without control characters", "write it in one line");
    } else if !text.is_empty() {
        return Some(text);
    }
    None
}
