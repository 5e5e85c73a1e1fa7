//! Pick: one endpoint out of the open tiers of a location.
//!
//! All policies are one drawing. Every eligible endpoint gets a key, `-ln(u) / weight`, where `u` is a number between 0 and
//! 1 made of a seed and the endpoint's own hash, and the smallest key wins: a draw with chances in proportion to the
//! weights. With dice as the seed this is weighted random, and the two smallest keys are a fair weighted pair to
//! compare by load. With the client's (or the client's and the content's) hash as the seed it is weighted rendezvous
//! hashing: the same winner every time and in every process, and when it goes only its own clients move. A server
//! that several groups name has one key, so overlaps do not give it a larger share.

use std::net::IpAddr;

use super::boundary::SubnetId;
use super::cluster::{Class, Cluster, EndpointIndex, Standing};
use super::endpoint::Endpoint;
use super::fallback::Opening;
use super::knowledge::{Knowledge, Lack};
use super::location::{ContentLocation, Tier};
use super::mix::mix;
use super::role::Balance;
use super::route::Database;
use crate::error::Error;

/// Most endpoints that one least-requests draw looks at; larger tiers are sampled.
const SAMPLE: u32 = 64;

/// Most endpoints that one request may be sent to, those that lack its content included.
pub const MAX_ATTEMPTS: usize = 16;

/// A hash may load an endpoint with this many requests whatever its fair share is: among few requests, shares mean nothing.
const CROWD: u32 = 8;

/// The endpoints that this request has been sent to.
pub type Tried = arrayvec::ArrayVec<EndpointIndex, MAX_ATTEMPTS>;

/// What a pick depends on besides the cluster and the location.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Hash of what the role's policy keeps together.
    pub key: u64,
    /// Only endpoints of this site system.
    pub system: Option<u16>,
    /// Site systems that the request comes from: it is not sent back to them.
    pub itself: &'a [(IpAddr, u16)],
    /// Which database an endpoint must have.
    pub database: Database,
    /// The tier that is searched before all others.
    pub first: Option<Tier>,
    /// Of the endpoints of a tier, those in this subnet come first.
    pub subnet: Option<SubnetId>,
    /// Endpoints that are not asked again.
    pub tried: &'a Tried,
    /// Which tiers are open.
    pub opening: &'a Opening,
    /// What is known of the content; `None` where there is no content.
    pub knowledge: Option<Knowledge<'a>>,
    /// The hash decides, whatever the role's policy.
    pub by_hash: bool,
    /// A download begins: it may be sent past an endpoint that has too much to do.
    pub spread: bool,
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
    /// Why it and no other.
    pub how: How,
    /// A server that has the content was passed by because it lacks this one file: the download stays where it is.
    pub aside: bool,
}

/// Why an endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By the role's balancing among all that are eligible.
    Drawn,
    /// As `Drawn`, past an endpoint that has too much to do.
    Spread,
    /// The client, or its download, is there already.
    Stays,
    /// Its upload session is there.
    Upload,
    /// The request names it.
    Named,
    /// The client is signed in there, and its connection goes nowhere else.
    Pinned,
    /// Every server lacks the content: this one is asked once more, and its answer is the client's.
    AskedAgain,
    /// All others have refused: it is said to be down, and may be well again.
    LastResort,
}

impl How {
    /// The word in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Spread => "spread",
            Self::Stays => "stays",
            Self::Upload => "upload",
            Self::Named => "named",
            Self::Pinned => "pinned",
            Self::AskedAgain => "asked-again",
            Self::LastResort => "last-resort",
        }
    }
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nobody {
    /// The reason that is nearest to success.
    pub why: NoPick,
    /// Some server in an open tier has not said that it lacks the content, and cannot be asked.
    pub unasked: bool,
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// The open tiers have no server of this role.
    NoServer,
    /// There are servers, and people have taken all of them out.
    TakenOut,
    /// There are servers, and none is well.
    NoneWell,
    /// Every server that is well lacks the content.
    Lacking,
    /// Every server that is well has been tried.
    AllTried,
    /// Every server that is well has as many requests as it may have.
    Overloaded,
    /// The server where the download is has as many requests as it may have.
    DownloadFull,
    /// The server that has the upload session is down or gone.
    UploadLost,
}

