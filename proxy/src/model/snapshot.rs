//! Everything a request needs, in one immutable value, and the one place where it is swapped.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderName;
use ipnet::IpNet;

use super::access_log::LogSettings;
use super::boundary::{BoundaryTable, GroupId};
use super::boundary_range::AddressRange;
use super::cluster::Cluster;
use super::description::Descriptions;
use super::entry::Entry;
use super::live::{Live, Ticks};
use super::route::{ClusterId, RouteTable};
use super::sites::Sites;
use crate::wire::head::Spelling;
use crate::wire::secrets::Mask;

/// One version of the world. Never changed after it was published.
#[derive(Debug)]
pub struct Snapshot {
    /// Grows by one with every publication.
    pub version: u64,
    /// Grows by one with every accepted configuration.
    pub generation: u64,
    /// When it was published.
    pub published: SystemTime,
    /// What only a new configuration changes.
    pub site: Arc<Site>,
    /// By [`ClusterId`].
    pub clusters: Box<[Arc<Cluster>]>,
    /// What is learned while serving; the same in every snapshot of a process.
    pub live: Arc<Live>,
}

/// The part of a snapshot that only a new configuration changes.
#[derive(Debug)]
pub struct Site {
    /// Site code; of several sites, all codes.
    pub code: String,
    /// The sites, where there are several.
    pub sites: Sites,
    /// Name in `Via` and `Proxy-Status`.
    pub proxy_name: Arc<str>,
    /// Routes by listener.
    pub listeners: Box<[ListenerRoutes]>,
    /// Who is in which boundary group.
    pub boundaries: BoundaryTable,
    /// Names by group id, site default boundary groups last.
    pub group_names: Box<[String]>,
    /// What people have written about all of it.
    pub descriptions: Descriptions,
    /// Hashes of these names: a fallback clock goes on when a reload moves a group to another place.
    pub group_hashes: Box<[u64]>,
    /// Subnets by the place of their ids, for explanations; none where no role cares for them.
    pub subnets: Box<[AddressRange]>,
    /// Every boundary with its group, for explanations.
    pub boundary_list: Box<[(AddressRange, GroupId)]>,
    /// Whose word about the client is believed.
    pub trusted_proxies: Box<[IpNet]>,
    /// Where they say it.
    pub client_address_field: ClientAddressField,
    /// The field with the number of a request, if requests have one.
    pub request_id_field: Option<HeaderName>,
    /// What the access log says, if there is one.
    pub access_log: Option<Arc<LogSettings>>,
    /// What no log shows of a target.
    pub mask: Mask,
    /// Bounds of client connections.
    pub limits: Limits,
    /// How fallback times are counted.
    pub fallback: FallbackSettings,
    /// How long is remembered what distribution points have.
    pub content: ContentSettings,
    /// A BITS upload session is forgotten when nothing of it came for this long.
    pub upload_idle: Duration,
    /// Responses say in a field of their own how their server was chosen.
    pub decision_header: bool,
    /// SHA-256 of the token that changes of state need; `None` refuses them all.
    pub admin_token: Option<[u8; 32]>,
}

/// The field in which a trusted proxy says who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAddressField {
    /// `X-Forwarded-For`, or `Forwarded` in a request that has no `X-Forwarded-For`.
    Either,
    /// `X-Forwarded-For`: a list, to which each proxy adds its client.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the same with names.
    Forwarded,
    /// Another one, with one address.
    Other(HeaderName),
}

/// How fallback times are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackSettings {
    /// Every minute of a fallback time lasts a minute divided by this (1 to 100,000), for labs.
    pub speedup: u32,
    /// A clock that nobody has asked for this long is forgotten. Divided by `speedup` too.
    pub clock_idle: Duration,
    /// Requests whose `User-Agent` begins with one of these wait for no clock (task sequences).
    pub exempt_user_agents: Box<[Box<str>]>,
    /// Requests for these contents wait for no clock (the client package).
    pub exempt_content: Box<[Box<str>]>,
}

