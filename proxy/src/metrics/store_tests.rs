#![allow(clippy::unwrap_used)]

use super::*;
use crate::metrics::{Condition, EndpointMetrics, GroupMetrics, ListenerMetrics, NO_ROLE, RoleMetrics, ThreadMetrics};

/// The lines that are series.
fn series(metrics: &Metrics) -> Vec<String> {
    metrics.render().lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

/// Names of the labels of a line.
fn names(line: &str) -> Vec<&str> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let (labels, _) = rest.split_once('}').unwrap();
    labels.split(',').map(|label| label.split_once('=').unwrap().0).collect()
}

#[test]
fn the_text_has_families_in_their_order_and_help_and_type_once() {
    let metrics = Metrics::new();
    let [b, a] = ["b", "a"].map(|role| metrics.scope(&[("role", role)]));
    a.counter_by("rolegate_requests_total", "code", "5xx").increment(3);
    a.counter_by("rolegate_requests_total", "code", "2xx").increment(0);
    b.counter_by("rolegate_requests_total", "code", "2xx").increment(1);
    metrics.scope(&[]).gauge("rolegate_dns_names_unresolved").set(2.5);
    metrics.scope(&[]).counter_by("rolegate_dns_answers_total", "result", "ok").increment(4);
    let text = metrics.render();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "# HELP rolegate_build_info Always 1.\n\
         # TYPE rolegate_build_info gauge\n\
         rolegate_build_info{{version=\"{version}\"}} 1\n\n\
         # HELP rolegate_requests_total Requests answered, by class of the status the client saw.\n\
         # TYPE rolegate_requests_total counter\n\
         rolegate_requests_total{{role=\"a\",code=\"2xx\"}} 0\n\
         rolegate_requests_total{{role=\"a\",code=\"5xx\"}} 3\n\
         rolegate_requests_total{{role=\"b\",code=\"2xx\"}} 1\n\n\
         # HELP rolegate_dns_answers_total Answers of the resolver: ok, failed.\n\
         # TYPE rolegate_dns_answers_total counter\n\
         rolegate_dns_answers_total{{result=\"ok\"}} 4\n\n\
         # HELP rolegate_dns_names_unresolved Site systems whose name has never been resolved.\n\
         # TYPE rolegate_dns_names_unresolved gauge\n\
         rolegate_dns_names_unresolved 2.5\n\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn the_text_of_a_histogram() {
    let metrics = Metrics::default();
    let histogram = metrics.scope(&[("role", "a")]).histogram("rolegate_request_duration_seconds");
    [0.0005, 0.3, 0.3, 299.0, 1000.5].iter().for_each(|seconds| histogram.record(*seconds));
    let mut expected = Vec::new();
    for (bound, count) in ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1"]
        .into_iter()
        .chain(["2.5", "5", "10", "30", "60", "120", "300", "+Inf"])
        .zip([1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5])
    {
        expected.push(format!("rolegate_request_duration_seconds_bucket{{role=\"a\",le=\"{bound}\"}} {count}"));
    }
    expected.push("rolegate_request_duration_seconds_sum{role=\"a\"} 1300.1005".to_owned());
    expected.push("rolegate_request_duration_seconds_count{role=\"a\"} 5".to_owned());
    assert_eq!(series(&metrics), expected);
}

#[test]
fn label_values_are_escaped() {
    let metrics = Metrics::default();
    let scope = metrics.scope(&[("listener", "a"), ("certificate", "C:\\x\\\\y\"\n")]);
    scope.gauge("rolegate_tls_certificate_expiry_seconds").set(1e9);
    let expected = r#"rolegate_tls_certificate_expiry_seconds{listener="a",certificate="C:\\x\\\\y\"\n"} 1000000000"#;
    assert_eq!(series(&metrics), [expected]);
}

#[test]
fn every_series_has_the_labels_of_its_family() {
    let metrics = Metrics::new();
    let _role = RoleMetrics::new(&metrics, NO_ROLE, None);
    let _endpoint = EndpointMetrics::new(&metrics, "a", "s", "10.0.0.1:80");
    let _listener = ListenerMetrics::new(&metrics, "http");
    let _thread = ThreadMetrics::new(&metrics);
    let lines = series(&metrics);
    let mut seen = 0;
    for Family(name, kind, labels, _) in FAMILIES {
        let mut expected: Vec<&str> = labels.split(", ").filter(|label| !label.is_empty()).collect();
        let bucket = format!("{name}_bucket");
        let name = if *kind == Kind::Histogram {
            expected.push("le");
            &bucket
        } else {
            *name
        };
        for line in lines.iter().filter(|line| line.split(['{', ' ']).next() == Some(name)) {
            assert_eq!(names(line), expected, "{line}");
            seen += 1;
        }
    }
    let sums = lines.iter().filter(|line| line.contains("_seconds_sum") || line.contains("_seconds_count")).count();
    assert_eq!(seen + sums, lines.len());
    assert!(seen > 100, "{seen}");
}

#[test]
fn the_same_labels_are_the_same_series() {
    let metrics = Metrics::default();
    for _ in 0..3 {
        RoleMetrics::new(&metrics, "a", None).moves.increment(1);
    }
    assert!(series(&metrics).contains(&"rolegate_affinity_moves_total{role=\"a\"} 3".to_owned()));
}

