//! Relationships between boundary groups, and what the model without them refuses.

use std::collections::{BTreeMap, HashMap};

use super::SpannedName;
use super::roles::Roles;
use crate::control::config::{
    BoundaryGroup, Config, DefaultBoundaryGroup, FallbackTime, Problems, check_time, nearest, role_key,
};
use crate::model::role::Fallback;

pub(super) type Times = HashMap<String, Fallback>;

const OTHERWISE: &str = "or write model = \"relationships\" below [fallback]";

pub(super) fn neighbors(
    own: usize,
    group: &BoundaryGroup,
    positions: &HashMap<String, usize>,
    roles: &Roles<'_>,
    problems: &mut Problems,
) -> Vec<(usize, Times)> {
    let mut found: Vec<(usize, Times)> = Vec::new();
    for neighbor in &group.neighbors {
        let times = times(&neighbor.fallback, roles, problems);
        let Some(name) = &neighbor.group else {
            let near = group.name.as_ref().map_or(0..0, toml::Spanned::span);
            problems.missing(near, "a neighbor of this group is not named", "write { group = \"...\", ... }");
            continue;
        };
        match positions.get(&name.get_ref().to_ascii_lowercase()) {
            Some(&position) if position == own => {
                problems.error(name.span(), "a boundary group cannot be its own neighbor", "take it out");
            }
            Some(position) if found.iter().any(|(other, _)| other == position) => {
                let text = format!("{:?} is a neighbor twice", name.get_ref());
                problems.error(name.span(), text, "write one relationship with all its times");
            }
            Some(&position) => found.push((position, times)),
            None => {
                let help = match nearest(name.get_ref(), positions.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "add a [[boundary_groups]] with this name, or take the neighbor out".to_owned(),
                };
                problems.error(name.span(), format!("there is no boundary group {:?}", name.get_ref()), help);
            }
        }
    }
    found
}

/// Fallback times by the key of the role.
pub(super) fn times(
    written: &BTreeMap<SpannedName, toml::Spanned<FallbackTime>>,
    roles: &Roles<'_>,
    problems: &mut Problems,
) -> Times {
    let mut times = Times::new();
    for (role, time) in written {
        match roles.spoken_of(role.get_ref()) {
            Some(known) => {
                let before = times.insert(role_key(role.get_ref()), check_time(&known, time, problems));
                if before.is_some() {
                    let text = format!("there are two times for {}", known.title);
                    problems.error(role.span(), text, "write the role once, under one of its names");
                }
            }
            None => problems.error(
                role.span(),
                format!("no site system holds a role {:?}", role.get_ref()),
                "write a role that is used, such as DP, MP or SUP",
            ),
        }
    }
    times
}

/// ConfigMgr 1511 to 1606 has neither relationships nor a site default boundary group.
pub(super) fn refuse(config: &Config, problems: &mut Problems) {
    for group in &config.boundary_groups {
        let near = group.name.as_ref().map_or(0..0, toml::Spanned::span);
        for neighbor in &group.neighbors {
            problems.error(
                neighbor.group.as_ref().map_or(near.clone(), toml::Spanned::span),
                "the older model has no relationships between boundary groups",
                format!("take the neighbor out, {OTHERWISE}"),
            );
        }
    }
    let DefaultBoundaryGroup { site_systems, fallback, description: _ } = &config.default_boundary_group;
    let written = site_systems.iter().map(toml::Spanned::span).chain(fallback.keys().map(toml::Spanned::span));
    for span in written {
        problems.error(
            span,
            "the older model has no relationships and no site default boundary group",
            format!("take it out and write fallback_source = true at site systems that serve everybody, {OTHERWISE}"),
        );
    }
}
