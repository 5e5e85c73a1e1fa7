mod downloads;
mod uploads;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::content::{Content, Package};
use crate::site::{Kind, Role, ScanRounds, SiteSystem, Spec};
use crate::spread::Sizes;

const ID: &str = "Content_0f1a.1";

fn package() -> Package {
    Package::new(ID, [("setup 1.msi", 300_000), ("b.cab", 17), ("empty.txt", 0)])
}

fn content() -> Arc<Content> {
    Arc::new(Content::new([package()]))
}

async fn start(spec: Spec) -> (SiteSystem, Client) {
    let site = SiteSystem::start(spec).await.unwrap();
    let client = Client::new(IpAddr::V4(Ipv4Addr::new(127, 3, 2, 1)), site.address(), "site.lab.test", 42);
    (site, client.with_resend(5, Duration::from_millis(1)))
}

async fn point() -> (SiteSystem, Client) {
    start(Spec::distribution_point("dp1", &content())).await
}

/// A client behind a relay that takes its connections to these site systems in turn, and then to the last of them.
async fn through(sites: &[&SiteSystem]) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let targets: Vec<_> = sites.iter().map(|site| site.address()).collect();
    tokio::spawn(async move {
        let last = targets[targets.len() - 1];
        for target in targets.into_iter().chain(std::iter::repeat(last)) {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address, "site.lab.test", 43)
}

#[tokio::test]
async fn a_client_finds_its_site_and_fetches_its_policy_on_one_connection() {
    let (site, mut client) =
        start(Spec::management_point("mp1").policies(3, Sizes::fixed(4096)).content(&content())).await;
    assert_eq!(client.service_location().await.unwrap().requests, 1);
    let step = client.policy().await.unwrap();
    assert_eq!((step.requests, step.served_by.len(), step.is_smooth()), (4, 4, true));
    assert!(step.bytes > 3 * 4096);
    client.content_location(ID).await.unwrap();
    assert_eq!((site.counters().connections(), site.counters().requests_of(Kind::Policy)), (1, 3));
    assert_eq!(site.counters().seen()[0].client.ip().to_string(), "127.3.2.1");
    site.faults().set_database_down(true);
    let failed = client.service_location().await;
    assert!(matches!(&failed, Err(ClientError::Status { status, served_by, .. })
        if *status == 500 && served_by.as_deref() == Some("mp1")));
}

#[tokio::test]
async fn a_new_client_registers_with_two_certificates() {
    let (site, mut client) = start(Spec::management_point("mp1")).await;
    let step = client.registration().await.unwrap();
    assert_eq!((step.requests, step.is_smooth()), (1, true));
    let sent = site.counters().bytes_in();
    assert!((4096..8192).contains(&sent), "{sent}");
    site.faults().set_database_down(true);
    assert!(matches!(client.registration().await, Err(ClientError::Status { status, .. }) if status == 500));
}

#[tokio::test]
async fn a_state_message_is_sent_again_under_the_same_id() {
    let (site, mut client) = start(Spec::management_point("mp1")).await;
    assert_eq!(client.state_message().await.unwrap().resent, 0);
    site.faults().set_status(Some(503));
    site.faults().set_times(Some(2));
    let step = client.state_message().await.unwrap();
    assert_eq!((step.resent, step.requests), (2, 3));
    site.faults().clear().unwrap();
    site.faults().set_reset_after(Some(0));
    site.faults().set_times(Some(1));
    assert_eq!(client.state_message().await.unwrap().resent, 1);
    let mut times: Vec<_> = site.counters().messages().into_values().collect();
    times.sort_unstable();
    assert_eq!(times, [1, 1, 2], "the third was taken, cut off and taken again");
    site.faults().clear().unwrap();
    site.faults().set_status(Some(502));
    assert!(matches!(client.state_message().await, Err(ClientError::Status { status, .. }) if status == 502));
    site.faults().set_status(Some(500));
    let before = site.counters().requests();
    assert!(client.state_message().await.is_err());
    assert_eq!(site.counters().requests(), before + 1, "500 is an answer, not a reason to send again");
}

#[tokio::test]
async fn a_download_is_whole() {
    let (site, mut client) = point().await;
    let step = client.download(&package()).await.unwrap();
    // The listing; HEAD and 4 ranges; HEAD and 4 ranges of 5 bytes; HEAD.
    assert_eq!((step.requests, step.is_smooth()), (12, true));
    assert!(step.bytes > 300_017);
    assert!(site.counters().seen().iter().any(|seen| seen.target.ends_with("/sccm?/setup%201.msi")));
    let one = client.with_ranges(1).download(&package()).await.unwrap();
    assert_eq!(one.requests, 6);
}

#[tokio::test]
async fn a_cut_body_is_continued_where_it_was_cut() {
    let (site, mut client) = point().await;
    site.faults().set_reset_after(Some(50_000));
    let step = client.download(&package()).await.unwrap();
    // Each range of 75,000 bytes is cut once.
    assert_eq!((step.resumed, step.restarted), (4, 0));
    let ranges = site.counters().seen();
    let ranges: Vec<_> = ranges.iter().filter_map(|seen| seen.header("range")).take(3).collect();
    assert_eq!(ranges, ["bytes=0-74999", "bytes=50000-74999", "bytes=75000-149999"]);
    site.faults().clear().unwrap();
    site.faults().set_close_after(Some(60_000));
    assert_eq!(client.download(&package()).await.unwrap().resumed, 4);
    site.faults().set_close_after(Some(0));
    assert!(matches!(client.download(&package()).await, Err(ClientError::Cut { .. })), "there is an end to patience");
}

#[tokio::test]
async fn a_file_whose_validators_change_is_begun_again() {
    let (site, client) = point().await;
    let mut client = client.with_ranges(2);
    // The listing, HEAD and the first range pass; the second range stalls, and the content is written again.
    site.faults().set_stall_body_after(Some(100_000));
    let download = tokio::spawn(async move { client.download(&package()).await });
    crate::waiting::until(|| site.counters().requests_of(Kind::Content) >= 2).await;
    site.faults().set_redistributed(1);
    site.faults().set_stall_body_after(None);
    let step = download.await.unwrap().unwrap();
    assert_eq!((step.restarted, step.resumed), (1, 0));
}

#[tokio::test]
async fn a_file_that_is_always_another_is_given_up() {
    let (site, mut client) = point().await;
    let sites = Arc::new(site);
    let changing = Arc::clone(&sites);
    let changer = tokio::spawn(async move {
        for times in 1.. {
            let seen = changing.counters().requests();
            crate::waiting::until(|| changing.counters().requests() != seen).await;
            changing.faults().set_redistributed(times);
        }
    });
    let result = client.download(&package()).await;
    changer.abort();
    assert!(
        matches!(&result, Err(ClientError::Changed { file, restarts: 5, .. }) if file.ends_with("setup%201.msi")),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_wrong_file_is_noticed() {
    let (_site, mut client) = point().await;
    let other = Package::new(ID, [("setup 1.msi", 300_001)]);
    let result = client.download(&other).await;
    assert!(matches!(&result, Err(ClientError::Hash { file, .. }) if file.contains("setup")), "{result:?}");
    let more = Package::new(ID, [("c.cab", 1)]);
    assert!(matches!(client.download(&more).await, Err(ClientError::Protocol(_))));
    let missing = Package::new("PKG00009", []);
    assert!(matches!(client.download(&missing).await, Err(ClientError::Status { status, .. }) if status == 404));
}

fn update_point(name: &str) -> Spec {
    let rounds = ScanRounds { first: 3, again: 1 };
    Spec::new(name).role(Role::SoftwareUpdatePoint).scans(rounds, Sizes::fixed(4096))
}

#[tokio::test]
async fn a_scan_asks_round_by_round_and_the_first_one_most() {
    let (site, mut client) = start(update_point("sup1")).await;
    let first = client.scan(Scan::First).await.unwrap();
    // Version, configuration, two cookies, registration; 3 rounds and one without news; 60 updates by 50; report.
    assert_eq!((first.requests, first.is_smooth()), (5 + 4 + 2 + 1, true));
    assert!(first.bytes > 3 * 4096);
    let again = client.scan(Scan::Again).await.unwrap();
    assert_eq!((again.requests, again.is_smooth()), (4 + 2 + 1 + 1, true));
    assert_eq!(site.counters().requests(), u64::from(first.requests + again.requests));
    let (_site, mut client) = start(Spec::new("sup1").role(Role::SoftwareUpdatePoint)).await;
    for scan in [Scan::First, Scan::Again] {
        let step = client.scan(scan).await.unwrap();
        assert!((10..=40).contains(&step.requests), "{scan:?} takes {}", step.requests);
    }
}

#[tokio::test]
async fn a_scan_begins_again_when_the_server_has_changed() {
    let (site, mut client) = start(update_point("sup1")).await;
    site.faults().set_status(Some(500));
    assert!(matches!(client.scan(Scan::Again).await, Err(ClientError::Status { .. })));

    let other = SiteSystem::start(update_point("sup2")).await.unwrap();
    site.faults().set_status(None);
    for site in [&site, &other] {
        site.faults().set_close_each(true);
    }
    // The cookie is made by one, and what needs it goes to the other, where the client has never been.
    let mut client = through(&[&site, &site, &site, &site, &other]).await;
    let step = client.scan(Scan::Again).await.unwrap();
    let served = |name: &str| step.served_by.iter().filter(|its| *its == name).count();
    // One is refused; then configuration, two cookies, registration, four rounds, details twice, report.
    assert_eq!((step.restarted, served("sup1"), served("sup2")), (1, 4, 1 + 4 + 4 + 2 + 1));
    // Each cookie is made by one and shown to the other.
    let turns = [&site, &site, &site, &site, &other, &site, &site, &site, &other, &site, &site, &site, &other, &site];
    let turns = [turns.as_slice(), &[&site, &site, &other]].concat();
    let mut client = through(&turns).await;
    let result = client.scan(Scan::Again).await;
    assert!(matches!(&result, Err(ClientError::Protocol(why)) if why.contains("cookie")), "{result:?}");
}

#[tokio::test]
async fn policy_is_fetched_wholly_or_as_much_as_has_changed() {
    let sizes = Sizes::between(1024, 16 * 1024);
    let (site, mut client) = start(Spec::management_point("mp1").policies(200, sizes)).await;
    let all = client.policy().await.unwrap();
    assert_eq!((all.requests, site.counters().requests_of(Kind::Policy)), (201, 200));
    let bodies: Vec<_> = site.counters().seen().iter().map(|seen| seen.target.clone()).skip(1).collect();
    assert_eq!(bodies.iter().collect::<std::collections::HashSet<_>>().len(), 200, "each of them once");
    // 1 to 16 KiB, each doubling as likely: 5.4 KiB in the mean.
    assert!((200 * 4500..200 * 6600).contains(&all.bytes), "{}", all.bytes);
    let some = client.policy_of(3).await.unwrap();
    assert_eq!(some.requests, 4);
    let none = client.policy_of(0).await.unwrap();
    assert!(none.requests == 1 && none.bytes < 2048, "{none:?}");
}

#[tokio::test]
async fn a_user_signs_in_on_a_connection_of_its_own() {
    let (site, mut client) = start(Spec::management_point("mp1")).await;
    client.state_message().await.unwrap();
    for connections in 2..4 {
        let step = client.user_policy(Access::Windows, 2).await.unwrap();
        assert_eq!((step.requests, site.counters().connections()), (5, connections));
    }
    let seen = site.counters().seen();
    let asked: Vec<_> =
        seen[1..6].iter().map(|seen| (seen.status, seen.body_bytes > 0, seen.user.as_deref())).collect();
    let user = Some(r"LAB\client");
    assert_eq!(
        asked,
        [(401, false, None), (401, false, None), (200, true, user), (200, false, user), (200, false, user)]
    );
    assert!(seen[4].target.starts_with("/SMS_MP_WindowsAuth/.sms_pol?{"), "{}", seen[4].target);
    client.state_message().await.unwrap();
    assert_eq!(site.counters().seen().last().unwrap().user, None, "the computer is not the user");
    let mut stranger = client.with_user("ann", "wrong");
    let result = stranger.user_policy(Access::Windows, 0).await;
    assert!(matches!(&result, Err(ClientError::Status { status, .. }) if *status == 401), "{result:?}");
    site.faults().set_close_each(true);
    assert!(stranger.user_policy(Access::Windows, 0).await.is_err(), "a challenge is of one connection");
}

#[tokio::test]
async fn who_has_a_token_goes_where_one_is_wanted() {
    let spec = Spec::management_point("all").role(Role::DistributionPoint).content(&content());
    let (site, client) = start(spec).await;
    let mut client = client.with_token();
    client.policy_of(1).await.unwrap();
    client.configuration_items(1).await.unwrap();
    client.content_location(ID).await.unwrap();
    client.download(&package()).await.unwrap();
    let seen = site.counters().seen();
    for seen in &seen {
        let folder = seen.target.trim_start_matches('/').split('/').next().unwrap().to_ascii_lowercase();
        assert!(folder.ends_with("_tokenauth") || folder.starts_with("ccmtokenauth_"), "{}", seen.target);
        assert!(seen.header("authorization").is_some_and(|token| token.starts_with("Bearer ")), "{}", seen.target);
    }
    client.service_location().await.unwrap();
    assert_eq!(site.counters().seen().last().unwrap().header("authorization"), None);
    let users = client.user_policy(Access::Token, 1).await.unwrap();
    let seen = site.counters().seen();
    let of_user = seen.last().unwrap().header("authorization");
    assert!(users.requests == 2 && of_user.is_some() && of_user != seen[0].header("authorization"));
}

#[tokio::test]
async fn the_other_messages_are_one_request_each() {
    let (site, mut client) = start(Spec::management_point("mp1")).await;
    assert_eq!(client.locations().await.unwrap().requests, 3);
    assert_eq!(client.metering(20_000).await.unwrap().requests, 1);
    assert!((8_000..20_000).contains(&site.counters().seen().last().unwrap().body_bytes));
    assert_eq!(client.configuration_items(4).await.unwrap().requests, 4);
    assert_eq!(site.counters().requests_of(Kind::ConfigurationItem), 4);
    let server = crate::scripted::Scripted::start(|_| crate::scripted::Act::ok());
    let mut client = Client::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server.address, "mp", 1);
    assert!(client.locations().await.is_err() && client.metering(1).await.is_err());
    assert!(client.configuration_items(1).await.is_err() && client.user_policy(Access::Windows, 1).await.is_err());
}

#[tokio::test]
async fn ranges_spread_over_two_points_begin_the_file_again() {
    let (one, _) = point().await;
    let (two, _) = start(Spec::distribution_point("dp2", &content())).await;
    for site in [&one, &two] {
        site.faults().set_close_each(true);
    }
    // Listing, HEAD and two ranges of the first file from one, the rest from the other.
    let mut client = through(&[&one, &one, &one, &one, &two]).await;
    assert_eq!(client.download(&package()).await.unwrap().restarted, 1);
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_read_is_told() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<MPList").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let mut client = Client::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address, "mp", 1);
    let reopened =
        [client.service_location().await.unwrap().reopened, client.service_location().await.unwrap().reopened];
    assert_eq!(reopened, [0, 1]);
    let sent = client.fsp_message().await;
    assert!(
        matches!(sent, Err(ClientError::Cut { .. })),
        "a message is never repeated behind the test's back: {sent:?}"
    );
}

#[tokio::test]
async fn a_fallback_status_message_is_sent_once() {
    let (site, mut client) = start(Spec::new("fsp1").role(Role::FallbackStatusPoint)).await;
    assert_eq!(client.fsp_message().await.unwrap().served_by, ["fsp1"]);
    site.faults().set_status(Some(503));
    assert!(client.fsp_message().await.is_err());
    assert_eq!(site.counters().requests(), 2);
}

#[tokio::test]
async fn a_failed_read_is_an_error_and_not_repeated() {
    let (site, mut client) = point().await;
    site.faults().set_status(Some(503));
    site.faults().set_times(Some(1));
    assert!(matches!(client.download(&package()).await, Err(ClientError::Status { status, .. }) if status == 503));
    site.faults().clear().unwrap();
    client.download(&package()).await.unwrap();
}

#[tokio::test]
async fn a_read_on_a_connection_that_had_ended_is_repeated_and_told() {
    let (site, mut client) = point().await;
    client.download(&package()).await.unwrap();
    site.faults().set_garbage(true);
    site.faults().set_times(Some(1));
    let garbage = client.download(&package()).await;
    assert!(matches!(garbage, Err(ClientError::Protocol(_))), "garbage is an answer: {garbage:?}");
    client.download(&package()).await.unwrap();
    site.stop();
    site.gone().await;
    site.restart().await.unwrap();
    assert!(client.download(&package()).await.unwrap().is_smooth(), "a connection closed before is just opened again");
}

#[tokio::test]
async fn nobody_there_is_a_connect_error() {
    let (site, mut client) = point().await;
    site.kill();
    let result = client.download(&package()).await;
    assert!(matches!(&result, Err(ClientError::Connect { to, .. }) if *to == site.address()), "{result:?}");
}
