use std::time::Duration;

use super::*;
use crate::site::Role;

const PAGE: &str = "/SMS_DP_SMSPKG$/";

async fn killed_and_restarted() {
    let site = point().await;
    let address = site.address();
    for _ in 0..10 {
        let mut open = client(address);
        open.request(Method::GET, PAGE, Bytes::new()).await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /SMS_DP_SMSPKG$/ HTTP/1.1\r\nHost: dp\r\n\r\n").await.unwrap();
        assert!(idle.read(&mut [0; 16]).await.unwrap() > 0);
        site.kill();
        assert!(is_refused(open.request(Method::GET, PAGE, Bytes::new()).await));
        let mut rest = Vec::new();
        let error = idle.read_to_end(&mut rest).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        site.gone().await;
        assert_eq!(site.counters().open_connections(), 0);
        site.restart().await.unwrap();
        assert_eq!((site.address(), get(&site, PAGE).await.0), (address, 200));
    }
}

#[tokio::test]
async fn a_killed_site_system_resets_and_refuses_until_it_is_restarted() {
    killed_and_restarted().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_so_it_does_on_many_threads() {
    killed_and_restarted().await;
}

#[tokio::test]
async fn a_stopped_site_system_answers_what_it_was_asked_before() {
    let site = point().await;
    site.faults().set_stall_head(true);
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(b"GET /SMS_DP_SMSPKG$/ HTTP/1.1\r\nHost: dp\r\n\r\n").await.unwrap();
    // The request is in flight once its bytes were read.
    crate::waiting::until(|| site.counters().bytes_in() > 0).await;
    site.stop();
    assert!(is_refused(client(site.address()).request(Method::GET, PAGE, Bytes::new()).await));
    site.faults().set_stall_head(false);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200 OK"));
    site.gone().await;
    site.restart().await.unwrap();
    assert_eq!(get(&site, PAGE).await.0, 200);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_and_so_is_a_name_that_no_header_takes() {
    let site = point().await;
    let taken = SiteSystem::start(Spec::new("other").address(site.address())).await;
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    assert!(SiteSystem::start(Spec::new("a\nb")).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed() {
    let site = start(Spec::distribution_point("dp1", &content()).max_connections(1)).await;
    let mut first = client(site.address());
    first.request(Method::GET, PAGE, Bytes::new()).await.unwrap();
    assert!(is_cut(client(site.address()).request(Method::GET, PAGE, Bytes::new()).await));
    first.request(Method::GET, PAGE, Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let site = start(Spec::distribution_point("dp1", &content()).idle_timeout(Duration::from_millis(50))).await;
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(b"GET /SMS_DP_SMSPKG$/ HTTP/1.1\r\nHost: dp\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn notification_answers_lines_and_pushes() {
    let site = start(Spec::management_point("mp1").role(Role::ClientNotification)).await;
    let address = site.notification_address().unwrap();
    assert_ne!(address, site.address());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"LogIn 1\nPi").await.unwrap();
    let mut said = [0; 17];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"Pong mp1 LogIn 1\n");
    stream.write_all(b"ng\n").await.unwrap();
    let mut said = [0; 14];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"Pong mp1 Ping\n");
    assert_eq!(site.push("policy\n"), 1);
    let mut said = [0; 7];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"policy\n");
    site.kill();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn notification_alone_is_the_main_address() {
    let site = start(Spec::new("bgb1").role(Role::ClientNotification)).await;
    assert_eq!(site.notification_address(), Some(site.address()));
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(&[b'x'; 5000]).await.unwrap();
    let mut said = vec![0; 10 + 4096];
    stream.read_exact(&mut said).await.unwrap();
    assert!(said.starts_with(b"Pong bgb1 xxx"), "a line without an end is answered in pieces");
}
