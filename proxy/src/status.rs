//! What `/status` says: the snapshot that is served and how every endpoint stands. Also what `rolegate status` reads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rolegate_health::{Outcome, Record};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::certificates::days_left;
use crate::control::changes::Change;
use crate::control::director::View;
use crate::metrics::{GroupCounts, GroupMetrics};
use crate::model::cluster::{Class, Cluster, EndpointIndex};
use crate::model::description::{Descriptions, Thing};
use crate::model::entry::{ClientCertificates, Security, ServerCertificate};
use crate::model::sites::OneSite;
use crate::model::snapshot::{ListenerRoutes, Site, Snapshot};
use crate::steering::listing::{self, OverrideStatus};

/// Changes of health that are listed of the site.
const CHANGES: usize = 50;
/// And of one endpoint.
const OWN_CHANGES: usize = 8;

/// Everything. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Version of rolegate.
    pub rolegate: String,
    /// The process that answers.
    #[serde(default)]
    pub pid: u32,
    /// Why the last upgrade came to nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upgrade: Option<FailedUpgradeStatus>,
    /// Site code; of several sites, all codes.
    pub site: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Version of the snapshot.
    pub snapshot: u64,
    /// Number of accepted configurations.
    pub generation: u64,
    /// When the snapshot was published.
    pub published: f64,
    /// The last reload.
    pub reload: ReloadStatus,
    /// Listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Roles and their endpoints.
    pub roles: Vec<RoleStatus>,
    /// The sites, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sites: Vec<SiteStatus>,
    /// Boundary groups, site default boundary groups last.
    pub boundary_groups: Vec<GroupStatus>,
    /// Site systems given by name.
    pub names: Vec<NameStatus>,
    /// What people have decided about site systems at run time.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub overrides: Vec<OverrideStatus>,
    /// Endpoints that left and still have requests.
    pub draining: Vec<DrainingStatus>,
    /// The last changes of health in the site, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<ChangeStatus>,
}

/// A change of an endpoint's health.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ChangeStatus {
    /// When.
    pub at: f64,
    /// Role.
    pub role: String,
    /// Site system.
    pub site_system: String,
    /// Its address.
    pub address: String,
    /// What it was.
    pub from: String,
    /// `unproven`, `up`, `degraded`, `down`, `ejected`, or `in use` after that.
    pub to: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
}

/// How the last reload went.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ReloadStatus {
    /// When.
    pub at: f64,
    /// Whether it was accepted.
    pub accepted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub errors: Option<String>,
}

/// An upgrade that came to nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct FailedUpgradeStatus {
    /// When.
    pub at: f64,
    /// Why.
    pub error: String,
}

/// One listener.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Address that it is bound to.
    #[serde(default)]
    pub address: String,
    /// Roles that it serves.
    pub roles: Vec<String>,
    /// What the bytes of a client are: `plain`, `tls` that ends here, or `passthrough`.
    #[serde(default)]
    pub security: String,
    /// HTTP/2 is offered.
    #[serde(default)]
    pub http2: bool,
    /// Load balancers in front of it send the PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Whether clients show a certificate, with TLS that ends here: `none`, `optional` or `required`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_certificates: Option<String>,
    /// Its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificates: Vec<CertificateStatus>,
}

/// One of our certificates.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct CertificateStatus {
    /// DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// Where it was read from.
    pub file: String,
    /// When it begins.
    pub not_before: f64,
    /// When it ends.
    pub not_after: f64,
    /// Whole days until then; negative when it is over.
    pub days_left: i64,
}

/// One of several sites.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct SiteStatus {
    /// Its code.
    pub code: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Code of its primary site, for a secondary one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub primary: Option<String>,
    /// Its site default boundary group.
    pub default_boundary_group: String,
    /// Names by which clients ask for it.
    pub hosts: Vec<String>,
    /// Boundary groups that assign clients to it.
    pub boundary_groups: Vec<String>,
}

