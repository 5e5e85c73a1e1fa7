//! Route, locate, pick: the pure function that decides where a request goes.
//!
//! The request path, `explain` and the tests call the same three steps with the same arguments, so an explanation can never
//! differ from what was served. What follows from an answer is in [`super::learn`].

use std::net::IpAddr;

use rolegate_health::Health;

use super::balance::{Ask, How, NoPick, Nobody, Not, Pick, Tried, hashed, pick, pick_of};
use super::boundary::{GroupId, SubnetId};
use super::cluster::{Class, Cluster, EndpointIndex, Topology};
use super::content::{ContentPath, Part, continues};
use super::facts::Facts;
use super::fallback::Opening;
use super::knowledge::Knowledge;
use super::live::{Domain, Live, Owner, Ticks};
use super::location::{ContentLocation, Tier};
use super::mix::mix;
use super::name::{Beyond, Name};
use super::path::has_dot_segment;
use super::role::{Balance, FallbackRule, Naming};
use super::route::{ClusterId, Database, PathRules, Route, Sessions};
use super::sites::{Because, Placed};
use super::snapshot::{Site, Snapshot};
use super::stay::{Keys, Stay, client_hash, upload};
use super::tier::TierKind;
use crate::metrics::GroupMetrics;
use crate::wire::known::Known;

/// Where a request belongs; the same for all attempts.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The route that matched; `None` for a connection of a TCP role.
    pub route: Option<&'a Route>,
    /// The role.
    pub cluster_id: ClusterId,
    /// The site, where there are several.
    pub placed: Option<Placed>,
    /// The request names a site system of this site that the client may never use, so it is of another.
    pub in_vain: Option<Placed>,
    /// Its servers.
    pub cluster: &'a Cluster,
    /// The client's boundary groups; empty when the role does not know them.
    pub groups: &'a [GroupId],
    /// Where the client may be served.
    pub location: ContentLocation<'a>,
    /// Which of its tiers are open.
    pub opening: Opening,
    /// The content that is asked for.
    pub content: Option<ContentPath<'a>>,
    /// Where the client, its download or its upload is.
    pub stay: Option<Stay>,
    /// The request waits for no fallback clock.
    pub exempt: bool,
    /// The site system that the request names.
    pub name: Name,
    /// The tier of that site system, when the client has waited for it elsewhere.
    chosen: Option<Tier>,
    /// The client's own subnet, where some server of the role is in it and that counts.
    pub subnet: Option<SubnetId>,
    pub(super) site: &'a Site,
    pub(super) live: &'a Live,
    pub(super) now: Ticks,
    pub(super) keys: Keys,
    target: (&'a str, Option<&'a str>),
    system: Option<u16>,
    itself: &'a [(IpAddr, u16)],
    rules: PathRules,
    by_hash: bool,
    continues: bool,
    asks_for: AsksFor,
}

/// What of a content a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AsksFor {
    /// The list of its files: a server that has it has one.
    Listing,
    /// What its path names.
    File,
}

/// Why a request belongs nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The path has a segment of dots: a server takes it for another path.
    DotSegment,
    /// No role of this listener serves the path.
    NoRoute,
    /// The site that the request is for has no server of the role.
    NotAtSite(ClusterId, Placed),
    /// The role does not take the method.
    Method(ClusterId),
    /// Several servers, each with data of its own, and the request names none of them.
    NotNamed(ClusterId),
}

impl<'a> Decision<'a> {
    /// Route and locate.
    ///
    /// # Errors
    /// [`Refusal`] says why the request belongs nowhere.
    pub fn new(snapshot: &'a Snapshot, facts: &Facts<'a, '_>, now_ms: u64) -> Result<Self, Refusal> {
        if has_dot_segment(facts.path) {
            return Err(Refusal::DotSegment);
        }
        let routes = &snapshot.site.listeners[usize::from(facts.listener)].routes;
        let route = routes.route(facts.host, facts.path).ok_or(Refusal::NoRoute)?;
        let id = route.cluster;
        let methods = &snapshot.cluster(id).topology.role.methods;
        if !methods.is_empty() && !methods.iter().any(|method| method == facts.method) {
            return Err(Refusal::Method(id));
        }
        Self::at_site(snapshot, id, Some(route), facts, now_ms)
    }

