#![allow(clippy::unwrap_used)]

use super::*;
use crate::control::config::parse;
use crate::control::config::types::RoleEntry;
use crate::model::role::{Clock, Fallback, FallbackRule, HttpProbe, ProbeKind};
use std::time::Duration;

/// The first role of the section `[roles]`, and everything that is said about it.
fn role(source: &str) -> (Option<Role>, Problems) {
    let mut problems = Problems::new();
    let config = parse(source, &mut problems);
    assert!(problems.is_empty(), "{}", problems.render("rolegate.toml", source, false));
    let (name, overrides) = config.roles.iter().next().unwrap();
    let role = effective_role(name, Some(overrides), &mut problems);
    problems.render("rolegate.toml", source, false);
    (role, problems)
}

#[track_caller]
fn good(source: &str) -> Role {
    let (role, problems) = role(source);
    assert!(problems.is_empty(), "{}", problems.render("rolegate.toml", source, false));
    role.unwrap()
}

#[track_caller]
fn check(problems: &Problems, source: &str, fatal: bool, line: usize, column: usize, message: &str, help: &str) {
    let said = problems.json("", source);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((said[0].line, said[0].column), (line, column), "{said:?}");
    assert!(said[0].message.contains(message), "{said:?} does not say {message:?}");
    assert!(said[0].help.contains(help), "{said:?} does not help with {help:?}");
    assert_eq!(problems.is_fatal(), fatal, "{said:?}");
}

/// `[roles.MP]` with these lines is refused; line 2 is the first of them.
#[track_caller]
fn refuses(lines: &str, line: usize, column: usize, message: &str, help: &str) {
    let source = format!("[roles.MP]\n{lines}\n");
    check(&role(&source).1, &source, true, line, column, message, help);
}

#[track_caller]
fn warns(lines: &str, line: usize, column: usize, message: &str, help: &str) {
    let source = format!("[roles.MP]\n{lines}\n");
    let (role, problems) = role(&source);
    assert!(role.is_some());
    check(&problems, &source, false, line, column, message, help);
}

fn http(role: &Role) -> &HttpProbe {
    match &role.probe.kind {
        ProbeKind::Http(probe) => probe,
        ProbeKind::None | ProbeKind::Tcp => panic!("{:?}", role.probe),
    }
}

#[test]
fn a_preset_without_overrides_is_the_preset() {
    for preset in presets::presets() {
        let name = Spanned::new(0..0, preset.title.clone());
        let mut problems = Problems::new();
        assert_eq!(effective_role(&name, None, &mut problems).unwrap(), preset);
        assert_eq!(effective_role(&name, Some(&RoleOverrides::default()), &mut problems).unwrap(), preset);
        assert_eq!(on_site_system(&preset, &RoleOnSiteSystem::default(), &mut problems), preset);
        assert!(problems.is_empty());
        assert_eq!(role_key(&preset.short.to_lowercase()), if preset.short.is_empty() { "" } else { &preset.name });
    }
    assert_eq!(role_key(" Package_Portal "), "package-portal");
}

#[test]
fn whoever_shares_connections_that_sign_in_is_warned() {
    let (mp, problems) = role("[roles.MP]\nconnection_auth = false\n");
    assert!(!mp.unwrap().connection_auth && !problems.is_fatal());
    assert_eq!(problems.len(), 1);
}

