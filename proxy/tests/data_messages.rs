//! What of a request and of a response is handed on as it is, and what a proxy must change.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{Message, Peer, Setup, get, ok, until};

async fn echo() -> Peer {
    Peer::saying(ok("fine")).await
}

#[tokio::test]
async fn targets_are_forwarded_byte_for_byte() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let targets = [
        "/SMS_DP_SMSPKG$/PKG00001/sccm?/a%20b.msi",
        "/SMS_MP/.sms_pol?{D0A1-5E}.1_00&x={GUID}",
        "//a//b/",
        "/a%2fb%2F%5c",
        "/a;b=c,d!'()*~@:&=+?x=/?&&=",
        "/%",
        "/%zz?%",
        "/?",
        "/a?",
        "/\"{x}\"/Schl\u{fc}ssel.txt",
        "/~a_b-c.d",
        "/UPPER/lower",
    ];
    for target in targets {
        let answer = client.ask(&get(target)).await;
        answer.is_from_server(200);
        assert_eq!(server.heard().last().unwrap().start, format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn host_is_preserved_and_an_absolute_target_replaces_it() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    let cases = [
        ("GET /a HTTP/1.1\r\nHost: MP1.Contoso.com:8080\r\n\r\n", "/a", "MP1.Contoso.com:8080"),
        ("GET http://dp1.lab.test:81/a%20b?{x} HTTP/1.1\r\nHost: other\r\n\r\n", "/a%20b?{x}", "dp1.lab.test:81"),
        ("GET http://dp1.lab.test HTTP/1.1\r\nHost: other\r\n\r\n", "/", "dp1.lab.test"),
        ("GET http://dp1.lab.test?x=1 HTTP/1.1\r\nHost: other\r\n\r\n", "/?x=1", "dp1.lab.test"),
    ];
    let user = "GET http://mp1.lab.test@evil.test/ HTTP/1.1\r\nHost: other\r\n\r\n";
    client.ask(user).await.is_own(400, "http_request_error");
    client.ends().await;
    let mut client = proxy.open().await;
    for (request, target, host) in cases {
        client.ask(request).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!((heard.target(), heard.field("host")), (target, Some(host)));
    }
}

#[tokio::test]
async fn extension_methods_are_ordinary() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for method in ["CCM_POST", "BITS_POST", "PROPFIND", "X-Y!"] {
        let request = format!("{method} /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        client.ask(&request).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!((heard.start.as_str(), heard.text().as_str()), (&*format!("{method} /x HTTP/1.1"), "abc"));
    }
    let chunked = "PROPFIND /y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    client.ask(chunked).await.is_from_server(200);
    assert_eq!(server.heard().pop().unwrap().text(), "ab");
}

#[tokio::test]
async fn names_keep_their_case_and_repeated_fields_their_order() {
    let server = Peer::saying(
        "HTTP/1.1 200 Very Fine\r\nX-ODD-Case: 1\r\nSet-Cookie: b=2\r\nset-cookie: a=1\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Setup::new([server.address]).proxy("preserve_header_case = true").start();
    let request = "GET / HTTP/1.1\r\nHost: h\r\nCCMClientID: GUID:1\r\nx-LAST: b\r\nX-Last: a\r\nempty:\r\n\r\n";
    let answer = proxy.ask(request).await;
    answer.is_from_server(200);
    let has = |message: &Message, name: &str, value: &str| {
        let field = (name.to_owned(), value.to_owned());
        assert!(message.fields.contains(&field), "{field:?} {:?}", message.fields);
    };
    has(&answer, "X-ODD-Case", "1");
    assert_eq!(answer.all("set-cookie"), ["b=2", "a=1"]);
    let heard = server.only();
    has(&heard, "CCMClientID", "GUID:1");
    has(&heard, "x-LAST", "b");
    has(&heard, "X-Last", "a");
    has(&heard, "empty", "");
    assert_eq!(heard.all("x-last"), ["b", "a"]);
    let names: Vec<&str> = heard.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..5], ["Host", "CCMClientID", "x-LAST", "X-Last", "empty"], "ours come behind them");
}

