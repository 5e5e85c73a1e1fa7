//! What each activity comes to on the wire, against what the simulated site has counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::truth::{once, outcomes, plainly, requests, until_all};
use super::*;
use crate::content::{Content, Package};
use crate::record::Run;
use crate::site::{Role, ScanRounds, SiteSystem, Spec};
use crate::spread::Sizes;

const CLIENTS: u32 = 5;
const POLICIES: u32 = 7;
const PACKAGE: &str = "PKG00001:2x10KiB";

/// How much is done of what is drawn otherwise.
const FIXED: &str = "[activities.policy]\nchanged = 1\nbodies = \"2\"\n\
                     [activities.user-policy]\nshare = 1\nchanged = 1\nbodies = \"1\"\n\
                     [activities.hardware-inventory]\nsize = \"300KiB\"\n\
                     [activities.software-inventory]\nsize = \"10KiB\"\n\
                     [activities.application-evaluation]\nitems = \"3\"\nstates = \"2\"\n\
                     [activities.update-evaluation]\nstates = \"4\"\n\
                     [activities.client-logs]\nsize = \"600KiB\"\n\
                     [activities.content]\nranges = 4\n";

async fn site() -> Arc<SiteSystem> {
    let content = Arc::new(Content::new([Package::parse(PACKAGE).unwrap()]));
    let rounds = ScanRounds { first: 3, again: 2 };
    let spec = Spec::management_point("all").content(&content).policies(POLICIES, Sizes::fixed(2048));
    let roles = [Role::DistributionPoint, Role::SoftwareUpdatePoint, Role::FallbackStatusPoint];
    let spec = roles.into_iter().fold(spec.scans(rounds, Sizes::fixed(4096)), Spec::role);
    Arc::new(SiteSystem::start(spec).await.unwrap())
}

/// How clients and their users are known.
enum How {
    Known,
    ByToken,
}

/// Has each client do these once, and compares what is reported with what the site counted, which is so many requests of each.
async fn each_does(activities: &[Activity], how: &How, expected: u64) -> (Run, Arc<SiteSystem>) {
    let site = site().await;
    let names: Vec<_> = activities.iter().map(|activity| format!("\"{activity}\"")).collect();
    let (of_all, fixed) = match how {
        How::Known => ("", FIXED.to_owned()),
        How::ByToken => {
            ("token = 1\n", FIXED.replace("[activities.user-policy]\n", "[activities.user-policy]\nauth = \"token\"\n"))
        }
    };
    let text = format!("{of_all}{}[[content]]\npackage = \"{PACKAGE}\"\n{fixed}", once(CLIENTS, &names.join(", ")));
    let (target, seen, all) = (plainly(site.address()), Arc::clone(&site), expected * u64::from(CLIENTS));
    let run = tokio::task::spawn_blocking(move || until_all(&text, target, || seen.counters().requests() == all));
    let run = run.await.unwrap();
    assert_eq!((requests(&run), site.counters().requests()), (all, all));
    (run, site)
}

