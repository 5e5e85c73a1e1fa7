//! From words to values: the one door between a configuration and what can be served.
//!
//! [`compile`] reports every mistake it finds, each with its place; what it returns can be served without further checks.
//! It knows no addresses of names and no health: [`super::assemble`] adds those.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, header};
use ipnet::IpNet;

use super::config::{Config, Problems, ProxySettings, text};
use crate::model::boundary::{BoundaryTable, GroupId};
use crate::model::cluster::Link;
use crate::model::live::Capacity;
use crate::model::mix::hash_ignore_case;
use crate::model::role::{Locality, Role};
use crate::model::snapshot::{ClientAddressField, Limits, OnClose, Site};
use crate::model::tier::TierKind;
use crate::wire::head::Spelling;

/// Shortest age of a client connection.
const SHORTEST_AGE: Duration = Duration::from_secs(1);
/// Linux counts this in seconds, up to 32,767 of them.
const KEEPALIVES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(9 * 3600);

/// Longest name of a listener, site system or boundary group, in bytes.
const LONGEST_NAME: usize = 255;

/// A name with the place where it was written.
type SpannedName = toml::Spanned<String>;

mod access_log;
mod ad_sites;
mod certificates;
mod circles;
mod clients;
mod connections;
mod descriptions;
mod entry;
mod fallback;
mod files;
mod given;
mod group_series;
mod groups;
mod hierarchy;
mod lending;
mod listeners;
mod names;
mod pem;
mod pkcs12;
mod relations;
mod remembered;
mod roles;
mod ruled_path;
mod sites;
mod subnets;
mod systems;
mod tls;
mod token;
mod usage;

pub use circles::{listener_at, refuse as refuse_circles};
pub use files::{Files, Named};
pub use listeners::Bound;
pub use names::meanings;
pub use systems::{MemberPlan, Place};

/// A configuration that can be served.
#[derive(Debug)]
pub struct Compiled {
    /// Routes, boundaries, names, limits.
    pub site: Arc<Site>,
    /// One for each role that is used, by cluster id.
    pub roles: Vec<RolePlan>,
    /// Boundary groups, the first ones, that have series of their own in each role that they decide about; the others share
    /// some. `None`: nothing is counted by boundary group.
    pub group_series: Option<usize>,
    /// One for each listener.
    pub listeners: Vec<Bound>,
    /// What is fixed when the process starts.
    pub fixed: Fixed,
    /// How names are resolved.
    pub dns: super::config::Dns,
    /// Certificates, keys and all other files that were read for it.
    pub files: Named,
    /// Whether changes of these files are noticed.
    pub watch: WatchFiles,
}

/// Whether a change of a file is noticed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFiles {
    /// It is.
    On,
    /// Files are read again when that is asked for.
    Off,
}

/// What a reload cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Data threads; `None` is one for each core.
    pub threads: Option<u16>,
    /// Address of the admin listener.
    pub admin: std::net::SocketAddr,
    /// Length of the queue of the access log, if there is one.
    pub access_log: Option<u32>,
    /// How long a shutdown waits.
    pub drain_timeout: Duration,
    /// How much is remembered of what is learned while serving.
    pub capacity: Capacity,
}

/// One role and its site systems, or those of one site.
#[derive(Debug)]
pub struct RolePlan {
    /// The role.
    pub role: Arc<Role>,
    /// Code of the site whose role it is; `None` where there is one site, and for roles of the whole hierarchy.
    pub site: Option<Arc<str>>,
    /// See [`crate::model::cluster::Topology::hash`].
    pub hash: u64,
    /// What its site makes of them.
    pub own: SitePlan,
    /// The same for each site, where several share them.
    pub by_site: Vec<SitePlan>,
    /// Its site systems.
    pub members: Vec<MemberPlan>,
    /// By group id; site default boundary groups are the last.
    pub groups: Vec<GroupPlan>,
    /// Boundary groups do not matter: none names one of the members, or groups of this model hold none of this role.
    pub ungrouped: bool,
    /// Content may come from slow connections and fallback sources.
    pub distant: bool,
}

