//! The sentences of an explanation.

use super::known::{KnownContent, TICKS};
use super::{ClockFacts, RequestFacts, SiteFacts};
use crate::model::balance::{NoPick, Not};
use crate::model::cluster::{Class, Cluster, EndpointIndex, Standing};
use crate::model::decision::Decision;
use crate::model::facts::Facts;
use crate::model::knowledge::Lack;
use crate::model::name::{Beyond, Name};
use crate::model::role::{Balance, Clock, FallbackRule, Locality, Naming, SWITCH_MINUTES};
use crate::model::sites::{Because, Placed};
use crate::model::snapshot::{FallbackSettings, Site, Snapshot};
use crate::model::stay::Stay;
use crate::model::steering::{Kind, Steer};
use crate::text::{at_speed, span};

/// Why the client has no boundary group here.
pub(super) fn no_group(decision: &Decision<'_>, site: &Site) -> String {
    if !decision.cluster.topology.grouped() {
        return "they do not decide about this role: every client may use all its servers".to_owned();
    }
    let default = &site.group_names[usize::from(decision.location.default_group().0)];
    format!("none contains the client: the site default boundary group ({default}) serves it")
}

/// The site of a request, and what says so.
pub(super) fn site(snapshot: &Snapshot, placed: Placed) -> SiteFacts {
    let sites = &snapshot.site.sites;
    let code = |place: u16| sites.list[usize::from(place)].code.to_string();
    let why = match placed.because {
        Because::Host => "the request names it".to_owned(),
        Because::SiteSystem => "the request names a site system of it".to_owned(),
        Because::BoundaryGroup(group) => {
            format!("the client's boundary group {} is of it", snapshot.site.group_names[usize::from(group.0)])
        }
        Because::Listener => "nothing says another, and the listener is for it".to_owned(),
        Because::First => "nothing says another, and it is the first in the configuration".to_owned(),
    };
    let primary = sites.list[usize::from(placed.site)].primary.map(code);
    SiteFacts { code: code(placed.site), primary, why }
}

/// What follows from a name of another site's system.
pub(super) fn in_vain(snapshot: &Snapshot, named: Placed) -> String {
    let code = site(snapshot, named).code;
    format!(
        "; the request names a site system of {code} that the client may never use, so it is located as by an unknown name"
    )
}

