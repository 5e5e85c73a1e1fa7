//! What the clients saw, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use rolegate_bench::client::{ClientError, Step};

use super::site::Place;

/// Failures that are kept word by word.
const MAX_TOLD: usize = 10;
/// Longer than any wait of a client.
const LONGEST_US: u64 = 10 * 60 * 1_000_000;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Asks for the list of management points.
    List,
    /// Asks for its policy and fetches it.
    Policy,
    /// Sends a state message.
    State,
    /// Asks where a package is.
    Locate,
    /// Downloads a package.
    Download,
    /// Scans for software updates.
    Scan,
    /// Reports to the fallback status point.
    Report,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::List, Self::Policy, Self::State, Self::Locate, Self::Download, Self::Scan, Self::Report];

    /// What it is called in the summary.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::List => "MPLIST",
            Self::Policy => "policy: a message, then 3 policies",
            Self::State => "state message",
            Self::Locate => "content location",
            Self::Download => "package of 2 to 12 MiB, SHA-256 checked",
            Self::Scan => "software update scan",
            Self::Report => "fallback status message",
        }
    }
}

/// What to do after an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Something else.
    GoOn,
    /// The same again: a server could not take the message and the client has kept it.
    Again,
}

/// Everything counted so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// Requests by where the client is and who answered.
    pub served: BTreeMap<(Place, String), u64>,
    /// Failures of requests that may be retried.
    pub failures: u64,
    /// The first of them.
    pub told: Vec<String>,
    /// Downloads that were cut and continued.
    pub resumed: u64,
    /// Downloads that were begun again because the file's time stamp or ETag had changed.
    pub restarted: u64,
    /// Messages sent again after an error of the proxy or a cut.
    pub resent: u64,
    /// Messages that a management point answered 500, and that were sent again.
    pub refused: u64,
    /// State messages that were acknowledged.
    pub acknowledged: u64,
    /// How long activities took, in microseconds.
    pub times: BTreeMap<Activity, Histogram<u64>>,
}

/// Counts of all clients.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything counted so far.
    #[must_use]
    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// Requests, bytes and failures so far, for the display: copying everything ten times a second would cost.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        let counts = self.counts();
        (counts.requests, counts.bytes, counts.failures)
    }

    /// Who has served whom so far.
    #[must_use]
    pub fn served(&self) -> BTreeMap<(Place, String), u64> {
        self.counts().served.clone()
    }

    /// A request that may be retried failed.
    pub fn fail(&self, what: String) {
        let mut counts = self.counts();
        counts.failures += 1;
        if counts.told.len() < MAX_TOLD {
            counts.told.push(what);
        }
    }

    /// An activity of a client is over.
    pub fn record(&self, place: Place, activity: Activity, took: Duration, end: Result<Step, ClientError>) -> Then {
        let step = match end {
            Ok(step) => step,
            Err(error) if is_refused_message(&error) => {
                let mut counts = self.counts();
                counts.requests += 1;
                counts.refused += 1;
                return Then::Again;
            }
            Err(error) => {
                self.counts().requests += 1;
                self.fail(format!("a client in {}: {error}", place.title()));
                return Then::GoOn;
            }
        };
        for _ in 0..step.reopened {
            let title = activity.title();
            self.fail(format!(
                "a client in {}, {title}: the proxy closed a kept connection under a request",
                place.title()
            ));
        }
        let mut counts = self.counts();
        counts.requests += u64::from(step.requests);
        counts.bytes += step.bytes;
        counts.resumed += u64::from(step.resumed);
        counts.restarted += u64::from(step.restarted);
        counts.resent += u64::from(step.resent);
        counts.acknowledged += u64::from(activity == Activity::State);
        for system in step.served_by {
            *counts.served.entry((place, system)).or_default() += 1;
        }
        if let Some(times) = histogram(&mut counts.times, activity) {
            times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US));
        }
        Then::GoOn
    }
}

fn histogram(times: &mut BTreeMap<Activity, Histogram<u64>>, activity: Activity) -> Option<&mut Histogram<u64>> {
    if let std::collections::btree_map::Entry::Vacant(vacant) = times.entry(activity) {
        vacant.insert(Histogram::new_with_bounds(1, LONGEST_US, 3).ok()?);
    }
    times.get_mut(&activity)
}

/// A management point answered 500 to a message: its database is down. Nobody but the client may send it again.
fn is_refused_message(error: &ClientError) -> bool {
    matches!(error, ClientError::Status { method, status, served_by: Some(_), .. }
        if method == "CCM_POST" && status.as_u16() == 500)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(method: &str, status: u16, served_by: Option<&str>) -> Result<Step, ClientError> {
        Err(ClientError::Status {
            method: method.to_owned(),
            target: "/x".to_owned(),
            status: status.try_into().unwrap(),
            served_by: served_by.map(str::to_owned),
        })
    }

    #[test]
    fn only_a_message_that_a_server_refused_is_no_failure() {
        let tally = Tally::default();
        let record = |end| tally.record(Place::Hq, Activity::State, Duration::from_millis(2), end);
        assert_eq!(record(status("CCM_POST", 500, Some("MP2"))), Then::Again);
        for end in [status("GET", 500, Some("MP2")), status("CCM_POST", 502, None), status("CCM_POST", 500, None)] {
            assert_eq!(record(end), Then::GoOn);
        }
        let step = Step { requests: 2, reopened: 1, resent: 1, served_by: vec!["MP1".to_owned()], ..Step::default() };
        record(Ok(step));
        let counts = tally.read();
        assert_eq!((counts.refused, counts.failures, counts.resent, counts.requests), (1, 4, 1, 6));
        assert_eq!(counts.served[&(Place::Hq, "MP1".to_owned())], 1);
        assert_eq!(counts.times[&Activity::State].value_at_quantile(0.5) / 100, 20);
    }
}
