//! Certificates of listeners while the proxy runs: renewed files are served without anybody doing anything, bad ones are not,
//! and clients keep their sessions.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use control_support::proxy::{MPLIST, Toml, admin, http, management_point, reload, series, shutdown, source};
use control_support::{until, until_true};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rolegate::app::App;
use rolegate::control::certificates::refusal;
use rolegate::control::compile::Compiled;
use rolegate::control::config::Source;
use rolegate::control::director;
use rolegate::status::{CertificateStatus, ListenerStatus};
use rolegate_bench::client::{Connector, Tls};
use rolegate_bench::pki::{Authority, Identity, Wanted};
use rolegate_bench::site::SiteSystem;
use rustls::HandshakeKind;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpStream;

const NAME: &str = "mp1.lab.test";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority, a folder with what it issued, and a configuration that names it.
struct Lab {
    authority: Authority,
    folder: TempDir,
    site: SiteSystem,
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { authority: Authority::new("Lab CA"), folder, site: management_point("mp1").await }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self) -> Identity {
        self.authority.server(&[NAME])
    }

    fn expired(&self) -> Identity {
        self.authority.issue(&Wanted::server(&[NAME]).expired())
    }

    /// A listener with TLS and the certificate `mp1` of a folder, and more of its `[listeners.tls]`.
    fn toml_in(&self, folder: &Path, more: &str) -> Toml {
        let (certificate, key) = (folder.join("mp1.crt"), folder.join("mp1.key"));
        let tls =
            format!("[listeners.tls]\ncertificates = [{{ certificate = {certificate:?}, key = {key:?} }}]\n{more}");
        Toml::new(&["MP"])
            .set("roles = [\"MP\"]\n", &format!("roles = [\"MP\"]\n{tls}\n"))
            .site(&self.site, "MP")
            .role("MP", "probe = { kind = \"none\" }\n")
    }

    fn toml(&self) -> Toml {
        self.toml_in(self.folder.path(), "")
    }

    /// Starts from a file in the folder, and returns when it is watched.
    async fn start(&self, toml: &Toml) -> App {
        let path = self.path("rolegate.toml");
        std::fs::write(&path, &toml.0).unwrap();
        let app = App::start(&Source::read(&path).unwrap(), Some(path)).unwrap();
        assert_eq!(admin(&app, "/health").await.status, 200);
        app
    }

    /// Puts both files of an identity in place of those that are there.
    fn put(&self, identity: &Identity) {
        replace(&self.path("mp1.key"), &identity.key_pem);
        replace(&self.path("mp1.crt"), &identity.certificate_pem);
    }

    fn connector(&self) -> Connector {
        Tls::new().trusting(self.authority.certificate_pem()).sni(NAME).connector().unwrap()
    }
}

/// As tools that renew certificates do it: a new file takes the place of the old one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// A connection with TLS.
struct Client {
    sender: SendRequest<Empty<Bytes>>,
    shown: [u8; 32],
    kind: HandshakeKind,
}

impl Client {
    async fn connect(address: SocketAddr, connector: &Connector) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = connector.secure(stream, NAME, address.ip()).await.unwrap();
        let session = stream.get_ref().1;
        let shown = Sha256::digest(&session.peer_certificates().unwrap()[0]).into();
        let kind = session.handshake_kind().unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, shown, kind }
    }

    /// One request; with TLS 1.3 it brings the tickets too.
    async fn ask(&mut self) {
        self.sender.ready().await.unwrap();
        let request = Request::builder().uri(MPLIST).header("host", NAME).body(Empty::new()).unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    }
}

/// The certificate that a new connection is shown.
async fn shown(app: &App) -> [u8; 32] {
    Client::connect(http(app), &Tls::new().sni(NAME).connector().unwrap()).await.shown
}

async fn until_shown(app: &App, identity: &Identity) {
    until("the certificate", || async { (shown(app).await == identity.fingerprint()).then_some(()) }).await;
    until_true("no rejection stays", || app.status().reload.accepted).await;
}