impl NoPick {
    /// Whether servers of later tiers could serve: then the fallback clock counts.
    pub fn is_search(self) -> bool {
        match self {
            Self::NoServer | Self::TakenOut | Self::NoneWell | Self::Lacking | Self::AllTried | Self::Overloaded => {
                true
            }
            Self::DownloadFull | Self::UploadLost => false,
        }
    }
}

impl From<NoPick> for Error {
    fn from(why: NoPick) -> Self {
        match why {
            NoPick::NoServer => Self::NoServer,
            NoPick::TakenOut => Self::TakenOut,
            NoPick::NoneWell | NoPick::AllTried | NoPick::Lacking => Self::NoneWell,
            NoPick::Overloaded | NoPick::DownloadFull => Self::Overloaded,
            NoPick::UploadLost => Self::UploadLost,
        }
    }
}

/// Why an endpoint is not eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Not {
    /// The request names another site system.
    OtherSystem,
    /// The request comes from it.
    Itself,
    /// It works with a replica of the site database, and the request needs the site's own.
    Replica,
    /// It lacks the content or the file.
    Lacks(Lack),
    /// It stands in another class than the one that is asked for.
    Class(Class),
    /// It was tried.
    Tried,
    /// It has as many requests as it may have.
    Full,
}

impl Ask<'_> {
    /// In which class an endpoint is for this request: one at which requests wait in vain is proven well no more, until it
    /// answers one or probes have their say.
    pub fn class(&self, cluster: &Cluster, index: EndpointIndex) -> Class {
        self.class_of(cluster.standing(index), cluster.endpoint(index))
    }

    fn class_of(&self, standing: Standing, endpoint: &Endpoint) -> Class {
        match standing.class() {
            Class::Well if endpoint.state.is_silent(self.now_ms) => Class::Second,
            class => class,
        }
    }

    /// Whether an endpoint is eligible in a class.
    ///
    /// # Errors
    /// [`Not`] says why it is not.
    pub fn judge(&self, cluster: &Cluster, index: EndpointIndex, class: Class) -> Result<(), Not> {
        let endpoint = cluster.endpoint(index);
        if self.is_particular() {
            self.demands(endpoint)?;
        }
        self.stands(endpoint, cluster.standing(index), index, class)
    }

    /// Whether there is a server that the request may not be sent to, however well it is. Known once for all servers.
    fn is_particular(&self) -> bool {
        self.system.is_some()
            || !self.itself.is_empty()
            || self.database == Database::Site
            || self.knowledge.is_some_and(|known| known.missing)
    }

    /// What the request wants of a server, whatever its state.
    fn demands(&self, endpoint: &Endpoint) -> Result<(), Not> {
        if self.system.is_some_and(|system| system != endpoint.system_index) {
            return Err(Not::OtherSystem);
        }
        if self.itself.iter().any(|(_, system)| *system == endpoint.system_index) {
            return Err(Not::Itself);
        }
        if self.database == Database::Site && endpoint.role.replica {
            return Err(Not::Replica);
        }
        if let Some(lack) = self.knowledge.as_ref().and_then(|known| known.lacks(endpoint.state.id)) {
            return Err(Not::Lacks(lack));
        }
        Ok(())
    }

    /// Whether the state of a server is such that it can take the request.
    fn stands(&self, endpoint: &Endpoint, standing: Standing, index: EndpointIndex, class: Class) -> Result<(), Not> {
        let own = self.class_of(standing, endpoint);
        if own != class {
            return Err(Not::Class(own));
        }
        if self.tried.contains(&index) {
            return Err(Not::Tried);
        }
        if endpoint.state.in_flight() >= endpoint.role.max_requests {
            return Err(Not::Full);
        }
        Ok(())
    }
}