#[tokio::test]
async fn what_no_role_serves_is_refused_and_says_why() {
    let server = echo().await;
    let role = "paths = [\"/web\"]\nmethods = [\"GET\", \"CCM_POST\"]";
    let proxy = Setup::new([server.address]).role(role).start();
    let mut client = proxy.open().await;
    let answer = client.ask(&get("/elsewhere")).await;
    answer.is_own(404, "destination_not_found");
    let answer = client.ask("DELETE /web/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    answer.is_own(405, "http_request_denied");
    assert_eq!(answer.field("allow"), Some("GET, CCM_POST"));
    client.ask(&get("/WEB/x")).await.is_from_server(200);
    assert_eq!(server.only().target(), "/WEB/x");
    assert_eq!(proxy.metric("rolegate_requests_total", &[]), 3.0, "{}", proxy.app().metrics());
}

#[tokio::test]
async fn a_tunnel_through_the_proxy_is_refused() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let answer = proxy.ask("CONNECT lab.test:443 HTTP/1.1\r\nHost: lab.test:443\r\n\r\n").await;
    assert!((400..500).contains(&answer.status()), "{answer:?}");
    assert!(answer.field("proxy-status").is_some());
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn hop_by_hop_fields_are_stripped_from_requests() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-One, keep-alive\r\nX-One: 1\r\nConnection: x-two\r\n\
                   X-Two: 2\r\nX-TWO: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n\
                   Upgrade: h2c\r\nX-Three: 3\r\nConnection: host, authorization\r\nAuthorization: Basic eA==\r\n\r\n";
    proxy.ask(request).await.is_from_server(200);
    let heard = server.only();
    for name in ["connection", "x-one", "x-two", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(heard.all(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!((heard.field("x-three"), heard.field("host")), (Some("3"), Some("h")));
    assert_eq!(heard.field("authorization"), Some("Basic eA=="));
}

#[tokio::test]
async fn hop_by_hop_fields_are_stripped_from_responses() {
    let server = Peer::saying(
        "HTTP/1.1 200 OK\r\nConnection: X-One\r\nConnection: x-two\r\nX-One: 1\r\nX-Two: 2\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: x\r\nUpgrade: h2c\r\nX-Three: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for _ in 0..2 {
        let answer = client.ask(&get("/")).await;
        answer.is_from_server(200);
        for name in ["connection", "x-one", "x-two", "keep-alive", "proxy-connection", "upgrade"] {
            assert_eq!(answer.all(name), Vec::<&str>::new(), "{name}");
        }
        assert_eq!((answer.field("x-three"), answer.text().as_str()), (Some("3"), "ok"));
        assert_eq!(answer.all("transfer-encoding"), ["chunked"], "once");
    }
}

const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: MP1.lab.test:80\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-For: 10.8.8.8\r\n\
                      X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=10.9.9.9;proto=https\r\n\
                      Via: 1.0 edge\r\n\r\n";

#[tokio::test]
async fn forwarding_fields_of_strangers_are_replaced() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).proxy("name = \"gate-1\"").start();
    proxy.open_from("127.0.7.9").await.ask(CLAIMS).await.is_from_server(200);
    let heard = server.only();
    assert_eq!(heard.field("x-forwarded-for"), Some("127.0.7.9"));
    assert_eq!(heard.field("x-forwarded-proto"), Some("http"));
    assert_eq!(heard.field("x-forwarded-host"), Some("MP1.lab.test:80"));
    assert_eq!(heard.field("forwarded"), Some("for=127.0.7.9;host=\"MP1.lab.test:80\";proto=http"));
    let [edge, own] = heard.all("via")[..] else { panic!("{heard:?}") };
    assert!(edge == "1.0 edge" && own.starts_with("1.1 gate-1-") && own.len() == 27, "{own}");
}

#[tokio::test]
async fn forwarding_fields_of_trusted_proxies_are_extended() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).proxy("trusted_proxies = [\"127.0.7.0/24\"]").start();
    proxy.open_from("127.0.7.9").await.ask(CLAIMS).await.is_from_server(200);
    let heard = server.only();
    assert_eq!(heard.all("x-forwarded-for"), ["10.9.9.9", "10.8.8.8", "127.0.7.9"]);
    assert_eq!(heard.field("x-forwarded-proto"), Some("https"));
    assert_eq!(heard.field("x-forwarded-host"), Some("evil"));
    // Its own `Forwarded` is not the field in which such a proxy says it.
    let own = "for=127.0.7.9;host=\"MP1.lab.test:80\";proto=http";
    assert_eq!(heard.all("forwarded"), ["for=10.8.8.8", own]);

    let says = "trusted_proxies = [\"127.0.7.0/24\"]\nclient_address_field = \"Forwarded\"";
    let proxy = Setup::new([server.address]).proxy(says).start();
    proxy.open_from("127.0.7.9").await.ask(CLAIMS).await.is_from_server(200);
    let heard = server.heard().pop().unwrap();
    assert_eq!(heard.all("forwarded"), ["for=10.9.9.9;proto=https", own]);
    assert_eq!(heard.all("x-forwarded-for"), ["10.9.9.9", "127.0.7.9"]);
    assert_eq!(
        (heard.field("x-forwarded-proto"), heard.field("x-forwarded-host")),
        (Some("http"), Some("MP1.lab.test:80"))
    );
}

