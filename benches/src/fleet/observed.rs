//! The requests of one activity, told to the desk as they end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::crowd::Occasion;
use super::desk::{Desk, Timing};
use crate::client::{Begun, Exchange, Observe, Subject};
use crate::record::{Failure, Recorder};

/// Records the requests of one activity.
pub(super) struct Observed {
    desk: Arc<Desk>,
    group: usize,
    progress: Mutex<Progress>,
}

/// How far an activity is.
#[derive(Debug)]
struct Progress {
    /// When the activity was due, until the first request has begun, which is due then too.
    due: Option<Instant>,
    under_way: Vec<Pending>,
}

/// A request that is under way.
#[derive(Debug)]
struct Pending {
    subject: Option<Subject>,
    due: Instant,
    began: Instant,
}

impl Observed {
    pub(super) fn new(desk: &Arc<Desk>, occasion: &Occasion) -> Self {
        Self {
            desk: Arc::clone(desk),
            group: desk.group(occasion.client),
            progress: Mutex::new(Progress { due: Some(desk.started + occasion.due.time()), under_way: Vec::new() }),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The activity is over, and nobody waits for what is under way: that is told as such.
    pub(super) fn is_over(&self) {
        let left = std::mem::take(&mut self.progress().under_way);
        self.desk.record(|recorder| left.iter().for_each(|_| recorder.dropped()));
    }

    /// The activity was given up: what is under way is counted.
    pub(super) fn given_up(&self) {
        let under_way = std::mem::take(&mut self.progress().under_way);
        for Pending { subject, due, began } in under_way {
            if let Some(subject) = subject {
                self.desk.unfinished(subject, self.group, due, began);
            }
        }
    }
}

impl Observe for Observed {
    fn begun(&self, begun: &Begun<'_>) {
        let (subject, began) = (begun.subject, begun.began);
        let mut progress = self.progress();
        let due = progress.due.take().unwrap_or(began);
        progress.under_way.push(Pending { subject, due, began });
    }

    fn forgotten(&self, began: Instant) {
        self.progress().over(began);
        self.desk.record(Recorder::dropped);
    }

    fn ended(&self, exchange: &Exchange<'_>) {
        let began = exchange.begun.began;
        let intended = self.progress().over(began).unwrap_or(began);
        let Some(subject) = exchange.begun.subject else { return };
        let timing =
            Timing { intended, began, ended: exchange.ended, sent: exchange.sent, received: exchange.received };
        let result = match exchange.outcome {
            Ok(status) if status.is_success() => Ok(()),
            // The client has looked at the challenge.
            Ok(_) if subject == Subject::UserSignIn => Ok(()),
            Ok(status) => Err(Failure::Status(status.as_u16())),
            Err(error) => Err(self.desk.failure(error)),
        };
        self.desk.sample(subject, self.group, &timing, result);
    }

    fn opened(&self) {
        self.desk.record(Recorder::opened);
    }

    fn closed(&self) {
        self.desk.record(Recorder::closed);
    }
}

impl Progress {
    /// The request that began then is over. Says when it was due.
    fn over(&mut self, began: Instant) -> Option<Instant> {
        let place = self.under_way.iter().position(|pending| pending.began == began)?;
        Some(self.under_way.swap_remove(place).due)
    }
}