impl RolePlan {
    /// As [`crate::model::cluster::Topology::grouped`].
    pub fn grouped(&self) -> bool {
        !self.ungrouped && self.role.locality != Locality::Site
    }
}

/// What is different for the clients of one site.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// Its default boundary group.
    pub default_group: GroupId,
    /// Positions in [`RolePlan::members`] of those for clients of whom boundary groups say nothing.
    pub everyone: Vec<usize>,
}

/// One boundary group for one role.
#[derive(Clone, Debug, Default)]
pub struct GroupPlan {
    /// Positions in [`RolePlan::members`].
    pub members: Vec<usize>,
    /// As `members`, of those behind a slow connection.
    pub slow: Vec<usize>,
    /// In order of use.
    pub links: Vec<Link>,
}

/// Compiles a configuration.
///
/// `None` when `problems` is fatal afterwards; warnings alone are not.
pub fn compile(config: &Config, problems: &mut Problems) -> Option<Compiled> {
    compile_with(config, &Files::new(), problems)
}

/// As [`compile`]; `files` knows afterwards which files the configuration names, be it with mistakes.
pub fn compile_with(config: &Config, files: &Files, problems: &mut Problems) -> Option<Compiled> {
    let sites = sites::Sites::collect(config, problems);
    let fallback = fallback::compile(config, problems);
    let mut roles = roles::Roles::collect(config, fallback.clock, problems);
    let tls = tls::Trust::load(config, files, problems);
    let systems = systems::compile(config, &mut roles, &tls, &sites, problems);
    let listeners = listeners::compile(config, &mut roles, &systems, files, problems);
    let groups = groups::compile(config, &fallback, &roles, &systems, &sites, problems);
    let descriptions = descriptions::compile(config, &sites, problems);
    let content = remembered::content(config, problems);
    let capacity = remembered::capacity(config, problems);
    let trusted_proxies = networks(&config.proxy.trusted_proxies, problems);
    let client_address_field = client_address_field(config, problems);
    let request_id_field = access_log::request_id_field(config, problems);
    let access_log = access_log::compile(config, problems);
    admin(config, problems);
    let admin_token = token::hash(config, files, problems);
    proxy_name(config, problems);
    check_threads(config, problems);
    check_numbers(config, problems);
    if let Some(listeners) = &listeners {
        listeners.warn_about_unserved(&roles, &systems, problems);
        circles::refuse(config, systems.members.iter().flatten(), &listeners.bound, |ip| ip.is_loopback(), problems);
    }
    names::check(config, &roles, &systems, problems);
    hierarchy::check(config, &sites, &roles, &systems, problems);
    lending::check(config, &roles, &systems, &listeners, problems);
    if problems.is_fatal() {
        return None;
    }
    let listeners = listeners?;
    let subnets = subnets::Subnets::cut(groups.subnets.clone(), (0..roles.len()).map(|place| &**roles.get(place)));
    let boundaries = BoundaryTable::with_subnets(&groups.boundaries, &subnets.parts);
    hierarchy::warn_about_overlaps(config, &sites, &groups, &boundaries, problems);
    let roles = roles.into_used();
    let split = hierarchy::split(&sites, &roles, &systems);
    let site = Site {
        code: sites.codes(),
        sites: hierarchy::model(config, &sites, &groups, &systems, &split),
        proxy_name: Arc::from(config.proxy.name.get_ref().as_str()),
        listeners: listeners.routes.into_boxed_slice(),
        boundaries,
        descriptions,
        group_names: groups.names.clone().into_boxed_slice(),
        trusted_proxies: trusted_proxies.into_boxed_slice(),
        client_address_field,
        request_id_field,
        access_log: access_log.map(Arc::new),
        mask: access_log::mask(config),
        limits: limits(config),
        group_hashes: groups.names.iter().map(|name| hash_ignore_case(0, name.as_bytes())).collect(),
        subnets: subnets.list.into_boxed_slice(),
        boundary_list: groups.boundaries.clone().into_boxed_slice(),
        fallback: fallback.settings,
        content,
        upload_idle: finite(config.affinity.upload_idle),
        decision_header: config.proxy.decision_header,
        admin_token,
    };
    let plans = groups.plan(&roles, &systems, &sites, &split);
    let group_series = group_series::compile(config, &plans, problems);
    let (fixed, dns) = (fixed(config, capacity), config.dns.clone());
    let files = files.named();
    let watch = if config.proxy.watch { WatchFiles::On } else { WatchFiles::Off };
    let (site, listeners) = (Arc::new(site), listeners.bound);
    Some(Compiled { site, roles: plans, group_series, listeners, fixed, dns, files, watch })
}

