//! What a person writes in `rolegate.toml`, as serde types. Every default is visible here.
//!
//! Unknown keys are refused. Names that are looked up later keep the place where they were written ([`Spanned`]), so
//! that an error about them can point at it. What must be present is checked when the configuration is compiled, not
//! by serde, so that one missing key does not hide the other errors.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use super::series::SeriesLimit;
use super::units::{self, DurationOrOff, FallbackTime, HumanDuration, HumanSize};

mod access_log;
mod groups;
mod listeners;
mod memory;

pub use access_log::AccessLog;
pub use groups::{BoundaryEntry, BoundaryGroup, DefaultBoundaryGroup, GroupEntry, GroupSiteSystem, Neighbor};
pub use listeners::{CertificateEntry, Listener, ListenerTls, Tls};
pub use memory::{AffinityTable, ContentTable, FallbackTable};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[site]`: the one site.
    pub site: Site,
    /// `[[sites]]`: several of them, instead of `[site]`.
    pub sites: Vec<OneOfSites>,
    /// `[proxy]`
    pub proxy: ProxySettings,
    /// `[admin]`
    pub admin: Admin,
    /// `[access_log]`; without it no access log is written.
    pub access_log: Option<AccessLog>,
    /// `[dns]`
    pub dns: Dns,
    /// `[tls]`: how TLS connections to site systems are verified.
    pub tls: Tls,
    /// `[fallback]`: how fallback times are counted.
    pub fallback: FallbackTable,
    /// `[content]`: what is remembered of distribution points.
    pub content: ContentTable,
    /// `[affinity]`: who is remembered to stay at a site system.
    pub affinity: AffinityTable,
    /// `[[listeners]]`
    pub listeners: Vec<Listener>,
    /// `[roles.NAME]`: overrides of a preset, or a role of one's own.
    pub roles: BTreeMap<Spanned<String>, RoleOverrides>,
    /// `[[site_systems]]`
    pub site_systems: Vec<SiteSystem>,
    /// `[ad_sites]`: Active Directory site name = list of its subnets.
    pub ad_sites: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    /// `[[boundary_groups]]`
    pub boundary_groups: Vec<BoundaryGroup>,
    /// `[default_boundary_group]`: the site default boundary group.
    pub default_boundary_group: DefaultBoundaryGroup,
}

/// `[site]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Three-character site code, for example `P01`. Required.
    pub code: Option<Spanned<String>>,
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
}

/// `[[sites]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OneOfSites {
    /// Three-character site code. Required.
    pub code: Option<Spanned<String>>,
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
    /// Names in `Host` by which clients ask for this site.
    pub hosts: Vec<Spanned<String>>,
    /// Code of the primary site, for a secondary one.
    pub primary: Option<Spanned<String>>,
    /// Its site default boundary group.
    pub default_boundary_group: DefaultBoundaryGroup,
}