#[tokio::test]
async fn forwarded_counts_where_there_is_no_x_forwarded_for() {
    let server = echo().await;
    let alone = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nForwarded: for=10.9.9.9\r\n\r\n";
    for (field, told) in [("either", vec!["10.9.9.9", "127.0.7.9"]), ("x-forwarded-for", vec!["127.0.7.9"])] {
        let says = format!("trusted_proxies = [\"127.0.7.0/24\"]\nclient_address_field = \"{field}\"");
        let proxy = Setup::new([server.address]).proxy(&says).start();
        let mut client = proxy.open_from("127.0.7.9").await;
        for request in [alone, CLAIMS, alone] {
            client.ask(request).await.is_from_server(200);
        }
        let heard = server.heard();
        let [first, second, third] = &heard[heard.len() - 3..] else { panic!("{heard:?}") };
        for heard in [first, third] {
            assert_eq!(heard.all("x-forwarded-for"), told, "{field}");
        }
        assert_eq!(first.field("x-forwarded-proto"), Some(if field == "either" { "http" } else { "https" }), "{field}");
        assert_eq!(second.all("x-forwarded-for"), ["10.9.9.9", "10.8.8.8", "127.0.7.9"], "{field}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_may_say_it_in_a_field_of_its_own() {
    let server = echo().await;
    let says = "trusted_proxies = [\"127.0.7.0/24\"]\nclient_address_field = \"X-Real-IP\"";
    let proxy = Setup::new([server.address]).proxy(says).start();
    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Real-IP: 10.7.7.7\r\nX_Real_IP: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\
                   Forwarded: for=6.6.6.6\r\n\r\n";
    for (from, real, told) in
        [("127.0.7.9", vec!["10.7.7.7"], vec!["10.7.7.7", "127.0.7.9"]), ("127.0.8.9", vec![], vec!["127.0.8.9"])]
    {
        proxy.open_from(from).await.ask(request).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!((heard.all("x-real-ip"), heard.all("x-forwarded-for")), (real, told), "{from}");
        assert!(heard.all("x_real_ip").is_empty() && !heard.all("forwarded").contains(&"for=6.6.6.6"), "{from}");
    }
}

#[tokio::test]
async fn what_servers_take_for_the_word_of_a_proxy_is_not_the_clients_to_say() {
    let server = echo().await;
    let fields = "X-Real-IP: 6.6.6.6\r\nX_Client_Cert: x\r\nSSL_CLIENT_VERIFY: SUCCESS\r\nX-Ssl-Cert: x\r\n\
                  X-Original-URL: /admin\r\nX-Rewrite-Url: /admin\r\nX-HTTP-Method-Override: DELETE\r\nProxy: evil:80\r\n\
                  Ms-AspNetCore-ClientCert: x\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}X-Mine: 1\r\n\r\n");
    let names = ["x-real-ip", "x_client_cert", "ssl_client_verify", "x-ssl-cert", "x-original-url", "x-rewrite-url"];
    let names = names.into_iter().chain(["x-http-method-override", "proxy", "ms-aspnetcore-clientcert"]);
    for trusted in ["", "trusted_proxies = [\"127.0.0.0/8\"]"] {
        let proxy = Setup::new([server.address]).proxy(trusted).start();
        proxy.ask(&request).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!(heard.field("x-mine"), Some("1"));
        let left: Vec<_> = names.clone().filter(|name| heard.field(name).is_some()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // A role has a list of its own, also for what comes behind a body.
    let proxy = Setup::new([server.address]).role("strip_fields = [\"X-Mine*\"]").start();
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Mine-1: 1\r\nX-Real-IP: 10.1.1.1\r\n\
                   Trailer: X-Mine-2, X-Sum, WWW-Authenticate\r\n\r\n1\r\na\r\n0\r\nX-Mine-2: 2\r\nX-Sum: 1\r\n\
                   WWW-Authenticate: Basic\r\n\r\n";
    proxy.ask(request).await.is_from_server(200);
    let heard = server.heard().pop().unwrap();
    assert_eq!((heard.field("x-mine-1"), heard.field("x-real-ip")), (None, Some("10.1.1.1")));
    assert_eq!(heard.trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn trace_and_options_go_as_far_as_they_may() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for (method, left, arrives) in
        [("OPTIONS", "1", Some("0")), ("TRACE", "3", Some("2")), ("OPTIONS", "0", None), ("TRACE", "0", None)]
    {
        let before = server.heard().len();
        let request = format!("{method} /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: {left}\r\nCookie: secret\r\n\r\n");
        let answer = proxy.ask(&request).await;
        assert_eq!(answer.status(), 200, "{method} {left}");
        let heard = server.heard();
        match arrives {
            Some(left) => assert_eq!(heard.last().unwrap().field("max-forwards"), Some(left), "{method}"),
            None => assert_eq!(heard.len(), before, "{method}"),
        }
        if (method, left) == ("TRACE", "0") {
            assert_eq!(answer.field("content-type"), Some("message/http"));
            assert!(answer.text().starts_with("TRACE /a HTTP/1.1\r\n") && !answer.text().contains("secret"));
        }
    }
    proxy.ask("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: x\r\n\r\n").await.is_own(400, "http_request_error");
    // The server as a whole.
    proxy.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await.is_from_server(200);
    assert_eq!(server.heard().pop().unwrap().target(), "*");
    proxy.ask("GET * HTTP/1.1\r\nHost: h\r\n\r\n").await.is_own(400, "http_request_error");
}

#[tokio::test]
async fn forwarding_values_follow_the_host_of_each_request() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for host in ["one", "two:81", "one"] {
        client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!(heard.field("forwarded"), Some(&*format!("for=127.0.0.1;host=\"{host}\";proto=http")));
        assert_eq!(heard.field("x-forwarded-host"), Some(host));
    }
}

#[tokio::test]
async fn a_request_with_two_framings_reaches_the_server_with_one() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let chunked = "Transfer-Encoding: chunked";
    for (first, second) in [("Content-Length: 4", chunked), (chunked, "Content-Length: 4")] {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{first}\r\n{second}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let answer = proxy.ask(&request).await;
        if answer.status() == 400 {
            continue;
        }
        answer.is_from_server(200);
        let heard = server.heard().pop().unwrap();
        assert_eq!((heard.text().as_str(), heard.field("content-length")), ("abc", None), "{heard:?}");
        assert_eq!(heard.all("transfer-encoding"), ["chunked"]);
    }
}

#[tokio::test]
async fn heads_that_are_no_http_end_the_connection() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).proxy("max_header_size = \"8KiB\"").start();
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\nbad name: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(10_000)),
        "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(),
    ] {
        let mut client = proxy.open().await;
        let answer = client.ask(&request).await;
        assert!([400, 431, 501].contains(&answer.status()), "{request} {answer:?}");
        assert!(answer.field("proxy-status").is_some() && answer.field("connection") == Some("close"), "{answer:?}");
        client.ends().await;
    }
    assert_eq!(server.count(), 0);
    until("all are gone", || proxy.metric("rolegate_connections", &["http"]) == 0.0).await;
}

