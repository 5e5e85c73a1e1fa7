use std::time::{Duration, Instant};

use super::*;
use crate::site::Role;

const FILE: &str = "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi";

#[tokio::test]
async fn latency_delays_every_answer() {
    let site = point().await;
    site.faults().set_latency(Duration::from_millis(30), Duration::from_millis(5));
    let before = Instant::now();
    assert_eq!(get(&site, "/SMS_DP_SMSPKG$/").await.0, 200);
    assert!(before.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn a_forced_status_holds_for_every_request_or_for_a_few() {
    let site = point().await;
    site.faults().set_status(Some(503));
    for target in ["/SMS_DP_SMSPKG$/", FILE, "/nothing"] {
        assert_eq!(get(&site, target).await.0, 503);
    }
    site.faults().set_times(Some(1));
    assert_eq!((get(&site, FILE).await.0, get(&site, "/SMS_DP_SMSPKG$/").await.0), (503, 200));
}

#[tokio::test]
async fn refusing_leaves_open_connections_alone() {
    let site = point().await;
    let mut open = client(site.address());
    open.request(Method::GET, "/SMS_DP_SMSPKG$/", Bytes::new()).await.unwrap();
    for _ in 0..20 {
        site.faults().set_refuse_connections(true).unwrap();
        assert!(is_refused(client(site.address()).request(Method::GET, "/", Bytes::new()).await));
        let answer = open.request(Method::GET, "/SMS_DP_SMSPKG$/", Bytes::new()).await.unwrap();
        assert_eq!(answer.status, 200);
        site.faults().set_refuse_connections(false).unwrap();
        assert_eq!(get(&site, "/SMS_DP_SMSPKG$/").await.0, 200);
    }
}

fn body_of(said: &[u8]) -> usize {
    let end = said.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    said.len() - end - 4
}

#[tokio::test]
async fn a_body_is_reset_or_closed_after_so_many_bytes() {
    let site = point().await;
    let request = format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\n\r\n");
    for at in [0, 1, 70_000] {
        site.faults().set_reset_after(Some(at));
        let (said, ended) = raw(site.address(), &request).await;
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "after {at}");
        assert_eq!(body_of(&said) as u64, at);
        site.faults().set_reset_after(None);
        site.faults().set_close_after(Some(at));
        let (said, ended) = raw(site.address(), &request).await;
        assert!(ended.is_ok());
        assert_eq!(body_of(&said) as u64, at);
        site.faults().set_close_after(None);
    }
    site.faults().set_reset_after(Some(300_000));
    assert_eq!(ask(&site, "GET", FILE, &[]).await.body.len(), 300_000, "a body that is not longer is left whole");
}

#[tokio::test]
async fn a_stalled_head_goes_on_when_the_fault_ends() {
    let site = point().await;
    site.faults().set_stall_head(true);
    let mut waiting = client(site.address()).with_timeout(Duration::from_millis(50));
    let late = waiting.request(Method::GET, FILE, Bytes::new()).await;
    assert!(matches!(late, Err(ClientError::Timeout { .. })), "{late:?}");
    let mut waiting = client(site.address());
    let answer = tokio::spawn(async move { waiting.request(Method::GET, FILE, Bytes::new()).await });
    tokio::task::yield_now().await;
    site.faults().set_stall_head(false);
    assert_eq!(answer.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_stalled_body_goes_on_when_the_fault_ends() {
    let site = point().await;
    site.faults().set_stall_body_after(Some(1000));
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(format!("GET {FILE} HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let more = tokio::time::timeout(Duration::from_millis(100), stream.read_to_end(&mut said)).await;
    assert!(more.is_err() && body_of(&said) == 1000);
    site.faults().set_stall_body_after(None);
    stream.read_to_end(&mut said).await.unwrap();
    assert_eq!(body_of(&said), 300_000);
}

#[tokio::test]
async fn missing_content_is_404_here_only() {
    let site = point().await;
    site.faults().set_missing_content(["pkg00001"]);
    for (method, target) in
        [("GET", FILE), ("PROPFIND", "/SMS_DP_SMSPKG$/PKG00001"), ("GET", "/SMS_DP_SMSSIG$/PKG00001.1.tar")]
    {
        assert_eq!(ask(&site, method, target, &[]).await.status, 404, "{target}");
    }
    assert_eq!(ask(&site, "PROPFIND", "/SMS_DP_SMSPKG$/Content_0f1a.1", &[]).await.status, 207);
}

#[tokio::test]
async fn filtered_files_are_listed_and_404() {
    let files = [("bin/tool.dll", 10), ("data.mdb", 20), ("bin.txt", 30)];
    let content = Arc::new(Content::new([Package::new("PKG00002", files)]));
    let site = start(Spec::distribution_point("dp1", &content)).await;
    let statuses = async || {
        let targets = ["sccm?/bin/tool.dll", "bin/tool.dll", "sccm?/bin%2Ftool.dll", "sccm?/data.mdb", "sccm?/bin.txt"];
        let mut statuses = Vec::new();
        for target in targets {
            statuses.push(ask(&site, "HEAD", &format!("/SMS_DP_SMSPKG$/PKG00002/{target}"), &[]).await.status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses().await, [200; 5]);
    site.faults().set_request_filtering(true);
    assert_eq!(statuses().await, [404, 404, 404, 404, 200]);
    let listing = ask(&site, "PROPFIND", "/SMS_DP_SMSPKG$/PKG00002", &[]).await;
    assert!(listing.status == 207 && String::from_utf8_lossy(&listing.body).contains("sccm?/bin/tool.dll<"));
    assert_eq!(site.counters().not_found(), 4);
    site.faults().clear().unwrap();
    assert_eq!(statuses().await, [200; 5]);
}

#[tokio::test]
async fn webdav_takes_the_listings_and_leaves_the_files() {
    let site = point().await;
    site.faults().set_webdav(true);
    let listing = ask(&site, "PROPFIND", "/SMS_DP_SMSPKG$/PKG00001", &[]).await;
    assert_eq!((listing.status.as_u16(), listing.headers.contains_key("allow")), (405, true));
    assert_eq!(get(&site, FILE).await.0, 200);
}

#[tokio::test]
async fn without_its_database_a_management_point_has_only_its_certificates() {
    let site = start(Spec::management_point("mp1")).await;
    site.faults().set_database_down(true);
    for (method, target, status) in [
        ("GET", "/SMS_MP/.sms_aut?MPLIST", 500),
        ("GET", "/SMS_MP/.sms_aut?MPCERT", 200),
        ("GET", "/SMS_MP/.sms_aut?SITESIGNCERT", 200),
        ("GET", "/SMS_MP/.sms_pol?{a}.1_00", 500),
        ("GET", "/SMS_MP/.sms_dcm?Id", 500),
        ("CCM_POST", "/ccm_system/request", 500),
        ("HEAD", "/CCM_Client/ccmsetup.exe", 200),
    ] {
        assert_eq!(ask(&site, method, target, &[]).await.status, status, "{method} {target}");
    }
}

#[tokio::test]
async fn every_answer_may_close_its_connection() {
    let site = point().await;
    site.faults().set_close_each(true);
    let mut client = client(site.address());
    for _ in 0..3 {
        let answer = client.request(Method::GET, "/SMS_DP_SMSPKG$/", Bytes::new()).await.unwrap();
        assert_eq!(answer.headers["connection"], "close");
    }
    assert_eq!(site.counters().connections(), 3);
}

#[tokio::test]
async fn an_early_response_comes_before_the_body_is_read() {
    let site = start(Spec::new("fsp1").role(Role::FallbackStatusPoint)).await;
    site.faults().set_early_response(true);
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let head = "POST /SMS_FSP/.sms_fsp HTTP/1.1\r\nHost: fsp\r\nContent-Length: 10000000\r\n\r\nonly this";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 413") && said.to_ascii_lowercase().contains("connection: close"), "{said}");
    assert!(!site.counters().seen()[0].complete);
    let large = Bytes::from(vec![1; 4_000_000]);
    let answer = client(site.address()).request(Method::POST, "/SMS_FSP/.sms_fsp", large).await;
    assert_eq!(answer.expect("an answer is not lost to unread bytes").status, 413);
    assert_eq!(get(&site, "/SMS_FSP/.sms_fsp").await.0, 405, "requests without a body are not concerned");
}

#[tokio::test]
async fn garbage_is_no_http() {
    let site = point().await;
    site.faults().set_garbage(true);
    let (said, _) = raw(site.address(), "GET / HTTP/1.1\r\nHost: dp\r\n\r\n").await;
    assert!(!said.starts_with(b"HTTP/") && !said.is_empty());
    let answer = client(site.address()).request(Method::GET, FILE, Bytes::new()).await;
    assert!(matches!(answer, Err(ClientError::Protocol(_))), "{answer:?}");
}

#[tokio::test]
async fn connections_may_be_closed_as_soon_as_accepted() {
    let site = point().await;
    site.faults().set_accept_then_close(true);
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(is_cut(client(site.address()).request(Method::GET, FILE, Bytes::new()).await));
    site.faults().clear().unwrap();
    assert_eq!(get(&site, "/SMS_DP_SMSPKG$/").await.0, 200);
}

#[tokio::test]
async fn redistributed_content_has_new_validators_and_the_same_bytes() {
    let site = point().await;
    let before = ask(&site, "GET", FILE, &[]).await;
    site.faults().set_redistributed(1);
    let after = ask(&site, "GET", FILE, &[]).await;
    assert_eq!(before.body, after.body);
    for validator in ["etag", "last-modified"] {
        assert_ne!(before.headers[validator], after.headers[validator]);
    }
}