/// One role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct RoleStatus {
    /// Its name.
    pub name: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Code of the site whose role it is, where there are several and each has its own servers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<String>,
    /// As the console spells it.
    pub title: String,
    /// Nobody is well and requests are sent all the same.
    pub panic: bool,
    /// Whether boundary groups decide who serves a client.
    pub boundary_groups: bool,
    /// For software update points: whether clients keep to one of them, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_rule: Option<String>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct EndpointStatus {
    /// Site system.
    pub site_system: String,
    /// What people have written about the site system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Its address.
    pub address: String,
    /// `unproven`, `up`, `degraded` or `down`.
    pub health: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<f64>,
    /// Whether it may be picked as well.
    pub available: bool,
    /// Taken out by live traffic.
    pub ejected: bool,
    /// Taken out by a person: `drain` or `maintenance`.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub steered: String,
    /// Share of the traffic.
    pub weight: u32,
    /// The configured share, where a person has set another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub configured_weight: Option<u32>,
    /// Requests and tunnels under way.
    pub in_flight: u32,
    /// Probes that passed and failed.
    pub probes: (u64, u64),
    /// Why the last failed probe failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<FailureStatus>,
    /// The last probes, oldest first: `.` passed, `d` degraded, `x` failed.
    pub history: String,
    /// The last changes of its health, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<ChangeStatus>,
}

/// A failed probe.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct FailureStatus {
    /// When.
    pub at: f64,
    /// What was seen.
    pub cause: String,
}

/// One boundary group.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Its servers by role.
    pub servers: Vec<(String, Vec<String>)>,
    /// Where its clients fall back to, by role: group and minutes, in order.
    pub fallback: Vec<(String, Vec<(String, u32)>)>,
    /// What its clients have asked, by role, where that is counted; without roles that nobody has asked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub requests: Vec<RequestsStatus>,
}

/// What the clients of a boundary group have asked of a role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct RequestsStatus {
    /// The role.
    pub role: String,
    /// Requests that servers have answered, by their tier.
    pub answered: Vec<(String, u64)>,
    /// Requests that no server has answered.
    pub failed: u64,
    /// Bytes that went to the clients.
    pub bytes: u64,
}

/// One name.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct NameStatus {
    /// The name.
    pub name: String,
    /// Its last good answer; empty when it was never resolved.
    pub addresses: Vec<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved: Option<f64>,
    /// Why the last question failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
}

/// An endpoint that left.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct DrainingStatus {
    /// Role.
    pub role: String,
    /// Site system.
    pub site_system: String,
    /// Its address.
    pub address: String,
    /// Requests and tunnels under way.
    pub in_flight: u32,
}

impl Status {
    /// Reads the snapshot and the Director's view.
    pub fn new(snapshot: &Snapshot, view: &Arc<Mutex<View>>) -> Self {
        let view = view.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = snapshot.site.listeners.iter().map(|routes| {
            let bound = view.listening.iter().find(|bound| bound.id == routes.id);
            listener(routes, bound.map(|bound| &bound.address), snapshot)
        });
        let names = view.names.states().into_iter().map(|(name, state)| NameStatus {
            name: name.to_string(),
            addresses: state.addresses.iter().map(ToString::to_string).collect(),
            resolved: state.resolved.map(seconds),
            failure: state.failure,
        });
        let mut names: Vec<NameStatus> = names.collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let draining = view.leaving.iter().filter(|leaving| leaving.state.in_flight() > 0);
        Self {
            rolegate: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            upgrade: view
                .upgrade
                .as_ref()
                .map(|failed| FailedUpgradeStatus { at: seconds(failed.at), error: failed.error.clone() }),
            site: snapshot.site.code.clone(),
            description: snapshot.site.descriptions.of(Thing::Site, ""),
            snapshot: snapshot.version,
            generation: snapshot.generation,
            published: seconds(snapshot.published),
            reload: ReloadStatus {
                at: seconds(view.reload.at),
                accepted: view.reload.accepted,
                errors: view.reload.errors.clone(),
            },
            listeners: listeners.collect(),
            roles: snapshot
                .clusters
                .iter()
                .filter(|cluster| !cluster.topology.endpoints.is_empty() || snapshot.site.serves(cluster.topology.id))
                .map(|cluster| role(cluster, &view, &snapshot.site.descriptions))
                .collect(),
            sites: sites(&snapshot.site),
            boundary_groups: (0..snapshot.site.group_names.len()).map(|id| group(id, snapshot)).collect(),
            names,
            overrides: snapshot.steering.all().map(|own| listing::status(snapshot, own)).collect(),
            changes: view.changes.all().take(CHANGES).map(change).collect(),
            draining: draining
                .map(|leaving| DrainingStatus {
                    role: leaving.role.clone(),
                    site_system: leaving.system.to_string(),
                    address: leaving.address.to_string(),
                    in_flight: leaving.state.in_flight(),
                })
                .collect(),
        }
    }
}