#[test]
fn what_is_counted_after_its_series_is_gone_is_not_shown() {
    let metrics = Metrics::default();
    let endpoint = |system| EndpointMetrics::new(&metrics, "a", system, "10.0.0.1:80");
    let [one, two] = ["one", "two"].map(endpoint);
    let of_role = RoleMetrics::new(&metrics, "a", None);
    let both = series(&metrics);
    EndpointMetrics::forget(&metrics, "a", "one", "10.0.0.1:80");
    let left = both.iter().filter(|line| !line.contains("site_system=\"one\"")).cloned().collect::<Vec<_>>();
    assert!(left.len() < both.len() && left.iter().any(|line| line.contains("\"two\"")));
    assert_eq!(series(&metrics), left);

    for late in [&one, &one.clone()] {
        late.requests[1].increment(1);
        late.failure(crate::error::Error::ConnectRefused).increment(1);
        late.duration.record(1.0);
        late.inflight.set(1.0);
        late.checked(3, 4, 0);
    }
    assert_eq!(series(&metrics), left);
    // Twice is no mistake.
    EndpointMetrics::forget(&metrics, "a", "one", "10.0.0.1:80");
    two.connects.increment(1);
    of_role.moves.increment(1);
    assert_ne!(series(&metrics), left);

    let again = endpoint("one");
    again.requests[1].increment(5);
    one.requests[1].increment(100);
    let line =
        "rolegate_endpoint_requests_total{role=\"a\",site_system=\"one\",endpoint=\"10.0.0.1:80\",code=\"2xx\"} 5";
    assert!(series(&metrics).contains(&line.to_owned()), "it begins anew");
}

#[test]
fn the_series_of_no_role_stay() {
    let metrics = Metrics::default();
    let of = RoleMetrics::new(&metrics, NO_ROLE, None);
    let before = series(&metrics);
    RoleMetrics::forget(&metrics, NO_ROLE, None);
    assert_eq!(series(&metrics), before);
    of.moves.increment(1);
    assert_ne!(series(&metrics), before);
}

#[test]
fn probes_of_an_endpoint_that_came_back_are_added() {
    let metrics = Metrics::default();
    let endpoint = || EndpointMetrics::new(&metrics, "a", "s", "10.0.0.1:80");
    let first = endpoint();
    for passes in [1, 3, 3, 2] {
        first.checked(passes, 1, 0);
    }
    let second = endpoint();
    second.checked(2, 0, 0);
    let value = |result: &str| {
        let lines = series(&metrics);
        let line = lines.iter().find(|line| line.contains("_checks_total") && line.contains(result)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!([value("\"pass\""), value("\"fail\"")], ["5", "1"]);
}

#[test]
fn a_listener_that_is_gone_takes_its_series_along() {
    let metrics = Metrics::default();
    let [http, _https] = ["http", "https"].map(|name| ListenerMetrics::new(&metrics, name));
    ListenerMetrics::forget(&metrics, "http");
    http.accepted.increment(1);
    let lines = series(&metrics);
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("listener=\"https\"")), "{lines:?}");
}

#[test]
fn what_is_no_role_does_not_lack_servers() {
    let metrics = Metrics::default();
    let [none, role] = [NO_ROLE, "a"].map(|role| RoleMetrics::new(&metrics, role, None));
    none.panic.set(1.0);
    none.endpoints(Condition::Up).set(0.0);
    role.endpoints(Condition::Down).set(3.0);
    let of = |name: &str| series(&metrics).into_iter().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    assert_eq!(of("rolegate_role_panic"), ["rolegate_role_panic{role=\"a\"} 0"]);
    let states = of("rolegate_role_endpoints");
    assert_eq!(states.len(), 5);
    assert!(states.contains(&"rolegate_role_endpoints{role=\"a\",state=\"down\"} 3".to_owned()), "{states:?}");
}

#[test]
fn zeros_of_endpoints_and_groups_are_left_out_unless_all_is_shown() {
    let metrics = Metrics::default();
    let endpoint = EndpointMetrics::new(&metrics, "a", "s", "e");
    let group = GroupMetrics::new(&metrics, "a", Some("g"));
    let _role = RoleMetrics::new(&metrics, "a", None);
    let shown = |detail| {
        metrics.show(detail);
        let lines = series(&metrics);
        let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        [of("endpoint="), of("boundary_group="), lines.len()]
    };
    let [all_endpoints, all_groups, all] = shown(Detail::All);
    assert!(all_endpoints > 45 && all_groups == 8, "{all_endpoints}, {all_groups}");
    let of_role = all - all_endpoints - all_groups;
    assert_eq!(shown(Detail::Few), [2, 0, of_role + 2], "gauges of endpoints, and all of the role");
    assert_eq!(shown(Detail::None), [0, 0, of_role]);
    endpoint.requests[1].increment(1);
    endpoint.requests[4].increment(1);
    endpoint.duration.record(0.25);
    endpoint.connects.increment(1);
    group.failed();
    assert_eq!(shown(Detail::Few), [6, 1, of_role + 7], "two codes, sum and count");
    assert_eq!(shown(Detail::None), [0, 1, of_role + 1]);
    assert_eq!(shown(Detail::All), [all_endpoints, all_groups, all]);
}
