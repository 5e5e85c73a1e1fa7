//! Missing content: a 404 of a distribution point sends the request on, is remembered, and is the client's answer only
//! when every point that it may use has said so.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use rolegate::model::balance::Tried;
use rolegate::model::decision::Decision;
use rolegate::model::facts::Facts;
use support::peers::refuse;
use support::{Message, Peer, Proxy, status, until};
use tokio::task::JoinSet;

const FOLDER: &str = "/SMS_DP_SMSPKG$/ABC00012";
const FILE: &str = "/SMS_DP_SMSPKG$/ABC00012/sccm?/setup.msi";

/// A distribution point and what it has: content ids, and files by their whole target.
struct Point {
    peer: Peer,
    has: Arc<Mutex<BTreeSet<String>>>,
    filtered: Arc<Mutex<BTreeSet<String>>>,
}

impl Point {
    async fn new(has: &[&str]) -> Self {
        let has: Arc<Mutex<BTreeSet<String>>> = Arc::new(Mutex::new(has.iter().map(|id| (*id).to_owned()).collect()));
        let filtered: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (own, own_filtered) = (Arc::clone(&has), Arc::clone(&filtered));
        let peer = Peer::answering(move |request, _| {
            let id = request.target().split('/').nth(2).unwrap_or_default().to_owned();
            let there = own.lock().unwrap().contains(&id) && !own_filtered.lock().unwrap().contains(request.target());
            match (there, request.start.starts_with("PROPFIND")) {
                (true, true) => status(207, "<listing/>"),
                (true, false) if request.field("range").is_some() => status(206, "part"),
                (true, false) => status(200, "whole"),
                (false, _) => status(404, "no such content here"),
            }
        })
        .await;
        Self { peer, has, filtered }
    }

    fn set(&self, ids: &[&str]) {
        *self.has.lock().unwrap() = ids.iter().map(|id| (*id).to_owned()).collect();
    }

    fn filter(&self, target: &str) {
        self.filtered.lock().unwrap().insert(target.to_owned());
    }

    /// Requests of clients: the proxy's own questions say who asks.
    fn asked(&self) -> usize {
        let own = |request: &&Message| !request.field("user-agent").is_some_and(|agent| agent.starts_with("rolegate/"));
        self.peer.heard().iter().filter(own).count()
    }
}

