//! The tables of answers in `examples/deployments`: each row is asked, and equals what `explain` says.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;
mod deployment_support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use control_support::world::{DOWN, World};
use deployment_support::{Certificates, configuration, read};
use http::{HeaderValue, Method, StatusCode};
use rolegate::control::assemble::assemble;
use rolegate::control::compile::Place;
use rolegate::control::publish::Publisher;
use rolegate::control::registry::Registry;
use rolegate::explain::{Explanation, PickFacts, TierFacts};
use rolegate::metrics::Metrics;
use rolegate::model::decision::{Decision, Refusal};
use rolegate::model::endpoint::{Endpoint, Lease};
use rolegate::model::facts::Facts;
use rolegate::model::learn::Unserved;
use rolegate::model::live::{Capacity, Live, Owner, Verdict};
use rolegate::model::snapshot::Snapshot;
use rolegate::wire::fields::Fields;
use rolegate::wire::known::Known;

const DOMAIN: &str = ".contoso.com";
const INTERNET: &str = ".contoso.net";
/// Ten minutes of the process clock.
const NOW_MS: u64 = 600_000;

/// What has happened before a request.
enum Event {
    Passed { minutes: u64 },
    Down(String),
    Full(String),
    Lacks(String),
    WasAt(String),
    Agent(String),
}

impl Event {
    /// The words that say which it is.
    const KINDS: [&str; 6] = ["min", "down", "full", "lacks", "was at", "agent"];

    fn read(text: &str) -> Self {
        if let Some(agent) = text.strip_prefix("agent ") {
            return Self::Agent(agent.to_owned());
        }
        if let Some(system) = text.strip_prefix("was at ") {
            return Self::WasAt(format!("{system}{DOMAIN}"));
        }
        let (first, word) = text.split_once(' ').unwrap_or_else(|| panic!("{text:?} is no event"));
        let system = format!("{first}{DOMAIN}");
        match word {
            "min" => Self::Passed { minutes: first.parse().unwrap() },
            "down" => Self::Down(system),
            "full" => Self::Full(system),
            "lacks" => Self::Lacks(system),
            _ => panic!("{text:?} is no event"),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Passed { .. } => "min",
            Self::Down(_) => "down",
            Self::Full(_) => "full",
            Self::Lacks(_) => "lacks",
            Self::WasAt(_) => "was at",
            Self::Agent(_) => "agent",
        }
    }
}

/// What a request comes to, as the table has it.
#[derive(Debug, PartialEq)]
struct Answer {
    groups: String,
    tiers: String,
    serves: String,
}

struct Row {
    line: usize,
    client: String,
    method: String,
    listener: &'static str,
    host: String,
    path: String,
    query: Option<String>,
    events: Vec<Event>,
    expected: Answer,
}

impl Row {
    fn read(line: usize, text: &str) -> Self {
        let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
        let [client, groups, request, given, tiers, serves, why] = cells[..] else {
            panic!("line {line} has {} cells", cells.len())
        };
        assert!(!why.is_empty(), "line {line} does not say why");
        let (method, url) = request.split_once(' ').unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, target) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let listener = match (scheme, port) {
            ("http", "") => "http",
            ("http", "8530") => "wsus",
            ("https", "8531") => "wsus-tls",
            ("https", "") if host.ends_with(INTERNET) => "internet",
            ("https", "") => "https",
            ("tcp", "10123") => "notification",
            _ => panic!("line {line}: no listener is at {url}"),
        };
        let expected = Answer { groups: groups.to_owned(), tiers: tiers.to_owned(), serves: serves.to_owned() };
        Self {
            line,
            client: client.to_owned(),
            method: method.to_owned(),
            listener,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            events: given.split(", ").filter(|text| !text.is_empty()).map(Event::read).collect(),
            expected,
        }
    }

    fn facts<'a>(&'a self, snapshot: &Snapshot, fields: &'a Fields) -> Facts<'a, 'a> {
        let mut listeners = snapshot.site.listeners.iter();
        let listener = listeners.position(|listener| &*listener.name == self.listener).unwrap();
        Facts {
            listener: u16::try_from(listener).unwrap(),
            host: Some(&self.host),
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            client: self.client.parse().unwrap(),
            fields: Some(fields),
            subject: None,
        }
    }

    /// The package's folder, by which its content is known.
    fn content(&self) -> String {
        let parts: Vec<&str> = self.path.split('/').take(3).collect();
        parts.join("/")
    }
}

