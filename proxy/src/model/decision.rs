//! Route, locate, pick: the pure function that decides where a request goes.
//!
//! The request path, `explain` and the tests call the same three steps with the same arguments, so an explanation can never
//! differ from what was served.

use std::net::IpAddr;

use super::balance::{Ask, NoPick, Pick, Tried, pick};
use super::boundary::GroupId;
use super::cluster::Cluster;
use super::content::content_id;
use super::location::ContentLocation;
use super::mix::{hash_ignore_case, mix};
use super::role::Balance;
use super::route::ClusterId;
use super::snapshot::Snapshot;

/// What the decision needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Position of the listener.
    pub listener: u16,
    /// `Host` without its port.
    pub host: Option<&'a str>,
    /// Method, as sent.
    pub method: &'a str,
    /// Path, as sent.
    pub path: &'a str,
    /// The client's address, after trusted forwarding fields.
    pub client: IpAddr,
}

/// Where a request belongs; the same for all attempts.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The role.
    pub cluster_id: ClusterId,
    /// Its servers.
    pub cluster: &'a Cluster,
    /// The client's boundary groups; empty when the role does not know them.
    pub groups: &'a [GroupId],
    /// Where the client may be served.
    pub location: ContentLocation<'a>,
    key: u64,
    system: Option<u16>,
}

/// Why a request belongs nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No role of this listener serves the path.
    NoRoute,
    /// The role does not take the method.
    Method(ClusterId),
    /// Several servers, each with data of its own, and the request names none of them.
    NotNamed(ClusterId),
}

impl<'a> Decision<'a> {
    /// Route and locate.
    ///
    /// # Errors
    /// [`Refusal`] says why the request belongs nowhere.
    pub fn new(snapshot: &'a Snapshot, facts: &Facts<'_>) -> Result<Self, Refusal> {
        let routes = &snapshot.site.listeners[usize::from(facts.listener)].routes;
        let (id, prefix) = routes.route(facts.host, facts.path).ok_or(Refusal::NoRoute)?;
        let methods = &snapshot.cluster(id).topology.role.methods;
        if !methods.is_empty() && !methods.iter().any(|method| method == facts.method) {
            return Err(Refusal::Method(id));
        }
        let content = content_id(facts.path, prefix);
        Self::for_cluster(snapshot, id, facts.client, facts.host, content)
    }

    /// Locate alone: the role is known from the listener.
    ///
    /// # Errors
    /// [`Refusal::NotNamed`] for a role whose servers are told apart by name.
    pub fn for_cluster(
        snapshot: &'a Snapshot,
        cluster_id: ClusterId,
        client: IpAddr,
        host: Option<&str>,
        content: Option<&str>,
    ) -> Result<Self, Refusal> {
        let cluster: &Cluster = snapshot.cluster(cluster_id);
        let topology = &*cluster.topology;
        let balance = topology.role.balance;
        let system = match balance {
            Balance::Named => Some(topology.named(host).ok_or(Refusal::NotNamed(cluster_id))?),
            Balance::LeastRequests | Balance::Random | Balance::Client | Balance::Content => None,
        };
        let groups = if topology.grouped() { snapshot.site.boundaries.groups_of(client) } else { &[] };
        let key = match balance {
            Balance::Client => client_hash(client),
            Balance::Content => match content {
                Some(content) => hash_ignore_case(client_hash(client), content.as_bytes()),
                None => client_hash(client),
            },
            Balance::LeastRequests | Balance::Random | Balance::Named => 0,
        };
        let location = ContentLocation::new(topology, groups);
        Ok(Self { cluster_id, cluster, groups, location, key, system })
    }

    /// Pick, once for each attempt.
    ///
    /// # Errors
    /// [`NoPick`] says why there is nobody.
    pub fn pick(&self, tried: &Tried, now_ms: u64, dice: u64) -> Result<Pick, NoPick> {
        pick(self.cluster, self.location, &Ask { key: self.key, system: self.system, tried, now_ms, dice })
    }
}

/// The same for an IPv4 address and its IPv4-mapped form.
fn client_hash(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(u32::from(v4))),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            mix(mix((bits >> 64) as u64) ^ bits as u64)
        }
    }
}
