//! Why a request goes where it goes: an [`Explanation`], computed with the code that serves, and changing nothing.
//!
//! `rolegate explain` gets it from a running proxy (`/explain` of the admin listener), or makes it of a file.

use rolegate_health::Health;
use serde::{Deserialize, Serialize};

use crate::control::director::View;
use crate::error::Error;
use crate::model::balance::Tried;
use crate::model::content::Part;
use crate::model::decision::{Decision, Refusal};
use crate::model::description::Thing;
use crate::model::facts::Facts;
use crate::model::role::Role;
use crate::model::snapshot::Snapshot;
use crate::wire::fields::{Field, Fields};
use crate::wire::known::{Known, KnownSet};

mod assumed;
mod known;
mod outcome;
mod question;
mod servers;
mod why_not;
mod words;

pub use assumed::{Assumed, assume};
pub use known::KnownContent;
pub use outcome::{AnswerFacts, PickFacts};
pub use question::Question;
pub use servers::{ServerFacts, TierFacts};
pub use why_not::{Answer, WhyNot};

/// Fields that nobody is shown.
const SECRET: KnownSet = KnownSet::of(&[Known::Authorization, Known::ProxyAuthorization, Known::Cookie]);

/// Everything about one request. What has no meaning for it is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Explanation {
    /// The request.
    pub request: RequestFacts,
    /// Version of the snapshot.
    pub snapshot: u64,
    /// What is only assumed, because no running proxy was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<Assumed>,
    /// The request belongs nowhere, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<AnswerFacts>,
    /// The site that it is for, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteFacts>,
    /// The role that serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleFacts>,
    /// The site system that the request names, and what follows; absent where names do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// The client's boundary groups.
    pub boundary_groups: Vec<GroupFacts>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_boundary_group: Option<String>,
    /// The client's own subnet, where that puts servers first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The content that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentFacts>,
    /// The fallback clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockFacts>,
    /// Where the client, its download or its upload is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
    /// Where the client may be served, in order of use.
    pub tiers: Vec<TierFacts>,
    /// Servers of the role that are in no tier of the client.
    pub others: Vec<ServerFacts>,
    /// Who serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pick: Option<PickFacts>,
    /// Nobody serves, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nobody: Option<AnswerFacts>,
    /// Why a certain site system does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<WhyNot>,
}

/// The request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RequestFacts {
    /// Address of the client.
    pub client: String,
    /// Name of the listener.
    pub listener: String,
    /// Method; empty for a connection of a TCP role.
    pub method: String,
    /// Path and query; empty for a connection of a TCP role.
    pub target: String,
    /// `Host` without its port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The other fields that were given.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<(String, String)>,
}

/// The site.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SiteFacts {
    /// Its code.
    pub code: String,
    /// Code of its primary site, for a secondary one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub primary: Option<String>,
    /// What says so.
    pub why: String,
}

/// The role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// As the console spells it.
    pub title: String,
    /// The path prefix that matched; absent for a TCP role.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefix: Option<String>,
    /// The host that matched, when the route is for one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// Nobody is well and requests are sent all the same.
    pub panic: bool,
}

/// A boundary group of the client.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct GroupFacts {
    /// Its name.
    pub name: String,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Its boundaries that contain the client.
    pub boundaries: Vec<String>,
}

/// The content that is asked for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ContentFacts {
    /// Its id, as written.
    pub id: String,
    /// `folder`, `file`, `filtered` (IIS hides it by default) or `signature`.
    pub part: String,
}

/// The fallback clock.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ClockFacts {
    /// Later tiers wait for it.
    pub honored: bool,
    /// Why this request waits for none although others do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exempt: Option<String>,
    /// Minutes of the clock since it was started; absent when it does not run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub minutes: Option<f64>,
    /// How many times faster than real time it runs.
    pub speedup: u32,
    /// The same in words.
    pub sentence: String,
}