/// The text of the next rejection that says this.
async fn rejection(app: &App, says: &str) -> String {
    let found = || std::future::ready(app.status().reload.errors.filter(|errors| errors.contains(says)));
    until("a rejection", found).await
}

fn listener(app: &App) -> ListenerStatus {
    app.status().listeners.remove(0)
}

fn certificate(app: &App) -> CertificateStatus {
    listener(app).certificates.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_and_old_connections_go_on() {
    let lab = Lab::new().await;
    let [one, two, three] = [lab.issue(), lab.issue(), lab.issue()];
    lab.put(&one);
    let app = lab.start(&lab.toml()).await;
    let mut old = Client::connect(http(&app), &lab.connector()).await;
    old.ask().await;
    assert_eq!(old.shown, one.fingerprint());

    lab.put(&two);
    until_shown(&app, &two).await;
    // Written over, as others do it.
    three.write(lab.folder.path(), "mp1").unwrap();
    until_shown(&app, &three).await;
    old.ask().await;
    let mut new = Client::connect(http(&app), &lab.connector()).await;
    new.ask().await;
    assert_eq!(new.shown, three.fingerprint());
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_written_again_with_the_same_content_change_nothing() {
    let lab = Lab::new().await;
    let [one, two] = [lab.issue(), lab.issue()];
    lab.put(&one);
    let app = lab.start(&lab.toml()).await;
    for _ in 0..3 {
        lab.put(&one);
    }
    // What is certain to be seen comes after it.
    lab.put(&two);
    until_shown(&app, &two).await;
    assert_eq!(app.status().generation, 2, "only the second pair is a change");
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_and_the_metrics_show_certificates() {
    let lab = Lab::new().await;
    let until = SystemTime::now() + 100 * DAY;
    let long = lab.authority.issue(&Wanted::server(&[NAME, "127.0.0.1"]).validity(SystemTime::now() - DAY, until));
    lab.put(&long);
    let app = lab.start(&lab.toml()).await;
    let shown = listener(&app);
    assert_eq!((shown.security.as_str(), shown.client_certificates.as_deref()), ("tls", Some("none")));
    assert_eq!(shown.address, http(&app).to_string());
    assert!(!shown.http2 && !shown.proxy_protocol);
    let shown = certificate(&app);
    assert_eq!(shown.names, [NAME, "127.0.0.1"]);
    assert_eq!(shown.file, lab.path("mp1.crt").display().to_string());
    assert!((99..=100).contains(&shown.days_left), "{shown:?}");
    let metric = format!("rolegate_tls_certificate_expiry_seconds{{listener=\"http\",certificate={NAME:?}}}");
    assert_eq!(series(&app.metrics(), &metric), Some(shown.not_after));
    assert!(admin(&app, "/status").await.text().contains("\"days_left\":"));

    let other = lab.authority.server(&["mp2.lab.test"]);
    lab.put(&other);
    until_shown(&app, &other).await;
    assert_eq!(series(&app.metrics(), &metric), None, "what is not served does not expire");
    let metric = metric.replace(NAME, "mp2.lab.test");
    assert_eq!(series(&app.metrics(), &metric), Some(certificate(&app).not_after));
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_does_not_take_the_place_of_a_valid_one() {
    let lab = Lab::new().await;
    let [one, two] = [lab.issue(), lab.issue()];
    lab.put(&one);
    let app = lab.start(&lab.toml()).await;
    lab.put(&lab.expired());
    // The key comes first, so that the pair may not match for a moment.
    let error = rejection(&app, "expired on").await;
    let file = lab.path("mp1.crt");
    for part in ["listener \"http\"", &format!("{file:?}"), "is good until", "put a renewed certificate"] {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
    assert!(admin(&app, "/status").await.text().contains("expired on"));
    assert_eq!(series(&app.metrics(), "rolegate_config_last_reload_success"), Some(0.0));
    assert_eq!(shown(&app).await, one.fingerprint());
    assert!(certificate(&app).days_left > 0, "what is served is shown");

    lab.put(&two);
    until_shown(&app, &two).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_is_replaced_in_two_steps_heals() {
    let lab = Lab::new().await;
    let [one, two] = [lab.issue(), lab.issue()];
    lab.put(&one);
    let app = lab.start(&lab.toml()).await;
    replace(&lab.path("mp1.crt"), &two.certificate_pem);
    rejection(&app, "is not the key of").await;
    assert_eq!(shown(&app).await, one.fingerprint());
    replace(&lab.path("mp1.key"), &two.key_pem);
    until_shown(&app, &two).await;

    // Or it is taken back.
    replace(&lab.path("mp1.crt"), &one.certificate_pem);
    rejection(&app, "is not the key of").await;
    replace(&lab.path("mp1.crt"), &two.certificate_pem);
    until_shown(&app, &two).await;
    // Or a file is gone for a while.
    std::fs::remove_file(lab.path("mp1.key")).unwrap();
    rejection(&app, "cannot be read").await;
    std::fs::write(lab.path("mp1.key"), &two.key_pem).unwrap();
    until_shown(&app, &two).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_rejected_text_names_are_watched() {
    let lab = Lab::new().await;
    let [one, two, three] = [lab.issue(), lab.issue(), lab.issue()];
    lab.put(&one);
    let app = lab.start(&lab.toml()).await;
    let elsewhere = lab.path("elsewhere").join("certificates");
    std::fs::write(lab.path("rolegate.toml"), lab.toml_in(&elsewhere, "").0).unwrap();
    rejection(&app, "cannot be read").await;
    std::fs::create_dir_all(&elsewhere).unwrap();
    two.write(&elsewhere, "mp1").unwrap();
    until_shown(&app, &two).await;
    three.write(&elsewhere, "mp1").unwrap();
    until_shown(&app, &three).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_brings_the_new_pair() {
    let lab = Lab::new().await;
    let pairs = [lab.issue(), lab.issue(), lab.issue()];
    // As Kubernetes lays out a secret.
    for (place, pair) in pairs.iter().enumerate() {
        let version = lab.path(&format!("..{place}"));
        std::fs::create_dir(&version).unwrap();
        pair.write(&version, "mp1").unwrap();
    }
    symlink("..0", lab.path("..data")).unwrap();
    for file in ["mp1.crt", "mp1.key"] {
        symlink(format!("..data/{file}"), lab.path(file)).unwrap();
    }
    let app = lab.start(&lab.toml()).await;
    assert_eq!(shown(&app).await, pairs[0].fingerprint());
    for (place, pair) in pairs.iter().enumerate().skip(1) {
        symlink(format!("..{place}"), lab.path("..data_tmp")).unwrap();
        std::fs::rename(lab.path("..data_tmp"), lab.path("..data")).unwrap();
        until_shown(&app, pair).await;
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_file_certificates_are_renewed_too() {
    let lab = Lab::new().await;
    let [one, two] = [lab.issue(), lab.issue()];
    lab.put(&one);
    let app = lab.toml().start();
    assert_eq!(shown(&app).await, one.fingerprint());
    lab.put(&two);
    until_shown(&app, &two).await;
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_only_warned_about_at_the_start() {
    let lab = Lab::new().await;
    let [one, two] = [lab.expired(), lab.expired()];
    lab.put(&one);
    let app = lab.start(&lab.toml()).await;
    assert_eq!(shown(&app).await, one.fingerprint());
    assert!(certificate(&app).days_left < 0);
    // What is served is no better.
    lab.put(&two);
    until_shown(&app, &two).await;
    let good = lab.issue();
    lab.put(&good);
    until_shown(&app, &good).await;
    shutdown(app).await;
}

fn compiled(text: &str) -> Compiled {
    director::read(&source(text), false).unwrap_or_else(|errors| panic!("{errors}")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_valid_yet_is_waited_for() {
    let lab = Lab::new().await;
    lab.put(&lab.issue());
    let served = compiled(&lab.toml().0);
    let now = SystemTime::now();
    let begins = now + 10 * DAY;
    lab.put(&lab.authority.issue(&Wanted::server(&[NAME]).validity(begins, begins + DAY)));
    let wanted = compiled(&lab.toml().0);
    let (text, held) = refusal(&served.site, &wanted.site, now).unwrap();
    assert!(text.contains("is not valid before") && text.contains("clock"), "{text}");
    let held = held.unwrap();
    assert!(!held.is_over(now + 9 * DAY) && held.is_over(begins));
    assert!(refusal(&served.site, &wanted.site, begins).is_none());
    let over = begins + 2 * DAY;
    let (text, held) = refusal(&served.site, &wanted.site, over).unwrap();
    assert!(text.contains("expired on") && held.is_none(), "time does not heal it: {text}");
    assert!(refusal(&served.site, &wanted.site, now + 40 * DAY).is_none(), "both are over");
    assert!(refusal(&served.site, &served.site, now).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_served_from_its_first_moment() {
    let lab = Lab::new().await;
    lab.put(&lab.issue());
    let app = lab.start(&lab.toml()).await;
    // Certificates count whole seconds.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let begins = UNIX_EPOCH + Duration::from_secs(now + 4);
    let soon = lab.authority.issue(&Wanted::server(&[NAME]).validity(begins, begins + 90 * DAY));
    lab.put(&soon);
    until_shown(&app, &soon).await;
    assert!(SystemTime::now() >= begins, "nobody is shown a certificate that is not valid yet");
    shutdown(app).await;
}

/// How the next connection of this client begins.
async fn kind(app: &App, connector: &Connector) -> HandshakeKind {
    let mut client = Client::connect(http(app), connector).await;
    client.ask().await;
    client.kind
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_across_a_reload_while_the_same_clients_are_trusted() {
    let lab = Lab::new().await;
    lab.put(&lab.issue());
    let ca = lab.authority.write(lab.folder.path(), "clients").unwrap();
    let toml =
        lab.toml_in(lab.folder.path(), &format!("client_certificates = \"optional\"\nclient_ca_file = {ca:?}\n"));
    let app = lab.start(&toml).await;
    let tls = Tls::new().trusting(lab.authority.certificate_pem()).sni(NAME).identity(&lab.authority.client("PC00001"));
    let clients = [tls.connector().unwrap(), tls.only_1_2().connector().unwrap()];
    for client in &clients {
        assert_eq!(kind(&app, client).await, HandshakeKind::Full);
        assert_eq!(kind(&app, client).await, HandshakeKind::Resumed);
    }
    reload(&app, &toml.clone().set("port = ", "weight = 7, port = ")).await.unwrap();
    for client in &clients {
        assert_eq!(kind(&app, client).await, HandshakeKind::Resumed);
    }
    // Another certificate of the listener is no reason either.
    let renewed = lab.issue();
    lab.put(&renewed);
    until_shown(&app, &renewed).await;
    for client in &clients {
        assert_eq!(kind(&app, client).await, HandshakeKind::Resumed);
    }
    // Whom the listener trusts is: one authority more.
    let generation = app.status().generation;
    let both = lab.authority.certificate_pem().to_owned() + Authority::new("Other CA").certificate_pem();
    replace(&ca, &both);
    until_true("the other authorities", || app.status().generation > generation).await;
    for client in &clients {
        assert_eq!(kind(&app, client).await, HandshakeKind::Full);
        assert_eq!(kind(&app, client).await, HandshakeKind::Resumed);
    }
    shutdown(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_tickets_resumes_nothing_after_a_reload() {
    let lab = Lab::new().await;
    lab.put(&lab.issue());
    let toml = lab.toml();
    let app = lab.start(&toml).await;
    let client = lab.connector();
    assert_eq!(kind(&app, &client).await, HandshakeKind::Full);
    let without = lab.toml_in(lab.folder.path(), "session_tickets = false\n");
    reload(&app, &without).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(&app, &client).await, HandshakeKind::Full);
    }
    reload(&app, &toml).await.unwrap();
    assert_eq!(kind(&app, &client).await, HandshakeKind::Full, "what is forgotten stays forgotten");
    assert_eq!(kind(&app, &client).await, HandshakeKind::Resumed);
    shutdown(app).await;
}
