use proptest::prelude::*;

use super::page::LINES;
use super::sample::run;
use super::*;
use crate::record::{FORMAT, Interval, Run, Series};

fn page(runs: &[Run]) -> String {
    let mut page = Vec::new();
    write_html(runs, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

/// Every tag that is opened is closed, in order; only what HTML never closes is not.
pub(super) fn check_tags(page: &str) {
    let never = ["meta", "!DOCTYPE", "br"];
    let mut open = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {piece}"));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match tag {
            _ if never.contains(&name) || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "closed too early"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}

/// Nothing is fetched and nothing runs.
pub(super) fn check_alone(page: &str) {
    for word in ["src=", "href=", "<link", "<script", "<iframe", "<img", "@import", "url(", "javascript:", " onload"] {
        assert!(!page.contains(word), "{word}");
    }
    for (at, _) in page.match_indices("://www.w3.org") {
        assert!(page[..at].ends_with("xmlns=\"http"));
    }
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    let run = run("rolegate 0.1.0", 1, 3, 1.0);
    write_json(&run, &file).unwrap();
    assert_eq!(read(&file).unwrap(), run);
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("run.json"), folder.path().join("link.json"));
    std::fs::write(&file, "before").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let full = |to: &mut dyn std::io::Write| {
        to.write_all(&[b'x'; 100_000])?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
    };
    assert!(replace(&file, full).is_err());
    let there = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!((std::fs::read_to_string(&file).unwrap().as_str(), there()), ("before", 2));
    replace(&link, |to| to.write_all(b"after")).unwrap();
    assert_eq!((std::fs::read_to_string(&file).unwrap().as_str(), there()), ("after", 2));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink(), "what it leads to was replaced");
    let (new, usual) = (folder.path().join("new"), folder.path().join("usual"));
    replace(&new, |_| Ok(())).unwrap();
    std::fs::write(&usual, "").unwrap();
    let [new, usual] = [new, usual].map(|file| std::fs::metadata(file).unwrap().permissions());
    assert_eq!(new, usual, "others may read it as they may read any file");
}

#[test]
fn a_folder_is_tried_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let there = || std::fs::read_dir(folder.path()).unwrap().count();
    try_folder(&folder.path().join("a/b/c")).unwrap();
    assert_eq!(there(), 0);
    std::fs::create_dir(folder.path().join("a")).unwrap();
    try_folder(&folder.path().join("a/b")).unwrap();
    assert_eq!(there(), 1, "what was there stays");
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(try_folder(&folder.path().join("file/b")).is_err());
}

#[test]
fn other_files_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    let error = |text: &str| {
        std::fs::write(&file, text).unwrap();
        read(&file).unwrap_err().to_string()
    };
    let cases = [
        ("", "is not JSON"),
        ("<html>", "is not JSON"),
        ("{\"format\": 7}", "format 7, but this program reads format 1: measure again"),
        ("{\"format\": 1}", "is JSON, but not a run"),
        ("[]", "is JSON, but not a run"),
        ("null", "is JSON, but not a run"),
    ];
    for (text, expected) in cases {
        let error = error(text);
        assert!(error.contains(expected) && error.contains("run.json"), "{error}");
    }
    let none = read(&folder.path().join("none.json")).unwrap_err();
    assert!(matches!(none, ReadError::Io { .. }) && none.to_string().contains("none.json"), "{none}");
}

#[test]
fn text_says_what_was_measured() {
    let run = run("rolegate 0.1.0", 1, 90, 1.0);
    let text = text(&run);
    for fact in
        ["monday-morning", "5,000 clients", "60 times", "status 503: ", "p99.9", "policy request (MP)", "Lisbon", "SUP"]
    {
        assert!(text.contains(fact), "{fact} is missing:\n{text}");
    }
    assert!(!text.contains("DOUBT"));
    let failed = run.series.iter().flat_map(|series| series.errors.values()).sum::<u64>();
    let left_out = format!("{} failed, not in these figures.", format::count(failed));
    for told in [text.as_str(), page(std::slice::from_ref(&run)).as_str()] {
        for fact in ["good answers", left_out.as_str(), "that found a free connection"] {
            assert!(told.contains(fact), "{fact} is missing:\n{told}");
        }
    }
    let none = even("none", 10, 10);
    assert!(!self::text(&none).contains("not in these figures") && !page(&[none]).contains("not in these figures"));
}