#[test]
fn every_override_arrives() {
    let mp = good(
        "[roles.MP]\npaths = [\"/a/\", \"/\"]\nmethods = [\"GET\", \"CCM_POST\"]\nhosts = [\"MP.contoso.com\", \"[::1]\"]\n\
         port = 81\ntls_port = 444\ntls = true\nlocality = \"site\"\ndefault_fallback = \"never\"\nbalance = \"random\"\n\
         panic = \"refuse\"\nconnection_auth = true\nmax_body = \"unlimited\"\nmax_requests = 7\nslow_start = \"0s\"\n\
         [roles.MP.retry]\nattempts = 1\nmethods = [\"GET\"]\non_status = [503]\nbudget_percent = 5\n\
         budget_min_per_second = 3\n\
         [roles.MP.timeouts]\nconnect = \"1s\"\nresponse_header = \"2s\"\nrequest_body_idle = \"3s\"\n\
         response_body_idle = \"4s\"\ntotal = \"unlimited\"\nupstream_idle = \"5s\"\ntunnel_idle = \"6s\"\n\
         [roles.MP.passive]\nconsecutive_failures = 0\nfailure_percent = 10\nmin_requests = 11\nwindow = \"12s\"\n\
         eject_time = \"0s\"\nmax_eject_time = \"14s\"\n",
    );
    assert_eq!((mp.paths.as_slice(), mp.methods.len()), (&["/a".to_owned(), "/".to_owned()][..], 2));
    assert_eq!(mp.hosts, ["mp.contoso.com", "[::1]"]);
    assert_eq!((mp.port, mp.tls_port, mp.tls, mp.connection_auth), (81, 444, true, true));
    assert_eq!((mp.locality, mp.default_fallback), (Locality::Site, Fallback::Never));
    assert_eq!((mp.balance, mp.panic, mp.max_body, mp.max_requests), (Balance::Random, Panic::Refuse, None, 7));
    assert_eq!((mp.retry.attempts, mp.retry.budget_percent, mp.retry.budget_min_per_second), (1, 5, 3));
    assert_eq!((mp.retry.methods.as_slice(), mp.retry.on_status.as_slice()), (&["GET".to_owned()][..], &[503][..]));
    let t = mp.timeouts;
    let seconds =
        [t.connect, t.response_header, t.request_body_idle, t.response_body_idle, t.upstream_idle, t.tunnel_idle];
    assert_eq!(seconds.map(|d| d.as_secs()), [1, 2, 3, 4, 5, 6]);
    assert_eq!((t.total, mp.slow_start), (None, Duration::ZERO));
    let p = mp.passive;
    assert_eq!((p.consecutive_failures, p.failure_percent, p.min_requests), (0, 10, 11));
    assert_eq!([p.window, p.eject_time, p.max_eject_time].map(|d| d.as_secs()), [12, 0, 14]);
}

#[test]
fn what_says_who_stays_where_arrives() {
    let mp = good(
        "[roles.MP]\nfallback_rule = \"last-known-good\"\nclock = \"immediate\"\naffinity = \"14days\"\n\
         client_field = \"CCMClientID\"\nnamed = \"first\"\nupload_affinity = false\n",
    );
    assert_eq!((mp.fallback_rule, mp.clock), (FallbackRule::LastKnownGood, Clock::Immediate));
    assert_eq!((mp.affinity, mp.client_field.as_deref()), (Some(Duration::from_secs(1_209_600)), Some("ccmclientid")));
    assert_eq!((mp.named, mp.upload_affinity), (Naming::First, false));
    let dp = good("[roles.DP]\naffinity = \"off\"\nhash_balance_factor = 200\nfallback_rule = \"at-once\"\n");
    assert_eq!((dp.affinity, dp.hash_balance_factor, dp.default_fallback), (None, 200, Fallback::Minutes(0)));
    let dp = good("[roles.DP]\naffinity = \"0s\"\nhash_balance_factor = 0\nfallback_rule = \"none\"\n");
    assert_eq!((dp.affinity, dp.hash_balance_factor, dp.default_fallback), (None, 0, Fallback::Never));
    let dp = good("[roles.DP]\nbalance = \"client\"\n");
    assert_eq!(
        (dp.hash_balance_factor, dp.affinity),
        (0, presets::find("DP").unwrap().affinity),
        "no contents to limit"
    );
    let dp = good("[roles.DP]\nbalance = \"device\"\nhash_balance_factor = 0\n");
    assert_eq!((dp.balance, dp.affinity), (Balance::Device, None), "nobody moves, so nothing is remembered");
    let sup = good("[roles.SUP]\nfallback_rule = \"shared\"\n");
    assert_eq!((sup.fallback_rule, sup.affinity), (FallbackRule::Shared, None));
    assert_eq!(sup.default_fallback, Fallback::Minutes(0));
    let bgb = good("[roles.client-notification]\nbalance = \"device\"\n");
    assert_eq!(bgb.balance, Balance::Device);
    let bgb = good("[roles.client-notification]\naffinity = \"1h\"\n");
    assert_eq!(bgb.affinity, Some(Duration::from_secs(3600)));
}

