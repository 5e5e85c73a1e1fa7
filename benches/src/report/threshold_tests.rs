use std::sync::{Arc, OnceLock};

use super::sample::run;
use super::tests::check_tags;
use super::*;
use crate::load::Watch;
use crate::record::{Failure, Live, Outcome, Run, Sample, SeriesKey};
use crate::threshold::judge;

/// A run with a threshold that is met, two that are missed, and one of too few answers.
fn judged() -> Run {
    let mut run = run("rolegate <&>", 1, 5, 1.0);
    run.generator.doubts = vec!["100 % busy:\nyes, it was.".to_owned()];
    let texts = ["requests > 10", "errors > 50%", "role MP: p99 < 1us", "p99.999 < 1s"];
    let thresholds: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
    run.thresholds = judge(&thresholds, &run);
    run
}

#[test]
fn thresholds_are_told_everywhere() {
    let run = judged();
    let outcomes: Vec<_> = run.thresholds.iter().map(|judged| judged.outcome).collect();
    assert_eq!(outcomes, [Outcome::Met, Outcome::Missed, Outcome::Missed, Outcome::NotJudged]);
    let text = text(&run);
    let mut page = Vec::new();
    write_html(std::slice::from_ref(&run), &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    check_tags(&page);
    let requests = format::count(run.thresholds[0].samples);
    for line in [
        "Thresholds: 1 met, 2 missed, 1 not judged.".to_owned(),
        format!("  met         requests > 10: {requests} of {requests} requests"),
        format!("  MISSED      errors > 50%: 0 % of {requests} requests"),
        "  NOT JUDGED  p99.999 < 1s: of ".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}:\n{text}");
    }
    let of = format!("of {requests} requests");
    for fact in ["role MP: p99 &lt; 1us", "1 met, 2 missed, 1 not judged", ">not judged<", ">missed<", &of] {
        assert!(page.contains(fact), "{fact}");
    }
    let without = Run { thresholds: Vec::new(), ..run };
    assert!(!self::text(&without).contains("hreshold"));
}

#[test]
fn junit_is_xml_with_a_test_for_each_threshold() {
    let run = judged();
    let mut xml = Vec::new();
    write_junit(&run, &mut xml).unwrap();
    let xml = String::from_utf8(xml).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let suites = document.root_element();
    assert_eq!(
        (suites.tag_name().name(), suites.attribute("tests"), suites.attribute("failures")),
        ("testsuites", Some("5"), Some("3"))
    );
    let suite = suites.first_element_child().unwrap();
    assert_eq!(suite.attribute("name"), Some("monday-morning rolegate <&>"));
    assert_eq!((suite.attribute("time"), suite.attribute("timestamp")), (Some("5.000"), Some("2026-11-24T13:48:08")));
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    let told: Vec<_> = cases
        .iter()
        .map(|case| {
            let failure = case.first_element_child().map(|failure| failure.attribute("type").unwrap());
            (case.attribute("name").unwrap(), failure)
        })
        .collect();
    let expected = [
        ("something was answered", None),
        ("requests > 10", None),
        ("errors > 50%", Some("missed")),
        ("role MP: p99 < 1us", Some("missed")),
        ("p99.999 < 1s", Some("not judged")),
    ];
    assert_eq!(told, expected);
    let why = cases[4].first_element_child().unwrap().attribute("message").unwrap();
    assert!(why.contains("none is slower than p99.999"), "{why}");
    let doubts = suite.children().find(|node| node.has_tag_name("system-out")).unwrap();
    assert_eq!(doubts.text(), Some("100 % busy:\nyes, it was."));
}

#[test]
fn nothing_answered_is_a_failed_test_and_no_text_breaks_the_xml() {
    let mut run = judged();
    run.series.clear();
    run.thresholds.clear();
    run.label = "a\u{0}\u{1b}[31m\u{fffe}]]>\"'".to_owned();
    run.generator.doubts = vec!["\u{8}".to_owned()];
    let told = "::error title=monday-morning%3A nothing answered::of 0 requests none was answered as it should be\n";
    assert!(annotations(&run).starts_with(told));
    let mut xml = Vec::new();
    write_junit(&run, &mut xml).unwrap();
    let xml = String::from_utf8(xml).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert_eq!(failure.attribute("message"), Some("of 0 requests none was answered as it should be"));
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!(suite.attribute("name"), Some("monday-morning a\u{fffd}\u{fffd}[31m\u{fffd}]]>\"'"));
}

#[test]
fn annotations_are_as_github_reads_them() {
    let told = annotations(&judged());
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}");
    assert!(
        lines[0].starts_with("::error title=monday-morning%3A threshold missed::errors > 50%25: 0 %25 of "),
        "{told}"
    );
    assert!(lines[1].starts_with("::error title=monday-morning%3A threshold missed::role MP: p99 < 1us: "), "{told}");
    assert!(lines[2].starts_with("::error title=monday-morning%3A threshold not judged::p99.999 < 1s: of "), "{told}");
    assert_eq!(lines[3], "::warning title=monday-morning%3A doubt::100 %25 busy:%0Ayes, it was.");
    assert_eq!(annotations(&run("a", 1, 2, 1.0)), "");
}

