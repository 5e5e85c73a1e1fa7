#![allow(clippy::unwrap_used)]

use super::*;
use crate::control::config::types::{BoundaryEntry, RoleEntry, StatusRange};
use crate::control::config::{effective_role, on_site_system, parse_boundary};
use crate::model::role::{Balance, Fallback, Locality, ProbeKind};
use proptest::prelude::*;
use std::time::Duration;

const SAMPLE: &str = include_str!("../../../tests/data/contoso.toml");

/// Everything that is said about a text, as `(line, column, message, help)`.
fn said(source: &str) -> Vec<(usize, usize, String, String)> {
    let mut problems = Problems::new();
    parse(source, &mut problems);
    problems.render("rolegate.toml", source, false);
    problems.json("", source).into_iter().map(|r| (r.line, r.column, r.message, r.help)).collect()
}

/// The text has exactly these problems.
#[track_caller]
fn says(source: &str, expected: &[(usize, usize, &str, &str)]) {
    let said = said(source);
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert_eq!((said.0, said.1), (expected.0, expected.1), "{said:?}");
        assert!(said.2.contains(expected.2), "{said:?} does not say {:?}", expected.2);
        assert!(said.3.contains(expected.3), "{said:?} does not help with {:?}", expected.3);
    }
}

#[test]
fn the_sample_has_no_problem() {
    let mut problems = Problems::new();
    let config = parse(SAMPLE, &mut problems);
    for (name, overrides) in &config.roles {
        effective_role(name, Some(overrides), &mut problems).unwrap();
    }
    for system in &config.site_systems {
        for entry in system.roles() {
            if let RoleEntry::Table(entry) = entry.get_ref() {
                let role = effective_role(entry.role.as_ref().unwrap(), None, &mut problems).unwrap();
                on_site_system(&role, entry, &mut problems);
            }
        }
    }
    let written = config.boundary_groups.iter().flat_map(|group| &group.boundaries).map(Spanned::get_ref);
    let addresses = written.filter_map(|boundary| match boundary {
        BoundaryEntry::Addresses(text) => Some(text.as_str()),
        BoundaryEntry::AdSite { .. } | BoundaryEntry::Vpn { .. } => None,
    });
    let sites = config.ad_sites.values().flatten().map(|text| text.get_ref().as_str());
    for text in addresses.chain(sites) {
        parse_boundary(text).unwrap();
    }
    assert_eq!(problems.render("contoso.toml", SAMPLE, false), "");
    assert_eq!((config.site_systems.len(), config.boundary_groups.len(), config.listeners.len()), (7, 3, 4));
}

#[test]
fn the_sample_is_read_as_it_is_written() {
    let mut problems = Problems::new();
    let config = parse(SAMPLE, &mut problems);
    let mp02 = &config.site_systems[1];
    let RoleEntry::Table(notification) = mp02.roles()[1].get_ref() else { panic!("{mp02:?}") };
    let span = notification.max_requests.as_ref().unwrap().span();
    assert_eq!(&SAMPLE[span], "20_000", "places survive inside a table");
    assert_eq!(config.boundary_groups[1].neighbors[0].fallback["SUP"].get_ref().get(), Fallback::Never);
    assert_eq!(config.boundary_groups[0].boundaries[0].get_ref(), &BoundaryEntry::AdSite { ad_site: "HQ".into() });
    let (name, portal) = config.roles.get_key_value("package-portal").unwrap();
    let status: Vec<_> = portal.probe.status.iter().flatten().map(|s| s.get_ref().clone()).collect();
    assert_eq!(status, [StatusRange::One(200), StatusRange::Range("300-399".into())]);
    let role = effective_role(name, Some(portal), &mut problems).unwrap();
    assert_eq!((role.balance, role.locality, role.slow_start), (Balance::Client, Locality::Site, Duration::ZERO));
    assert!(matches!(&role.probe.kind, ProbeKind::Http(probe) if probe.status == [(200, 200), (300, 399)]));
    assert_eq!(SAMPLE[name.span()].to_owned(), "package-portal");
}

#[test]
fn an_empty_file_and_other_ends_of_line() {
    says("", &[]);
    says("# nothing\n", &[]);
    says(&SAMPLE.replace('\n', "\r\n"), &[]);
    says(&format!("\u{feff}{SAMPLE}"), &[]);
    says("[proxy]\r\nname = \"ä\"\r\nthread = 1\r\n", &[(3, 1, "`proxy` has no key `thread`", "`threads`")]);
}

