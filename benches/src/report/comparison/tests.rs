use super::*;
use crate::report::sample::comparison;
use crate::report::tests::{check_alone, check_tags};
use crate::report::{read_comparison, write_comparison_json};

fn figures(proxy: &str, rounds: &[f64]) -> Figures {
    Figures { proxy: proxy.to_owned(), rounds: rounds.to_vec(), ..Figures::default() }
}

fn work(better: Better, all: &[(&str, &[f64])]) -> Work {
    Work {
        name: "w".to_owned(),
        title: "A work".to_owned(),
        unit: "ms".to_owned(),
        better,
        goal: None,
        note: String::new(),
        doubts: Vec::new(),
        figures: all.iter().map(|(proxy, rounds)| figures(proxy, rounds)).collect(),
    }
}

/// The same, with a rolegate beside itself that does not differ at all.
fn controlled(better: Better, all: &[(&str, &[f64])]) -> Work {
    let mut work = work(better, all);
    work.figures.push(figures(CONTROL, all[0].1));
    work
}

fn page(comparison: &Comparison) -> String {
    let mut page = Vec::new();
    write_comparison_html(comparison, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn ratios_are_made_pair_by_pair() {
    // Every round is twice as slow as the one before, for both: the medians say 1, the pairs say 2.
    let work = work(Better::Lower, &[("rolegate", &[1.0, 2.0, 4.0]), ("peer", &[2.0, 4.0, 8.0])]);
    assert_eq!(work.ratio("peer"), Some(Spread { median: 2.0, lowest: 2.0, highest: 2.0, count: 3 }));
    assert_eq!(work.spread("rolegate"), Some(Spread { median: 2.0, lowest: 1.0, highest: 4.0, count: 3 }));
    assert_eq!(work.ratio("nobody"), None);
}

#[test]
fn a_pair_without_both_figures_is_left_out() {
    let work = work(Better::Lower, &[("rolegate", &[1.0, f64::NAN, 0.0, 2.0]), ("peer", &[f64::NAN, 4.0, 8.0, 3.0])]);
    assert_eq!(
        work.ratio("peer"),
        Some(Spread { median: f64::INFINITY, lowest: 1.5, highest: f64::INFINITY, count: 2 })
    );
}

#[test]
fn nothing_is_a_figure() {
    let outcome = |better, rolegate: &[f64], peer: &[f64]| {
        controlled(better, &[("rolegate", rolegate), ("peer", peer)]).verdict().unwrap().outcome
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    let (none, some) = (&[0.0; 6], &[4.0; 6]);
    assert_eq!(outcome(lower, none, some), Outcome::Win);
    assert_eq!(outcome(higher, none, some), Outcome::Loss);
    assert_eq!(outcome(lower, some, none), Outcome::Loss);
    assert_eq!(outcome(lower, none, none), Outcome::Even);
    let mixed = &[0.0, 0.0, 0.0, 0.0, 0.0, 3.0];
    assert_eq!(outcome(lower, mixed, &[4.0, 4.0, 4.0, 4.0, 4.0, 1.0]), Outcome::Undecided(Why::RoundsDisagree));
    let all: [(&str, &[f64]); 3] = [("rolegate", none), ("bad", &[9.0; 6]), ("better", &[2.0; 6])];
    assert_eq!(controlled(lower, &all).verdict().unwrap().peer, "better", "both ratios are infinite");
}

#[test]
fn a_ratio_to_nothing_is_told_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("comparison.json");
    let mut comparison = comparison();
    comparison.works = vec![
        controlled(Better::Lower, &[("rolegate", &[0.0; 6]), ("haproxy", &[4.0; 6])]),
        controlled(Better::Lower, &[("rolegate", &[0.0, 0.0, 3.0]), ("haproxy", &[4.0, 4.0, 3.0])]),
        work(Better::Lower, &[("rolegate", &[0.0]), ("haproxy", &[f64::INFINITY])]),
    ];
    comparison.doubts = vec!["Something was odd.".to_owned()];
    let text = comparison_text(&comparison);
    let page = page(&comparison);
    let markdown = comparison_markdown(&comparison);
    for told in [&text, &page, &markdown] {
        assert!(told.contains("∞× (1.00–∞)") && told.contains("Something was odd."), "{told}");
        assert!(!told.contains("NaN") && !told.contains(" inf"), "{told}");
    }
    assert!(text.contains("wins over haproxy, ∞×") && markdown.contains("✅ wins over haproxy, ∞×"), "{text}");
    check_tags(&page);
    write_comparison_json(&comparison, &file).unwrap();
    let read = read_comparison(&file).unwrap();
    assert_eq!((read.works[0].verdict(), read.works[2].verdict()), (comparison.works[0].verdict(), None));
}

#[test]
fn what_makes_a_row_weak_is_told_everywhere() {
    let mut comparison = comparison();
    comparison.works[1].doubts = vec!["The generator was busy.".to_owned()];
    comparison.works[0] = Work {
        figures: vec![
            figures("rolegate", &[1.0, 2.0, 1.0, 1.0, 1.0, 1.0]),
            figures("haproxy", &[2.0, 1.0, 2.0, 2.0, 2.0, 2.0]),
            figures(CONTROL, &[1.0; 6]),
        ],
        ..comparison.works[0].clone()
    };
    let doubt = format!("{}: The generator was busy.", comparison.works[1].title);
    let text = comparison_text(&comparison);
    assert!(text.starts_with(&format!("DOUBT: {doubt}\n")), "{text}");
    for told in [comparison_markdown(&comparison), page(&comparison)] {
        assert!(told.contains(&doubt) && told.contains("rounds disagree"), "{told}");
    }
    // And beside the row's figures.
    assert_eq!(page(&comparison).matches("The generator was busy.").count(), 2);
}

#[test]
fn files_of_before_are_read() {
    let mut value = serde_json::to_value(comparison()).unwrap();
    let fields = value.as_object_mut().unwrap();
    assert!(fields.remove("doubts").is_some() && fields.remove("interrupted").is_some());
    assert!(fields.remove("sitting").is_some());
    for proxy in fields["proxies"].as_array_mut().unwrap() {
        let proxy = proxy.as_object_mut().unwrap();
        assert!(["build", "tls", "said"].iter().all(|field| proxy.remove(*field).is_some()));
    }
    for work in fields["works"].as_array_mut().unwrap() {
        assert!(work.as_object_mut().unwrap().remove("doubts").is_some());
        for figures in work["figures"].as_array_mut().unwrap() {
            let figures = figures.as_object_mut().unwrap();
            assert!(figures.remove("busy").is_some() && figures.remove("failed").is_some());
        }
    }
    let mut expected = Comparison { sitting: Vec::new(), ..comparison() };
    for proxy in &mut expected.proxies {
        *proxy = Proxy { build: String::new(), tls: String::new(), said: String::new(), ..proxy.clone() };
    }
    expected.works.iter_mut().flat_map(|work| &mut work.figures).for_each(|figures| figures.busy = None);
    assert_eq!(serde_json::from_value::<Comparison>(value).unwrap(), expected);
}

#[test]
fn measured_records_of_before_are_read_and_told() {
    let results = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let old = ["spliced-full", "spliced-latency", "spliced-own"].map(|name| format!("2026-11-24/{name}"));
    let later = ["all", "comparison", "latency", "tls"].map(|name| format!("2026-11-28/{name}"));
    for name in old
        .into_iter()
        .chain(later)
        .chain(["death", "flat", "full", "idle", "rates", "tls"].map(|name| format!("2026-11-29/{name}")))
    {
        let comparison = read_comparison(&results.join(name).with_extension("json")).unwrap();
        assert!(comparison_text(&comparison).contains("rolegate") && !comparison_markdown(&comparison).is_empty());
        check_tags(&page(&comparison));
    }
}

#[test]
fn how_full_the_core_was_is_told_everywhere() {
    let mut comparison = comparison();
    for (figures, part) in comparison.works[1].figures.iter_mut().zip([0.253, 0.26, f64::NAN]) {
        figures.busy = Some(part);
    }
    let title = comparison.works[1].title.clone();
    let told = "in use: rolegate 25 %, before 26 %";
    let text = comparison_text(&comparison);
    assert!(text.contains(&format!("{title}: part of the core {told}.")), "{text}");
    for report in [comparison_markdown(&comparison), page(&comparison)] {
        assert!(report.contains(&format!("art of the core {told}")), "{report}");
    }
    assert_eq!(text.matches("in use").count(), 1, "the others say nothing");
}

#[test]
fn how_a_proxy_was_built_and_the_sitting_are_told_everywhere() {
    let comparison = comparison();
    assert!(comparison_text(&comparison).contains("by the seed <7>."));
    assert!(comparison_markdown(&comparison).contains("The sitting:\n\n- The order is any, by the seed &lt;7>."));
    assert!(page(&comparison).contains("by the seed &lt;7&gt;."));
    let built = "-O2, as <its> distribution builds it; TLS: OpenSSL 3.0.19";
    assert!(comparison_text(&comparison).contains(&format!("nginx: {built}")));
    let (markup, html) = (built.replace('<', "&lt;"), built.replace('<', "&lt;").replace('>', "&gt;"));
    assert!(comparison_markdown(&comparison).contains(&format!("nginx 1.22.1: worker\\_processes 1. {markup}")));
    assert!(page(&comparison).contains(&html));
    assert!(!comparison_text(&comparison).contains("haproxy: "), "it says nothing");
}

#[test]
fn medians_of_even_counts_lie_between() {
    assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]).map(|spread| spread.median), Some(3.0));
    assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
}

