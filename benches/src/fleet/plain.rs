//! Plain scenarios as plans of plain load.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::address::Address;
use super::ran::{Ran, Running};
use super::scenario::{Pace, Plain, Scenario};
use super::sources::Group;
use crate::client::Tls;
use crate::dial::dial_secured;
use crate::load::{self, Mode, PlainRequest, Plan, Slice, Spacing, Watch};
use crate::record::{Failure, Part, Run};

/// Addresses of a network that connections come from in turn.
const MAX_SOURCES: u32 = 65_536;

/// Says what is wrong with a plain scenario for this target, without doing anything.
///
/// # Errors
/// [`run_plain`] would refuse it.
pub fn check_plain(plain: &Plain, to: &Address, tls: Option<&Tls>, threads: u32) -> Result<(), load::Error> {
    load::check(&plan(plain, to, tls.cloned(), threads))
}

/// Opens one connection over TLS and asks for nothing.
///
/// # Errors
/// The two do not come together: says why, and what to do.
pub async fn secures(to: &Address, tls: &Tls, patience: Duration) -> Result<(), String> {
    let connector = tls.connector()?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let opening = dial_secured(any, to.socket, Some((&connector, &to.host)));
    let Ok(opened) = tokio::time::timeout(patience, opening).await else {
        return Err("no answer to a handshake of TLS".to_owned());
    };
    let advice = |error: &io::Error| Failure::of_opening(error).advice().unwrap_or("check whether it speaks TLS");
    opened.map(drop).map_err(|error| format!("{error}; {}", advice(&error)))
}

/// Runs a plain scenario to its end, or until `watch` ends it. It blocks the thread.
///
/// # Errors
/// The plan makes no sense, or the system does not let this process do it.
pub fn run_plain(
    scenario: &Scenario,
    plain: &Plain,
    to: &Address,
    tls: Option<Tls>,
    running: &Running,
    watch: &Watch,
) -> Result<Run, load::Error> {
    let plan = plan(plain, to, tls, running.threads);
    let began = SystemTime::now();
    let measured = load::run(&plan, watch)?;
    // When the first request was due, and not when connections were opened.
    let first = watch.began.get().and_then(|first| SystemTime::now().checked_sub(first.elapsed()));
    let began = first.unwrap_or(began);
    let (planned, speedup, clients) = (plain.duration, 1.0, plain.own_connections());
    let (name, text, part) = (scenario.name.as_str(), scenario.text.as_str(), plain.part);
    let seed = match plain.spacing {
        Spacing::Even => None,
        Spacing::Poisson { seed } => Some(seed),
    };
    let thresholds = scenario.thresholds.as_slice();
    Ok(Ran { name, text, thresholds, running, began, planned, speedup, clients, seed, part }.record(measured))
}

fn plan(plain: &Plain, to: &Address, tls: Option<Tls>, threads: u32) -> Plan {
    let connections = plain.own_connections() as usize;
    let mode = match plain.pace {
        Pace::Closed => Mode::Closed { connections },
        Pace::Rate(per_second) => Mode::Rate { per_second, connections },
        Pace::Ramp(from, to) => Mode::Ramp { from, to, connections },
    };
    let fields = plain.headers.iter().filter_map(|field| field.split_once(':'));
    let headers: Vec<_> = fields.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
    let targets = if plain.urls.is_empty() { vec![to.target.clone()] } else { plain.urls.clone() };
    let request = |target: &String| PlainRequest {
        method: plain.method.clone(),
        target: target.clone(),
        headers: headers.clone(),
        body: Bytes::from(plain.body.clone()),
    };
    let sources: Vec<IpAddr> = plain.source.map_or_else(Vec::new, |network| {
        let group = Group { name: String::new(), source: vec![network], share: 1.0 };
        (0..plain.connections.min(MAX_SOURCES)).filter_map(|number| group.address(number)).collect()
    });
    Plan {
        requests: targets.iter().map(request).collect(),
        mode,
        keep_alive: !plain.new_connections,
        tls,
        resume_tls: plain.resume,
        threads: threads.max(1) as usize,
        sources,
        duration: plain.duration,
        warm_up: plain.warm_up,
        timeout: plain.timeout,
        spacing: plain.spacing,
        part: plain.part.map(slice),
        ..Plan::new(to.socket, &to.host)
    }
}

fn slice(part: Part) -> Slice {
    let until = |ms| (UNIX_EPOCH + Duration::from_millis(ms)).duration_since(SystemTime::now()).ok();
    let begin = part.agreed_unix_ms.and_then(until).map(|until| Instant::now() + until);
    Slice { number: part.before() as usize, of: part.of as usize, begin }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn a_plain_scenario_becomes_a_plan() {
        let text = "[plain]\nramp = \"100..5000\"\nconnections = 3\nurls = [\"/a\", \"/b\"]\nheaders = [\"A: b\"]\n\
                    source = \"127.1.0.0/16\"\nnew_connections = true";
        let scenario = Scenario::parse(text).unwrap();
        let Kind::Plain(plain) = &scenario.kind else { panic!("{scenario:?}") };
        let plan = plan(plain, &Address::parse("http://127.0.0.1:81/x").unwrap(), None, 2);
        assert_eq!(plan.mode, Mode::Ramp { from: 100.0, to: 5000.0, connections: 3 });
        assert_eq!((plan.requests[1].target.as_str(), plan.sources.len(), plan.keep_alive), ("/b", 3, false));
        assert_eq!(plan.requests[0].headers, [("A".to_owned(), "b".to_owned())]);
    }
}
