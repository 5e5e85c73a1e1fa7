//! Plain HTTP where TLS is expected, and listeners that send their clients to HTTPS.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use support::{Peer, Pki, Proxy, Setup, Wire, get, ok, until, within};

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

#[tokio::test]
async fn plain_http_to_a_listener_with_tls_is_answered_with_a_sentence() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    for request in
        [get("/"), "CCM_POST /ccm_system/request HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n".to_owned()]
    {
        let mut client = proxy.open().await;
        let answer = client.ask(&request).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("this port speaks HTTPS only"), "{}", answer.text());
        within("the connection is over", client.wait_for_the_end()).await;
    }
    proxy.until_refused("tls_protocol", 2).await;
    assert_eq!(server.count(), 0);
    // Who speaks TLS is not held up by it.
    proxy.get_secured(&pki.client(), "/x").await.is_from_server(200);
}

/// One that says a byte and waits is not waited for.
#[tokio::test]
async fn a_client_that_never_reads_has_its_time() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("handshake_timeout = \"200ms\"")).start();
    let mut client = proxy.open().await;
    client.say("G").await;
    proxy.until_refused("tls_protocol", 1).await;
    let silent = proxy.open().await;
    until("it is late", || proxy.refused("tls_timeout") == 1.0).await;
    drop((client, silent));
}

const REDIRECT: &str = "[[listeners]]\nname = \"moved\"\naddress = \"127.0.0.1:0\"\n";

async fn redirected(proxy: &Proxy, request: &str) -> (u16, Option<String>) {
    let mut client = Wire::connect(proxy.at("moved")).await;
    let answer = within("an answer", client.ask(request)).await;
    (answer.status(), answer.field("location").map(str::to_owned))
}

#[tokio::test]
async fn a_listener_sends_its_clients_to_https() {
    for (key, port) in [("true", ""), ("8443", ":8443")] {
        let server = echo().await;
        let more = format!("{REDIRECT}redirect_to_https = {key}\n");
        let proxy = Setup::new([server.address]).more(&more).start();
        let moved = |path: &str| Some(format!("https://mp.contoso.com{port}{path}"));
        let get = "GET /a%2Fb?c=d HTTP/1.1\r\nHost: mp.contoso.com:80\r\n\r\n";
        assert_eq!(redirected(&proxy, get).await, (301, moved("/a%2Fb?c=d")));
        let post = "CCM_POST /ccm_system/request HTTP/1.1\r\nHost: mp.contoso.com\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(redirected(&proxy, post).await, (308, moved("/ccm_system/request")));
        for unlawful in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a@evil.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/evil\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ] {
            assert_eq!(redirected(&proxy, unlawful).await, (400, None), "{unlawful:?}");
        }
        assert_eq!(server.count(), 0);
        proxy.get("/served").await.is_from_server(200);
        assert_eq!(server.count(), 1);
    }
}

/// The connection goes on after a redirect, the body of the request included.
#[tokio::test]
async fn a_connection_outlives_a_redirect() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).more(&format!("{REDIRECT}redirect_to_https = true\n")).start();
    let mut client = Wire::connect(proxy.at("moved")).await;
    for _ in 0..3 {
        let answer = client.ask("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde").await;
        assert_eq!((answer.status(), answer.field("location")), (308, Some("https://a/x")));
    }
    tokio::time::timeout(Duration::from_millis(1), client.wait_for_the_end()).await.unwrap_err();
}