#[test]
fn a_probe_can_be_changed_in_every_field() {
    let mp = good(
        "[roles.MP.probe]\nport = 81\nmethod = \"POST\"\ntarget = \"/x?y\"\nhost = \"h:1\"\nstatus = [204, \"300-399\"]\n\
         body_contains = \"ok\"\nsecond_opinion = \"/z\"\ninterval = \"9s\"\nfast_interval = \"2s\"\ndown_interval = \"3s\"\n\
         timeout = \"4s\"\nrise = 5\nfall = 6\njitter_percent = 7\n",
    );
    let expected = HttpProbe {
        method: "POST".into(),
        target: "/x?y".into(),
        host: Some("h:1".into()),
        status: vec![(204, 204), (300, 399)],
        body_contains: Some("ok".into()),
        second_opinion: Some("/z".into()),
    };
    assert_eq!((http(&mp), mp.probe.port), (&expected, Some(81)));
    let s = mp.probe.schedule;
    assert_eq!([s.interval, s.fast_interval, s.down_interval, s.timeout].map(|d| d.as_secs()), [9, 2, 3, 4]);
    assert_eq!((s.rise, s.fall, s.jitter_percent), (5, 6, 7));
}

#[test]
fn a_new_question_does_not_wait_for_the_old_answer() {
    let mp = good("[roles.MP.probe]\ntarget = \"/health\"\n");
    assert_eq!((&http(&mp).body_contains, &http(&mp).second_opinion), (&None, &None));
    let mp = good("[roles.MP.probe]\nbody_contains = \"\"\n");
    assert_eq!((http(&mp).body_contains.as_ref(), http(&mp).second_opinion.is_some()), (None, true));
    let smp = good("[roles.SMP.probe]\ntarget = \"/SMSSMP/alive\"\n");
    assert_eq!((http(&smp).method.as_str(), http(&smp).status.as_slice()), ("GET", &[(200, 399)][..]));
    assert_eq!(good("[roles.MP.probe]\nkind = \"none\"\n").probe.kind, ProbeKind::None);
    assert_eq!(good("[roles.MP.probe]\nkind = \"tcp\"\n").probe.kind, ProbeKind::Tcp);
    let bgb = good("[roles.client-notification.probe]\ntarget = \"/bgb/handler.ashx\"\nport = 80\n");
    assert_eq!((bgb.probe.port, http(&bgb).target.as_str()), (Some(80), "/bgb/handler.ashx"));
}

#[test]
fn roles_of_ones_own() {
    let own = good("[roles.\"Package Portal\"]\npreset = \"plain\"\n");
    assert_eq!((own.name.as_str(), own.title.as_str(), own.short.as_str()), ("package-portal", "Package Portal", ""));
    let second = good("[roles.mp-lab]\npreset = \"MP\"\n");
    assert_eq!((second.name.as_str(), second.paths.len()), ("mp-lab", presets::find("MP").unwrap().paths.len()));
    assert_eq!(good("[roles.MP]\npreset = \"management point\"\n"), presets::find("MP").unwrap());
}

#[test]
fn paths_are_added_and_removed() {
    let mp = presets::find("MP").unwrap();
    let changed = good("[roles.MP]\npaths_add = [\"/x/\"]\npaths_remove = [\"/cmuserservice\", \"/BGB\"]\n");
    assert_eq!(changed.paths.len(), mp.paths.len() - 1);
    assert!(changed.paths.contains(&"/x".to_owned()) && changed.paths.contains(&"/SMS_MP".to_owned()));
    assert!(!changed.paths.iter().any(|path| path == "/CMUserService" || path == "/BGB"));
    let own = good("[roles.users]\npreset = \"MP\"\npaths = [\"/CMUserService\"]\n");
    assert_eq!(
        (own.paths.as_slice(), own.times_of.as_deref()),
        (&["/CMUserService".to_owned()][..], Some("management-point"))
    );
    refuses("paths = [\"/a\"]\npaths_add = [\"/b\"]", 3, 14, "nothing to add to", "either `paths`, or");
    refuses("paths_remove = [\"/SMS_M\"]", 2, 17, "no path \"/SMS_M\"", "it has /SMS_MP /SMS_MP_WindowsAuth");
    refuses("paths_remove = [\"b\"]", 2, 17, "does not start with /", "write \"/b\"");
    warns("paths_add = [\"/sms_mp\"]", 2, 14, "has the path \"/sms_mp\" already", "leave it out");
    warns("paths = [\"/SMS_MP\"]", 2, 10, "not in the list: /SMS_MP_WindowsAuth", "`paths_add`");
    let all = format!("[roles.FSP]\npaths_remove = {:?}\n", presets::find("FSP").unwrap().paths);
    check(&role(&all).1, &all, true, 1, 8, "has no path", "paths = [\"/\"]");
    good("[roles.MP]\npaths = [\"/\"]\n");
}