#[test]
fn doubts_come_first() {
    let mut run = run("a", 1, 2, 1.0);
    run.generator.doubts = vec!["The processor was full.".to_owned()];
    run.interrupted = true;
    assert!(text(&run).starts_with("DOUBT: The processor was full.\nDOUBT: The run was interrupted after 2s of 2s.\n"));
    assert!(compare_text(&[run.clone(), run.clone()]).starts_with("DOUBT: a #1: The processor was full."));
    assert!(page(&[run]).contains("The processor was full."));
}

#[test]
fn what_was_dropped_at_the_end_is_told() {
    let fine = run("a", 1, 2, 1.0);
    let dropped = Run { dropped: 1064, ..fine.clone() };
    let told = "Under way at the end, not waited for and in no figure: 1,064.";
    let one = std::slice::from_ref(&dropped);
    for text in [text(&dropped), page(one), compare_text(&[fine.clone(), dropped.clone()])] {
        assert_eq!(text.matches(told).count(), 1, "{text}");
    }
    assert!(page(&[fine.clone(), dropped]).contains("<td>1,064</td>"));
    assert!(!text(&fine).contains("Under way") && !page(&[fine]).contains("not waited for"));
}

#[test]
fn files_of_before_are_read() {
    let run = run("a", 1, 2, 1.0);
    let mut value = serde_json::to_value(&run).unwrap();
    let fields = value.as_object_mut().unwrap();
    assert!(fields.remove("dropped").is_some() && fields.remove("thresholds").is_some());
    assert_eq!(serde_json::from_value::<Run>(value).unwrap(), run);
}

#[test]
fn one_message_type_of_one_group_has_no_tables_of_roles_and_groups() {
    let mut run = run("a", 1, 2, 1.0);
    run.series.truncate(1);
    let text = text(&run);
    assert!(text.contains("message type") && !text.contains("boundary group") && !text.contains("By role"), "{text}");
}

/// A run of as many requests, each of the same latency.
fn even(label: &str, done: u64, us: u64) -> Run {
    let mut series = Series { message: "GET /".to_owned(), done, ..Series::default() };
    (0..done).for_each(|_| series.latency.record(us));
    let mut run = run(label, 1, 0, 1.0);
    run.series = vec![series];
    run.measured_s = 10.0;
    run
}

/// What is said of a figure of a comparison, and the words of each of its lines.
fn block(text: &str, title: &str, samples: usize) -> (String, Vec<Vec<String>>) {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("{title}: ")));
    let told = lines.next().unwrap_or_else(|| panic!("{title}:\n{text}")).split_once(": ").unwrap().1.to_owned();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    (told, lines.take(samples).map(words).collect())
}

#[test]
fn ratios_are_to_the_first_run() {
    let text = compare_text(&[even("one", 1_000, 1_000), even("two", 500, 2_000), even("three", 1_000, 1_002)]);
    let (told, lines) = block(&text, "good answers", 3);
    assert_eq!(told, "too few runs");
    assert_eq!(
        lines,
        [vec!["one", "100/s", "1,000"], vec!["two", "50/s", "500", "0.50×"], vec!["three", "100/s", "1,000", "1.00×"]]
    );
    assert_eq!(block(&text, "p50", 3).1[1], ["two", "2", "ms", "500", "2.00×"]);
    assert_eq!(block(&text, "errors", 3).1[1], ["two", "0", "%", "500", "1.00×"]);
    assert!(!text.contains("WARNING"), "{text}");
    let by = compare_text(&[run("a", 1, 9, 1.0), run("b", 2, 9, 1.0)]);
    for row in ["SUP, p99", "Berlin, p50", "update scan (SUP), p99"] {
        assert!(by.contains(row), "{row}:\n{by}");
    }
}

/// Five runs of each, in turns; the latencies of a run in microseconds.
fn repeated(one: [u64; 5], two: [u64; 5]) -> Vec<Run> {
    let pairs = one.into_iter().zip(two);
    pairs.flat_map(|(one, two)| [even("one", 1_000, one), even("two", 1_000, two)]).collect()
}

