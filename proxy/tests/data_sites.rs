//! Two primary sites and a secondary one behind one listener, with real connections.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use rolegate::control::config::Source;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{Role, SiteSystem, Spec};
use support::{Peer, Proxy, ok, until};

const PROBE: &str = "probe = { kind = \"tcp\", interval = \"500ms\", fast_interval = \"50ms\", down_interval = \"100ms\", \
                     timeout = \"400ms\", rise = 1, fall = 2 }\nslow_start = \"0s\"";
const FILE: &str = "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin";
const LIST: &str = "/SMS_MP/.sms_aut?MPLIST";
const HEAD: &str = "[proxy]\nthreads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
                    [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\", \"MP\"]\n";
const NAMES: [(&str, &str); 4] = [("one", "P01"), ("two", "P02"), ("branch", "S01"), ("spare", "P02")];

struct Lab {
    systems: Vec<SiteSystem>,
}

impl Lab {
    async fn new() -> Self {
        let content = Arc::new(Content::new([Package::parse("PKG00001:3x100KiB").unwrap()]));
        let mut systems = Vec::new();
        for (name, _) in NAMES {
            let spec = Spec::distribution_point(name, &content).role(Role::ManagementPoint);
            systems.push(SiteSystem::start(spec).await.unwrap());
        }
        Self { systems }
    }

    fn system(&self, place: usize, site: &str) -> String {
        let port = self.systems[place].address().port();
        format!(
            "[[site_systems]]\nname = \"{}\"\naddress = \"127.0.0.1\"\n{site}\n\
             roles = [{{ role = \"DP\", port = {port} }}, {{ role = \"MP\", port = {port} }}]\n",
            NAMES[place].0
        )
    }

    /// All sites. Clients of 127.0.1 are P01's, of `second` P02's, of 127.0.3 S01's.
    fn several(&self, second: &str) -> String {
        let systems: String =
            (0..NAMES.len()).map(|place| self.system(place, &format!("site = \"{}\"", NAMES[place].1))).collect();
        format!(
            "{HEAD}[roles.DP]\n{PROBE}\n[roles.MP]\n{PROBE}\n\
             [[sites]]\ncode = \"P01\"\nhosts = [\"cm1.lab.test\"]\ndefault_boundary_group = {{ site_systems = [\"one\"] }}\n\
             [[sites]]\ncode = \"P02\"\nhosts = [\"cm2.lab.test\"]\ndefault_boundary_group = {{ site_systems = [\"spare\"] }}\n\
             [[sites]]\ncode = \"S01\"\nprimary = \"P01\"\n{systems}\
             [[boundary_groups]]\nname = \"One\"\nsite = \"P01\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"one\"]\n\
             [[boundary_groups]]\nname = \"Two\"\nsite = \"P02\"\nboundaries = [{second}]\nsite_systems = [\"two\"]\n\
             [[boundary_groups]]\nname = \"Branch\"\nsite = \"S01\"\nboundaries = [\"127.0.3.0/24\"]\nsite_systems = [\"branch\"]\n"
        )
    }

    /// P01 alone, with its two servers.
    fn one(&self) -> String {
        format!(
            "{HEAD}[roles.DP]\n{PROBE}\n[roles.MP]\n{PROBE}\n[site]\ncode = \"P01\"\n{}\
             [default_boundary_group]\nsite_systems = [\"one\"]\n",
            self.system(0, "")
        )
    }
}

async fn ask(proxy: &Proxy, source: &str, host: &str, target: &str) -> (u16, Option<String>) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = proxy.open_from(source).await.ask(&request).await;
    (answer.status(), answer.field("x-site-system").map(str::to_owned))
}

#[track_caller]
fn served_by(answer: (u16, Option<String>), server: &str) {
    assert_eq!(answer, (200, Some(server.to_owned())));
}

async fn reload(proxy: &Proxy, text: &str) {
    let source = Source { name: "test.toml".to_owned(), text: text.to_owned() };
    proxy.app().reload_async(source).await.unwrap();
}

const SECOND: &str = "\"127.0.2.0/24\"";

