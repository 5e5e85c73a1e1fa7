//! What HTTP forbids to forward is not forwarded, and what was routed by is what is forwarded.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Peer, Pki, Proxy, Setup, get, ok, status, until, within};

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

/// Asserts that a request is refused with this status and these words, that its connection ends, and that no server heard of it.
async fn refuses(proxy: &Proxy, server: &Peer, request: &str, expected: u16, details: &str) {
    let before = server.count();
    let mut client = proxy.open().await;
    let answer = client.ask(request).await;
    answer.is_own(expected, "http_request_error");
    let said = answer.field("proxy-status").unwrap();
    assert!(said.contains(details), "{request:?}: {said}");
    assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
    client.ends().await;
    assert_eq!(server.count(), before, "{request:?}");
}

#[tokio::test]
async fn a_request_has_one_host_and_a_valid_one() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: u@a\r\n",
        "Host: a,b\r\n",
        "Host: [::1\r\n",
        "Host: a:80:80\r\n",
        "Host: a:99999999\r\n",
        "Host: http://a\r\n",
    ] {
        refuses(&proxy, &server, &format!("GET / HTTP/1.1\r\n{fields}\r\n"), 400, "Host is missing").await;
        // The target does not make up for it.
        refuses(&proxy, &server, &format!("GET http://a/ HTTP/1.1\r\n{fields}\r\n"), 400, "Host is missing").await;
    }
    refuses(&proxy, &server, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "Host is missing").await;
    refuses(&proxy, &server, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host is missing").await;
    for host in ["a", "a:8080", "[::1]:80", "dp_1.contoso.com", "10.0.0.1"] {
        proxy.ask(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.is_from_server(200);
        assert_eq!(server.heard().pop().unwrap().field("host"), Some(host));
    }
}

#[tokio::test]
async fn http_1_0_without_a_host_gets_ours() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let ours = proxy.at("http").to_string();
    proxy.ask("GET /old HTTP/1.0\r\n\r\n").await.is_from_server(200);
    let heard = server.heard().pop().unwrap();
    assert_eq!((heard.start.as_str(), heard.field("host")), ("GET /old HTTP/1.1", Some(&*ours)));
    assert_eq!(heard.field("x-forwarded-host"), Some(&*ours));
    proxy.ask("GET http://dp1.test/old HTTP/1.0\r\n\r\n").await.is_from_server(200);
    assert_eq!(server.heard().pop().unwrap().field("host"), Some("dp1.test"));
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The status of a GET over HTTP/2 with these fields besides: byte for byte, because no client sends what is wrong.
async fn over_http2(proxy: &Proxy, fields: &[(&str, &str)]) -> u16 {
    let all = [(":method", "GET"), (":scheme", "http"), (":path", "/h2")].iter().chain(fields);
    // Each a literal that is not indexed, without Huffman's coding (RFC 7541, section 6.2.2).
    let block: Vec<u8> = all
        .flat_map(|(name, value)| {
            let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            [vec![0], text(name), text(value)].concat()
        })
        .collect();
    let mut client = proxy.open().await;
    client.say([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..], &frame(1, 5, 1, &block)].concat()).await;
    loop {
        let head = client.take(9).await;
        assert_eq!(head.len(), 9, "the connection ended");
        let payload = client.take(usize::from(head[1]) << 8 | usize::from(head[2])).await;
        // The status is an entry of the static table, or the first literal.
        match (head[3], payload.first()) {
            (1, Some(0x88)) => return 200,
            (1, Some(0x8c)) => return 400,
            (1, other) => panic!("{other:?}"),
            (3, _) => panic!("reset: {payload:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn over_http2_the_host_is_named_once_or_twice_the_same() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    for (fields, expected) in [
        (&[(":authority", "a.test")][..], 200),
        (&[(":authority", "a.test"), ("host", "A.test")], 200),
        (&[("host", "a.test")], 200),
        (&[], 400),
        (&[("host", "a.test"), ("host", "a.test")], 400),
        (&[(":authority", "a.test"), ("host", "a.test"), ("host", "a.test")], 400),
        (&[("host", "a b")], 400),
        (&[(":authority", "a.test"), ("host", "b.test")], 400),
        (&[(":authority", "a.test"), ("host", "a.test:81")], 400),
        (&[(":authority", "u@a.test")], 400),
    ] {
        let before = server.count();
        assert_eq!(over_http2(&proxy, fields).await, expected, "{fields:?}");
        assert_eq!(server.count() - before, usize::from(expected == 200), "{fields:?}");
    }
    assert_eq!(server.heard().pop().unwrap().field("host"), Some("a.test"));
}

#[tokio::test]
async fn what_routes_is_what_is_forwarded() {
    let (one, other) = (echo().await, echo().await);
    let text = Setup::new([one.address])
        .role("hosts = [\"one.test\"]")
        .listener("")
        .more(&format!(
            "[roles.other]\npreset = \"plain\"\nprobe = {{ kind = \"none\" }}\nhosts = [\"other.test\"]\n\
             [[site_systems]]\nname = \"other\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"other\", port = {} }}]\n",
            other.address.port()
        ))
        .text()
        .replace("roles = [\"web\"]\n", "roles = [\"web\", \"other\"]\n");
    let proxy = Proxy::start(&text);
    for (request, server, host) in [
        ("GET / HTTP/1.1\r\nHost: one.test\r\n\r\n", &one, "one.test"),
        ("GET http://one.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n", &one, "one.test"),
        ("GET http://other.test:81/ HTTP/1.1\r\nHost: one.test\r\n\r\n", &other, "other.test:81"),
    ] {
        let before = server.count();
        proxy.ask(request).await.is_from_server(200);
        assert_eq!(server.count(), before + 1, "{request:?}");
        assert_eq!(server.heard().pop().unwrap().field("host"), Some(host), "{request:?}");
    }
}

#[tokio::test]
async fn no_coding_of_a_body_is_lost() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let request = |fields: &str| format!("POST /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n2\r\nab\r\n0\r\n\r\n");
    for fields in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ] {
        refuses(&proxy, &server, &request(fields), 501, "transfer coding besides chunked").await;
    }
    for fields in
        ["Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"]
    {
        refuses(&proxy, &server, &request(fields), 400, "framing of the request body").await;
    }
    proxy.ask(&request("Transfer-Encoding: Chunked\r\n")).await.is_from_server(200);
    assert_eq!(server.heard().pop().unwrap().text(), "ab");
}

