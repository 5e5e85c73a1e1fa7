//! All metrics: the handles that the request path increments, and where their series are kept.
//!
//! Handles are resolved when a snapshot is compiled. Label values come from the configuration or from closed enums, never
//! from a request. Series that have the same values from the configuration are one [`Scope`]: they come and go together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram};

use crate::connection_error::ConnectionError;
use crate::error::Error;
use crate::model::live::Verdict;
use crate::model::tier::TierKind;

mod families;
mod groups;
mod histogram;
mod store;

pub use families::{FAMILIES, Family, Kind};
pub use groups::{GROUP_SERIES, GroupCounts, GroupMetrics};
pub use store::{Metrics, Scope};

/// Response classes, as label values.
const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The role of requests that belong to none. Its series always stay.
pub const NO_ROLE: &str = "none";

/// Handles of one role.
#[derive(Clone, Debug)]
pub struct RoleMetrics(Arc<RoleHandles>);

/// See [`FAMILIES`] for the meaning of each.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RoleHandles {
    pub requests: [Counter; 5],
    errors: [Counter; Error::ALL.len()],
    pub duration: Histogram,
    pub request_bytes: Counter,
    pub response_bytes: Counter,
    pub spliced_bytes: Counter,
    tiers: [Counter; TierKind::ALL.len()],
    pub retries: Counter,
    pub retries_refused: Counter,
    pub tunnel_up: Counter,
    pub tunnel_down: Counter,
    misses: [Counter; Miss::ALL.len()],
    learned: [Counter; 2],
    pub waits: Counter,
    pub clocks_started: Counter,
    pub moves: Counter,
    pub tunnels: Gauge,
    pub tunnels_moved: Counter,
    pub pins: Gauge,
    pub pins_by_client: Counter,
    pub pins_by_server: Counter,
    pub pins_failed: Counter,
}

/// What a server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Miss {
    Content,
    File,
    Listing,
}

impl Miss {
    const ALL: [Self; 3] = [Self::Content, Self::File, Self::Listing];

    fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::File => "file",
            Self::Listing => "listing",
        }
    }
}

fn labels<'a>(role: &'a str, site: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    std::iter::once(("role", role)).chain(site.map(|site| ("site", site))).collect()
}

impl std::ops::Deref for RoleMetrics {
    type Target = RoleHandles;
    fn deref(&self) -> &RoleHandles {
        &self.0
    }
}

impl RoleMetrics {
    /// Resolves the handles of a role, or of the role of one of several sites.
    pub fn new(metrics: &Metrics, role: &str, site: Option<&str>) -> Self {
        let of = metrics.scope(&labels(role, site));
        Self(Arc::new(RoleHandles {
            requests: CODES.map(|code| of.counter_by("rolegate_requests_total", "code", code)),
            errors: Error::ALL.map(|error| of.counter_by("rolegate_request_errors_total", "reason", error.reason())),
            duration: of.histogram("rolegate_request_duration_seconds"),
            request_bytes: of.counter("rolegate_request_bytes_total"),
            response_bytes: of.counter("rolegate_response_bytes_total"),
            spliced_bytes: of.counter("rolegate_spliced_bytes_total"),
            tiers: TierKind::ALL.map(|tier| of.counter_by("rolegate_tier_requests_total", "tier", tier.as_str())),
            retries: of.counter_by("rolegate_retries_total", "allowed", "yes"),
            retries_refused: of.counter_by("rolegate_retries_total", "allowed", "budget"),
            tunnel_up: of.counter_by("rolegate_tunnel_bytes_total", "direction", "up"),
            tunnel_down: of.counter_by("rolegate_tunnel_bytes_total", "direction", "down"),
            misses: Miss::ALL.map(|miss| of.counter_by("rolegate_content_misses_total", "missing", miss.as_str())),
            learned: ["has", "lacks"].map(|word| of.counter_by("rolegate_content_learned_total", "verdict", word)),
            waits: of.counter("rolegate_fallback_waits_total"),
            clocks_started: of.counter("rolegate_fallback_clocks_started_total"),
            moves: of.counter("rolegate_affinity_moves_total"),
            tunnels: of.gauge("rolegate_tunnels"),
            tunnels_moved: of.counter("rolegate_tunnels_moved_total"),
            pins: of.gauge("rolegate_pins"),
            pins_by_client: of.counter_by("rolegate_pins_ended_total", "by", "client"),
            pins_by_server: of.counter_by("rolegate_pins_ended_total", "by", "server"),
            pins_failed: of.counter_by("rolegate_pins_ended_total", "by", "failure"),
        }))
    }

