//! Whom our own client certificate serves: clients that have shown one, and others only when the role says so.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::join_all;
use rolegate::control::config::Source;
use rolegate_bench::client::Tls;
use rolegate_bench::pki::Identity;
use rolegate_bench::site::{self, ClientCertificate, Role, SiteSystem, Spec};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use support::{Message, Pki, Proxy, Setup, TlsWire, Wire, get, ok, until, within};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const MPLIST: &str = "/SMS_MP/.sms_aut?MPLIST";
/// A site system lets clients without a certificate in here.
const EXEMPT: &str = "/SMS_MP_AltAuth/.sms_aut?MPLIST";
const NAMES: [&str; 2] = ["mp1.lab.test", "127.0.0.1"];
/// The same role without TLS of clients.
const PLAIN: &str = "[[listeners]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\nroles = [\"web\"]\n";

/// An authority, our certificate, and a client's.
struct Lab {
    pki: Pki,
    ours: Identity,
    client: Identity,
}

impl Lab {
    fn new() -> Self {
        let pki = Pki::new();
        let (ours, client) = (pki.authority.client("PROXY"), pki.authority.client("PC1"));
        Self { pki, ours, client }
    }

    /// A site system that answers 403 to who has no certificate, but on the exempt paths.
    async fn site(&self, http2: bool) -> SiteSystem {
        let ca = self.pki.authority.certificate_pem().to_owned();
        let tls = site::Tls::new(self.pki.authority.server(&NAMES)).clients(ClientCertificate::Required(ca));
        SiteSystem::start(Spec::management_point("mp1.lab.test").tls(tls.http2(http2))).await.unwrap()
    }

    /// A listener `http` that asks for certificates like this, one without TLS, and our certificate.
    fn setup(&self, site: &SiteSystem, mode: &str, role: &str) -> Setup {
        self.setup_of([site.address()], mode, role)
    }

    fn setup_of(&self, servers: impl IntoIterator<Item = SocketAddr>, mode: &str, role: &str) -> Setup {
        let tls = format!("[tls]\nca_file = {}\n{}{PLAIN}", self.pki.path("ca.crt"), self.pki.own("ours", &self.ours));
        let listener = self.pki.asks(mode, "");
        Setup::new(servers).listener(&listener).role(&format!("tls = true\n{role}")).more(&tls)
    }

    /// A client that shows its certificate.
    fn known(&self) -> Tls {
        self.pki.client().identity(&self.client)
    }
}

async fn stranger(proxy: &Proxy, target: &str) -> Message {
    Wire::connect(proxy.at("plain")).await.ask(&get(target)).await
}

/// Whether the last request came with our certificate, or without any.
fn came_with_ours(site: &SiteSystem, lab: &Lab) -> bool {
    let shown = site.counters().seen().pop().unwrap().tls.unwrap().client_certificate;
    assert!(shown.is_none_or(|shown| shown == lab.ours.fingerprint()));
    shown.is_some()
}

#[tokio::test]
async fn only_clients_with_a_certificate_are_served_with_ours() {
    for http2 in [false, true] {
        let lab = Lab::new();
        let site = lab.site(http2).await;
        for mode in ["optional", "required"] {
            let proxy = lab.setup(&site, mode, &format!("http2 = {http2}")).start();
            for _ in 0..2 {
                proxy.get_secured(&lab.known(), MPLIST).await.is_from_server(200);
                assert!(came_with_ours(&site, &lab));
                stranger(&proxy, MPLIST).await.is_from_server(403);
                assert!(!came_with_ours(&site, &lab), "a stranger on a listener without TLS");
                assert_eq!(stranger(&proxy, EXEMPT).await.status(), 200);
                assert!(!came_with_ours(&site, &lab));
                assert_eq!(proxy.get_secured(&lab.pki.client(), EXEMPT).await.status(), 200);
                assert!(!came_with_ours(&site, &lab), "a client without one on an exempt path");
                proxy.get_secured(&lab.known(), EXEMPT).await.is_from_server(200);
                assert!(came_with_ours(&site, &lab), "one that has a certificate shows it there too");
            }
            let without = proxy.get_secured(&lab.pki.client(), MPLIST).await;
            if mode == "optional" { without.is_from_server(403) } else { without.is_own(403, "http_request_denied") }
        }
    }
}

#[tokio::test]
async fn a_role_that_lends_it_lends_it_to_all() {
    let lab = Lab::new();
    let site = lab.site(false).await;
    let proxy = lab.setup(&site, "optional", "lend_certificate = true").start();
    proxy.get_secured(&lab.known(), MPLIST).await.is_from_server(200);
    for _ in 0..2 {
        stranger(&proxy, MPLIST).await.is_from_server(200);
        assert!(came_with_ours(&site, &lab));
        proxy.get_secured(&lab.pki.client(), MPLIST).await.is_from_server(200);
        assert!(came_with_ours(&site, &lab));
    }
    assert_eq!(site.counters().connections(), 1, "there is one kind of connections");
    let strict = Source { name: "test.toml".to_owned(), text: lab.setup(&site, "optional", "").text() };
    proxy.app().reload_async(strict).await.unwrap();
    stranger(&proxy, MPLIST).await.is_from_server(403);
    proxy.get_secured(&lab.known(), MPLIST).await.is_from_server(200);
}

/// Both kinds of clients, each on a connection that it keeps.
async fn both(proxy: &Proxy, lab: &Lab) -> (TlsWire, Wire) {
    (proxy.secure(&lab.known()).await, Wire::connect(proxy.at("plain")).await)
}

