//! Listeners: where clients come in, and which paths lead to which role.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::entry;
use super::files::Files;
use super::given::Given;
use super::roles::Roles;
use super::ruled_path::RuledPath;
use super::sites::cluster;
use super::systems::Systems;
use super::{Once, SpannedName};
use crate::control::config::{Config, Listener, Problems};
use crate::model::entry::{ClientCertificates, Entry, Security};
use crate::model::role::{CertificateRule, Protocol};
use crate::model::route::{Ambiguous, ClusterId, Route, RouteTable};
use crate::model::snapshot::{ListenerId, ListenerRoutes};

/// What must be bound for a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Name in metrics and logs.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// TCP role or HTTP: cannot change while the listener lives.
    pub protocol: Protocol,
}

/// Positions of roles, and where a listener names them.
type Found<'a> = Vec<(usize, &'a SpannedName)>;

#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) bound: Vec<Bound>,
    pub(super) routes: Vec<ListenerRoutes>,
    /// Positions of roles that some listener serves.
    pub(super) served: HashSet<usize>,
    /// Positions in `routes`, by the position of the role.
    pub(super) of_role: HashMap<usize, Vec<usize>>,
}

impl Listeners {
    /// A role that site systems hold and no listener serves is probably a mistake.
    pub(super) fn warn_about_unserved(&self, roles: &Roles<'_>, systems: &Systems<'_>, problems: &mut Problems) {
        for position in (0..roles.len()).filter(|position| !self.served.contains(position)) {
            if let Some(name) = systems.first_mention(position) {
                let title = &roles.get(position).title;
                let text = format!("no listener serves {title}, which {:?} holds", name.get_ref());
                problems.warning(name.span(), text, "add the role to a [[listeners]]");
            }
        }
    }
}

pub(super) fn compile<'a>(
    config: &'a Config,
    roles: &mut Roles<'a>,
    systems: &Systems<'a>,
    files: &Files,
    problems: &mut Problems,
) -> Option<Listeners> {
    if config.listeners.is_empty() {
        problems.missing(
            0..0,
            "there is no listener",
            "add [[listeners]] with address = \"0.0.0.0:80\" and roles = [\"MP\", \"DP\"]",
        );
        return None;
    }
    let mut result =
        Listeners { bound: Vec::new(), routes: Vec::new(), served: HashSet::new(), of_role: HashMap::new() };
    let mut names = Once::new("listener");
    let mut addresses: Vec<(SocketAddr, String)> = vec![(*config.admin.address.get_ref(), "[admin]".to_owned())];
    let mut complete = true;
    let given = Given { config, files };
    for (position, listener) in config.listeners.iter().enumerate() {
        if let Some(name) = &listener.name {
            names.check(name, problems);
        }
        let Some(address) = &listener.address else {
            let at = config.tables.element("listeners", position);
            problems.missing(at, "a listener has no address", "add address = \"0.0.0.0:80\" to this [[listeners]]");
            complete = false;
            continue;
        };
        let own = *address.get_ref();
        let name = listener.name.as_ref().map_or_else(|| own.to_string(), |name| name.get_ref().clone());
        if let Some((other, who)) = addresses.iter().find(|(other, _)| overlap(own, *other)) {
            problems.error(
                address.span(),
                format!("{own} overlaps {other} of {who}"),
                "give each listener a port of its own, or addresses that do not contain each other",
            );
        }
        addresses.push((own, format!("listener {name:?}")));
        let found = find_roles(listener, &name, roles, systems, &mut result.served, problems);
        let Some(found) = found else {
            complete = false;
            continue;
        };
        match serve(&given, listener, &name, &found, roles, systems, problems) {
            Some((protocol, mut routes)) => {
                // The Director gives one that is known already what it is known by.
                routes.id = ListenerId(u16::try_from(result.routes.len()).unwrap_or(u16::MAX));
                for (position, _) in &found {
                    result.of_role.entry(*position).or_default().push(result.routes.len());
                }
                result.bound.push(Bound { name, address: own, protocol });
                result.routes.push(routes);
            }
            None => complete = false,
        }
    }
    complete.then_some(result)
}

/// The same port, and one address contains the other.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    a.port() == b.port()
        && a.port() != 0
        && same_family
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// The roles of a listener with where they were written. `None` when one of them cannot be served.
fn find_roles<'a>(
    listener: &'a Listener,
    name: &str,
    roles: &mut Roles<'a>,
    systems: &Systems<'a>,
    served: &mut HashSet<usize>,
    problems: &mut Problems,
) -> Option<Found<'a>> {
    let redirects = listener.redirect_to_https.as_ref().is_some_and(|port| port.get_ref().get().is_some());
    if listener.roles.is_empty() && redirects {
        return Some(Found::new());
    }
    if listener.roles.is_empty() {
        let near = listener.address.as_ref().map_or(0..0, toml::Spanned::span);
        problems.missing(near, format!("listener {name:?} serves no role"), "add roles = [\"MP\", \"DP\"]");
        return None;
    }
    let mut found = Found::new();
    for role in &listener.roles {
        let Some(position) = roles.find(role, problems) else { continue };
        served.insert(position);
        if found.iter().any(|(other, _)| *other == position) {
            problems.error(role.span(), format!("{:?} is listed twice", role.get_ref()), "take one out");
            continue;
        }
        if !systems.mentions(position) {
            let title = &roles.get(position).title;
            problems.missing(
                role.span(),
                format!("no site system holds {title}"),
                "add it to the roles of a [[site_systems]], or take it out of this listener",
            );
        }
        found.push((position, role));
    }
    (found.len() == listener.roles.len()).then_some(found)
}