#[test]
fn losses_are_as_plain_as_wins() {
    let comparison = comparison();
    assert_eq!(comparison.tally(), Tally { wins: 2, even: 1, losses: 1, undecided: 1, open: 0 });
    let loss = "loses to haproxy, 0.84× (0.82–0.84)";
    let win = "wins over nginx, 2.53×";
    let undecided = "undecided against haproxy, 0.95× (0.94–1.00): the rounds disagree";
    for text in [comparison_text(&comparison), comparison_markdown(&comparison)] {
        let tally = "wins 2, is even at 1 and loses 1 of the 4 works that are decided; 1 are undecided";
        for fact in [loss, win, undecided, tally, "EPYC", "less than half of haproxy's", "2026-11-24"] {
            assert!(text.contains(fact), "{fact}:\n{text}");
        }
    }
    assert!(comparison_markdown(&comparison).contains(&format!("❌ **{loss}**")));
    let page = page(&comparison);
    for fact in ["Where rolegate loses", "▼ loses", "▲ wins", "= even", "? undecided", loss] {
        assert!(page.contains(fact), "{fact}");
    }
    check_tags(&page);
    check_alone(&page);
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("comparison.json");
    let mut comparison = comparison();
    write_comparison_json(&comparison, &file).unwrap();
    assert_eq!(read_comparison(&file).unwrap(), comparison);
    let error = crate::report::read(&file).unwrap_err().to_string();
    assert!(error.contains("comparison.json is JSON, but not a run"), "{error}");

    comparison.works[0].figures[0].rounds[1] = f64::NAN;
    write_comparison_json(&comparison, &file).unwrap();
    let read = read_comparison(&file).unwrap();
    assert!(read.works[0].figures[0].rounds[1].is_nan());
    assert!(
        comparison_text(&read)
            .starts_with("DOUBT: Short requests on kept connections: rolegate gave no figure in 1 round")
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["tally"]["losses"], 1);
    let verdict = &value["verdicts"][1];
    assert_eq!(
        (&verdict["work"], &verdict["outcome"], &verdict["peer"]),
        (&"short-p99".into(), &"loss".into(), &"haproxy".into())
    );
    let ratio = verdict["ratios"].as_array().unwrap().iter().find(|ratio| ratio["proxy"] == "haproxy").unwrap();
    assert!(ratio["low"].as_f64() < ratio["median"].as_f64() && verdict["least"].as_f64() > Some(1.0), "{verdict}");
    assert_eq!(value["verdicts"][4]["outcome"]["undecided"], "rounds-disagree");
}