/// `[proxy]`: the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// Data threads, each with its own sockets and connections; absent = one for each core.
    pub threads: Option<Spanned<u16>>,
    /// How long a shutdown waits for requests in flight.
    #[serde(deserialize_with = "units::finite")]
    pub drain_timeout: HumanDuration,
    /// The file, and those that it names, are read again when they change.
    pub watch: bool,
    /// Addresses whose `Forwarded` / `X-Forwarded-For` is believed (CIDR).
    pub trusted_proxies: Vec<Spanned<String>>,
    /// The field in which they say who the client is: `either` (`x-forwarded-for`, or `forwarded` where that is missing), one of
    /// the two alone, or another one with one address.
    pub client_address_field: Spanned<String>,
    /// The field with a number of each request: taken from a trusted proxy, or made here; or `off`.
    pub request_id_field: Spanned<String>,
    /// The name in `Via` and `Proxy-Status`.
    pub name: Spanned<String>,
    /// Time a client may take to send a request's head.
    #[serde(deserialize_with = "units::finite")]
    pub request_header_timeout: HumanDuration,
    /// How long an idle client connection is kept.
    #[serde(deserialize_with = "units::finite")]
    pub client_keepalive_timeout: HumanDuration,
    /// Largest request head in bytes.
    #[serde(deserialize_with = "units::header_size")]
    pub max_header_size: HumanSize,
    /// Keeps the spelling of field names (`CCMClientID`) instead of sending them in lower case. Names are the same in any
    /// case (RFC 9110, section 5.1); for a peer that does not know that, at some cost of speed.
    pub preserve_header_case: bool,
    /// A request whose client has shut down its sending side is given up.
    pub abort_on_close: bool,
    /// Client connections per data thread; more wait in the kernel's queue.
    pub max_connections: Spanned<u32>,
    /// Idle connections kept to one endpoint by one data thread.
    pub max_idle_per_endpoint: u32,
    /// Responses say in `X-Rolegate-Decision` how their server was chosen.
    pub decision_header: bool,
    /// Silence after which the kernel asks whether a peer is still there: a duration, or `"off"`.
    pub tcp_keepalive: Spanned<DurationOrOff>,
    /// Tunnels that are closed in one second when their clients should go elsewhere.
    pub tunnel_moves_per_second: Spanned<u32>,
    /// Requests at the same time on one HTTP/2 client connection.
    pub max_concurrent_streams: Spanned<u32>,
    /// How long a client connection may be there: a duration, or `"off"`.
    pub max_connection_age: Spanned<DurationOrOff>,
    /// Whether requests are counted by boundary group, and the most series that this may be.
    pub group_metrics: Spanned<SeriesLimit>,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            threads: None,
            drain_timeout: HumanDuration::from_secs(30),
            watch: true,
            trusted_proxies: Vec::new(),
            client_address_field: Spanned::new(0..0, "either".to_owned()),
            request_id_field: Spanned::new(0..0, "off".to_owned()),
            name: Spanned::new(0..0, "rolegate".to_owned()),
            request_header_timeout: HumanDuration::from_secs(10),
            client_keepalive_timeout: HumanDuration::from_secs(75),
            max_header_size: HumanSize::kib(64),
            abort_on_close: false,
            preserve_header_case: false,
            max_connections: Spanned::new(0..0, 65_536),
            max_idle_per_endpoint: 512,
            decision_header: false,
            tcp_keepalive: Spanned::new(0..0, DurationOrOff::on(300)),
            tunnel_moves_per_second: Spanned::new(0..0, 100),
            max_concurrent_streams: Spanned::new(0..0, 100),
            max_connection_age: Spanned::new(0..0, DurationOrOff::off()),
            group_metrics: Spanned::new(0..0, SeriesLimit::default()),
        }
    }
}

/// `[admin]`: metrics, readiness, status.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of the admin listener.
    pub address: Spanned<SocketAddr>,
    /// Must be set to let `address` be anything but loopback.
    pub allow_remote: bool,
    /// A file with the token that changes of state need; absent = they are refused.
    pub token_file: Option<Spanned<String>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: Spanned::new(0..0, SocketAddr::from(([127, 0, 0, 1], 9180))),
            allow_remote: false,
            token_file: None,
        }
    }
}

/// `[dns]`: how site systems given by name are found.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Servers to ask; empty = those of the operating system.
    pub servers: Vec<Spanned<SocketAddr>>,
    /// An answer is asked for again no sooner than this.
    #[serde(deserialize_with = "units::finite")]
    pub min_ttl: HumanDuration,
    /// An answer is asked for again no later than this.
    #[serde(deserialize_with = "units::finite")]
    pub max_ttl: HumanDuration,
    /// After a failure the name is asked for again after this time.
    #[serde(deserialize_with = "units::finite")]
    pub retry_interval: HumanDuration,
    /// Deadline of one try; a question that gets no answer is tried up to three times.
    #[serde(deserialize_with = "units::finite")]
    pub timeout: HumanDuration,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: HumanDuration::from_secs(5),
            max_ttl: HumanDuration::from_secs(300),
            retry_interval: HumanDuration::from_secs(5),
            timeout: HumanDuration::from_secs(5),
        }
    }
}

