#![allow(clippy::unwrap_used)]

use std::time::Instant;

use super::*;
use crate::control::state_file::Written;
use crate::learned::clocks::{ClockStatus, OpenTier};
use crate::learned::content::{ContentStatus, Listed, RoleContent};
use crate::status::{
    CertificateStatus, ChangeStatus, EndpointStatus, FailureStatus, GroupStatus, ListenerStatus, ReloadStatus,
    RoleStatus,
};
use crate::steering::listing::OverrideStatus;

/// A name as nobody should give one: it must come out as text wherever it stands.
const HOSTILE: &str = "<script>alert('1')</script>\"&";
const ESCAPED: &str = "&lt;script&gt;alert('1')&lt;/script&gt;&quot;&amp;";

fn endpoint(system: &str, health: &str) -> EndpointStatus {
    EndpointStatus {
        site_system: system.to_owned(),
        description: Some(HOSTILE.to_owned()),
        address: "192.0.2.1:80".to_owned(),
        health: health.to_owned(),
        since: Some(900.0),
        weight: 100,
        in_flight: 3,
        last_failure: (health == "down").then(|| FailureStatus { at: 990.0, cause: format!("refused {HOSTILE}") }),
        history: "...........x....xxxx".to_owned(),
        ..EndpointStatus::default()
    }
}

fn shown(endpoints: Vec<EndpointStatus>) -> Shown {
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.site_system.clone()).collect();
    let role = RoleStatus {
        name: "distribution-point".to_owned(),
        title: "Distribution point".to_owned(),
        boundary_groups: true,
        endpoints,
        ..RoleStatus::default()
    };
    let groups = (0..300).map(|number| GroupStatus {
        name: format!("Group {number} {HOSTILE}"),
        servers: vec![("distribution-point".to_owned(), names.iter().take(50).cloned().collect())],
        ..GroupStatus::default()
    });
    let status = Status {
        site: format!("P01{HOSTILE}"),
        rolegate: "0".to_owned(),
        reload: ReloadStatus { at: 1.0, accepted: true, errors: None },
        roles: vec![role],
        boundary_groups: groups.collect(),
        ..Status::default()
    };
    let look = traffic::Look::take(&status, &Metrics::new());
    let traffic = Looks::default().add(Instant::now(), look);
    Shown { status, traffic, now: 1000.0 }
}

fn whole(topic: Topic, shown: &Shown, made: &Made) -> String {
    Frame { topic, shown, made }.whole().into_string()
}

