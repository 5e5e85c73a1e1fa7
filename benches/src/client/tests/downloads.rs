use super::*;
use crate::scripted::Act;

/// A client that fetches 6 ranges of 50,000 bytes of the large file, 3 at a time.
async fn concurrent() -> (SiteSystem, Client) {
    let (site, client) = point().await;
    (site, client.with_ranges(6).with_concurrency(3))
}

/// Waits until the point was asked for content so often.
async fn asked(site: &SiteSystem, times: u64) {
    crate::waiting::until(|| site.counters().requests_of(Kind::Content) >= times).await;
}

/// How many bytes a download that nothing happens to takes.
async fn plain_bytes() -> u64 {
    let (_site, mut client) = concurrent().await;
    client.download(&package()).await.unwrap().bytes
}

#[tokio::test]
async fn ranges_are_fetched_at_the_same_time_from_one_address() {
    let (site, mut client) = concurrent().await;
    // More than the listing has, and less than a range.
    site.faults().set_stall_body_after(Some(10_000));
    let download = tokio::spawn(async move { (client.download(&package()).await, client) });
    // HEAD, and three ranges that all stand still.
    asked(&site, 4).await;
    assert_eq!((site.counters().open_connections(), site.counters().requests_of(Kind::Content)), (3, 4));
    site.faults().set_stall_body_after(None);
    let (step, mut client) = download.await.unwrap();
    let step = step.unwrap();
    // The listing; HEAD and 6 ranges; HEAD and 6 ranges of 17 bytes; HEAD.
    assert_eq!((step.requests, step.is_smooth(), step.bytes), (16, true, plain_bytes().await));
    client.download(&package()).await.unwrap();
    assert_eq!(site.counters().connections(), 3, "the connections are kept");
    let seen = site.counters().seen();
    assert!(seen.iter().all(|seen| seen.client.ip() == IpAddr::V4(Ipv4Addr::new(127, 3, 2, 1))));
    for seen in seen.iter().filter(|seen| seen.method == "GET") {
        let first = seen.header("range").is_some_and(|range| range.starts_with("bytes=0-"));
        assert_eq!(seen.header("if-unmodified-since").is_none(), first, "{seen:?}");
    }
    client.disconnect();
    client.download(&package()).await.unwrap();
    assert_eq!(site.counters().connections(), 6);
}

#[tokio::test]
async fn concurrent_ranges_are_continued_where_they_were_cut() {
    let (site, mut client) = concurrent().await;
    site.faults().set_reset_after(Some(30_000));
    let step = client.download(&package()).await.unwrap();
    assert_eq!((step.resumed, step.restarted, step.retried, step.discarded), (6, 0, 0, 0));
    assert_eq!(step.bytes, plain_bytes().await);
    let seen = site.counters().seen();
    assert!(seen.iter().any(|seen| seen.header("range") == Some("bytes=130000-149999")));
}

#[tokio::test]
async fn content_that_is_redistributed_is_fetched_again_from_the_start() {
    let (site, mut client) = concurrent().await;
    site.faults().set_stall_body_after(Some(10_000));
    let download = tokio::spawn(async move { client.download(&package()).await });
    asked(&site, 4).await;
    site.faults().set_redistributed(1);
    site.faults().set_stall_body_after(None);
    let step = download.await.unwrap().unwrap();
    assert_eq!((step.restarted, step.resumed, step.retried), (1, 0, 0));
    assert!((50_000..=150_000).contains(&step.discarded), "one range was whole at least: {step:?}");
    assert_eq!(step.bytes - step.discarded, plain_bytes().await);
    assert!(!step.is_smooth());
}

#[tokio::test]
async fn a_changed_file_may_be_the_end_of_a_download() {
    let (site, client) = point().await;
    let mut client = client.with_restarts(0);
    site.faults().set_stall_body_after(Some(10_000));
    let download = tokio::spawn(async move { client.download(&package()).await });
    asked(&site, 2).await;
    site.faults().set_redistributed(1);
    site.faults().set_stall_body_after(None);
    let result = download.await.unwrap();
    assert!(matches!(&result, Err(ClientError::Changed { restarts: 0, is, .. }) if is.contains("412")), "{result:?}");
}

