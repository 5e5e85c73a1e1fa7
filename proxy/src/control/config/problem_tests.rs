#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn one(span: Range<usize>) -> Problems {
    let mut problems = Problems::new();
    problems.error(span, "the message", "the help");
    problems
}

fn at(source: &str, span: Range<usize>) -> (usize, usize, String) {
    let problems = one(span);
    let record = problems.json("f.toml", source).remove(0);
    let rendered = problems.render("f.toml", source, false);
    let place = format!("f.toml:{}:{}", record.line, record.column);
    assert!(rendered.contains(&place), "{place} is missing in\n{rendered}");
    (record.line, record.column, record.text)
}

#[test]
fn a_problem_is_shown_like_a_compiler_would() {
    let source = "[site]\ncode = \"P0\"\n";
    let mut problems = Problems::new();
    problems.error(14..18, "the code has two characters", "write three");
    problems.warning(0..6, "something to look at", "look at it");
    let shown = problems.render("rolegate.toml", source, false);
    assert_eq!(
        shown,
        "warning: something to look at\n \
         --> rolegate.toml:1:1\n  |\n1 | [site]\n  | ^^^^^^\n  |\n  = help: look at it\n\n\
         error: the code has two characters\n \
         --> rolegate.toml:2:8\n  |\n2 | code = \"P0\"\n  |        ^^^^\n  |\n  = help: write three\n\n\
         1 error, 1 warning\n"
    );
    assert!(problems.render("rolegate.toml", source, true).contains('\u{1b}'));
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn lines_and_columns_count_characters() {
    assert_eq!(at("", 0..0), (1, 1, String::new()));
    assert_eq!(at("", 5..9), (1, 1, String::new()));
    assert_eq!(at("a = 1", 5..5), (1, 6, String::new()));
    assert_eq!(at("a = 1\n", 6..6), (2, 1, String::new()));
    assert_eq!(at("a = 1\r\nb = 2\r\n", 11..12), (2, 5, "2".to_owned()));
    assert_eq!(at("a = 1\r\nb = 2\r\n", 5..7), (1, 6, String::new()));
    assert_eq!(at("ä = \"ö\" x", 9..10), (1, 8, " ".to_owned()));
    assert_eq!(at("\tb = 2", 5..6), (1, 6, "2".to_owned()));
    assert_eq!(at("\u{feff}a = 1", 7..8), (1, 5, "1".to_owned()));
    assert_eq!(at("\u{feff}a = 1", 0..1), (1, 1, String::new()));
    // A span that starts inside a character, ends inside one, or is the wrong way round.
    assert_eq!(at("ää", 1..3), (1, 1, "ä".to_owned()));
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = 4..2;
    assert_eq!(at("a = 1", reversed), (1, 5, String::new()));
    // Only the first line of a longer span.
    assert_eq!(at("a = [\n1,\n]", 4..10), (1, 5, "[".to_owned()));
}

#[test]
fn very_many_problems_are_counted() {
    let mut problems = Problems::new();
    for number in 0..700 {
        problems.error(0..1, number.to_string(), "");
    }
    // Said again: the same problem.
    for number in 0..MOST {
        problems.error(0..1, number.to_string(), "");
    }
    assert_eq!((problems.len(), problems.iter().count()), (700, MOST));
    assert!(problems.render("f", "x", false).ends_with("700 errors (the first 500 are shown)\n"));
    assert!(!Problems::new().is_fatal() && Problems::new().is_empty());
    assert_eq!(Problems::new().render("f", "", false), "");
}

#[test]
fn json_has_everything() {
    let problems = one(4..5);
    let json = serde_json::to_value(problems.json("f.toml", "a = x")).unwrap();
    let expected = serde_json::json!([{
        "severity": "error", "file": "f.toml", "line": 1, "column": 5, "text": "x",
        "message": "the message", "help": "the help",
    }]);
    assert_eq!(json, expected);
}

#[test]
fn the_nearest_word() {
    let words = ["threads", "drain_timeout", "name", "least-requests", "MP", "DP"];
    let near = |word: &str| nearest(word, words.into_iter());
    assert_eq!(near("treads"), Some("threads"));
    assert_eq!(near("drain-timeout"), Some("drain_timeout"));
    assert_eq!(near("LeastRequest"), Some("least-requests"));
    assert_eq!(near("mp"), Some("MP"));
    assert_eq!(near("elephant"), None);
    assert_eq!(near(""), None);
    assert_eq!(near(&"n".repeat(100_000)), None);
}

#[test]
fn quoted_text_is_short_and_printable() {
    assert_eq!(quoted("a\u{1b}[1m\"b"), "\"a\\u{1b}[1m\\\"b\"");
    assert_eq!(quoted(&"x".repeat(1000)).chars().count(), 62);
}

proptest! {
    #[test]
    fn rendering_never_panics(source in "(?s).{0,80}", start in 0_usize..200, end in 0_usize..200, message in ".{0,20}") {
        let mut problems = Problems::new();
        problems.error(start..end, message.clone(), message);
        problems.warning(end..start, "x", "");
        problems.render("f.toml", &source, false);
        problems.render("f.toml", &source, true);
        problems.json("f.toml", &source);
    }
}
