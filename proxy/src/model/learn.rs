//! What follows from an answer: what a server has or lacks, where a client stays, when a clock starts and ends.

use http::{HeaderMap, Method, StatusCode};

use super::balance::{How, Pick};
use super::content::Said;
use super::decision::{BITS_SESSION_ID, Decision, after_upload, upload_key};
use super::live::{TICKS_PER_MINUTE, Verdict};
use super::role::FallbackRule;

/// What was learned from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// What it says about the content.
    pub said: Said,
    /// Nobody knew that before.
    pub news: bool,
    /// The client or its download is at another server from now on.
    pub moved: bool,
}

/// A request that the open tiers could not serve, while later ones are still closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Ticks until the next tier opens.
    pub ticks: u64,
    /// The clock was started by this request.
    pub started: bool,
}

impl Waits {
    /// Seconds until the next tier opens, rounded up, at least one.
    pub fn seconds(self) -> u64 {
        self.ticks.div_ceil(TICKS_PER_MINUTE / 60).max(1)
    }
}

impl Decision<'_> {
    /// Learns from a server's answer. Where the client stays, and whether a clock ends, is a matter of [`Decision::served`].
    pub fn learn(&self, pick: &Pick, method: &Method, status: StatusCode) -> Learned {
        let id = self.cluster.endpoint(pick.endpoint).state.id;
        let said = self.content.map_or(Said::Nothing, |content| content.said(method, status));
        let file_key = (self.keys.file != self.keys.content).then_some(self.keys.file);
        let news = match said {
            Said::Content(verdict) => {
                if let (Some(file), Verdict::Has) = (file_key, verdict) {
                    self.live.unlearn(file, id);
                }
                self.live.learn(self.keys.content, id, verdict, self.now)
            }
            Said::FileHere => file_key.is_some_and(|file| self.live.unlearn(file, id)),
            Said::NoFile | Said::NoSuchFile => self.live.learn_file(self.keys.file, id, self.now),
            Said::NoListing | Said::Nothing => false,
        };
        Learned { said, news, moved: false }
    }

    /// The client gets this answer. Says whether it, or its download, has moved from another server.
    pub fn served(&self, pick: &Pick, said: Said, status: StatusCode) -> bool {
        let good = match (said, self.content) {
            (Said::Content(Verdict::Has) | Said::FileHere, _) => true,
            (_, Some(_)) => false,
            (_, None) => !status.is_server_error(),
        };
        if !good {
            return false;
        }
        let endpoint = self.cluster.endpoint(pick.endpoint);
        if let (Some(key), Some(_)) = (self.keys.clock, self.opening.minutes()) {
            let kept = pick.how == How::Stays && endpoint.role.fallback_rule == FallbackRule::LastKnownGood;
            if kept || self.opening.opens_at(pick.tier) == 0 && !self.opening.is_everything() {
                self.live.clear_clock(key);
            } else {
                // Somebody lives from it.
                self.live.start_clock(key, self.now, self.site.fallback.idle_ticks());
            }
        }
        !pick.aside && self.keys.affinity.is_some_and(|key| self.live.keep_stay(key, endpoint.state.id, self.now))
    }

    /// The open tiers could not serve the request: the clock starts, if there is anything to wait for.
    pub fn unserved(&self) -> Option<Waits> {
        let ticks = self.opening.next(self.location)?;
        let key = self.keys.clock?;
        let started = self.live.start_clock(key, self.now, self.site.fallback.idle_ticks());
        Some(Waits { ticks, started })
    }

    /// A server answered a packet of a BITS upload: the session stays there, and the message that follows goes there too.
    pub fn uploaded(&self, pick: &Pick, response: &HeaderMap) {
        let topology = &*self.cluster.topology;
        let id = self.cluster.endpoint(pick.endpoint).state.id;
        if let Some(session) = response.get(BITS_SESSION_ID) {
            let key = upload_key(self.live, topology.hash, session.as_bytes());
            self.live.keep_stay(key, id, self.now);
            self.live.keep_stay(after_upload(self.live, topology.hash, self.keys.client), id, self.now);
        }
    }

    /// The key of the fallback clock that the request would start or has met.
    pub fn clock_key(&self) -> Option<u64> {
        self.keys.clock
    }

    /// The key of the content.
    pub fn content_key(&self) -> u64 {
        self.keys.content
    }

    /// The key of what concurrent first requests for the same missing thing have in common.
    pub fn search_key(&self) -> u64 {
        self.keys.file
    }
}
