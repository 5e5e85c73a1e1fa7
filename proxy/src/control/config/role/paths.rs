//! Which paths a role has: its preset's, others, or its preset's with a few more or less.

use std::ops::Range;

use toml::Spanned;

use super::text;
use crate::control::config::problem::{Problems, quoted};
use crate::control::config::types::RoleOverrides;
use crate::model::presets;
use crate::model::role::Role;

pub(super) fn override_paths(role: &mut Role, o: &RoleOverrides, at: &Range<usize>, problems: &mut Problems) {
    let changes = [&o.paths_add, &o.paths_remove].into_iter().flatten();
    let changed = changes.map(|list| list.first().map_or(at.clone(), Spanned::span)).next();
    if o.paths.is_none() && changed.is_none() {
        return;
    }
    match (&o.paths, changed) {
        (Some(_), Some(changed)) => {
            problems.error(
                changed,
                "`paths` says all paths of the role, so there is nothing to add to and to remove from",
                "write either `paths`, or `paths_add` and `paths_remove`",
            );
            return;
        }
        (Some(list), None) => replace(role, list, problems),
        (None, _) => {
            remove(role, o.paths_remove.as_deref().unwrap_or_default(), problems);
            add(role, o.paths_add.as_deref().unwrap_or_default(), problems);
        }
    }
    if role.paths.is_empty() && o.paths.as_ref().is_none_or(Vec::is_empty) {
        let message = format!("the role {} has no path, so no request could belong to it", role.name);
        problems.error(at.clone(), message, "write paths = [\"/\"] for every path");
    }
}

fn replace(role: &mut Role, list: &[Spanned<String>], problems: &mut Problems) {
    let paths = text::each(list, text::path, problems);
    let before = std::mem::replace(&mut role.paths, paths);
    // A role of one's own may well be a part of another.
    if presets::canonical(&role.name).is_none() || role.paths.len() < list.len() {
        return;
    }
    let dropped: Vec<&str> =
        before.iter().filter(|old| !role.paths.iter().any(|new| covers(new, old))).map(String::as_str).collect();
    if let (Some(first), false) = (list.first(), dropped.is_empty()) {
        problems.warning(
            first.span(),
            format!("these paths of the role {} are not in the list: {}", role.title, dropped.join(" ")),
            "requests for them belong to no role now; `paths_add` and `paths_remove` change the preset's list instead",
        );
    }
}

fn remove(role: &mut Role, list: &[Spanned<String>], problems: &mut Problems) {
    let had = role.paths.join(" ");
    for written in list {
        let Some(path) = text::one(written, text::path, problems) else { continue };
        let before = role.paths.len();
        role.paths.retain(|own| !own.eq_ignore_ascii_case(&path));
        if role.paths.len() == before {
            problems.error(
                written.span(),
                format!("the role {} has no path {}", role.title, quoted(&path)),
                format!("it has {had}"),
            );
        }
    }
}

fn add(role: &mut Role, list: &[Spanned<String>], problems: &mut Problems) {
    for written in list {
        let Some(path) = text::one(written, text::path, problems) else { continue };
        if role.paths.iter().any(|own| own.eq_ignore_ascii_case(&path)) {
            let message = format!("the role {} has the path {} already", role.title, quoted(&path));
            problems.warning(written.span(), message, "leave it out");
        } else {
            role.paths.push(path);
        }
    }
}

/// Paths, within those of the role, for which something else holds.
///
/// To be called when its paths are known.
pub(super) fn override_parts(role: &mut Role, o: &RoleOverrides, problems: &mut Problems) {
    if let Some(list) = &o.session_paths {
        role.session_paths = parts(role, list, problems);
    }
    if let Some(list) = &o.site_database_paths {
        role.site_database_paths = parts(role, list, problems);
    }
}

fn parts(role: &Role, list: &[Spanned<String>], problems: &mut Problems) -> Vec<String> {
    let paths = text::each(list, text::path, problems);
    for (path, written) in paths.iter().zip(list).filter(|_| paths.len() == list.len()) {
        if !role.paths.iter().any(|own| covers(own, path) || covers(path, own)) {
            problems.error(
                written.span(),
                format!("the role {} has no requests for {}", role.title, quoted(path)),
                format!("its paths are {}", role.paths.join(" ")),
            );
        }
    }
    paths
}

/// Whether requests of a path are also requests of another one.
pub fn covers(wide: &str, narrow: &str) -> bool {
    let rest = narrow.get(..wide.len()).filter(|start| start.eq_ignore_ascii_case(wide)).map(|_| &narrow[wide.len()..]);
    wide == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