fn rows(deployment: &str) -> Vec<Row> {
    let text = read(deployment, "answers.md");
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let client = line.trim_start_matches("| ").split(' ').next().unwrap_or_default();
        line.starts_with('|') && client.parse::<IpAddr>().is_ok()
    });
    lines.map(|(number, line)| Row::read(number + 1, line)).collect()
}

/// Forgets all that was learned, and has every server well.
fn afresh(world: &mut World) {
    let metrics = Arc::new(Metrics::new());
    let mut registry = Registry::new(Arc::clone(&metrics));
    let assembled = assemble(&world.compiled, &world.addresses, &mut registry);
    let live = Arc::new(Live::new(Capacity { clocks: 256, verdicts: 1024, affinities: 1024 }));
    world.publisher = Publisher::new(Arc::clone(&world.compiled.site), assembled.topologies, live, &metrics);
    world.registry = registry;
    world.all_up();
}

fn decide<'a>(snapshot: &'a Snapshot, facts: &Facts<'a, '_>) -> Result<Decision<'a>, Refusal> {
    let listener = &snapshot.site.listeners[usize::from(facts.listener)];
    match listener.tcp {
        Some(role) => Decision::for_cluster(snapshot, role, facts, NOW_MS),
        None => Decision::new(snapshot, facts, NOW_MS),
    }
}

/// An earlier request of the client that names this site system is served by it.
fn was_at(snapshot: &Snapshot, facts: &Facts<'_, '_>, system: &str) {
    let decision = decide(snapshot, facts).unwrap();
    let pick = decision.pinned(endpoint(&decision, system).state.id).unwrap();
    assert!(decision.location.tier_of(pick.endpoint).is_some(), "the client may never have been there");
    let said = decision.learn(&pick, &Method::GET, StatusCode::OK).said;
    decision.served(&pick, said, StatusCode::OK);
}

/// Asks a row, with what is given.
fn ask(world: &mut World, row: &Row) -> (Explanation, Answer) {
    afresh(world);
    let mut fields = Fields::default();
    for event in &row.events {
        if let Event::Agent(agent) = event {
            fields.append(Known::UserAgent, HeaderValue::from_str(agent).unwrap());
        }
    }
    let before = world.snapshot();
    for event in &row.events {
        if let Event::WasAt(system) = event {
            was_at(&before, &row.facts(&before, &fields), system);
        }
    }
    for event in &row.events {
        if let Event::Down(system) = event {
            world.stand_system(system, DOWN);
        }
    }
    world.publisher.publish();
    let snapshot = world.snapshot();
    let facts = row.facts(&snapshot, &fields);
    let (mut now_ms, mut leases) = (NOW_MS, Vec::new());
    for event in &row.events {
        match event {
            Event::Passed { minutes } => {
                decide(&snapshot, &facts).unwrap().unserved(Unserved::Unable);
                now_ms += minutes * 60_000;
            }
            Event::Full(system) => {
                let endpoint = endpoint(&decide(&snapshot, &facts).unwrap(), system);
                leases.extend((0..endpoint.role.max_requests).map(|_| Lease::take(&endpoint.state)));
            }
            Event::Lacks(_) | Event::Down(_) | Event::WasAt(_) | Event::Agent(_) => {}
        }
    }
    for event in &row.events {
        if let Event::Lacks(system) = event {
            let id = endpoint(&decide(&snapshot, &facts).unwrap(), system).state.id;
            let key = snapshot.live.content_key(&row.content());
            snapshot.live.learn(Owner::NONE, key, id, Verdict::Lacks, Live::ticks(now_ms));
        }
    }
    let told = Explanation::new(&snapshot, &facts, now_ms, 1);
    let answer = answer(&told);
    (told, answer)
}

/// The site system in the role that the request is for.
fn endpoint<'a>(decision: &Decision<'a>, system: &str) -> &'a Endpoint {
    let mut all = decision.cluster.topology.endpoints.iter();
    all.find(|endpoint| &*endpoint.system == system).unwrap_or_else(|| panic!("{system} is not in the role"))
}

fn short(system: &str) -> &str {
    system.strip_suffix(DOMAIN).unwrap_or(system)
}

/// An explanation in the words of the table.
fn answer(told: &Explanation) -> Answer {
    let names: Vec<&str> = told.boundary_groups.iter().map(|group| group.name.as_str()).collect();
    let tiers: Vec<String> = told.tiers.iter().map(tier).collect();
    let (mut tiers, mut groups) = (tiers.join("; "), names.join(", "));
    if groups.is_empty() {
        "none".clone_into(&mut groups);
    }
    if tiers.is_empty() {
        let nothing = if told.refusal.is_some() { "refused" } else { "nowhere" };
        nothing.clone_into(&mut tiers);
    }
    let refused = told.refusal.as_ref().or(told.nobody.as_ref()).and_then(|answer| answer.status);
    let serves = match &told.pick {
        Some(pick) => serves(told, pick),
        None => refused.map_or_else(|| "closed".to_owned(), |status| status.to_string()),
    };
    Answer { groups, tiers, serves }
}

