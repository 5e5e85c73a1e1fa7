//! What is under way: counters now, and how they have grown in the last seconds.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::metrics::{Distribution, Metrics, NO_ROLE, Scope};
use crate::status::{EndpointStatus, RoleStatus, Status};

/// Looks that are closer than this are one.
const APART: Duration = Duration::from_secs(1);
/// Rates are of at most this time, and looks that are older are forgotten once there is a newer one.
const WINDOW: Duration = Duration::from_secs(10);
/// A look that is older than this says nothing about now.
const STALE: Duration = Duration::from_secs(60);
/// Looks that are kept.
const KEPT: usize = 12;

/// What was counted of one role or one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// Answers with 5xx, and for an endpoint attempts without an answer.
    pub(super) errors: u64,
    pub(super) bytes: u64,
    pub(super) durations: Distribution,
}

impl Counts {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            durations: self.durations.since(&earlier.durations),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.bytes += other.bytes;
        self.durations.add(&other.durations);
    }
}

/// All counters at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    roles: HashMap<String, Counts>,
    endpoints: HashMap<String, Counts>,
    /// Client connections that are open.
    connections: f64,
}

fn role_key(role: &RoleStatus) -> String {
    format!("{}\n{}", role.name, role.site.as_deref().unwrap_or_default())
}

fn endpoint_key(role: &RoleStatus, endpoint: &EndpointStatus) -> String {
    format!("{}\n{}\n{}", role.name, endpoint.site_system, endpoint.address)
}

fn errors_of(scope: &Scope, family: &str) -> u64 {
    scope.counts(family).iter().filter(|(code, _)| *code == "5xx").map(|(_, count)| count).sum()
}

impl Look {
    pub(super) fn take(status: &Status, metrics: &Metrics) -> Self {
        let mut look = Self::default();
        for role in &status.roles {
            look.roles.insert(role_key(role), of_role(&role.name, role.site.as_deref(), metrics));
            for endpoint in &role.endpoints {
                let (system, address) = (endpoint.site_system.as_str(), endpoint.address.as_str());
                let labels = [("role", role.name.as_str()), ("site_system", system), ("endpoint", address)];
                let Some(scope) = metrics.find(&labels) else { continue };
                let counts = Counts {
                    requests: scope.total("rolegate_endpoint_requests_total"),
                    errors: errors_of(&scope, "rolegate_endpoint_requests_total")
                        + scope.total("rolegate_endpoint_failures_total"),
                    ..Counts::default()
                };
                look.endpoints.insert(endpoint_key(role, endpoint), counts);
            }
        }
        look.roles.insert(NO_ROLE.to_owned(), of_role(NO_ROLE, None, metrics));
        let open = status
            .listeners
            .iter()
            .filter_map(|listener| metrics.find(&[("listener", &listener.name)])?.level("rolegate_connections"));
        look.connections = open.sum();
        look
    }
}

fn of_role(name: &str, site: Option<&str>, metrics: &Metrics) -> Counts {
    let labels: Vec<(&'static str, &str)> =
        std::iter::once(("role", name)).chain(site.map(|site| ("site", site))).collect();
    let Some(scope) = metrics.find(&labels) else { return Counts::default() };
    Counts {
        requests: scope.total("rolegate_requests_total"),
        errors: errors_of(&scope, "rolegate_requests_total"),
        bytes: scope.total("rolegate_response_bytes_total") + scope.total("rolegate_tunnel_bytes_total"),
        durations: scope.distribution("rolegate_request_duration_seconds").unwrap_or_default(),
    }
}

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct Looks(VecDeque<(Instant, Look)>);

impl Looks {
    /// What has happened between this look and an earlier one.
    pub(super) fn add(&mut self, now: Instant, look: Look) -> Traffic {
        self.0.retain(|(at, _)| now.duration_since(*at) < STALE);
        // The last one before the window begins, or else the first one.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let earlier = self.0.front().filter(|(at, _)| now.duration_since(*at) >= APART);
        let traffic = match earlier {
            Some((at, before)) => Traffic::between(before, &look, now.duration_since(*at)),
            None => Traffic { now: look.clone(), grown: Look::default(), seconds: None },
        };
        if self.0.back().is_none_or(|(at, _)| now.duration_since(*at) >= APART) {
            if self.0.len() >= KEPT {
                self.0.pop_front();
            }
            self.0.push_back((now, look));
        }
        traffic
    }
}

/// Counters now, and how they have grown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    now: Look,
    grown: Look,
    /// How long that took; `None` when there is no earlier look.
    seconds: Option<f64>,
}

