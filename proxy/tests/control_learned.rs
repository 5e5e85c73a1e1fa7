//! What a running proxy knows, and who may change it: explanations, fallback clocks, content and affinity, through the
//! admin listener.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use control_support::client::{Answer, Client, get};
use control_support::proxy::{MPLIST, Toml, admin, health, http, series, shutdown};
use control_support::until_true;
use rolegate::admin::Changed;
use rolegate::app::App;
use rolegate::explain::Explanation;
use rolegate::learned::clocks::Clocks;
use rolegate::learned::content::Audit;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{Role, SiteSystem, Spec};
use serde::de::DeserializeOwned;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const BEARER: &str = "Bearer 0123456789abcdef0123456789abcdef";
const PROBE: &str = "probe = { kind = \"tcp\", interval = \"200ms\", fast_interval = \"20ms\", down_interval = \"50ms\", timeout = \"5s\" }\n";

const GROUPS: &str = "
[[boundary_groups]]
name = \"HQ\"
boundaries = [\"127.0.0.0/8\"]
site_systems = [\"dp1\", \"dp2\"]
neighbors = [{ group = \"Berlin\", fallback = { DP = 30 } }, { group = \"default\", fallback = { DP = \"never\" } }]

[[boundary_groups]]
name = \"Berlin\"
boundaries = [\"10.2.0.0/16\"]
site_systems = [\"dp3\"]
neighbors = [{ group = \"default\", fallback = { DP = \"never\" } }]

[default_boundary_group]
site_systems = [\"dp1\"]
";

struct Lab {
    app: App,
    points: Vec<SiteSystem>,
    /// Holds the token while the proxy may read it.
    _folder: tempfile::TempDir,
}

/// Three distribution points, of which dp1 lacks PKG00001 and dp2 lacks PKG00001 and PKG00002.
async fn lab(token: bool, more: &str) -> Lab {
    let packages = ["PKG00001:1x1KiB", "PKG00002:1x1KiB", "PKG00003:1x1KiB"].map(|text| Package::parse(text).unwrap());
    let content = Arc::new(Content::new(packages));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut toml = Toml::new(&["DP", "MP"]).role("DP", PROBE).role("MP", PROBE);
    if token {
        toml = toml.set("[admin]\n", &format!("[admin]\ntoken_file = {path:?}\n"));
    }
    let mut points = Vec::new();
    for (name, missing) in [("dp1", &["PKG00001"][..]), ("dp2", &["PKG00001", "PKG00002"]), ("dp3", &[])] {
        let spec = Spec::distribution_point(name, &content).role(Role::ManagementPoint);
        let point = SiteSystem::start(spec).await.unwrap();
        point.faults().set_missing_content(missing);
        let port = point.address().port();
        let roles = format!("{{ role = \"DP\", port = {port} }}, {{ role = \"MP\", port = {port} }}");
        toml = toml.add(&format!("[[site_systems]]\nname = {name:?}\naddress = \"127.0.0.1\"\nroles = [{roles}]"));
        points.push(point);
    }
    let app = toml.add(GROUPS).add(more).start();
    until_true("all up", || ["dp1", "dp2", "dp3"].iter().all(|name| health(&app, name) == "up")).await;
    Lab { app, points, _folder: folder }
}

fn file(package: u32) -> String {
    format!("/SMS_DP_SMSPKG$/PKG0000{package}/sccm?/file%201.bin")
}

async fn read<T: DeserializeOwned>(app: &App, path: &str) -> T {
    let answer = admin(app, path).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()),
        (200, "application/json"),
        "{}",
        answer.text()
    );
    serde_json::from_slice(&answer.body).unwrap()
}

async fn post(app: &App, target: &str, token: Option<&str>) -> Answer {
    let fields: Vec<(&str, &str)> = token.into_iter().map(|token| ("authorization", token)).collect();
    Client::connect(app.admin()).await.send_with("POST", target, &fields).await.unwrap()
}

async fn change(app: &App, target: &str) -> usize {
    let answer = post(app, target, Some(BEARER)).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_slice::<Changed>(&answer.body).unwrap().changed
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_need_the_token() {
    let Lab { app, points: _points, .. } = lab(true, "").await;
    for target in ["/clocks/reset", "/content/forget?all=true", "/affinity/forget?server=dp1"] {
        for token in [None, Some("Bearer x"), Some("Basic 0123456789abcdef0123456789abcdef"), Some("Bearer ")] {
            let answer = post(&app, target, token).await;
            assert_eq!(answer.status, 401, "{target} {token:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        assert_eq!(post(&app, target, Some(BEARER)).await.status, 200, "{target}");
        for method in ["GET", "PUT", "DELETE"] {
            let mut client = Client::connect(app.admin()).await;
            let answer = client.send_with(method, target, &[("authorization", BEARER)]).await.unwrap();
            assert_eq!((answer.status.as_u16(), &answer.headers["allow"]), (405, &"POST".parse().unwrap()), "{method}");
        }
    }
    for target in ["/explain", "/clocks", "/content"] {
        let answer = post(&app, target, Some(BEARER)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &"GET, HEAD".parse().unwrap()),
            "{target}"
        );
    }
    shutdown(app).await;
    let Lab { app, points: _points, .. } = lab(false, "").await;
    for token in [None, Some(BEARER)] {
        let answer = post(&app, "/clocks/reset", token).await;
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("token_file"), "{}", answer.text());
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_proxy_explains_what_it_does() {
    let Lab { app, points, .. } = lab(false, "").await;
    let target = "/explain?client=127.0.0.1&method=GET&target=/SMS_DP_SMSPKG$/PKG00003/sccm?/file%25201.bin";
    let told: Explanation = read(&app, target).await;
    let pick = told.pick.unwrap();
    let answer = get(http(&app), &file(3)).await;
    assert_eq!((answer.status.as_u16(), answer.server()), (200, Some(pick.site_system.as_str())));
    assert!(pick.sentence.contains("hash"), "{}", pick.sentence);
    assert!(told.tiers[0].servers.iter().all(|server| server.since.is_some()));
    assert_eq!(told.request.target, "/SMS_DP_SMSPKG$/PKG00003/sccm?/file%201.bin");
    let told: Explanation = read(&app, target).await;
    assert_eq!(told.pick.unwrap().how, "stays", "the download is there now");

    points[1].kill();
    until_true("down", || health(&app, "dp2") == "down").await;
    let told: Explanation = read(&app, &format!("{target}&why-not=dp2")).await;
    let why_not = told.why_not.unwrap();
    assert!(why_not.sentence.starts_with("dp2 cannot serve: down for "), "{}", why_not.sentence);
    assert!(why_not.sentence.contains("refused"), "{}", why_not.sentence);

    let answer = admin(&app, "/explain?target=x&hots=y&field=z").await;
    assert_eq!(answer.status, 400);
    for word in ["client is missing", "\"x\"", "\"hots\"", "\"z\""] {
        assert!(answer.text().contains(word), "{word}: {}", answer.text());
    }
    let answer = admin(&app, &format!("{target}&why-not=dp33&listener=htp")).await;
    assert!(answer.status == 400 && answer.text().contains("\"dp3\"") && answer.text().contains("\"http\""));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_listed_and_reset() {
    let Lab { app, points, .. } = lab(true, "[fallback]\nspeedup = 10\n").await;
    assert_eq!(read::<Clocks>(&app, "/clocks").await, Clocks { speedup: 10, ..Clocks::default() });
    let folder = "/SMS_DP_SMSPKG$/PKG00001";
    let listing = Client::connect(http(&app)).await.send("PROPFIND", folder).await.unwrap();
    assert_eq!(listing.status, 404, "both have said that they lack it");
    points.iter().take(2).for_each(SiteSystem::kill);
    until_true("down", || health(&app, "dp1") == "down" && health(&app, "dp2") == "down").await;
    assert_eq!(get(http(&app), &file(3)).await.status, 503);
    let running = || async { read::<Clocks>(&app, "/clocks").await };
    control_support::until("two names", || async { (running().await.clocks.len() == 2).then_some(()) }).await;
    let clocks = running().await;
    assert_eq!((clocks.running, clocks.unnamed), (2, 0));
    for (clock, content) in clocks.clocks.iter().zip(["PKG00001", "PKG00003"]) {
        assert_eq!((clock.role.as_str(), clock.content.as_deref()), ("distribution-point", Some(content)));
        assert_eq!(clock.boundary_groups, ["HQ"]);
        let next = clock.next.as_ref().unwrap();
        assert_eq!((next.kind.as_str(), next.minutes), ("neighbor", 30));
        let whole = clock.started_ago + next.opens_in;
        assert!((whole - 180.0).abs() < 0.2, "half an hour, ten times as fast: {whole}");
        assert!((clock.minutes - clock.started_ago / 6.0).abs() < 0.01);
    }
    let text = admin(&app, "/metrics").await.text().to_owned();
    assert_eq!(series(&text, "rolegate_fallback_clocks"), Some(2.0));

    for (query, words) in [
        ("role=dpp", "did you mean \"dp\""),
        ("group=HQQ", "did you mean \"HQ\""),
        ("server=dp1", "there is role, group, content"),
    ] {
        let answer = post(&app, &format!("/clocks/reset?{query}"), Some(BEARER)).await;
        let text = answer.text().to_ascii_lowercase();
        assert!(answer.status == 400 && text.contains(&words.to_ascii_lowercase()), "{query}: {text}");
    }
    for (query, reset) in [
        ("role=MP", 0),
        ("group=Berlin", 0),
        ("content=PKG00001&group=default", 0),
        ("role=DP&group=hq&content=pkg00001", 1),
        ("", 1),
        ("", 0),
    ] {
        assert_eq!(change(&app, &format!("/clocks/reset?{query}")).await, reset, "{query}");
    }
    assert_eq!(running().await.running, 0);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_say_what_it_has_holds_up_no_others() {
    let good = SiteSystem::start(Spec::distribution_point("good", &Arc::new(Content::new([])))).await.unwrap();
    // It takes connections, and that is all.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ids: Vec<String> = (0..60).map(|number| format!("PKG000{number:02}")).collect();
    let begun = std::time::Instant::now();
    let app = Toml::new(&["DP"])
        .role("DP", PROBE)
        .system("silent", "DP", silent.local_addr().unwrap(), "")
        .site(&good, "DP")
        .add(&format!("[content]\ndiscover = {ids:?}\n"))
        .start();
    let lacks = || async {
        let audit: Audit = read(&app, "/content").await;
        audit.roles.first()?.servers.iter().find(|server| server.lacks == 60).map(drop)
    };
    control_support::until("all are asked", lacks).await;
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(10),
        "it waited for the silent one: {:?}",
        begun.elapsed()
    );
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_says_what_is_where_and_what_would_be_lost() {
    let discover = "[content]\ndiscover = [\"PKG00001\", \"PKG00002\", \"PKG00003\"]\n";
    let Lab { app, points: _points, .. } = lab(true, discover).await;
    let audit = || async { read::<Audit>(&app, "/content").await };
    let known = || async {
        let audit = audit().await;
        audit.roles[0].servers.iter().all(|server| server.has + server.lacks == 3).then_some(audit)
    };
    let audit = control_support::until("all are asked", known).await;
    let role = &audit.roles[0];
    assert_eq!((audit.roles.len(), role.role.as_str(), role.contents.total), (1, "distribution-point", 3));
    let numbers: Vec<(usize, usize, usize)> =
        role.servers.iter().map(|server| (server.has, server.lacks, server.alone)).collect();
    assert_eq!(numbers, [(2, 1, 0), (1, 2, 0), (3, 0, 1)]);
    let first = &role.contents.first[0];
    assert_eq!(
        (first.id.as_str(), first.has.join(" "), first.lacks.join(" ")),
        ("PKG00001", "dp3".into(), "dp1 dp2".into())
    );
    assert_eq!(role.single.first, [("PKG00001".to_owned(), "dp3".to_owned())]);
    assert!(role.if_lost.is_none());

    let loss = |system: &'static str| {
        let app = &app;
        async move {
            let audit: Audit = read(app, &format!("/content?server={system}")).await;
            let loss = audit.roles[0].if_lost.clone().unwrap();
            let groups = loss.groups.first.into_iter();
            groups.map(|group| (group.boundary_group, group.contents.first)).collect::<Vec<_>>()
        }
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let named = |name: &str| Some(name.to_owned());
    // Berlin has nobody else; HQ may fall back to Berlin, and clients in no group have dp1 alone.
    assert_eq!(
        loss("dp3").await,
        [(named("HQ"), ids(&["PKG00001"])), (named("Berlin"), ids(&["PKG00001", "PKG00002", "PKG00003"])),]
    );
    assert_eq!(loss("dp1").await, [(None, ids(&["PKG00002", "PKG00003"]))]);
    assert_eq!(loss("dp2").await, []);
    let answer = admin(&app, "/content?server=dp7&x=1").await;
    assert_eq!(answer.status, 400, "{}", answer.text());

    for query in ["", "?all=yes", "?all=true&content=PKG00001", "?server=dp7"] {
        assert_eq!(post(&app, &format!("/content/forget{query}"), Some(BEARER)).await.status, 400, "{query}");
    }
    assert_eq!(change(&app, "/content/forget?content=pkg00001&server=dp1").await, 1);
    assert_eq!(change(&app, "/content/forget?content=PKG00001").await, 2);
    assert_eq!(change(&app, "/content/forget?server=dp2").await, 2);
    assert_eq!(change(&app, "/content/forget?all=true").await, 4);
    assert_eq!(read::<Audit>(&app, "/content").await.roles[0].contents.total, 0);
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_asked_again() {
    let Lab { app, points, .. } = lab(true, "").await;
    assert_eq!(get(http(&app), &file(1)).await.status, 404);
    // The folders are asked for behind the scenes.
    let lacking = || async {
        let text = admin(&app, "/metrics").await.text().to_owned();
        let lacks = "rolegate_content_learned_total{role=\"distribution-point\",verdict=\"lacks\"}";
        (series(&text, lacks) == Some(2.0)).then_some(())
    };
    control_support::until("both have said that they lack the package", lacking).await;
    points[0].faults().set_missing_content::<&str>([]);
    let told: Explanation = read(&app, "/explain?client=127.0.0.1&target=/SMS_DP_SMSPKG$/PKG00001").await;
    assert_eq!(told.pick.unwrap().how, "asked-again");
    change(&app, "/content/forget?content=PKG00001").await;
    let answer = get(http(&app), &file(1)).await;
    assert_eq!((answer.status.as_u16(), answer.server()), (200, Some("dp1")), "files are forgotten too");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_distributed_anew() {
    let Lab { app, points: _points, .. } = lab(true, "").await;
    let answer = get(http(&app), &file(3)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let server = answer.server().unwrap().to_owned();
    let how = || async {
        let told: Explanation = read(&app, "/explain?client=127.0.0.1&target=/SMS_DP_SMSPKG$/PKG00003/x").await;
        told.pick.as_ref().unwrap_or_else(|| panic!("{told:#?}")).how.clone()
    };
    assert_eq!(how().await, "stays");
    assert_eq!(change(&app, &format!("/affinity/forget?server={}", server.to_uppercase())).await, 1);
    assert_eq!(how().await, "drawn");
    for target in ["/affinity/forget", "/affinity/forget?server=", "/affinity/forget?server=dp7"] {
        assert_eq!(post(&app, target, Some(BEARER)).await.status, 400, "{target}");
    }
    assert_eq!(get(http(&app), MPLIST).await.status, 200);
    shutdown(app).await;
}