    /// Locate alone: the role is known from the listener.
    ///
    /// # Errors
    /// [`Refusal::NotNamed`] for a role whose servers are told apart by name, [`Refusal::NotAtSite`].
    pub fn for_cluster(
        snapshot: &'a Snapshot,
        cluster_id: ClusterId,
        facts: &Facts<'a, '_>,
        now_ms: u64,
    ) -> Result<Self, Refusal> {
        Self::at_site(snapshot, cluster_id, None, facts, now_ms)
    }

    /// Finds the site first. A site system that the client may never use says nothing about it: that is an unknown name.
    fn at_site(
        snapshot: &'a Snapshot,
        head: ClusterId,
        route: Option<&'a Route>,
        facts: &Facts<'a, '_>,
        now_ms: u64,
    ) -> Result<Self, Refusal> {
        let site = &*snapshot.site;
        let place = |host| site.sites.place(host, || site.boundaries.groups_of(facts.client), facts.listener);
        let Some(placed) = place(facts.host) else {
            return Self::locate(snapshot, (head, None), route, facts, now_ms);
        };
        let id = site.sites.cluster(head, placed.site).ok_or(Refusal::NotAtSite(head, placed))?;
        let found = Self::locate(snapshot, (id, Some(placed)), route, facts, now_ms)?;
        let stranger = matches!(found.name, Name::Never(_) | Name::Beyond { why: Beyond::LastKnownGood, .. });
        if !stranger || placed.because != Because::SiteSystem {
            return Ok(found);
        }
        let other = place(None).and_then(|other| Some((site.sites.cluster(head, other.site)?, Some(other))));
        match other.filter(|(other, _)| *other != id) {
            Some(other) => Ok(Self { in_vain: Some(placed), ..Self::locate(snapshot, other, route, facts, now_ms)? }),
            None => Ok(found),
        }
    }

    fn locate(
        snapshot: &'a Snapshot,
        (cluster_id, placed): (ClusterId, Option<Placed>),
        route: Option<&'a Route>,
        facts: &Facts<'a, '_>,
        now_ms: u64,
    ) -> Result<Self, Refusal> {
        let cluster: &Cluster = snapshot.cluster(cluster_id);
        let (topology, site, live) = (&*cluster.topology, &*snapshot.site, &*snapshot.live);
        let role = &*topology.role;
        let system = match role.named {
            Naming::Only => Some(topology.named(facts.host).ok_or(Refusal::NotNamed(cluster_id))?),
            Naming::First | Naming::FirstIfDistinct | Naming::Ignore => None,
        };
        let now = Live::ticks(now_ms);
        let content = route.filter(|_| role.balance == Balance::Content).and_then(|route| content_of(route, facts));
        let (grouped, near) = (topology.grouped(), !topology.subnets.is_empty());
        let place = (grouped || near).then(|| site.boundaries.place_of(facts.client));
        let groups = place.filter(|_| grouped).map_or(&[][..], |place| place.groups);
        let subnet = place.filter(|_| near).and_then(|place| place.subnet);
        let servers = topology.at_site(placed.map(|placed| placed.site));
        let location = ContentLocation::new(topology, groups).at_site(servers);
        let itself = topology.at(facts.client);
        let name = Name::new(topology, location, facts.host, itself);
        let sum = start_hash(site, topology, servers.default_group, groups);
        let owner = Owner::new(topology.hash ^ sum);
        let rules = route.map_or(PathRules::default(), |route| route.rules);
        let mut keys = Keys::new((role, topology.hash), rules.sessions, owner, live, facts, content);
        if let (Balance::Content, Some(system)) = (role.balance, name.system()) {
            keys.names(topology.system_hash(system));
        }
        let uploads = role.upload_affinity && facts.method == "BITS_POST";
        let stay = if uploads { upload(cluster, site, live, facts, now) } else { keys.stay(cluster, live, facts, now) };
        let continues = content.is_some() && continues(facts.fields.and_then(|fields| fields.get(Known::Range)));
        let stay = stay.and_then(|stay| stay.unless_taken_out(cluster, continues));
        let keeps = stay.is_some() && role.fallback_rule == FallbackRule::LastKnownGood;
        let exempt = exempt(site, facts, content);
        // A site system that fetches something would wait for itself.
        let waits = topology.grouped() && Opening::waits(role) && itself.is_empty();
        let mut started = None;
        if waits {
            let kept = stay.filter(|_| keeps).map_or(0, |stay| u64::from(stay.endpoint_id(cluster)));
            let key = mix(mix(topology.hash ^ sum) ^ keys.content ^ kept);
            keys.clock = Some(key);
            started = live.clock(key, now, site.fallback.idle_ticks());
        }
        let chosen = chosen(cluster, name, stay.filter(|_| keeps));
        let opening =
            Opening::new(role.fallback_rule, location, site.fallback.speedup, started, now, (keeps, exempt || !waits));
        Ok(Self {
            route,
            cluster_id,
            placed,
            in_vain: None,
            cluster,
            groups,
            location,
            opening: opening.through(chosen),
            content,
            stay,
            exempt,
            name,
            chosen,
            subnet: subnet.filter(|subnet| topology.subnets.binary_search(subnet).is_ok()),
            site,
            live,
            now,
            keys,
            target: (facts.path, facts.query),
            system,
            itself,
            rules,
            by_hash: uploads || rules.sessions == Sessions::Client,
            continues,
            asks_for: if facts.method == "PROPFIND" { AsksFor::Listing } else { AsksFor::File },
        })
    }

