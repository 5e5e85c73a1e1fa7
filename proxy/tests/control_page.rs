//! The status page of a running proxy, and what it shows as JSON.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use control_support::client::{Answer, Client};
use control_support::proxy::{MPLIST, PROBE, Toml, admin, health, http, management_point, reload, shutdown};
use control_support::until_true;
use rolegate::app::App;
use rolegate::page::{ASSETS, ClientFacts, ListenerCertificate, Topic, VersionStatus};
use rolegate_bench::site::SiteSystem;
use serde::de::DeserializeOwned;

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn toml(systems: &[&SiteSystem]) -> Toml {
    let group = "[[boundary_groups]]\nname = \"<Berlin>\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"mp1\"]\n";
    let toml = Toml::new(&["MP"]).role("MP", PROBE);
    systems.iter().fold(toml, |toml, system| toml.site(system, "MP")).add(group)
}

async fn two() -> (SiteSystem, SiteSystem, Toml, App) {
    let (one, two) = (management_point("mp1").await, management_point("mp2").await);
    let toml = toml(&[&one, &two]);
    let app = toml.start();
    until_true("up", || health(&app, "mp1") == "up" && health(&app, "mp2") == "up").await;
    (one, two, toml, app)
}

async fn seen(app: &App, path: &str) -> Answer {
    Client::connect(app.admin()).await.send_with("GET", path, &[BROWSER]).await.unwrap()
}