/// Picks one endpoint. Open tiers are used in order; an endpoint that is not proven well is used only when no tier has one
/// that is, and one that is down only in panic.
///
/// # Errors
/// [`Nobody`] says why there is none.
pub fn pick(cluster: &Cluster, location: ContentLocation<'_>, ask: &Ask<'_>) -> Result<Pick, Nobody> {
    pick_of(cluster, location, ask, cluster.classes())
}

/// As [`pick`], among endpoints of these classes.
///
/// # Errors
/// [`Nobody`] says why there is none.
pub fn pick_of(
    cluster: &Cluster,
    location: ContentLocation<'_>,
    ask: &Ask<'_>,
    classes: &[Class],
) -> Result<Pick, Nobody> {
    let mut nobody = Nobody { why: NoPick::NoServer, unasked: false };
    let mut aside = false;
    for &class in classes {
        let open = location.tiers().filter(|tier| ask.opening.is_open(*tier) && Some(*tier) != ask.first);
        for tier in ask.first.into_iter().chain(open) {
            let drawing = draw(cluster, location, tier, (ask, class));
            aside |= drawing.aside;
            if let Some(endpoint) = drawing.winner() {
                let spread = drawing.crowded().and_then(|limit| {
                    let within = drawing.within;
                    let mut again = Drawing { limit, within, ..Drawing::new(cluster, ask, class) };
                    location.members(tier).flatten().for_each(|&endpoint| again.offer(endpoint));
                    again.winner()
                });
                let how = if spread.is_some_and(|other| other != endpoint) { How::Spread } else { How::Drawn };
                return Ok(Pick { endpoint: spread.unwrap_or(endpoint), tier, class, how, aside });
            }
            nobody.why = worse(nobody.why, drawing.why);
            nobody.unasked |= drawing.unasked;
        }
    }
    Err(nobody)
}

/// Draws among the servers of a tier in the client's own subnet, and among all when none of those can serve.
fn draw<'a>(
    cluster: &'a Cluster,
    location: ContentLocation<'_>,
    tier: Tier,
    (ask, class): (&'a Ask<'_>, Class),
) -> Drawing<'a> {
    let among = |within| {
        let mut drawing = Drawing { within, ..Drawing::new(cluster, ask, class) };
        let size: usize = location.members(tier).map(<[EndpointIndex]>::len).sum();
        if drawing.by_load && size > SAMPLE as usize {
            draw_from_sample(&mut drawing, location, tier, size, ask.dice);
        } else {
            location.members(tier).flatten().for_each(|&endpoint| drawing.offer(endpoint));
        }
        drawing
    };
    if ask.subnet.is_some() {
        let own = among(ask.subnet);
        if own.first.is_some() {
            return own;
        }
    }
    among(None)
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
        NoPick::TakenOut => 1,
        NoPick::NoneWell => 2,
        NoPick::Lacking => 3,
        NoPick::AllTried => 4,
        NoPick::Overloaded => 5,
        NoPick::DownloadFull => 6,
        NoPick::UploadLost => 7,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// The key of an endpoint in a drawing: the smallest wins.
fn draw_key(seed: u64, hash: u64, weight: f32) -> f32 {
    let drawn = mix(seed ^ hash);
    // 24 bits are what an f32 holds exactly; the half keeps the number off both ends.
    let u = ((drawn >> 40) as f32 + 0.5) / (1_u32 << 24) as f32;
    -u.ln() / weight
}

/// An endpoint of the site system that a hash chooses among all of a role, well or not, with an address or without one: one
/// that is not out if there is one, and none that was tried if there is another.
pub fn hashed(cluster: &Cluster, key: u64, tried: &Tried) -> Option<EndpointIndex> {
    let keyed = cluster.topology.systems.iter().map(|system| {
        let weight = system.weight.max(1) as f32;
        (draw_key(key, system.hash, weight), system.index)
    });
    let (_, chosen) = keyed.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let all = 0..cluster.topology.endpoints.len() as EndpointIndex;
    let own = all.filter(|&index| cluster.endpoint(index).system_index == chosen);
    own.min_by_key(|&index| (tried.contains(&index), cluster.standing(index).class()))
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
    /// Only endpoints in this subnet.
    within: Option<SubnetId>,
    seed: u64,
    by_load: bool,
    particular: bool,
    /// Requests in flight for a weight of one that an endpoint may have.
    limit: f32,
    eligible: u32,
    in_flight: u32,
    weights: f32,
    first: Option<Candidate>,
    second: Option<Candidate>,
    why: NoPick,
    unasked: bool,
    aside: bool,
}

