//! TLS to site systems: whom the proxy believes, what it shows, and HTTP/2 where both want it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::join_all;
use http::Version;
use rolegate::control::config::Source;
use rolegate_bench::client::Client;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::pki::{Authority, Identity, Wanted};
use rolegate_bench::site::{self, ClientCertificate, Seen, SiteSystem, Spec};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use support::{Message, Pki, Proxy, Setup, Wire, get, until, within};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const MPLIST: &str = "/SMS_MP/.sms_aut?MPLIST";
const NAMES: [&str; 2] = ["mp1.lab.test", "127.0.0.1"];

async fn site(tls: site::Tls) -> SiteSystem {
    SiteSystem::start(Spec::management_point("mp1.lab.test").tls(tls)).await.unwrap()
}

fn to(sites: &[&SiteSystem], pki: &Pki, tls: &str) -> Setup {
    let more = format!("[tls]\nca_file = {}\n{tls}", pki.path("ca.crt"));
    Setup::new(sites.iter().map(|site| site.address())).role("tls = true").more(&more)
}

fn last(site: &SiteSystem) -> Seen {
    site.counters().seen().pop().unwrap()
}

fn is_fine(answer: &Message) {
    assert_eq!((answer.status(), answer.field("x-site-system")), (200, Some("mp1.lab.test")), "{answer:?}");
}

#[tokio::test]
async fn a_site_system_is_verified_and_its_connections_are_kept() {
    let pki = Pki::new();
    let site = site(site::Tls::new(pki.authority.server(&NAMES))).await;
    for (lines, version) in [("", "TLSv1_3"), ("max_version = \"1.2\"", "TLSv1_2")] {
        let proxy = to(&[&site], &pki, lines).start();
        let before = site.counters().handshakes().len();
        for _ in 0..10 {
            is_fine(&proxy.get(MPLIST).await);
        }
        let seen = last(&site);
        let tls = seen.tls.unwrap();
        assert_eq!(
            (tls.version.as_str(), tls.alpn.as_deref(), tls.client_certificate),
            (version, Some("http/1.1"), None)
        );
        assert_eq!(site.counters().handshakes().len(), before + 1);
        let told = seen.headers.iter().find(|(name, _)| name == "x-forwarded-proto").unwrap();
        assert_eq!(told.1, "http", "it tells of the client's side");
    }
}

#[tokio::test]
async fn one_that_cannot_be_verified_gets_no_request() {
    let pki = Pki::new();
    let bad = [
        ("of another authority", Authority::new("Lab CA").server(&NAMES)),
        ("of nobody", Identity::self_signed(&Wanted::server(&NAMES))),
        ("for another name", pki.authority.server(&["mp1.lab.test"])),
        ("expired", pki.authority.issue(&Wanted::server(&NAMES).expired())),
        ("a client's", pki.authority.client("PC1")),
    ];
    for (what, identity) in bad {
        println!("{what}");
        let site = site(site::Tls::new(identity)).await;
        let proxy = to(&[&site], &pki, "").start();
        proxy.get(MPLIST).await.is_own(502, "tls_certificate_error");
        assert_eq!(site.counters().requests(), 0);
        assert_eq!(proxy.metric("rolegate_endpoint_failures_total", &["tls_certificate_error"]), 1.0);
        let trusting = to(&[&site], &pki, "").system("insecure = true").start();
        is_fine(&trusting.get(MPLIST).await);
    }
}

#[tokio::test]
async fn a_connection_made_under_other_rules_is_not_used_after_a_reload() {
    let pki = Pki::new();
    let site = site(site::Tls::new(Identity::self_signed(&Wanted::server(&NAMES)))).await;
    let proxy = to(&[&site], &pki, "").system("insecure = true").start();
    is_fine(&proxy.get(MPLIST).await);
    let strict = Source { name: "test.toml".to_owned(), text: to(&[&site], &pki, "").text() };
    proxy.app().reload_async(strict).await.unwrap();
    proxy.get(MPLIST).await.is_own(502, "tls_certificate_error");
    assert_eq!(site.counters().requests(), 1);
}