async fn json<T: DeserializeOwned>(app: &App, path: &str) -> T {
    let answer = admin(app, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_the_page_and_a_program_the_list() {
    let (_one, _two, _, app) = two().await;
    let page = seen(&app, "/").await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(page.text().contains("All is well: 2 of 2 up"), "{}", page.text());
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(
        (&page.headers["cache-control"], &page.headers["x-frame-options"]),
        (&"no-store".parse().unwrap(), &"DENY".parse().unwrap())
    );
    assert!(admin(&app, "/").await.text().starts_with("rolegate: /status "));
    for topic in Topic::ALL {
        let answer = seen(&app, topic.path()).await;
        let named = matches!(topic, Topic::SiteSystem | Topic::BoundaryGroup);
        assert_eq!(answer.status, if named { 404 } else { 200 }, "{}", topic.path());
        assert!(answer.text().starts_with("<!DOCTYPE html>"), "{}", topic.path());
    }
    for asset in ASSETS {
        let answer = seen(&app, asset.path).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, asset.text), "{}", asset.path);
        assert_eq!(answer.headers["content-type"], asset.kind);
    }
    for (path, status) in [
        ("/page/site-system?name=MP1", 200),
        ("/page/boundary-group?name=%3CBerlin%3E", 200),
        ("/page/nothing", 404),
        ("/page/client?client=x", 400),
        ("/page/explain?client=10.1.2.3", 400),
        ("/page/explain?client=10.1.2.3&target=%2FSMS_MP%2F.sms_aut%3FMPLIST&why-not=mp2", 200),
    ] {
        assert_eq!(seen(&app, path).await.status, status, "{path}");
    }
    let part = [BROWSER, ("X-Rolegate-Part", "live")];
    let live = Client::connect(app.admin()).await.send_with("GET", "/", &part).await.unwrap();
    assert!(!live.text().contains("<html") && live.text().contains("All is well"), "{}", live.text());
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_health_are_kept_with_their_reasons() {
    let (_one, two, _, app) = two().await;
    assert_eq!(app.status().changes, [], "the first answers are no news");
    drop(two);
    until_true("down", || health(&app, "mp2") == "down").await;
    let status = app.status();
    let change = &status.changes[0];
    assert_eq!((change.site_system.as_str(), change.from.as_str(), change.to.as_str()), ("mp2", "up", "down"));
    assert!(change.cause.as_ref().unwrap().starts_with("refused") && change.at > 0.0, "{change:?}");
    let own = status.roles[0].endpoints.iter().find(|endpoint| endpoint.site_system == "mp2").unwrap();
    assert_eq!(own.changes.iter().map(|change| change.to.as_str()).collect::<Vec<_>>(), ["down", "up"]);
    let page = seen(&app, "/").await;
    assert!(page.text().contains("Every role is served; of 2: 1 down"), "{}", page.text());
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_say_what_changed_and_why_one_was_rejected() {
    let (one, _two, toml, app) = two().await;
    reload(&app, &self::toml(&[&one])).await.unwrap();
    let more = toml.clone().add("[[boundary_groups]]\nname = \"Munich\"\nboundaries = [\"10.2.0.0/16\"]\n");
    reload(&app, &more).await.unwrap();
    reload(&app, &toml.clone().set("\"mp1\"]", "\"mp9\"]")).await.unwrap_err();
    let versions: Vec<VersionStatus> = json(&app, "/versions").await;
    let told: Vec<(&str, u64)> = versions.iter().map(|one| (one.outcome.as_str(), one.generation)).collect();
    assert_eq!(told, [("rejected", 3), ("taken", 3), ("taken", 2), ("started", 1)]);
    assert!(versions[0].errors.as_ref().unwrap().contains("mp9"), "{:?}", versions[0]);
    assert_eq!(versions[1].changes, ["site system mp2 added", "boundary group Munich added"]);
    assert_eq!(versions[2].changes, ["site system mp2 removed"]);
    let page = seen(&app, "/page/versions").await;
    assert!(page.text().contains("site system mp2 removed") && page.text().contains("mp9"), "{}", page.text());
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_its_last_requests() {
    let (_one, _two, _, app) = two().await;
    let facts: ClientFacts = json(&app, "/client?client=127.0.0.1").await;
    assert_eq!((facts.requests.len(), facts.boundary_groups), (0, vec!["<Berlin>".to_owned()]));
    let mut client = Client::connect_from([127, 0, 0, 5], http(&app)).await;
    assert_eq!(client.get(MPLIST).await.status, 200);
    assert_eq!(client.get("/nowhere").await.status, 404);
    let path = "/client?client=127.0.0.5";
    let mut facts: ClientFacts = json(&app, path).await;
    // The exchange ends when its last byte was handed on, which its client may see first.
    while facts.requests.len() < 2 {
        tokio::task::yield_now().await;
        facts = json(&app, path).await;
    }
    let [last, first] = facts.requests.as_slice() else { panic!("{facts:?}") };
    assert_eq!((last.status, last.role.as_deref(), last.site_system.as_deref()), (404, None, None));
    assert_eq!(last.error.as_deref(), Some("destination_not_found"));
    assert_eq!(
        (first.status, first.role.as_deref(), first.tier.as_deref()),
        (200, Some("management-point"), Some("current"))
    );
    assert_eq!((first.site_system.as_deref(), first.attempts, &first.error), (Some("mp1"), 1, &None));
    assert!(first.bytes > 0 && first.seconds > 0.0, "{first:?}");
    assert_eq!(facts.roles[0].tiers[0].site_systems, ["mp1"]);
    assert_eq!(admin(&app, "/client?client=x").await.status, 400);
    assert!(seen(&app, "/page/client?client=127.0.0.5").await.text().contains("destination_not_found"));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_the_next_to_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let files =
        rolegate_bench::pki::Authority::new("Lab CA").server(&["mp1.lab.test"]).write(folder.path(), "mp1").unwrap();
    let https = format!(
        "[[listeners]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\nroles = [\"MP\"]\n\
         tls = {{ certificates = [{{ certificate = {:?}, key = {:?} }}] }}\n",
        files.certificate, files.key
    );
    let site = management_point("mp1").await;
    let app = toml(&[&site]).add(&https).start();
    let all: Vec<ListenerCertificate> = json(&app, "/certificates").await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].listener.as_str(), all[0].certificate.names.as_slice()),
        ("https", &["mp1.lab.test".to_owned()][..])
    );
    assert!(seen(&app, "/page/certificates").await.text().contains("mp1.lab.test"));
    shutdown(app).await;
}
