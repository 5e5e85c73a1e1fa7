//! What a client does again and again, and how often Configuration Manager has it done.

use std::fmt;
use std::time::Duration;

use crate::client::Subject;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// When a message is sent again that failed: the example of `MessageRetrySpec` in Microsoft's reference, whose default it does
/// not say. The last one is repeated.
const MESSAGE: &[u64] = &[MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR];
/// BITS tries again what failed for a while.
const BITS: &[u64] = &[10 * MINUTE];

/// Something that a client does on a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Activity {
    /// Service location: the list of management points, and the certificate of one.
    ServiceLocation,
    /// Location requests: management points, the site, software update points.
    Locations,
    /// Registration, as a client that is new does it, with two certificates of its own.
    Registration,
    /// Policy poll: the assignments that have changed, and their bodies.
    Policy,
    /// All of the policy, as a client that is new fetches it.
    FullPolicy,
    /// Policy poll of the user who is logged on.
    UserPolicy,
    /// State message.
    StateMessage,
    /// Heartbeat discovery.
    Heartbeat,
    /// Hardware inventory: a BITS upload and the message that goes with it.
    HardwareInventory,
    /// Software inventory: the same.
    SoftwareInventory,
    /// Software metering: a message.
    SoftwareMetering,
    /// Evaluation of application deployments: policy, configuration items, state messages.
    ApplicationEvaluation,
    /// Evaluation of software update deployments: state messages.
    UpdateEvaluation,
    /// Upload of the client's logs.
    ClientLogs,
    /// Scan for software updates on a server where the client has been.
    Scan,
    /// Scan for software updates on a server where it has never been.
    FullScan,
    /// Content location, then the download of one package.
    Content,
    /// A message to the fallback status point.
    FallbackStatus,
}

/// How often something is done, and by whom: times are the clients' own.
#[derive(Debug, Clone, PartialEq)]
pub struct Habit {
    /// The share of the clients that do it at all, 0 to 1.
    pub share: f64,
    /// From one time to the next; `None`: only when a storm has it done.
    pub period: Option<Duration>,
    /// Put off by a random time of up to this, each time.
    pub delay: Duration,
    /// How likely there is something to do when it is due, 0 to 1.
    pub chance: f64,
    /// How long after it has failed it is tried again: after the first time, the second, and so on, the last one repeated. There
    /// is one at least.
    pub retry: Vec<Duration>,
}

/// How often something is done unless a scenario says otherwise, in seconds.
struct Usual {
    period: Option<u64>,
    delay: u64,
    chance: f64,
    share: f64,
    retry: &'static [u64],
}

impl Usual {
    const fn every(period: u64) -> Self {
        Self { period: Some(period), ..Self::never() }
    }

    const fn never() -> Self {
        Self { period: None, delay: 0, chance: 1.0, share: 1.0, retry: MESSAGE }
    }
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::ServiceLocation,
        Self::Locations,
        Self::Registration,
        Self::Policy,
        Self::FullPolicy,
        Self::UserPolicy,
        Self::StateMessage,
        Self::Heartbeat,
        Self::HardwareInventory,
        Self::SoftwareInventory,
        Self::SoftwareMetering,
        Self::ApplicationEvaluation,
        Self::UpdateEvaluation,
        Self::ClientLogs,
        Self::Scan,
        Self::FullScan,
        Self::Content,
        Self::FallbackStatus,
    ];

    /// Its name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceLocation => "service-location",
            Self::Locations => "locations",
            Self::Registration => "registration",
            Self::Policy => "policy",
            Self::FullPolicy => "full-policy",
            Self::UserPolicy => "user-policy",
            Self::StateMessage => "state-message",
            Self::Heartbeat => "heartbeat",
            Self::HardwareInventory => "hardware-inventory",
            Self::SoftwareInventory => "software-inventory",
            Self::SoftwareMetering => "software-metering",
            Self::ApplicationEvaluation => "application-evaluation",
            Self::UpdateEvaluation => "update-evaluation",
            Self::ClientLogs => "client-logs",
            Self::Scan => "scan",
            Self::FullScan => "full-scan",
            Self::Content => "content",
            Self::FallbackStatus => "fallback-status",
        }
    }

    /// The activity of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activity| activity.name() == name)
    }

    /// Its place in [`Activity::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What its first request is about, where a user signs in.
    #[must_use]
    pub const fn first(self) -> Subject {
        match self {
            Self::ServiceLocation => Subject::ServiceLocation,
            Self::Locations => Subject::ManagementPointLocation,
            Self::Registration => Subject::Registration,
            Self::Policy | Self::ApplicationEvaluation => Subject::PolicyRequest,
            Self::FullPolicy => Subject::FullPolicyRequest,
            Self::UserPolicy => Subject::UserSignIn,
            Self::StateMessage | Self::UpdateEvaluation => Subject::StateMessage,
            Self::Heartbeat => Subject::Heartbeat,
            Self::HardwareInventory | Self::SoftwareInventory => Subject::InventoryUpload,
            Self::SoftwareMetering => Subject::SoftwareMetering,
            Self::ClientLogs => Subject::LogUpload,
            Self::Scan | Self::FullScan => Subject::ScanVersion,
            Self::Content => Subject::ContentLocation,
            Self::FallbackStatus => Subject::FallbackStatus,
        }
    }

    /// The role that it needs most.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::Content => "DP",
            other => other.first().role(),
        }
    }

    /// What Configuration Manager does unless told otherwise: the periods and delays of its client settings. How often a
    /// state has changed, how many users are logged on, and mostly when what failed is tried again, Microsoft does not say: those
    /// are assumptions.
    #[must_use]
    pub fn default_habit(self) -> Habit {
        let usual = match self {
            // Five failures within ten minutes lead a client to another management point.
            Self::ServiceLocation => Usual { retry: &[2 * MINUTE], ..Usual::every(25 * HOUR) },
            Self::Locations => Usual::every(25 * HOUR),
            Self::Policy => Usual::every(HOUR),
            Self::UserPolicy => Usual { share: 0.5, ..Usual::every(HOUR) },
            Self::StateMessage => Usual { chance: 0.25, ..Usual::every(15 * MINUTE) },
            Self::HardwareInventory => Usual { delay: 4 * HOUR, retry: BITS, ..Usual::every(7 * DAY) },
            Self::SoftwareInventory => Usual { retry: BITS, ..Usual::every(7 * DAY) },
            Self::Heartbeat | Self::SoftwareMetering | Self::ApplicationEvaluation | Self::UpdateEvaluation => {
                Usual::every(7 * DAY)
            }
            Self::Scan => Usual { delay: 2 * HOUR, retry: &[30 * MINUTE], ..Usual::every(7 * DAY) },
            Self::FullScan => Usual { retry: &[30 * MINUTE], ..Usual::never() },
            Self::FallbackStatus => Usual { chance: 0.05, retry: &[HOUR], ..Usual::every(7 * DAY) },
            Self::Content | Self::ClientLogs => Usual { retry: BITS, ..Usual::never() },
            Self::FullPolicy | Self::Registration => Usual::never(),
        };
        Habit {
            share: usual.share,
            period: usual.period.map(Duration::from_secs),
            delay: Duration::from_secs(usual.delay),
            chance: usual.chance,
            retry: usual.retry.iter().copied().map(Duration::from_secs).collect(),
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
