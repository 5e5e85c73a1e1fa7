//! Puts a compiled configuration and the addresses of its names together: topologies to serve and servers to probe.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rolegate_health::{HttpProbe, Probe, Target};

use super::compile::{Compiled, GroupPlan, MemberPlan, Place, RolePlan, SitePlan, meanings};
use super::registry::Registry;
use crate::metrics::GroupMetrics;
use crate::model::boundary::{BoundaryTable, SubnetId};
use crate::model::called::Names;
use crate::model::cluster::{EndpointIndex, GroupServers, SiteServers, System, Topology};
use crate::model::endpoint::Endpoint;
use crate::model::mix::hash_ignore_case;
use crate::model::role::{Balance, ProbeKind, ProxyProtocol, Role};
use crate::model::route::ClusterId;
use crate::model::steering::Steering;
use crate::model::system_addresses::SystemAddresses;
use crate::model::tls::Tls;

/// Addresses by name; a name without an entry has never been resolved.
pub type Addresses = HashMap<Arc<str>, Vec<IpAddr>>;

/// What a probe says it is.
const USER_AGENT: &str = concat!("rolegate/", env!("CARGO_PKG_VERSION"), " (health probe)");

/// Everything that follows from a configuration and the addresses of its names.
#[derive(Debug)]
pub struct Assembled {
    /// By cluster id.
    pub topologies: Vec<Arc<Topology>>,
    /// What the checker asks.
    pub targets: Vec<Target>,
}

/// What all roles are assembled with.
struct Known<'a> {
    addresses: &'a Addresses,
    /// Those of all site systems in all their roles, sorted.
    everywhere: Vec<(IpAddr, u16)>,
    boundaries: &'a BoundaryTable,
    /// What people have decided, and when that is looked at, in seconds since 1970.
    steering: (&'a Steering, u64),
}

/// Assembles all roles. Endpoints that were there before keep their live part.
pub fn assemble(compiled: &Compiled, addresses: &Addresses, registry: &mut Registry) -> Assembled {
    assemble_steered(compiled, addresses, registry, (&Steering::default(), 0))
}

/// As [`assemble`], with the weights that people have decided on by `now` (seconds since 1970).
pub fn assemble_steered(
    compiled: &Compiled,
    addresses: &Addresses,
    registry: &mut Registry,
    steering: (&Steering, u64),
) -> Assembled {
    registry.show(compiled.endpoint_series);
    registry.begin_round();
    let mut targets = Vec::new();
    let mut topologies = Vec::with_capacity(compiled.roles.len());
    let everywhere = everywhere(compiled, addresses);
    let known = Known { addresses, everywhere, boundaries: &compiled.site.boundaries, steering };
    for (id, plan) in compiled.roles.iter().enumerate() {
        let id = ClusterId(u16::try_from(id).unwrap_or(u16::MAX));
        let counted = group_metrics(plan, compiled, registry);
        topologies.push(Arc::new(topology(id, plan, &known, counted, registry, &mut targets)));
    }
    registry.end_round();
    Assembled { topologies, targets }
}