    /// Pick, once for each attempt.
    ///
    /// # Errors
    /// [`Nobody`] says why there is nobody.
    pub fn pick(&self, tried: &Tried, now_ms: u64, dice: u64) -> Result<Pick, Nobody> {
        let ask = self.ask(tried, now_ms, dice);
        if self.cluster.topology.role.balance == Balance::Device {
            return self.only(&ask, hashed(self.cluster, self.keys.hash, tried), How::Stays, NoPick::NoneWell);
        }
        if let Some(Stay::Only(endpoint)) = self.stay {
            return self.only(&ask, endpoint, How::Upload, NoPick::UploadLost);
        }
        match self.last_itself(&ask, |ask| self.search(ask)) {
            // Everybody has said that they lack it. One is asked once more: its answer is fresh, and it is the client's.
            Err(Nobody { why: NoPick::Lacking, unasked: false }) if tried.is_empty() => {
                let found = self.last_itself(&Ask { knowledge: None, ..ask }, |ask| match self.named(ask) {
                    Some(named) => Ok(named),
                    None => pick(self.cluster, self.location, ask),
                })?;
                Ok(Pick { how: How::AskedAgain, ..found })
            }
            other => other,
        }
    }

    /// The server that is named, then the one where the client or its download is, then any. One that is named and not to be
    /// relied on comes after those that are well.
    fn search(&self, ask: &Ask<'_>) -> Result<Pick, Nobody> {
        // A file that has begun elsewhere would begin again at the named server, and another one does not have the upload.
        let bound = self.continues || matches!(self.stay, Some(Stay::After(_)));
        if bound && let Some(stays) = self.stays(ask)? {
            return Ok(stays);
        }
        let Some(named) = self.named(ask) else { return self.any(ask) };
        if self.holds(named.endpoint, named.class) {
            return Ok(named);
        }
        Ok(self.any(ask).ok().filter(|other| other.class == Class::Well).unwrap_or(named))
    }

    fn any(&self, ask: &Ask<'_>) -> Result<Pick, Nobody> {
        match self.stays(ask)? {
            Some(stays) => Ok(stays),
            None => pick(self.cluster, self.location, ask),
        }
    }