#[tokio::test]
async fn the_name_to_verify_can_be_another_than_the_address() {
    let pki = Pki::new();
    let site = site(site::Tls::new(pki.authority.server(&["mp1.lab.test"]))).await;
    let named = to(&[&site], &pki, "").system("server_name = \"mp1.lab.test\"").start();
    is_fine(&named.get(MPLIST).await);
    assert_eq!(last(&site).tls.unwrap().sni.as_deref(), Some("mp1.lab.test"));
    let wrong = to(&[&site], &pki, "").system("server_name = \"mp2.lab.test\"").start();
    wrong.get(MPLIST).await.is_own(502, "tls_certificate_error");
}

#[tokio::test]
async fn an_authority_of_its_own_counts_for_one_site_system() {
    let (pki, other) = (Pki::new(), Pki::new());
    let site = site(site::Tls::new(other.authority.server(&NAMES))).await;
    let own = format!("ca_file = {}", other.path("ca.crt"));
    is_fine(&to(&[&site], &pki, "").system(&own).start().get(MPLIST).await);
}

#[tokio::test]
async fn a_message_goes_to_the_server_that_can_be_verified() {
    let pki = Pki::new();
    let bad = site(site::Tls::new(Authority::new("Lab CA").server(&NAMES))).await;
    let good = site(site::Tls::new(pki.authority.server(&NAMES))).await;
    let proxy = to(&[&bad, &good], &pki, "").role("tls = true\nbalance = \"random\"").start();
    let failed = || proxy.metric("rolegate_endpoint_failures_total", &["tls_certificate_error"]);
    let upload = "POST /SMS_MP/.sms_aut?MPLIST HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    for round in 0..100 {
        let answer = proxy.ask(upload).await;
        assert_eq!(answer.field("proxy-status"), None, "{answer:?}");
        if failed() > 0.0 {
            break;
        }
        assert!(round < 99, "the bad one was never tried");
    }
    assert_eq!(bad.counters().requests(), 0);
}

#[tokio::test]
async fn a_server_without_tls_is_no_bad_certificate() {
    let pki = Pki::new();
    let site = SiteSystem::start(Spec::management_point("mp1.lab.test")).await.unwrap();
    let proxy = to(&[&site], &pki, "").start();
    proxy.get("/").await.is_own(502, "tls_protocol_error");
    assert_eq!(site.counters().requests(), 0);
}

#[tokio::test]
async fn site_systems_see_our_own_certificate() {
    let pki = Pki::new();
    let ca = pki.authority.certificate_pem().to_owned();
    let tls = site::Tls::new(pki.authority.server(&NAMES)).clients(ClientCertificate::Required(ca));
    let site = site(tls).await;
    let (shared, own) = (pki.authority.client("PROXY"), pki.authority.client("PROXY-FOR-MP1"));
    let (shared_files, own_files) = (pki.own("shared", &shared), pki.own("own", &own));
    let none = to(&[&site], &pki, "").start().get(MPLIST).await;
    none.is_from_server(403);
    let lends = "tls = true\nlend_certificate = true";
    for (setup, identity) in [
        (to(&[&site], &pki, &shared_files), &shared),
        (to(&[&site], &pki, &shared_files).system(&own_files), &own),
        (to(&[&site], &pki, "").system(&own_files), &own),
    ] {
        let proxy = setup.role(lends).start();
        for _ in 0..2 {
            is_fine(&proxy.get(MPLIST).await);
            assert_eq!(last(&site).tls.unwrap().client_certificate, Some(identity.fingerprint()));
        }
    }
    let stranger = Authority::new("Lab CA").client("PROXY");
    to(&[&site], &pki, &pki.own("stranger", &stranger)).role(lends).start().get(MPLIST).await.is_from_server(403);
}

#[tokio::test]
async fn probes_go_the_same_way() {
    let pki = Pki::new();
    let ca = pki.authority.certificate_pem().to_owned();
    let tls = site::Tls::new(pki.authority.server(&NAMES)).clients(ClientCertificate::Required(ca));
    let site = site(tls).await;
    let own = pki.authority.client("PROXY");
    let role = format!(
        "tls = true\nprobe = {{ kind = \"http\", target = \"{MPLIST}\", status = [200], interval = \"100ms\", \
         fast_interval = \"50ms\", down_interval = \"50ms\", timeout = \"5s\", rise = 1, fall = 1 }}"
    );
    let passed = |proxy: &Proxy| proxy.endpoints()[0].probes.0;
    let proxy = to(&[&site], &pki, &pki.own("own", &own)).role(&role).start();
    until("probes pass", || passed(&proxy) >= 2).await;
    assert_eq!(last(&site).tls.unwrap().client_certificate, Some(own.fingerprint()));
    drop(proxy);
    let proxy = to(&[&site], &pki, "").role(&role).start();
    until("probes without it are refused", || proxy.endpoints().iter().all(|endpoint| !endpoint.available)).await;
    assert_eq!(passed(&proxy), 0);
}