impl<'a> Drawing<'a> {
    fn new(cluster: &'a Cluster, ask: &'a Ask<'a>, class: Class) -> Self {
        let (by_hash, by_load) = match cluster.topology.role.balance {
            Balance::LeastRequests => (ask.by_hash, !ask.by_hash),
            Balance::Random => (ask.by_hash, false),
            Balance::Client | Balance::Content | Balance::Device => (true, false),
        };
        let seed = if by_hash { ask.key } else { ask.dice };
        Self {
            cluster,
            ask,
            class,
            within: None,
            seed,
            by_load,
            particular: ask.is_particular(),
            limit: f32::INFINITY,
            eligible: 0,
            in_flight: 0,
            weights: 0.0,
            first: None,
            second: None,
            why: NoPick::NoServer,
            unasked: false,
            aside: false,
        }
    }

    fn offer(&mut self, index: EndpointIndex) {
        if self.within.is_some() && self.cluster.endpoint(index).subnet != self.within {
            return;
        }
        let cluster = self.cluster;
        let (endpoint, standing) = (cluster.endpoint(index), cluster.standing(index));
        let demanded = if self.particular { self.ask.demands(endpoint) } else { Ok(()) };
        let judged = demanded.and_then(|()| self.ask.stands(endpoint, standing, index, self.class));
        let (why, unasked) = match judged {
            Ok(()) => return self.take(index, endpoint, standing),
            Err(Not::OtherSystem | Not::Itself | Not::Replica) => return,
            Err(Not::Class(Class::Away)) => (NoPick::TakenOut, true),
            // The other class has its own turn.
            Err(Not::Class(own)) => (NoPick::NoneWell, own == Class::Out),
            Err(Not::Lacks(lack)) => {
                self.aside |= matches!(lack, Lack::File(_));
                (NoPick::Lacking, false)
            }
            Err(Not::Tried) => (NoPick::AllTried, true),
            Err(Not::Full) => (NoPick::Overloaded, true),
        };
        self.why = worse(self.why, why);
        self.unasked |= unasked;
    }

    fn take(&mut self, index: EndpointIndex, endpoint: &Endpoint, standing: Standing) {
        let weight = self.weight(endpoint.weight, standing.ramp_from_ms, endpoint.role.slow_start);
        let in_flight = endpoint.state.in_flight();
        if in_flight as f32 + 1.0 > self.limit * weight {
            return;
        }
        self.eligible += 1;
        self.in_flight += in_flight;
        self.weights += weight;
        let mut key = draw_key(self.seed, endpoint.hash, weight);
        // After a 404, a server that is known to have the content comes before those that nobody has asked.
        if !self.ask.tried.is_empty() && self.ask.knowledge.is_some_and(|known| known.has(endpoint.state.id)) {
            key *= 1e-9;
        }
        self.keep(Candidate { endpoint: index, key, weight });
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

    /// The limit that the winner of a hash is over, if a download begins that could go elsewhere.
    fn crowded(&self) -> Option<f32> {
        let factor = self.cluster.topology.role.hash_balance_factor;
        let first = self.first?;
        if factor == 0 || !self.ask.spread || self.by_load || self.eligible < 2 {
            return None;
        }
        let own = self.cluster.endpoint(first.endpoint).state.in_flight();
        let limit = factor as f32 / 100.0 * (self.in_flight + 1) as f32 / self.weights;
        (own >= CROWD && own as f32 + 1.0 > limit * first.weight).then_some(limit)
    }

    /// Requests in flight for a weight of one.
    fn load(&self, candidate: Candidate) -> f32 {
        self.cluster.endpoint(candidate.endpoint).state.in_flight() as f32 / candidate.weight
    }
}