fn listener(listener: &ListenerRoutes, address: Option<&SocketAddr>, snapshot: &Snapshot) -> ListenerStatus {
    let mut roles: Vec<usize> = listener.routes.routes().map(|route| usize::from(route.cluster.0)).collect();
    roles.extend(listener.tcp.map(|id| usize::from(id.0)));
    roles.sort_unstable();
    roles.dedup();
    let name = |id: usize| snapshot.clusters[id].topology.role.name.clone();
    let terminated = listener.entry.terminated();
    let mode = terminated.map(|terminated| match terminated.client_certificates {
        ClientCertificates::None => "none",
        ClientCertificates::Optional => "optional",
        ClientCertificates::Required => "required",
    });
    let now = seconds(SystemTime::now()) as i64;
    let certificates = terminated.map_or(&[][..], |terminated| &terminated.certificates);
    ListenerStatus {
        name: listener.name.to_string(),
        description: snapshot.site.descriptions.of(Thing::Listener, &listener.name),
        address: address.map(ToString::to_string).unwrap_or_default(),
        roles: roles.into_iter().map(name).collect(),
        security: match listener.entry.security {
            Security::Plain => "plain",
            Security::Terminated(_) => "tls",
            Security::Passthrough { .. } => "passthrough",
        }
        .to_owned(),
        http2: listener.entry.http2,
        proxy_protocol: listener.entry.proxy_protocol.is_some(),
        client_certificates: mode.map(str::to_owned),
        certificates: certificates.iter().map(|certificate| self::certificate(certificate, now)).collect(),
    }
}

fn sites(site: &Site) -> Vec<SiteStatus> {
    let of = |(place, own): (usize, &OneSite)| {
        let groups = site.sites.groups.iter().zip(&site.group_names).take(site.written_groups());
        SiteStatus {
            code: own.code.to_string(),
            description: site.descriptions.of(Thing::Site, &own.code),
            primary: own.primary.map(|primary| site.sites.list[usize::from(primary)].code.to_string()),
            default_boundary_group: site.group_names[usize::from(own.default_group.0)].clone(),
            hosts: own.hosts.iter().map(ToString::to_string).collect(),
            boundary_groups: groups
                .filter(|(group, _)| group.map(usize::from) == Some(place))
                .map(|(_, name)| name.clone())
                .collect(),
        }
    };
    site.sites.list.iter().enumerate().map(of).collect()
}

/// What is told of a certificate, at a time in seconds since 1970.
pub(crate) fn certificate(certificate: &ServerCertificate, now: i64) -> CertificateStatus {
    CertificateStatus {
        names: certificate.names.to_vec(),
        file: certificate.file.clone(),
        not_before: certificate.not_before as f64,
        not_after: certificate.not_after as f64,
        days_left: days_left(certificate.not_after, now),
    }
}