/// What a listener does serve.
pub(super) fn routes(snapshot: &Snapshot, request: &RequestFacts) -> String {
    let listener = snapshot.site.listeners.iter().find(|listener| *listener.name == *request.listener);
    let routes = listener.into_iter().flat_map(|listener| listener.routes.routes());
    let mut roles: Vec<&str> =
        routes.map(|route| snapshot.cluster(route.cluster).topology.role.name.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    format!("the listener serves {}; `rolegate roles` lists the paths of each role", roles.join(", "))
}

/// How the servers of a role are called.
pub(super) fn names(cluster: &Cluster) -> String {
    let mut names: Vec<&str> = cluster.topology.names.iter().collect();
    names.sort_unstable();
    names.dedup();
    format!("its servers are called {}", names.join(", "))
}

/// What the fallback clock means to this request.
pub(super) fn clock(decision: &Decision<'_>, settings: &FallbackSettings) -> ClockFacts {
    let (topology, opening, speedup) = (&decision.cluster.topology, &decision.opening, settings.speedup);
    let role = &*topology.role;
    let not_waited = match role.fallback_rule {
        _ if !topology.grouped() => Some("not waited for: boundary groups do not decide about this role"),
        _ if decision.is_of_a_site_system() => Some("not waited for: the request comes from a site system of the role"),
        _ if role.locality == Locality::Prefer => Some("not waited for: groups only order the servers of this role"),
        FallbackRule::Shared => Some("not waited for: the servers of this role share what a client needs"),
        FallbackRule::AtOnce => Some("not waited for: groups only order the servers of this role"),
        FallbackRule::None => Some("not waited for: this role has no fallback"),
        FallbackRule::Offsets | FallbackRule::LastKnownGood => match role.clock {
            Clock::Honor => None,
            Clock::Immediate => Some("immediate: a later tier is used as soon as the earlier ones cannot serve"),
        },
    };
    let exempt = match decision.name {
        _ if not_waited.is_some() => None,
        Name::Allowed { system, .. } | Name::Beyond { system, .. } if decision.has_waited() => {
            Some(format!("the request names {}: the client has waited already", called(decision, system)))
        }
        Name::Allowed { .. } | Name::Beyond { .. } | Name::Ignored | Name::Stranger | Name::Never(_) => {
            decision.exempt.then(|| exemption(decision, settings))
        }
    };
    let minutes = opening.minutes();
    let keeps = match role.fallback_rule {
        FallbackRule::LastKnownGood => {
            format!("; clients keep to their last known-good server for {SWITCH_MINUTES} min")
        }
        FallbackRule::Offsets | FallbackRule::Shared | FallbackRule::AtOnce | FallbackRule::None => String::new(),
    };
    let sentence = match (not_waited, &exempt, minutes) {
        (Some(why), _, _) => why.to_owned(),
        (None, Some(why), _) => format!("not waited for: {why}"),
        (None, None, Some(minutes)) => {
            let real = span(minutes * 60.0 / f64::from(speedup));
            format!("at {minutes:.1} min, started {real} ago{}{keeps}", at_speed(speedup))
        }
        (None, None, None) if opening.next(decision.location).is_none() => {
            "does not run: there is no closed tier to wait for".to_owned()
        }
        (None, None, None) => {
            format!("does not run: it starts when the open tiers cannot serve{}{keeps}", at_speed(speedup))
        }
    };
    ClockFacts { honored: not_waited.is_none(), exempt, minutes, speedup, sentence }
}

/// The site system that a request names, and what follows from it; `None` where names do not count.
pub(super) fn name(decision: &Decision<'_>, facts: &Facts<'_, '_>) -> Option<String> {
    let role = &*decision.cluster.topology.role;
    match decision.name {
        Name::Ignored => {
            let system = decision.cluster.topology.by_name(facts.host)?;
            let why = match role.named {
                _ if role.balance == Balance::Device => "a device has its own server",
                Naming::FirstIfDistinct => {
                    "boundary groups do not tell its servers apart (named = \"first-if-distinct\")"
                }
                Naming::Ignore => "named = \"ignore\"",
                Naming::First | Naming::Only => return None,
            };
            Some(format!("{}, and that means nothing to this role: {why}", called(decision, system)))
        }
        Name::Stranger => Some("no site system of the role: the client is located by its address".to_owned()),
        Name::Never(system) => {
            Some(format!("{}, which the client may never use: it is located by its address", called(decision, system)))
        }
        Name::Allowed { system, .. } if !decision.has_waited() => Some(format!(
            "{}, which is the client's last known-good server: it waits as it does there",
            called(decision, system)
        )),
        Name::Allowed { system, tier } => Some(format!(
            "{}, which the client may use (tier {}): it comes first, and every tier up to its own is open",
            called(decision, system),
            tier.kind.as_str()
        )),
        Name::Beyond { system, why } => {
            let why = match why {
                Beyond::LastKnownGood => "a client keeps the one that it has",
                Beyond::SiteSystem => "the request comes from a site system, which has sources of its own",
            };
            let called = called(decision, system);
            Some(format!("{called}, to which no boundary group of the client leads: it comes first, because {why}"))
        }
    }
}

/// The client's own subnet, where that puts servers first, and which these are.
pub(super) fn subnet(decision: &Decision<'_>) -> Option<String> {
    let (id, network) = (decision.subnet?, network(decision)?);
    let own = decision.cluster.topology.endpoints.iter().filter(|endpoint| endpoint.subnet == Some(id));
    let mut names: Vec<&str> = own.map(|endpoint| &*endpoint.system).collect();
    names.dedup();
    Some(format!("{network}, in which {} can be found: that comes first in a tier", names.join(", ")))
}

/// The client's own subnet as a network.
pub(super) fn network(decision: &Decision<'_>) -> Option<String> {
    Some(decision.site().subnets.get(decision.subnet?.place())?.network())
}

fn called<'a>(decision: &Decision<'a>, system: u16) -> &'a str {
    decision.cluster.topology.called(system).map_or("a site system", |name| &**name)
}

/// Why a request waits for no clock.
fn exemption(decision: &Decision<'_>, settings: &FallbackSettings) -> String {
    let listed = decision
        .content
        .filter(|content| settings.exempt_content.iter().any(|exempt| exempt.eq_ignore_ascii_case(content.id)));
    match listed {
        Some(content) => format!("{} is in [fallback] exempt_content", content.id),
        None => "its User-Agent is in [fallback] exempt_user_agents".to_owned(),
    }
}