#[test]
fn names_that_are_no_role() {
    let refuses = |source: &str, line, column, message, help| {
        check(&role(source).1, source, true, line, column, message, help);
    };
    refuses("[roles.x]\npreset = \"plan\"\n", 2, 10, "no preset \"plan\"", "did you mean \"plain\"?");
    refuses("[roles.x]\npreset = \"elephant\"\n", 2, 10, "no preset \"elephant\"", "or \"plain\"");
    refuses("[roles.MP]\npreset = \"plain\"\n", 2, 10, "does not start from another preset", "another name");
    refuses("[roles.\"a b!\"]\npreset = \"plain\"\n", 1, 8, "cannot be the name of a role", "64 letters");
    refuses("[roles.\" \"]\npreset = \"plain\"\n", 1, 8, "cannot be the name of a role", "64 letters");
    refuses(
        "[roles.mangement-point]\ntls = true\n",
        1,
        8,
        "no role \"mangement-point\"",
        "\"management-point\"? for a role",
    );
    refuses("[roles.portal]\ntls = true\n", 1, 8, "no role \"portal\"", "preset = \"plain\"");
    refuses("[roles.\"Site server\"]\ntls = true\n", 1, 8, "no client-facing listener", "leave this role out");
}

#[test]
fn words_are_checked() {
    refuses(
        "balance = \"least-request\"",
        2,
        11,
        "`balance` cannot be \"least-request\"",
        "did you mean \"least-requests\"?",
    );
    refuses("balance = \"sticky\"", 2, 11, "`balance` cannot be \"sticky\"", "\"random\", \"client\", \"content\"");
    refuses("locality = \"Boundary Groups\"", 2, 12, "`locality` cannot be", "did you mean \"boundary-groups\"?");
    refuses("balance = \"devices\"", 2, 11, "`balance` cannot be \"devices\"", "did you mean \"device\"?");
    refuses(
        "fallback_rule = \"later\"",
        2,
        17,
        "`fallback_rule` cannot be \"later\"",
        "\"last-known-good\", \"shared\", \"at-once\"",
    );
    refuses("clock = \"honour\"", 2, 9, "`clock` cannot be \"honour\"", "did you mean \"honor\"?");
    refuses("panic = \"never\"", 2, 9, "`panic` cannot be \"never\"", "write one of \"serve\", \"refuse\"");
    refuses("probe.kind = \"htttp\"", 2, 14, "`kind` cannot be \"htttp\"", "did you mean \"http\"?");
}

#[test]
fn texts_are_checked() {
    refuses("methods = [\"GET\", \"CCM POST\"]", 2, 19, "\"CCM POST\" is not a method", "CCM_POST");
    refuses("methods = [\"\"]", 2, 12, "\"\" is not a method", "GET");
    refuses("methods = [\"get\"]", 2, 12, "their case counts", "write \"GET\"");
    refuses("paths = [\"/a\", \"SMS_MP\"]", 2, 16, "does not start with /", "write \"/SMS_MP\"");
    refuses("paths = [\"/a?b\"]", 2, 10, "more than a path", "write only the path: \"/a\"");
    refuses("paths = [\"/a b\"]", 2, 10, "cannot be in a request", "%20");
    refuses("paths = []", 1, 8, "no path", "paths = [\"/\"]");
    refuses("hosts = [\"*.contoso.com\"]", 2, 10, "is not a host name", "without *");
    refuses("hosts = [\"\"]", 2, 10, "is not a host name", "mp.contoso.com");
    refuses("hosts = [\"https://Mp.contoso.com/x\"]", 2, 10, "more than a host name", "write only \"mp.contoso.com\"");
    refuses("hosts = [\"mp:80\"]", 2, 10, "more than a host name", "write only \"mp\"");
    refuses("hosts = [\"[::1]:80\"]", 2, 10, "more than a host name", "write only \"[::1]\"");
    for name in ["", "CCM ClientID", "CCMClientID:", "é"] {
        let line = format!("client_field = \"{name}\"");
        refuses(&line, 2, 16, "is not the name of a header field", "\"CCMClientID\"");
    }
    refuses("probe.target = \"x\"", 2, 16, "does not start with /", "write \"/x\"");
    refuses("probe.target = \"/ä\"", 2, 16, "cannot be in a request", "%20");
    refuses("probe.second_opinion = \"x\"", 2, 24, "does not start with /", "write \"/x\"");
    refuses("probe.method = \"a b\"", 2, 16, "is not a method", "GET");
    refuses("probe.host = \"\"", 2, 14, "\"\" is not a host", "contoso");
    refuses("retry.methods = [\"(\"]", 2, 18, "is not a method", "GET");
}

