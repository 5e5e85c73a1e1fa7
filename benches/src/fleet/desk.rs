//! What the activities of one thread share: where to, what for, and who records it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::activity::Activity;
use super::crowd::Occasion;
use super::scenario::Fleet;
use super::schedule::Schedule;
use crate::client::{Access, Client, ClientError, Connector, Subject};
use crate::record::{ConnectFault, Failure, Recorder, Sample};

/// How long what is under way may take when the run is over.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Where a fleet is sent to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// The host that clients ask for.
    pub host: String,
    /// How connections to it are secured, if they are.
    pub tls: Option<Connector>,
    /// Where it listens for client notification, if it does.
    pub notification: Option<SocketAddr>,
}

impl Target {
    /// How connections for notification are secured, and for which host, if they are.
    pub(super) fn notification_tls(&self, fleet: &Fleet) -> Option<(&Connector, &str)> {
        let tls = self.tls.as_ref().filter(|_| fleet.notification.tls)?;
        Some((tls, self.host.as_str()))
    }
}

/// What went wrong in the generator itself, or was left out.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Connections that found no free port of their source address.
    pub(super) no_port: AtomicU64,
    /// Connections that found no free file.
    pub(super) no_file: AtomicU64,
    /// Activities that were due in the measured time and waited for a place.
    pub(super) waited: AtomicU64,
    /// Activities that did not even find a place to wait.
    pub(super) left_out: AtomicU64,
    /// Activities that had not begun when the run was over.
    pub(super) never_begun: AtomicU64,
    /// Activities that were under way then.
    pub(super) unfinished: AtomicU64,
    /// Activities that ended in a panic.
    pub(super) panicked: AtomicU64,
    /// Activities that were due in the measured time.
    pub(super) due: AtomicU64,
    /// Connections that were closed before their time, to make room for others.
    pub(super) closed_early: AtomicU64,
    /// Things that a server said by itself on a notification connection.
    pub(super) pushes: AtomicU64,
}

pub(super) struct Desk {
    pub(super) fleet: Arc<Fleet>,
    pub(super) schedule: Arc<Schedule>,
    pub(super) target: Target,
    pub(super) started: Instant,
    pub(super) troubles: Arc<Troubles>,
    /// It was ended before its time.
    pub(super) cut_short: AtomicBool,
    /// `None` when the run is over.
    pub(super) recorder: Mutex<Option<Recorder>>,
}