#[test]
fn runs_of_one_label_are_one_sample() {
    let all = repeated([1_000, 1_050, 990, 1_020, 1_010], [1_200, 1_190, 1_300, 1_250, 1_220]);
    let text = compare_text(&all);
    let (told, lines) = block(&text, "p50", 2);
    assert_eq!(told, "one");
    let words = ["one", "1.01", "ms", "990", "µs–1.05", "ms", "5,000"];
    assert_eq!(lines[0], words, "{text}");
    assert_eq!(lines[1].last().map(String::as_str), Some("1.21×"));
    assert_eq!(block(&text, "good answers", 2).0, "even");
    assert!(page(&all).contains("one (5 runs) (base)") && text.contains("Runs of each: one (5), two (5)."), "{text}");
    // The best of the one is as good as the worst of the other.
    let text = compare_text(&repeated([1_000, 1_050, 990, 1_020, 1_010], [1_200, 1_040, 1_300, 1_250, 1_220]));
    assert_eq!(block(&text, "p50", 2).0, "undecided");
    assert_eq!(block(&compare_text(&all[..8]), "p50", 2).0, "too few runs");
}

#[test]
fn no_winner_is_named_of_doubted_runs_and_of_too_few_answers() {
    let mut all = repeated([1_000; 5], [2_000; 5]);
    assert_eq!(block(&compare_text(&all), "p50", 2).0, "one");
    assert_eq!(block(&compare_text(&all), "p99.9", 2).0, "one", "a thousand are enough");
    assert!(page(&all).contains("td class=\"best\"") && page(&all).contains("2.00× worse"));
    all[3].generator.doubts = vec!["It was busy.".to_owned()];
    assert_eq!(block(&compare_text(&all), "p50", 2).0, "doubted");
    assert!(!page(&all).contains("td class=\"best\"") && !page(&all).contains("worse"));
    all[3] = Run { interrupted: true, ..even("two", 1_000, 2_000) };
    assert_eq!(block(&compare_text(&all), "p50", 2).0, "doubted");
    all[3] = even("two", 999, 2_000);
    assert_eq!(block(&compare_text(&all), "p50", 2).0, "one");
    assert_eq!(block(&compare_text(&all), "p99.9", 2).0, "too few runs", "one has too few answers for it");
}

#[test]
fn runs_that_differ_are_warned_of() {
    let base = even("one", 10, 10);
    let mut other = even("two", 10, 10);
    other.target = "https://192.0.2.7:8443/".to_owned();
    other.clients = 7;
    other.speedup = 1.0;
    other.scenario.push('#');
    let text = compare_text(&[base.clone(), other]);
    for what in ["target machine", "192.0.2.7 instead of 127.0.0.1", "clients", "speedup", "not the same text"] {
        assert!(text.contains(what), "{what}:\n{text}");
    }
    let mut other_port = base.clone();
    other_port.target = "http://127.0.0.1:9090".to_owned();
    assert!(!compare_text(&[base, other_port]).contains("WARNING"));
}

#[test]
fn a_page_needs_nothing_else() {
    let one = run("rolegate 0.1.0", 1, 100, 1.0);
    let two = run("haproxy 2.6", 2, 100, 1.3);
    for page in [page(std::slice::from_ref(&one)), page(&[one, two])] {
        check_alone(&page);
        check_tags(&page);
        assert!(page.contains("<polyline") && page.contains("99.9 %") && page.contains("viewBox"));
    }
}

#[test]
fn a_long_run_with_much_in_it_stays_small() {
    let mut long = run("rolegate", 1, 1, 1.0);
    let interval = long.timeline[0].clone();
    long.timeline = (0..90_000).map(|second| Interval { at_s: f64::from(second), ..interval.clone() }).collect();
    let series = long.series[0].clone();
    long.series =
        (0..120).map(|i| Series { message: format!("type {i}"), group: i.to_string(), ..series.clone() }).collect();
    long.scenario = "ä".repeat(100_000);
    for runs in [vec![long.clone()], vec![long; 3]] {
        check_alone(&page(&runs));
    }
}

