//! What the requests of a client are about: the message types of a report.

use std::fmt;

macro_rules! subjects {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal of $role:literal,)*) => {
        /// What a request is about: each is a message type of a report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Subject {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Subject {
            /// All of them, in the order in which reports have them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The message type.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Its place in [`Subject::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The role that answers it.
            #[must_use]
            pub const fn role(self) -> &'static str {
                match self {
                    $(Self::$variant => $role,)*
                }
            }
        }
    };
}

subjects! {
    /// The list of management points.
    ServiceLocation => "service location" of "MP",
    /// The certificate that a management point signs with.
    ManagementPointCertificate => "MP certificate" of "MP",
    /// Which management points a client may use.
    ManagementPointLocation => "MP location" of "MP",
    /// What site it is.
    SiteInformation => "site information" of "MP",
    /// Which software update points a client may use.
    UpdatePointLocation => "SUP location" of "MP",
    /// The registration of a new client.
    Registration => "registration" of "MP",
    /// A question for what has changed of a machine's policy.
    PolicyRequest => "policy request" of "MP",
    /// A question for all of a machine's policy.
    FullPolicyRequest => "full policy request" of "MP",
    /// One policy of a machine.
    PolicyBody => "policy body" of "MP",
    /// A leg of a Windows authentication that is answered with a challenge.
    UserSignIn => "user sign-in" of "MP",
    /// A question for what has changed of a user's policy.
    UserPolicyRequest => "user policy request" of "MP",
    /// One policy of a user.
    UserPolicyBody => "user policy body" of "MP",
    /// A state message.
    StateMessage => "state message" of "MP",
    /// Heartbeat discovery.
    Heartbeat => "heartbeat DDR" of "MP",
    /// A packet of the upload of an inventory.
    InventoryUpload => "inventory upload" of "MP",
    /// The message that goes with a hardware inventory.
    HardwareInventory => "hardware inventory" of "MP",
    /// The message that goes with a software inventory.
    SoftwareInventory => "software inventory" of "MP",
    /// What software was used.
    SoftwareMetering => "software metering" of "MP",
    /// A configuration item of an application.
    ConfigurationItem => "configuration item" of "MP",
    /// A packet of the upload of a client's logs.
    LogUpload => "log upload" of "MP",
    /// The message that goes with the logs.
    LogMessage => "log message" of "MP",
    /// Where a package is.
    ContentLocation => "content location" of "MP",
    /// The version file of a software update point.
    ScanVersion => "scan version" of "SUP",
    /// How a software update point wants to be asked.
    ScanConfig => "scan GetConfig" of "SUP",
    /// A cookie that a client gets another one for.
    ScanAuthorization => "scan GetAuthorizationCookie" of "SUP",
    /// The cookie of a scan.
    ScanCookie => "scan GetCookie" of "SUP",
    /// What computer it is.
    ScanRegistration => "scan RegisterComputer" of "SUP",
    /// Which updates are new: several rounds of a scan.
    ScanSync => "scan SyncUpdates" of "SUP",
    /// What these updates are.
    ScanDetails => "scan GetExtendedUpdateInfo" of "SUP",
    /// How the scan went.
    ScanReport => "scan ReportEventBatch" of "SUP",
    /// What files a package has.
    ContentListing => "content listing" of "DP",
    /// The size of a file.
    ContentSize => "content size" of "DP",
    /// A range of a file.
    ContentRange => "content range" of "DP",
    /// That a management point could not be reached, or how an installation went.
    FallbackStatus => "fallback status" of "FSP",
    /// A connection for client notification.
    NotificationLogon => "notification logon" of "BGB",
    /// A ping on it.
    NotificationPing => "notification ping" of "BGB",
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