#[tokio::test]
async fn ranges_of_two_points_are_told_apart_by_their_validators() {
    // The younger is asked first: what the other has was not modified since, and only its validators differ.
    let spec = |name: &str, age| Spec::distribution_point(name, &content()).validator_offset(Duration::from_secs(age));
    let (one, two) = (start(spec("dp1", 60)).await.0, start(spec("dp2", 3600)).await.0);
    for site in [&one, &two] {
        site.faults().set_close_each(true);
    }
    // Listing, HEAD and a range from one, the next range from the other.
    let mut client = through(&[&one, &one, &one, &two, &one]).await.with_restarts(0);
    let result = client.download(&package()).await;
    let Err(ClientError::Changed { was, is, .. }) = &result else { panic!("{result:?}") };
    assert!(was != is && was.starts_with("300000 bytes") && is.starts_with("300000 bytes"), "{was} {is}");
    let mut client = through(&[&one, &one, &one, &two, &one]).await;
    let step = client.download(&package()).await.unwrap();
    assert_eq!((step.restarted, step.discarded), (1, 75_000));
}

#[tokio::test]
async fn what_may_be_otherwise_in_a_while_is_asked_again() {
    let (site, client) = concurrent().await;
    let mut client = client.with_retries(5, Duration::from_millis(1));
    for status in [502, 503, 504] {
        site.faults().set_status(Some(status));
        site.faults().set_times(Some(2));
        let step = client.download(&package()).await.unwrap();
        assert_eq!((step.retried, step.resumed, step.is_smooth()), (2, 0, false), "{status}");
    }
    site.faults().set_times(None);
    site.faults().set_status(Some(500));
    let before = site.counters().requests();
    assert!(matches!(client.download(&package()).await, Err(ClientError::Status { status, .. }) if status == 500));
    assert_eq!(site.counters().requests() - before, 1);
    site.faults().set_status(Some(503));
    let before = site.counters().requests();
    assert!(matches!(client.download(&package()).await, Err(ClientError::Status { status, .. }) if status == 503));
    assert_eq!(site.counters().requests() - before, 6, "there is an end to patience");
}

#[tokio::test]
async fn concurrent_ranges_are_asked_for_again_too() {
    let (site, client) = concurrent().await;
    let mut client = client.with_retries(3, Duration::from_millis(1));
    site.faults().set_stall_body_after(Some(10_000));
    let download = tokio::spawn(async move { client.download(&package()).await });
    asked(&site, 4).await;
    // The first three ranges go on; whichever is asked for next meets this.
    site.faults().set_status(Some(503));
    site.faults().set_times(Some(3));
    site.faults().set_stall_body_after(None);
    let step = download.await.unwrap().unwrap();
    assert_eq!((step.retried, step.resumed, step.bytes > plain_bytes().await), (3, 0, true));
}

#[tokio::test]
async fn a_refused_or_reset_connection_is_tried_again() {
    let (site, client) = point().await;
    let pause = Duration::from_millis(5);
    let mut client = client.with_retries(3, pause);
    site.faults().set_refuse_connections(true).unwrap();
    let started = std::time::Instant::now();
    assert!(matches!(client.download(&package()).await, Err(ClientError::Connect { .. })));
    assert!(started.elapsed() >= 3 * pause);
    site.faults().clear().unwrap();
    site.faults().set_accept_then_close(true);
    let mut client = client.with_retries(1_000_000, Duration::from_millis(1));
    let download = tokio::spawn(async move { client.download(&package()).await });
    crate::waiting::until(|| site.counters().connections() >= 3).await;
    site.faults().set_accept_then_close(false);
    assert!(download.await.unwrap().unwrap().retried >= 3);
}

#[tokio::test]
async fn missing_content_is_the_end_of_a_download() {
    let (site, client) = concurrent().await;
    let mut client = client.with_retries(5, Duration::from_millis(1));
    site.faults().set_missing_content([ID]);
    assert!(matches!(client.download(&package()).await, Err(ClientError::Status { status, .. }) if status == 404));
    assert_eq!(site.counters().requests(), 1);
    site.faults().clear().unwrap();
    site.faults().set_stall_body_after(Some(10_000));
    let download = tokio::spawn(async move { (client.download(&package()).await, client) });
    asked(&site, 4).await;
    site.faults().set_missing_content([ID]);
    site.faults().set_stall_body_after(None);
    let (result, mut client) = download.await.unwrap();
    assert!(matches!(result, Err(ClientError::Status { status, .. }) if status == 404));
    assert!((1..=3).contains(&(site.counters().not_found() - 1)), "nothing is asked again");
    site.faults().clear().unwrap();
    assert!(client.download(&package()).await.unwrap().is_smooth(), "and the client is good for another download");
}

