//! Large responses that go from socket to socket in the kernel: the same bytes in the same order, whatever comes between.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{self, SiteSystem, Spec};
use support::{Message, Peer, Pki, Proxy, Setup, Wire, get, ok, until, within};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const SEED: u64 = 0x5eed_0018;

/// Bytes that repeat with a period that no buffer has.
fn content(length: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(SEED ^ length as u64);
    let period: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(65_521).collect();
    period.repeat(length / period.len() + 1)[..length].to_vec()
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

/// Sends as much as it is asked for (`/<bytes>`), in pieces of odd sizes.
async fn source() -> Peer {
    Peer::serve(|mut talk| async move {
        let mut dice = fastrand::Rng::with_seed(SEED);
        while let Some(request) = talk.request().await {
            let Ok(length) = request.target()[1..].parse() else {
                talk.say(ok("small")).await;
                continue;
            };
            let whole = [head(length).into_bytes(), content(length)].concat();
            let mut rest = &whole[..];
            while !rest.is_empty() {
                let piece = dice.usize(1..=rest.len().min(300 * KIB));
                if !talk.say(&rest[..piece]).await {
                    return;
                }
                rest = &rest[piece..];
            }
        }
    })
    .await
}

/// Sends half of a body, and then what `rest` does.
async fn half(rest: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        while talk.request().await.is_some() {
            talk.say(head(2 * MIB)).await;
            talk.say(&content(2 * MIB)[..MIB]).await;
            match rest {
                "ends" => return,
                "stalls" => talk.wait().await,
                _ => return talk.wire.reset(),
            }
        }
    })
    .await
}

fn is_whole(heard: &Message, length: usize) {
    assert!(heard.status() == 200 && !heard.cut, "{length}: {:?} {}", heard.start, heard.cut);
    assert!(heard.body == content(length), "{length}: {} bytes, not the same", heard.body.len());
}

fn spliced(proxy: &Proxy) -> usize {
    proxy.metric("rolegate_spliced_bytes_total", &["web"]) as usize
}