/// `[[site_systems]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSystem {
    /// The name that boundary groups use. Required.
    pub name: Option<Spanned<String>>,
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
    /// Code of its site, with `[[sites]]`. Required there.
    pub site: Option<Spanned<String>>,
    /// Address or DNS name; absent = `name`, which then must be one.
    pub address: Option<Spanned<String>>,
    /// The roles it holds: a role name, or a table with `role` and what differs. Required.
    pub roles: Vec<Spanned<RoleEntry>>,
    /// Share of the traffic among its peers (1 to 1000), 100 when absent.
    pub weight: Option<Spanned<u32>>,
    /// The older model's "Allow fallback source location for content": last tier for every client.
    pub fallback_source: bool,
    /// Names in `Host` that mean this site system, besides `name` and `address`.
    pub host_names: Vec<Spanned<String>>,
    /// See [`RoleOverrides::via`]; for all of its roles that do not say their own.
    pub via: Option<Spanned<bool>>,
    /// See [`RoleOverrides::forwarded`]; for all of its roles that do not say their own.
    pub forwarded: Option<Spanned<bool>>,
    /// Accept any certificate from this site system. For labs only; said loudly at every start.
    pub insecure: bool,
    /// The name that its certificate must be for; absent = its address.
    pub server_name: Option<Spanned<String>>,
    /// As in [`Tls`], for this site system.
    pub ca_file: Option<Spanned<String>>,
    /// As in [`Tls`], for this site system.
    pub client_certificate: Option<Spanned<String>>,
    /// As in [`Tls`], for this site system.
    pub client_key: Option<Spanned<String>>,
}

/// One role of a site system.
#[derive(Clone, Debug)]
pub enum RoleEntry {
    /// Just its name.
    Name(String),
    /// With what differs on this site system.
    Table(Box<RoleOnSiteSystem>),
}

// Derived, an enum without tags reads its table from a copy that has lost all places, and its errors say nothing.
impl<'de> Deserialize<'de> for RoleEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RoleEntryVisitor)
    }
}

struct RoleEntryVisitor;

impl<'de> Visitor<'de> for RoleEntryVisitor {
    type Value = RoleEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a role name, or a table such as { role = \"DP\", port = 8080 }")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<RoleEntry, E> {
        Ok(RoleEntry::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RoleEntry, A::Error> {
        let table = RoleOnSiteSystem::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RoleEntry::Table(Box::new(table)))
    }
}

/// A role as this one site system holds it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleOnSiteSystem {
    /// Role name. Required.
    pub role: Option<Spanned<String>>,
    /// Address or DNS name when it differs from the site system's.
    pub address: Option<Spanned<String>>,
    /// Port when it differs from the role's.
    pub port: Option<Spanned<u16>>,
    /// TLS when it differs from the role's.
    pub tls: Option<bool>,
    /// See [`RoleOverrides::lend_certificate`].
    pub lend_certificate: Option<Spanned<bool>>,
    /// See [`RoleOverrides::via`].
    pub via: Option<Spanned<bool>>,
    /// See [`RoleOverrides::forwarded`].
    pub forwarded: Option<Spanned<bool>>,
    /// The site system works with a replica of the site database.
    pub replica: Option<Spanned<bool>>,
    /// Weight when it differs from the site system's.
    pub weight: Option<Spanned<u32>>,
    /// See [`RoleOverrides::max_requests`].
    pub max_requests: Option<Spanned<u32>>,
    /// See [`RoleOverrides::slow_start`].
    #[serde(deserialize_with = "units::finite_or_zero")]
    pub slow_start: Option<HumanDuration>,
    /// See [`RoleOverrides::probe`].
    pub probe: ProbeOverrides,
    /// See [`RoleOverrides::passive`].
    pub passive: PassiveOverrides,
    /// See [`RoleOverrides::timeouts`].
    pub timeouts: TimeoutOverrides,
}

