//! All metrics: their names, what they mean, and the handles that the request path increments.
//!
//! Handles are resolved when a snapshot is compiled. Label values come from the configuration or from closed enums, never
//! from a request. Base units, counters end in `_total`.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::connection_error::ConnectionError;
use crate::error::Error;
use crate::model::cluster::TierKind;
use crate::model::live::Verdict;

/// Upper bounds of all duration histograms, in seconds.
const DURATION_BUCKETS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Response classes, as label values.
const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const METADATA: Metadata<'static> = Metadata::new("rolegate", Level::INFO, None);

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution.
    Histogram,
}

/// One metric family: name, kind, labels, meaning.
pub struct Family(pub &'static str, pub Kind, pub &'static str, pub &'static str);

/// Every family that rolegate exports. The documentation's table is compared with this one.
pub const FAMILIES: &[Family] = &[
    Family("rolegate_build_info", Kind::Gauge, "version", "Always 1."),
    Family(
        "rolegate_requests_total",
        Kind::Counter,
        "role, code",
        "Requests answered, by class of the status the client saw.",
    ),
    Family(
        "rolegate_request_errors_total",
        Kind::Counter,
        "role, reason",
        "Requests that rolegate answered itself or cut, by RFC 9209 word.",
    ),
    Family(
        "rolegate_request_duration_seconds",
        Kind::Histogram,
        "role",
        "From the request's head to the end of the response.",
    ),
    Family("rolegate_request_bytes_total", Kind::Counter, "role", "Bytes of request bodies forwarded."),
    Family("rolegate_response_bytes_total", Kind::Counter, "role", "Bytes of response bodies forwarded."),
    Family(
        "rolegate_spliced_bytes_total",
        Kind::Counter,
        "role",
        "Bytes of response bodies that went from socket to socket in the kernel.",
    ),
    Family("rolegate_tier_requests_total", Kind::Counter, "role, tier", "Requests by the tier that served them."),
    Family(
        "rolegate_retries_total",
        Kind::Counter,
        "role, allowed",
        "Attempts after the first, and those that the budget refused.",
    ),
    Family(
        "rolegate_content_misses_total",
        Kind::Counter,
        "role, missing",
        "Answers of a server that lacks a content, a file, or does not list (PROPFIND is answered 405).",
    ),
    Family(
        "rolegate_content_learned_total",
        Kind::Counter,
        "role, verdict",
        "What was learned about a content at a server and not known before: has, lacks.",
    ),
    Family(
        "rolegate_fallback_waits_total",
        Kind::Counter,
        "role",
        "Requests that the open tiers could not serve while later ones were closed.",
    ),
    Family("rolegate_fallback_clocks_started_total", Kind::Counter, "role", "Fallback clocks started."),
    Family("rolegate_fallback_clocks", Kind::Gauge, "", "Fallback clocks that run."),
    Family(
        "rolegate_affinity_moves_total",
        Kind::Counter,
        "role",
        "Clients or downloads that went on at another server than the one where they were.",
    ),
    Family(
        "rolegate_endpoint_requests_total",
        Kind::Counter,
        "role, site_system, endpoint, code",
        "Responses of an endpoint.",
    ),
    Family(
        "rolegate_endpoint_failures_total",
        Kind::Counter,
        "role, site_system, endpoint, reason",
        "Attempts at an endpoint without a response.",
    ),
    Family(
        "rolegate_endpoint_duration_seconds",
        Kind::Histogram,
        "role, site_system, endpoint",
        "From the start of an attempt at an endpoint, connecting included, to its response head.",
    ),
    Family(
        "rolegate_endpoint_connects_total",
        Kind::Counter,
        "role, site_system, endpoint",
        "Connections opened to an endpoint.",
    ),
    Family(
        "rolegate_endpoint_reuses_total",
        Kind::Counter,
        "role, site_system, endpoint",
        "Requests sent on a connection that was idle.",
    ),
    Family("rolegate_endpoint_inflight", Kind::Gauge, "role, site_system, endpoint", "Requests and tunnels under way."),
    Family(
        "rolegate_endpoint_up",
        Kind::Gauge,
        "role, site_system, endpoint",
        "1 when the endpoint may be picked as well.",
    ),
    Family(
        "rolegate_endpoint_state_changes_total",
        Kind::Counter,
        "role, site_system, endpoint, to",
        "Changes of the active verdict.",
    ),
    Family(
        "rolegate_endpoint_checks_total",
        Kind::Counter,
        "role, site_system, endpoint, result",
        "Active probes so far.",
    ),
    Family(
        "rolegate_endpoint_ejections_total",
        Kind::Counter,
        "role, site_system, endpoint",
        "Times that live traffic took the endpoint out.",
    ),
    Family("rolegate_connections", Kind::Gauge, "listener", "Client connections open."),
    Family(
        "rolegate_connections_waiting",
        Kind::Gauge,
        "listener",
        "Client connections that wait for a request and hold neither a parser nor a buffer.",
    ),
    Family("rolegate_connections_total", Kind::Counter, "listener", "Client connections accepted."),
    Family("rolegate_accept_errors_total", Kind::Counter, "listener", "Failures to accept a connection."),
    Family(
        "rolegate_protocol_errors_total",
        Kind::Counter,
        "listener",
        "Client connections that ended because their bytes were not HTTP, or came too slowly.",
    ),
    Family(
        "rolegate_connection_errors_total",
        Kind::Counter,
        "listener, reason",
        "Client connections that ended before their first request: TLS, `ClientHello` or PROXY protocol.",
    ),
    Family("rolegate_tls_handshakes_total", Kind::Counter, "listener, kind", "TLS handshakes: full, resumed."),
    Family(
        "rolegate_tls_certificate_expiry_seconds",
        Kind::Gauge,
        "listener, certificate",
        "When a certificate of a listener ends, in seconds since 1970.",
    ),
    Family("rolegate_tunnels", Kind::Gauge, "role", "Tunnels open: upgrades, TCP roles and TLS passthrough."),
    Family(
        "rolegate_tunnels_moved_total",
        Kind::Counter,
        "role",
        "Tunnels closed on purpose, so that their clients come back elsewhere: their server left, or the process drains.",
    ),
    Family(
        "rolegate_pins_ended_total",
        Kind::Counter,
        "role, by",
        "Upstream connections that belonged to one client (NTLM, Negotiate), by who ended them: client, server, failure.",
    ),
    Family(
        "rolegate_tunnel_bytes_total",
        Kind::Counter,
        "role, direction",
        "Bytes through tunnels: upgrades and TCP roles.",
    ),
    Family("rolegate_boundary_lookups_total", Kind::Counter, "result", "Clients in no, one or many boundary groups."),
    Family("rolegate_dns_answers_total", Kind::Counter, "result", "Answers of the resolver: ok, failed."),
    Family("rolegate_dns_names_unresolved", Kind::Gauge, "", "Site systems whose name has never been resolved."),
    Family("rolegate_config_generation", Kind::Gauge, "", "Number of accepted configurations."),
    Family("rolegate_config_reloads_total", Kind::Counter, "result", "Reloads: accepted, rejected."),
    Family("rolegate_config_last_reload_success", Kind::Gauge, "", "1 when the last reload was accepted."),
    Family("rolegate_snapshot_version", Kind::Gauge, "", "Version of the snapshot being served."),
    Family(
        "rolegate_telemetry_dropped_total",
        Kind::Counter,
        "sink",
        "Records dropped because their writer was behind.",
    ),
];

/// Owns the recorder. There is no global one, so several proxies can live in one process.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty recorder that knows the meaning of every family.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // `set_buckets` refuses only an empty list.
        let builder = builder.set_buckets(&DURATION_BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let metrics = Self { recorder, handle };
        for Family(name, kind, _, help) in FAMILIES {
            let (name, help) = (KeyName::from(*name), (*help).into());
            match kind {
                Kind::Counter => metrics.recorder.describe_counter(name, None, help),
                Kind::Gauge => metrics.recorder.describe_gauge(name, None, help),
                Kind::Histogram => metrics.recorder.describe_histogram(name, Some(Unit::Seconds), help),
            }
        }
        metrics.gauge("rolegate_build_info", &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        metrics
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds recorded samples into their histograms. Called every few seconds so that memory stays flat between scrapes.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// A counter handle.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// A gauge handle.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// A histogram handle.
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.recorder.register_histogram(&key(name, labels), &METADATA)
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

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

impl std::ops::Deref for RoleMetrics {
    type Target = RoleHandles;
    fn deref(&self) -> &RoleHandles {
        &self.0
    }
}

impl RoleMetrics {
    /// Resolves the handles of a role.
    pub fn new(metrics: &Metrics, role: &str) -> Self {
        let name = "rolegate_request_errors_total";
        Self(Arc::new(RoleHandles {
            requests: CODES.map(|code| metrics.counter("rolegate_requests_total", &[("role", role), ("code", code)])),
            errors: Error::ALL.map(|error| metrics.counter(name, &[("role", role), ("reason", error.reason())])),
            duration: metrics.histogram("rolegate_request_duration_seconds", &[("role", role)]),
            request_bytes: metrics.counter("rolegate_request_bytes_total", &[("role", role)]),
            response_bytes: metrics.counter("rolegate_response_bytes_total", &[("role", role)]),
            spliced_bytes: metrics.counter("rolegate_spliced_bytes_total", &[("role", role)]),
            tiers: TierKind::ALL.map(|tier| {
                metrics.counter("rolegate_tier_requests_total", &[("role", role), ("tier", tier.as_str())])
            }),
            retries: metrics.counter("rolegate_retries_total", &[("role", role), ("allowed", "yes")]),
            retries_refused: metrics.counter("rolegate_retries_total", &[("role", role), ("allowed", "budget")]),
            tunnel_up: metrics.counter("rolegate_tunnel_bytes_total", &[("role", role), ("direction", "up")]),
            tunnel_down: metrics.counter("rolegate_tunnel_bytes_total", &[("role", role), ("direction", "down")]),
            misses: Miss::ALL.map(|miss| {
                metrics.counter("rolegate_content_misses_total", &[("role", role), ("missing", miss.as_str())])
            }),
            learned: ["has", "lacks"].map(|verdict| {
                metrics.counter("rolegate_content_learned_total", &[("role", role), ("verdict", verdict)])
            }),
            waits: metrics.counter("rolegate_fallback_waits_total", &[("role", role)]),
            clocks_started: metrics.counter("rolegate_fallback_clocks_started_total", &[("role", role)]),
            moves: metrics.counter("rolegate_affinity_moves_total", &[("role", role)]),
            tunnels: metrics.gauge("rolegate_tunnels", &[("role", role)]),
            tunnels_moved: metrics.counter("rolegate_tunnels_moved_total", &[("role", role)]),
            pins_by_client: metrics.counter("rolegate_pins_ended_total", &[("role", role), ("by", "client")]),
            pins_by_server: metrics.counter("rolegate_pins_ended_total", &[("role", role), ("by", "server")]),
            pins_failed: metrics.counter("rolegate_pins_ended_total", &[("role", role), ("by", "failure")]),
        }))
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
    pub checks_passed: Counter,
    pub checks_failed: Counter,
    pub ejections: Counter,
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
        let base = [("role", role), ("site_system", system), ("endpoint", endpoint)];
        let with = |name, label, value| metrics.counter(name, &[base[0], base[1], base[2], (label, value)]);
        let checks = |result| {
            metrics.counter("rolegate_endpoint_checks_total", &[base[0], base[1], base[2], ("result", result)])
        };
        let changes = "rolegate_endpoint_state_changes_total";
        Self(Arc::new(EndpointHandles {
            requests: CODES.map(|code| with("rolegate_endpoint_requests_total", "code", code)),
            failures: Error::ALL.map(|error| {
                // Errors that are not an endpoint's share a handle that counts nothing.
                if error.side() == crate::error::Side::Upstream {
                    with("rolegate_endpoint_failures_total", "reason", error.reason())
                } else {
                    Counter::noop()
                }
            }),
            duration: metrics.histogram("rolegate_endpoint_duration_seconds", &base),
            connects: metrics.counter("rolegate_endpoint_connects_total", &base),
            reuses: metrics.counter("rolegate_endpoint_reuses_total", &base),
            inflight: metrics.gauge("rolegate_endpoint_inflight", &base),
            up: metrics.gauge("rolegate_endpoint_up", &base),
            to_up: with(changes, "to", "up"),
            to_degraded: with(changes, "to", "degraded"),
            to_down: with(changes, "to", "down"),
            checks_passed: checks("pass"),
            checks_failed: checks("fail"),
            ejections: metrics.counter("rolegate_endpoint_ejections_total", &base),
        }))
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
    pub accept_errors: Counter,
    pub protocol_errors: Counter,
    errors: [Counter; ConnectionError::ALL.len()],
    pub handshakes_full: Counter,
    pub handshakes_resumed: Counter,
}

impl ListenerMetrics {
    /// Resolves the handles of a listener.
    pub fn new(metrics: &Metrics, listener: &str) -> Self {
        let label = [("listener", listener)];
        Self {
            connections: metrics.gauge("rolegate_connections", &label),
            waiting: metrics.gauge("rolegate_connections_waiting", &label),
            accepted: metrics.counter("rolegate_connections_total", &label),
            accept_errors: metrics.counter("rolegate_accept_errors_total", &label),
            protocol_errors: metrics.counter("rolegate_protocol_errors_total", &label),
            errors: ConnectionError::ALL.map(|error| {
                let labels = [label[0], ("reason", error.reason())];
                metrics.counter("rolegate_connection_errors_total", &labels)
            }),
            handshakes_full: metrics.counter("rolegate_tls_handshakes_total", &[label[0], ("kind", "full")]),
            handshakes_resumed: metrics.counter("rolegate_tls_handshakes_total", &[label[0], ("kind", "resumed")]),
        }
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
        let lookups = |result| metrics.counter("rolegate_boundary_lookups_total", &[("result", result)]);
        Self {
            groups_none: lookups("none"),
            groups_one: lookups("one"),
            groups_many: lookups("many"),
            log_dropped: metrics.counter("rolegate_telemetry_dropped_total", &[("sink", "access_log")]),
            notes_dropped: metrics.counter("rolegate_telemetry_dropped_total", &[("sink", "notes")]),
        }
    }
}

/// The position of a status in the tables of counters by class.
pub fn code_class(status: http::StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CODES.len()) - 1
}