    /// The server that the request names, if the client may use it and it can serve. One that is not proven well comes after those
    /// that are, as everywhere.
    fn named(&self, ask: &Ask<'_>) -> Option<Pick> {
        let (system, tier) = self.name.allowed()?;
        let ask = Ask { system: Some(system), first: Some(tier), ..*ask };
        let found = pick(self.cluster, self.location, &ask).ok()?;
        Some(Pick { how: How::Named, ..found })
    }

    /// The request comes from a site system of the role.
    pub fn is_of_a_site_system(&self) -> bool {
        !self.itself.is_empty()
    }

    /// The request comes from a site system that could serve it: it is sent back there only when no other can.
    pub fn comes_from(&self, endpoint: EndpointIndex) -> bool {
        let own = self.cluster.endpoint(endpoint).system_index;
        self.itself.iter().any(|(_, system)| *system == own)
    }

    /// The client names a server that it may use, so it has waited for the fallback clock already: none of ours is started.
    pub fn has_waited(&self) -> bool {
        self.chosen.is_some() || matches!(self.name, Name::Beyond { .. })
    }

    /// The site system that the request names and may use.
    pub fn names(&self) -> Option<&'a str> {
        let system = self.name.system()?;
        self.cluster.topology.called(system).map(|name| &**name)
    }

    /// One that is down or ejected, within the open tiers: for a request that all others have refused. What says that it is down may
    /// be old by now, and there is nothing left to lose.
    pub fn last_resort(&self, tried: &Tried, now_ms: u64, dice: u64) -> Option<Pick> {
        let one_only =
            self.cluster.topology.role.balance == Balance::Device || matches!(self.stay, Some(Stay::Only(_)));
        if one_only {
            return None;
        }
        let ask = self.ask(tried, now_ms, dice);
        let found = pick_of(self.cluster, self.location, &ask, &[Class::Out]).ok()?;
        Some(Pick { how: How::LastResort, ..found })
    }

    /// The pick of a request whose connection belongs to this server already; `None` when the server is gone from the
    /// configuration.
    pub fn pinned(&self, id: u32) -> Option<Pick> {
        let endpoint = self.cluster.topology.by_id(id)?;
        let class = self.cluster.standing(endpoint).class();
        let tier = self.tier_of(endpoint).unwrap_or(Tier::SITE);
        Some(Pick { endpoint, tier, class, how: How::Pinned, aside: false })
    }

    /// Whether an endpoint has what requests of this path need.
    pub fn suits(&self, endpoint: EndpointIndex) -> bool {
        self.rules.database == Database::Any || !self.cluster.endpoint(endpoint).role.replica
    }

    /// Whether the request is better off waiting at a server that is silent than at another one: a file that has begun would begin
    /// again, and a client that keeps to its last known-good server would scan anew.
    pub fn keeps_to_its_server(&self) -> bool {
        self.continues
            || (self.stay.is_some() && self.cluster.topology.role.fallback_rule == FallbackRule::LastKnownGood)
    }

    /// The client, as far as clients are told apart.
    pub fn client_key(&self) -> u64 {
        self.keys.client
    }

    /// The same of a client of which nothing but its address is known.
    pub fn client_of(client: IpAddr) -> u64 {
        client_hash(client)
    }

    /// What a pick depends on, for whoever wants to know why.
    pub fn ask<'b>(&'b self, tried: &'b Tried, now_ms: u64, dice: u64) -> Ask<'b> {
        Ask {
            key: self.keys.hash,
            system: self.system,
            itself: self.itself,
            database: self.rules.database,
            // A tier of everybody is searched last.
            first: self.chosen.filter(|tier| tier.kind != TierKind::Site),
            subnet: self.subnet,
            tried,
            opening: &self.opening,
            knowledge: self.knowledge(),
            by_hash: self.by_hash,
            // Whoever stays somewhere is not spread, wherever in a file it is.
            spread: self.stay.is_none() && self.keys.affinity.is_some() && !self.continues,
            now_ms,
            dice,
        }
    }

    /// What is known of the content.
    pub fn knowledge(&self) -> Option<Knowledge<'a>> {
        let content = self.content?;
        let ttl = self.site.content.missing_ticks();
        let missing = self.live.is_missing(self.keys.content, self.now, ttl);
        let file = if missing { self.file_key(content) } else { None };
        Some(Knowledge { live: self.live, content: self.keys.content, file, missing, now: self.now, ttl })
    }

    /// The key of the file that the request names. Computed when something is missing: most requests never need it.
    pub(super) fn file_key(&self, content: ContentPath<'_>) -> Option<u64> {
        let (path, query) = self.target;
        let query = query.unwrap_or_default();
        let file = || {
            self.live.key(
                Domain::File,
                self.live.key(Domain::File, self.keys.content, query.as_bytes()),
                path.as_bytes(),
            )
        };
        (content.part() != Part::Folder || self.asks_for == AsksFor::File).then(file)
    }

    /// The configuration that it was made by.
    pub fn site(&self) -> &'a Site {
        self.site
    }

    /// Names of the client's boundary groups.
    pub fn group_names(&self) -> impl Iterator<Item = &'a str> {
        let names = &self.site.group_names;
        self.groups.iter().map(move |group| names[usize::from(group.0)].as_str())
    }

    /// Handles of the boundary group that a request counts for which this pick has answered, or nobody; where such are counted.
    pub fn group_metrics(&self, answered: Option<&Pick>) -> Option<&'a GroupMetrics> {
        let topology = &self.cluster.topology;
        let location = self.location;
        let group = answered.map_or_else(|| location.first_group(), |pick| location.group_of(pick.tier, pick.endpoint));
        topology.group_metrics(group)
    }

    /// The one server that may serve, or nobody.
    fn only(&self, ask: &Ask<'_>, endpoint: Option<EndpointIndex>, how: How, gone: NoPick) -> Result<Pick, Nobody> {
        let nobody = |why| Nobody { why, unasked: true };
        let endpoint = endpoint.ok_or(nobody(gone))?;
        let class = self.cluster.standing(endpoint).class();
        if (class == Class::Out && !self.cluster.panicking()) || !self.suits(endpoint) {
            return Err(nobody(gone));
        }
        let goes_on = how == How::Upload && self.cluster.finishes(endpoint);
        if class == Class::Away && !goes_on {
            return Err(nobody(if how == How::Upload { gone } else { NoPick::TakenOut }));
        }
        if ask.tried.contains(&endpoint) {
            return Err(nobody(NoPick::AllTried));
        }
        Ok(Pick { endpoint, tier: self.tier_of(endpoint).unwrap_or(Tier::SITE), class, how, aside: false })
    }

    /// The server where the client or its download is, if it may go on there: while it is well and has the content, and for
    /// a download while the client may use it at all, also when its tier has closed meanwhile.
    ///
    /// # Errors
    /// A download whose server has too much to do right now does not move in the middle of a file.
    fn stays(&self, ask: &Ask<'_>) -> Result<Option<Pick>, Nobody> {
        let (endpoint, ask) = match self.stay {
            Some(Stay::Prefer(endpoint)) => (endpoint, *ask),
            // Also when the upload is the server's own.
            Some(Stay::After(endpoint)) => (endpoint, Ask { itself: &[], ..*ask }),
            Some(Stay::Only(_)) | None => return Ok(None),
        };
        let standing = self.cluster.standing(endpoint);
        let kept = self.keeps();
        let class = ask.class(self.cluster, endpoint);
        // For a client that keeps to it there is no other for two hours: a guess of live traffic must not take it away.
        let proven = match class {
            Class::Well | Class::Second => self.holds(endpoint, class),
            Class::Out => kept && standing.ejected && standing.health != Health::Down && self.waits_for_others(),
            // What may not go on there is remembered no more.
            Class::Away => self.cluster.finishes(endpoint),
        };
        if !proven && (class == Class::Away || !self.cluster.panicking()) {
            return Ok(None);
        }
        let Some(tier) = self.tier_of(endpoint).or(kept.then_some(Tier::SITE)) else { return Ok(None) };
        match ask.judge(self.cluster, endpoint, class) {
            Ok(()) => Ok(Some(Pick { endpoint, tier, class, how: How::Stays, aside: false })),
            Err(Not::Full) if self.content.is_some() => Err(Nobody { why: NoPick::DownloadFull, unasked: true }),
            Err(
                Not::Full | Not::OtherSystem | Not::Itself | Not::Replica | Not::Lacks(_) | Not::Class(_) | Not::Tried,
            ) => Ok(None),
        }
    }

    /// Whether a client goes on at a server of this class while others are well.
    fn holds(&self, endpoint: EndpointIndex, class: Class) -> bool {
        let standing = self.cluster.standing(endpoint);
        let silent = standing.class() == Class::Well && class == Class::Second;
        match class {
            Class::Well => true,
            // A file that has begun would begin again elsewhere.
            Class::Second if silent => self.keeps() || self.continues,
            Class::Second => self.keeps() || !standing.degraded(),
            Class::Out | Class::Away => false,
        }
    }

    /// Whether another server costs the client more than a late answer.
    fn keeps(&self) -> bool {
        self.cluster.topology.role.fallback_rule == FallbackRule::LastKnownGood
    }

    /// Whether no tier is open now in which another server could be.
    fn waits_for_others(&self) -> bool {
        !self.location.tiers().any(|tier| self.opening.is_open(tier))
    }

    /// Searches without the site systems that the request comes from, and with them when there is no other.
    fn last_itself(&self, ask: &Ask<'_>, search: impl Fn(&Ask<'_>) -> Result<Pick, Nobody>) -> Result<Pick, Nobody> {
        let found = search(ask);
        if found.is_ok() || ask.itself.is_empty() {
            return found;
        }
        search(&Ask { itself: &[], ..*ask })
    }

    fn tier_of(&self, endpoint: EndpointIndex) -> Option<Tier> {
        self.location.tier_of(endpoint)
    }
}