impl Explanation {
    /// Explains the request of these facts, as it would be served now with these dice.
    pub fn new<'a>(snapshot: &'a Snapshot, facts: &Facts<'a, '_>, now_ms: u64, dice: u64) -> Self {
        let listener = &snapshot.site.listeners[usize::from(facts.listener)];
        let mut told = Self { snapshot: snapshot.version, ..Self::default() };
        told.request.client = facts.client.to_canonical().to_string();
        told.request.listener = listener.name.to_string();
        let bare = Facts { host: None, method: "", path: "", query: None, fields: None, ..*facts };
        let facts = if listener.tcp.is_some() { &bare } else { facts };
        told.request.method = facts.method.to_owned();
        let query = facts.query.map(|query| format!("?{query}")).unwrap_or_default();
        told.request.target = snapshot.site.mask.masked(&format!("{}{query}", facts.path));
        told.request.host = facts.host.map(str::to_owned);
        let fields = facts.fields.into_iter().flat_map(Fields::iter);
        let shown = |field: Field<'_>| match field.is_in(SECRET) {
            true => "***".to_owned(),
            false => String::from_utf8_lossy(field.value).into_owned(),
        };
        told.request.fields = fields.map(|field| (field.name.to_owned(), shown(field))).collect();
        let decided = match listener.tcp {
            Some(role) => Decision::for_cluster(snapshot, role, facts, now_ms),
            None => Decision::new(snapshot, facts, now_ms),
        };
        match decided {
            Ok(decision) => told.decided(snapshot, &decision, facts, (now_ms, dice)),
            Err(refusal) => told.refused(snapshot, refusal),
        }
        told
    }

    fn refused(&mut self, snapshot: &Snapshot, refusal: Refusal) {
        let (role, error) = match refusal {
            Refusal::DotSegment => (None, Error::DotSegment),
            Refusal::NoRoute => (None, Error::NoRoute),
            Refusal::Method(role) => (Some(role), Error::MethodNotAllowed),
            Refusal::NotNamed(role) => (Some(role), Error::NotNamed),
            Refusal::NotAtSite(role, placed) => {
                self.site = Some(words::site(snapshot, placed));
                (Some(role), Error::NoRoute)
            }
        };
        let cluster = role.map(|role| snapshot.cluster(role));
        self.role = cluster.map(|cluster| RoleFacts {
            name: cluster.topology.role.name.clone(),
            description: snapshot.site.descriptions.of(Thing::Role, &cluster.topology.role.name),
            title: cluster.topology.role.title.clone(),
            panic: cluster.panicking(),
            ..RoleFacts::default()
        });
        let methods = |role: &Role| format!("it takes {}", role.methods.join(", "));
        let mut answer = AnswerFacts::new(error);
        answer.sentence = match (refusal, cluster) {
            (Refusal::Method(_), Some(cluster)) => methods(&cluster.topology.role),
            (Refusal::NotNamed(_), Some(cluster)) => words::names(cluster),
            (Refusal::DotSegment, _) => {
                "a Windows server would take it for another path than the one that is routed".to_owned()
            }
            (Refusal::NotAtSite(_, placed), _) => {
                format!("no site system of the site {} has the role", words::site(snapshot, placed).code)
            }
            (Refusal::NoRoute | Refusal::Method(_) | Refusal::NotNamed(_), _) => words::routes(snapshot, &self.request),
        };
        self.refusal = Some(answer);
    }

    fn decided(
        &mut self,
        snapshot: &Snapshot,
        decision: &Decision<'_>,
        facts: &Facts<'_, '_>,
        (now_ms, dice): (u64, u64),
    ) {
        let (cluster, site) = (decision.cluster, &*snapshot.site);
        let role = &*cluster.topology.role;
        self.role = Some(RoleFacts {
            name: role.name.clone(),
            description: site.descriptions.of(Thing::Role, &role.name),
            title: role.title.clone(),
            prefix: decision.route.map(|route| format!("{}/", route.prefix)),
            host: decision.route.and_then(|route| route.host.clone()),
            panic: cluster.panicking(),
        });
        self.site = decision.placed.map(|placed| words::site(snapshot, placed));
        if let (Some(site), Some(in_vain)) = (&mut self.site, decision.in_vain) {
            site.why += &words::in_vain(snapshot, in_vain);
        }
        let groups = decision.groups.iter().zip(decision.group_names());
        self.boundary_groups = groups
            .map(|(id, name)| {
                let own = site.boundary_list.iter().filter(|(range, of)| of == id && range.contains(facts.client));
                GroupFacts {
                    name: name.to_owned(),
                    description: site.descriptions.of(Thing::BoundaryGroup, name),
                    boundaries: own.map(|(range, _)| range.to_string()).collect(),
                }
            })
            .collect();
        self.no_boundary_group = decision.groups.is_empty().then(|| words::no_group(decision, site));
        self.subnet = words::subnet(decision);
        self.content = decision
            .content
            .map(|content| ContentFacts { id: content.id.to_owned(), part: part(content.part()).to_owned() });
        self.clock = Some(words::clock(decision, &site.fallback));
        self.named = words::name(decision, facts);
        self.stays = decision.stay.map(|stay| words::stay(decision, stay));
        let tried = Tried::new();
        let ask = decision.ask(&tried, now_ms, dice);
        let picked = decision.pick(&tried, now_ms, dice);
        (self.tiers, self.others) = servers::all(decision, &ask, picked.ok().as_ref(), &site.group_names);
        for server in self.servers_mut() {
            server.description = site.descriptions.of(Thing::SiteSystem, &server.site_system);
        }
        match picked {
            Ok(pick) => self.pick = Some(outcome::picked(decision, &ask, &pick, facts)),
            Err(nobody) => self.nobody = Some(outcome::nobody(decision, nobody)),
        }
    }

    /// Adds since when each server has been in its state, and why its last probe failed.
    pub fn date(&mut self, view: &View) {
        for server in self.servers_mut() {
            let Some(report) = view.checker.report(server.id) else { continue };
            server.since = report.since.map(crate::status::seconds);
            let failure = report.last_failure.filter(|_| report.health != Health::Up);
            server.failure = failure.and_then(|record| record.failure).map(|failure| failure.to_string());
        }
    }

    /// Every server of the role.
    pub fn servers(&self) -> impl Iterator<Item = &ServerFacts> {
        self.tiers.iter().flat_map(|tier| &tier.servers).chain(&self.others)
    }

    fn servers_mut(&mut self) -> impl Iterator<Item = &mut ServerFacts> {
        self.tiers.iter_mut().flat_map(|tier| &mut tier.servers).chain(&mut self.others)
    }
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Folder => "folder",
        Part::File => "file",
        Part::Filtered => "filtered",
        Part::Signature => "signature",
    }
}