#[test]
fn unknown_names() {
    says("[lisener]\n", &[(1, 2, "there is no section `lisener`", "did you mean `listeners`?")]);
    says("elephant = 1\n", &[(1, 1, "there is no section `elephant`", "known here: `site`, `sites`, `proxy`")]);
    says("[[lisener]]\na = 1\n[[lisener]]\nb = 1\n", &[(1, 3, "no section `lisener`", "`listeners`")]);
    says("[proxy]\ntreads = 4\n", &[(2, 1, "`proxy` has no key `treads`", "did you mean `threads`?")]);
    says("[proxy]\nzebra = 4\n", &[(2, 1, "`proxy` has no key `zebra`", "known here: `threads`, `drain_timeout`")]);
    says("[[listeners]]\nadress = 4\n", &[(2, 1, "`listeners` has no key `adress`", "`address`")]);
    says("roles.MP.probe.intervall = \"1s\"\n", &[(1, 16, "`roles.MP.probe` has no key `intervall`", "`interval`")]);
    let inline = "[[site_systems]]\nroles = [\"MP\", { role = \"DP\", prot = 80, weigth = 5 }]\n";
    says(
        inline,
        &[
            (2, 31, "`site_systems.roles` has no key `prot`", "did you mean `port`?"),
            (2, 42, "`site_systems.roles` has no key `weigth`", "did you mean `weight`?"),
        ],
    );
    says("[proxy]\n\"a`, expected `b\" = 4\n", &[(2, 1, "no key `a`, expected `b`", "known here: `threads`")]);
}

#[test]
fn wrong_types() {
    says(
        "[proxy]\nthreads = \"four\"\n",
        &[(2, 11, "must be a whole number from 0 to 65535, not the text \"four\"", "quotes")],
    );
    says(
        "[proxy]\nthreads = 70000\n",
        &[(2, 11, "`proxy.threads` must be a whole number from 0 to 65535, not the number 70000", "unit")],
    );
    says("[proxy]\nname = 5\n", &[(2, 8, "`proxy.name` must be text, not the number 5", "name = \"...\"")]);
    says(
        "[admin]\nallow_remote = \"yes\"\n",
        &[(2, 16, "must be true or false, not the text \"yes\"", "without quotes")],
    );
    says("[[listeners]]\nroles = \"MP\"\n", &[(2, 9, "`listeners.roles` must be a list", "roles = [ ... ]")]);
    says("[listeners]\naddress = \"a\"\n", &[(1, 1, "`listeners` must be a list, not a table", "[[listeners]]")]);
    says("proxy = 5\n", &[(1, 9, "`proxy` must be a table, not the number 5", "[proxy]")]);
}

#[test]
fn lists_and_tables_in_the_wrong_place() {
    says("[[proxy]]\nthreads = 4\n", &[(1, 1, "`proxy` must be a table, not a list", "single brackets")]);
    says("site = [\"P01\"]\n", &[(1, 8, "`site` must be a table, not a list", "{ key = value }")]);
    says("listeners = [[\"MP\"]]\n", &[(1, 14, "`listeners` must be a table, not a list", "{ key")]);
    says("[[fallback]]\nspeedup = 4\n", &[(1, 1, "`fallback` must be a table, not a list", "single brackets")]);
    says("[roles.MP]\nprobe = [1]\n", &[(2, 9, "`roles.MP.probe` must be a table", "{ key")]);
}

#[test]
fn entries_of_lists() {
    says(
        "[admin]\naddress = \"localhost:80\"\n",
        &[(2, 11, "IP address with a port, not the text \"localhost:80\"", "[::]:80")],
    );
    says("[admin]\naddress = 9180\n", &[(2, 11, "IP address with a port, not the number 9180", "0.0.0.0:80")]);
    says("[[site_systems]]\nroles = [5]\n", &[(2, 10, "must be a role name, or a table", "role = \"DP\"")]);
    says("[[site_systems]]\nroles = [[]]\n", &[(2, 10, "must be a role name, or a table", "role = \"DP\"")]);
    for entry in ["5", "[]"] {
        let source = format!("[[boundary_groups]]\nsite_systems = [{entry}]\n");
        says(&source, &[(2, 17, "must be the name of a site system, or a table", "connection = \"slow\"")]);
    }
    says(
        "[[boundary_groups]]\nsite_systems = [{ name = \"a\", conection = \"slow\" }]\n",
        &[(2, 31, "`boundary_groups.site_systems` has no key `conection`", "`connection`")],
    );
    says("[[boundary_groups]]\nboundaries = [true]\n", &[(2, 15, "must be an address range", "ad_site")]);
    says("[[boundary_groups]]\nboundaries = [{}]\n", &[(2, 15, "says nothing", "ad_site")]);
    let two = "[[boundary_groups]]\nboundaries = [{ ad_site = \"a\", vpn = \"b\" }]\n";
    says(two, &[(2, 15, "says two things", "two boundaries")]);
    says(
        "[roles.MP.probe]\nstatus = [true, -1]\n",
        &[(2, 11, "must be a status such as 200", "200-299"), (2, 17, "-1 is not a status", "100 to 599")],
    );
    says(
        "[proxy]\nmax_connections = 99999999999999999999999999999999999999999\n",
        &[(2, 19, "overflow", "does not fit")],
    );
}