/// So many good answers of each message type for each client, and nothing else.
fn all_good(run: &Run, expected: &[(&'static str, u64)]) {
    let expected = expected.iter().map(|(message, each)| (*message, vec![("good", each * u64::from(CLIENTS))]));
    assert_eq!(outcomes(run), expected.collect::<BTreeMap<_, _>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_activity_is_the_messages_that_the_document_says() {
    let expected = [
        ("service location", 1),
        ("MP certificate", 1),
        ("MP location", 1),
        ("site information", 1),
        ("SUP location", 1),
        ("registration", 1),
        // One to evaluate applications.
        ("policy request", 1 + 1),
        ("full policy request", 1),
        ("policy body", 2 + u64::from(POLICIES)),
        ("user sign-in", 2),
        ("user policy request", 1),
        ("user policy body", 1),
        // Of itself, of applications, of updates.
        ("state message", 1 + 2 + 4),
        ("heartbeat DDR", 1),
        // Create, two fragments and close; create, one and close.
        ("inventory upload", 4 + 3),
        ("hardware inventory", 1),
        ("software inventory", 1),
        ("software metering", 1),
        ("configuration item", 3),
        ("log upload", 5),
        ("log message", 1),
        ("content location", 1),
        ("content listing", 1),
        ("content size", 2),
        ("content range", 8),
        // Two scans each: in one there is something new twice, in the other three times.
        ("scan version", 2),
        ("scan GetConfig", 2),
        ("scan GetAuthorizationCookie", 2),
        ("scan GetCookie", 2),
        ("scan RegisterComputer", 1),
        ("scan SyncUpdates", 3 + 4),
        // 40 and 60 updates, 50 at a time.
        ("scan GetExtendedUpdateInfo", 1 + 2),
        ("scan ReportEventBatch", 2),
        ("fallback status", 1),
    ];
    let each = expected.iter().map(|(_, each)| each).sum();
    let (run, _) = each_does(&Activity::ALL, &How::Known, each).await;
    all_good(&run, &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_nobody_signs_in() {
    let activities = [Activity::Policy, Activity::UserPolicy, Activity::Content];
    let (run, site) = each_does(&activities, &How::ByToken, 17).await;
    all_good(
        &run,
        &[
            ("policy request", 1),
            ("policy body", 2),
            ("user policy request", 1),
            ("user policy body", 1),
            ("content location", 1),
            ("content listing", 1),
            ("content size", 2),
            ("content range", 8),
        ],
    );
    let seen = site.counters().seen();
    assert!(seen.iter().all(|seen| seen.target.to_lowercase().contains("tokenauth")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_in_the_time_of_the_clients() {
    // A second passes between the two; connections are kept for 30 ms of ours, or for 30 s.
    for (clock, connections) in [("clients", 2), ("ours", 1)] {
        let site = site().await;
        let storm = |at| format!("[[storms]]\nat = \"{at}s\"\nwithin = \"0s\"\nactivities = [\"state-message\"]\n");
        let text = format!(
            "clients = {CLIENTS}\nduration = \"1h\"\nspeedup = 1000\nschedules = false\nkeep = \"30s\"\n\
             keep_clock = \"{clock}\"\n{}{}",
            storm(0),
            storm(1000)
        );
        let (target, seen) = (plainly(site.address()), Arc::clone(&site));
        let both = u64::from(CLIENTS) * 2;
        let run = tokio::task::spawn_blocking(move || until_all(&text, target, || seen.counters().requests() == both));
        assert_eq!(requests(&run.await.unwrap()), both);
        assert_eq!(site.counters().connections(), u64::from(CLIENTS) * connections, "{clock}");
    }
    let kept = |text: &str| fleet(text).kept().map(|kept| kept.as_millis());
    assert_eq!(kept("speedup = 60\n"), Some(1000), "a minute of the clients");
    assert_eq!(kept("speedup = 60\nkeep_clock = \"ours\"\n"), Some(60_000));
    assert_eq!(kept("connection = \"per-activity\"\n"), None);
}

#[tokio::test]
async fn what_a_site_need_not_have_is_left_out_with_a_word() {
    let bare = Spec::management_point("mp1").role(Role::SoftwareUpdatePoint);
    let bare = SiteSystem::start(bare).await.unwrap();
    let asked = fleet("[activities.content]\nshare = 0\n");
    let found = check(&asked, &plainly(bare.address())).await;
    assert_eq!((found.wrong.len(), found.left_out), (0, vec![Activity::FallbackStatus]));
    assert!(found.notes.iter().any(|note| note.contains("fallback-status is left out")), "{:?}", found.notes);
    let found = check(&asked, &plainly(site().await.address())).await;
    assert!(found.left_out.is_empty() && found.wrong.is_empty(), "{found:?}");

    // A server that knows no Windows authentication and no tokens.
    let server = crate::scripted::Scripted::start(|asked| match asked.target.contains("Auth/") {
        true => crate::scripted::Act::status("404 Not Found", b""),
        false => crate::scripted::Act::status("200 OK", b"<MPList/>"),
    });
    let found = check(&asked, &plainly(server.address)).await;
    assert_eq!((found.left_out, found.wrong.len()), (vec![Activity::UserPolicy], 0));
    let found = check(&fleet("token = 0.1\n[activities.content]\nshare = 0\n"), &plainly(server.address)).await;
    assert!(found.wrong.len() == 1 && found.wrong[0].contains("--set token=0"), "{:?}", found.wrong);
    let idle = check(&fleet("schedules = false\n"), &plainly(server.address)).await;
    assert!(idle.wrong.len() == 1 && idle.wrong[0].contains("--notification"), "{:?}", idle.wrong);
}
