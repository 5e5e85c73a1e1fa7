//! How many series boundary groups lead to, and what is said when there would be more than may be.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use rolegate::control::assemble::{Addresses, assemble};
use rolegate::control::registry::Registry;
use rolegate::metrics::{GroupMetrics, Metrics};

use marks::{error, look, warning, with};

#[path = "control_support/marks.rs"]
mod marks;

/// Series of boundary groups that a configuration leads to.
fn group_series(text: &str) -> usize {
    let (_, compiled) = look(text);
    let metrics = Arc::new(Metrics::new());
    let mut registry = Registry::new(Arc::clone(&metrics));
    let topologies = assemble(&compiled.unwrap(), &Addresses::new(), &mut registry).topologies;
    for topology in &topologies {
        let kept = topology.groups.iter().filter_map(|group| group.metrics.as_ref());
        kept.for_each(GroupMetrics::failed);
    }
    metrics.render().lines().filter(|line| line.starts_with("rolegate_group_")).count()
}

/// Four groups that hold a server of two roles.
fn many_groups(setting: &str) -> String {
    let groups: String = (0..4)
        .map(|number| {
            format!(
                "[[boundary_groups]]\nname = \"g{number}\"\nboundaries = [\"10.{number}.0.0/16\"]\nsite_systems = [\"mp1\"]\n"
            )
        })
        .collect();
    with(&format!("[proxy]\nendpoint_metrics = \"all\"\n{setting}\n{groups}")).replace("[\"MP\"]", "[\"MP\", \"SUP\"]")
}

#[test]
fn series_of_boundary_groups_are_bounded() {
    // Two roles and five groups.
    for (setting, series) in [
        ("", 80),
        ("group_metrics = true", 80),
        ("group_metrics = false", 0),
        ("group_metrics = 0", 0),
        ("group_metrics = 80", 80),
    ] {
        let text = many_groups(setting);
        assert_eq!(group_series(&text), series, "{setting}");
        assert_eq!(look(&text).0, [], "{setting}");
    }
    for most in 1..80 {
        let text = many_groups(&format!("group_metrics = {most}"));
        let series = group_series(&text);
        assert!(series <= most && (series > 0 || most < 16), "{most}: {series}");
    }
    let few = |most: &str| many_groups(&format!("group_metrics = «{most}»"));
    let message = "5 boundary groups in 2 roles are 80 series, more than 79: the first 3 have series of their own, the other 2 share some";
    warning(&few("79"), message, "write group_metrics = 80 below [proxy], or false for none");
    warning(&few("15"), "more than 15: there are none", "write group_metrics = 80");
    error(&few("1000001"), "1000001 series are more than anything reads", "a number from 0 to 1000000");
}
