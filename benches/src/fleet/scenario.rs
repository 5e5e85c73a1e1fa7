//! A scenario: who does what when.
//!
//! Times under `[activities]`, `[[storms]]`, `[start]`, `[outage]` and `[notification]` are the clients' own and pass
//! `speedup` times as fast, and so does `keep` unless `keep_clock` says otherwise; `duration`, `warm_up` and `timeout` are ours.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::activity::{Activity, Habit};
use super::details::Details;
use super::messages;
use super::sources::Group;
use crate::content::Package;
use crate::load::Spacing;
use crate::record::Part;
use crate::threshold::{Names, Threshold};

/// Most clients of a fleet.
pub const MAX_CLIENTS: u32 = 2_000_000;

/// A scenario that was checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    pub about: String,
    /// As it was read.
    pub text: String,
    /// What has to hold of a run.
    pub thresholds: Vec<Threshold>,
    /// What it has done.
    pub kind: Kind,
}

/// What a scenario has done.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Configuration Manager clients on their schedules.
    Fleet(Box<Fleet>),
    /// The same requests over and over.
    Plain(Box<Plain>),
}

/// Clients and what they do.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How many, 1 to [`MAX_CLIENTS`].
    pub clients: u32,
    /// How long, 100 ms to 4 days of ours, warm-up included.
    pub duration: Duration,
    /// Not measured at the beginning, of ours.
    pub warm_up: Duration,
    /// Seconds of the clients in one of ours, 0.001 to 1,000,000.
    pub speedup: f64,
    /// The same seed, the same schedule.
    pub seed: u64,
    /// The host that clients ask for; that of the address if `None`.
    pub host: Option<String>,
    /// Where they are.
    pub groups: Vec<Group>,
    /// How long an idle connection is kept, of the time of `keep_clock`; `None`: closed after each activity.
    pub keep: Option<Duration>,
    /// Whose time that is.
    pub keep_clock: Clock,
    /// The share of the clients that are known to their site by a token, 0 to 1.
    pub token: f64,
    /// How long an answer, or more of it, may take, of ours.
    pub timeout: Duration,
    /// Activities under way at a time, of all clients; what is due beyond waits.
    pub under_way: u32,
    /// What each does by itself, in the order of [`Activity::ALL`].
    pub habits: [Habit; Activity::ALL.len()],
    /// What they do at once.
    pub storms: Vec<Storm>,
    /// When they come to be.
    pub start: Option<Storm>,
    /// When they hold their messages.
    pub outage: Option<Outage>,
    /// The packages that they download, one of these each time.
    pub content: Vec<Arc<Package>>,
    /// How much they do of each activity.
    pub details: Details,
    /// Client notification, if there is any.
    pub notification: Notification,
    /// How connections are secured, if the target's address is `https`.
    pub tls: TlsFiles,
    /// Which of the clients are here, if others make the load of the rest.
    pub part: Option<Part>,
}

/// Whose time a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The clients' own, which passes `speedup` times as fast.
    Clients,
    /// That of the run.
    Ours,
}

/// Something that many clients do at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Storm {
    /// What it is called, or nothing.
    pub name: String,
    /// When it begins, in the clients' time since the start.
    pub at: Duration,
    /// Each client does it at a random time within this.
    pub within: Duration,
    /// The share of clients that take part, 0 to 1.
    pub share: f64,
    /// Only of these groups; of all if empty.
    pub groups: Vec<String>,
    /// What they do, in this order.
    pub activities: Vec<Activity>,
    /// From one activity of a client to its next.
    pub apart: Duration,
    /// For how long they were off before, at a start: what their periods would have had them do then, they do after it.
    pub off: Duration,
}

/// A time in which clients hold everything, and then come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When it begins, in the clients' time since the start.
    pub at: Duration,
    /// How long it lasts.
    pub length: Duration,
    /// Each client comes back at a random time within this.
    pub back: Duration,
}

