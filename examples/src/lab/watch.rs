//! Looks at the proxy and at what the clients saw, and tells what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use rolegate::model::location::ContentLocation;
use rolegate::model::snapshot::Snapshot;
use rolegate::model::tier::TierKind;

use super::Lab;
use super::site::Place;

const TICK: Duration = Duration::from_millis(100);
/// Ticks between two looks at the rates.
const RATES_EVERY: u32 = 10;
/// Causes may quote a page of the server.
const LONGEST_CAUSE: usize = 80;
/// Requests that show who serves a place: fewer might miss a server that has a small share.
const SAMPLE: u64 = 30;

type Served = BTreeMap<(Place, String), u64>;

/// Tells what changes until it is dropped.
pub async fn watch(lab: &Lab) {
    let mut ticks = tokio::time::interval(TICK);
    let mut health = Health::default();
    let mut servers = Servers::default();
    let mut rates = Rates { at: Instant::now(), totals: (0, 0), served: Served::new() };
    for tick in 1_u32.. {
        ticks.tick().await;
        health.look(lab);
        servers.look(lab);
        if tick % RATES_EVERY == 0 {
            rates.look(lab);
        }
    }
}

/// What the proxy thinks of its endpoints.
#[derive(Default)]
struct Health(BTreeMap<String, (String, bool)>);

impl Health {
    fn look(&mut self, lab: &Lab) {
        for endpoint in lab.app.status().roles.into_iter().flat_map(|role| role.endpoints) {
            let system = endpoint.site_system;
            let now = (endpoint.health, endpoint.ejected);
            let Some(before) = self.0.insert(system.clone(), now.clone()) else { continue };
            if now.1 != before.1 {
                let what = if now.1 { "live traffic takes it out" } else { "it is no longer taken out" };
                lab.screen.event(&format!("  {system}: {what}"));
            }
            if now.0 != before.0 && before.0 != "unproven" {
                let cause = endpoint.last_failure.filter(|_| now.0 != "up").map(|failure| short(&failure.cause));
                lab.screen.event(&format!("  {system}: probes find it {}{}", now.0, cause.unwrap_or_default()));
            }
        }
    }
}

fn short(cause: &str) -> String {
    let start: String = cause.chars().take(LONGEST_CAUSE).collect();
    let dots = if start.len() < cause.len() { "..." } else { "" };
    format!(" ({start}{dots})")
}

/// Who serves whom, by place and kind of server.
#[derive(Default)]
struct Servers {
    before: Served,
    windows: BTreeMap<(Place, &'static str), Window>,
}

#[derive(Default)]
struct Window {
    requests: BTreeMap<String, u64>,
    last: BTreeSet<String>,
    announced: BTreeSet<String>,
}

impl Window {
    /// The servers, once two samples in a row agree on other ones than before: one in between mixes old and new.
    fn settle(&mut self) -> Option<BTreeSet<String>> {
        if self.requests.values().sum::<u64>() < SAMPLE {
            return None;
        }
        let now: BTreeSet<String> = std::mem::take(&mut self.requests).into_keys().collect();
        let agree = std::mem::replace(&mut self.last, now.clone()) == now;
        (agree && now != self.announced).then(|| {
            self.announced.clone_from(&now);
            now
        })
    }
}

impl Servers {
    fn look(&mut self, lab: &Lab) {
        let served = lab.tally.served();
        for ((place, system), count) in &served {
            let new = count - self.before.get(&(*place, system.clone())).copied().unwrap_or_default();
            let Some(kind) = ["DP", "MP"].into_iter().find(|kind| system.starts_with(kind)).filter(|_| new > 0) else {
                continue;
            };
            let window = self.windows.entry((*place, kind)).or_default();
            *window.requests.entry(system.clone()).or_default() += new;
        }
        self.before = served;
        for ((place, kind), window) in &mut self.windows {
            if let Some(systems) = window.settle() {
                lab.screen.event(&announcement(*place, kind, &systems, &lab.app.snapshot()));
            }
        }
    }
}

fn announcement(place: Place, kind: &str, systems: &BTreeSet<String>, snapshot: &Snapshot) -> String {
    let who = if place == Place::Nowhere {
        "clients in no group".to_owned()
    } else {
        format!("clients of {}", place.title())
    };
    let what = if kind == "DP" { "download from" } else { "talk to" };
    let names = systems.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
    let tier = systems.first().and_then(|system| tier(snapshot, kind, place.address(0), system));
    let why = match tier {
        None | Some(TierKind::Current) => "their own",
        Some(TierKind::Slow) => "their own, behind a slow connection",
        Some(TierKind::Neighbor) => "of a neighbor",
        Some(TierKind::Default) => "of the default group",
        Some(TierKind::FallbackSource) => "fallback source",
        Some(TierKind::Site) => "any of the site",
    };
    format!("  {who} {what} {names} ({why})")
}

/// Why this client may use this server, as the routing table has it.
fn tier(snapshot: &Snapshot, role: &str, client: IpAddr, system: &str) -> Option<TierKind> {
    let cluster = snapshot.clusters.iter().find(|cluster| cluster.topology.role.short == role)?;
    let topology = &*cluster.topology;
    let groups = if topology.grouped() { snapshot.site.boundaries.groups_of(client) } else { &[] };
    let location = ContentLocation::new(topology, groups);
    let has = |tier| location.members(tier).flatten().any(|&member| &*cluster.endpoint(member).system == system);
    location.tiers().find(|tier| has(*tier)).map(|tier| tier.kind)
}

struct Rates {
    at: Instant,
    totals: (u64, u64),
    served: Served,
}

impl Rates {
    fn look(&mut self, lab: &Lab) {
        let seconds = self.at.elapsed().as_secs_f64().max(0.001);
        let (requests, bytes, failures) = lab.tally.totals();
        let served = lab.tally.served();
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round() as u64;
        let head = format!(
            "{} requests/s, {}/s, {failures} failures, generation {}",
            rate(requests, self.totals.0),
            ByteSize(rate(bytes, self.totals.1)),
            lab.app.snapshot().generation
        );
        let places = Place::ALL.map(|place| {
            let own = served.iter().filter(|((own, _), _)| *own == place);
            let each = own.filter_map(|(key, count)| {
                let rate = rate(*count, self.served.get(key).copied().unwrap_or_default());
                (rate > 0).then(|| format!("{} {rate}/s", key.1))
            });
            each.collect::<Vec<_>>().join("   ")
        });
        lab.screen.refresh(&head, &places);
        *self = Self { at: Instant::now(), totals: (requests, bytes), served };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_never_from_a_mixed_sample() {
        let mut window = Window::default();
        let mut sample = |servers: &[&str]| {
            window.requests.extend(servers.iter().map(|server| ((*server).to_owned(), SAMPLE)));
            window.settle().map(|set| set.into_iter().collect::<Vec<_>>().join("+"))
        };
        assert_eq!(sample(&["DP1"]), None);
        assert_eq!(sample(&["DP1"]).as_deref(), Some("DP1"));
        assert_eq!(sample(&["DP1"]), None);
        assert_eq!(sample(&["DP1", "DP2"]), None);
        assert_eq!(sample(&["DP2"]), None);
        assert_eq!(sample(&["DP2"]).as_deref(), Some("DP2"));
    }
}
