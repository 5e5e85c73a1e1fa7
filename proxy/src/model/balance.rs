//! Pick: one endpoint out of the tiers of a location.
//!
//! All policies are one drawing. Every eligible endpoint gets a key, `-ln(u) / weight`, where `u` is a number between 0 and
//! 1 made of a seed and the endpoint's own hash, and the smallest key wins: a draw with chances in proportion to the
//! weights. With dice as the seed this is weighted random, and the two smallest keys are a fair weighted pair to
//! compare by load. With the client's (or the client's and the content's) hash as the seed it is weighted rendezvous
//! hashing: the same winner every time and in every process, and when it goes only its own clients move. A server
//! that several groups name has one key, so overlaps do not give it a larger share.

use super::cluster::{Class, Cluster, EndpointIndex};
use super::location::{ContentLocation, Tier};
use super::mix::mix;
use super::role::Balance;
use crate::error::Error;

/// Most endpoints that one least-requests draw looks at; larger tiers are sampled.
const SAMPLE: u32 = 64;

/// Most attempts that one request may make.
pub const MAX_ATTEMPTS: usize = 8;

/// The endpoints that this request has been sent to.
pub type Tried = arrayvec::ArrayVec<EndpointIndex, MAX_ATTEMPTS>;

/// What a pick depends on besides the cluster and the location.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Hash of what the role's policy keeps together.
    pub key: u64,
    /// Only endpoints of this site system.
    pub system: Option<u16>,
    /// Endpoints that are not asked again.
    pub tried: &'a Tried,
    /// Milliseconds of the process clock, for slow start.
    pub now_ms: u64,
    /// A random number.
    pub dice: u64,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Who serves.
    pub endpoint: EndpointIndex,
    /// The tier it was found in.
    pub tier: Tier,
    /// How well it was.
    pub class: Class,
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// The client's boundary groups and their fallbacks name no server of this role.
    NoServer,
    /// There are servers, and none is well.
    NoneWell,
    /// Every server that is well has as many requests as it may have.
    Overloaded,
    /// Every server that is well has been tried.
    AllTried,
}

impl From<NoPick> for Error {
    fn from(why: NoPick) -> Self {
        match why {
            NoPick::NoServer => Self::NoServer,
            NoPick::NoneWell | NoPick::AllTried => Self::NoneWell,
            NoPick::Overloaded => Self::Overloaded,
        }
    }
}

/// Picks one endpoint. Tiers are used in order; an endpoint that is not proven well is used only when no tier has one that
/// is, and one that is down only in panic.
///
/// # Errors
/// [`NoPick`] says why there is none.
pub fn pick(cluster: &Cluster, location: ContentLocation<'_>, ask: &Ask<'_>) -> Result<Pick, NoPick> {
    let mut why = NoPick::NoServer;
    let classes: &[Class] = if cluster.panicking() { &[Class::Out] } else { &[Class::Well, Class::Second] };
    for &class in classes {
        for tier in location.tiers() {
            let mut drawing = Drawing::new(cluster, ask, class);
            let tier_size: usize = location.members(tier).map(<[EndpointIndex]>::len).sum();
            let sampled = drawing.by_load && tier_size > SAMPLE as usize;
            if sampled {
                draw_from_sample(&mut drawing, location, tier, tier_size, ask.dice);
            } else {
                location.members(tier).flatten().for_each(|&endpoint| drawing.offer(endpoint));
            }
            if let Some(endpoint) = drawing.winner() {
                return Ok(Pick { endpoint, tier, class });
            }
            why = worse(why, drawing.why);
        }
    }
    Err(why)
}

/// Walks on from a random place and stops when enough were eligible, or all were seen.
fn draw_from_sample(drawing: &mut Drawing<'_>, location: ContentLocation<'_>, tier: Tier, size: usize, dice: u64) {
    let start = (mix(dice) % size as u64) as usize;
    for (skip, take) in [(start, size), (0, start)] {
        let mut position = 0;
        for list in location.members(tier) {
            let from = skip.saturating_sub(position).min(list.len());
            let to = take.saturating_sub(position).min(list.len());
            for &endpoint in &list[from..to.max(from)] {
                drawing.offer(endpoint);
                if drawing.eligible >= SAMPLE {
                    return;
                }
            }
            position += list.len();
        }
    }
}