#[test]
fn text_of_a_run_is_never_markup() {
    const EVIL: &str = "</title></style><script>alert(1)</script><img src=x onerror='a'>\"&";
    let mut run = run(EVIL, 1, 2, 1.0);
    for text in [&mut run.name, &mut run.target, &mut run.scenario, &mut run.machine.processor] {
        EVIL.clone_into(text);
    }
    run.generator.doubts = vec![EVIL.to_owned()];
    for series in &mut run.series {
        series.errors.insert(EVIL.to_owned(), 3);
        EVIL.clone_into(&mut series.role);
    }
    run.series[0].message = EVIL.to_owned();
    run.series[0].group = EVIL.to_owned();
    let role = run.timeline[0].roles["MP"].clone();
    run.timeline[0].roles.insert(EVIL.to_owned(), role);
    for page in [page(std::slice::from_ref(&run)), page(&[run.clone(), run.clone()])] {
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("style><script"));
        check_tags(&page);
    }
}

#[test]
fn colours_of_drawings_are_in_the_style_sheet() {
    let sheet = include_str!("page/style.css");
    for colour in 0..=LINES {
        let name = chart::colour_name(colour);
        assert!(
            sheet.contains(&format!("[stroke=\"{name}\"]")) && sheet.contains(&format!("[fill=\"{name}\"]")),
            "{name}"
        );
    }
}

#[test]
fn a_run_without_anything_is_shown() {
    let mut nothing = run("", 1, 0, 1.0);
    nothing.series.clear();
    nothing.measured_s = 0.0;
    nothing.name.clear();
    let one_interval = run("x", 1, 1, 1.0);
    let mut no_requests = one_interval.clone();
    no_requests.series.iter_mut().for_each(|series| *series = Series::default());
    no_requests.timeline[0] = Interval::default();
    let cases = [vec![], vec![nothing.clone()], vec![one_interval.clone()], vec![no_requests.clone()]];
    for runs in cases.into_iter().chain([vec![nothing, one_interval, no_requests]]) {
        check_tags(&page(&runs));
        let _ = compare_text(&runs);
        runs.first().map(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_figures_are_too_strange(
        done: u64,
        failed: u64,
        latencies in prop::collection::vec(any::<u64>(), 0..20),
        seconds in prop_oneof![Just(0.0), Just(-1.0), Just(f64::MAX), Just(f64::NAN), Just(f64::INFINITY), 0.0..1e6],
        at in prop::collection::vec(prop_oneof![Just(f64::MAX), Just(f64::NAN), Just(-5.0), 0.0..1e9], 0..6),
    ) {
        let mut series = Series { done, received: u64::MAX, ..Series::default() };
        series.errors = [("cut".to_owned(), failed), ("tls".to_owned(), failed)].into();
        latencies.iter().for_each(|us| series.latency.record(*us));
        let interval = |at_s: f64| Interval {
            at_s,
            length_s: seconds,
            done,
            errors: failed,
            p50_us: done,
            max_us: u64::MAX,
            open: u64::MAX,
            ..Interval::default()
        };
        let timeline = at.into_iter().map(interval).collect();
        let mut run = run("x", 1, 0, 1.0);
        run = Run { format: FORMAT, measured_s: seconds, series: vec![series.clone(), series], timeline, ..run };
        let page = page(std::slice::from_ref(&run));
        check_tags(&page);
        check_tags(&self::page(&[run.clone(), run.clone()]));
        prop_assert!(!page.contains("NaN"));
        prop_assert!(!text(&run).contains("NaN"));
        prop_assert!(!compare_text(&[run.clone(), run]).contains("NaN"));
    }
}

#[test]
fn a_percentile_needs_enough_samples() {
    let cells = |done: u64| {
        let text = text(&even("one", done, 1_000));
        let row = text.lines().find(|line| line.trim_start().starts_with("latency ")).unwrap().to_owned();
        (row.matches('–').count(), text)
    };
    for (done, dashes) in [(0, 5), (1, 4), (10, 2), (99, 2), (100, 1), (999, 1), (1000, 0)] {
        let (found, text) = cells(done);
        assert_eq!(found, dashes, "{done} answers:\n{text}");
        assert_eq!(text.contains("has too few"), dashes > 0, "{text}");
    }
    assert!(cells(1234).1.contains("Latencies of 1,234 good answers."));
    let compared = compare_text(&[even("one", 10, 1_000), even("two", 10, 2_000)]);
    let expected = ("–".to_owned(), ["one", "two"].map(|name| vec![name.to_owned(), "–".to_owned()]).to_vec());
    assert_eq!(block(&compared, "p99.9", 2), expected, "no winner of too few:\n{compared}");
}
