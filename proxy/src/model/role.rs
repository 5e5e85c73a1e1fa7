//! What rolegate knows about a ConfigMgr role: which requests belong to it and how its servers are treated.
//!
//! A [`Role`] is plain data. [`crate::model::presets`] holds one row for every client-facing role, the configuration may
//! override every field of a row, and `compile` turns the result into routes and clusters. Nothing on the request
//! path asks *which* role it serves: it only reads these fields, so a role of one's own is as good as a built-in one.

use std::net::IpAddr;
use std::time::Duration;

use rolegate_health::{PassivePolicy, Schedule};
use serde::Serialize;

use super::field_set::FieldSet;

/// Everything the proxy needs to know about one role.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Role {
    /// The name used in configuration, metrics and logs, for example `management-point`.
    pub name: String,
    /// The abbreviation that ConfigMgr administrators use, for example `MP`; empty when there is none.
    pub short: String,
    /// The name as the ConfigMgr console spells it, for example `Management point`.
    pub title: String,
    /// HTTP requests or an opaque TCP stream.
    pub protocol: Protocol,
    /// Path prefixes, matched ASCII-case-insensitively and only up to a `/`, a `?` or the end; `/` matches everything.
    pub paths: Vec<String>,
    /// Methods that are forwarded; empty means every method. Others are answered with 405.
    pub methods: Vec<String>,
    /// Paths, within those of the role, below which a client has a session: all of its requests go to one site system.
    pub session_paths: Vec<String>,
    /// Paths, within those of the role, that need the site database itself: see [`Role::replica`].
    pub site_database_paths: Vec<String>,
    /// Host names (without port) this role answers for; empty means every host.
    pub hosts: Vec<String>,
    /// The port of the role on a site system when `tls` is off.
    pub port: u16,
    /// The port of the role on a site system when `tls` is on.
    pub tls_port: u16,
    /// Whether connections to the site systems use TLS.
    pub tls: bool,
    /// Whether requests are sent over HTTP/2 where the site system takes it.
    pub http2: bool,
    /// Whether our own client certificate is shown to site systems for every client, and not only for those that have shown one.
    pub lend_certificate: bool,
    /// Whether a request needs a client certificate, where that is not for the listener to say.
    pub client_certificates: CertificateRule,
    /// Whether site systems are told in `Via` that a proxy is there.
    pub via: bool,
    /// Whether site systems are told in `Forwarded` and `X-Forwarded-*` where a request comes from.
    pub forwarded: bool,
    /// The site system works with a replica of the site database.
    pub replica: bool,
    /// The PROXY protocol header that every connection to a site system begins with.
    pub proxy_protocol: ProxyProtocol,
    /// Own addresses that connections to the site systems come from, in turn; empty leaves it to the system. Each one has
    /// ports of its own: about 28,000 on Linux to one address and port.
    pub source_addresses: Vec<IpAddr>,
    /// Fields that no client may send to the site systems: they, or what runs on them, take them for a proxy's word.
    pub strip_fields: FieldSet,
    /// Protocols that a connection may be switched to with `Upgrade`, such as `websocket`; others are not asked for.
    pub upgrades: Vec<String>,
    /// Which site systems a client may be sent to.
    pub locality: Locality,
    /// Whether its servers are for the clients of their own site, where there are several sites.
    pub reach: Reach,
    /// The time after which the site default boundary group is used when no relationship names it, in minutes.
    pub default_fallback: Fallback,
    /// The role whose fallback times hold where boundary groups say none of this one: the management point's hold for its
    /// client notification, a preset's for a role of one's own that starts from it.
    pub times_of: Option<String>,
    /// What the fallback times of boundary groups mean to the role.
    pub fallback_rule: FallbackRule,
    /// Whether those times are waited for.
    pub clock: Clock,
    /// How one of the eligible site systems is chosen.
    pub balance: Balance,
    /// By how many percent of a fair share a hash may load one site system before a new download starts at the next one;
    /// 0 is no limit. Only for `balance = "content"`.
    pub hash_balance_factor: u32,
    /// Whether, of the site systems of a tier, those in the client's own subnet come first.
    pub same_subnet_first: bool,
    /// A client (with `balance = "content"`, a client and a content) stays with its site system while its requests come at
    /// most this far apart; `None` remembers nobody.
    pub affinity: Option<Duration>,
    /// The request field whose value stands for the client in hashes and affinity; `None` is the client's address.
    pub client_field: Option<String>,
    /// What it means that the `Host` of a request is a name of a site system.
    pub named: Naming,
    /// A BITS upload stays on the site system that made its session, and the message after it goes there too.
    pub upload_affinity: bool,
    /// What happens when no site system of the role is well.
    pub panic: Panic,
    /// Whether NTLM and Negotiate handshakes are expected: such a client connection gets an upstream connection of its own.
    pub connection_auth: bool,
    /// What may be sent again to another site system.
    pub retry: Retry,
    /// Largest request body in bytes; `None` is no limit. A larger one is answered with 413.
    pub max_body: Option<u64>,
    /// Most requests at one site system at the same time; more are sent elsewhere or answered with 503.
    pub max_requests: u32,
    /// Every wait has a bound.
    pub timeouts: Timeouts,
    /// How a site system is asked whether it is well.
    pub probe: Probe,
    /// When live traffic takes a site system out.
    pub passive: PassivePolicy,
    /// How long a recovered site system takes to reach its full share of the traffic.
    pub slow_start: Duration,
}

