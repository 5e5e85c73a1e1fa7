#![allow(clippy::unwrap_used)]

use super::*;

const SITE: &str = r#"
[site]
code = "P01"
[[listeners]]
name = "http"
address = "127.0.0.1:8080"
roles = ["MP", "distribution-point"]
[[site_systems]]
name = "mp1"
address = "10.1.0.1"
roles = ["MP"]
[[site_systems]]
name = "dp1"
address = "10.1.0.2"
roles = ["DP"]
[[boundary_groups]]
name = "HQ"
boundaries = ["10.1.0.0/16"]
site_systems = ["mp1", "dp1"]
[[boundary_groups]]
name = "Branch"
boundaries = ["10.2.0.0/16"]
site_systems = ["dp1"]
neighbors = [{ group = "HQ", fallback = { DP = 10 } }]
"#;

fn described(text: &str) -> Described {
    let mut problems = Problems::new();
    let config = parse(text, &mut problems);
    let compiled = compile(&config, &mut problems);
    let compiled = compiled.unwrap_or_else(|| panic!("{}", problems.render("", text, false)));
    describe(&config, roles_of(&compiled))
}

fn told(old: &str, new: &str) -> String {
    render(&compare(&described(old), &described(new)))
}

#[test]
fn what_means_the_same_is_no_difference() {
    let other = SITE
        .replace("\"10.1.0.0/16\"", "\"10.1.0.0-10.1.255.255\"")
        .replace("\"distribution-point\"", "\"DP\"")
        .replace("code = \"P01\"", "code = \"P01\" # a comment\n[proxy]\ndrain_timeout = \"30s\"")
        .replace("roles = [\"MP\"]\n", "roles = [\"MP\"]\nweight = 100\n");
    assert_eq!(told(SITE, &other), "nothing would change\n");
}

#[test]
fn differences_are_told_in_the_words_of_the_site() {
    let other = SITE
        .replace("\"10.1.0.0/16\"", "\"10.1.0.0/17\"")
        .replace("site_systems = [\"mp1\", \"dp1\"]", "site_systems = [\"mp1\", \"dp2\"]")
        .replace("DP = 10", "DP = 30")
        .replace("127.0.0.1:8080", "127.0.0.1:8081")
        .replace("roles = [\"MP\"]\n", "roles = [\"MP\"]\nweight = 50\n")
        + "[[site_systems]]\nname = \"dp2\"\naddress = \"10.1.0.3\"\nroles = [{ role = \"DP\", port = 81 }]\n\
           [proxy]\ndrain_timeout = \"1min\"\nname = \"edge\"\n[roles.DP.timeouts]\nconnect = \"1s\"\n";
    let text = told(SITE, &other);
    for line in [
        "~ listener http",
        "    address: 127.0.0.1:8080 -> 127.0.0.1:8081",
        "~ role distribution-point",
        "+ site system dp2: address 10.1.0.3; roles distribution-point",
        "~ site system mp1",
        "    weight: 100 -> 50",
        "~ boundary group HQ",
        "    boundaries: - 10.1.0.0-10.1.255.255  + 10.1.0.0-10.1.127.255",
        "    site_systems: - dp1  + dp2",
        "~ relationship Branch -> HQ",
        "    distribution-point: 10 min -> 30 min",
        "~ settings of [proxy]",
        "    drain_timeout: 30s -> 1m   (at the next start)",
        "    name: rolegate -> edge",
    ] {
        assert!(text.lines().any(|said| said == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("    timeouts.connect: ") && text.contains(" -> 1s\n"), "{text}");
    assert!(text.ends_with("1 added, 0 removed, 6 changed\n"), "{text}");
    let back = told(&other, SITE);
    assert!(back.contains("- site system dp2: address 10.1.0.3; roles distribution-point\n"), "{back}");
}

#[test]
fn long_lists_are_cut() {
    let many = |from: u32| (from..from + 20).map(|n| Value::from(format!("10.{n}.0.0/16"))).collect::<Value>();
    let text = transition(&many(0), &many(20));
    assert!(text.matches("and 12 more").count() == 2, "{text}");
}

/// What is used at the next start only is what the reference says.
#[test]
fn settings_of_the_next_start_are_those_of_the_reference() {
    let reference = include_str!("../../../docs/configuration.md");
    let row = reference.lines().find(|line| line.contains("used at the next start")).unwrap();
    for (section, setting) in [
        ("[proxy]", "threads"),
        ("[proxy]", "drain_timeout"),
        ("[admin]", "address"),
        ("[fallback]", "max_clocks"),
        ("[content]", "max_entries"),
        ("[affinity]", "max_entries"),
    ] {
        assert!(is_fixed(section, setting) && row.contains(&format!("`{setting}`")), "{section} {setting}: {row}");
    }
    assert!(row.contains("`[access_log]`") && is_fixed("[access_log]", "path"));
    assert!(!is_fixed("[proxy]", "name") && !is_fixed("[admin]", "token_file"));
}
