//! Certificates of clients: who must show one, which are taken, and what the servers hear of it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rolegate_bench::client::Tls;
use rolegate_bench::pki::{Authority, Identity, Wanted};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use support::{Message, Peer, Pki, Proxy, Setup, get, ok, until};

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

fn base64(identity: &Identity) -> String {
    BASE64_STANDARD.encode(CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap())
}

/// A client whose certificate is not taken. With TLS 1.3 it believes for a moment that all is well.
async fn is_refused(proxy: &Proxy, tls: &Tls) {
    let Ok(mut client) = proxy.try_secure(tls).await else { return };
    client.say(get("/")).await;
    assert!(client.response("GET").await.cut, "{tls:?}");
}

fn wants_a_certificate(answer: &Message) {
    answer.is_own(403, "http_request_denied");
    assert_eq!(answer.start, "HTTP/1.1 403 Client certificate required");
    assert!(answer.field("proxy-status").unwrap().contains("Client certificate required"), "{answer:?}");
}

#[tokio::test]
async fn where_nobody_is_asked_nobody_shows_one() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.terminates("")).start();
    let own = pki.authority.client("PC1");
    proxy.get_secured(&pki.client().identity(&own), "/").await.is_from_server(200);
    proxy.get_secured(&pki.client(), "/").await.is_from_server(200);
    for heard in server.heard() {
        assert_eq!((heard.field("client-cert"), heard.field("x-arr-clientcert")), (None, None));
    }
}

#[tokio::test]
async fn one_that_is_optional_is_forwarded_when_it_is_shown() {
    let (server, pki) = (echo().await, Pki::new());
    let own = pki.authority.client("PC1");
    for (field, name, expected) in [
        ("client-cert", "client-cert", format!(":{}:", base64(&own))),
        ("x-arr-clientcert", "x-arr-clientcert", base64(&own)),
    ] {
        let lines = format!("forward_client_certificate = \"{field}\"");
        let proxy = Setup::new([server.address]).listener(&pki.asks("optional", &lines)).start();
        for tls in [pki.client(), pki.client().only_1_2()] {
            let mut client = proxy.secure(&tls.clone().identity(&own)).await;
            for target in ["/1", "/2"] {
                client.ask(&get(target)).await.is_from_server(200);
                assert_eq!(server.heard().pop().unwrap().field(name), Some(&*expected));
            }
            proxy.get_secured(&tls, "/").await.is_from_server(200);
            assert_eq!(server.heard().pop().unwrap().field(name), None);
        }
    }
    let proxy = Setup::new([server.address]).listener(&pki.asks("optional", "")).start();
    proxy.get_secured(&pki.client().identity(&own), "/").await.is_from_server(200);
    let heard = server.heard().pop().unwrap();
    assert_eq!((heard.field("client-cert"), heard.field("x-arr-clientcert")), (None, None));
}

#[tokio::test]
async fn a_resumed_session_still_has_its_certificate() {
    let (server, pki) = (echo().await, Pki::new());
    let lines = "forward_client_certificate = \"x-arr-clientcert\"";
    let proxy = Setup::new([server.address]).listener(&pki.asks("required", lines)).start();
    let own = pki.authority.client("PC1");
    for tls in [pki.client(), pki.client().only_1_2()] {
        let connector = tls.identity(&own).connector().unwrap();
        let before = proxy.metric("rolegate_tls_handshakes_total", &["resumed"]);
        for _ in 0..3 {
            proxy.secure_with(&connector).await.ask(&get("/")).await.is_from_server(200);
            assert_eq!(server.heard().pop().unwrap().field("x-arr-clientcert"), Some(&*base64(&own)));
        }
        assert_eq!(proxy.metric("rolegate_tls_handshakes_total", &["resumed"]), before + 2.0);
    }
}

#[tokio::test]
async fn nobody_speaks_of_certificates_in_trailers() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).start();
    let mut client = proxy.open().await;
    client
        .say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Client-Cert, X-Other\r\n\r\n")
        .await;
    client.say("1\r\nx\r\n0\r\nClient-Cert: :x:\r\nX-Other: y\r\n\r\n").await;
    client.response("POST").await.is_from_server(200);
    assert_eq!(server.only().trailers, [("x-other".to_owned(), "y".to_owned())]);
}

