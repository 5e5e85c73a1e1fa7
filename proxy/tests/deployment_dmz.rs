//! The deployment `dmz` in `examples/deployments`, played with certificates: from the file itself, with only addresses, ports and
//! the paths of certificates replaced.
#![allow(clippy::unwrap_used, missing_docs)]

mod deployment_support;
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use deployment_support::{Certificates, configuration};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rolegate_bench::client::{Answer, Client, Report, Scan, Tls};
use rolegate_bench::content::{Content, ContentFile, Package};
use rolegate_bench::pki::{Authority, Identity, Wanted};
use rolegate_bench::site::{self, ClientCertificate, Role, Seen, SiteSystem, Spec};
use support::Proxy;
use toml::{Table, Value};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MPLIST: &str = "/SMS_MP/.sms_aut?MPLIST";
/// As `client_certificate_exempt` stands in the file.
const EXEMPT: &str = "client_certificate_exempt = []";
const QUESTION: &str = "MPLIST1&P01";

/// The file's site systems, simulated, and a proxy in front of them.
struct Stage {
    certificates: Certificates,
    systems: Vec<(String, SiteSystem)>,
    content: Arc<Content>,
    proxy: Proxy,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|text| text).await
    }

    /// With the text of the file changed first.
    async fn with(change: impl FnOnce(String) -> String) -> Self {
        let certificates = Certificates::new();
        let text = change(configuration("dmz", certificates.path()));
        let files = [("setup.cab", 200_000), ("a.msi", 5000)];
        let content = Arc::new(Content::new([Package::new("P0100012", files)]));
        let mut file: Table = text.parse().unwrap();
        let mut systems = Vec::new();
        for system in tables(&mut file, "site_systems") {
            systems.push(simulate(system, &certificates, &content).await);
        }
        for listener in tables(&mut file, "listeners") {
            put(listener, "address", "127.0.0.1:0");
        }
        file.insert("admin".to_owned(), Value::Table(Table::from_iter([pair("address", "127.0.0.1:0")])));
        let log = certificates.path().join("access.log");
        put(file["access_log"].as_table_mut().unwrap(), "path", log.to_str().unwrap());
        let proxy = Proxy::start(&toml::to_string(&file).unwrap());
        Self { certificates, systems, content, proxy }
    }

    /// A client on the internet that asks for this host, and shows this certificate.
    fn client(&self, host: &str, shows: Option<&Identity>) -> Client {
        self.client_at("internet", host, shows)
    }

    fn client_at(&self, listener: &str, host: &str, shows: Option<&Identity>) -> Client {
        let tls = Tls::new().trusting(self.certificates.authority.certificate_pem());
        let tls = shows.iter().fold(tls, |tls, identity| tls.identity(identity));
        Client::new(LOCAL, self.proxy.at(listener), host, 7).with_tls(&tls).unwrap()
    }

    /// A client of the site.
    fn known(&self) -> Identity {
        self.certificates.authority.client("PC00001")
    }

    /// What clients have asked the site systems whose names begin so: all but probes and surveys.
    fn asked(&self, prefix: &str) -> Vec<Seen> {
        let systems = self.systems.iter().filter(|(name, _)| name.starts_with(prefix));
        let seen = systems.flat_map(|(_, system)| system.counters().seen());
        seen.filter(|seen| seen.header("x-forwarded-for").is_some()).collect()
    }

    /// Whether a request has come with our certificate, or without any.
    fn came_with_ours(&self, seen: &Seen) -> bool {
        let shown = seen.tls.as_ref().unwrap().client_certificate;
        assert!(shown.is_none_or(|shown| shown == self.certificates.ours.fingerprint()), "{seen:?}");
        shown.is_some()
    }
}

fn tables<'a>(file: &'a mut Table, name: &str) -> impl Iterator<Item = &'a mut Table> {
    file[name].as_array_mut().unwrap().iter_mut().map(|value| value.as_table_mut().unwrap())
}

fn put(table: &mut Table, key: &str, value: &str) {
    let (key, value) = pair(key, value);
    table.insert(key, value);
}

fn pair(key: &str, value: &str) -> (String, Value) {
    (key.to_owned(), Value::String(value.to_owned()))
}

