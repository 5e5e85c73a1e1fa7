#![allow(clippy::unwrap_used)]

use clap::Parser;

use super::*;
use crate::control::doubts::doubts;

#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    init: Init,
}

fn text(flags: &[&str]) -> String {
    let all = ["init"].iter().chain(flags);
    Alone::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).init.site().text()
}

/// It is accepted, without a warning.
#[track_caller]
fn accepted(text: &str) {
    let mut problems = Problems::new();
    let config = parse(text, &mut problems);
    let compiled = compile(&config, &mut problems);
    assert!(problems.is_empty(), "{}\n{text}", problems.render("init", text, false));
    assert_eq!(doubts(&compiled.unwrap()), Vec::<String>::new());
}

/// With its examples, but for those that need files.
fn with_examples(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => format!("{example}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    let files = ["https", ":443", "listeners.tls", "certificates", "token_file"];
    let mut text: String = text.lines().map(line).collect();
    text = text.replace("[[listeners]]\nname = \"https\"\naddress = \"0.0.0.0:443\"\nroles = [\"MP\", \"DP\"]\n", "");
    text.lines().filter(|line| !files.iter().any(|file| line.contains(file))).map(|line| format!("{line}\n")).collect()
}

const FLAGS: [&str; 15] = [
    "--site-code",
    "S01",
    "--mp",
    "mp1.contoso.com",
    "--dp",
    "dp1.contoso.com",
    "--dp",
    "mp1.contoso.com",
    "--sup",
    "10.1.0.9",
    "--site-system",
    "x=FSP,client-notification",
    "--boundary-group",
    "HQ=10.1.0.0/16, 2001:db8::/64",
    "--boundary-group=Branch=10.2.0.0/16@dp1.contoso.com",
];

#[test]
fn what_is_written_is_accepted_with_and_without_its_examples() {
    for flags in [
        &[][..],
        &FLAGS,
        &["--mp", "mp1"],
        &["--dp", "dp1", "--listen", "127.0.0.1:8080"],
        &["--listen", "[::1]", "--sup", "s", "--mp", "m", "--boundary-group", "A=10.0.0.0/8"],
        &["--site-code", "XYZ"],
    ] {
        let text = text(flags);
        accepted(&text);
        accepted(&with_examples(&text));
    }
}

#[test]
fn flags_become_a_site() {
    let text = text(&FLAGS);
    for part in [
        "code = \"S01\"",
        "name = \"mp1.contoso.com\"\nroles = [\"MP\", \"DP\"]\n",
        "address = \"0.0.0.0:80\"\nroles = [\"MP\", \"DP\", \"FSP\"]\n",
        "address = \"0.0.0.0:8530\"\nroles = [\"SUP\"]\n",
        "address = \"0.0.0.0:10123\"\nroles = [\"client-notification\"]\n",
        "name = \"HQ\"\nboundaries = [\"10.1.0.0/16\", \"2001:db8::/64\"]\nsite_systems = [\"mp1.contoso.com\", ",
        "name = \"Branch\"\nboundaries = [\"10.2.0.0/16\"]\nsite_systems = [\"dp1.contoso.com\"]\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("are examples: put your own"), "{text}");
}

#[test]
fn a_name_with_quotes_stays_one() {
    let text = text(&["--mp", "mp1", "--boundary-group", "a \"b\" \\ c=10.1.0.0/16"]);
    accepted(&text);
    assert!(text.contains(r#"name = "a \"b\" \\ c""#), "{text}");
}
