//! The audit of content: what is known to be where, and what would be lost with one server.
//!
//! It says what servers have answered, and nothing about what nobody has asked for. A content that nobody has asked for
//! in `[content] known_ttl` is left out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::ledger::Ledger;
use crate::model::boundary::GroupId;
use crate::model::cluster::Cluster;
use crate::model::live::{Live, Ticks, Verdict};
use crate::model::location::ContentLocation;
use crate::model::role::Balance;
use crate::model::snapshot::Snapshot;

/// Most entries of one list.
const MOST: usize = 100;
/// Ticks of a second.
const SECOND: f64 = 10.0;

/// The beginning of a list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Listed<T> {
    /// How many there are.
    pub total: usize,
    /// The first hundred.
    pub first: Vec<T>,
}

/// What is known, for each role that has content.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Audit {
    /// The roles.
    pub roles: Vec<RoleContent>,
}

/// One role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct RoleContent {
    /// Its name.
    pub role: String,
    /// As the console spells it.
    pub title: String,
    /// Its servers.
    pub servers: Vec<ServerContent>,
    /// Every content that is known: with a server given, only what that server has or lacks.
    pub contents: Listed<ContentStatus>,
    /// Contents that only one server is known to have, with that server.
    #[schema(value_type = Listed<Vec<String>>)]
    pub single: Listed<(String, String)>,
    /// What would be lost without the server that was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub if_lost: Option<Loss>,
}

/// One server in numbers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ServerContent {
    /// Site system.
    pub site_system: String,
    /// Contents that it has.
    pub has: usize,
    /// Contents that it lacks.
    pub lacks: usize,
    /// Contents that it has not been asked for.
    pub unknown: usize,
    /// Contents that no other server is known to have.
    pub alone: usize,
}

/// One content.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ContentStatus {
    /// Its id.
    pub id: String,
    /// Site systems that have it.
    pub has: Vec<String>,
    /// Site systems that lack it.
    pub lacks: Vec<String>,
    /// How many have not been asked.
    pub unknown: usize,
    /// Seconds since a server last spoke of it.
    pub heard_ago: f64,
}

/// What would be lost without one server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Loss {
    /// Site system.
    pub site_system: String,
    /// Who would lose something; at most 100.
    pub groups: Listed<GroupLoss>,
}

/// What the clients of one boundary group would lose.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct GroupLoss {
    /// The group; absent for clients in no group.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boundary_group: Option<String>,
    /// The contents that no other server is known to have that these clients may ever use.
    pub contents: Listed<String>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { total: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    fn of(all: impl Iterator<Item = T>) -> Self {
        let mut listed = Self::default();
        for item in all {
            listed.total += 1;
            if listed.first.len() < MOST {
                listed.first.push(item);
            }
        }
        listed
    }

    /// How many are not listed.
    pub fn left_out(&self) -> usize {
        self.total - self.first.len()
    }
}

/// What is asked of the ledger: copied, so that nobody waits for the audit.
pub type Names = Vec<(String, u64)>;

/// Ids and keys of all contents, in order.
pub fn names(ledger: &Ledger) -> Names {
    let mut names: Names = ledger.contents().map(|content| (content.id.to_string(), content.key)).collect();
    names.sort_unstable();
    names
}

impl Audit {
    /// Reads what is known of all contents at all servers. With `server`, only what concerns that site system, and what
    /// would be lost without it.
    pub fn new(snapshot: &Snapshot, names: &Names, now: Ticks, server: Option<&str>) -> Self {
        let with_content = snapshot.clusters.iter().filter(|cluster| cluster.topology.role.balance == Balance::Content);
        let concerned = with_content.filter(|cluster| {
            let mut endpoints = cluster.topology.endpoints.iter();
            server.is_none_or(|server| endpoints.any(|endpoint| &*endpoint.system == server))
        });
        Self { roles: concerned.map(|cluster| role(snapshot, cluster, names, now, server)).collect() }
    }
}

/// What the servers of a role have said about one content. Servers are positions in [`Servers::names`].
struct Known<'a> {
    id: &'a str,
    has: Vec<usize>,
    lacks: Vec<usize>,
    age: Ticks,
}

/// The site systems of a role: one may have several addresses.
struct Servers<'a> {
    names: Vec<&'a str>,
    /// By endpoint.
    of_endpoint: Vec<usize>,
}

impl<'a> Servers<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let mut names: Vec<&str> = Vec::new();
        let mut of_endpoint = Vec::new();
        // The addresses of a site system stand together.
        for endpoint in &cluster.topology.endpoints {
            if names.last() != Some(&&*endpoint.system) {
                names.push(&endpoint.system);
            }
            of_endpoint.push(names.len() - 1);
        }
        Self { names, of_endpoint }
    }

    fn list(&self, servers: &[usize]) -> Vec<String> {
        servers.iter().map(|&server| self.names[server].to_owned()).collect()
    }
}