#[test]
fn markdown_keeps_to_its_cells() {
    let mut comparison = comparison();
    comparison.works[0].title = "a|b\n<script>".to_owned();
    comparison.proxies[1].note = "*x* `y`".to_owned();
    let text = comparison_markdown(&comparison);
    assert!(text.contains("a\\|b &lt;script>") && text.contains("\\*x\\* \\`y\\`"), "{text}");
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let table: Vec<_> = text.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    assert_eq!(table.len(), 2 + comparison.works.len());
    assert!(table.iter().all(|count| *count == table[0]), "{text}");
}

#[test]
fn text_of_a_comparison_is_never_markup() {
    const EVIL: &str = "</style><script>alert(1)</script>\"'&";
    let mut comparison = comparison();
    for work in &mut comparison.works {
        for text in [&mut work.title, &mut work.unit, &mut work.note] {
            EVIL.clone_into(text);
        }
    }
    comparison.works[0].goal = Some(EVIL.to_owned());
    comparison.works[0].doubts = vec![EVIL.to_owned()];
    comparison.proxies[2].version = EVIL.to_owned();
    comparison.works[0].figures[2].proxy = EVIL.to_owned();
    let page = page(&comparison);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    check_tags(&page);
}

#[test]
fn nothing_to_compare_is_shown() {
    let mut comparison = comparison();
    comparison.works = vec![
        work(Better::Lower, &[]),
        work(Better::Lower, &[("rolegate", &[])]),
        work(Better::Higher, &[("rolegate", &[0.0]), ("haproxy", &[0.0])]),
        work(Better::Higher, &[("rolegate", &[f64::MAX, -1.0]), ("haproxy", &[f64::MIN_POSITIVE, f64::INFINITY])]),
    ];
    for proxies in [comparison.proxies.clone(), Vec::new()] {
        comparison.proxies = proxies;
        check_tags(&page(&comparison));
        assert!(comparison_text(&comparison).contains("not compared"));
        assert!(comparison_markdown(&comparison).contains("not compared"));
    }
}