#[tokio::test]
async fn kept_connections_are_never_those_of_the_other_kind() {
    for http2 in [false, true] {
        let lab = Lab::new();
        let site = lab.site(http2).await;
        let proxy = lab.setup(&site, "required", &format!("http2 = {http2}")).start();
        let (mut known, mut unknown) = both(&proxy, &lab).await;
        for _ in 0..20 {
            known.ask(&get(MPLIST)).await.is_from_server(200);
            assert!(came_with_ours(&site, &lab));
            unknown.ask(&get(MPLIST)).await.is_from_server(403);
            assert!(!came_with_ours(&site, &lab));
        }
        let shown =
            || site.counters().handshakes().into_iter().filter(|seen| seen.client_certificate.is_some()).count();
        assert_eq!((site.counters().connections(), shown()), (2, 1), "each kind keeps its own");

        let rounds = (0..8).map(|_| async {
            let (mut known, mut unknown) = both(&proxy, &lab).await;
            for _ in 0..10 {
                let (yes, no) = (get(MPLIST), get(MPLIST));
                let (yes, no) = tokio::join!(known.ask(&yes), unknown.ask(&no));
                yes.is_from_server(200);
                no.is_from_server(403);
            }
        });
        within("all answers", join_all(rounds)).await;
        let with = site
            .counters()
            .seen()
            .iter()
            .filter(|seen| seen.tls.as_ref().unwrap().client_certificate.is_some())
            .count();
        assert_eq!((with, site.counters().requests()), (20 + 80, 2 * (20 + 80)));
        if http2 {
            assert_eq!(site.counters().connections(), 2, "many requests share one of each kind");
        }
    }
}

#[tokio::test]
async fn sessions_that_are_resumed_do_not_cross_either() {
    let lab = Lab::new();
    let site = lab.site(false).await;
    for version in ["1.2", "1.3"] {
        let setup = lab.setup(&site, "required", "").proxy("max_idle_per_endpoint = 0");
        let text = setup.text().replace("[tls]\n", &format!("[tls]\nmax_version = \"{version}\"\n"));
        let proxy = Proxy::start(&text);
        let (mut known, mut unknown) = both(&proxy, &lab).await;
        let before = site.counters().connections();
        for _ in 0..5 {
            known.ask(&get(MPLIST)).await.is_from_server(200);
            unknown.ask(&get(MPLIST)).await.is_from_server(403);
        }
        assert_eq!(site.counters().connections(), before + 10, "none was kept");
    }
}

/// Ends the handshake of whoever shows no certificate, and answers the others.
async fn strict(lab: &Lab) -> SocketAddr {
    let identity = lab.pki.authority.server(&NAMES);
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(der(lab.pki.authority.certificate_pem())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let chain = vec![der(&identity.certificate_pem)];
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(async move {
                let mut wire = Wire::over(stream);
                while wire.head().await.is_some() {
                    wire.say(ok("known")).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn strangers_take_no_server_out_that_wants_a_certificate_in_the_handshake() {
    let lab = Lab::new();
    let servers = [strict(&lab).await, strict(&lab).await];
    for version in ["1.2", "1.3"] {
        let role = "retry = { attempts = 0 }\npassive = { consecutive_failures = 3, eject_time = \"5m\" }";
        let text = lab.setup_of(servers, "required", role).text();
        let text = text.replace("[tls]\n", &format!("[tls]\nmax_version = \"{version}\"\n"));
        let proxy = Proxy::start(&text);
        for _ in 0..20 {
            assert_eq!(stranger(&proxy, "/").await.status(), 502);
        }
        assert!(proxy.metric("rolegate_endpoint_failures_total", &[]) >= 1.0, "they are counted");
        // The one who decides about it has looked by then.
        proxy.app().reload_async(Source { name: "test.toml".to_owned(), text }).await.unwrap();
        assert!(proxy.endpoints().iter().all(|endpoint| endpoint.available), "{:?}", proxy.endpoints());
        for _ in 0..4 {
            proxy.get_secured(&lab.known(), "/").await.is_from_server(200);
        }
    }
}

#[tokio::test]
async fn a_tcp_role_tells_its_clients_apart_too() {
    let lab = Lab::new();
    let tls = site::Tls::new(lab.pki.authority.server(&NAMES)).clients(ClientCertificate::Optional);
    let spec = Spec::new("mp1.lab.test").role(Role::ClientNotification).notification_tls(tls);
    let site = SiteSystem::start(spec).await.unwrap();
    let own = lab.pki.own("ours", &lab.ours);
    let tcp = "preset = \"client-notification\"\ntls = true\n";
    for (listener, shows, role, expected) in [
        ("", false, "", false),
        ("", false, "lend_certificate = true", true),
        ("optional", false, "", false),
        ("optional", true, "", true),
        ("required", true, "", true),
    ] {
        let before = site.counters().handshakes().len();
        let tls = format!("[tls]\nca_file = {}\n{own}", lab.pki.path("ca.crt"));
        let terminates = if listener.is_empty() { String::new() } else { lab.pki.asks(listener, "") };
        let setup = Setup::new([site.address()]).listener(&terminates).role(&format!("{tcp}{role}")).more(&tls);
        let proxy = setup.start();
        let handshakes = || site.counters().handshakes();
        let client = if shows { lab.known() } else { lab.pki.client() };
        let (mut plain, mut secured) = (None, None);
        match listener {
            "" => plain = Some(proxy.open().await),
            _ => secured = Some(proxy.secure(&client).await),
        }
        until("the server has been reached", || handshakes().len() > before).await;
        let shown = handshakes().pop().unwrap().client_certificate;
        assert_eq!(shown, expected.then(|| lab.ours.fingerprint()), "{listener:?} {shows} {role:?}");
        drop((plain.take(), secured.take()));
    }
}