fn role(cluster: &Cluster, view: &View, descriptions: &Descriptions) -> RoleStatus {
    let topology = &cluster.topology;
    let endpoints = topology.endpoints.iter().enumerate().map(|(index, endpoint)| {
        let standing = cluster.standing(index as EndpointIndex);
        let report = view.checker.report(endpoint.state.id);
        let record = report.as_ref().and_then(|report| report.last_failure.as_ref());
        EndpointStatus {
            site_system: endpoint.system.to_string(),
            description: descriptions.of(Thing::SiteSystem, &endpoint.system),
            address: endpoint.address.to_string(),
            health: standing.health.as_str().to_owned(),
            since: report.as_ref().and_then(|report| report.since).map(seconds),
            available: standing.class() == Class::Well,
            ejected: standing.ejected,
            steered: standing.steer.as_str().to_owned(),
            weight: endpoint.weight,
            configured_weight: (endpoint.weight != endpoint.configured_weight).then_some(endpoint.configured_weight),
            in_flight: endpoint.state.in_flight(),
            probes: report.as_ref().map_or((0, 0), |report| (report.passes, report.failures)),
            last_failure: record.map(|record| FailureStatus {
                at: seconds(record.at),
                cause: record.failure.as_ref().map(ToString::to_string).unwrap_or_default(),
            }),
            history: report.map(|report| report.history.iter().map(mark).collect()).unwrap_or_default(),
            changes: view.changes.of(endpoint.state.id).take(OWN_CHANGES).map(change).collect(),
        }
    });
    RoleStatus {
        name: topology.role.name.clone(),
        description: descriptions.of(Thing::Role, &topology.role.name),
        site: topology.site.as_ref().map(ToString::to_string),
        title: topology.role.title.clone(),
        panic: cluster.panicking(),
        boundary_groups: topology.grouped(),
        fallback_rule: topology.role.fallback_rule.why().map(str::to_owned),
        endpoints: endpoints.collect(),
    }
}

fn change(change: &Change) -> ChangeStatus {
    ChangeStatus {
        at: seconds(change.at),
        role: change.role.clone(),
        site_system: change.system.to_string(),
        address: change.address.to_string(),
        from: change.turn.from().to_owned(),
        to: change.turn.to().to_owned(),
        cause: Some(change.cause.clone()).filter(|cause| !cause.is_empty()),
    }
}

fn mark(record: &Record) -> char {
    match record.outcome {
        Outcome::Pass => '.',
        Outcome::Degraded => 'd',
        Outcome::Fail => 'x',
    }
}

fn group(id: usize, snapshot: &Snapshot) -> GroupStatus {
    let names = &snapshot.site.group_names;
    let mut servers = Vec::new();
    let mut fallback = Vec::new();
    let mut requests = Vec::new();
    for cluster in snapshot.clusters.iter().filter(|cluster| cluster.topology.grouped()) {
        let topology = &cluster.topology;
        let Some(group) = topology.groups.get(id) else { continue };
        let role = topology.label().into_owned();
        let mut systems: Vec<String> =
            group.members.iter().map(|&member| cluster.endpoint(member).system.to_string()).collect();
        systems.dedup();
        if !systems.is_empty() {
            servers.push((role.clone(), systems));
        }
        // A group without a server of the role is no place to fall back to.
        let links = group
            .links
            .iter()
            .filter(|link| !topology.groups[usize::from(link.group.0)].members.is_empty())
            .map(|link| (names[usize::from(link.group.0)].clone(), link.offset));
        let links: Vec<(String, u32)> = links.collect();
        if !links.is_empty() {
            fallback.push((role, links));
        }
        let counts = group.metrics.as_ref().and_then(GroupMetrics::counts);
        requests.extend(counts.filter(|counts| !counts.is_empty()).map(|counts| asked(&topology.role.name, &counts)));
    }
    let description = snapshot.site.descriptions.of(Thing::BoundaryGroup, &names[id]);
    GroupStatus { name: names[id].clone(), description, servers, fallback, requests }
}

fn asked(role: &str, counts: &GroupCounts) -> RequestsStatus {
    let answered = counts.answered.iter().filter(|(_, count)| *count > 0);
    RequestsStatus {
        role: role.to_owned(),
        answered: answered.map(|(tier, count)| (tier.as_str().to_owned(), *count)).collect(),
        failed: counts.failed,
        bytes: counts.sent,
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