#[tokio::test]
async fn a_session_is_not_resumed_beyond_the_end_of_its_certificate() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.asks("required", "")).start();
    let (now, second) = (SystemTime::now(), Duration::from_secs(1));
    let short = pki.authority.issue(&Wanted::client("PC1").validity(now - 60 * second, now + 3 * second));
    let connector = pki.client().identity(&short).connector().unwrap();
    proxy.secure_with(&connector).await.ask(&get("/")).await.is_from_server(200);
    until("the certificate has ended", || SystemTime::now() > now + 5 * second).await;
    let mut client = proxy.secure_with(&connector).await;
    client.say(get("/")).await;
    assert!(client.response("GET").await.cut);
    proxy.until_refused("tls_client_certificate", 1).await;
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn who_has_none_is_told_so_but_for_exempt_paths() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.asks("required", "")).start();
    let own = pki.authority.client("PC1");
    for tls in [pki.client(), pki.client().only_1_2()] {
        let mut client = proxy.secure(&tls).await;
        for path in ["/", "/SMS_MP/.sms_aut?MPLIST", "/SMS_MP_AltAuthX/", "/x/SMS_MP_AltAuth/", "//SMS_MP_AltAuth/"] {
            let before = server.count();
            wants_a_certificate(&client.ask(&get(path)).await);
            assert_eq!(server.count(), before, "{path}");
            // The connection goes on, as it does with IIS.
            client.ask(&get("/SMS_MP_AltAuth/.sms_aut?MPLIST")).await.is_from_server(200);
        }
        for path in ["/sms_mp_altauth", "/CCM_STS/x", "/NOCERT_SMS_DP_SMSPKG$/PKG/sccm?/file%201.bin"] {
            client.ask(&get(path)).await.is_from_server(200);
        }
        let mut client = proxy.secure(&tls.identity(&own)).await;
        for path in ["/", "/SMS_MP/.sms_aut?MPLIST", "/SMS_MP_AltAuth/"] {
            client.ask(&get(path)).await.is_from_server(200);
        }
    }
    let denied = proxy.metric("rolegate_request_errors_total", &["http_request_denied"]);
    assert_eq!(denied, 10.0);
    assert_eq!(proxy.metric("rolegate_connection_errors_total", &[]), 0.0);
}

/// A site system takes `..` out of a path, so that what begins in an exempt folder ends elsewhere.
#[tokio::test]
async fn nobody_climbs_out_of_an_exempt_path() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&pki.asks("required", "")).start();
    let mut client = proxy.secure(&pki.client()).await;
    for path in [
        "/SMS_MP_AltAuth/../SMS_MP/.sms_aut?MPLIST",
        "/SMS_MP_AltAuth/./../SMS_MP/",
        "/SMS_MP_AltAuth/%2e%2e/SMS_MP/",
        "/SMS_MP_AltAuth/.%2E/SMS_MP/",
        "/SMS_MP_AltAuth/..%2fSMS_MP/",
        "/SMS_MP_AltAuth/..%5CSMS_MP/",
        "/SMS_MP_AltAuth/..\\SMS_MP/",
        "/SMS_MP_AltAuth/x/../../SMS_MP/",
        "/SMS_MP_AltAuth/%u002e%u002e/SMS_MP/",
        "/SMS_MP_AltAuth/..",
        "/SMS_MP_AltAuth/%2e/x",
    ] {
        let before = server.count();
        let answer = client.ask(&get(path)).await;
        answer.is_own(400, "http_request_error");
        assert_eq!(server.count(), before, "{path}");
    }
    for path in ["/SMS_MP_AltAuth/a..b/..c/d..", "/NOCERT_SMS_DP_SMSPKG$/P/sccm?/../x"] {
        client.ask(&get(path)).await.is_from_server(200);
    }
}

