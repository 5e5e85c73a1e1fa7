//! What can be served and is probably not what was meant: a line for each, from `rolegate check`, at the start and after a reload.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::compile::{Compiled, RolePlan, listener_at};
use crate::model::cluster::Topology;
use crate::model::entry::{ClientCertificates, KeyKind, Security, Terminated};
use crate::model::presets;
use crate::model::role::Protocol;
use crate::model::route::ClusterId;
use crate::model::snapshot::ListenerRoutes;

/// All of them.
pub fn doubts(compiled: &Compiled) -> Vec<String> {
    let mut lines = Vec::new();
    for listener in &compiled.site.listeners {
        lines.extend(listener.entry.terminated().and_then(|terminated| old_windows(listener, terminated)));
        for plan in plans(compiled, listener) {
            lines.extend(bridged(listener, plan));
            lines.extend(anonymous(compiled, listener, plan));
        }
    }
    lines
}

/// Says them in the log.
pub fn warn(compiled: &Compiled) {
    for line in doubts(compiled) {
        tracing::warn!("{line}");
    }
}

/// The roles of a listener, each once.
fn plans<'a>(compiled: &'a Compiled, listener: &ListenerRoutes) -> Vec<&'a RolePlan> {
    let mut ids: Vec<_> = listener.routes.routes().map(|route| route.cluster.0).collect();
    ids.extend(listener.tcp.map(|role| role.0));
    ids.sort_unstable();
    ids.dedup();
    let clusters = ids.into_iter().flat_map(|id| compiled.site.sites.clusters_of(ClusterId(id)));
    clusters.filter_map(|id| compiled.roles.get(usize::from(id.0))).collect()
}

/// Windows 8.1 and Server 2012 R2 share no cipher suite with us when the key is RSA: theirs have CBC.
fn old_windows(listener: &ListenerRoutes, terminated: &Terminated) -> Option<String> {
    let names = |ecdsa: bool| {
        let certificates = terminated.certificates.iter().filter(move |own| (own.key == KeyKind::Ecdsa) == ecdsa);
        certificates.flat_map(|certificate| certificate.names.iter().map(String::as_str))
    };
    let none = terminated.certificates.iter().all(|certificate| certificate.key != KeyKind::Ecdsa);
    let mut without: Vec<&str> = names(false).filter(|name| !names(true).any(|other| covers(other, name))).collect();
    without.dedup();
    if !terminated.speaks_1_2 || (!none && without.is_empty()) {
        return None;
    }
    let whose = if none { String::new() } else { format!(" for {}", without.join(", ")) };
    Some(format!(
        "listener {:?} has no certificate with an ECDSA key{whose}: clients on Windows 8.1 and Server 2012 R2 cannot connect; if \
         there are any, add a second certificate for the same names, with an ECDSA P-256 key",
        listener.name
    ))
}

/// Whether a certificate for one name is good for another: `*.contoso.com` is for `mp.contoso.com`.
fn covers(pattern: &str, name: &str) -> bool {
    let below = |parent: &str| name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent));
    pattern.eq_ignore_ascii_case(name) || pattern.strip_prefix("*.").is_some_and(below)
}

/// TLS on one side alone. Microsoft supports it on both, or on none.
fn bridged(listener: &ListenerRoutes, plan: &RolePlan) -> Option<String> {
    let role = &*plan.role;
    // Nothing is known of a role that comes from no preset.
    let known = presets::canonical(&role.name).is_some() || role.times_of.is_some();
    if role.protocol == Protocol::Tcp || !known {
        return None;
    }
    let (here, there) = match listener.entry.security {
        Security::Plain => (false, true),
        Security::Terminated(_) => (true, false),
        Security::Passthrough { .. } => return None,
    };
    let other = plan.members.iter().find(|member| member.role.tls == there)?;
    let words = |tls: bool| if tls { "HTTPS" } else { "HTTP" };
    let help = match there {
        true => "give the listener [listeners.tls], or passthrough = true and a port of its own",
        false => "write tls = true in the role when its site systems have HTTPS",
    };
    Some(format!(
        "listener {:?} has {} and {} at {:?} has {}: Microsoft does not support {} in front of {} site systems; {help}",
        listener.name,
        words(here),
        role.title,
        other.system,
        words(there),
        words(here),
        words(there)
    ))
}

/// A listener whose clients can show no certificate, beside one whose clients can.
fn anonymous(compiled: &Compiled, listener: &ListenerRoutes, plan: &RolePlan) -> Option<String> {
    let can_show = |listener: &ListenerRoutes| {
        let terminated = listener.entry.terminated();
        terminated.is_some_and(|terminated| terminated.client_certificates != ClientCertificates::None)
    };
    if can_show(listener) || matches!(listener.entry.security, Security::Passthrough { .. }) {
        return None;
    }
    let withheld = plan
        .members
        .iter()
        .find(|member| member.tls.as_ref().is_some_and(|tls| tls.has_certificate()) && !member.role.lend_certificate)?;
    // Where there is no other, the certificate is of no use: the compiler says so.
    let mut others = compiled.site.listeners.iter().filter(|other| can_show(other));
    others.find(|other| plans(compiled, other).iter().any(|served| served.role.name == plan.role.name))?;
    Some(format!(
        "clients of listener {:?} can show no certificate, so {:?} is not shown rolegate's for them as {}, and refuses them if it \
         wants one; take the role from this listener if that is not meant",
        listener.name, withheld.system, plan.role.title
    ))
}

/// Addresses of site systems that have turned out to be listeners of ours, each said once.
#[derive(Debug, Default)]
pub struct Circles {
    said: HashSet<SocketAddr>,
}

impl Circles {
    /// Looks at what names have led to.
    pub fn look(&mut self, compiled: &Compiled, topologies: &[Arc<Topology>]) {
        let mut found = HashSet::new();
        for endpoint in topologies.iter().flat_map(|topology| &topology.endpoints) {
            let Some(bound) = listener_at(&compiled.listeners, endpoint.address, is_ours) else { continue };
            if found.insert(endpoint.address) && !self.said.contains(&endpoint.address) {
                let (system, address, listener) = (&endpoint.system, endpoint.address, &bound.name);
                tracing::warn!(%system, %address, listener, "the site system is a listener of this proxy: its requests come back");
            }
        }
        self.said = found;
    }
}

/// Whether this machine has the address. Nothing is sent.
pub fn is_ours(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}