impl Role {
    /// What its site systems are told.
    pub fn tells(&self) -> Tells {
        Tells { via: self.via, forwarded: self.forwarded }
    }
}

/// Whether a request for the role needs a client certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateRule {
    /// As the listener says.
    #[default]
    Listener,
    /// It needs none, whatever the listener says.
    None,
    /// It needs one, but on the exempt paths of the listener.
    Required,
}

/// What a site system is told by a proxy about itself and its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tells {
    /// See [`Role::via`].
    pub via: bool,
    /// See [`Role::forwarded`].
    pub forwarded: bool,
}

/// What the role speaks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1 requests.
    Http,
    /// Bytes in both directions, never looked into.
    Tcp,
}

/// The PROXY protocol header towards a site system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// None.
    Off,
    /// The line of text.
    V1,
    /// The binary one.
    V2,
}

/// Which site systems of a role a client may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locality {
    /// Those of its boundary groups, then neighbors, then the site default boundary group. Clients whose groups name no
    /// server of the role get none.
    BoundaryGroups,
    /// As `BoundaryGroups`, but a client whose groups name no server of the role may use all of them.
    BoundaryGroupsOrSite,
    /// The same order, and then every site system of the role, all at once: groups prefer servers and wall none off
    /// (ConfigMgr treats management points so).
    Prefer,
    /// Every site system of the role: ConfigMgr does not associate this role with boundary groups.
    Site,
}

/// Whose clients a role's servers are for, where there are several sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Those of the clients' own site: a management point knows the clients that are assigned to its site.
    Site,
    /// Every site's: boundary groups alone decide, as they do for content. A site differs in its default boundary group, and in
    /// what clients may use of whom boundary groups say nothing.
    Hierarchy,
}

/// How one of the eligible site systems is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Two are drawn by weight, the one with fewer requests in flight for its weight is used.
    LeastRequests,
    /// Drawn by weight.
    Random,
    /// Rendezvous hash of the client's address: a client stays with its server.
    Client,
    /// Rendezvous hash of the client's address and the content: all requests of one download stay on one server.
    Content,
    /// Rendezvous hash of the client over all site systems of the role, well or not, whatever its boundary groups: a device
    /// that was enrolled at one server never moves to another.
    Device,
}

/// What it means to a role that the `Host` of a request is a name of a site system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// That one comes first, if the client may ever use it, without waiting for a fallback time.
    First,
    /// As `First` where the servers of the role differ: where boundary groups tell them apart.
    FirstIfDistinct,
    /// That one and no other: each server has data of its own.
    Only,
    /// Nothing.
    Ignore,
}

