//! What a client gets that no server can serve: the request path and explanations say the same.

use super::balance::{NoPick, Nobody};
use super::decision::Decision;
use super::learn::Waits;
use crate::error::Error;

/// The end of a request that no server can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// The answer.
    pub error: Error,
    /// Ticks until the next tier opens, from now when the clock does not run yet; `None` when no tier is waited for, and then no
    /// clock starts.
    pub next: Option<u64>,
    /// When the client may come back.
    pub back: Back,
}

/// When a client may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// After the usual time.
    Usual,
    /// After this many seconds, or the usual time if that is sooner: a server that may serve it now may be well again by then.
    By(u64),
    /// After this many seconds: there is no server before.
    At(u64),
}

impl Decision<'_> {
    /// What becomes of a request for which nobody was picked. Changes nothing.
    ///
    /// A server that is full cannot give the content, like one that is down: ConfigMgr's clients count from the first server that
    /// does not serve them, so full servers start the clock too. A download that waits for its own server, and an upload whose
    /// session is lost, are no search for another one.
    pub fn turned_away(&self, nobody: Nobody) -> TurnedAway {
        let counts = nobody.why.is_search() && self.keys.clock.is_some() && !self.has_waited();
        let waits = if counts { self.opening.next(self.location) } else { None };
        let seconds = waits.map(|ticks| Waits { ticks, started: false }.seconds());
        let error = match (nobody.why, waits) {
            // What can be done about it is another thing than waiting for other servers.
            (NoPick::Overloaded, _) | (_, None) => nobody.why.into(),
            (_, Some(_)) => Error::NotYet,
        };
        let back = match seconds {
            None => Back::Usual,
            Some(seconds) if nobody.why == NoPick::NoServer && self.stay.is_none() => Back::At(seconds),
            Some(seconds) => Back::By(seconds),
        };
        TurnedAway { error, next: waits, back }
    }
}