fn topology(
    id: ClusterId,
    plan: &RolePlan,
    known: &Known<'_>,
    counted: Vec<Option<GroupMetrics>>,
    registry: &mut Registry,
    targets: &mut Vec<Target>,
) -> Topology {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut of_member: Vec<Vec<EndpointIndex>> = Vec::with_capacity(plan.members.len());
    let near = plan.role.same_subnet_first.then_some(known.boundaries);
    for member in &plan.members {
        let mut indices = Vec::new();
        for address in member_addresses(member, known.addresses) {
            indices.push(EndpointIndex::try_from(endpoints.len()).unwrap_or(EndpointIndex::MAX));
            let subnet = near.and_then(|boundaries| boundaries.place_of(address.ip()).subnet);
            let weight = weight(&plan.role, member, known.steering);
            let endpoint = Endpoint { subnet, weight, ..endpoint(&plan.role, member, address, registry) };
            endpoint.metrics.weight.set(f64::from(weight));
            targets.push(target(&endpoint, member));
            endpoints.push(endpoint);
        }
        of_member.push(indices);
    }
    let flatten = |members: &[usize]| members.iter().flat_map(|&member| of_member[member].clone()).collect();
    // The box "Allow fallback source location for content" and the choice "do not download" are about content.
    let content = plan.role.balance == Balance::Content;
    let slow = |group: &GroupPlan| if content && !plan.distant { Box::default() } else { flatten(&group.slow) };
    let unresolved = |group: &GroupPlan| {
        let members = group.members.iter().filter(|member| of_member[**member].is_empty());
        members.map(|member| plan.members[*member].system_index).collect()
    };
    let groups = plan.groups.iter().zip(counted).map(|(group, metrics)| GroupServers {
        members: flatten(&group.members),
        slow: slow(group),
        unresolved: unresolved(group),
        links: group.links.clone().into_boxed_slice(),
        metrics,
    });
    let at_site =
        |site: &SitePlan| SiteServers { default_group: site.default_group, everyone: flatten(&site.everyone) };
    let fallback_sources: Vec<usize> = (0..plan.members.len())
        .filter(|&member| content && plan.distant && plan.members[member].fallback_source)
        .collect();
    let mut by_id: Vec<(u32, EndpointIndex)> =
        endpoints.iter().enumerate().map(|(index, endpoint)| (endpoint.state.id, index as EndpointIndex)).collect();
    by_id.sort_unstable();
    Topology {
        id,
        hash: plan.hash,
        site: plan.site.clone(),
        systems: systems(plan),
        by_id: by_id.into_boxed_slice(),
        role: Arc::clone(&plan.role),
        groups: groups.collect(),
        fallback_sources: flatten(&fallback_sources),
        own: at_site(&plan.own),
        by_site: plan.by_site.iter().map(at_site).collect(),
        ungrouped: plan.ungrouped,
        names: Names::new(meanings(&plan.members)),
        replicas: plan.members.iter().any(|member| member.role.replica),
        subnets: subnets_of(&endpoints),
        own_addresses: own_addresses(plan, &known.everywhere),
        metrics: registry.role(&plan.role.name, plan.site.as_ref()),
        endpoints: endpoints.into_boxed_slice(),
    }
}

/// Handles of the role's boundary groups. Those that have no series of their own share some.
fn group_metrics(plan: &RolePlan, compiled: &Compiled, registry: &mut Registry) -> Vec<Option<GroupMetrics>> {
    let own = compiled.group_series.filter(|_| plan.grouped());
    let groups = compiled.site.group_names.iter().enumerate();
    let handles = |(place, name): (usize, &String)| {
        own.map(|own| registry.group(&plan.role.name, (place < own).then_some(name.as_str())))
    };
    groups.map(handles).collect()
}

/// Addresses of all site systems in all their roles, sorted.
fn everywhere(compiled: &Compiled, addresses: &Addresses) -> Vec<(IpAddr, u16)> {
    let members = compiled.roles.iter().flat_map(|plan| &plan.members);
    let places = members.flat_map(|member| {
        let own = member_addresses(member, addresses).into_iter();
        own.map(|address| (address.ip().to_canonical(), member.system_index))
    });
    let mut all: Vec<(IpAddr, u16)> = places.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Those of the site systems that hold a role.
fn own_addresses(plan: &RolePlan, everywhere: &[(IpAddr, u16)]) -> SystemAddresses {
    let holders: HashSet<u16> = plan.members.iter().map(|member| member.system_index).collect();
    SystemAddresses::new(everywhere.iter().filter(|(_, system)| holders.contains(system)).copied().collect())
}

/// Subnets that some endpoint is in.
fn subnets_of(endpoints: &[Endpoint]) -> Box<[SubnetId]> {
    let found: BTreeSet<SubnetId> = endpoints.iter().filter_map(|endpoint| endpoint.subnet).collect();
    found.into_iter().collect()
}

fn systems(plan: &RolePlan) -> Box<[System]> {
    let mut systems: Vec<System> = plan.members.iter().map(system).collect();
    systems.sort_unstable_by_key(|system| system.index);
    systems.into_boxed_slice()
}

fn system(member: &MemberPlan) -> System {
    let name = Arc::clone(&member.system);
    System {
        name,
        index: member.system_index,
        hash: hash_ignore_case(0, member.system.as_bytes()),
        weight: member.weight,
    }
}

fn member_addresses(member: &MemberPlan, addresses: &Addresses) -> Vec<SocketAddr> {
    let ips = match &member.place {
        Place::Address(address) => vec![*address],
        Place::Name(name) => addresses.get(name).cloned().unwrap_or_default(),
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, member.port)).collect()
}