/// The reason to tell when several tiers failed for different reasons: the one that is nearest to success.
fn worse(a: NoPick, b: NoPick) -> NoPick {
    let rank = |why| match why {
        NoPick::NoServer => 0,
        NoPick::NoneWell => 1,
        NoPick::AllTried => 2,
        NoPick::Overloaded => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

#[derive(Clone, Copy)]
struct Candidate {
    endpoint: EndpointIndex,
    key: f32,
    weight: f32,
}

struct Drawing<'a> {
    cluster: &'a Cluster,
    ask: &'a Ask<'a>,
    class: Class,
    seed: u64,
    by_load: bool,
    eligible: u32,
    first: Option<Candidate>,
    second: Option<Candidate>,
    why: NoPick,
}

impl<'a> Drawing<'a> {
    fn new(cluster: &'a Cluster, ask: &'a Ask<'a>, class: Class) -> Self {
        let balance = cluster.topology.role.balance;
        let seed = match balance {
            Balance::LeastRequests | Balance::Random | Balance::Named => ask.dice,
            Balance::Client | Balance::Content => ask.key,
        };
        let by_load = matches!(balance, Balance::LeastRequests | Balance::Named);
        Self { cluster, ask, class, seed, by_load, eligible: 0, first: None, second: None, why: NoPick::NoServer }
    }

    fn offer(&mut self, index: EndpointIndex) {
        let endpoint = self.cluster.endpoint(index);
        if self.ask.system.is_some_and(|system| system != endpoint.system_index) {
            return;
        }
        let standing = self.cluster.standing(index);
        if standing.class() != self.class {
            self.why = worse(self.why, NoPick::NoneWell);
            return;
        }
        if self.ask.tried.contains(&index) {
            self.why = worse(self.why, NoPick::AllTried);
            return;
        }
        if endpoint.state.in_flight() >= endpoint.role.max_requests {
            self.why = worse(self.why, NoPick::Overloaded);
            return;
        }
        self.eligible += 1;
        let weight = self.weight(endpoint.weight, standing.ramp_from_ms, endpoint.role.slow_start);
        let drawn = mix(self.seed ^ endpoint.hash);
        // 24 bits are what an f32 holds exactly; the half keeps the number off both ends.
        let u = ((drawn >> 40) as f32 + 0.5) / (1_u32 << 24) as f32;
        self.keep(Candidate { endpoint: index, key: -u.ln() / weight, weight });
    }

    fn keep(&mut self, candidate: Candidate) {
        let same = |kept: Option<Candidate>| kept.is_some_and(|kept| kept.endpoint == candidate.endpoint);
        if same(self.first) || same(self.second) {
            return;
        }
        if self.first.is_none_or(|first| candidate.key < first.key) {
            self.second = self.first.replace(candidate);
        } else if self.second.is_none_or(|second| candidate.key < second.key) {
            self.second = Some(candidate);
        }
    }

    /// The configured weight, less while a recovered endpoint warms up: from a tenth to all of it, in proportion to time.
    fn weight(&self, weight: u32, ramp_from_ms: u64, slow_start: std::time::Duration) -> f32 {
        let full = weight.max(1) as f32;
        // A hash that follows the ramp would move clients twice: those policies have no slow start.
        if ramp_from_ms == 0 || !self.by_load || slow_start.is_zero() {
            return full;
        }
        let warm = self.ask.now_ms.saturating_sub(ramp_from_ms) as f32 / slow_start.as_millis() as f32;
        full * warm.clamp(0.1, 1.0)
    }

    fn winner(&self) -> Option<EndpointIndex> {
        let first = self.first?;
        match self.second {
            Some(second) if self.by_load && self.load(second) < self.load(first) => Some(second.endpoint),
            _ => Some(first.endpoint),
        }
    }

    /// Requests in flight for a weight of one.
    fn load(&self, candidate: Candidate) -> f32 {
        self.cluster.endpoint(candidate.endpoint).state.in_flight() as f32 / candidate.weight
    }
}