fn tier(tier: &TierFacts) -> String {
    let mut servers: Vec<&str> = tier.servers.iter().map(|server| short(&server.site_system)).collect();
    servers.sort_unstable();
    let linked = tier.minutes > 0 || matches!(tier.kind.as_str(), "neighbor" | "default");
    let kind = if linked { format!("{}@{}", tier.kind, tier.minutes) } else { tier.kind.clone() };
    let text = format!("{kind} {}", servers.join(" "));
    if tier.open { text } else { format!("({text})") }
}

/// Who it may be and how; of a draw all that it could have been.
fn serves(told: &Explanation, pick: &PickFacts) -> String {
    if pick.how != "drawn" {
        return format!("{} {}", short(&pick.site_system), pick.how);
    }
    let found = told.tiers.iter().find(|tier| tier.servers.iter().any(|server| server.address == pick.address));
    let may = |server: &&rolegate::explain::ServerFacts| server.eligible || server.address == pick.address;
    let servers = found.map_or(&[][..], |tier| &tier.servers);
    let mut names: Vec<&str> = servers.iter().filter(may).map(|server| short(&server.site_system)).collect();
    names.sort_unstable();
    format!("{} drawn", names.join(" "))
}

/// A site whose servers all have an address.
fn world(deployment: &str) -> World {
    let certificates = Certificates::new();
    let mut world = World::new(&configuration(deployment, certificates.path()));
    let members = world.compiled.roles.iter().flat_map(|plan| &plan.members);
    let names = members.filter_map(|member| match &member.place {
        Place::Name(name) => Some(Arc::clone(name)),
        Place::Address(_) => None,
    });
    let names: BTreeSet<Arc<str>> = names.collect();
    let numbered = names.into_iter().zip(1..);
    world.addresses =
        numbered.map(|(name, number)| (name, vec![IpAddr::V4(Ipv4Addr::new(198, 18, 0, number))])).collect();
    world
}

/// Roles, boundary groups and kinds of events of which there are rows.
#[derive(Default)]
struct Covered {
    roles: BTreeSet<String>,
    groups: BTreeSet<String>,
    kinds: BTreeSet<&'static str>,
}

/// Asks all rows of a deployment, and names those that are wrong at once.
#[track_caller]
fn all_are_right(world: &mut World, rows: &[Row]) -> Covered {
    let (mut wrong, mut covered) = (String::new(), Covered::default());
    for row in rows {
        let (told, answer) = ask(world, row);
        covered.roles.extend(told.role.iter().map(|role| role.name.clone()));
        covered.groups.extend(told.boundary_groups.iter().map(|group| group.name.clone()));
        covered.kinds.extend(row.events.iter().map(Event::kind));
        if answer != row.expected {
            let (line, expected) = (row.line, &row.expected);
            let how = told.pick.map(|pick| pick.sentence).or(told.nobody.map(|nobody| nobody.sentence));
            writeln!(wrong, "line {line}: {} {} {}{}", row.client, row.method, row.host, row.path).unwrap();
            writeln!(wrong, "  expected {expected:?}\n  told     {answer:?}").unwrap();
            writeln!(wrong, "  {}", how.unwrap_or_default()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    covered
}

#[test]
fn every_answer_of_the_hierarchy_is_what_explain_says() {
    let (mut world, rows) = (world("hierarchy"), rows("hierarchy"));
    let covered = all_are_right(&mut world, &rows);
    assert!(rows.len() >= 100, "only {} rows were found", rows.len());
    let held = world.compiled.roles.iter().map(|plan| plan.role.name.clone());
    assert_eq!(covered.roles, held.collect(), "every role has a row");
    let own = world.compiled.site.group_names.iter().filter(|name| !name.starts_with("Default-Site"));
    assert_eq!(covered.groups, own.cloned().collect(), "every boundary group has a row");
    assert_eq!(covered.kinds, Event::KINDS.into_iter().collect(), "every kind of event has a row");
}

#[test]
fn every_answer_of_the_small_ones_is_what_explain_says() {
    for (deployment, least) in [("one-name", 10), ("own-names", 10)] {
        let rows = rows(deployment);
        all_are_right(&mut world(deployment), &rows);
        assert!(rows.len() > least, "only {} rows were found of {deployment}", rows.len());
    }
}