#[tokio::test]
async fn a_malformed_chunk_is_what_it_is() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for chunks in ["zz\r\nab\r\n0\r\n\r\n", "2\r\nabX\r\n0\r\n\r\n", "f0000000000000003\r\nab", "-2\r\nab\r\n0\r\n\r\n"]
    {
        let mut client = proxy.open().await;
        let request = format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = client.ask(&request).await;
        answer.is_own(400, "http_request_error");
        assert!(answer.field("proxy-status").unwrap().contains("framing of the request body"), "{answer:?}");
        client.wait_for_the_end().await;
    }
    // The server is not to blame, and the client has not gone away.
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
    let mut client = proxy.open().await;
    client.say("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na").await;
    client.end().await;
    client.response("POST").await.is_own(408, "http_request_error");
}

#[tokio::test]
async fn a_fragment_is_no_part_of_a_target() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for target in ["/frag/#x", "/#", "/a?b#c", "http://h/#x"] {
        refuses(&proxy, &server, &format!("DELETE {target} HTTP/1.1\r\nHost: h\r\n\r\n"), 400, "fragment").await;
    }
    // Later ones on a connection, sent at once, behind bodies of either kind.
    for before in [
        get("/1"),
        "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n#\r\n".to_owned(),
        "POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n#\r\n\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut client = proxy.open().await;
        client
            .say(format!("{before}{}DELETE /frag/#x HTTP/1.1\r\nHost: h\r\n\r\n", get("/2#").replace('#', "%23")))
            .await;
        for expected in ["/1", "/2%23"] {
            assert_eq!(client.response("GET").await.text(), expected);
        }
        client.response("DELETE").await.is_own(400, "http_request_error");
        client.ends().await;
    }
    assert!(server.heard().iter().all(|heard| !heard.start.starts_with("DELETE")));
}