fn asked(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn assert_clean(html: &str) {
    assert!(!html.contains("<script>"), "a name is a script: {html}");
    assert!(!html.contains("\"&\""), "{html}");
    for not in [" style=", "javascript:", " onclick=", " onerror=", " onload=", "<img"] {
        assert!(!html.contains(not), "{not} in {html}");
    }
}

#[test]
fn hostile_names_are_text_on_every_page() {
    let mut shown = shown(vec![endpoint(HOSTILE, "down"), endpoint("dp2", "up")]);
    shown.status.changes = vec![ChangeStatus {
        at: 1.0,
        role: HOSTILE.to_owned(),
        site_system: HOSTILE.to_owned(),
        from: "up".to_owned(),
        to: "down".to_owned(),
        cause: Some(HOSTILE.to_owned()),
        ..ChangeStatus::default()
    }];
    let own = Written { site_system: HOSTILE.to_owned(), by: HOSTILE.to_owned(), ..Written::default() };
    shown.status.overrides = vec![OverrideStatus { written: own, state: "holds".to_owned() }];
    shown.status.roles[0].endpoints[0].steered = "drain".to_owned();
    shown.status.listeners = vec![ListenerStatus {
        name: HOSTILE.to_owned(),
        certificates: vec![CertificateStatus { names: vec![HOSTILE.to_owned()], days_left: 3, ..Default::default() }],
        ..ListenerStatus::default()
    }];
    let clocks = Clocks {
        running: 1,
        clocks: vec![ClockStatus {
            boundary_groups: vec![HOSTILE.to_owned()],
            content: Some(HOSTILE.to_owned()),
            open: vec![OpenTier { kind: "neighbor".to_owned(), minutes: 1, open_for: 5.0 }],
            ..ClockStatus::default()
        }],
        ..Clocks::default()
    };
    let content = ContentStatus { id: HOSTILE.to_owned(), lacks: vec![HOSTILE.to_owned()], ..ContentStatus::default() };
    let contents = Listed { total: 1, first: vec![content] };
    let audit = Audit { roles: vec![RoleContent { contents, ..RoleContent::default() }] };
    let rejected = VersionStatus { errors: Some(HOSTILE.to_owned()), ..VersionStatus::default() };
    let taken = VersionStatus { changes: vec![HOSTILE.to_owned()], ..VersionStatus::default() };
    let (name, group) = (asked(&[("name", HOSTILE)]), asked(&[("name", &format!("Group 1 {HOSTILE}"))]));
    let filter =
        asked(&[("q", HOSTILE), ("role", HOSTILE), ("group", HOSTILE), ("health", HOSTILE), ("client", HOSTILE)]);
    let of = |pairs: &'static [(String, String)]| Asked::new(pairs);
    let [name, group, filter] = [name, group, filter].map(|pairs| of(Box::leak(pairs.into_boxed_slice())));
    let pages = [
        (Topic::Overview, overview::page(&shown, &clocks)),
        (Topic::SiteSystems, site_systems::page(&shown, &filter)),
        (Topic::SiteSystem, site_system::page(&shown, &name, |_| audit.clone())),
        (Topic::SiteSystem, site_system::page(&shown, &filter, |_| audit.clone())),
        (Topic::BoundaryGroups, boundary_groups::page(&shown, &of(&[]), &clocks)),
        (Topic::BoundaryGroup, boundary_group::page(&shown, &group, &clocks)),
        (Topic::Content, contents::page(&of(&[]), &audit)),
        (Topic::Versions, versions::page(&shown, &[rejected, taken])),
        (Topic::Certificates, certificates::page(&shown, &[])),
        (Topic::Explain, explain::page(&filter, Some(&Err(vec![HOSTILE.to_owned()])))),
        (Topic::Client, client::page(&filter, Some(&Err(HOSTILE.to_owned())))),
    ];
    for (topic, made) in pages {
        let html = whole(topic, &shown, &made);
        assert_clean(&html.replace(ESCAPED, "NAME"));
        assert!(html.contains(ESCAPED), "{topic:?}");
    }
}

#[test]
fn an_empty_site_says_what_there_is_not() {
    let mut shown = shown(Vec::new());
    shown.status.roles.clear();
    shown.status.boundary_groups.clear();
    let overview = whole(Topic::Overview, &shown, &overview::page(&shown, &Clocks::default()));
    for text in
        ["There are no site systems yet", "No role is served", "No health has changed", "No fallback clock runs"]
    {
        assert!(overview.contains(text), "{text}");
    }
    let none = Asked::new(&[]);
    assert!(
        whole(Topic::SiteSystems, &shown, &site_systems::page(&shown, &none)).contains("There is no such site system")
    );
    assert!(whole(Topic::Certificates, &shown, &certificates::page(&shown, &[])).contains("there is no certificate"));
    assert!(
        whole(Topic::Content, &shown, &contents::page(&none, &Audit::default()))
            .contains("No role of this site has content")
    );
}

#[test]
fn the_headline_says_how_bad_it_is_in_words() {
    let headline = |endpoints| {
        let shown = shown(endpoints);
        overview::page(&shown, &Clocks::default()).live.into_string()
    };
    assert!(headline(vec![endpoint("a", "up"), endpoint("b", "up")]).contains("All is well: 2 of 2 up"));
    let degraded = headline(vec![endpoint("a", "up"), endpoint("b", "down")]);
    assert!(degraded.contains("Every role is served; of 2: 1 down"), "{degraded}");
    assert!(degraded.contains("refused"), "and why");
    let down = headline(vec![endpoint("a", "down"), endpoint("b", "down")]);
    assert!(down.contains("No site system is well for: Distribution point"), "{down}");
}

#[test]
fn lists_are_filtered_on_the_server() {
    let mut all: Vec<EndpointStatus> = (0..30).map(|number| endpoint(&format!("dp{number}"), "up")).collect();
    all[7].health = "down".to_owned();
    let mut shown = shown(all);
    shown.status.boundary_groups[0].servers[0].1 = vec!["dp3".to_owned(), "dp7".to_owned()];
    let name = shown.status.boundary_groups[0].name.clone();
    let rows = |pairs: &[(&str, &str)]| {
        let pairs = asked(pairs);
        let html = site_systems::page(&shown, &Asked::new(&pairs)).live.into_string();
        html.matches("<tr data-key").count()
    };
    assert_eq!((rows(&[]), rows(&[("q", "DP2")]), rows(&[("health", "unwell")])), (30, 11, 1));
    assert_eq!((rows(&[("role", "management-point")]), rows(&[("role", "distribution-point")])), (0, 30));
    assert_eq!((rows(&[("group", &name)]), rows(&[("group", &name), ("health", "up")])), (2, 1));
    assert_eq!(rows(&[("group", "none of these")]), 0);
}

#[test]
fn two_thousand_site_systems_are_a_small_page_that_is_made_fast() {
    let systems = (0..2000).map(|number| endpoint(&format!("dp{number}"), if number % 3 == 0 { "down" } else { "up" }));
    let shown = shown(systems.collect());
    let pages = [("1", 100), ("20", 100), ("21", 100)];
    for (page, rows) in pages {
        let pairs = asked(&[("page", page)]);
        let begun = Instant::now();
        let made = site_systems::page(&shown, &Asked::new(&pairs));
        let html = whole(Topic::SiteSystems, &shown, &made);
        let took = begun.elapsed();
        assert_eq!(html.matches("<tr data-key").count(), rows, "page {page}");
        assert!(html.len() < 300 << 10, "{} bytes", html.len());
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let overview = whole(Topic::Overview, &shown, &overview::page(&shown, &Clocks::default()));
    assert!(overview.len() < 60 << 10, "{} bytes", overview.len());
    let groups = boundary_groups::page(&shown, &Asked::new(&[]), &Clocks::default()).live.into_string();
    assert_eq!(groups.matches("<tr data-key").count(), 100);
}

#[test]
fn every_page_names_only_files_of_its_own() {
    let shown = shown(vec![endpoint("a", "up")]);
    let html = whole(Topic::Overview, &shown, &overview::page(&shown, &Clocks::default()));
    for part in html
        .split("src=\"")
        .skip(1)
        .chain(html.split("<link").skip(1).flat_map(|link| link.split("href=\"").skip(1).take(1)))
    {
        let path = part.split('"').next().unwrap();
        assert!(asset(path).is_some(), "{path}");
    }
    for asset in ASSETS {
        assert!(!asset.text.contains("http://") || asset.path.ends_with(".svg"), "{}", asset.path);
        assert!(!asset.text.contains("https://") && !asset.text.contains("@import"), "{}", asset.path);
    }
    let policy = headers().into_iter().find(|(name, _)| name == "content-security-policy").unwrap().1;
    assert!(!policy.to_str().unwrap().contains("unsafe"), "{policy:?}");
}