#[test]
fn numbers_are_checked() {
    refuses("port = 0", 2, 8, "no port 0", "1 to 65535");
    refuses("tls_port = 0", 2, 12, "no port 0", "1 to 65535");
    refuses("max_requests = 0", 2, 16, "`max_requests` cannot be 0", "a number from 1");
    for factor in [1, 99, 1001] {
        let line = format!("balance = \"content\"\nhash_balance_factor = {factor}");
        refuses(&line, 3, 23, &format!("`hash_balance_factor` cannot be {factor}"), "1000");
    }
    refuses("retry.attempts = 8", 2, 18, "`attempts` cannot be 8", "from 0 to 7");
    refuses("retry.budget_percent = 101", 2, 24, "`budget_percent` cannot be 101", "from 0 to 100");
    refuses("retry.on_status = [503, 401]", 2, 25, "401 is no status", "part of signing in");
    refuses("probe.rise = 0", 2, 14, "`rise` cannot be 0", "from 1 to 1000");
    refuses("probe.fall = 0", 2, 14, "`fall` cannot be 0", "from 1 to 1000");
    refuses("probe.jitter_percent = 200", 2, 24, "cannot be 200", "from 0 to 100");
    refuses("probe.port = 0", 2, 14, "no port 0", "1 to 65535");
    refuses("probe.status = [99]", 2, 17, "99 is not a status", "100 to 599");
    refuses("probe.status = [\"2xx\"]", 2, 17, "\"2xx\" is not a status", "\"200-299\"");
    refuses("probe.status = [\"500-600\"]", 2, 17, "is not a status", "100 to 599");
    refuses("probe.status = [200, \"299-200\"]", 2, 22, "ends before it starts", "write \"200-299\"");
    refuses("probe.status = []", 1, 8, "no status means well", "200-299");
    refuses("passive.failure_percent = 101", 2, 27, "cannot be 101", "from 0 to 100");
    refuses("passive.min_requests = 0", 2, 24, "cannot be 0", "from 1");
    refuses("passive.max_eject_time = \"1s\"", 2, 26, "the first ejection lasts 30s", "\"30s\" or more");
    refuses("passive.eject_time = \"1h\"", 1, 8, "and the longest only 5m", "shorter `eject_time`");
}

#[test]
fn fields_are_checked_together() {
    refuses("probe.kind = \"tcp\"\nprobe.target = \"/x\"", 3, 16, "`target` is about an HTTP probe", "kind = \"http\"");
    refuses(
        "probe.kind = \"none\"\nprobe.body_contains = \"x\"",
        1,
        8,
        "`body_contains` is about",
        "leave `body_contains`",
    );
    refuses("probe.method = \"HEAD\"", 2, 16, "has no body", "method = \"GET\"");
    warns("probe.timeout = \"10s\"", 2, 17, "may take 10s, but the next one is due after 10s", "shorter");
    warns("probe.interval = \"3s\"", 2, 18, "may take 5s", "shorter than the `interval`");
    warns("timeouts.upstream_idle = \"120s\"", 2, 26, "IIS closes", "less than \"120s\"");
    warns("retry.methods = [\"GET\", \"CCM_POST\"]", 2, 25, "may be carried out twice", "sends it again");
    warns("named = \"only\"\nretry.attempts = 2", 3, 18, "no other site system", "attempts = 0");
    warns(
        "balance = \"device\"\nsame_subnet_first = true",
        3,
        21,
        "the hash alone names a client's server",
        "leave `same_subnet_first` out",
    );
    warns("hash_balance_factor = 150", 2, 23, "only limits balance = \"content\"", "leave it out");
    warns("balance = \"device\"\naffinity = \"1h\"", 3, 12, "a client never moves", "leave `affinity` out");
    warns("fallback_rule = \"last-known-good\"", 2, 17, "nobody's last known-good", "affinity = \"14days\"");
    warns(
        "default_fallback = 60",
        2,
        20,
        "of the role Management point is fixed at 0 or never",
        "write 0 or \"never\"",
    );
    warns("fallback_rule = \"none\"\ndefault_fallback = 0", 3, 20, "has no working fallback", "write \"never\"");
    let tcp = |lines: &str, line, column, message, help| {
        let source = format!("[roles.client-notification]\n{lines}\n");
        check(&role(&source).1, &source, true, line, column, message, help);
    };
    tcp("paths = [\"/\"]", 2, 10, "`paths` has no meaning for the role client-notification", "leave `paths` out");
    tcp("hosts = []", 1, 8, "`hosts` has no meaning", "leave `hosts` out");
    tcp("balance = \"content\"", 2, 11, "has no requests", "\"client\" or \"device\"");
    tcp("client_field = \"Host\"", 2, 16, "`client_field` has no meaning", "leave `client_field` out");
    tcp("named = \"first\"", 2, 9, "`named` has no meaning", "leave `named` out");
    tcp("upload_affinity = true", 2, 19, "`upload_affinity` has no meaning", "leave `upload_affinity` out");
    tcp("probe.kind = \"http\"", 2, 14, "does not speak HTTP", "port = 80");
}