/// Its share of the traffic. Enrolled devices have their data at one server and would lose it with another weight.
fn weight(role: &Role, member: &MemberPlan, (steering, now): (&Steering, u64)) -> u32 {
    match role.balance {
        Balance::Device => member.weight,
        Balance::LeastRequests | Balance::Random | Balance::Client | Balance::Content => {
            steering.weight(&member.system, &role.name, member.weight, now)
        }
    }
}

fn endpoint(role: &Role, member: &MemberPlan, address: SocketAddr, registry: &mut Registry) -> Endpoint {
    let (state, metrics) = registry.endpoint(&role.name, &member.system, address);
    let seed = hash_ignore_case(0, member.system.as_bytes());
    Endpoint {
        system: Arc::clone(&member.system),
        system_index: member.system_index,
        address,
        host: host(&member.role, member, address).into(),
        subnet: None,
        weight: member.weight,
        configured_weight: member.weight,
        role: Arc::clone(&member.role),
        tls: member.tls.clone(),
        hash: hash_ignore_case(seed, address.to_string().as_bytes()),
        state,
        metrics,
    }
}

/// `Host` of a question to a site system: what is configured, or its name.
fn host(role: &Role, member: &MemberPlan, address: SocketAddr) -> String {
    let configured = match &role.probe.kind {
        ProbeKind::Http(http) => http.host.clone(),
        ProbeKind::None | ProbeKind::Tcp => None,
    };
    configured.unwrap_or_else(|| match &member.place {
        Place::Name(name) => format!("{name}:{}", address.port()),
        Place::Address(_) => address.to_string(),
    })
}

fn target(endpoint: &Endpoint, member: &MemberPlan) -> Target {
    let question = &endpoint.role.probe;
    let address = SocketAddr::new(endpoint.address.ip(), question.port.unwrap_or(endpoint.address.port()));
    // Another port may be of another program.
    let greeting = if address == endpoint.address { greeting(endpoint.role.proxy_protocol) } else { b"" };
    let probe = match &question.kind {
        ProbeKind::None => None,
        ProbeKind::Tcp => Some(Probe::Tcp { tls: endpoint.tls.as_ref().map(Tls::probe), greeting }),
        ProbeKind::Http(http) => {
            let host = host(&endpoint.role, member, address);
            Some(Probe::Http(Box::new(HttpProbe {
                // The configuration accepts only tokens.
                method: http::Method::from_bytes(http.method.as_bytes()).unwrap_or(http::Method::GET),
                target: http.target.clone(),
                host,
                status: http.status.clone(),
                body_contains: http.body_contains.clone(),
                second_opinion: http.second_opinion.clone(),
                user_agent: USER_AGENT.to_owned(),
                tls: endpoint.tls.as_ref().map(Tls::probe),
                greeting,
            })))
        }
    };
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    // The question is plain data; what TLS trusts can only change with the file that the configuration names.
    hasher.write(
        format!("{question:?} {address} {greeting:?} {:?}", endpoint.tls.as_ref().map(|tls| &tls.server_name))
            .as_bytes(),
    );
    if let Some(tls) = &endpoint.tls {
        // The question holds it, so no other one gets this address while the question is asked.
        hasher.write_usize(Arc::as_ptr(&tls.ours.http1).addr());
    }
    Target { id: endpoint.state.id, address, probe, schedule: question.schedule, fingerprint: hasher.finish() }
}