fn fixed(config: &Config, capacity: Capacity) -> Fixed {
    Fixed {
        threads: config.proxy.threads.as_ref().map(|threads| *threads.get_ref()),
        admin: *config.admin.address.get_ref(),
        access_log: config.access_log.as_ref().map(|log| *log.buffer.get_ref()),
        drain_timeout: finite(config.proxy.drain_timeout),
        capacity,
    }
}

/// The configuration refuses `"unlimited"` where this is used.
fn finite(duration: super::config::HumanDuration) -> Duration {
    duration.finite().unwrap_or(Duration::from_secs(30))
}

fn limits(config: &Config) -> Limits {
    let proxy = &config.proxy;
    Limits {
        request_header_timeout: finite(proxy.request_header_timeout),
        client_keepalive_timeout: finite(proxy.client_keepalive_timeout),
        max_header_size: usize::try_from(proxy.max_header_size.get().unwrap_or(64 << 10)).unwrap_or(64 << 10),
        on_close: if proxy.abort_on_close { OnClose::Abort } else { OnClose::Serve },
        spelling: if proxy.preserve_header_case { Spelling::Kept } else { Spelling::Lower },
        max_connections: *proxy.max_connections.get_ref() as usize,
        max_idle_per_endpoint: proxy.max_idle_per_endpoint as usize,
        tcp_keepalive: proxy.tcp_keepalive.get_ref().get(),
        tunnel_moves_per_second: *proxy.tunnel_moves_per_second.get_ref(),
        max_concurrent_streams: *proxy.max_concurrent_streams.get_ref(),
        max_connection_age: proxy.max_connection_age.get_ref().get(),
    }
}

fn networks(list: &[SpannedName], problems: &mut Problems) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for entry in list {
        let text = entry.get_ref();
        match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) if net.addr() != net.network() => problems.error(
                entry.span(),
                format!("{text:?} is not the first address of its network"),
                format!("write \"{}\" for the whole network, or \"{}\" for this one address", net.trunc(), net.addr()),
            ),
            // Peers are compared as IPv4.
            Ok(IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => problems.error(
                entry.span(),
                format!("{text:?} is an IPv4 address in IPv6 clothes, and would match nothing"),
                "write it as an IPv4 address or network",
            ),
            Ok(net) => nets.push(net),
            Err(_) => problems.error(
                entry.span(),
                format!("{text:?} is not an address or network"),
                "write an address such as \"10.0.0.5\" or a network such as \"10.0.0.0/24\"",
            ),
        }
    }
    nets
}

fn admin(config: &Config, problems: &mut Problems) {
    let address = &config.admin.address;
    if !address.get_ref().ip().is_loopback() && !config.admin.allow_remote {
        problems.error(
            address.span(),
            format!("the admin address {} can be reached from other machines", address.get_ref()),
            "use 127.0.0.1 or [::1], or set allow_remote = true below [admin] if that is meant",
        );
    }
}

/// It stands in `Via` and `Proxy-Status`, where only tokens may stand.
fn proxy_name(config: &Config, problems: &mut Problems) {
    let name = &config.proxy.name;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.get_ref().is_empty() || !name.get_ref().bytes().all(token) {
        problems.error(
            name.span(),
            format!("{:?} cannot stand in a header field", name.get_ref()),
            "write letters, digits, hyphens, dots and underscores, for example \"rolegate-1\"",
        );
    }
}