/// Where the client, its download or its upload is.
pub(super) fn stay(decision: &Decision<'_>, stay: Stay) -> String {
    let role = &*decision.cluster.topology.role;
    let system = |endpoint: EndpointIndex| &*decision.cluster.endpoint(endpoint).system;
    match stay {
        Stay::Only(Some(endpoint)) => format!("the upload session is at {}", system(endpoint)),
        Stay::Only(None) => "the upload session was at a server that is gone".to_owned(),
        Stay::After(endpoint) => format!("the client's last upload went to {}", system(endpoint)),
        Stay::Prefer(endpoint) => {
            let system = system(endpoint);
            if decision.content.is_some() {
                format!("the download is at {system}")
            } else if role.fallback_rule == FallbackRule::LastKnownGood {
                format!("the client's last known-good server is {system}")
            } else {
                format!("the client is at {system}")
            }
        }
    }
}

/// Why a server cannot be picked.
pub(super) fn not(not: Not, standing: Standing, content: Option<&KnownContent>, most: u32) -> String {
    let spans = || {
        let known = content.cloned().unwrap_or_default();
        let (ago, again) = (known.ago.unwrap_or_default(), known.asked_again_in.unwrap_or_default());
        format!("it said so {} ago, and is asked again in {}", span(ago), span(again))
    };
    match not {
        Not::Itself => "the request comes from it, so it is used only when no other can serve".to_owned(),
        Not::Replica => {
            "it works with a replica of the site database, and this path needs the site's own (site_database_paths)"
                .to_owned()
        }
        Not::OtherSystem => "the request names another site system".to_owned(),
        Not::Lacks(Lack::Content(_)) => format!("it lacks the content ({})", spans()),
        Not::Lacks(Lack::File(_)) => format!("it lacks the file ({})", spans()),
        Not::Class(Class::Away) => taken_out(standing.steer).to_owned(),
        Not::Class(Class::Out) if standing.ejected => "taken out by live traffic".to_owned(),
        Not::Class(class @ (Class::Well | Class::Out)) => {
            let well = if class == Class::Well { "well" } else { "down" };
            well.to_owned()
        }
        Not::Class(Class::Second) => {
            let state = match standing.class() {
                Class::Well => "silent: requests wait there for more than a second, and none is answered",
                Class::Second | Class::Out | Class::Away if standing.degraded() => "degraded",
                Class::Second | Class::Out | Class::Away => "not proven well yet",
            };
            format!("{state}, so only used when no open tier has a server that is well")
        }
        Not::Tried => "it was tried already".to_owned(),
        Not::Full => format!("it has as many requests as it may have (max_requests = {most})"),
    }
}

/// Whether it is why a server cannot be picked that a person has taken it out.
pub(super) fn is_taken_out(why: &str) -> bool {
    [Steer::Drain, Steer::Maintenance].map(taken_out).contains(&why)
}

/// What a server is that a person has taken out.
fn taken_out(steer: Steer) -> &'static str {
    match steer {
        Steer::None => "",
        Steer::Drain => Kind::Drain.adjective(),
        Steer::Maintenance => Kind::Maintenance.adjective(),
    }
}

/// Why nobody is picked. `next` is when the next tier opens, in ticks.
pub(super) fn nobody(decision: &Decision<'_>, why: NoPick, next: Option<u64>) -> String {
    let device = decision.cluster.topology.role.balance == Balance::Device;
    let text = match why {
        NoPick::NoServer if decision.location.tiers().next().is_none() => {
            "neither the client's boundary groups nor those that they fall back to name a server of this role"
        }
        NoPick::NoServer => "no tier with a server is open",
        NoPick::TakenOut if device => "the server that the enrolled device keeps is drained or in maintenance",
        NoPick::TakenOut => "every server of the open tiers is drained or in maintenance",
        NoPick::NoneWell if device => "the server that the enrolled device keeps is down",
        NoPick::NoneWell => "no server of the open tiers is well",
        NoPick::Lacking => "every server of the open tiers that is well lacks this",
        NoPick::AllTried => "every server of the open tiers that is well has been tried",
        NoPick::Overloaded => "every server of the open tiers that is well has as many requests as it may have",
        NoPick::DownloadFull => {
            "the server where the download is has as many requests as it may have, and another copy would begin it again"
        }
        NoPick::UploadLost => "the server of the upload session is down or gone",
    };
    let Some(ticks) = next else { return text.to_owned() };
    let opens = span(ticks as f64 / TICKS);
    match decision.opening.minutes() {
        Some(_) => format!("{text}; the next tier opens in {opens}"),
        None => format!("{text}; this request would start the fallback clock, and the next tier opens {opens} later"),
    }
}