/// The PROXY protocol header of a connection that is nobody's but our own: `UNKNOWN` and `LOCAL`.
pub(super) fn greeting(version: ProxyProtocol) -> &'static [u8] {
    match version {
        ProxyProtocol::Off => b"",
        ProxyProtocol::V1 => b"PROXY UNKNOWN\r\n",
        ProxyProtocol::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::compile::compile;
    use crate::control::config::{Problems, parse};
    use crate::metrics::Metrics;

    /// Slow members of the only group and fallback sources, for content and for management points.
    fn distant(choice: &str) -> [(usize, usize); 2] {
        let text = format!(
            "[site]\ncode = \"P01\"\n[fallback]\nmodel = \"preferred\"\n{choice}\n\
             [[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\", \"DP\"]\n\
             [[site_systems]]\nname = \"a\"\naddress = \"10.0.0.1\"\nroles = [\"MP\", \"DP\"]\nfallback_source = true\n\
             [[boundary_groups]]\nname = \"x\"\nsite_systems = [{{ name = \"a\", connection = \"slow\" }}]\n"
        );
        let mut problems = Problems::new();
        let compiled = compile(&parse(&text, &mut problems), &mut problems);
        assert!(problems.is_empty(), "{}", problems.render("", &text, false));
        let compiled = compiled.unwrap();
        let mut registry = Registry::new(Arc::new(Metrics::new()));
        let assembled = assemble(&compiled, &Addresses::new(), &mut registry);
        let of = |short: &str| {
            let topology = assembled.topologies.iter().find(|topology| topology.role.short == short).unwrap();
            (topology.groups[0].slow.len(), topology.fallback_sources.len())
        };
        ["DP", "MP"].map(of)
    }

    #[test]
    fn probes_say_what_a_connection_begins_with_and_offer_no_http2() {
        let text = "[site]\ncode = \"P01\"\n[roles.MP]\ntls = true\nhttp2 = true\n[roles.DP]\nproxy_protocol = \"v2\"\n\
                    [[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\", \"DP\", \"FSP\"]\n\
                    [[site_systems]]\nname = \"a\"\naddress = \"10.0.0.1\"\n\
                    roles = [\"MP\", \"DP\", { role = \"FSP\", probe = { port = 81 } }]\n";
        let mut problems = Problems::new();
        let compiled = compile(&parse(text, &mut problems), &mut problems).unwrap();
        let mut registry = Registry::new(Arc::new(Metrics::new()));
        let assembled = assemble(&compiled, &Addresses::new(), &mut registry);
        let mut seen = Vec::new();
        for target in &assembled.targets {
            let (tls, greeting) = match target.probe.as_ref().unwrap() {
                Probe::Tcp { tls, greeting } => (tls, *greeting),
                Probe::Http(http) => (&http.tls, http.greeting),
            };
            let offers = tls.as_ref().map(|tls| tls.config.alpn_protocols.clone());
            seen.push((target.address.port(), greeting.len(), offers));
        }
        seen.sort();
        assert_eq!(seen, [(80, 16, None), (81, 0, None), (443, 0, Some(vec![b"http/1.1".to_vec()]))]);
        let endpoint = &assembled.topologies.iter().find(|topology| topology.role.short == "MP").unwrap().endpoints[0];
        assert_eq!(endpoint.tls.as_ref().unwrap().bare.any.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(greeting(ProxyProtocol::V2).len(), 16);
        assert!(greeting(ProxyProtocol::V1).ends_with(b"\r\n"));
    }

    #[test]
    fn content_stays_away_from_slow_connections_and_fallback_sources_when_told_so() {
        assert_eq!(distant(""), [(1, 1), (1, 0)]);
        assert_eq!(distant("slow_or_fallback = \"download\""), [(1, 1), (1, 0)]);
        assert_eq!(distant("slow_or_fallback = \"do-not-download\""), [(0, 0), (1, 0)], "it is about content");
    }
}
