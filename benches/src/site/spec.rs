//! What a site system is made of.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::ntlm::Users;
use super::tls::Tls;
use crate::content::Content;
use crate::spread::Sizes;

/// Policies that a client can be assigned.
pub const MAX_POLICIES: u32 = 1000;
/// Rounds of a scan in which there can be something new.
pub const MAX_ROUNDS: u32 = 200;

/// A role that a site system can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Policy, messages and locations.
    ManagementPoint,
    /// Content.
    DistributionPoint,
    /// Software updates: WSUS.
    SoftwareUpdatePoint,
    /// User state during operating system deployment.
    StateMigrationPoint,
    /// Where a client says that it cannot reach a management point.
    FallbackStatusPoint,
    /// The application catalog's service.
    ApplicationCatalogWebService,
    /// The application catalog's pages.
    ApplicationCatalogWebsite,
    /// Enrollment, as devices see it.
    EnrollmentProxyPoint,
    /// Enrollment, behind the proxy point.
    EnrollmentPoint,
    /// Reports.
    ReportingServicesPoint,
    /// The administration service.
    SmsProvider,
    /// Client notification: a TCP listener of its own.
    ClientNotification,
}

impl Role {
    /// Every role and its short name.
    pub const NAMES: &[(&str, Self)] = &[
        ("MP", Self::ManagementPoint),
        ("DP", Self::DistributionPoint),
        ("SUP", Self::SoftwareUpdatePoint),
        ("SMP", Self::StateMigrationPoint),
        ("FSP", Self::FallbackStatusPoint),
        ("CATALOG-SERVICE", Self::ApplicationCatalogWebService),
        ("CATALOG", Self::ApplicationCatalogWebsite),
        ("ENROLLMENT-PROXY", Self::EnrollmentProxyPoint),
        ("ENROLLMENT", Self::EnrollmentPoint),
        ("REPORTING", Self::ReportingServicesPoint),
        ("PROVIDER", Self::SmsProvider),
        ("BGB", Self::ClientNotification),
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, role)| role == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, role)| *role).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("there is no role '{text}'; there are {}", names.join(", "))
        })
    }
}

/// Names that several site systems share and that may change while they run.
pub type Names = Arc<ArcSwap<Vec<String>>>;

/// A shared list of names.
#[must_use]
pub fn names<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Names {
    Arc::new(ArcSwap::from_pointee(names.into_iter().map(Into::into).collect()))
}

/// In how many rounds of a scan a software update point has something new, 0 to 200 each: one more finds nothing, and ends it.
/// Microsoft does not say how many there are: with these a scan is 10 to 40 calls, as it is assumed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanRounds {
    /// For a client that has never scanned there: 16.
    pub first: u32,
    /// For one that has: 4.
    pub again: u32,
}

/// How a site system is to be: a name and defaults that the methods change.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) name: String,
    pub(crate) site_code: String,
    pub(crate) address: SocketAddr,
    pub(crate) notification_address: SocketAddr,
    pub(crate) roles: Vec<Role>,
    pub(crate) content: Arc<Content>,
    pub(crate) management_points: Names,
    pub(crate) distribution_points: Names,
    pub(crate) policies: u32,
    pub(crate) policy_sizes: Sizes,
    pub(crate) scan_rounds: ScanRounds,
    pub(crate) sync_sizes: Sizes,
    pub(crate) update_database: Option<String>,
    pub(crate) validator_offset: Option<Duration>,
    pub(crate) anonymous_content: bool,
    pub(crate) bits_host_id: Option<String>,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) recording: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) notification_tls: Option<Tls>,
    pub(crate) users: Users,
}

impl Spec {
    /// A site system of site `P01` on a free loopback port, which holds no role yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            name: name.to_owned(),
            site_code: "P01".to_owned(),
            address,
            notification_address: address,
            roles: Vec::new(),
            content: Arc::default(),
            management_points: names([name]),
            distribution_points: names(["dp1.lab.test"]),
            policies: 3,
            policy_sizes: Sizes::fixed(4096),
            scan_rounds: ScanRounds { first: 16, again: 4 },
            sync_sizes: Sizes::fixed(16 * 1024),
            update_database: None,
            validator_offset: None,
            anonymous_content: true,
            bits_host_id: None,
            idle_timeout: Duration::from_secs(120),
            max_connections: 65_536,
            recording: true,
            tls: None,
            notification_tls: None,
            users: Users::default(),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that it is to listen on.
    #[must_use]
    pub const fn listens_on(&self) -> SocketAddr {
        self.address
    }