/// Starts a site system of the file, and writes its address and port there.
async fn simulate(system: &mut Table, all: &Certificates, content: &Arc<Content>) -> (String, SiteSystem) {
    let name = system["name"].as_str().unwrap().to_owned();
    let [role] = &system["roles"].as_array().unwrap()[..] else { panic!("{name} has several roles") };
    let written = role.as_str().unwrap().to_owned();
    let role: Role = written.parse().unwrap();
    let asks = match written.as_str() {
        "MP" | "DP" => Some(ClientCertificate::Required(all.authority.certificate_pem().to_owned())),
        // One that is shown is to be seen.
        "SUP" => Some(ClientCertificate::Optional),
        _ => None,
    };
    let spec = Spec::new(&name).role(role).content(content);
    let spec = match asks {
        Some(clients) => spec.tls(site::Tls::new(all.authority.server(&[&name])).clients(clients)),
        None => spec,
    };
    let running = SiteSystem::start(spec).await.unwrap();
    put(system, "address", &running.address().ip().to_string());
    let port = Value::Integer(running.address().port().into());
    let held = Table::from_iter([pair("role", &written), ("port".to_owned(), port)]);
    system.insert("roles".to_owned(), Value::Array(vec![Value::Table(held)]));
    (name, running)
}

async fn get(client: &mut Client, target: &str) -> Answer {
    client.request(Method::GET, target, Bytes::new()).await.unwrap()
}

#[tokio::test]
async fn a_client_of_the_site_is_served_with_our_certificate() {
    let stage = Stage::new().await;
    let known = stage.known();
    let mut client = stage.client("mp1.contoso.net", Some(&known));
    // CCM_POST, .sms_aut, .sms_pol and BITS_POST.
    let mut step = client.registration().await.unwrap();
    step.merge(client.service_location().await.unwrap());
    step.merge(client.policy().await.unwrap());
    let inventory = ContentFile::new("INV", "inventory.xml", 100_000);
    step.merge(client.large_message(Report::HardwareInventory, &inventory, 40_000).await.unwrap());
    let mut client = stage.client("dp1.contoso.net", Some(&known));
    step.merge(client.download(stage.content.package("P0100012").unwrap()).await.unwrap());
    assert!(step.is_smooth(), "{step:?}");

    let (mps, dps) = (stage.asked("mp-"), stage.asked("dp-"));
    for (seen, method) in [(&mps, "CCM_POST"), (&mps, "BITS_POST"), (&mps, "GET"), (&dps, "PROPFIND"), (&dps, "GET")] {
        assert!(seen.iter().any(|seen| seen.method == method), "{method}: {seen:?}");
    }
    for seen in mps.iter().chain(&dps) {
        assert!(stage.came_with_ours(seen), "{seen:?}");
        let name = seen.tls.as_ref().unwrap().sni.clone().unwrap();
        assert!(name.ends_with(".contoso.com"), "site systems have certificates for their internal names: {name}");
    }
    let named: Vec<&str> = step.served_by.iter().map(String::as_str).filter(|name| name.starts_with("dp")).collect();
    assert!(named.iter().all(|name| *name == "dp-inet1.contoso.com"), "the one that the client names: {named:?}");
}

#[tokio::test]
async fn a_stranger_gets_nowhere() {
    let stage = Stage::new().await;
    for (host, method, target) in [
        ("mp1.contoso.net", "GET", MPLIST),
        ("mp1.contoso.net", "GET", "/SMS_MP_AltAuth/.sms_aut?MPLIST"),
        ("mp1.contoso.net", "CCM_POST", "/ccm_system/request"),
        ("mp1.contoso.net", "CCM_POST", "/ccm_system_AltAuth/request"),
        ("mp1.contoso.net", "GET", "/CCM_Client/ccmsetup.cab"),
        ("dp1.contoso.net", "PROPFIND", "/SMS_DP_SMSPKG$/P0100012"),
        ("dp1.contoso.net", "GET", "/NOCERT_SMS_DP_SMSPKG$/P0100012"),
    ] {
        let mut client = stage.client(host, None);
        let answer =
            client.request(Method::from_bytes(method.as_bytes()).unwrap(), target, Bytes::new()).await.unwrap();
        assert_eq!((answer.status, answer.served_by()), (StatusCode::FORBIDDEN, None), "{method} {target}");
        assert!(answer.headers["proxy-status"].to_str().unwrap().contains("http_request_denied"), "{answer:?}");
    }
    let asked: Vec<Seen> = ["mp-", "dp-"].iter().flat_map(|prefix| stage.asked(prefix)).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test]