/// What clients of IIS send although RFC 3986 has it encoded, and what no server is given.
#[tokio::test]
async fn every_byte_of_a_target_is_forwarded_as_it_is_or_refused() {
    const FORWARDED: &str = "\"{}|^\\[]";
    const REFUSED: &str = "<>`#\u{7f}";
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for byte in 0..=255_u8 {
        let target = [b"/a", &[byte][..], b"b"].concat();
        let mut client = proxy.open().await;
        client.say([b"GET ", &target[..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat()).await;
        let answer = client.response("GET").await;
        let char = char::from(byte);
        let usual = byte.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(char);
        let forwarded = usual || FORWARDED.contains(char);
        if forwarded {
            answer.is_from_server(200);
            assert_eq!(answer.body, target, "{char:?}");
        } else {
            // A byte above 127 alone is no character.
            assert!(byte <= b' ' || byte > 0x7f || REFUSED.contains(char), "{char:?}");
            answer.is_own(400, "http_request_error");
        }
    }
    for char in ['\u{80}', 'ä', '€', '．', '😀'] {
        let target = format!("/a{char}b");
        assert_eq!(proxy.get(&target).await.text(), target);
    }
}

#[tokio::test]
async fn a_target_has_one_of_the_forms_of_http() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for target in ["h", "h:80", "?a", "a/b", "http:/h/", "http:///x", "//", "ftp:h"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        if target == "//" {
            proxy.ask(&request).await.is_from_server(200);
            continue;
        }
        let answer = proxy.ask(&request).await;
        assert_eq!(answer.status(), 400, "{target}: {answer:?}");
    }
    for (asked, target) in
        [("http://lab.test", "*"), ("http://lab.test/", "/"), ("*", "*"), ("http://lab.test?x", "/?x")]
    {
        proxy.ask(&format!("OPTIONS {asked} HTTP/1.1\r\nHost: h\r\n\r\n")).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!(heard.target(), target, "{asked}");
        assert_eq!(heard.field("host"), Some(if asked == "*" { "h" } else { "lab.test" }));
    }
}

#[tokio::test]
async fn a_later_minor_version_is_the_last_that_is_known() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for minor in [1, 2, 9] {
        let answer = client.ask(&format!("GET /{minor} HTTP/1.{minor}\r\nHost: h\r\n\r\n")).await;
        answer.is_from_server(200);
        assert!(answer.start.starts_with("HTTP/1.1 ") && server.heard().pop().unwrap().start.ends_with(" HTTP/1.1"));
    }
    let answer = client.ask("GET /0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    answer.is_from_server(200);
    assert_eq!((answer.start.as_str(), answer.field("connection")), ("HTTP/1.0 200 OK", Some("keep-alive")));
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.1"] {
        proxy.ask(&format!("GET / {version}\r\nHost: h\r\n\r\n")).await.is_own(505, "http_request_error");
    }
    for line in ["GET /", "GET / HTTP/1.10", "GET / http/1.1", "GET / HTTPS/1.1", "GET  / HTTP/1.1"] {
        proxy.ask(&format!("{line}\r\nHost: h\r\n\r\n")).await.is_own(400, "http_request_error");
    }
}

#[tokio::test]
async fn a_head_may_have_many_fields_and_has_a_bound() {
    let many: String = (0..900).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    let server = Peer::saying(answer).await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..2 {
        let heard = client.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n")).await;
        assert!(heard.status() == 200 && heard.field("x-899") == Some("899"));
        assert_eq!(server.heard().pop().unwrap().field("x-899"), Some("899"));
    }
    // A head is refused when it is too large, not when its end has come.
    let more = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(1001));
    proxy.ask(&more).await.is_own(431, "http_request_error");
    for end in ["", "\r\n\r\n"] {
        let before = server.count();
        let mut client = proxy.open().await;
        client.say(format!("GET / HTTP/1.1\r\nHost: h\r\nX-Long: {}{end}", "x".repeat(70_000))).await;
        client.response("GET").await.is_own(431, "http_request_error");
        client.ends().await;
        assert_eq!(server.count(), before);
    }
    let count = |reason: &str| proxy.metric("rolegate_request_errors_total", &[reason]);
    assert_eq!(count("http_request_error"), 3.0);
}