/// `[roles.NAME]`: what differs from the preset.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleOverrides {
    /// Makes NAME a role of one's own that starts from this preset (`plain`, or the name of a role).
    pub preset: Option<Spanned<String>>,
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::paths`].
    pub paths: Option<Vec<Spanned<String>>>,
    /// Paths besides those of the preset.
    pub paths_add: Option<Vec<Spanned<String>>>,
    /// Paths of the preset that are not the role's.
    pub paths_remove: Option<Vec<Spanned<String>>>,
    /// See [`crate::model::role::Role::session_paths`].
    pub session_paths: Option<Vec<Spanned<String>>>,
    /// See [`crate::model::role::Role::site_database_paths`].
    pub site_database_paths: Option<Vec<Spanned<String>>>,
    /// See [`crate::model::role::Role::methods`].
    pub methods: Option<Vec<Spanned<String>>>,
    /// See [`crate::model::role::Role::hosts`].
    pub hosts: Option<Vec<Spanned<String>>>,
    /// See [`crate::model::role::Role::port`].
    pub port: Option<Spanned<u16>>,
    /// See [`crate::model::role::Role::tls_port`].
    pub tls_port: Option<Spanned<u16>>,
    /// See [`crate::model::role::Role::tls`].
    pub tls: Option<bool>,
    /// See [`crate::model::role::Role::http2`].
    pub http2: Option<Spanned<bool>>,
    /// See [`crate::model::role::Role::lend_certificate`].
    pub lend_certificate: Option<Spanned<bool>>,
    /// `none` or `required`; absent = as the listener says.
    pub client_certificates: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::via`].
    pub via: Option<Spanned<bool>>,
    /// See [`crate::model::role::Role::forwarded`].
    pub forwarded: Option<Spanned<bool>>,
    /// `off`, `v1` or `v2`.
    pub proxy_protocol: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::source_addresses`].
    pub source_addresses: Option<Vec<Spanned<String>>>,
    /// Names of fields; a `*` at the end stands for anything. See [`crate::model::role::Role::strip_fields`].
    pub strip_fields: Option<Vec<Spanned<String>>>,
    /// See [`crate::model::role::Role::upgrades`].
    pub upgrades: Option<Vec<Spanned<String>>>,
    /// `boundary-groups`, `boundary-groups-or-site`, `prefer` or `site`.
    pub locality: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::reach`].
    pub reach: Option<Spanned<String>>,
    /// Minutes, or `"never"`.
    pub default_fallback: Option<Spanned<FallbackTime>>,
    /// `offsets`, `last-known-good`, `shared`, `at-once` or `none`.
    pub fallback_rule: Option<Spanned<String>>,
    /// `honor` or `immediate`; absent = that of `[fallback]`.
    pub clock: Option<Spanned<String>>,
    /// `least-requests`, `random`, `client`, `content` or `device`.
    pub balance: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::hash_balance_factor`].
    pub hash_balance_factor: Option<Spanned<u32>>,
    /// See [`crate::model::role::Role::same_subnet_first`].
    pub same_subnet_first: Option<Spanned<bool>>,
    /// A duration, or `"off"`.
    pub affinity: Option<Spanned<DurationOrOff>>,
    /// See [`crate::model::role::Role::client_field`].
    pub client_field: Option<Spanned<String>>,
    /// `first`, `first-if-distinct`, `only` or `ignore`.
    pub named: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::upload_affinity`].
    pub upload_affinity: Option<Spanned<bool>>,
    /// `serve` or `refuse`.
    pub panic: Option<Spanned<String>>,
    /// See [`crate::model::role::Role::connection_auth`].
    pub connection_auth: Option<Spanned<bool>>,
    /// `[roles.NAME.retry]`
    pub retry: RetryOverrides,
    /// A size such as `"64MiB"`, or `"unlimited"`.
    pub max_body: Option<HumanSize>,
    /// See [`crate::model::role::Role::max_requests`].
    pub max_requests: Option<Spanned<u32>>,
    /// See [`crate::model::role::Role::slow_start`]; `"0s"` switches it off.
    #[serde(deserialize_with = "units::finite_or_zero")]
    pub slow_start: Option<HumanDuration>,
    /// `[roles.NAME.timeouts]`
    pub timeouts: TimeoutOverrides,
    /// `[roles.NAME.probe]`
    pub probe: ProbeOverrides,
    /// `[roles.NAME.passive]`
    pub passive: PassiveOverrides,
}

/// `[roles.NAME.retry]`, fields as in [`crate::model::role::Retry`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct RetryOverrides {
    pub attempts: Option<Spanned<u32>>,
    pub methods: Option<Vec<Spanned<String>>>,
    pub on_status: Option<Vec<Spanned<u16>>>,
    pub budget_percent: Option<Spanned<u32>>,
    pub budget_min_per_second: Option<Spanned<u32>>,
}