#[tokio::test]
async fn one_listener_serves_several_sites() {
    let lab = Lab::new().await;
    let proxy = Proxy::start(&lab.several(SECOND));
    proxy.until_well(8).await;
    for (source, host, target, server) in [
        // By the client's boundary group.
        ("127.0.1.5", "cm.lab.test", LIST, "one"),
        ("127.0.2.5", "cm.lab.test", LIST, "two"),
        ("127.0.3.5", "cm.lab.test", LIST, "branch"),
        ("127.0.1.5", "cm.lab.test", FILE, "one"),
        ("127.0.2.5", "cm.lab.test", FILE, "two"),
        ("127.0.3.5", "cm.lab.test", FILE, "branch"),
        // By name: a client that is assigned elsewhere, and its content all the same from where it is.
        ("127.0.2.5", "cm1.lab.test:80", LIST, "one"),
        ("127.0.2.5", "cm1.lab.test", FILE, "two"),
        ("127.0.1.5", "spare", LIST, "spare"),
        // A server that the client's groups never lead to.
        ("127.0.1.5", "two", FILE, "one"),
        // In no group: the default group of the site that is named, or of the first.
        ("127.0.9.5", "cm2.lab.test", FILE, "spare"),
        ("127.0.9.5", "cm1.lab.test", FILE, "one"),
        ("127.0.9.5", "cm.lab.test", FILE, "one"),
    ] {
        let answer = ask(&proxy, source, host, target).await;
        assert_eq!(answer, (200, Some(server.to_owned())), "{source} {host} {target}");
    }
    let status = proxy.app().status();
    assert_eq!((status.site.as_str(), status.sites.len()), ("P01, P02, S01", 3));
    let branch = &status.sites[2];
    assert_eq!((branch.primary.as_deref(), &branch.boundary_groups[..]), (Some("P01"), &["Branch".to_owned()][..]));
    let points = status.roles.iter().filter(|role| role.name == "management-point");
    let points: Vec<(Option<&str>, usize)> = points.map(|role| (role.site.as_deref(), role.endpoints.len())).collect();
    assert_eq!(points, [(Some("P01"), 2), (Some("P02"), 2)]);
    let of = |site: &str| {
        proxy.metric("rolegate_requests_total", &["role=\"management-point\"", &format!("site=\"{site}\"")])
    };
    assert_eq!((of("P01"), of("P02")), (3.0, 2.0));
    let content = proxy.app().metrics();
    assert!(content.contains("rolegate_requests_total{role=\"distribution-point\",code=\"2xx\"} 8"), "{content}");
}

#[tokio::test]
async fn a_client_that_moves_is_of_the_site_where_it_is() {
    let lab = Lab::new().await;
    let proxy = Proxy::start(&lab.several(SECOND));
    proxy.until_well(8).await;
    // One connection, and a reload that gives its address to another site's group.
    let mut client = proxy.open_from("127.0.4.5").await;
    let request = format!("GET {LIST} HTTP/1.1\r\nHost: cm.lab.test\r\n\r\n");
    assert_eq!(client.ask(&request).await.field("x-site-system"), Some("one"), "in no group");
    reload(&proxy, &lab.several("\"127.0.2.0/24\", \"127.0.4.0/24\"")).await;
    assert_eq!(client.ask(&request).await.field("x-site-system"), Some("two"));
    served_by(ask(&proxy, "127.0.4.5", "cm.lab.test", FILE).await, "two");
}