impl Desk {
    pub(super) fn record(&self, write: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            write(recorder);
        }
    }

    /// Hands over what was recorded; what is over later is not recorded. The time after the end is not measured.
    pub(super) fn finish(&self) {
        let recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(recorder) = recorder {
            recorder.finish(self.started.elapsed().min(self.fleet.total()));
        }
    }

    /// Since the run began, and within it.
    pub(super) fn since_start(&self, at: Instant) -> Duration {
        let last = self.fleet.total().saturating_sub(Duration::from_nanos(1));
        at.saturating_duration_since(self.started).min(last)
    }

    /// When something counts that was due then. What was due after the end, because it follows from an answer that came so
    /// late, does not count.
    fn counts_at(&self, due: Instant) -> Option<Duration> {
        let since = due.saturating_duration_since(self.started);
        (since < self.fleet.total()).then_some(since)
    }

    /// Whether what has been under way since then, and is given up, is the target's fault. When all has had its time it is.
    /// In a run that was ended early, only what has taken as long.
    pub(super) fn is_overdue(&self, since: Instant) -> bool {
        !self.cut_short.load(Ordering::Relaxed) || since.elapsed() >= GRACE
    }

    /// Counts an activity that was due and has not begun.
    pub(super) fn unsent(&self, occasion: &Occasion) {
        let due = self.started + occasion.due.time();
        self.fail(self.first_of(occasion.activity), self.group(occasion.client), due, Failure::Unsent);
    }

    /// What the first request of an activity is about.
    fn first_of(&self, activity: Activity) -> Subject {
        match (activity.first(), self.fleet.details.user_access) {
            (Subject::UserSignIn, Access::Anonymous | Access::Token) => Subject::UserPolicyRequest,
            (first, _) => first,
        }
    }

    /// Counts a request that was under way when the run was over.
    pub(super) fn unfinished(&self, subject: Subject, group: usize, due: Instant, began: Instant) {
        self.given_up(subject, group, due, self.is_overdue(began));
    }

    /// Counts what a connection that is held waits for when the run is over: nobody waits for it on purpose.
    pub(super) fn unheard(&self, subject: Subject, group: usize, began: Instant) {
        self.given_up(subject, group, began, began.elapsed() >= GRACE);
    }

    fn given_up(&self, subject: Subject, group: usize, due: Instant, overdue: bool) {
        if overdue {
            self.fail(subject, group, due, Failure::Unfinished);
        } else {
            self.record(Recorder::dropped);
        }
    }

    fn fail(&self, subject: Subject, group: usize, due: Instant, failure: Failure) {
        if let Some(at) = self.counts_at(due) {
            self.record(|recorder| recorder.fail(self.series(subject, group), at, failure, 1));
        }
    }

    fn series(&self, subject: Subject, group: usize) -> usize {
        subject.index() * self.fleet.groups.len() + group
    }

    pub(super) fn group(&self, client: u32) -> usize {
        self.schedule.places().group(client)
    }

    pub(super) fn source(&self, client: u32) -> IpAddr {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.schedule.places().address(client).unwrap_or(any)
    }

    /// A client as it is when it has just been switched on: without a connection.
    pub(super) fn client(&self, number: u32) -> Client {
        let (fleet, seed) = (&self.fleet, self.schedule.seed_of(number));
        let client = Client::new(self.source(number), self.target.address, &self.target.host, seed)
            .with_timeout(fleet.timeout)
            // What fails is to be seen, and the client's schedule says when it is tried again.
            .with_resend(0, Duration::ZERO)
            .with_ranges(fleet.details.ranges)
            .with_concurrency(fleet.details.concurrency);
        let client = if self.schedule.has_token(number, fleet.token) { client.with_token() } else { client };
        match &self.target.tls {
            Some(tls) => client.with_connector(tls.clone()),
            None => client,
        }
    }

    /// Records something that is over.
    pub(super) fn sample(&self, subject: Subject, group: usize, timing: &Timing, result: Result<(), Failure>) {
        let Some(at) = self.counts_at(timing.intended) else { return };
        let sample = Sample {
            at,
            latency: timing.ended.saturating_duration_since(timing.intended),
            service: timing.ended.saturating_duration_since(timing.began),
            sent: timing.sent,
            received: timing.received,
            result,
        };
        self.record(|recorder| recorder.record(self.series(subject, group), &sample));
    }

    /// What an error counts as. One that is the generator's own is counted as such too.
    pub(super) fn failure(&self, error: &ClientError) -> Failure {
        match error {
            ClientError::Connect { source, .. } => self.not_connected(source),
            ClientError::Status { status, .. } => Failure::Status(status.as_u16()),
            ClientError::Cut { how, .. } => *how,
            ClientError::Hash { .. } | ClientError::Content { .. } => Failure::Hash,
            ClientError::Changed { .. } | ClientError::Protocol(_) => Failure::Protocol,
            ClientError::Timeout { .. } => Failure::Timeout,
        }
    }

    /// What it counts as that there is no connection.
    pub(super) fn not_connected(&self, error: &io::Error) -> Failure {
        let failure = Failure::of_opening(error);
        if failure == Failure::Connect(ConnectFault::Lacking) {
            // EMFILE and ENFILE.
            let is_file = matches!(error.raw_os_error(), Some(23 | 24));
            add(if is_file { &self.troubles.no_file } else { &self.troubles.no_port });
        }
        failure
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// When something was, and how much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) intended: Instant,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) sent: u64,
    pub(super) received: u64,
}