fn serve(
    given: &Given<'_>,
    listener: &Listener,
    name: &str,
    found: &Found<'_>,
    roles: &Roles<'_>,
    systems: &Systems<'_>,
    problems: &mut Problems,
) -> Option<(Protocol, ListenerRoutes)> {
    let tcp = found.iter().find(|(position, _)| roles.get(*position).protocol == Protocol::Tcp);
    let name = Arc::from(name);
    let passes = listener.passthrough.as_ref().is_some_and(|passthrough| *passthrough.get_ref());
    let protocol = if tcp.is_some() { Protocol::Tcp } else { Protocol::Http };
    let entry = entry::compile(given, listener, protocol, problems);
    if let Some((position, role)) = tcp {
        if found.len() > 1 {
            let text = format!("{:?} is not HTTP and cannot share a listener", role.get_ref());
            problems.error(role.span(), text, "give it a [[listeners]] of its own");
            return None;
        }
        if passes {
            let text = format!("the role {:?} is not TLS that could be passed through", role.get_ref());
            problems.error(role.span(), text, "take passthrough out: its bytes are passed on as they are");
            return None;
        }
        let tcp = Some(cluster(*position));
        return Some((
            protocol,
            ListenerRoutes { id: ListenerId(0), name, routes: RouteTable::default(), tcp, entry: entry? },
        ));
    }
    if passes && !all_have_tls(found, roles, systems, problems) {
        return None;
    }
    if let Some(entry) = &entry {
        check_rules(entry, &name, found, roles, problems);
    }
    let routes = found.iter().flat_map(|(position, _)| {
        let role = roles.get(*position);
        // Nothing but the server name is seen of TLS that is passed through.
        let paths = if passes { vec![RuledPath::whole()] } else { RuledPath::all_of(role) };
        routes_of(*position, &paths, &role.hosts)
    });
    match RouteTable::build(routes) {
        Ok(routes) => Some((protocol, ListenerRoutes { id: ListenerId(0), name, routes, tcp: None, entry: entry? })),
        Err(ambiguous) => {
            say_ambiguous(&ambiguous, found, passes, problems);
            None
        }
    }
}

fn say_ambiguous(ambiguous: &[Ambiguous], found: &Found<'_>, passes: bool, problems: &mut Problems) {
    let by_cluster: HashMap<ClusterId, &SpannedName> =
        found.iter().map(|(position, role)| (cluster(*position), *role)).collect();
    for pair in ambiguous {
        let (first, second) = (by_cluster[&pair.clusters.0], by_cluster[&pair.clusters.1]);
        let (what, help) = if passes {
            let help = "write hosts = [...] with the names of each in [roles.NAME]; at most one may do without";
            ("are for the same server names".to_owned(), help)
        } else {
            let help = "change paths or hosts of one of them in [roles.NAME], or use two listeners";
            (format!("both serve {:?}", pair.prefix), help)
        };
        problems.error(second.span(), format!("{:?} and {:?} {what}", first.get_ref(), second.get_ref()), help);
    }
}

/// A role that requires client certificates is of no use where no client is asked for one.
fn check_rules(entry: &Entry, name: &str, found: &Found<'_>, roles: &Roles<'_>, problems: &mut Problems) {
    let (why, help) = match &entry.security {
        Security::Terminated(terminated) if terminated.client_certificates != ClientCertificates::None => return,
        Security::Plain | Security::Terminated(_) => (
            "asks for none",
            "write client_certificates = \"optional\" below its [listeners.tls], or take the role out of this listener",
        ),
        Security::Passthrough { .. } => (
            "passes TLS through, so that only the site system can ask for one",
            "take client_certificates out, and require them at the site system",
        ),
    };
    for (position, written) in found {
        let role = roles.get(*position);
        if role.client_certificates == CertificateRule::Required {
            let text = format!("{} requires client certificates, and listener {name:?} {why}", role.title);
            problems.error(written.span(), text, help);
        }
    }
}

/// The bytes of a client go to the port where the site system has TLS.
fn all_have_tls(found: &Found<'_>, roles: &Roles<'_>, systems: &Systems<'_>, problems: &mut Problems) -> bool {
    let mut all = true;
    for (position, name) in found {
        let (role, written) = (roles.get(*position), name.get_ref());
        if !role.tls {
            all = false;
            problems.error(
                name.span(),
                format!("{written:?} has no TLS, and TLS of clients is passed through to it"),
                format!(
                    "write [roles.{}] tls = true; if its plain port is served too, make a second role for TLS: \
                     [roles.{written}-tls] with preset = {written:?} and tls = true, and give both to the site systems",
                    role.name
                ),
            );
        } else if let Some(plain) = systems.of_role(*position).iter().find(|member| !member.role.tls) {
            all = false;
            problems.error(
                name.span(),
                format!("{written:?} has no TLS at {:?}, and TLS of clients is passed through to it", plain.system),
                "take tls = false out of this role of the site system, or give the role to others only",
            );
        }
    }
    all
}

fn routes_of(position: usize, paths: &[RuledPath], hosts: &[String]) -> Vec<Route> {
    let hosts: Vec<Option<String>> =
        if hosts.is_empty() { vec![None] } else { hosts.iter().cloned().map(Some).collect() };
    let each = |path: &RuledPath| {
        let route = |host: &Option<String>| Route {
            prefix: path.prefix.clone(),
            host: host.clone(),
            cluster: cluster(position),
            rules: path.rules,
        };
        hosts.iter().map(route).collect()
    };
    paths.iter().flat_map(|path| -> Vec<Route> { each(path) }).collect()
}