#[test]
fn durations_sizes_and_times_say_where_they_are() {
    says("[proxy]\ndrain_timeout = 30\n", &[(2, 17, "`proxy.drain_timeout`: the duration 30 has no unit", "\"30s\"")]);
    says("[dns]\ntimeout = \"0s\"\n", &[(2, 11, "`dns.timeout`: a duration of zero", "\"1ms\"")]);
    says("[content]\nmissing_ttl = \"unlimited\"\n", &[(2, 15, "not possible here", "\"30s\"")]);
    says("[fallback]\nclock_idle = 6\n", &[(2, 14, "`fallback.clock_idle`: the duration 6 has no unit", "\"6s\"")]);
    says("[affinity]\nupload_idle = \"0s\"\n", &[(2, 15, "a duration of zero", "\"1ms\"")]);
    says("[roles.SUP]\naffinity = \"unlimited\"\n", &[(2, 12, "not possible here", "\"30s\"")]);
    says("[roles.MP.timeouts]\nconnect = \"unlimited\"\n", &[(2, 11, "not possible here", "\"30s\"")]);
    says("[roles.MP.timeouts]\ntotal = \"unlimited\"\n", &[]);
    says(
        "[roles.MP.probe]\ntimeout = \"soon\"\n",
        &[(2, 11, "`roles.MP.probe.timeout`: \"soon\" is not", "\"500ms\"")],
    );
    says("[roles.MP]\nmax_body = \"big\"\n", &[(2, 12, "\"big\" is not a size", "\"64MiB\"")]);
    says("[proxy]\nmax_header_size = 5\n", &[(2, 19, "no possible bound", "\"8KiB\"")]);
    let fallback = "[default_boundary_group]\nfallback = { DP = \"2h\", SUP = -1, MP = [] }\n";
    says(
        fallback,
        &[
            (2, 19, "`default_boundary_group.fallback.DP`: \"2h\" is not a fallback time", "120"),
            (2, 31, "-1 is not a fallback time", "0 to"),
            (2, 40, "must be a number of minutes, or \"never\", not a list", "minutes"),
        ],
    );
}

#[test]
fn mistakes_of_syntax() {
    says(
        "[proxy]\nthreads\nname = 5\n",
        &[(2, 8, "a key without a value", "key = value"), (3, 8, "`proxy.name` must be text", "quotes")],
    );
    says("[proxy]\nthreads =\n", &[(2, 10, "a value is missing", "key = value")]);
    says("[dns]\nmin_ttl = 5s\n", &[(2, 11, "text without quotes", "double quotes")]);
    says("[proxy]\ntrusted_proxies = [10.0.0.1]\n", &[(2, 20, "text without quotes", "double quotes")]);
    says("[admin]\nallow_remote = yes\n", &[(2, 16, "text without quotes", "")]);
    says("[admin]\nallow_remote = True\n", &[(2, 16, "text without quotes", "small letters")]);
    says("[proxy]\nname = \"a\"\nname = \"b\"\n", &[(3, 1, "already used", "[[name]]")]);
    says("[proxy]\n[proxy]\n", &[(2, 2, "already used", "[[name]]")]);
    says(
        "[proxy\nthreads = \"x\"\n[admin]\nport = 1\n",
        &[(1, 7, "the header is not closed", "[name]"), (4, 1, "`admin` has no key `port`", "known here")],
    );
    says("[[listeners]\naddress = 1\n", &[(1, 13, "the header is not closed", "[[name]]")]);
}