#[tokio::test]
async fn every_length_arrives_as_it_was_sent() {
    let server = source().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let lengths = [128 * KIB, 128 * KIB + 1, 256 * KIB, 512 * KIB + 3, MIB, 5 * MIB + 17];
    for length in lengths {
        is_whole(&client.ask(&get(&format!("/{length}"))).await, length);
        assert_eq!(client.ask(&get("/small")).await.text(), "small");
    }
    proxy.until_idle().await;
    let all: usize = lengths.iter().sum();
    assert!(spliced(&proxy) > all / 2, "{} of {all}", spliced(&proxy));
    assert_eq!(proxy.metric("rolegate_response_bytes_total", &["web"]) as usize, all + 5 * lengths.len());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn what_cannot_go_past_our_memory_is_read_and_written() {
    let pki = Pki::new();
    let server = source().await;
    let chunked = Peer::serve(|mut talk| async move {
        while talk.request().await.is_some() {
            let body = content(MIB);
            talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n").await;
            talk.say([&body[..], b"\r\n0\r\n\r\n"].concat()).await;
        }
    })
    .await;
    let small = Setup::new([server.address]).start();
    is_whole(&small.get("/131071").await, 131_071);
    let secure = Setup::new([server.address]).listener(&pki.terminates("")).start();
    is_whole(&secure.get_secured(&pki.client(), "/1048576").await, MIB);
    let in_chunks = Setup::new([chunked.address]).start();
    is_whole(&in_chunks.get("/").await, MIB);
    for proxy in [small, secure, in_chunks] {
        proxy.until_idle().await;
        assert_eq!(spliced(&proxy), 0);
        assert!(proxy.metric("rolegate_response_bytes_total", &["web"]) > 65_000.0);
    }
}

#[tokio::test]
async fn what_comes_over_tls_is_decrypted() {
    let pki = Pki::new();
    let content = Arc::new(Content::new([Package::new("P0100001", [("a.bin", 2 * MIB as u64)])]));
    let spec = || Spec::distribution_point("dp1", &content);
    let plain = SiteSystem::start(spec()).await.unwrap();
    let secure = spec().tls(site::Tls::new(pki.authority.server(&["127.0.0.1"])));
    let secure = SiteSystem::start(secure).await.unwrap();
    let target = "/SMS_DP_SMSPKG$/P0100001/sccm?/a.bin";
    let proxy = Setup::new([plain.address()]).start();
    let expected = proxy.get(target).await;
    assert_eq!((expected.status(), expected.body.len()), (200, 2 * MIB));
    proxy.until_idle().await;
    assert!(spliced(&proxy) > 0);
    let more = format!("[tls]\nca_file = {}", pki.path("ca.crt"));
    let proxy = Setup::new([secure.address()]).role("tls = true").more(&more).start();
    let heard = proxy.get(target).await;
    assert!(heard.status() == 200 && heard.body == expected.body, "{}", heard.body.len());
    proxy.until_idle().await;
    assert_eq!(spliced(&proxy), 0);
}

#[tokio::test]
async fn responses_to_pipelined_requests_come_one_after_the_other() {
    let server = source().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let lengths = [300_000, 128 * KIB, 0, 2 * MIB, 1, 700_001];
    let requests: String = lengths.iter().map(|length| get(&format!("/{length}"))).collect();
    client.say(requests).await;
    for length in lengths {
        is_whole(&client.response("GET").await, length);
    }
}

#[tokio::test]
async fn clients_that_read_slowly_get_all_of_it() {
    println!("seed {SEED:#x}");
    let server = source().await;
    let proxy = Setup::new([server.address]).threads(2).start();
    let downloads = (0..24).map(|number| {
        let at = proxy.at("http");
        async move {
            let mut client = Wire::connect_narrow(at).await;
            let length = 300 * KIB + number * 7919;
            for _ in 0..2 {
                is_whole(&client.ask(&get(&format!("/{length}"))).await, length);
            }
        }
    });
    futures_util::future::join_all(downloads).await;
    proxy.until_idle().await;
    assert!(spliced(&proxy) > 0);
}

#[tokio::test]
async fn a_response_that_its_server_cuts_is_handed_on_as_far_as_it_came() {
    for rest in ["ends", "resets"] {
        let server = half(rest).await;
        let proxy = Setup::new([server.address]).role("passive = { eject_time = \"0s\" }").start();
        for number in 1..=2 {
            let heard = proxy.get("/").await;
            assert!(heard.cut && heard.status() == 200, "{rest}");
            // A reset overtakes what was sent before it.
            assert!(rest == "resets" || heard.body == content(2 * MIB)[..MIB], "{rest}: {}", heard.body.len());
            proxy.until_idle().await;
            assert_eq!(server.accepted(), number);
        }
        assert_eq!(proxy.metric("rolegate_request_errors_total", &["connection_terminated"]), 2.0);
        until("both are closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn a_server_that_stalls_is_told_from_a_client_that_does() {
    let server = half("stalls").await;
    let proxy = Setup::new([server.address]).role("timeouts = { response_body_idle = \"300ms\" }").start();
    let heard = proxy.get("/").await;
    assert!(heard.cut && heard.body == content(2 * MIB)[..MIB], "{}", heard.body.len());
    assert_eq!(proxy.metric("rolegate_request_errors_total", &["http_response_timeout"]), 1.0);

    let server = source().await;
    let proxy = Setup::new([server.address]).role("timeouts = { response_body_idle = \"300ms\" }").start();
    let mut client = Wire::connect_narrow(proxy.at("http")).await;
    // More than all buffers on the way.
    client.say(get("/32000000")).await;
    client.response_head().await;
    until("the client is given up", || proxy.metric("rolegate_protocol_errors_total", &[]) > 0.0).await;
    proxy.until_idle().await;
    assert_eq!(proxy.metric("rolegate_request_errors_total", &["http_response_timeout"]), 0.0);
    // What was in the pipe is nobody else's.
    is_whole(&proxy.get("/1048576").await, MIB);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_to_the_next() {
    let server = source().await;
    let proxy = Setup::new([server.address]).start();
    for number in 0..20 {
        let mut client = Wire::connect_narrow(proxy.at("http")).await;
        client.say(get("/32000000")).await;
        client.take(number * 10_000).await;
        if number % 2 == 0 {
            client.reset();
        }
    }
    proxy.until_idle().await;
    for _ in 0..3 {
        is_whole(&proxy.get("/1000000").await, 1_000_000);
    }
    proxy.until_idle().await;
    assert!(spliced(&proxy) > 3_000_000 / 2);
}

#[tokio::test]
async fn an_upload_goes_on_while_its_response_comes() {
    let gate = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&gate);
    let server = Peer::serve(move |mut talk| {
        let gate = Arc::clone(&own);
        async move {
            let Some(mut request) = talk.head().await else { return };
            talk.say(head(3 * MIB)).await;
            talk.say(&content(3 * MIB)[..MIB]).await;
            // The rest of the response comes after the rest of the request.
            gate.add_permits(1);
            talk.wire.rest_of(&mut request).await;
            assert_eq!(request.body, content(400_000));
            talk.say(&content(3 * MIB)[MIB..]).await;
            talk.wait().await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).role("max_body = \"1MiB\"").start();
    let mut client = proxy.open().await;
    let upload = content(400_000);
    client.say("BITS_POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 400000\r\n\r\n").await;
    client.say(&upload[..100_000]).await;
    drop(within("half of the response", gate.acquire()).await.unwrap());
    let started = client.response_head().await;
    assert_eq!(started.status(), 200);
    let before = client.take(MIB).await;
    client.stream.write_all(&upload[100_000..]).await.unwrap();
    let after = client.take(2 * MIB).await;
    assert!([before, after].concat() == content(3 * MIB));
}

/// hyper is done with a connection when nothing more is to be read, also before all of the response is written.
#[tokio::test]
async fn a_response_is_whole_although_its_request_is_not() {
    let server = Peer::serve(|mut talk| async move {
        let Some(request) = talk.head().await else { return };
        let length = request.target()[1..].parse().unwrap();
        talk.say(head(length).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        talk.say(content(length)).await;
        talk.wait().await;
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    // Where the last bytes are when the proxy has all of them, in its pipe or in a buffer of the socket, depends on the length.
    for number in 0..16 {
        let length = 3 * MIB + number * 48 * KIB;
        let mut client = Wire::connect_narrow(proxy.at("http")).await;
        client.say(format!("POST /{length} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbegun")).await;
        assert_eq!(client.response_head().await.status(), 200);
        let mut heard = Vec::new();
        while proxy.in_flight() > 0 {
            let piece = client.take(32 * KIB).await;
            assert!(!piece.is_empty());
            heard.extend(piece);
        }
        heard.extend(client.take(length).await);
        assert!(heard == content(length), "{length}: {}", heard.len());
        client.ends().await;
    }
}