/// What is shown of one role or one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// Since the start.
    pub(super) total: Counts,
    /// In the last seconds.
    pub(super) grown: Counts,
    seconds: Option<f64>,
}

impl Rates {
    /// Requests in a second.
    pub(super) fn requests(&self) -> Option<f64> {
        self.seconds.map(|seconds| self.grown.requests as f64 / seconds)
    }

    /// Errors in a second.
    pub(super) fn errors(&self) -> Option<f64> {
        self.seconds.map(|seconds| self.grown.errors as f64 / seconds)
    }

    /// Bytes in a second.
    pub(super) fn bytes(&self) -> Option<f64> {
        self.seconds.map(|seconds| self.grown.bytes as f64 / seconds)
    }
}

impl Traffic {
    fn between(before: &Look, now: &Look, took: Duration) -> Self {
        let nothing = Counts::default();
        let grown = |now: &HashMap<String, Counts>, before: &HashMap<String, Counts>| {
            let each = now.iter().map(|(key, counts)| (key.clone(), counts.since(before.get(key).unwrap_or(&nothing))));
            each.collect()
        };
        let roles = grown(&now.roles, &before.roles);
        let endpoints = grown(&now.endpoints, &before.endpoints);
        let grown = Look { roles, endpoints, connections: 0.0 };
        Self { now: now.clone(), grown, seconds: Some(took.as_secs_f64().max(0.001)) }
    }

    /// The seconds that rates are of.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// Client connections that are open.
    pub(super) fn connections(&self) -> f64 {
        self.now.connections
    }

    /// Of one role.
    pub(super) fn role(&self, role: &RoleStatus) -> Rates {
        self.rates(&role_key(role), |look| &look.roles)
    }

    /// Of one endpoint.
    pub(super) fn endpoint(&self, role: &RoleStatus, endpoint: &EndpointStatus) -> Rates {
        self.rates(&endpoint_key(role, endpoint), |look| &look.endpoints)
    }

    /// Of all roles, and of requests that belong to none.
    pub(super) fn all(&self) -> Rates {
        let mut all = Rates { seconds: self.seconds, ..Rates::default() };
        self.now.roles.values().for_each(|counts| all.total.add(counts));
        self.grown.roles.values().for_each(|counts| all.grown.add(counts));
        all
    }

    fn rates(&self, key: &str, part: impl Fn(&Look) -> &HashMap<String, Counts>) -> Rates {
        let of = |look| part(look).get(key).cloned().unwrap_or_default();
        Rates { total: of(&self.now), grown: of(&self.grown), seconds: self.seconds }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn look(requests: u64) -> Look {
        let counts = Counts { requests, errors: requests / 10, ..Counts::default() };
        Look { roles: HashMap::from([("MP\n".to_owned(), counts)]), ..Look::default() }
    }

    #[test]
    fn rates_are_of_the_last_seconds_and_looks_are_bounded() {
        let (mut looks, begin) = (Looks::default(), Instant::now());
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        assert_eq!(looks.add(at(0.0), look(100)).all().requests(), None, "nothing to compare with");
        assert_eq!(looks.add(at(0.5), look(150)).all().requests(), None, "too close");
        let rates = looks.add(at(2.0), look(300)).all();
        assert_eq!((rates.requests(), rates.errors(), rates.total.requests), (Some(100.0), Some(10.0), 300));
        for second in 3..100 {
            looks.add(at(f64::from(second)), look(300));
            assert!(looks.0.len() <= KEPT);
        }
        assert_eq!(looks.add(at(100.0), look(300)).all().requests(), Some(0.0));
        assert_eq!(looks.add(at(500.0), look(900)).all().requests(), None, "nobody has looked for long");
        assert_eq!(looks.add(at(502.0), look(1)).all().requests(), Some(0.0), "a counter that begins again");
    }
}