#[tokio::test]
async fn connections_to_servers_are_used_again() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut clients = [proxy.open().await, proxy.open().await, proxy.open().await];
    for _ in 0..20 {
        for client in &mut clients {
            client.ask(&get("/")).await.is_from_server(200);
        }
    }
    assert_eq!((server.count(), server.accepted()), (60, 1));
}

#[tokio::test]
async fn a_connection_lives_as_long_as_both_of_its_ends_want() {
    let server = Peer::serve(|mut talk| async move {
        if talk.request().await.is_some() {
            talk.say("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 4\r\n\r\nfine").await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    for number in 1..=3 {
        let answer = client.ask(&get("/")).await;
        answer.is_from_server(200);
        assert_eq!(
            (answer.field("connection"), server.accepted()),
            (None, number),
            "the server's end is not the client's"
        );
    }
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    for _ in 0..3 {
        let mut client = proxy.open().await;
        let answer = client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        answer.is_from_server(200);
        assert_eq!(answer.field("connection"), Some("close"));
        client.ends().await;
    }
    assert_eq!(server.accepted(), 1, "the client's end is not the server's");
}

#[tokio::test]
async fn a_body_that_nobody_read_is_not_the_next_request() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).role("paths = [\"/web\"]\nmax_body = \"16B\"").start();
    let hidden = get("/web/hidden");
    let length = hidden.len();
    let chunk = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    for (line, head, body) in [
        ("POST /elsewhere", format!("Content-Length: {length}"), &hidden),
        ("POST /elsewhere", "Transfer-Encoding: chunked".to_owned(), &chunk),
        ("POST /web", format!("Content-Length: {length}"), &hidden),
        ("POST /web", "Transfer-Encoding: chunked".to_owned(), &chunk),
        ("HEAD /elsewhere", format!("Content-Length: {length}"), &hidden),
    ] {
        for separately in [false, true] {
            let mut client = proxy.open().await;
            let head = format!("{line} HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n");
            if separately {
                client.say(head).await;
                client.say(body).await;
            } else {
                client.say(format!("{head}{body}")).await;
            }
            let answer = client.response(line.split(' ').next().unwrap()).await;
            assert!([404, 413].contains(&answer.status()), "{answer:?}");
            // Either the connection ends or the next request is the next request.
            client.say(get("/web/next")).await;
            let next = client.response("GET").await;
            assert!(next.cut || next.status() == 200, "{next:?}");
        }
    }
    assert!(server.heard().iter().all(|request| request.target() != "/web/hidden"), "{:?}", server.heard());
}

#[tokio::test]
async fn own_answers_to_head_have_no_body() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).role("paths = [\"/web\"]").start();
    let mut client = proxy.open().await;
    client.ask("HEAD /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n").await.is_own(404, "destination_not_found");
    client.ask(&get("/web")).await.is_from_server(200);
}