/// `timeouts` of a role or a site system, fields as in [`crate::model::role::Timeouts`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TimeoutOverrides {
    #[serde(deserialize_with = "units::finite_option")]
    pub connect: Option<HumanDuration>,
    #[serde(deserialize_with = "units::finite_option")]
    pub response_header: Option<HumanDuration>,
    #[serde(deserialize_with = "units::finite_option")]
    pub request_body_idle: Option<HumanDuration>,
    #[serde(deserialize_with = "units::finite_option")]
    pub response_body_idle: Option<HumanDuration>,
    /// A duration, or `"unlimited"`.
    pub total: Option<HumanDuration>,
    #[serde(deserialize_with = "units::finite_spanned")]
    pub upstream_idle: Option<Spanned<HumanDuration>>,
    #[serde(deserialize_with = "units::finite_option")]
    pub tunnel_idle: Option<HumanDuration>,
}

/// `probe` of a role or a site system.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeOverrides {
    /// `none`, `tcp` or `http`.
    pub kind: Option<Spanned<String>>,
    /// See [`crate::model::role::Probe::port`].
    pub port: Option<Spanned<u16>>,
    /// See [`crate::model::role::HttpProbe::method`].
    pub method: Option<Spanned<String>>,
    /// See [`crate::model::role::HttpProbe::target`].
    pub target: Option<Spanned<String>>,
    /// See [`crate::model::role::HttpProbe::host`].
    pub host: Option<Spanned<String>>,
    /// Statuses that mean well, each a number or a range such as `"200-299"`.
    pub status: Option<Vec<Spanned<StatusRange>>>,
    /// See [`crate::model::role::HttpProbe::body_contains`]; an empty text asks for nothing.
    pub body_contains: Option<String>,
    /// See [`crate::model::role::HttpProbe::second_opinion`]; an empty text asks for none.
    pub second_opinion: Option<Spanned<String>>,
    /// Between two probes of a server that is well.
    #[serde(deserialize_with = "units::finite_spanned")]
    pub interval: Option<Spanned<HumanDuration>>,
    /// Between two probes while the verdict is about to change.
    #[serde(deserialize_with = "units::finite_option")]
    pub fast_interval: Option<HumanDuration>,
    /// Between two probes of a server that is down.
    #[serde(deserialize_with = "units::finite_option")]
    pub down_interval: Option<HumanDuration>,
    /// Deadline of one probe.
    #[serde(deserialize_with = "units::finite_spanned")]
    pub timeout: Option<Spanned<HumanDuration>>,
    /// Probes that must pass before a server that is down is up.
    pub rise: Option<Spanned<u32>>,
    /// Probes that must fail before a server that is up is down.
    pub fall: Option<Spanned<u32>>,
    /// Random part of every interval, in percent.
    pub jitter_percent: Option<Spanned<u32>>,
}

/// A status, or an inclusive range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StatusRange {
    One(u16),
    Range(String),
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusRangeVisitor)
    }
}

struct StatusRangeVisitor;

impl Visitor<'_> for StatusRangeVisitor {
    type Value = StatusRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status such as 200, or a range such as \"200-299\"")
    }

    fn visit_i64<E: Error>(self, status: i64) -> Result<StatusRange, E> {
        u16::try_from(status)
            .map(StatusRange::One)
            .map_err(|_| units::refuse(format_args!("{status} is not a status"), "write a number from 100 to 599"))
    }

    fn visit_str<E: Error>(self, range: &str) -> Result<StatusRange, E> {
        Ok(StatusRange::Range(range.to_owned()))
    }
}

/// `passive` of a role or a site system, fields as in [`rolegate_health::PassivePolicy`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct PassiveOverrides {
    pub consecutive_failures: Option<Spanned<u32>>,
    pub failure_percent: Option<Spanned<u32>>,
    pub min_requests: Option<Spanned<u32>>,
    #[serde(deserialize_with = "units::finite_option")]
    pub window: Option<HumanDuration>,
    /// `"0s"` switches ejection off.
    #[serde(deserialize_with = "units::finite_or_zero")]
    pub eject_time: Option<HumanDuration>,
    #[serde(deserialize_with = "units::finite_spanned")]
    pub max_eject_time: Option<Spanned<HumanDuration>>,
}
