//! The part of a status that is wanted.

use clap::Args;

use super::failure::Mistake;
use crate::control::config::role_key;
use crate::lookup::missing;
use crate::status::{EndpointStatus, GroupStatus, RoleStatus, Status};

/// What is shown of a status. What fits all that is given is shown.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Filter {
    /// Only this site system.
    #[arg(long, value_name = "SITE SYSTEM")]
    site_system: Option<String>,
    /// Only this role.
    #[arg(long)]
    role: Option<String>,
    /// Only this boundary group, and the site systems that it has.
    #[arg(long, value_name = "GROUP")]
    boundary_group: Option<String>,
    /// Only site systems that are not well.
    #[arg(long)]
    unhealthy: bool,
}

impl Filter {
    /// Whether all is shown.
    pub(super) fn is_empty(&self) -> bool {
        self.site_system.is_none() && self.role.is_none() && self.boundary_group.is_none() && !self.unhealthy
    }

    /// The part of a status that is wanted.
    ///
    /// # Errors
    /// There is no site system, role or boundary group of that name.
    pub(super) fn apply(&self, mut status: Status) -> Result<Status, Mistake> {
        if self.is_empty() {
            return Ok(status);
        }
        let empty: Vec<String> =
            status.roles.iter().filter(|role| role.endpoints.is_empty()).map(|role| role.name.clone()).collect();
        self.check(&status)?;
        self.keep(&mut status);
        if self.unhealthy {
            status.roles.iter_mut().for_each(|role| role.endpoints.retain(is_unwell));
        }
        // A role without an endpoint is not well, and belongs to no site system and to no boundary group.
        let lonely = self.unhealthy && self.site_system.is_none() && self.boundary_group.is_none();
        status.roles.retain(|role| !role.endpoints.is_empty() || lonely && empty.contains(&role.name));
        let systems: Vec<String> =
            status.roles.iter().flat_map(|role| &role.endpoints).map(|endpoint| endpoint.site_system.clone()).collect();
        status.draining.retain(|leaving| {
            systems.contains(&leaving.site_system)
                || self.site_system.as_deref().is_some_and(|name| same(name, &leaving.site_system))
        });
        Ok(status)
    }

    /// All names must be there, whatever the others leave of them.
    fn check(&self, status: &Status) -> Result<(), Mistake> {
        let roles = || status.roles.iter();
        let endpoints = roles().flat_map(|role| &role.endpoints).map(|endpoint| endpoint.site_system.as_str());
        let systems = endpoints.chain(status.draining.iter().map(|leaving| leaving.site_system.as_str()));
        let systems: Vec<&str> = systems.collect();
        let groups: Vec<&str> = status.boundary_groups.iter().map(|group| group.name.as_str()).collect();
        let mut mistakes = Vec::new();
        let mut look = |what: &str, wanted: &Option<String>, known: &[&str]| {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| !known.iter().any(|name| same(name, wanted))) {
                mistakes.push(missing(what, wanted, known.iter().copied()));
            }
        };
        look("site system", &self.site_system, &systems);
        look("boundary group", &self.boundary_group, &groups);
        if let Some(wanted) = self.role.as_ref().filter(|wanted| !roles().any(|role| is_role(role, wanted))) {
            mistakes.push(missing("role", wanted, roles().map(|role| role.name.as_str())));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(Mistake::usage(mistakes.join("\n"))) }
    }

    fn keep(&self, status: &mut Status) {
        if let Some(wanted) = &self.role {
            status.roles.retain(|role| is_role(role, wanted));
            for group in &mut status.boundary_groups {
                group.requests.retain(|asked| asked.role == role_key(wanted));
            }
        }
        if let Some(wanted) = &self.site_system {
            for role in &mut status.roles {
                role.endpoints.retain(|endpoint| same(&endpoint.site_system, wanted));
            }
            status.boundary_groups.retain(|group| systems_of(group).any(|system| same(system, wanted)));
        }
        if let Some(wanted) = &self.boundary_group {
            status.boundary_groups.retain(|group| same(&group.name, wanted));
            let systems: Vec<&String> = status.boundary_groups.iter().flat_map(systems_of).collect();
            for role in &mut status.roles {
                role.endpoints.retain(|endpoint| systems.contains(&&endpoint.site_system));
            }
        }
    }
}

fn systems_of(group: &GroupStatus) -> impl Iterator<Item = &String> {
    group.servers.iter().flat_map(|(_, systems)| systems)
}

fn is_role(role: &RoleStatus, wanted: &str) -> bool {
    role.name == role_key(wanted) || same(&role.title, wanted)
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether a site system would not be picked as one that is well.
pub(super) fn is_unwell(endpoint: &EndpointStatus) -> bool {
    !endpoint.available || endpoint.ejected || endpoint.health != "up"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status() -> Status {
        let endpoint = |name: &str, health: &str| EndpointStatus {
            site_system: name.to_owned(),
            health: health.to_owned(),
            available: health == "up",
            ..EndpointStatus::default()
        };
        let role = |name: &str, title: &str, endpoints| RoleStatus {
            name: name.to_owned(),
            title: title.to_owned(),
            boundary_groups: true,
            endpoints,
            ..RoleStatus::default()
        };
        let group = |name: &str, system: &str| GroupStatus {
            name: name.to_owned(),
            servers: vec![("distribution-point".to_owned(), vec![system.to_owned()])],
            ..GroupStatus::default()
        };
        Status {
            roles: vec![
                role("management-point", "Management point", vec![endpoint("mp1", "up"), endpoint("dp1", "down")]),
                role("distribution-point", "Distribution point", vec![endpoint("dp1", "up"), endpoint("dp2", "down")]),
            ],
            boundary_groups: vec![group("HQ", "dp1"), group("Branch", "dp2")],
            ..Status::default()
        }
    }

    /// `role/site system` of all that are left, and the boundary groups.
    fn left(filter: Filter) -> (Vec<String>, Vec<String>) {
        let status = filter.apply(status()).unwrap();
        let of =
            |role: &RoleStatus| role.endpoints.iter().map(|e| format!("{}/{}", role.name, e.site_system)).collect();
        let endpoints: Vec<Vec<String>> = status.roles.iter().map(of).collect();
        (endpoints.concat(), status.boundary_groups.iter().map(|group| group.name.clone()).collect())
    }

    #[test]
    fn filters_keep_what_fits_all_of_them() {
        let given = |text: &str| Some(text.to_owned());
        let (endpoints, groups) = left(Filter { site_system: given("DP1"), ..Filter::default() });
        assert_eq!((endpoints.len(), groups), (2, vec!["HQ".to_owned()]));
        let (endpoints, _) = left(Filter { role: given("dp"), unhealthy: true, ..Filter::default() });
        assert_eq!(endpoints, ["distribution-point/dp2"]);
        let (endpoints, groups) = left(Filter { boundary_group: given("branch"), ..Filter::default() });
        assert_eq!((endpoints, groups), (vec!["distribution-point/dp2".to_owned()], vec!["Branch".to_owned()]));
        assert_eq!(left(Filter::default()).0.len(), 4);
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_with_the_nearest() {
        let given = |text: &str| Some(text.to_owned());
        let filter = Filter { site_system: given("mp11"), role: given("XX"), ..Filter::default() };
        let said = filter.apply(status()).unwrap_err().to_string();
        assert!(said.contains("there is no site system \"mp11\": did you mean \"mp1\"?"), "{said}");
        assert!(said.contains("there is no role \"XX\""), "{said}");
    }
}