#[tokio::test]
async fn an_address_that_a_trusted_proxy_does_not_tell_is_not_guessed() {
    let server = echo().await;
    let role = "locality = \"boundary-groups\"";
    let groups = "[[boundary_groups]]\nname = \"one\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"srv0.lab.test\"]\n\
                  [default_boundary_group]\nfallback = { web = \"never\" }\n";
    let text = Setup::new([server.address]).role(role).proxy("trusted_proxies = [\"127.0.0.0/8\"]").text();
    let proxy = support::Proxy::start(&format!("{text}{groups}"));
    for (fields, status) in [
        ("X-Forwarded-For: 10.1.1.1", 200),
        ("X-Forwarded-For: , 10.1.1.1,", 200),
        ("X-Forwarded-For: 10.1.1.1, unknown", 503),
        ("X-Forwarded-For: 10.1.1.1, 127.0.0.9, _hidden, 127.0.0.7", 503),
        ("Forwarded: for=10.1.1.1", 200),
        ("Forwarded: for=10.1.1.1, for=unknown", 503),
    ] {
        let answer = proxy.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{fields}");
    }
    let says = "trusted_proxies = [\"127.0.0.0/8\"]\nclient_address_field = \"forwarded\"";
    let text = Setup::new([server.address]).role(role).proxy(says).text();
    let proxy = support::Proxy::start(&format!("{text}{groups}"));
    for (fields, status) in [
        ("Forwarded: for=10.1.1.1;by=x", 200),
        ("Forwarded: by=\"a;for=9.9.9.9, for=9.9.9.9\";for=10.1.1.1", 200),
        ("Forwarded: by=x; for = 9.9.9.9 ;host=y", 503),
        ("Forwarded: for=10.1.1.1, for=unknown", 503),
        ("Forwarded: for=10.1.1.1, proto=http", 503),
        ("Forwarded: for=10.1.1.1, for=\"_x\"", 503),
        ("X-Forwarded-For: 10.1.1.1", 503),
        ("X-Forwarded-For: 9.9.9.9\r\nForwarded: for=10.1.1.1", 200),
    ] {
        let answer = proxy.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{fields}");
    }
}