/// The name is known here, or such that a proxy may say an address in it.
fn client_address_field(config: &Config, problems: &mut Problems) -> ClientAddressField {
    let written = &config.proxy.client_address_field;
    let name = text::one(written, text::field, problems).and_then(|name| HeaderName::try_from(name).ok());
    match name {
        Some(name) if name == "either" => ClientAddressField::Either,
        Some(name) if name == header::FORWARDED => ClientAddressField::Forwarded,
        Some(name) if name == "x-forwarded-for" => ClientAddressField::XForwardedFor,
        Some(name) if [header::HOST, header::VIA, header::COOKIE, header::AUTHORIZATION].contains(&name) => {
            let message = format!("{name} does not say who the client is");
            problems.error(
                written.span(),
                message,
                "write \"either\", \"x-forwarded-for\", \"forwarded\", or a name such as \"x-real-ip\"",
            );
            ClientAddressField::Either
        }
        Some(name) => ClientAddressField::Other(name),
        None => ClientAddressField::Either,
    }
}

fn check_numbers(config: &Config, problems: &mut Problems) {
    let ProxySettings {
        max_connections,
        tunnel_moves_per_second,
        max_concurrent_streams,
        tcp_keepalive,
        max_connection_age,
        group_metrics,
        ..
    } = &config.proxy;
    group_series::check(group_metrics, problems);
    if max_connection_age.get_ref().get().is_some_and(|age| age < SHORTEST_AGE) {
        let text = "clients would do little else than connect";
        problems.error(max_connection_age.span(), text, "write a time from \"1s\", or \"off\"");
    }
    if tcp_keepalive.get_ref().get().is_some_and(|silence| !KEEPALIVES.contains(&silence)) {
        let text = "no system asks an idle connection so often, or so rarely";
        problems.error(tcp_keepalive.span(), text, "write a time from \"1s\" to \"9h\", or \"off\"");
    }
    if *max_connections.get_ref() == 0 {
        problems.error(max_connections.span(), "no client could connect", "write a number from 1");
    }
    if *tunnel_moves_per_second.get_ref() == 0 {
        problems.error(tunnel_moves_per_second.span(), "no tunnel would ever move", "write a number from 1");
    }
    if !(1..=1000).contains(max_concurrent_streams.get_ref()) {
        let text = format!("{} requests at the same time on one connection", max_concurrent_streams.get_ref());
        problems.error(max_concurrent_streams.span(), text, "write a number from 1 to 1000");
    }
}

fn check_threads(config: &Config, problems: &mut Problems) {
    if let Some(threads) = &config.proxy.threads
        && !(1..=1024).contains(threads.get_ref())
    {
        problems.error(
            threads.span(),
            format!("{} data threads", threads.get_ref()),
            "write a number from 1 to 1024, or leave threads out for one for each core",
        );
    }
}

/// Finds names that are given twice.
struct Once<'a> {
    what: &'static str,
    seen: HashMap<String, &'a SpannedName>,
}

impl<'a> Once<'a> {
    fn new(what: &'static str) -> Self {
        Self { what, seen: HashMap::new() }
    }

    fn check(&mut self, name: &'a SpannedName, problems: &mut Problems) -> bool {
        let text = name.get_ref();
        if text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
            problems.error(
                name.span(),
                format!("the name of a {} is one line of at most {LONGEST_NAME} bytes", self.what),
                "it stands in logs, metrics and responses: write a shorter one",
            );
        }
        let fresh = self.seen.insert(text.trim_end_matches('.').to_ascii_lowercase(), name).is_none();
        if !fresh {
            problems.error(
                name.span(),
                format!("there is another {} with the name {:?}", self.what, name.get_ref()),
                "give each one a name of its own; upper and lower case do not differ",
            );
        }
        fresh
    }
}

/// The key of a link's order: what opens first, and at equal times neighbors before the default group.
fn link(offset: u32, kind: TierKind, group: usize) -> Link {
    Link { offset, kind, group: GroupId(u16::try_from(group).unwrap_or(u16::MAX)) }
}