#[tokio::test]
async fn over_http2_a_value_has_no_blanks_around_it() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).listener("http2 = true").start();
    for (value, expected) in [("a", 200), ("a b", 200), ("", 200), (" a", 400), ("a\t", 400), (" ", 400)] {
        assert_eq!(over_http2(&proxy, &[(":authority", "h"), ("x-own", value)]).await, expected, "{value:?}");
    }
}

#[tokio::test]
async fn extensions_of_chunks_have_a_bound() {
    let server = Peer::answering(|request, _| ok(&request.text())).await;
    let proxy = Setup::new([server.address]).start();
    let request = |chunk: &str, count: usize| {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", chunk.repeat(count))
    };
    let answer = proxy.ask(&request("1;a=\"b;c\"\r\nx\r\n", 100)).await;
    assert_eq!(answer.text(), "x".repeat(100));
    let answer = proxy.ask(&request("1   \r\nx\r\n", 5000)).await;
    assert_eq!(answer.body.len(), 5000, "blanks are no extension");
    let long = format!("1;{}\r\nx\r\n", "a".repeat(5000));
    for too_much in [request("1;a=b\r\nx\r\n", 5000), request(&long, 1)] {
        proxy.ask(&too_much).await.is_own(400, "http_request_error");
    }
}

/// What one reader takes for a request and another one for a trailer: nothing behind it is believed.
#[tokio::test]
async fn nothing_is_hidden_behind_a_body_that_ends_in_two_ways() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for end in ["0\r\n\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n", "0\r\nX: a\n\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let mut client = proxy.open().await;
        client.say(format!("POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{end}")).await;
        client.say("DELETE /frag/#x HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.wait_for_the_end().await;
    }
    assert!(server.heard().iter().all(|heard| !heard.start.starts_with("DELETE")), "{:?}", server.heard());
}

