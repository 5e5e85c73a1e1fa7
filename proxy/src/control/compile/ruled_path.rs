//! The paths of a role, each with what holds for its requests.

use crate::control::config::path_covers;
use crate::model::role::Role;
use crate::model::route::{Database, PathRules, Sessions};

/// One path of a role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RuledPath {
    /// As the role has it.
    pub(super) prefix: String,
    /// What holds there.
    pub(super) rules: PathRules,
}

impl RuledPath {
    /// Every path: nothing is known of the requests of TLS that is passed through.
    pub(super) fn whole() -> Self {
        Self { prefix: "/".to_owned(), rules: PathRules::default() }
    }

    /// The paths of a role, and parts of them where something else holds.
    pub(super) fn all_of(role: &Role) -> Vec<Self> {
        let special = role.session_paths.iter().chain(&role.site_database_paths);
        let is_part = |path: &String| role.paths.iter().any(|own| path_covers(own, path));
        let mut prefixes: Vec<&String> = Vec::new();
        for path in role.paths.iter().chain(special.filter(|path| is_part(path))) {
            if !prefixes.iter().any(|other| other.eq_ignore_ascii_case(path)) {
                prefixes.push(path);
            }
        }
        prefixes.into_iter().map(|path| Self { prefix: path.clone(), rules: rules(role, path) }).collect()
    }
}

fn rules(role: &Role, path: &str) -> PathRules {
    let is_in = |list: &[String]| list.iter().any(|other| path_covers(other, path));
    PathRules {
        sessions: if is_in(&role.session_paths) { Sessions::Client } else { Sessions::None },
        database: if is_in(&role.site_database_paths) { Database::Site } else { Database::Any },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::presets;

    #[test]
    fn a_part_of_a_path_has_rules_of_its_own() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        let role = Role {
            paths: words(&["/", "/App"]),
            session_paths: words(&["/app/login", "/APP"]),
            site_database_paths: words(&["/app/login/user"]),
            ..presets::plain()
        };
        let found: Vec<_> = RuledPath::all_of(&role)
            .into_iter()
            .map(|path| (path.prefix, path.rules.sessions == Sessions::Client, path.rules.database == Database::Site))
            .collect();
        let expected =
            [("/", false, false), ("/App", true, false), ("/app/login", true, false), ("/app/login/user", true, true)];
        assert_eq!(found, expected.map(|(path, session, site)| (path.to_owned(), session, site)));
    }

    #[test]
    fn what_another_role_has_is_no_path_of_this_one() {
        let mut role = presets::find("MP").expect("there is a management point");
        role.paths.retain(|path| path != "/BGB");
        assert!(RuledPath::all_of(&role).iter().all(|path| path.prefix != "/BGB"));
        let own = RuledPath::all_of(&role);
        let sessions = own.iter().filter(|path| path.rules.sessions == Sessions::Client);
        assert_eq!(sessions.map(|path| path.prefix.as_str()).collect::<Vec<_>>(), role.site_database_paths);
    }
}