/// What the fallback times of boundary groups mean to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FallbackRule {
    /// Servers of another group open when its time has passed (ConfigMgr: distribution points).
    Offsets,
    /// A client keeps to its last known-good server for [`SWITCH_MINUTES`], whatever the times say; then all groups with a
    /// time up to that open together, later ones at their own time (ConfigMgr: software update points).
    LastKnownGood,
    /// The servers share what a client would lose with another one, a database for example: none is kept to, a time is "at
    /// once" or "never" (ConfigMgr: software update points on one database or behind one address).
    Shared,
    /// A time is "at once" or "never"; groups only order the servers (ConfigMgr: management points).
    AtOnce,
    /// There is no fallback (ConfigMgr: state migration points).
    None,
}

impl FallbackRule {
    /// For rules between which an administrator has to choose: which one holds, and why.
    pub fn why(self) -> Option<&'static str> {
        match self {
            Self::LastKnownGood => Some(
                "last-known-good: a client keeps to its server for 120 min, because one with another database costs it a full \
                 scan; fallback_rule = \"shared\" is for servers with one database",
            ),
            Self::Shared => Some(
                "shared: a client may use any server at once, because the configuration says that they have one database",
            ),
            Self::Offsets | Self::AtOnce | Self::None => None,
        }
    }
}

/// Minutes that a client of [`FallbackRule::LastKnownGood`] keeps trying its last known-good server.
pub const SWITCH_MINUTES: u32 = 120;

/// Whether fallback times are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// A later tier opens when its time has passed since the earlier ones could not serve.
    Honor,
    /// Later tiers are used as soon as the earlier ones cannot serve; `never` is still never.
    Immediate,
}

/// What happens when no site system of a role is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Panic {
    /// Requests are sent to the site systems all the same: when all fail together, the cause is shared (a database, a
    /// network) and one that answers something beats one that is never asked.
    Serve,
    /// The client gets 503 and asks again later.
    Refuse,
}

/// Time until a boundary group's servers become available to clients of another group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// After this many minutes.
    Minutes(u32),
    /// Not at all.
    Never,
}

/// What may be sent again, always to another site system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retry {
    /// Extra attempts after the first.
    pub attempts: u32,
    /// Methods that may be repeated although a server may have seen them (RFC 9110, section 9.2.2).
    pub methods: Vec<String>,
    /// Response statuses that are tried elsewhere for those methods.
    pub on_status: Vec<u16>,
    /// Share of requests that may be retries, in percent.
    pub budget_percent: u32,
    /// Retries per second that are always allowed.
    pub budget_min_per_second: u32,
}

/// Bounds of every wait, named as in the configuration. Zero durations are refused by the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// Opening a connection to a site system, the TLS handshake included.
    pub connect: Duration,
    /// From the request sent to the response head.
    pub response_header: Duration,
    /// Between two pieces of a request body.
    pub request_body_idle: Duration,
    /// Between two pieces of a response body.
    pub response_body_idle: Duration,
    /// The whole exchange; `None` is no limit.
    pub total: Option<Duration>,
    /// How long an unused connection to a site system is kept. IIS closes after 120 s.
    pub upstream_idle: Duration,
    /// How long a tunnel (upgrade or TCP role) may be silent.
    pub tunnel_idle: Duration,
}

/// How a site system is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probe {
    /// The kind of question; [`ProbeKind::None`] trusts live traffic alone.
    pub kind: ProbeKind,
    /// Port to ask; `None` is the port of the role.
    pub port: Option<u16>,
    /// Rhythm, deadline, rise and fall.
    pub schedule: Schedule,
}

/// The kind of question a probe asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// No active probe.
    None,
    /// A TCP connection (and a TLS handshake where the role uses TLS) can be opened.
    Tcp,
    /// An HTTP request has the expected answer.
    Http(HttpProbe),
}

/// An HTTP question and how to read its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpProbe {
    /// Method, any token.
    pub method: String,
    /// Request target, sent byte for byte.
    pub target: String,
    /// `Host` of the question; `None` is the address of the site system.
    pub host: Option<String>,
    /// Inclusive ranges of statuses that mean well.
    pub status: Vec<(u16, u16)>,
    /// Text that the body must contain (searched for in the first 64 KiB).
    pub body_contains: Option<String>,
    /// A second question, asked when the first fails with a status or body: if its answer is a status of `status`, the
    /// server itself is well and what it depends on is not (MPCERT answers without the site database, MPLIST does not).
    pub second_opinion: Option<String>,
}
