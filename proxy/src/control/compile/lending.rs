//! Whom a client certificate of ours serves: the clients that it is meant for, and no others.

use std::ops::Range;

use toml::Spanned;

use super::listeners::Listeners;
use super::roles::Roles;
use super::systems::{MemberPlan, Systems};
use crate::control::config::{Config, Problems, RoleEntry, RoleOnSiteSystem, role_key};
use crate::model::entry::{ClientCertificates, Security};
use crate::model::role::{Protocol, Role};

/// Warns about certificates that are lent to clients without one, and about those that no client can ever use.
pub(super) fn check(
    config: &Config,
    roles: &Roles<'_>,
    systems: &Systems<'_>,
    listeners: &Option<Listeners>,
    problems: &mut Problems,
) {
    let Some(listeners) = listeners else { return };
    let mut idle: Vec<(Range<usize>, Vec<&str>)> = Vec::new();
    for position in 0..roles.len() {
        let role = roles.get(position);
        let callers = Callers::of(position, role, listeners);
        if callers.strangers.is_empty() {
            continue;
        }
        let mut lent: Vec<Range<usize>> = Vec::new();
        let has_certificate = |member: &&MemberPlan| member.tls.as_ref().is_some_and(|tls| tls.has_certificate());
        for member in systems.of_role(position).iter().filter(has_certificate) {
            match (member.role.lend_certificate, callers.known) {
                (true, _) => lent.extend(lent_at(config, roles, position, member).filter(|at| !lent.contains(at))),
                (false, false) => put(&mut idle, certificate_at(config, member), &role.title),
                (false, true) => {}
            }
        }
        for at in lent {
            warn_about_lent(at, role, &callers, problems);
        }
    }
    for (at, titles) in idle {
        let text = format!(
            "no listener asks clients of {} for a certificate, so this one is shown for probes alone and for no client",
            titles.join(", ")
        );
        let help = "write client_certificates = \"optional\" or \"required\" below [listeners.tls] of their listener, or \
                    lend_certificate = true in [roles.NAME] if it is for clients without one too";
        problems.warning(at, text, help);
    }
}

/// How clients come to a role, but for those whose TLS is passed through: they never get a certificate of ours.
struct Callers<'a> {
    /// Some may show a certificate.
    known: bool,
    /// Listeners through which some come that show none.
    strangers: Vec<&'a str>,
}

impl<'a> Callers<'a> {
    fn of(position: usize, role: &Role, listeners: &'a Listeners) -> Self {
        let mut callers = Self { known: false, strangers: Vec::new() };
        for place in listeners.of_role.get(&position).into_iter().flatten() {
            let routes = &listeners.routes[*place];
            let (shows, lacks) = match &routes.entry.security {
                Security::Passthrough { .. } => (false, false),
                Security::Plain => (false, true),
                Security::Terminated(terminated) => match terminated.client_certificates {
                    ClientCertificates::None => (false, true),
                    ClientCertificates::Optional | ClientCertificates::Required
                        if !terminated.demands(role.client_certificates) =>
                    {
                        (true, true)
                    }
                    // For a TCP role the handshake fails without one.
                    ClientCertificates::Optional | ClientCertificates::Required => {
                        (true, role.protocol == Protocol::Http && terminated.exempts_some(&role.paths))
                    }
                },
            };
            callers.known |= shows;
            callers.strangers.extend(lacks.then_some(&*routes.name));
        }
        callers
    }
}

fn warn_about_lent(at: Range<usize>, role: &Role, callers: &Callers<'_>, problems: &mut Problems) {
    let names: Vec<String> = callers.strangers.iter().map(|name| format!("{name:?}")).collect();
    let text = format!(
        "clients of listener {} that show no certificate are lent ours: site systems of {} take them for rolegate",
        names.join(" and "),
        role.title
    );
    let help = "take lend_certificate out and ask clients for their own with client_certificates below [listeners.tls], \
                or let only clients that you trust reach the listener";
    problems.warning(at, text, help);
}

fn put<'a>(idle: &mut Vec<(Range<usize>, Vec<&'a str>)>, at: Option<Range<usize>>, title: &'a str) {
    let Some(at) = at else { return };
    match idle.iter_mut().find(|(other, _)| *other == at) {
        Some((_, titles)) if titles.contains(&title) => {}
        Some((_, titles)) => titles.push(title),
        None => idle.push((at, vec![title])),
    }
}

/// Where the certificate is written that this site system is shown.
fn certificate_at(config: &Config, member: &MemberPlan) -> Option<Range<usize>> {
    let own = config.site_systems.get(usize::from(member.system_index))?.client_certificate.as_ref();
    own.or(config.tls.client_certificate.as_ref()).map(Spanned::span)
}

/// Where it is written that the certificate is lent.
fn lent_at(config: &Config, roles: &Roles<'_>, position: usize, member: &MemberPlan) -> Option<Range<usize>> {
    let system = config.site_systems.get(usize::from(member.system_index))?;
    let of_role =
        |entry: &RoleOnSiteSystem| entry.role.as_ref().is_some_and(|name| role_key(name.get_ref()) == member.role.name);
    let own = system.roles().iter().find_map(|entry| match entry.get_ref() {
        RoleEntry::Table(table) if of_role(table) => table.lend_certificate.as_ref(),
        RoleEntry::Table(_) | RoleEntry::Name(_) => None,
    });
    let shared = || roles.overrides(position)?.lend_certificate.as_ref();
    own.or_else(shared).map(Spanned::span)
}