#[tokio::test]
async fn every_site_has_to_be_ready() {
    let lab = Lab::new().await;
    let proxy = Proxy::start(&lab.several(SECOND).replace("[roles.MP]\n", "[roles.MP]\npanic = \"refuse\"\n"));
    proxy.until_well(8).await;
    let ready = || async {
        let mut admin = support::Wire::connect(proxy.app().admin()).await;
        let answer = admin.ask("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        (answer.status(), answer.text())
    };
    assert_eq!(ready().await.0, 200);
    lab.systems.iter().zip(NAMES).filter(|(_, (_, site))| *site == "P02").for_each(|(system, _)| system.stop());
    until("P02 is down", || proxy.endpoints().iter().filter(|endpoint| endpoint.health == "down").count() == 4).await;
    assert_eq!(ready().await, (503, "nobody is well: management-point@P02\n".to_owned()));
    served_by(ask(&proxy, "127.0.1.5", "cm.lab.test", LIST).await, "one");
}

#[tokio::test]
async fn one_site_becomes_several_while_it_serves() {
    let lab = Lab::new().await;
    let proxy = Proxy::start(&lab.one());
    proxy.until_well(2).await;
    let mut client = proxy.open_from("127.0.1.5").await;
    let request = format!("GET {LIST} HTTP/1.1\r\nHost: cm.lab.test\r\n\r\n");
    assert_eq!(client.ask(&request).await.field("x-site-system"), Some("one"));
    reload(&proxy, &lab.several(SECOND)).await;
    // Proven well before: no probe is waited for.
    let answer = client.ask(&request).await;
    assert_eq!((answer.status(), answer.field("x-site-system")), (200, Some("one")));
    proxy.until_well(8).await;
    served_by(ask(&proxy, "127.0.2.5", "cm.lab.test", LIST).await, "two");
    reload(&proxy, &lab.one()).await;
    assert_eq!(client.ask(&request).await.field("x-site-system"), Some("one"));
}

/// Two sites, each with one server, for a role and a listener of which nothing else tells the site.
fn pair(role: &str, listener: &str, servers: [&Peer; 2]) -> Proxy {
    let system = |(place, server): (usize, &&Peer)| {
        format!(
            "[[site_systems]]\nname = \"srv{place}\"\nsite = \"P0{}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"{role}\", port = {} }}]\n",
            place + 1,
            server.address.port()
        )
    };
    let systems: String = servers.iter().enumerate().map(system).collect();
    Proxy::start(&format!(
        "[[sites]]\ncode = \"P01\"\n[[sites]]\ncode = \"P02\"\nhosts = [\"cm2\"]\n[proxy]\nthreads = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"first\"\naddress = \"127.0.0.1:0\"\nroles = [\"{role}\"]\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"{role}\"]\n{listener}\n\
         [roles.{role}]\nprobe = {{ kind = \"none\" }}\n{systems}"
    ))
}

#[tokio::test]
async fn a_connection_without_a_name_is_of_its_listeners_site() {
    let servers = [Peer::saying(ok("one")).await, Peer::saying(ok("two")).await];
    let proxy = pair("client-notification", "site = \"P02\"", [&servers[0], &servers[1]]);
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(proxy.open().await.ask(request).await.text(), "two");
    let mut first = support::Wire::connect(proxy.at("first")).await;
    assert_eq!(first.ask(request).await.text(), "one");
}

/// Whoever has sent `Authorization` on a connection is known there.
async fn signs_in(name: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        let mut known = false;
        while let Some(request) = talk.request().await {
            known |= request.field("authorization").is_some();
            let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
            if !talk.say(if known { ok(name) } else { refusal.to_owned() }).await {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn who_has_signed_in_at_one_site_has_not_at_another() {
    let servers = [signs_in("one").await, signs_in("two").await];
    let proxy = pair("MP", "", [&servers[0], &servers[1]]);
    let mut client = proxy.open().await;
    let ask = |host: &str, more: &str| format!("GET {LIST} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
    assert_eq!(client.ask(&ask("cm", "")).await.status(), 401);
    let signed_in = client.ask(&ask("cm", "Authorization: NTLM ann\r\n")).await;
    assert_eq!((signed_in.status(), signed_in.text().as_str()), (200, "one"));
    assert_eq!(client.ask(&ask("cm", "")).await.text(), "one");
    assert_eq!(client.ask(&ask("cm2", "")).await.status(), 401, "the other site's server knows nobody");
    assert_eq!(client.ask(&ask("cm2", "Authorization: NTLM ann\r\n")).await.text(), "two");
    assert_eq!(client.ask(&ask("cm", "")).await.text(), "one", "and this one still does");
}