#[test]
fn what_differs_on_a_site_system() {
    let source = "[[site_systems]]\nroles = [{ role = \"DP\", port = 81, tls = true, max_requests = 5, slow_start = \"1s\",\n\
                  lend_certificate = true, timeouts = { connect = \"9s\" },\n\
                  probe = { fall = 9 }, passive = { min_requests = 9 }, weight = 9 }]\n";
    let (changed, problems) = dp_on_site_system(source);
    assert!(problems.is_empty(), "{}", problems.render("", source, false));
    let dp = presets::find("DP").unwrap();
    assert_eq!((changed.port, changed.tls_port, changed.tls, changed.max_requests), (dp.port, 81, true, 5));
    assert!(changed.lend_certificate && !dp.lend_certificate);
    assert_eq!((changed.slow_start.as_secs(), changed.timeouts.connect.as_secs()), (1, 9));
    assert_eq!((changed.probe.schedule.fall, changed.passive.min_requests), (9, 9));
    assert_eq!(dp_on_site_system("[[site_systems]]\nroles = [{ role = \"DP\", port = 81 }]\n").0.port, 81);

    let refuses = |entry: &str, column, message, help| {
        let source = format!("[[site_systems]]\nroles = [{{ role = \"DP\", {entry} }}]\n");
        check(&dp_on_site_system(&source).1, &source, true, 2, column, message, help);
    };
    refuses("port = 0", 32, "no port 0", "65535");
    refuses("max_requests = 0", 40, "cannot be 0", "from 1");
    refuses("probe = { fall = 0 }", 42, "`fall` cannot be 0", "from 1");
    refuses("probe = { status = [] }", 19, "no status means well", "200-299");
    refuses("passive = { eject_time = \"1h\" }", 19, "the longest only 5m", "max_eject_time");
}

fn dp_on_site_system(source: &str) -> (Role, Problems) {
    let mut problems = Problems::new();
    let config = parse(source, &mut problems);
    assert!(problems.is_empty(), "{}", problems.render("", source, false));
    let RoleEntry::Table(entry) = config.site_systems[0].roles()[0].get_ref() else { panic!("{source}") };
    (on_site_system(&presets::find("DP").unwrap(), entry, &mut problems), problems)
}

#[test]
fn weights() {
    let mut problems = Problems::new();
    assert_eq!(weight(None, 100, &mut problems), 100);
    assert_eq!(weight(Some(&Spanned::new(0..1, 7)), 100, &mut problems), 7);
    assert!(problems.is_empty());
    assert_eq!(weight(Some(&Spanned::new(0..1, 0)), 100, &mut problems), 100);
    assert_eq!(weight(Some(&Spanned::new(0..1, 1001)), 100, &mut problems), 100);
    check_weights(&problems);
}

fn check_weights(problems: &Problems) {
    let said = problems.json("", "x");
    assert_eq!(said.len(), 2);
    assert!(said[0].message.contains("`weight` cannot be 0") && said[0].help.contains("from 1 to 1000"));
}