#[test]
fn an_interrupted_run_is_judged_by_what_there_is() {
    let mut run = judged();
    run.interrupted = true;
    assert!(text(&run).contains("  met         requests > 10") && text(&run).starts_with("DOUBT: "));
    assert!(
        annotations(&run).contains("::warning title=monday-morning%3A doubt::The run was interrupted after 5s of 5s.")
    );
}

/// So many series of a thread that has counted some of each.
fn live(groups: usize) -> Live {
    let slot: Arc<OnceLock<Live>> = Arc::default();
    let watch = Watch { live: Some(Arc::clone(&slot)), ..Watch::default() };
    let group = |n: usize| SeriesKey { message: "a \"b\"\\".to_owned(), role: "MP".to_owned(), group: format!("G{n}") };
    let (mut recorders, _collector) = watch.recorders((0..groups).map(group).collect(), 1, std::time::Duration::ZERO);
    for series in 0..groups {
        let ms = std::time::Duration::from_millis;
        let sample = Sample { at: ms(1), latency: ms(2), service: ms(2), sent: 3, received: 10, result: Ok(()) };
        recorders[0].record(series, &sample);
        recorders[0].record(series, &Sample { result: Err(Failure::Status(503)), ..sample });
    }
    recorders[0].fail(0, std::time::Duration::ZERO, Failure::Unsent, 4);
    recorders[0].opened();
    recorders[0].tick(std::time::Duration::ZERO);
    slot.get().unwrap().clone()
}

#[test]
fn live_figures_are_text_for_prometheus() {
    let told = prometheus(Some(&live(2)));
    let labels = r#"message="a \"b\"\\",role="MP",group="G1""#;
    for line in [
        "# TYPE fleet_good_answers_total counter".to_owned(),
        format!("fleet_good_answers_total{{{labels}}} 1"),
        format!("fleet_received_bytes_total{{{labels}}} 20"),
        format!("fleet_failures_total{{{labels},kind=\"status 503\"}} 1"),
        format!("fleet_failures_total{{{},kind=\"unsent\"}} 4", labels.replace("G1", "G0")),
        format!("fleet_latency_seconds_bucket{{{labels},le=\"0.001\"}} 0"),
        format!("fleet_latency_seconds_bucket{{{labels},le=\"0.0025\"}} 1"),
        format!("fleet_latency_seconds_bucket{{{labels},le=\"+Inf\"}} 1"),
        format!("fleet_latency_seconds_sum{{{labels}}} 0.002"),
        format!("fleet_latency_seconds_count{{{labels}}} 1"),
        "fleet_open_connections 1".to_owned(),
        "fleet_under_way 0".to_owned(),
    ] {
        assert!(told.lines().any(|told| told == line), "{line}:\n{told}");
    }
    assert_eq!(prometheus(None), "");
    let document = include_str!("../../../docs/load.md");
    for name in told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(document.contains(&format!("`{name}`")), "{name} is not in the document");
    }
}

#[test]
fn very_many_groups_are_added_up() {
    let told = prometheus(Some(&live(501)));
    assert!(!told.contains("group="), "{told}");
    assert!(told.contains("fleet_good_answers_total{message=\"a \\\"b\\\"\\\\\",role=\"MP\"} 501\n"), "{told}");
    assert!(told.lines().count() < 60, "{told}");
}

/// The lines from the one with this on, up to the next that is empty.
fn table<'t>(text: &'t str, head: &str) -> Vec<&'t str> {
    let lines: Vec<_> =
        text.lines().skip_while(|line| !line.contains(head)).take_while(|line| !line.is_empty()).collect();
    assert!(lines.len() > 2, "{head}:\n{text}");
    lines
}

#[test]
fn tables_fit_in_80_columns() {
    let mut large = run("http://127.0.0.1:8101/a/rather/long/label", 1, 100, 1.0);
    for series in &mut large.series {
        series.done = 5_000_000;
        series.errors = [("reset".to_owned(), 99_999)].into();
        series.message = format!("GET /SMS_MP/.sms_aut?MPLIST&a-path-that-is-long={}", series.message);
    }
    let four: Vec<_> = [1, 2, 3, 4].map(|n| Run { label: format!("{} {n}", large.label), ..large.clone() }).into();
    let (one, several) = (text(&large), compare_text(&four));
    let comparison = comparison_text(&sample::comparison());
    let tables = [
        table(&one, "p99.9"),
        table(&one, "By message type"),
        table(&one, "By role"),
        table(&several, "lowest–highest"),
        table(&comparison, "ratio to rolegate"),
    ];
    for line in tables.iter().flatten() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn every_figure_has_its_number_of_samples_beside_it() {
    let run = run("a", 1, 60, 1.0);
    let text = text(&run);
    let lines: Vec<_> = text.lines().collect();
    for by in ["policy request (MP)", "SUP", "Lisbon"] {
        let at = lines.iter().position(|line| *line == by).unwrap_or_else(|| panic!("{by}:\n{text}"));
        let of: u64 = run
            .series
            .iter()
            .filter(|series| by.starts_with(&series.message) || series.role == by || series.group == by)
            .map(|series| series.latency.count())
            .sum();
        assert_eq!(lines[at + 1].split_whitespace().next(), Some(format::count(of).as_str()), "{by}:\n{text}");
    }
}