    /// Takes the series of a role that is gone away. Those of [`NO_ROLE`] stay.
    pub fn forget(metrics: &Metrics, role: &str, site: Option<&str>) {
        if role != NO_ROLE {
            metrics.forget(&labels(role, site));
        }
    }

    /// The counter of an error.
    pub fn error(&self, error: Error) -> &Counter {
        &self.0.errors[error.index()]
    }

    /// The counter of what was learned.
    pub fn learned(&self, verdict: Verdict) -> &Counter {
        match verdict {
            Verdict::Has => &self.0.learned[0],
            Verdict::Lacks => &self.0.learned[1],
        }
    }

    /// The counter of what a server lacks.
    pub fn miss(&self, miss: Miss) -> &Counter {
        &self.0.misses[miss as usize]
    }

    /// The counter of a tier.
    pub fn tier(&self, tier: TierKind) -> &Counter {
        &self.0.tiers[tier as usize]
    }
}

/// Handles of one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointMetrics(Arc<EndpointHandles>);

/// See [`FAMILIES`] for the meaning of each.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct EndpointHandles {
    pub requests: [Counter; 5],
    failures: [Counter; Error::ALL.len()],
    pub duration: Histogram,
    pub connects: Counter,
    pub reuses: Counter,
    pub inflight: Gauge,
    pub up: Gauge,
    pub to_up: Counter,
    pub to_degraded: Counter,
    pub to_down: Counter,
    passed: Checks,
    failed: Checks,
    unknown: Checks,
    pub ejections: Counter,
}

/// Probes are counted elsewhere, from zero for an endpoint that comes back. Its series may go on from more.
#[derive(Debug)]
struct Checks {
    counted: AtomicU64,
    total: Counter,
}

impl Checks {
    fn reach(&self, count: u64) {
        let counted = self.counted.fetch_max(count, Ordering::Relaxed);
        self.total.increment(count.saturating_sub(counted));
    }
}

impl std::ops::Deref for EndpointMetrics {
    type Target = EndpointHandles;
    fn deref(&self) -> &EndpointHandles {
        &self.0
    }
}

impl EndpointMetrics {
    /// Resolves the handles of an endpoint.
    pub fn new(metrics: &Metrics, role: &str, system: &str, endpoint: &str) -> Self {
        let of = metrics.scope(&Self::labels(role, system, endpoint));
        let changes = |to| of.counter_by("rolegate_endpoint_state_changes_total", "to", to);
        let checks = |result| of.counter_by("rolegate_endpoint_checks_total", "result", result);
        Self(Arc::new(EndpointHandles {
            requests: CODES.map(|code| of.counter_by("rolegate_endpoint_requests_total", "code", code)),
            failures: Error::ALL.map(|error| {
                // Errors that are not an endpoint's share a handle that counts nothing.
                if error.side() == crate::error::Side::Upstream {
                    of.counter_by("rolegate_endpoint_failures_total", "reason", error.reason())
                } else {
                    Counter::noop()
                }
            }),
            duration: of.histogram("rolegate_endpoint_duration_seconds"),
            connects: of.counter("rolegate_endpoint_connects_total"),
            reuses: of.counter("rolegate_endpoint_reuses_total"),
            inflight: of.gauge("rolegate_endpoint_inflight"),
            up: of.gauge("rolegate_endpoint_up"),
            to_up: changes("up"),
            to_degraded: changes("degraded"),
            to_down: changes("down"),
            passed: Checks { counted: AtomicU64::new(0), total: checks("pass") },
            failed: Checks { counted: AtomicU64::new(0), total: checks("fail") },
            unknown: Checks { counted: AtomicU64::new(0), total: checks("unknown") },
            ejections: of.counter("rolegate_endpoint_ejections_total"),
        }))
    }