/// Connections for client notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The share of clients that hold one, 0 to 1.
    pub share: f64,
    /// Where to; without it nobody holds one.
    pub address: Option<String>,
    /// Whether the scenario makes no sense without.
    pub needed: bool,
    /// Whether connections are secured if those to the target are.
    pub tls: bool,
    /// From one ping to the next.
    pub ping: Duration,
    /// All connections are opened within this, and again after they were lost.
    pub within: Duration,
    /// A client to which the server says something asks for policy at a random time within this.
    pub push_within: Duration,
}

/// Files for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that the server's certificate must come from; any will do if `None`.
    pub ca: Option<PathBuf>,
    /// The certificate of all clients.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whether a connection may resume a session, which may be another client's: they have one memory. Otherwise each
    /// handshake is a full one.
    pub resume: bool,
}

/// The same requests over and over.
#[derive(Debug, Clone, PartialEq)]
pub struct Plain {
    /// How they are paced.
    pub pace: Pace,
    /// Connections.
    pub connections: u32,
    /// How long, warm-up not counted.
    pub duration: Duration,
    /// Not measured at the beginning.
    pub warm_up: Duration,
    /// A connection for each request.
    pub new_connections: bool,
    /// What is asked for, in turn.
    pub urls: Vec<String>,
    /// With which method.
    pub method: String,
    /// Header fields, `Name: value`.
    pub headers: Vec<String>,
    /// The body of each request.
    pub body: String,
    /// Where connections come from.
    pub source: Option<IpNet>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether a connection may resume the TLS session of an earlier one.
    pub resume: bool,
    /// How requests that come at a rate are spaced.
    pub spacing: Spacing,
    /// Which part of the load this is, if others make the rest.
    pub part: Option<Part>,
}

/// How plain requests are paced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The next when the last was answered.
    Closed,
    /// So many a second, whatever the answers.
    Rate(f64),
    /// From so many a second to so many.
    Ramp(f64, f64),
}

impl Fleet {
    /// Whether anybody ever does this.
    #[must_use]
    pub fn does(&self, activity: Activity) -> bool {
        let habit = &self.habits[activity.index()];
        let regularly = habit.chance > 0.0 && habit.period.is_some();
        let events = self.start.iter().chain(&self.storms).filter(|event| event.share > 0.0);
        let by_events = events.into_iter().any(|event| event.activities.contains(&activity));
        habit.share > 0.0 && (regularly || by_events)
    }

    /// Whether anybody ever does anything but to hold a connection for notification.
    #[must_use]
    pub fn does_anything(&self) -> bool {
        Activity::ALL.into_iter().any(|activity| self.does(activity))
    }

    /// How long an idle connection is kept, in the time of the run; `None`: closed after each activity.
    #[must_use]
    pub fn kept(&self) -> Option<Duration> {
        self.keep.map(|keep| match self.keep_clock {
            Clock::Clients => keep.div_f64(self.speedup),
            Clock::Ours => keep,
        })
    }

    /// Nobody does this any more.
    pub fn leave_out(&mut self, activity: Activity) {
        self.habits[activity.index()].share = 0.0;
    }

    /// How many clients are here.
    #[must_use]
    pub fn own_clients(&self) -> u32 {
        self.part.map_or(self.clients, |part| part.share(self.clients))
    }

    /// How long all of it takes, warm-up and all.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.warm_up + self.duration
    }
}

impl Kind {
    /// What thresholds can be about. Plain load without paths asks for the path of its `target`: while that is not known, its
    /// message types are not either.
    #[must_use]
    pub fn names(&self, target: Option<&str>) -> Names {
        match self {
            Self::Fleet(fleet) => messages::names(&fleet.groups),
            Self::Plain(plain) => messages::plain_names(&plain.method, &plain.urls, target),
        }
    }
}

impl Plain {
    /// How many connections are here.
    #[must_use]
    pub fn own_connections(&self) -> u32 {
        self.part.map_or(self.connections, |part| part.share(self.connections))
    }
}
