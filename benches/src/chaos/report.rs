//! What is said at the end of a run.

use std::fmt;
use std::time::Duration;

use super::ledger::{Ledger, Times};
use super::{Ends, Plan, calm};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    duration: Duration,
    took: Duration,
    clients: usize,
    requests: u64,
    faults: Vec<(&'static str, u64)>,
    outcomes: Vec<(String, u64)>,
    times: Vec<(&'static str, Times)>,
    ends: Option<Ends>,
    /// How often something was so that must not be.
    pub violations: u64,
}

impl Report {
    pub(super) fn new(plan: &Plan, ledger: &Ledger, took: Duration, ends: Option<Ends>) -> Self {
        Self {
            seed: plan.seed,
            duration: plan.duration,
            took,
            clients: plan.clients,
            requests: ledger.requests(),
            faults: ledger.faults().into_iter().collect(),
            outcomes: ledger.outcomes().into_iter().map(|(outcome, count)| (outcome.to_string(), count)).collect(),
            times: ledger.times().into_iter().collect(),
            ends,
            violations: ledger.violations(),
        }
    }

    /// Whether the run came to its end, and nothing was so that must not be.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.violations == 0 && self.ends.is_some()
    }

    /// How many requests clients have sent.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (duration, took) = (self.duration.as_secs_f64(), self.took.as_secs_f64());
        writeln!(f, "seed {}: {duration:.0} s of faults, {} clients, {took:.1} s in all", self.seed, self.clients)?;
        writeln!(f, "\nfaults: {}", self.faults.iter().map(|(_, count)| count).sum::<u64>())?;
        for (name, count) in &self.faults {
            writeln!(f, "  {count:6}  {name}")?;
        }
        writeln!(f, "\nrequests: {}", self.requests)?;
        for (name, count) in &self.outcomes {
            writeln!(f, "  {count:6}  {name}")?;
        }
        writeln!(f, "\nlongest times:")?;
        for (name, times) in &self.times {
            writeln!(f, "  {:6} ms  {name} ({} measured)", times.longest.as_millis(), times.count)?;
        }
        match &self.ends {
            None => writeln!(f, "\nended early")?,
            Some(Ends { before, after, again }) => {
                writeln!(
                    f,
                    "  {:6} ms  until every server was used again ({} s allowed)",
                    again.as_millis(),
                    calm::AGAIN.as_secs()
                )?;
                let (memory, more) = (mib(before.memory), mib(calm::MORE_MEMORY));
                writeln!(f, "\nat rest before and after:")?;
                writeln!(f, "  memory       {memory:.1} MiB  {:.1} MiB ({more} MiB more allowed)", mib(after.memory))?;
                let (before, after) = (before.descriptors, after.descriptors);
                writeln!(f, "  descriptors  {before}  {after} ({} more allowed)", calm::MORE_DESCRIPTORS)?;
            }
        }
        write!(f, "\nviolations: {}", self.violations)
    }
}