#[tokio::test]
async fn a_shared_connection_that_does_not_answer_is_left_alone() {
    let pki = Pki::new();
    let site = site(site::Tls::new(pki.authority.server(&NAMES)).http2(true)).await;
    let role = "tls = true\nhttp2 = true\nretry = { attempts = 0 }\ntimeouts = { response_header = \"300ms\" }";
    let proxy = to(&[&site], &pki, "").role(role).start();
    is_fine(&proxy.get(MPLIST).await);
    is_fine(&proxy.get(MPLIST).await);
    assert_eq!(site.counters().connections(), 1);
    site.faults().set_stall_head(true);
    assert_eq!(proxy.get(MPLIST).await.status(), 504);
    site.faults().set_stall_head(false);
    is_fine(&proxy.get(MPLIST).await);
    assert_eq!(site.counters().connections(), 2);
}

#[tokio::test]
async fn many_requests_share_a_connection_over_http2() {
    let pki = Pki::new();
    let site = site(site::Tls::new(pki.authority.server(&NAMES)).http2(true)).await;
    let proxy = to(&[&site], &pki, "").role("tls = true\nhttp2 = true").start();
    is_fine(&proxy.get(MPLIST).await);
    let all = join_all((0..80).map(|_| proxy.get(MPLIST)));
    within("all answers", all).await.iter().for_each(is_fine);
    assert_eq!(site.counters().connections(), 1);
    for seen in site.counters().seen() {
        assert_eq!((seen.version, seen.tls.unwrap().alpn.as_deref()), (Version::HTTP_2, Some("h2")));
        assert_eq!(seen.headers.iter().filter(|(name, _)| name == "host").count(), 0);
        assert!(seen.headers.iter().any(|(name, value)| name == "x-forwarded-host" && value == "lab.test"));
    }
    proxy.until_idle().await;
    // It is found out that a connection is gone, and another one is made.
    site.kill();
    proxy.get(MPLIST).await.is_own(502, "connection_refused");
    site.restart().await.unwrap();
    is_fine(&proxy.get(MPLIST).await);
}

#[tokio::test]
async fn large_bodies_go_both_ways_over_http2() {
    let pki = Pki::new();
    let content = Arc::new(Content::new([Package::parse("PKG00001:1x3MiB").unwrap()]));
    let tls = site::Tls::new(pki.authority.server(&NAMES)).http2(true);
    let spec = Spec::distribution_point("mp1.lab.test", &content).role(site::Role::ManagementPoint).tls(tls);
    let site = SiteSystem::start(spec).await.unwrap();
    let proxy = to(&[&site], &pki, "").role("tls = true\nhttp2 = true").threads(2).start();
    let file = "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin";
    let connector = pki.client().connector().unwrap();
    let direct = support::pki::secure(Wire::connect(site.address()).await, &connector);
    let expected = direct.await.unwrap().ask(&get(file)).await.body;
    assert_eq!(expected.len(), 3 << 20);
    let bodies = join_all((0..8).map(|_| proxy.get(file)));
    for answer in within("all answers", bodies).await {
        answer.is_from_server(200);
        assert!(answer.body == expected, "{} bytes", answer.body.len());
    }
    let body = vec![b'u'; 2 << 20];
    let head = format!("CCM_POST /ccm_system/request HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = proxy.open().await;
    client.say([head.as_bytes(), &body].concat()).await;
    assert!(client.response("CCM_POST").await.field("proxy-status").is_none());
    let seen = last(&site);
    assert_eq!((seen.body_bytes, seen.version), (body.len() as u64, Version::HTTP_2));
    assert_eq!(seen.body_sha256, Some(Sha256::digest(&body).into()));
}

#[tokio::test]
async fn one_that_does_not_know_http2_is_asked_as_ever() {
    let pki = Pki::new();
    let site = site(site::Tls::new(pki.authority.server(&NAMES)).http2(false)).await;
    let proxy = to(&[&site], &pki, "").role("tls = true\nhttp2 = true").start();
    for _ in 0..5 {
        is_fine(&proxy.get(MPLIST).await);
    }
    let seen = last(&site);
    assert_eq!((seen.version, seen.tls.unwrap().alpn.as_deref()), (Version::HTTP_11, Some("http/1.1")));
    assert_eq!(site.counters().connections(), 1);
}

#[tokio::test]
async fn windows_authentication_never_goes_over_http2() {
    let pki = Pki::new();
    let site = site(site::Tls::new(pki.authority.server(&NAMES)).http2(true)).await;
    let proxy = to(&[&site], &pki, "").role("tls = true\nhttp2 = true").start();
    is_fine(&proxy.get(MPLIST).await);
    for seed in 0..4 {
        let mut client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.at("http"), "mp1.lab.test", seed);
        client.windows_auth("/SMS_MP_WindowsAuth/.sms_aut?MPLIST").await.unwrap();
    }
    let seen = site.counters().seen();
    assert!(seen.iter().any(|seen| seen.user.is_some()));
    for seen in seen {
        let authorized = seen.header("authorization").is_some() || seen.user.is_some();
        assert!(!authorized || seen.version == Version::HTTP_11, "{seen:?}");
    }
    let anonymous = proxy.get("/SMS_MP_WindowsAuth/.sms_aut?MPLIST").await;
    assert_eq!(anonymous.status(), 401);
}

