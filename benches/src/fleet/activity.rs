//! What a client does again and again, and how often Configuration Manager has it done.

use std::fmt;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Something that a client does on a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Activity {
    /// Service location: the list of management points, and the certificate of one.
    ServiceLocation,
    /// Policy poll: the assignments, and the bodies of those that have changed.
    Policy,
    /// State message.
    StateMessage,
    /// Heartbeat discovery.
    Heartbeat,
    /// Hardware inventory: a BITS upload and the message that goes with it.
    HardwareInventory,
    /// Software inventory: the same.
    SoftwareInventory,
    /// Scan for software updates.
    Scan,
    /// Content location, then the download of one package.
    Content,
    /// Registration, as a client that is new does it, with two certificates of its own.
    Registration,
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
    /// How long after it has failed it is tried again.
    pub retry: Duration,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ServiceLocation,
        Self::Policy,
        Self::StateMessage,
        Self::Heartbeat,
        Self::HardwareInventory,
        Self::SoftwareInventory,
        Self::Scan,
        Self::Content,
        Self::Registration,
    ];

    /// Its name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceLocation => "service-location",
            Self::Policy => "policy",
            Self::StateMessage => "state-message",
            Self::Heartbeat => "heartbeat",
            Self::HardwareInventory => "hardware-inventory",
            Self::SoftwareInventory => "software-inventory",
            Self::Scan => "scan",
            Self::Content => "content",
            Self::Registration => "registration",
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

    /// The role that it needs.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::Scan => "SUP",
            Self::Content => "DP",
            _ => "MP",
        }
    }

    /// What Configuration Manager does unless told otherwise: the periods and delays of its client settings. How often a
    /// state has changed, and when what failed is tried again, Microsoft does not say: those are assumptions.
    #[must_use]
    pub fn default_habit(self) -> Habit {
        let (period, delay, chance, retry) = match self {
            Self::ServiceLocation => (Some(25 * HOUR), 0, 1.0, 10 * MINUTE),
            Self::Policy => (Some(HOUR), 0, 1.0, 10 * MINUTE),
            Self::StateMessage => (Some(15 * MINUTE), 0, 0.25, 15 * MINUTE),
            Self::Heartbeat => (Some(7 * DAY), 0, 1.0, HOUR),
            Self::HardwareInventory => (Some(7 * DAY), 4 * HOUR, 1.0, HOUR),
            Self::SoftwareInventory => (Some(7 * DAY), 0, 1.0, HOUR),
            Self::Scan => (Some(7 * DAY), 2 * HOUR, 1.0, 30 * MINUTE),
            Self::Content | Self::Registration => (None, 0, 1.0, 10 * MINUTE),
        };
        let [delay, retry] = [delay, retry].map(Duration::from_secs);
        Habit { share: 1.0, period: period.map(Duration::from_secs), delay, chance, retry }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