#[test]
fn mistakes_of_syntax_in_lists_and_texts() {
    says(
        "[[listeners]]\nroles = [\n  \"MP\"\n  \"DP\",\n]\nx = 1\n",
        &[
            (4, 3, "a comma is missing between two elements", "comma"),
            (6, 1, "`listeners` has no key `x`", "known here"),
        ],
    );
    says("[[listeners]]\nroles = [\"MP\",\n", &[(2, 15, "the list is not closed", "]")]);
    says("dns = { min_ttl = \"5s\" max_ttl = \"6s\" }\n", &[(1, 24, "a comma is missing between two values", "comma")]);
    says("dns = { min_ttl = \"5s\"\n", &[(1, 23, "in braces is not closed", "}")]);
    says("[access_log]\npath = \"C:\\logs\\x\"\n", &[(2, 12, "backslash", "single quotes")]);
    says(
        "[proxy]\nname = \"x\nthreads = 70000\n",
        &[(2, 10, "the text is not closed", "same quote"), (3, 11, "not the number 70000", "unit")],
    );
    says("[ad_sites]\nLyon é = []\n", &[(2, 6, "", "")]);
    says("[ad_sites]\né = []\n", &[(2, 1, "no name for a key", "in quotes")]);
    says("[proxy] name = \"x\"\n", &[(1, 9, "nothing more", "one key = value")]);
    says("[proxy]\nthreads == 4\n", &[(2, 10, "cannot be read", "TOML")]);
    says(&format!("a = {}\n", "[".repeat(200)), &[(1, 85, "nested too deeply", "fewer")]);
}

#[test]
fn a_broken_line_does_not_hide_the_rest() {
    let source = "[proxy]\ntreads = 4\ndrain_timeout = 5\n\n[[listeners]]\nadress = \"a\"\nroles = \"MP\"\n\n\
                  [[listeners]]\naddress 0.0.0.0:80\nname = 7\n\n[nonsense]\n";
    says(
        source,
        &[
            (2, 1, "treads", "threads"),
            (3, 17, "no unit", "5s"),
            (6, 1, "adress", "address"),
            (7, 9, "must be a list", "["),
            (10, 9, "without a value", "="),
            (11, 8, "must be text", "quotes"),
            (13, 2, "no section `nonsense`", "known here"),
        ],
    );
}

#[test]
fn what_is_right_is_kept() {
    let mut problems = Problems::new();
    let source =
        "[proxy]\nthreads = 3\nname = 5\n[[listeners]]\nroles = [\"MP\", 5, \"DP\"]\n[[listeners]]\nname = \"b\"\n";
    let config = parse(source, &mut problems);
    assert_eq!(problems.len(), 2);
    assert_eq!(config.proxy.threads.map(Spanned::into_inner), Some(3));
    assert_eq!(config.proxy.name.get_ref(), "rolegate");
    let roles: Vec<&str> = config.listeners[0].roles.iter().map(|role| role.get_ref().as_str()).collect();
    assert_eq!(roles, ["MP", "DP"]);
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn very_many_mistakes_are_bounded() {
    let keys: String = (0..5000).map(|n| format!("key{n} = 1\n")).collect();
    let mut problems = Problems::new();
    parse(&format!("[proxy]\n{keys}"), &mut problems);
    assert_eq!(problems.len(), ROUNDS);
    let elements = "[[listeners]]\nadress = 1\n".repeat(2000);
    let mut problems = Problems::new();
    parse(&elements, &mut problems);
    assert_eq!(problems.len(), 2000);
    let garbage = "= = \"\n".repeat(50_000);
    let mut problems = Problems::new();
    parse(&garbage, &mut problems);
    assert!(problems.is_fatal());
    problems.render("x", &garbage, false);
}

/// Puts bytes in and takes bytes out.
fn mutated(edits: &[(usize, usize, String)]) -> String {
    let mut text: Vec<char> = SAMPLE.chars().collect();
    for (at, take, put) in edits {
        let at = at % (text.len() + 1);
        let end = (at + take).min(text.len());
        text.splice(at..end, put.chars());
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_text_panics(source in "(?s)[\\[\\]{}=\",.'#\n\r a-e0-9\\\\_-]{0,120}|(?s).{0,80}") {
        said(&source);
    }

    #[test]
    fn no_mutation_panics(edits in prop::collection::vec((any::<usize>(), 0_usize..12, "(?s)[\\[\\]{}=\",'\n a-c0-9é]{0,4}"), 1..6)) {
        let source = mutated(&edits);
        let mut problems = Problems::new();
        let config = parse(&source, &mut problems);
        for (name, overrides) in &config.roles {
            effective_role(name, Some(overrides), &mut problems);
        }
        let shown = problems.render("contoso.toml", &source, false);
        prop_assert_eq!(shown.is_empty(), problems.is_empty());
    }

    #[test]
    fn whatever_is_accepted_by_serde_alone_has_no_problem(edits in prop::collection::vec((any::<usize>(), 0_usize..3, "[a-z0-9]{0,2}"), 1..3)) {
        let source = mutated(&edits);
        let mut problems = Problems::new();
        parse(&source, &mut problems);
        prop_assert_eq!(toml::from_str::<Config>(&source).is_ok(), problems.is_empty(), "{}", problems.render("x", &source, false));
    }
}