/// A server that prefers HTTP/2, and agrees to one upgrade over whatever is agreed on.
async fn switching(pki: &Pki) -> SocketAddr {
    let identity = pki.authority.server(&NAMES);
    let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let agreed = String::from_utf8_lossy(stream.get_ref().1.alpn_protocol().unwrap()).into_owned();
            let mut wire = Wire::over(stream);
            if wire.head().await.is_none() {
                continue;
            }
            wire.say(format!("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n{agreed}\r\n")).await;
            let line = wire.line().await.unwrap_or_default();
            wire.say(format!("{line}\r\n")).await;
            wire.end().await;
        }
    });
    address
}

#[tokio::test]
async fn an_upgrade_goes_over_http_1_1() {
    let pki = Pki::new();
    let more = format!("[tls]\nca_file = {}", pki.path("ca.crt"));
    let setup = Setup::new([switching(&pki).await]).role("tls = true\nhttp2 = true\nupgrades = [\"x\"]").more(&more);
    let proxy = setup.start();
    for _ in 0..3 {
        let mut client = proxy.open().await;
        let asks = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        assert_eq!(client.ask(asks).await.status(), 101);
        assert_eq!(client.line().await.unwrap(), "http/1.1");
        client.say("echo\r\n").await;
        assert_eq!(client.line().await.unwrap(), "echo");
        client.ends().await;
        client.end().await;
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn a_logon_ends_when_its_server_is_not_trusted_any_more() {
    let pki = Pki::new();
    let tls = site::Tls::new(pki.authority.server(&NAMES));
    let site = SiteSystem::start(Spec::management_point("mp1.lab.test").tls(tls)).await.unwrap();
    let setup = to(&[&site], &pki, "");
    let path = "/SMS_MP_WindowsAuth/.sms_aut?MPLIST";
    let proxy = setup.start();
    let mut client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.at("http"), "mp1.lab.test", 1);
    client.windows_auth(path).await.unwrap();
    until("it has a connection of its own", || proxy.metric("rolegate_pins", &[]) == 1.0).await;
    let reload = async |text: String| {
        proxy.app().reload_async(Source { name: "test.toml".to_owned(), text }).await.unwrap();
    };
    let asks = async |client: &mut Client| {
        let answer = client.request(http::Method::GET, path, bytes::Bytes::new()).await.unwrap();
        answer.status.as_u16()
    };
    // The same files again.
    reload(setup.clone().proxy("max_idle_per_endpoint = 7").text()).await;
    assert_eq!(asks(&mut client).await, 200);
    let other = pki.write("ca.crt", Authority::new("Lab CA").certificate_pem());
    assert_eq!(other, pki.path("ca.crt"));
    reload(setup.text()).await;
    assert_eq!(asks(&mut client).await, 502);
    assert_eq!(proxy.metric("rolegate_pins_ended_total", &["by=\"failure\""]), 1.0);
}
