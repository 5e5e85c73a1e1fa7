//! The list of all metrics: their names, kinds, labels, and what they mean. Base units, counters end in `_total`.

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

impl Kind {
    /// As the text format names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
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
    Family(
        "rolegate_role_endpoints",
        Kind::Gauge,
        "role, state",
        "Endpoints of a role, by how they are: up, degraded, unproven, ejected, down.",
    ),
    Family("rolegate_role_panic", Kind::Gauge, "role", "1 while nobody is well and requests are sent all the same."),
    Family("rolegate_tier_requests_total", Kind::Counter, "role, tier", "Requests by the tier that served them."),
    Family(
        "rolegate_group_requests_total",
        Kind::Counter,
        "role, boundary_group, tier",
        "Requests of clients of a boundary group, by the tier of the server that answered.",
    ),
    Family(
        "rolegate_group_failures_total",
        Kind::Counter,
        "role, boundary_group",
        "Requests of clients of a boundary group that no server answered.",
    ),
    Family(
        "rolegate_group_sent_bytes_total",
        Kind::Counter,
        "role, boundary_group",
        "Bytes of response bodies and tunnels that went to clients of a boundary group.",
    ),
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
        "rolegate_fallback_clock_oldest_seconds",
        Kind::Gauge,
        "",
        "Age of the fallback clock that has run for longest; 0 when none runs.",
    ),
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
        "1 when the endpoint is well, by probes and by live traffic, be it steered away or not.",
    ),
    Family(
        "rolegate_endpoint_steered",
        Kind::Gauge,
        "role, site_system, endpoint",
        "1 when the endpoint is drained, 2 when it is in maintenance, else 0.",
    ),
    Family(
        "rolegate_endpoint_weight",
        Kind::Gauge,
        "role, site_system, endpoint",
        "Share of the traffic: the configured weight, or what it was set to since.",
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
    Family(
        "rolegate_connections_gave_way_total",
        Kind::Counter,
        "listener",
        "Idle client connections that were closed because others had no room.",
    ),
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
        "rolegate_pins",
        Kind::Gauge,
        "role",
        "Upstream connections that belong to one client (NTLM, Negotiate) and wait for its next request.",
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
    Family("process_cpu_seconds_total", Kind::Counter, "", "User and system CPU time in seconds."),
    Family("process_resident_memory_bytes", Kind::Gauge, "", "Memory that is in use."),
    Family("process_virtual_memory_bytes", Kind::Gauge, "", "Memory that is mapped."),
    Family("process_open_fds", Kind::Gauge, "", "File descriptors that are open."),
    Family("process_max_fds", Kind::Gauge, "", "File descriptors that may be open."),
    Family("process_start_time_seconds", Kind::Gauge, "", "When the process was started, in seconds since 1970."),
    Family("process_threads", Kind::Gauge, "", "Threads of the process."),
];