/// A site of distribution points called `dp0`, `dp1` and so on, in one group unless `rest` has others.
fn site(points: &[std::net::SocketAddr], role: &str, rest: &str) -> String {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 1\nendpoint_metrics = \"all\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
         [roles.DP]\nprobe = {{ kind = \"none\" }}\n{role}\n"
    );
    for (number, point) in points.iter().enumerate() {
        let (ip, port) = (point.ip(), point.port());
        writeln!(
            text,
            "[[site_systems]]\nname = \"dp{number}\"\naddress = \"{ip}\"\nroles = [{{ role = \"DP\", port = {port} }}]"
        )
        .unwrap();
    }
    text + rest
}

fn start(points: &[&Point], rest: &str) -> Proxy {
    let addresses: Vec<_> = points.iter().map(|point| point.peer.address).collect();
    Proxy::start(&site(&addresses, "", rest))
}

fn ask(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: dp.lab.test\r\n\r\n")
}

/// dp0 for clients of 127.0.1.0/24, with dp1 as a neighbor at once.
const NEAR_AND_FAR: &str = "
[[boundary_groups]]
name = \"near\"
boundaries = [\"127.0.0.0/8\"]
site_systems = [\"dp0\"]
neighbors = [{ group = \"far\", fallback = { DP = 0 } }]
[[boundary_groups]]
name = \"far\"
site_systems = [\"dp1\"]
";

#[tokio::test]
async fn a_miss_goes_on_and_is_remembered() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    assert_eq!((near.asked(), far.asked()), (1, 1));
    for number in 2..6 {
        proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
        assert_eq!((near.asked(), far.asked()), (1, number), "known: it goes there at once");
    }
    proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    assert_eq!(near.asked(), 1, "what its folder says counts for its files");
    let learned = |verdict: &str| proxy.metric("rolegate_content_learned_total", &[verdict]);
    assert_eq!((learned("verdict=\"lacks\""), learned("verdict=\"has\"")), (1.0, 1.0));
    assert_eq!(proxy.metric("rolegate_content_misses_total", &["missing=\"content\""]), 1.0);
}

#[tokio::test]
async fn a_server_that_lacks_something_keeps_its_connection() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    let mut client = proxy.open().await;
    // Each is another file that the near one has not, and then one that neither has.
    far.filter("/SMS_DP_SMSPKG$/ABC00012/none.msi");
    near.set(&["ABC00012"]);
    for number in 0..50 {
        let target = format!("/SMS_DP_SMSPKG$/ABC00012/{number}.msi");
        near.filter(&target);
        client.ask(&ask("GET", &target)).await.is_from_server(200);
    }
    near.filter("/SMS_DP_SMSPKG$/ABC00012/none.msi");
    let answer = client.ask(&ask("GET", "/SMS_DP_SMSPKG$/ABC00012/none.msi")).await;
    answer.is_from_server(404);
    assert_eq!(answer.text(), "no such content here");
    assert!(near.asked() >= 50, "{}", near.asked());
    // One for each server. The proxy's own questions come on connections of their own, which are not counted here.
    assert_eq!(proxy.metric("rolegate_endpoint_connects_total", &[]), 2.0);
    proxy.until_idle().await;
}

#[tokio::test]
async fn the_client_sees_404_when_all_have_said_so() {
    let (near, far) = (Point::new(&[]).await, Point::new(&[]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    let answer = proxy.ask(&ask("PROPFIND", FOLDER)).await;
    answer.is_from_server(404);
    assert_eq!(answer.text(), "no such content here", "the server's own answer");
    assert_eq!((near.asked(), far.asked()), (1, 1));
    // From now on one is asked for each request, not all.
    for _ in 0..5 {
        proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(404);
    }
    assert_eq!(near.asked() + far.asked(), 7);
    // And that one's answer is believed when the content arrives.
    near.set(&["ABC00012"]);
    far.set(&["ABC00012"]);
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    assert_eq!(near.asked() + far.asked(), 8);
}

#[tokio::test]
async fn a_point_that_cannot_be_asked_is_no_point_without_the_content() {
    let near = Point::new(&[]).await;
    let closed = refuse();
    let text = site(&[near.peer.address, closed.address], "", NEAR_AND_FAR);
    let proxy = Proxy::start(&text);
    let answer = proxy.ask(&ask("PROPFIND", FOLDER)).await;
    assert_ne!(answer.status(), 404, "dp1 may have it: {answer:?}");
    assert!(matches!(answer.status(), 502 | 503), "{answer:?}");
}

#[tokio::test]
async fn a_point_that_is_down_may_have_it_too() {
    let near = Point::new(&[]).await;
    let closed = refuse();
    let probe =
        "probe = { kind = \"tcp\", interval = \"100ms\", fast_interval = \"50ms\", timeout = \"90ms\", fall = 1 }";
    let text = site(&[near.peer.address, closed.address], "", NEAR_AND_FAR);
    let proxy = Proxy::start(&text.replace("probe = { kind = \"none\" }", probe));
    proxy.until_well(1).await;
    until("dp1 is down", || proxy.endpoints().iter().any(|endpoint| endpoint.health == "down")).await;
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_own(503, "destination_unavailable");
    assert_eq!(near.peer.heard().iter().filter(|request| request.start.starts_with("PROPFIND")).count(), 1);
}

#[tokio::test]
async fn a_listing_that_is_asked_for_with_a_body_goes_on_with_its_body() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    let body = "<propfind xmlns=\"DAV:\"><allprop/></propfind>";
    let length = body.len();
    proxy
        .ask(&format!("PROPFIND {FOLDER} HTTP/1.1\r\nHost: dp\r\nContent-Length: {length}\r\n\r\n{body}"))
        .await
        .is_from_server(207);
    for point in [&near, &far] {
        assert_eq!(point.peer.only().text(), body);
    }
    // One that never comes is the client's fault, and no server's.
    let mut client = proxy.open().await;
    client.say(format!("PROPFIND {FOLDER} HTTP/1.1\r\nHost: dp\r\nContent-Length: {length}\r\n\r\n<prop")).await;
    client.end().await;
    drop(client);
    proxy.until_idle().await;
    assert_eq!(far.asked(), 1);
}

#[tokio::test]
async fn answers_about_access_are_the_clients() {
    for code in [401, 403, 416, 412] {
        let near = Peer::saying(status(code, "no")).await;
        let far = Point::new(&["ABC00012"]).await;
        let proxy = Proxy::start(&site(&[near.address, far.peer.address], "", NEAR_AND_FAR));
        for _ in 0..3 {
            proxy.ask(&ask("GET", FILE)).await.is_from_server(code);
        }
        assert_eq!((near.count(), far.asked()), (3, 0), "{code}");
    }
}

#[tokio::test]
async fn a_listing_that_webdav_refuses_is_asked_elsewhere_and_teaches_nothing() {
    let near = Peer::answering(|request, _| {
        if request.start.starts_with("PROPFIND") { status(405, "webdav") } else { status(200, "file") }
    })
    .await;
    let far = Point::new(&["ABC00012"]).await;
    let proxy = Proxy::start(&site(&[near.address, far.peer.address], "affinity = \"off\"", NEAR_AND_FAR));
    for _ in 0..3 {
        proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
        proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    }
    assert_eq!((near.count(), far.asked()), (6, 3), "the near one is asked every time");
    assert_eq!(proxy.metric("rolegate_content_misses_total", &["missing=\"listing\""]), 3.0);
    // When nobody lists, the client hears so.
    drop(far);
    let proxy = Proxy::start(&site(&[near.address], "", ""));
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(405);
}

#[tokio::test]
async fn a_file_that_was_never_there_poisons_no_package() {
    let (near, far) = (Point::new(&["ABC00012"]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    let wrong = "/SMS_DP_SMSPKG$/ABC00012/sccm?/never.msi";
    near.filter(wrong);
    far.filter(wrong);
    proxy.ask(&ask("GET", wrong)).await.is_from_server(404);
    assert_eq!((near.asked(), far.asked()), (1, 1));
    for _ in 0..3 {
        proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    }
    assert_eq!((near.asked(), far.asked()), (4, 1), "the package is where it was");
    assert_eq!(proxy.metric("rolegate_content_learned_total", &["verdict=\"lacks\""]), 0.0);
}

#[tokio::test]
async fn one_virtual_directory_says_nothing_about_another() {
    let near = Peer::answering(|request, _| {
        if request.target().starts_with("/SMS_DP_SMSPKG$") {
            status(207, "here")
        } else {
            status(404, "no such folder")
        }
    })
    .await;
    let far = Point::new(&["ABC00012"]).await;
    let proxy = Proxy::start(&site(&[near.address, far.peer.address], "", NEAR_AND_FAR));
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    for folder in
        ["/SMS_DP_SMSSIG$/ABC00012", "/NOCERT_SMS_DP_SMSPKG$/ABC00012", "/CCMTOKENAUTH_SMS_DP_SMSPKG$/ABC00012"]
    {
        proxy.open_from("127.0.4.4").await.ask(&ask("GET", folder)).await;
    }
    // The proxy's own questions about these say who asks.
    let asked = || near.heard().iter().filter(|request| request.field("user-agent").is_none()).count();
    let (before, far_before) = (asked(), far.asked());
    for client in 0..5 {
        proxy.open_from(&format!("127.0.5.{client}")).await.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    }
    assert_eq!((asked(), far.asked()), (before + 5, far_before), "the package is where it was");
}

#[tokio::test]
async fn a_signed_in_connection_whose_point_lacks_the_content_makes_room_for_another() {
    // Asks for NTLM, and then lacks everything.
    let near = Peer::answering(|request, _| match request.field("authorization") {
        Some("NTLM three") => status(404, "not here"),
        _ => "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM two\r\nContent-Length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let far = Point::new(&["ABC00012"]).await;
    let proxy = Proxy::start(&site(&[near.address, far.peer.address], "", NEAR_AND_FAR));
    let leg = |token: &str| format!("PROPFIND {FOLDER} HTTP/1.1\r\nHost: dp\r\nAuthorization: NTLM {token}\r\n\r\n");
    let mut client = proxy.open().await;
    client.ask(&leg("one")).await.is_from_server(401);
    let answer = client.ask(&leg("three")).await;
    answer.is_own(503, "destination_unavailable");
    assert_eq!((answer.field("connection"), answer.field("retry-after")), (Some("close"), Some("1")));
    // Its next connection goes where the content is.
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    assert_eq!((near.count(), far.asked()), (2, 1));
}

#[tokio::test]
async fn folders_that_iis_hides_say_nothing_about_the_package() {
    let (near, far) = (Point::new(&["ABC00012"]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    for hidden in ["/SMS_DP_SMSPKG$/ABC00012/sccm?/bin/x.dll", "/SMS_DP_SMSPKG$/ABC00012/sccm?/data.mdb"] {
        near.filter(hidden);
        let before = far.asked();
        for _ in 0..3 {
            proxy.ask(&ask("GET", hidden)).await.is_from_server(200);
        }
        assert_eq!(far.asked(), before + 3, "the other point does not hide it");
    }
    proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    assert_eq!(near.asked(), 3, "asked once for each hidden file, and again for the others");
    let own = near.peer.heard().into_iter().filter(|request| request.start.starts_with("PROPFIND")).count();
    assert_eq!(own, 0, "there is no doubt that the proxy would ask about");
}

#[tokio::test]
async fn a_package_that_vanishes_during_a_download_is_one_learned_miss() {
    let (near, far) = (Point::new(&["ABC00012"]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    near.set(&[]);
    // The file is had elsewhere at once, and the proxy asks the folder what is the matter.
    proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    let learned = || proxy.metric("rolegate_content_learned_total", &["verdict=\"lacks\""]);
    until("the miss is learned", || learned() == 1.0).await;
    let before = near.asked();
    for number in 0..50 {
        proxy.ask(&ask("GET", &format!("{FILE}.{number}"))).await.is_from_server(200);
    }
    assert_eq!(near.asked(), before, "no other file is asked for there");
    assert_eq!(learned(), 1.0);
}

#[tokio::test]
async fn what_is_missing_is_asked_for_again_after_its_time() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let rest = format!("{NEAR_AND_FAR}[content]\nmissing_ttl = \"300ms\"\n");
    let addresses = [near.peer.address, far.peer.address];
    let proxy = Proxy::start(&site(&addresses, "affinity = \"off\"", &rest));
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    near.set(&["ABC00012"]);
    let begun = std::time::Instant::now();
    while near.asked() == 1 {
        proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
        assert!(begun.elapsed() < support::PATIENCE, "it is never asked again");
    }
    let before = far.asked();
    for _ in 0..3 {
        proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    }
    assert_eq!(far.asked(), before, "the near one serves again");
}

#[tokio::test]
async fn misses_are_not_counted_as_failed_attempts() {
    let mut points = Vec::new();
    for _ in 0..7 {
        points.push(Point::new(&[]).await);
    }
    points.push(Point::new(&["ABC00012"]).await);
    let addresses: Vec<_> = points.iter().map(|point| point.peer.address).collect();
    let proxy =
        Proxy::start(&site(&addresses, "retry = { attempts = 1, budget_percent = 0, budget_min_per_second = 0 }", ""));
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    assert!(points.iter().all(|point| point.asked() <= 1));
}

#[tokio::test]
async fn a_search_that_is_too_long_goes_on_with_the_next_request() {
    let mut points = Vec::new();
    for _ in 0..19 {
        points.push(Point::new(&[]).await);
    }
    points.push(Point::new(&["ABC00012"]).await);
    let addresses: Vec<_> = points.iter().map(|point| point.peer.address).collect();
    let proxy = Proxy::start(&site(&addresses, "", ""));
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = proxy.ask(&ask("PROPFIND", FOLDER)).await;
        if answer.status() == 503 {
            answer.is_own(503, "destination_unavailable");
            assert_eq!(answer.field("retry-after"), Some("1"));
        }
        answers.push(answer.status());
        if answers.last() == Some(&207) {
            break;
        }
    }
    assert_eq!(answers.last(), Some(&207), "{answers:?}");
    assert!(answers.iter().all(|status| *status != 404), "one of them has it: {answers:?}");
    assert!(points.iter().all(|point| point.asked() <= 1), "no point is asked twice");
}

#[tokio::test]
async fn a_storm_for_missing_content_does_not_multiply() {
    const STORM: usize = 50;
    // All requests of one client begin at the same point, which answers when the whole storm is there.
    let arrived = Arc::new(tokio::sync::Semaphore::new(0));
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut points = Vec::new();
    for number in 0..10 {
        let (arrived, count) = (Arc::clone(&arrived), Arc::clone(&count));
        let point = Peer::serve(move |mut talk| {
            let (arrived, count) = (Arc::clone(&arrived), Arc::clone(&count));
            async move {
                while let Some(request) = talk.request().await {
                    if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == STORM {
                        arrived.add_permits(1 << 20);
                    }
                    arrived.acquire().await.unwrap().forget();
                    let there = number == 9 && request.start.starts_with("PROPFIND");
                    talk.say(if there { status(207, "here") } else { status(404, "not here") }).await;
                }
            }
        });
        points.push(point.await);
    }
    let addresses: Vec<_> = points.iter().map(|point| point.address).collect();
    let mut of_last = (0..250).map(|host| format!("127.0.7.{host}"));
    let proxy = Arc::new(Proxy::start(&site(&addresses, "hash_balance_factor = 0", "")));
    // A client whose own point is not the one that has the content.
    let told = |source: &str| {
        let snapshot = proxy.app().snapshot();
        let client = source.parse().unwrap();
        let facts = Facts {
            listener: 0,
            host: None,
            method: "PROPFIND",
            path: FOLDER,
            query: None,
            client,
            fields: None,
            subject: None,
        };
        let decision = Decision::new(&snapshot, &facts, 0).unwrap();
        decision.pick(&Tried::new(), 0, 0).unwrap().endpoint
    };
    let source = of_last.find(|source| told(source) != 9).unwrap();
    let mut storm = JoinSet::new();
    for _ in 0..STORM {
        let (proxy, source) = (Arc::clone(&proxy), source.clone());
        storm.spawn(async move { proxy.open_from(&source).await.ask(&ask("PROPFIND", FOLDER)).await });
    }
    while let Some(answer) = storm.join_next().await {
        answer.unwrap().is_from_server(207);
    }
    let misses: usize = points[..9].iter().map(Peer::count).sum();
    // Each of them meets the first point; what is beyond is one request's search.
    assert!((STORM..=STORM + 8).contains(&misses), "{misses} questions for what is not there");
    assert_eq!(points[9].count(), STORM);
}

#[tokio::test]
async fn a_miss_leaves_the_attempts_for_failures() {
    let (near, last) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let closed = refuse();
    let groups = "
[[boundary_groups]]
name = \"near\"
boundaries = [\"127.0.0.0/8\"]
site_systems = [\"dp0\"]
neighbors = [{ group = \"middle\", fallback = { DP = 0 } }, { group = \"default\", fallback = { DP = 0 } }]
[[boundary_groups]]
name = \"middle\"
site_systems = [\"dp1\"]
[default_boundary_group]
site_systems = [\"dp2\"]
";
    let addresses = [near.peer.address, closed.address, last.peer.address];
    let proxy = Proxy::start(&site(&addresses, "retry = { attempts = 1 }", groups));
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    assert_eq!((near.asked(), last.asked()), (1, 1), "one lacks it, one refuses, and there is one attempt left");
}

#[tokio::test]
async fn a_download_stays_when_the_nearer_point_has_the_content_again() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let rest = format!("{NEAR_AND_FAR}[content]\nmissing_ttl = \"1s\"\n[fallback]\nclock = \"immediate\"\n");
    let proxy = start(&[&near, &far], &rest);
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    near.set(&["ABC00012"]);
    // The verdict is forgotten after a second, and then another client begins at the near point; this one stays.
    let mut others = (1..=250).map(|host| format!("127.0.5.{host}"));
    let begun = std::time::Instant::now();
    while near.asked() == 1 {
        proxy.open_from(&others.next().unwrap()).await.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
        proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
        assert!(begun.elapsed() < support::PATIENCE, "the near point is never asked again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let before = (near.asked(), far.asked());
    for _ in 0..5 {
        proxy.ask(&ask("GET", FILE)).await.is_from_server(200);
    }
    assert_eq!((near.asked(), far.asked()), (before.0, before.1 + 5), "in the middle of its download");
}

#[tokio::test]
async fn responses_say_how_their_server_was_chosen_when_asked_to() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    let proxy = start(&[&near, &far], NEAR_AND_FAR);
    let answer = proxy.ask(&ask("PROPFIND", FOLDER)).await;
    assert_eq!(answer.field("x-rolegate-decision"), None, "it is off unless switched on");
    let text = site(&[near.peer.address, far.peer.address], "", NEAR_AND_FAR)
        .replace("threads = 1", "threads = 1\ndecision_header = true");
    let proxy = Proxy::start(&text);
    let answer = proxy.ask(&ask("PROPFIND", FOLDER)).await;
    assert_eq!(
        answer.field("x-rolegate-decision"),
        Some("role=distribution-point; groups=near; tier=neighbor; minutes=0; server=dp1; how=drawn; attempts=2")
    );
}

#[tokio::test]
async fn nobody_waits_longer_than_the_fallback_time_says() {
    let (near, far) = (Point::new(&[]).await, Point::new(&["ABC00012"]).await);
    // Ten minutes that last a second.
    let rest = NEAR_AND_FAR.replace("DP = 0", "DP = 10") + "[fallback]\nspeedup = 600\n";
    let proxy = start(&[&near, &far], &rest);
    let begun = std::time::Instant::now();
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(404);
    assert_eq!(proxy.metric("rolegate_fallback_clocks_started_total", &[]), 1.0);
    loop {
        let answer = proxy.ask(&ask("PROPFIND", FOLDER)).await;
        assert!(begun.elapsed() < support::PATIENCE, "it never opens");
        if answer.status() == 207 {
            break;
        }
        answer.is_from_server(404);
        assert_eq!(far.asked(), 0, "its time has not come");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() >= std::time::Duration::from_millis(700), "{:?}", begun.elapsed());
    drop(near.peer);
    let answer = proxy.open_from("127.0.9.9").await.ask(&ask("PROPFIND", "/SMS_DP_SMSPKG$/XYZ00001")).await;
    answer.is_own(503, "destination_unavailable");
    assert!(
        answer.field("retry-after").is_some_and(|seconds| (1..=2).contains(&seconds.parse::<u32>().unwrap())),
        "{answer:?}"
    );
}

#[tokio::test]
async fn packages_can_be_asked_for_ahead_of_time() {
    let (near, far) = (Point::new(&["XYZ00001"]).await, Point::new(&["ABC00012"]).await);
    let rest = format!("{NEAR_AND_FAR}[content]\ndiscover = [\"ABC00012\", \"XYZ00001\"]\n");
    let proxy = start(&[&near, &far], &rest);
    let learned = |verdict: &str| proxy.metric("rolegate_content_learned_total", &[verdict]);
    until("both points were asked for both packages", || {
        learned("verdict=\"has\"") == 2.0 && learned("verdict=\"lacks\"") == 2.0
    })
    .await;
    assert_eq!((near.asked(), far.asked()), (0, 0), "no client has asked yet");
    proxy.ask(&ask("PROPFIND", FOLDER)).await.is_from_server(207);
    assert_eq!((near.asked(), far.asked()), (0, 1), "the first client is sent where it is");
}