#[tokio::test]
async fn filtered_files_and_stolen_listings_are_the_end_of_a_download() {
    let package = || Package::new("PKG00002", [("a.txt", 10), ("bin/tool.dll", 10)]);
    let (site, mut client) = start(Spec::distribution_point("dp1", &Arc::new(Content::new([package()])))).await;
    client.download(&package()).await.unwrap();
    site.faults().set("request-filtering", "on").unwrap();
    let filtered = client.download(&package()).await;
    assert!(
        matches!(&filtered, Err(ClientError::Status { status, target, .. })
            if *status == 404 && target.ends_with("sccm?/bin/tool.dll")),
        "{filtered:?}"
    );
    site.faults().clear().unwrap();
    site.faults().set("webdav", "on").unwrap();
    let before = site.counters().content("PKG00002");
    let stolen = client.download(&package()).await;
    assert!(matches!(&stolen, Err(ClientError::Status { status, .. }) if *status == 405), "{stolen:?}");
    let after = site.counters().content("PKG00002");
    assert_eq!((after.listings - before.listings, after.reads - before.reads, after.not_found), (1, 0, 1));
}

#[tokio::test]
async fn two_thousand_small_files_are_one_package() {
    let package = Arc::new(Content::new([Package::parse("PKG00003:2000x100B").unwrap()]));
    let (site, client) = start(Spec::distribution_point("dp1", &package).recording(false)).await;
    let mut client = client.with_ranges(2).with_concurrency(2);
    let step = client.download(package.package("PKG00003").unwrap()).await.unwrap();
    assert_eq!((step.requests, step.is_smooth()), (1 + 2000 * 3, true));
    assert_eq!((site.counters().connections(), site.counters().requests_of(Kind::Content)), (2, 6000));
}

/// What became of the ranges of a download, in the order of their ends: whether it was a good answer.
#[derive(Default)]
struct Ranges(std::sync::Mutex<Vec<bool>>);

impl Observe for Ranges {
    fn ended(&self, exchange: &Exchange<'_>) {
        if exchange.begun.method == http::Method::GET {
            let is_wrong = matches!(exchange.outcome, Err(ClientError::Content { .. }));
            assert!(is_wrong || exchange.outcome.is_ok(), "{exchange:?}");
            self.0.lock().unwrap().push(!is_wrong);
        }
    }
}

#[tokio::test]
async fn only_the_range_with_a_wrong_byte_is_a_wrong_answer() {
    let package = Package::parse("PKG00004:1x1000B").unwrap();
    let file: Vec<u8> = package.files()[0].pieces(0, 1000).flatten().collect();
    let name = crate::site::file_target(package.id(), package.files()[0].name());
    let server = crate::scripted::Scripted::start(move |asked| match (asked.method.as_str(), asked.range()) {
        ("PROPFIND", _) => Act::status("207 Multi-Status", format!("<href>http://a{name}</href>").as_bytes()),
        ("HEAD", _) => Act::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec()),
        (_, Some((first, last))) => {
            let mut body = file[first as usize..=last as usize].to_vec();
            if first <= 600 && last >= 600 {
                body[600 - first as usize] ^= 1;
            }
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/1000\r\n\r\n",
                body.len()
            );
            Act::Say([head.as_bytes(), &body].concat())
        }
        _ => Act::ok(),
    });
    let mut client = Client::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server.address, "dp", 1);
    let ranges = Arc::new(Ranges::default());
    client.observed_by(Arc::<Ranges>::clone(&ranges));
    assert!(matches!(client.download(&package).await, Err(ClientError::Hash { .. })));
    assert_eq!(*ranges.0.lock().unwrap(), [true, true, false, true]);
}

#[tokio::test]
async fn a_file_too_large_to_be_hashed_is_compared_byte_by_byte() {
    // A mebibyte more than is hashed.
    let size = 65 * 1024 * 1024;
    let content = Arc::new(Content::new([Package::new("PKG00005", [("big.wim", size)])]));
    let (_site, mut client) = start(Spec::distribution_point("dp1", &content).recording(false)).await;
    let step = client.download(content.package("PKG00005").unwrap()).await.unwrap();
    assert!(step.bytes > size && step.is_smooth());
    // Another file of this name and size, as another version of it would be.
    let other = Package::new("PKG00005", [("big.wim", size + 1)]);
    let result = client.download(&other).await;
    assert!(matches!(&result, Err(ClientError::Content { offset: 0, .. })), "{result:?}");
}