fn content_of<'a>(route: &Route, facts: &Facts<'a, '_>) -> Option<ContentPath<'a>> {
    ContentPath::read(facts.path, route.prefix.len(), facts.query)
}

/// Hash of the boundary groups in which a client starts. Those in no group share a cluster, and not what they start with.
fn start_hash(site: &Site, topology: &Topology, default: GroupId, groups: &[GroupId]) -> u64 {
    let default = [default];
    let start = if groups.is_empty() && !topology.by_site.is_empty() { &default[..] } else { groups };
    start.iter().fold(0_u64, |sum, group| sum.wrapping_add(site.group_hashes[usize::from(group.0)]))
}

/// The tier of the named site system, for which the client has waited elsewhere. One that names the very server that it keeps to
/// waits as it does there without a proxy.
fn chosen(cluster: &Cluster, name: Name, kept: Option<Stay>) -> Option<Tier> {
    let kept = kept.and_then(Stay::endpoint).map(|index| cluster.endpoint(index).system_index);
    let decides = cluster.topology.role.named == Naming::Only || kept.is_none() || kept != name.system();
    name.tier().filter(|_| decides)
}

/// Whether a request waits for no clock: a task sequence says so in its `User-Agent`, the client package is configured.
fn exempt(site: &Site, facts: &Facts<'_, '_>, content: Option<ContentPath<'_>>) -> bool {
    let settings = &site.fallback;
    let by_content = || {
        let is = |id: &str| content.is_some_and(|content| content.id.eq_ignore_ascii_case(id));
        settings.exempt_content.iter().any(|id| is(id))
    };
    let by_agent = || {
        let agent = facts.fields.and_then(|fields| fields.get(Known::UserAgent));
        let begins = |with: &str| {
            agent.and_then(|agent| agent.get(..with.len())).is_some_and(|own| own.eq_ignore_ascii_case(with.as_bytes()))
        };
        settings.exempt_user_agents.iter().any(|with| begins(with))
    };
    content.is_some() && (by_content() || by_agent())
}