impl FallbackSettings {
    /// Real ticks after which a clock that nobody has asked is forgotten.
    pub fn idle_ticks(&self) -> Ticks {
        (Live::ticks_of(self.clock_idle) / self.speedup).max(1)
    }
}

impl ContentSettings {
    /// [`ContentSettings::missing_ttl`] in ticks.
    pub fn missing_ticks(&self) -> Ticks {
        Live::ticks_of(self.missing_ttl)
    }
}

/// How long is remembered what distribution points have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSettings {
    /// A server that lacked a content is asked again after this time.
    pub missing_ttl: Duration,
    /// A content that nobody has asked for this long is left out of the audit.
    pub known_ttl: Duration,
    /// Packages that every server is asked for ahead of time.
    pub discover: Box<[Box<str>]>,
    /// How often it is asked for them.
    pub discover_interval: Duration,
}

/// What one listener serves.
#[derive(Debug)]
pub struct ListenerRoutes {
    /// Name in metrics and logs.
    pub name: Arc<str>,
    /// HTTP routes; empty for a TCP listener.
    pub routes: RouteTable,
    /// The role of a TCP listener.
    pub tcp: Option<ClusterId>,
    /// What comes before the first request.
    pub entry: Entry,
}

/// What is done with a request whose client has shut down its sending side. It may have closed its connection, or may still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClose {
    /// It gets its response.
    Serve,
    /// It is taken for gone.
    Abort,
}

/// Bounds of client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request's head must be complete after this time.
    pub request_header_timeout: Duration,
    /// An idle client connection is closed after this time.
    pub client_keepalive_timeout: Duration,
    /// Largest request head in bytes.
    pub max_header_size: usize,
    /// How field names are sent.
    pub spelling: Spelling,
    /// What is done with a request whose client has shut down its sending side.
    pub on_close: OnClose,
    /// Client connections of one data thread.
    pub max_connections: usize,
    /// Idle connections to one endpoint of one data thread.
    pub max_idle_per_endpoint: usize,
    /// Silence after which the kernel asks whether a peer is still there; `None` asks never.
    pub tcp_keepalive: Option<Duration>,
    /// Tunnels that are closed in one second when their clients should go elsewhere, in the whole process.
    pub tunnel_moves_per_second: u32,
    /// Requests at the same time on one HTTP/2 client connection.
    pub max_concurrent_streams: u32,
    /// How long a client connection may be there; `None`: for as long as it likes.
    pub max_connection_age: Option<Duration>,
}

impl Snapshot {
    /// The cluster with this id.
    pub fn cluster(&self, id: ClusterId) -> &Arc<Cluster> {
        &self.clusters[usize::from(id.0)]
    }
}

impl Site {
    /// Whether some listener serves the role.
    pub fn serves(&self, id: ClusterId) -> bool {
        let leads = |head: ClusterId| self.sites.clusters_of(head).contains(&id);
        self.listeners.iter().any(|listener| {
            listener.tcp.is_some_and(leads) || listener.routes.routes().any(|route| leads(route.cluster))
        })
    }

    /// How many boundary groups there are besides site default boundary groups.
    pub fn written_groups(&self) -> usize {
        self.group_names.len() - self.sites.list.len().max(1)
    }

    /// Whether forwarding fields from this peer are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

/// The only place where snapshots are exchanged. The Director stores, everybody else loads.
#[derive(Debug)]
pub struct Snapshots {
    current: ArcSwap<Snapshot>,
}

impl Snapshots {
    /// Starts with a first snapshot.
    pub fn new(first: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(first) }
    }

    /// The current snapshot. Counts a reference that all cores share: fine for the control thread.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The current snapshot if it is not the one that the caller holds. Counts no reference when nothing has changed.
    pub fn newer_than(&self, held: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let guard = self.current.load();
        (!Arc::ptr_eq(&guard, held)).then(|| Arc::clone(&guard))
    }

    /// Makes `next` current.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.current.store(next);
    }
}