#[tokio::test]
async fn the_exempt_paths_can_be_others() {
    let (server, pki) = (echo().await, Pki::new());
    let lines = "client_certificate_exempt = [\"/open\"]";
    let proxy = Setup::new([server.address]).listener(&pki.asks("required", lines)).start();
    let mut client = proxy.secure(&pki.client()).await;
    client.ask(&get("/OPEN/x")).await.is_from_server(200);
    wants_a_certificate(&client.ask(&get("/SMS_MP_AltAuth/")).await);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_ends_the_handshake() {
    let (server, pki) = (echo().await, Pki::new());
    let (good, revoked) = (pki.authority.client("PC1"), pki.authority.client("PC2"));
    let list = pki.write("list.crl", &pki.authority.crl(&[&revoked]));
    let lines = format!("client_crl_files = [{list}]");
    for mode in ["optional", "required"] {
        let proxy = Setup::new([server.address]).listener(&pki.asks(mode, &lines)).start();
        let before = server.count();
        let bad = [
            ("revoked", revoked.clone()),
            ("expired", pki.authority.issue(&Wanted::client("PC3").expired())),
            ("another authority", Authority::new("Lab CA").client("PC4")),
            ("nobody", Identity::self_signed(&Wanted::client("PC5"))),
            ("a server's", pki.authority.server(&["pc6.lab.test"])),
        ];
        let mut count = 0;
        for (what, identity) in &bad {
            println!("{mode}: {what}");
            for tls in [pki.client(), pki.client().only_1_2()] {
                is_refused(&proxy, &tls.identity(identity)).await;
                count += 1;
                proxy.until_refused("tls_client_certificate", count).await;
            }
        }
        assert_eq!(server.count(), before);
        proxy.get_secured(&pki.client().identity(&good), "/").await.is_from_server(200);
        until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
    }
}

/// A client's lies about its certificate, in every spelling.
const LIES: &str = "Client-Cert: :bGll:\r\nCLIENT-CERT: :bGll:\r\nClient-Cert-Chain: :bGll:\r\nX-ARR-ClientCert: bGll\r\n\
                    x-arr-clientcert: bGll\r\n";

#[tokio::test]
async fn what_clients_say_about_a_certificate_never_reaches_a_server() {
    let (server, pki) = (echo().await, Pki::new());
    let own = pki.authority.client("PC1");
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.1.1.1\r\n{LIES}\r\n");
    let named =
        format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, client-cert, x-arr-clientcert\r\n{LIES}\r\n");
    let upload = format!("POST / HTTP/1.1\r\nHost: h\r\n{LIES}Content-Length: 2\r\n\r\nhi");
    for trusted in ["", "trusted_proxies = [\"127.0.0.0/8\"]"] {
        for forward in ["off", "client-cert", "x-arr-clientcert"] {
            for mode in ["plain", "none", "optional", "required"] {
                let lines = format!("forward_client_certificate = \"{forward}\"");
                let listener = match mode {
                    "plain" => String::new(),
                    "none" => pki.terminates(""),
                    asks => pki.asks(asks, &lines),
                };
                let proxy = Setup::new([server.address]).proxy(trusted).listener(&listener).start();
                for request in [&request, &named, &upload] {
                    let answer = match mode {
                        "plain" => proxy.ask(request).await,
                        _ => proxy.secure(&pki.client().identity(&own)).await.ask(request).await,
                    };
                    answer.is_from_server(200);
                    let heard = server.heard().pop().unwrap();
                    let expected = match (mode, forward) {
                        ("plain" | "none", _) | (_, "off") => Vec::new(),
                        (_, "client-cert") => vec![("client-cert", format!(":{}:", base64(&own)))],
                        (_, _) => vec![("x-arr-clientcert", base64(&own))],
                    };
                    for name in ["client-cert", "client-cert-chain", "x-arr-clientcert"] {
                        let expected: Vec<&str> =
                            expected.iter().filter(|(field, _)| *field == name).map(|(_, value)| &**value).collect();
                        assert_eq!(heard.all(name), expected, "{trusted} {mode} {forward} {request}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_role_may_want_more_or_less_than_its_listener() {
    let (server, pki) = (echo().await, Pki::new());
    let known = pki.client().identity(&pki.authority.client("PC1"));
    let stranger = pki.client();
    let other = format!(
        "[roles.other]\npreset = \"plain\"\npaths = [\"/other\"]\nprobe = {{ kind = \"none\" }}\n[[site_systems]]\n\
         name = \"other\"\naddress = \"{}\"\nroles = [{{ role = \"other\", port = {} }}]\n",
        server.address.ip(),
        server.address.port()
    );
    for (mode, rule) in [("optional", "required"), ("required", "none")] {
        let text = Setup::new([server.address])
            .listener(&pki.asks(mode, ""))
            .role(&format!("client_certificates = \"{rule}\""))
            .more(&other)
            .text()
            .replace("roles = [\"web\"]", "roles = [\"web\", \"other\"]");
        let proxy = Proxy::start(&text);
        for target in ["/x", "/other/x", "/SMS_MP_AltAuth/x"] {
            proxy.get_secured(&known, target).await.is_from_server(200);
        }
        let (refused, served) = if rule == "required" { ("/x", "/other/x") } else { ("/other/x", "/x") };
        wants_a_certificate(&proxy.get_secured(&stranger, refused).await);
        proxy.get_secured(&stranger, served).await.is_from_server(200);
        proxy.get_secured(&stranger, "/SMS_MP_AltAuth/x").await.is_from_server(200);
    }
}