async fn a_stranger_that_is_let_in_is_not_let_in_as_us() {
    let stage = Stage::with(|text| {
        assert_eq!(text.matches(EXEMPT).count(), 1);
        text.replace(EXEMPT, "").replace("client_certificates = \"required\"", "client_certificates = \"optional\"")
    })
    .await;
    let mut client = stage.client("dp1.contoso.net", None);
    // The distribution point's own words, which it has for a client without a certificate.
    for (target, status, server) in [
        ("/SMS_DP_SMSPKG$/P0100012/setup.cab", StatusCode::FORBIDDEN, "dp-inet1.contoso.com"),
        ("/NOCERT_SMS_DP_SMSPKG$/P0100012/setup.cab", StatusCode::OK, "dp-inet1.contoso.com"),
    ] {
        let answer = get(&mut client, target).await;
        assert_eq!((answer.status, answer.served_by()), (status, Some(server)), "{target}");
    }
    let mut client = stage.client("mp1.contoso.net", None);
    assert_eq!(get(&mut client, MPLIST).await.status, StatusCode::FORBIDDEN);
    let asked: Vec<Seen> = ["mp-", "dp-"].iter().flat_map(|prefix| stage.asked(prefix)).collect();
    assert!(asked.len() >= 3 && asked.iter().all(|seen| !stage.came_with_ours(seen)), "{asked:?}");
}

#[tokio::test]
async fn certificates_that_are_revoked_foreign_or_expired_end_the_handshake() {
    let stage = Stage::new().await;
    let foreign = Authority::new("Contoso Issuing CA").client("PC00001");
    let expired = stage.certificates.authority.issue(&Wanted::client("PC00001").expired());
    let server = stage.certificates.authority.server(&["PC00001"]);
    for (count, identity) in [&stage.certificates.revoked, &foreign, &expired, &server].into_iter().enumerate() {
        for host in ["mp1.contoso.net", "dp1.contoso.net"] {
            let mut client = stage.client(host, Some(identity));
            let refused = client.request(Method::GET, MPLIST, Bytes::new()).await;
            assert!(refused.is_err(), "{count} {host}: {refused:?}");
        }
        // A client may have tried more than once before it gave up.
        let ended = || stage.proxy.refused("tls_client_certificate") >= 2.0 * (count + 1) as f64;
        support::until("both were refused for their certificate", ended).await;
    }
    assert!(stage.asked("mp-").is_empty() && stage.asked("dp-").is_empty());
    let mut client = stage.client("mp1.contoso.net", Some(&stage.known()));
    assert_eq!(get(&mut client, MPLIST).await.status, StatusCode::OK, "others are let in all the while");
}

#[tokio::test]
async fn site_systems_hear_of_the_client_from_us_alone() {
    let stage = Stage::new().await;
    let mut client = stage.client("mp1.contoso.net", Some(&stage.known()));
    let mut lies = HeaderMap::new();
    for (name, value) in [
        ("x-forwarded-for", "10.1.1.1"),
        ("forwarded", "for=10.1.1.1"),
        ("x-forwarded-host", "mp9.contoso.net"),
        ("x-arr-clientcert", "MIIB"),
        ("client-cert", ":MIIB:"),
        ("ccmclientid", "GUID:1"),
    ] {
        lies.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let target = format!("/SMS_MP/.sms_aut?{QUESTION}");
    client.request_with(Method::GET, &target, lies, Bytes::new()).await.unwrap();
    let asked = stage.asked("mp-");
    let [seen] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(seen.target, target);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("mp1.contoso.net"));
    let forwarded = seen.header("forwarded").unwrap();
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=https"), "{forwarded}");
    assert!(seen.header("via").unwrap().contains("rolegate-dmz"), "{seen:?}");
    assert_eq!(seen.header("host"), Some("mp1.contoso.net"), "the name that the client uses");
    assert_eq!((seen.header("x-arr-clientcert"), seen.header("client-cert")), (None, None));
    assert_eq!(seen.header("ccmclientid"), Some("GUID:1"), "the client's own fields go on");
}

#[tokio::test]
async fn scans_and_failures_need_no_client_certificate() {
    let stage = Stage::new().await;
    let mut client = stage.client_at("wsus", "sup1.contoso.net", None);
    let step = client.scan(Scan::First).await.unwrap();
    assert!(step.is_smooth() && step.served_by.iter().all(|name| name == "sup-inet1.contoso.com"), "{step:?}");
    let scan = stage.asked("sup-");
    assert!(!scan.is_empty());
    for seen in &scan {
        assert!(!stage.came_with_ours(seen), "WSUS is not shown ours");
        assert_eq!(seen.header("via"), None, "so that IIS compresses its answers");
    }
    let mut client = Client::new(LOCAL, stage.proxy.at("fallback-status"), "fsp1.contoso.net", 7);
    client.fsp_message().await.unwrap();
    assert!(stage.asked("fsp-")[0].header("via").is_some());
}
