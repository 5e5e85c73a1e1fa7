//! What site systems are told of the proxy, and what ends a request that comes back to it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{Message, Peer, Proxy, Setup, get, ok};

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: mp\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\n\
                      Forwarded: for=10.9.9.9\r\nVia: 1.0 edge\r\n\r\n";

/// Sends on what a server has heard, as a site system would that leads back.
async fn again(proxy: &Proxy, heard: &Message) -> Message {
    let via: String = heard.all("via").iter().map(|via| format!("Via: {via}\r\n")).collect();
    let own: String = heard.all("cdn-loop").iter().map(|own| format!("CDN-Loop: {own}\r\n")).collect();
    proxy.ask(&format!("GET / HTTP/1.1\r\nHost: mp\r\n{via}{own}\r\n")).await
}

#[tokio::test]
async fn a_request_that_comes_back_is_a_loop() {
    for lines in ["", "via = false"] {
        let server = echo().await;
        let setup = Setup::new([server.address]).role(lines);
        let (first, second) = (setup.start(), setup.start());
        first.get("/").await.is_from_server(200);
        let heard = server.only();
        let answer = again(&first, &heard).await;
        answer.is_own(508, "proxy_loop_detected");
        assert!(answer.field("proxy-status").unwrap().contains("leads back to this proxy"), "{answer:?}");
        assert_eq!(server.count(), 1, "{lines}");
        // Another process of the same name and the same configuration is none.
        again(&second, &heard).await.is_from_server(200);
        // What the second one sends is known to both.
        let heard = server.heard().pop().unwrap();
        again(&first, &heard).await.is_own(508, "proxy_loop_detected");
        again(&second, &heard).await.is_own(508, "proxy_loop_detected");
        assert_eq!(server.count(), 2, "{lines}");
        // A reload makes no other process of it.
        let source = rolegate::control::config::Source { name: "test.toml".to_owned(), text: setup.text() };
        first.app().reload_async(source).await.unwrap();
        again(&first, &heard).await.is_own(508, "proxy_loop_detected");
    }
}

#[tokio::test]
async fn a_site_system_may_be_told_of_no_proxy() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).role("via = false\nforwarded = false").start();
    proxy.ask(CLAIMS).await.is_from_server(200);
    let heard = server.only();
    assert_eq!(heard.all("via"), ["1.0 edge"], "it is a record of others");
    assert!(heard.field("cdn-loop").unwrap().starts_with("rolegate-"), "{heard:?}");
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
        assert_eq!(heard.field(name), None, "{name}: a stranger's are taken out all the same");
    }
    let trusting = Setup::new([server.address])
        .proxy("trusted_proxies = [\"127.0.0.1\"]")
        .role("via = false\nforwarded = false")
        .start();
    trusting.ask(CLAIMS).await.is_from_server(200);
    let heard = server.heard().pop().unwrap();
    assert_eq!(heard.all("x-forwarded-for"), ["10.9.9.9"], "what a trusted proxy says goes on");
}

#[tokio::test]
async fn one_of_the_site_systems_may_be_told_of_no_proxy() {
    let (told, untold) = (echo().await, echo().await);
    let text = Setup::new([told.address, untold.address]).text();
    let port = format!("port = {} }}]", untold.address.port());
    let text = text.replace(&port, &format!("port = {}, via = false, forwarded = false }}]", untold.address.port()));
    let proxy = Proxy::start(&text);
    while told.count() == 0 || untold.count() == 0 {
        proxy.ask(&get("/")).await.is_from_server(200);
    }
    for heard in told.heard() {
        assert!(heard.field("via").unwrap().starts_with("1.1 rolegate-") && heard.field("cdn-loop").is_none());
        assert_eq!(heard.field("x-forwarded-for"), Some("127.0.0.1"));
    }
    for heard in untold.heard() {
        assert!(heard.field("via").is_none() && heard.field("cdn-loop").is_some());
        assert_eq!((heard.field("forwarded"), heard.field("x-forwarded-for")), (None, None));
    }
}