#[tokio::test]
async fn a_body_that_breaks_behind_an_early_answer_blames_no_server() {
    let server = Peer::serve(|mut talk| async move {
        talk.head().await;
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nearly").await;
        talk.wait().await;
    })
    .await;
    let role = "timeouts = { response_body_idle = \"300ms\" }\npassive = { consecutive_failures = 1 }";
    let proxy = Setup::new([server.address, server.address]).role(role).start();
    let mut client = proxy.open().await;
    client.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await;
    assert_eq!(client.response_head().await.status(), 200);
    client.say("zz\r\n").await;
    client.wait_for_the_end().await;
    until("it is counted", || proxy.metric("rolegate_request_errors_total", &["http_request_error"]) == 1.0).await;
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn no_path_leaves_the_role_that_it_was_routed_to() {
    let server = echo().await;
    let (pki, role) = (Pki::new(), "paths = [\"/web\"]");
    let proxy = Setup::new([server.address]).role(role).start();
    let paths = [
        "/web/../AdminService/x",
        "/web/..",
        "/web/%2e%2E/x",
        "/web/.%2e/x",
        "/web/..%2fx",
        "/web/..\\x",
        "/web\\..\\x",
        "/web/..%5cx",
        "/web/%u002e%u002e/x",
        "/web/./x",
        "/../web/x",
    ];
    let mut client = proxy.open().await;
    for path in paths {
        let answer = client.ask(&get(path)).await;
        answer.is_own(400, "http_request_error");
        assert!(answer.field("proxy-status").unwrap().contains("segment of dots"), "{answer:?}");
    }
    assert_eq!(server.count(), 0);
    for path in ["/web/a..b", "/web/..a", "/web/.sms_aut?../x", "/web/%252e%252e/x"] {
        proxy.get(path).await.is_from_server(200);
    }
    // On every role, and over HTTP/2 and TLS too.
    let listener = format!("http2 = true\n{}", pki.terminates(""));
    let proxy = Setup::new([server.address]).listener(&listener).start();
    let client = proxy.secure(&pki.client().alpn(&["h2"])).await;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(client.stream)).await.unwrap();
    tokio::spawn(connection);
    for path in paths.into_iter().filter(|path| !path.contains('\\')) {
        let request = http::Request::get(format!("https://h{path}")).body(Empty::<Bytes>::new()).unwrap();
        let answer = within("an answer", sender.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn claims_with_another_spelling_are_claims() {
    let server = echo().await;
    for (trusted, kept) in [("", None), ("trusted_proxies = [\"127.0.0.0/8\"]", Some("9.9.9.9"))] {
        let proxy = Setup::new([server.address]).proxy(trusted).start();
        let request = "GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n\
                       X_FORWARDED_HOST: evil\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n";
        proxy.ask(request).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        let odd: Vec<_> = heard.fields.iter().filter(|(name, _)| name.contains('_')).collect();
        assert!(odd.is_empty(), "{odd:?}");
        let claims = heard.all("x-forwarded-for");
        assert_eq!(claims.contains(&"9.9.9.9"), kept.is_some(), "{claims:?}");
    }
    // Also behind the body.
    let proxy = Setup::new([server.address]).start();
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X_Forwarded_For, X-Forwarded-For\r\n\
                   \r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    proxy.ask(request).await.is_from_server(200);
    assert_eq!(server.heard().pop().unwrap().trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

const UPGRADES: &str = "upgrades = [\"WebSocket\"]";

#[tokio::test]
async fn http2_is_never_spoken_past_us() {
    let server = Peer::answering(|request, _| match request.field("upgrade") {
        Some(protocol) => format!("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"),
        None => ok(&format!("{:?}", request.fields)),
    })
    .await;
    let proxy = Setup::new([server.address]).role(UPGRADES).start();
    let ask = |protocols: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocols}\r\n\
             HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
        )
    };
    for protocols in ["h2c", "H2C", "h2", "HTTP/2.0", "h2c, h2"] {
        let answer = proxy.ask(&ask(protocols)).await;
        answer.is_from_server(200);
        let heard = answer.text().to_ascii_lowercase();
        assert!(!heard.contains("upgrade") && !heard.contains("http2-settings"), "{protocols}: {heard}");
    }
    // What else was asked for goes on, if the role has it.
    let answer = proxy.ask(&ask("h2c, websocket")).await;
    assert_eq!((answer.status(), answer.field("upgrade")), (101, Some("websocket")));
    assert_eq!(server.heard().pop().unwrap().field("upgrade"), Some("websocket"));
    proxy.ask(&ask("chat")).await.is_from_server(200);
    let closed = Setup::new([server.address]).start();
    closed.ask(&ask("websocket")).await.is_from_server(200);
}

#[tokio::test]
async fn a_server_switches_to_what_was_asked_for() {
    for (switched, expected) in
        [("websocket", 101), ("WebSocket", 101), ("h2c", 502), ("websocket, h2c", 502), ("", 502)]
    {
        let field = if switched.is_empty() { String::new() } else { format!("Upgrade: {switched}\r\n") };
        let server = Peer::saying(format!("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n{field}\r\n")).await;
        let proxy = Setup::new([server.address]).role(UPGRADES).start();
        let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(proxy.ask(request).await.status(), expected, "{switched}");
    }
}

/// A server that signs in connections, as IIS does with what its providers are called.
async fn signs_in(offers: &'static str) -> Peer {
    Peer::answering(move |request, number| match (request.target(), request.field("authorization")) {
        ("/open", _) => ok(&format!("connection {number}")),
        (_, Some(_)) => ok(&format!("signed in on {number}")),
        (_, None) => format!("HTTP/1.1 401 Sign In\r\nWWW-Authenticate: {offers}\r\nContent-Length: 0\r\n\r\n"),
    })
    .await
}

#[tokio::test]
async fn every_scheme_that_signs_in_a_connection_keeps_it() {
    for (offers, scheme, kept) in [
        ("Nego2", "Nego2 abc==", true),
        ("Basic realm=\"x, NTLM\", Nego2", "nego2 abc", true),
        ("Basic realm=\"NTLM\"", "Basic abc", false),
    ] {
        let server = signs_in(offers).await;
        let proxy = Setup::new([server.address]).role("connection_auth = true").start();
        let mut user = proxy.open().await;
        assert_eq!(user.ask(&get("/closed")).await.status(), 401);
        let request = format!("GET /closed HTTP/1.1\r\nHost: h\r\nAuthorization: {scheme}\r\n\r\n");
        let signed_in = user.ask(&request).await.text();
        let stranger = proxy.get("/open").await.text();
        let same = signed_in.rsplit(' ').next() == stranger.rsplit(' ').next();
        assert_eq!(same, !kept, "{offers}: {signed_in}, {stranger}");
    }
}

/// A client that was asked to sign in and says nothing more is no request.
#[tokio::test]
async fn clients_that_wait_signed_in_take_no_place_at_a_server() {
    let server = signs_in("NTLM").await;
    let proxy = Setup::new([server.address]).role("connection_auth = true\nmax_requests = 2").start();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.open().await;
        assert_eq!(client.ask(&get("/closed")).await.status(), 401);
        held.push(client);
    }
    proxy.until_idle().await;
    for _ in 0..3 {
        proxy.get("/open").await.is_from_server(200);
    }
    // They still have their connections, each its own.
    for (number, client) in held.iter_mut().enumerate() {
        let request = "GET /closed HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM abc\r\n\r\n";
        assert_eq!(client.ask(request).await.text(), format!("signed in on {number}"));
    }
    proxy.until_idle().await;
}

/// What one client sends may be the reason for an error: it takes the server away from no other client.
#[tokio::test]
async fn errors_that_a_client_may_have_caused_speak_against_no_server() {
    let sick = Peer::answering(|_, _| status(500, "a fault")).await;
    let well = echo().await;
    let passive = "passive = { consecutive_failures = 3, eject_time = \"60s\" }\nretry = { on_status = [500] }";
    let proxy = Setup::new([sick.address, well.address]).role(passive).start();
    for _ in 0..20 {
        proxy.ask("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na").await;
    }
    assert!(sick.count() > 3, "{}", sick.count());
    assert_eq!(proxy.metric("rolegate_endpoint_ejections_total", &[]), 0.0);
    for round in 0..40 {
        proxy.open_from(&format!("127.0.3.{}", round % 4)).await.ask(&get("/x")).await;
    }
    until("answers to GET count", || proxy.metric("rolegate_endpoint_ejections_total", &[]) == 1.0).await;
}

/// The only server of a boundary group is the last one for its clients, however many others there are.
#[tokio::test]
async fn the_only_server_of_a_boundary_group_stays() {
    let branch =
        Peer::answering(|request, _| if request.target() == "/bad" { status(500, "") } else { ok("branch") }).await;
    let hq = [echo().await, echo().await, echo().await];
    let servers = [branch.address, hq[0].address, hq[1].address, hq[2].address];
    let groups = "[[boundary_groups]]\nname = \"Branch\"\nboundaries = [\"127.0.2.0/24\"]\nsite_systems = [\"srv0.lab.test\"]\n\
                  [[boundary_groups]]\nname = \"HQ\"\nboundaries = [\"127.0.1.0/24\"]\n\
                  site_systems = [\"srv1.lab.test\", \"srv2.lab.test\", \"srv3.lab.test\"]\n";
    let role = "locality = \"boundary-groups\"\npassive = { consecutive_failures = 3 }\nretry = { attempts = 0, on_status = [500] }";
    let proxy = Setup::new(servers).role(role).more(groups).start();
    for round in 0..20 {
        let mut client = proxy.open_from(&format!("127.0.2.{}", round % 5)).await;
        assert_eq!(client.ask(&get("/bad")).await.status(), 500);
    }
    let mut client = proxy.open_from("127.0.2.7").await;
    for _ in 0..10 {
        assert_eq!(client.ask(&get("/good")).await.text(), "branch");
    }
    assert_eq!(proxy.metric("rolegate_endpoint_ejections_total", &[]), 0.0);
    assert!(proxy.endpoints().iter().all(|endpoint| endpoint.available));
}

#[tokio::test]
async fn a_process_without_a_port_for_a_connection_blames_no_server() {
    // An address of another family than any of its sources has no port at all.
    let server = echo().await;
    let role =
        format!("source_addresses = [\"{}\"]\npassive = {{ consecutive_failures = 1 }}", Ipv4Addr::new(203, 0, 113, 7));
    let proxy = Setup::new([server.address, server.address]).role(&role).start();
    for _ in 0..5 {
        let answer = proxy.get("/").await;
        answer.is_own(503, "proxy_internal_error");
        assert!(answer.field("retry-after").is_some());
    }
    assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &[]), 0.0);
    assert_eq!(proxy.metric("rolegate_endpoint_ejections_total", &[]), 0.0);
}
