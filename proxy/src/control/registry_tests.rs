#![allow(clippy::unwrap_used)]

use super::*;
use crate::metrics::NO_ROLE;
use crate::model::endpoint::{Hold, Lease};

/// A registry and what is shown of it.
struct Lab {
    metrics: Arc<Metrics>,
    registry: Registry,
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::new([10, 0, 0, 1].into(), number)
}

impl Lab {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::new());
        Self { registry: Registry::new(Arc::clone(&metrics)), metrics }
    }

    /// A configuration with these roles, and one site system with these ports in each.
    fn assemble(&mut self, roles: &[(&str, &[u16])]) -> Vec<(Arc<EndpointState>, EndpointMetrics)> {
        let system: Arc<str> = "s".into();
        let mut endpoints = Vec::new();
        self.registry.begin_round();
        for (role, ports) in roles {
            endpoints.extend(ports.iter().map(|port| self.registry.endpoint(role, &system, address(*port))));
            self.registry.role(role, None);
        }
        self.registry.end_round();
        endpoints
    }

    fn leaving(&mut self) -> usize {
        self.registry.leaving().len()
    }

    /// How many series have this in their labels.
    fn series(&self, part: &str) -> usize {
        self.metrics.render().lines().filter(|line| line.contains(part)).count()
    }

    fn value(&self, family: &str, part: &str) -> Option<f64> {
        let text = self.metrics.render();
        let line = text.lines().find(|line| line.starts_with(family) && line.contains(part))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

const FIRST: &str = "endpoint=\"10.0.0.1:1\"";
const CONNECTS: &str = "rolegate_endpoint_connects_total";
const INFLIGHT: &str = "rolegate_endpoint_inflight";
const MOVES: &str = "rolegate_affinity_moves_total";

#[test]
fn series_go_with_the_last_request_of_an_endpoint_that_left() {
    let mut lab = Lab::new();
    let (state, metrics) = lab.assemble(&[("a", &[1, 2])]).remove(0);
    let shown = lab.series(FIRST);
    assert!(shown > 20, "{shown}");
    let leases = [Lease::take(&state), Lease::take(&state)];
    lab.assemble(&[("a", &[2])]);
    assert_eq!((lab.leaving(), lab.series(FIRST)), (1, shown), "what is under way is shown to its end");
    assert_eq!(lab.value(INFLIGHT, FIRST), Some(2.0));
    assert_eq!(lab.value("rolegate_endpoint_up", FIRST), Some(0.0));
    let [one, two] = leases;
    drop(one);
    assert_eq!((lab.leaving(), lab.value(INFLIGHT, FIRST)), (1, Some(1.0)));
    drop(two);
    assert_eq!((lab.leaving(), lab.series(FIRST)), (0, 0));
    assert_eq!(lab.series("endpoint=\"10.0.0.1:2\""), shown, "the other one stays");
    // A thread that still has an old snapshot.
    metrics.connects.increment(1);
    assert_eq!((lab.leaving(), lab.series(FIRST)), (0, 0));
}

#[test]
fn series_stay_while_a_client_is_signed_in() {
    let mut lab = Lab::new();
    let (state, _) = lab.assemble(&[("a", &[1])]).remove(0);
    let hold = Hold::take(&state);
    lab.assemble(&[("a", &[])]);
    assert_eq!((lab.leaving(), state.in_flight()), (1, 0), "it takes no place and is not forgotten");
    assert!(lab.series(FIRST) > 0);
    drop(hold);
    assert_eq!((lab.leaving(), lab.series(FIRST)), (0, 0));
}

#[test]
fn one_that_comes_back_goes_on_with_its_series() {
    let mut lab = Lab::new();
    let (state, metrics) = lab.assemble(&[("a", &[1])]).remove(0);
    metrics.connects.increment(5);
    let lease = Lease::take(&state);
    lab.assemble(&[("a", &[])]);
    assert_eq!(lab.leaving(), 1);
    let (_, back) = lab.assemble(&[("a", &[1])]).remove(0);
    back.connects.increment(1);
    metrics.connects.increment(1);
    assert_eq!(lab.value(CONNECTS, FIRST), Some(7.0));
    drop(lease);
    assert_eq!(
        (lab.leaving(), lab.value(CONNECTS, FIRST)),
        (0, Some(7.0)),
        "the end of the old one takes nothing away"
    );
    back.connects.increment(1);
    assert_eq!(lab.value(CONNECTS, FIRST), Some(8.0));

    lab.assemble(&[("a", &[])]);
    assert_eq!((lab.leaving(), lab.series(FIRST)), (0, 0));
    lab.assemble(&[("a", &[1])]);
    assert_eq!(lab.value(CONNECTS, FIRST), Some(0.0), "after that it begins anew");
}

#[test]
fn one_that_left_twice_goes_with_the_last_of_both() {
    let mut lab = Lab::new();
    let (first, _) = lab.assemble(&[("a", &[1])]).remove(0);
    let first = [Lease::take(&first), Lease::take(&first)];
    lab.assemble(&[("a", &[])]);
    let (second, _) = lab.assemble(&[("a", &[1])]).remove(0);
    let second = Lease::take(&second);
    lab.assemble(&[("a", &[])]);
    assert_eq!((lab.leaving(), lab.value(INFLIGHT, FIRST)), (2, Some(3.0)));
    drop(first);
    assert_eq!((lab.leaving(), lab.value(INFLIGHT, FIRST)), (1, Some(1.0)));
    drop(second);
    assert_eq!((lab.leaving(), lab.series(FIRST)), (0, 0));
}

#[test]
fn only_the_last_of_many_replaced_endpoints_are_shown() {
    let mut lab = Lab::new();
    let (mut size, mut shown) = (0, 0);
    for round in 0..50 {
        let ports: Vec<u16> = (1..=1000).map(|port| 1000 * (round + 1) + port).collect();
        lab.assemble(&[("a", &ports)]);
        assert_eq!(lab.leaving(), 0);
        if round == 0 || round == 49 {
            let text = lab.metrics.render();
            (size, shown) = match round {
                0 => (text.len(), lab.series("endpoint=")),
                _ => {
                    // The ports have one digit more.
                    assert!(text.len() < size + size / 20, "{} bytes after {size}", text.len());
                    assert_eq!(lab.series("endpoint="), shown);
                    assert_eq!(text.lines().filter(|line| line.starts_with(CONNECTS)).count(), 1000);
                    (size, shown)
                }
            };
        }
    }
    assert!(shown > 20_000, "{shown}");
}

#[test]
fn series_of_a_role_go_after_its_last_endpoint() {
    let mut lab = Lab::new();
    let (state, _) = lab.assemble(&[("a", &[1]), ("b", &[1])]).remove(0);
    lab.registry.role("a", None).moves.increment(3);
    let lease = Lease::take(&state);
    lab.assemble(&[("b", &[1])]);
    assert_eq!((lab.leaving(), lab.value(MOVES, "role=\"a\"")), (1, Some(3.0)));
    drop(lease);
    assert_eq!((lab.leaving(), lab.series("role=\"a\"")), (0, 0));
    assert!(lab.series("role=\"b\"") > 60, "the other one stays");
    lab.assemble(&[("a", &[]), ("b", &[1])]);
    assert_eq!((lab.leaving(), lab.value(MOVES, "role=\"a\"")), (0, Some(0.0)), "it begins anew");
    // Nothing serves it, but it is configured.
    lab.assemble(&[("a", &[])]);
    assert_eq!((lab.leaving(), lab.value(MOVES, "role=\"a\"")), (0, Some(0.0)));
    assert_eq!(lab.series("role=\"b\""), 0);
}

#[test]
fn a_role_that_comes_back_soon_goes_on() {
    let mut lab = Lab::new();
    lab.assemble(&[("a", &[1])]);
    let before = lab.registry.role("a", None);
    before.moves.increment(3);
    lab.assemble(&[]);
    lab.assemble(&[("a", &[1])]);
    assert_eq!((lab.leaving(), lab.value(MOVES, "role=\"a\"")), (0, Some(3.0)));
    before.moves.increment(1);
    assert_eq!(lab.value(MOVES, "role=\"a\""), Some(4.0));
}

#[test]
fn a_role_with_the_name_of_no_role_leaves_its_series() {
    let mut lab = Lab::new();
    let none = RoleMetrics::new(&lab.metrics, NO_ROLE, None);
    lab.assemble(&[(NO_ROLE, &[1])]);
    lab.assemble(&[]);
    assert_eq!((lab.leaving(), lab.series("endpoint=")), (0, 0));
    none.moves.increment(1);
    assert_eq!(lab.value(MOVES, "role=\"none\""), Some(1.0));
}

#[test]
fn series_of_a_group_go_with_the_configuration_that_had_it() {
    let mut lab = Lab::new();
    let mut assemble = |roles: &[(&str, &[Option<&str>])]| -> [usize; 5] {
        lab.registry.begin_round();
        for (role, groups) in roles {
            lab.registry.role(role, None);
            groups.iter().for_each(|group| lab.registry.group(role, *group).failed());
        }
        lab.registry.end_round();
        lab.leaving();
        let [ax, ay, bx, rest] = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "")]
            .map(|(role, group)| lab.series(&format!("role=\"{role}\",boundary_group=\"{group}\"")));
        let failures = lab.value("rolegate_group_failures_total", "role=\"a\",boundary_group=\"x\"").unwrap_or(0.0);
        [ax, ay, bx, rest, failures as usize]
    };
    let (x, y) = (Some("x"), Some("y"));
    assert_eq!(assemble(&[("a", &[x, y]), ("b", &[x, None])]), [8, 8, 8, 8, 1]);
    assert_eq!(assemble(&[("a", &[x]), ("b", &[x])]), [8, 0, 8, 0, 2], "what stays goes on");
    assert_eq!(assemble(&[("b", &[x])]), [0, 0, 8, 0, 0], "a role takes its groups along");
    assert_eq!(assemble(&[("a", &[x]), ("b", &[])]), [8, 0, 0, 0, 1], "what comes back begins anew");
}