    /// Whether it is to hold this role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// A management point.
    #[must_use]
    pub fn management_point(name: &str) -> Self {
        Self::new(name).role(Role::ManagementPoint)
    }

    /// A distribution point with this content.
    #[must_use]
    pub fn distribution_point(name: &str, content: &Arc<Content>) -> Self {
        Self::new(name).role(Role::DistributionPoint).content(content)
    }

    /// Holds this role too.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
        self
    }

    /// Belongs to this site.
    #[must_use]
    pub fn site_code(mut self, site_code: &str) -> Self {
        site_code.clone_into(&mut self.site_code);
        self
    }

    /// Listens here; port 0 takes a free one.
    #[must_use]
    pub const fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Listens here for client notification when it holds other roles besides.
    #[must_use]
    pub const fn notification_address(mut self, address: SocketAddr) -> Self {
        self.notification_address = address;
        self
    }

    /// Has this content.
    #[must_use]
    pub fn content(mut self, content: &Arc<Content>) -> Self {
        self.content = Arc::clone(content);
        self
    }

    /// The names that MPLIST lists.
    #[must_use]
    pub fn management_points(mut self, names: &Names) -> Self {
        self.management_points = Arc::clone(names);
        self
    }

    /// The names that content locations give.
    #[must_use]
    pub fn distribution_points(mut self, names: &Names) -> Self {
        self.distribution_points = Arc::clone(names);
        self
    }

    /// How many policies a client is assigned, at most [`MAX_POLICIES`], and how large the body of each is, in bytes, at most
    /// [`MAX_ANSWER`](super::MAX_ANSWER): the size of a policy follows from its id.
    #[must_use]
    pub fn policies(mut self, count: u32, sizes: Sizes) -> Self {
        self.policies = count.min(MAX_POLICIES);
        self.policy_sizes = sizes;
        self
    }

    /// In how many rounds of a scan there is something new, and how large a reply of such a round is, in bytes, at most
    /// [`MAX_ANSWER`](super::MAX_ANSWER).
    #[must_use]
    pub fn scans(mut self, rounds: ScanRounds, sizes: Sizes) -> Self {
        self.scan_rounds = ScanRounds { first: rounds.first.min(MAX_ROUNDS), again: rounds.again.min(MAX_ROUNDS) };
        self.sync_sizes = sizes;
        self
    }

    /// Shares an update database: cookies of any software update point with the same one are good here.
    #[must_use]
    pub fn update_database(mut self, name: &str) -> Self {
        self.update_database = Some(name.to_owned());
        self
    }

    /// How much older its files are than those of the first distribution point; follows from the name if not given.
    #[must_use]
    pub const fn validator_offset(mut self, offset: Duration) -> Self {
        self.validator_offset = Some(offset);
        self
    }

    /// Whether content may be read without Windows authentication.
    #[must_use]
    pub const fn anonymous_content(mut self, anonymous: bool) -> Self {
        self.anonymous_content = anonymous;
        self
    }

    /// Sends `BITS-Host-Id` when an upload session begins.
    #[must_use]
    pub fn bits_host_id(mut self, host: &str) -> Self {
        self.bits_host_id = Some(host.to_owned());
        self
    }

    /// Closes a connection that was idle so long: 120 s, as IIS does.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Takes so many connections at a time and closes others at once.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        // A million is more than one address can be given by one client machine, and less than a semaphore holds.
        self.max_connections = if connections < 1_000_000 { connections } else { 1_000_000 };
        self
    }

    /// Whether to keep what was seen. Off for measurements: it costs a lock and copies per request.
    #[must_use]
    pub const fn recording(mut self, recording: bool) -> Self {
        self.recording = recording;
        self
    }

    /// Speaks HTTPS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks TLS where it listens for client notification.
    #[must_use]
    pub fn notification_tls(mut self, tls: Tls) -> Self {
        self.notification_tls = Some(tls);
        self
    }

    /// Knows this user (`ann`, or `LAB\ann` for the domain that all users are in) besides
    /// [`DEFAULT_USER`](super::DEFAULT_USER).
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.add(name, password);
        self
    }
}
