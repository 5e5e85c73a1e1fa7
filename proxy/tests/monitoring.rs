//! What `examples/monitoring` names is there: metrics, places in the documents, alerts. Whether the rules work is for promtool to say.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use rolegate::metrics::{Detail, FAMILIES, Family, Kind, Metrics};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in a text. Recorded series have colons and are none.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !word(c));
    let begins = |word: &&str| word.starts_with("rolegate_") || word.starts_with("process_");
    words.filter(begins).filter(|word| !word.contains(':')).collect()
}

/// What a family has series of.
fn series(family: &Family) -> Vec<String> {
    let suffixes: &[&str] = match family.1 {
        Kind::Counter | Kind::Gauge => &[""],
        Kind::Histogram => &["_bucket", "_sum", "_count"],
    };
    suffixes.iter().map(|suffix| format!("{}{suffix}", family.0)).collect()
}

/// Lines of a list of keys and values, by their key.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let begin = format!("{key}: ");
    text.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(&begin)).collect()
}

const FILES: [&str; 4] = ["dashboard.json", "rules.yml", "rules.test.yml", "README.md"];

#[test]
fn every_metric_exists() {
    let known: BTreeSet<String> = FAMILIES.iter().flat_map(series).collect();
    let mut found = BTreeSet::new();
    let texts = FILES.map(|file| (file, read(&format!("examples/monitoring/{file}"))));
    for (file, text) in &texts {
        for name in names(text) {
            let explained = *file == "rules.yml" && FAMILIES.iter().any(|family| family.0 == name);
            assert!(known.contains(name) || explained, "{file} has {name}, which does not exist");
            found.insert(name);
        }
    }
    assert!(found.len() > 40, "only {found:?}");
}

#[test]
fn nothing_is_asked_that_is_not_shown_by_default() {
    let metrics = Metrics::new();
    metrics.show(Detail::Few);
    let of = metrics.scope(&[("role", "a"), ("site_system", "s"), ("endpoint", "e")]);
    for Family(name, kind, ..) in FAMILIES.iter().filter(|family| family.0.starts_with("rolegate_endpoint_")) {
        match kind {
            Kind::Counter => of.counter(name).increment(1),
            Kind::Gauge => of.gauge(name).set(1.0),
            Kind::Histogram => of.histogram(name).record(1.0),
        }
    }
    let text = metrics.render();
    let shown: BTreeSet<&str> = text.lines().filter_map(|line| line.split_once('{')).map(|(name, _)| name).collect();
    for file in ["dashboard.json", "rules.yml"] {
        let text = read(&format!("examples/monitoring/{file}"));
        for name in names(&text).into_iter().filter(|name| name.starts_with("rolegate_endpoint_")) {
            assert!(shown.contains(name), "{file} has {name}, which is shown with endpoint_metrics = \"all\" alone");
        }
    }
}

#[test]
fn every_runbook_is_a_heading() {
    let rules = read("examples/monitoring/rules.yml");
    let operations = read("docs/operations.md");
    let headings: BTreeSet<String> = operations
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    let runbooks = values(&rules, "runbook");
    for runbook in &runbooks {
        let anchor = runbook.strip_prefix("docs/operations.md#").unwrap_or_else(|| panic!("{runbook}"));
        assert!(headings.contains(anchor), "docs/operations.md has no heading {anchor}");
    }
    assert_eq!(runbooks.len(), values(&rules, "alert").len(), "each alert has one");
}

#[test]
fn every_alert_is_tested_and_in_the_readme() {
    let [rules, tests, readme] =
        ["rules.yml", "rules.test.yml", "README.md"].map(|file| read(&format!("examples/monitoring/{file}")));
    let alerts: BTreeSet<&str> = values(&rules, "alert").into_iter().collect();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `Rolegate")?.split_once("` |"));
    let listed: BTreeSet<String> =
        rows.map(|(name, rest)| format!("Rolegate{name}: {}", rest.trim_start().split_once(' ').unwrap().0)).collect();
    let severities = values(&rules, "severity");
    let expected: BTreeSet<String> = values(&rules, "alert")
        .iter()
        .zip(severities)
        .map(|(alert, severity)| format!("{alert}: {severity}"))
        .collect();
    assert_eq!(listed, expected);
    // Named once where it is quiet, and once where it fires.
    for alert in alerts {
        let named = tests.lines().filter(|line| line.trim() == format!("alertname: {alert}")).count();
        assert!(named >= 2, "{alert} is in rules.test.yml {named} times");
    }
    assert_eq!(tests.matches("exp_labels:").count(), values(&rules, "alert").len(), "each one fires once");
}

#[test]
fn the_dashboard_is_what_grafana_reads() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("examples/monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{} is too wide", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{} asks nothing", panel["title"]);
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            assert!(query.contains("job='rolegate',instance=~'$instance'"), "{query} asks other jobs too");
            assert!(!query.contains('"'), "{query}: write '");
        }
    }
}
