//! What follows from an answer: what a server has or lacks, where a client stays, when a clock starts and ends.

use http::{Method, StatusCode};

use super::balance::{How, Pick};
use super::content::Said;
use super::decision::Decision;
use super::knowledge::Lack;
use super::live::{TICKS_PER_MINUTE, Verdict, Who};
use super::name::Name;
use super::role::FallbackRule;
use super::stay::{Stay, after_upload, upload_key, who_stays};
use super::tier::TierKind;
use crate::wire::fields::Fields;
use crate::wire::known::Known;

/// What was learned from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// What it says about the content.
    pub said: Said,
    /// Nobody knew that before.
    pub news: bool,
}

/// Why the open tiers could not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// Every server has said that it lacks the content.
    Lacking,
    /// Some server cannot be asked.
    Unable,
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
        let Some(content) = self.content else { return Learned { said: Said::Nothing, news: false } };
        let said = content.said(method, status);
        let missing = || self.live.is_missing(self.keys.content, self.now, self.site.content.missing_ticks());
        let found_file = || missing() && self.file_key(content).is_some_and(|file| self.live.unlearn(file, id));
        let news = match said {
            Said::Content(Verdict::Has) => {
                found_file();
                self.live.learn(self.keys.owner, self.keys.content, id, Verdict::Has, self.now)
            }
            Said::Content(Verdict::Lacks) => {
                self.live.learn(self.keys.owner, self.keys.content, id, Verdict::Lacks, self.now)
            }
            Said::FileHere => found_file(),
            Said::NoFile | Said::NoSuchFile => {
                let learn = |file| self.live.learn_file(self.keys.owner, self.keys.content, file, id, self.now);
                self.file_key(content).is_some_and(learn)
            }
            Said::NoListing | Said::Nothing => false,
        };
        Learned { said, news }
    }

    /// The client gets this answer. Says whether it, or its download, has moved from another server.
    pub fn served(&self, pick: &Pick, said: Said, status: StatusCode) -> bool {
        let endpoint = self.cluster.endpoint(pick.endpoint);
        let good = match (said, self.content) {
            (Said::Content(Verdict::Has) | Said::FileHere, _) => true,
            (_, Some(_)) => false,
            // A page that is missing, a refusal, a fault: the client has not been served, and is not kept to this server.
            (_, None) if endpoint.role.fallback_rule == FallbackRule::LastKnownGood => {
                status.is_success() || status.is_redirection()
            }
            (_, None) => !status.is_server_error(),
        };
        if !good {
            return false;
        }
        if let (Some(key), Some(_)) = (self.keys.clock, self.opening.minutes()) {
            let there = self.stay.and_then(Stay::endpoint) == Some(pick.endpoint);
            let kept = (pick.how == How::Stays || there) && endpoint.role.fallback_rule == FallbackRule::LastKnownGood;
            // A server that is full with this request turns others away: for them the clock goes on.
            let room = endpoint.state.in_flight() < endpoint.role.max_requests;
            let beyond = matches!(self.name, Name::Beyond { .. }) && pick.how == How::Named;
            if room && (kept || (!beyond && self.needs_no_clock(pick))) {
                self.live.clear_clock(key);
            } else if !beyond && !self.has_waited() {
                // Some client lives from it.
                self.live.start_clock(key, self.keys.owner, self.now, self.site.fallback.idle_ticks());
            }
        }
        let who = who_stays(&endpoint.role);
        let key = self.keys.affinity.filter(|_| !self.aside(pick));
        key.is_some_and(|key| self.live.keep_stay(who, key, self.keys.owner, endpoint.state.id, self.now))
    }

    /// Whether the tier of a pick is open whatever the clock says. A client that keeps to a server waits for its own groups
    /// too.
    fn needs_no_clock(&self, pick: &Pick) -> bool {
        let own = match pick.tier.kind {
            TierKind::Current | TierKind::Slow | TierKind::Site => true,
            TierKind::Neighbor | TierKind::Default => pick.tier.offset == 0,
            TierKind::FallbackSource => false,
        };
        own && (self.exempt || self.opening.opens_at(pick.tier) == 0)
    }

    /// Whether this answer comes from another server only because the download's own lacks this one file: the download
    /// stays where it is.
    fn aside(&self, pick: &Pick) -> bool {
        match self.stay.and_then(|stay| stay.endpoint()) {
            Some(own) => {
                let id = self.cluster.endpoint(own).state.id;
                matches!(self.knowledge().and_then(|known| known.lacks(id)), Some(Lack::File(_)))
            }
            None => pick.aside,
        }
    }

    /// The open tiers could not serve the request: the clock starts, if there is anything to wait for.
    pub fn unserved(&self, why: Unserved) -> Option<Waits> {
        let key = self.keys.clock.filter(|_| !self.has_waited())?;
        let (owner, idle) = (self.keys.owner, self.site.fallback.idle_ticks());
        let next = self.opening.next(self.location);
        match (next, why) {
            (Some(ticks), _) => {
                let started = self.live.start_clock(key, owner, self.now, idle);
                Some(Waits { ticks, started })
            }
            (None, _) if self.opening.minutes().is_none() => None,
            // One that runs is kept while it is asked for, also when every tier is open and none can serve.
            (None, Unserved::Unable) => {
                self.live.start_clock(key, owner, self.now, idle);
                None
            }
            // Any name can be made up: what no server has takes no place from what some have.
            (None, Unserved::Lacking) => {
                self.live.demote_clock(key, owner, self.now, idle);
                None
            }
        }
    }

    /// A server answered a packet of a BITS upload: the session stays there, and the message that follows goes there too.
    pub fn uploaded(&self, pick: &Pick, response: &Fields) {
        let topology = &*self.cluster.topology;
        let id = self.cluster.endpoint(pick.endpoint).state.id;
        if let Some(session) = response.get(Known::BitsSessionId) {
            let key = upload_key(self.live, topology.hash, session);
            self.live.keep_stay(Who::Transfer, key, self.keys.owner, id, self.now);
            let message = after_upload(self.live, topology.hash, self.keys.client);
            self.live.keep_stay(Who::Transfer, message, self.keys.owner, id, self.now);
        }
    }

    /// Whether a server is known to lack the whole content.
    pub fn lacks_content(&self, endpoint: super::cluster::EndpointIndex) -> bool {
        let id = self.cluster.endpoint(endpoint).state.id;
        matches!(self.knowledge().and_then(|known| known.lacks(id)), Some(Lack::Content(_)))
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
        self.content.and_then(|content| self.file_key(content)).unwrap_or(self.keys.content)
    }
}