fn role(snapshot: &Snapshot, cluster: &Cluster, names: &Names, now: Ticks, server: Option<&str>) -> RoleContent {
    let servers = Servers::new(cluster);
    let settings = &snapshot.site.content;
    let known: Vec<Known<'_>> = names
        .iter()
        .filter_map(|(id, key)| known(&snapshot.live, cluster, &servers, (id, *key), now, settings.missing_ticks()))
        .filter(|known| known.age < Live::ticks_of(settings.known_ttl))
        .collect();
    let place = server.and_then(|server| servers.names.iter().position(|name| *name == server));
    let mentioned =
        |known: &&Known<'_>| place.is_none_or(|place| known.has.contains(&place) || known.lacks.contains(&place));
    let alone = |known: &Known<'_>| match known.has.as_slice() {
        [only] => Some((known.id.to_owned(), servers.names[*only].to_owned())),
        _ => None,
    };
    RoleContent {
        role: cluster.topology.label().into_owned(),
        title: cluster.topology.role.title.clone(),
        servers: numbers(&servers, &known, place),
        contents: Listed::of(known.iter().filter(mentioned).map(|known| ContentStatus {
            id: known.id.to_owned(),
            has: servers.list(&known.has),
            lacks: servers.list(&known.lacks),
            unknown: servers.names.len() - known.has.len() - known.lacks.len(),
            heard_ago: f64::from(known.age) / SECOND,
        })),
        single: Listed::of(known.iter().filter(mentioned).filter_map(alone)),
        if_lost: place.map(|place| loss(snapshot, cluster, &servers, &known, place)),
    }
}

/// `None` when nothing is known of the content here.
fn known<'a>(
    live: &Live,
    cluster: &Cluster,
    servers: &Servers<'_>,
    (id, key): (&'a str, u64),
    now: Ticks,
    ttl: Ticks,
) -> Option<Known<'a>> {
    let mut known = Known { id, has: Vec::new(), lacks: Vec::new(), age: Ticks::MAX };
    for (endpoint, &server) in cluster.topology.endpoints.iter().zip(&servers.of_endpoint) {
        let Some((verdict, age)) = live.verdict(key, endpoint.state.id, now, ttl) else { continue };
        let list = match verdict {
            Verdict::Has => &mut known.has,
            Verdict::Lacks => &mut known.lacks,
        };
        if list.last() != Some(&server) {
            list.push(server);
        }
        known.age = known.age.min(age);
    }
    // One address that has it is enough.
    let Known { has, lacks, .. } = &mut known;
    lacks.retain(|server| !has.contains(server));
    (known.age != Ticks::MAX).then_some(known)
}

fn numbers(servers: &Servers<'_>, known: &[Known<'_>], only: Option<usize>) -> Vec<ServerContent> {
    let mut all: Vec<ServerContent> = servers
        .names
        .iter()
        .map(|name| ServerContent { site_system: (*name).to_owned(), ..ServerContent::default() })
        .collect();
    for content in known {
        content.has.iter().for_each(|&server| all[server].has += 1);
        content.lacks.iter().for_each(|&server| all[server].lacks += 1);
        if let [alone] = content.has.as_slice() {
            all[*alone].alone += 1;
        }
    }
    all.iter_mut().for_each(|server| server.unknown = known.len() - server.has - server.lacks);
    match only {
        Some(only) => vec![all.swap_remove(only)],
        None => all,
    }
}

/// What would be lost to whom without one server.
fn loss(snapshot: &Snapshot, cluster: &Cluster, servers: &Servers<'_>, known: &[Known<'_>], server: usize) -> Loss {
    let own: Vec<&Known<'_>> = known.iter().filter(|known| known.has.contains(&server)).collect();
    let topology = &*cluster.topology;
    let written = u16::try_from(snapshot.site.written_groups()).unwrap_or(u16::MAX);
    let groups = (0..written).map(|group| vec![GroupId(group)]);
    // Clients in no group come last, and are all there are where groups do not matter.
    let groups: Vec<Vec<GroupId>> =
        if topology.grouped() { groups.chain([Vec::new()]).collect() } else { vec![Vec::new()] };
    let losses = groups.into_iter().filter_map(|groups| {
        let location = ContentLocation::new(topology, &groups);
        let mut reach = vec![false; servers.names.len()];
        for &endpoint in location.tiers().flat_map(|tier| location.members(tier).flatten()) {
            reach[servers.of_endpoint[endpoint as usize]] = true;
        }
        let elsewhere = |known: &Known<'_>| known.has.iter().any(|&other| other != server && reach[other]);
        let lost = own.iter().filter(|known| reach[server] && !elsewhere(known));
        let contents = Listed::of(lost.map(|known| known.id.to_owned()));
        let name = groups.first().map(|group| snapshot.site.group_names[usize::from(group.0)].clone());
        (contents.total > 0).then_some(GroupLoss { boundary_group: name, contents })
    });
    Loss { site_system: servers.names[server].to_owned(), groups: Listed::of(losses) }
}