    /// Takes the series of an endpoint that is gone away.
    pub fn forget(metrics: &Metrics, role: &str, system: &str, endpoint: &str) {
        metrics.forget(&Self::labels(role, system, endpoint));
    }

    fn labels<'a>(role: &'a str, system: &'a str, endpoint: &'a str) -> [(&'static str, &'a str); 3] {
        [("role", role), ("site_system", system), ("endpoint", endpoint)]
    }

    /// Takes over how many probes have passed, failed and said nothing since the endpoint is there.
    pub fn checked(&self, passes: u64, failures: u64, unknown: u64) {
        self.0.passed.reach(passes);
        self.0.failed.reach(failures);
        self.0.unknown.reach(unknown);
    }

    /// The counter of a failed attempt.
    pub fn failure(&self, error: Error) -> &Counter {
        &self.0.failures[error.index()]
    }
}

/// Handles of one listener.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ListenerMetrics {
    pub connections: Gauge,
    pub waiting: Gauge,
    pub accepted: Counter,
    pub gave_way: Counter,
    pub accept_errors: Counter,
    pub protocol_errors: Counter,
    errors: [Counter; ConnectionError::ALL.len()],
    pub handshakes_full: Counter,
    pub handshakes_resumed: Counter,
}

impl ListenerMetrics {
    /// Resolves the handles of a listener.
    pub fn new(metrics: &Metrics, listener: &str) -> Self {
        let of = metrics.scope(&[("listener", listener)]);
        Self {
            connections: of.gauge("rolegate_connections"),
            waiting: of.gauge("rolegate_connections_waiting"),
            accepted: of.counter("rolegate_connections_total"),
            gave_way: of.counter("rolegate_connections_gave_way_total"),
            accept_errors: of.counter("rolegate_accept_errors_total"),
            protocol_errors: of.counter("rolegate_protocol_errors_total"),
            errors: ConnectionError::ALL
                .map(|error| of.counter_by("rolegate_connection_errors_total", "reason", error.reason())),
            handshakes_full: of.counter_by("rolegate_tls_handshakes_total", "kind", "full"),
            handshakes_resumed: of.counter_by("rolegate_tls_handshakes_total", "kind", "resumed"),
        }
    }

    /// Takes the series of a listener that is gone away.
    pub fn forget(metrics: &Metrics, listener: &str) {
        metrics.forget(&[("listener", listener)]);
    }

    /// The counter of a connection that ended before its first request.
    pub fn error(&self, error: ConnectionError) -> &Counter {
        &self.errors[error.index()]
    }
}

/// Handles of one data thread.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ThreadMetrics {
    pub groups_none: Counter,
    pub groups_one: Counter,
    pub groups_many: Counter,
    pub log_dropped: Counter,
    pub notes_dropped: Counter,
}

impl ThreadMetrics {
    /// Resolves the handles of a data thread; all threads count into the same ones.
    pub fn new(metrics: &Metrics) -> Self {
        let of = metrics.scope(&[]);
        let lookups = |result| of.counter_by("rolegate_boundary_lookups_total", "result", result);
        let dropped = |sink| of.counter_by("rolegate_telemetry_dropped_total", "sink", sink);
        Self {
            groups_none: lookups("none"),
            groups_one: lookups("one"),
            groups_many: lookups("many"),
            log_dropped: dropped("access_log"),
            notes_dropped: dropped("notes"),
        }
    }
}

/// The position of a status in the tables of counters by class.
pub fn code_class(status: http::StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CODES.len()) - 1
}
