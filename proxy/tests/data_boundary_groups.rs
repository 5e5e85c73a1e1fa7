//! Which site systems serve a client: its boundary groups', then their neighbors', then the site's.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fmt::Write;
use std::sync::Arc;

use http::Method;
use rolegate_bench::client::Client;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{Role, SiteSystem, Spec};
use support::{Message, Peer, Proxy, get, ok, until};

/// Quick probes that only open a connection: a server that refuses is down soon, and a busy machine takes nobody out.
const PROBE: &str = "probe = { kind = \"tcp\", interval = \"500ms\", fast_interval = \"50ms\", down_interval = \"100ms\", \
                     timeout = \"400ms\", rise = 1, fall = 2 }\nslow_start = \"0s\"";
const FILE: &str = "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin";

fn content() -> Arc<Content> {
    Arc::new(Content::new([Package::parse("PKG00001:3x100KiB").unwrap()]))
}

async fn point(name: &str, content: &Arc<Content>) -> SiteSystem {
    SiteSystem::start(Spec::distribution_point(name, content).role(Role::ManagementPoint)).await.unwrap()
}

/// A site whose systems are all distribution points, unless `roles` says otherwise.
fn site(points: &[(&SiteSystem, &str)], rest: &str) -> Proxy {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 2\ntrusted_proxies = [\"127.0.9.0/24\"]\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\n\
         roles = [\"DP\", \"MP\"]\n[roles.DP]\n{PROBE}\n[roles.MP]\n{PROBE}\n"
    );
    for (point, more) in points {
        let port = point.address().port();
        let (name, roles) =
            (point.name(), format!("{{ role = \"DP\", port = {port} }}, {{ role = \"MP\", port = {port} }}"));
        write!(text, "[[site_systems]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nroles = [{roles}]\n{more}\n")
            .unwrap();
    }
    Proxy::start(&format!("{text}{rest}"))
}

async fn ask(proxy: &Proxy, source: &str, target: &str) -> Message {
    proxy.open_from(source).await.ask(&get(target)).await
}

/// Who serves a client at this address.
async fn served_by(proxy: &Proxy, source: &str) -> String {
    let answer = ask(proxy, source, FILE).await;
    answer.is_from_server(200);
    answer.field("x-site-system").unwrap().to_owned()
}

const GROUPS: &str = "
[[boundary_groups]]
name = \"one\"
boundaries = [\"127.0.1.0/24\"]
site_systems = [\"dp1\"]
neighbors = [{ group = \"two\", fallback = { DP = 0 } }, { group = \"default\", fallback = { DP = 0 } }]

[[boundary_groups]]
name = \"two\"
boundaries = [\"127.0.2.0/24\", \"127.0.4.0-127.0.4.9\"]
site_systems = [\"dp2\"]
neighbors = [{ group = \"three\", fallback = { DP = \"never\" } }, { group = \"default\", fallback = { DP = \"never\" } }]

[[boundary_groups]]
name = \"three\"
boundaries = [\"127.0.3.0/24\", \"127.0.4.0/24\"]
site_systems = [\"dp3\"]

[default_boundary_group]
site_systems = [\"dp4\"]
";

#[tokio::test]
async fn clients_reach_the_points_of_their_groups() {
    let content = content();
    let points = [
        point("dp1", &content).await,
        point("dp2", &content).await,
        point("dp3", &content).await,
        point("dp4", &content).await,
    ];
    let proxy = site(&points.iter().map(|point| (point, "")).collect::<Vec<_>>(), GROUPS);
    proxy.until_well(8).await;
    for (source, expected) in [
        ("127.0.1.5", "dp1"),
        ("127.0.1.200", "dp1"),
        ("127.0.2.9", "dp2"),
        ("127.0.3.1", "dp3"),
        ("127.0.4.10", "dp3"),
    ] {
        assert_eq!(served_by(&proxy, source).await, expected, "{source}");
    }
    assert_eq!(served_by(&proxy, "127.0.8.1").await, "dp4", "in no group");
    // In two groups: the union, and one client stays with one point for one content.
    let mut seen = std::collections::BTreeSet::new();
    for host in 0..10 {
        let source = format!("127.0.4.{host}");
        let first = served_by(&proxy, &source).await;
        assert_eq!(served_by(&proxy, &source).await, first);
        seen.insert(first);
    }
    assert!(seen.iter().all(|name| name == "dp2" || name == "dp3"), "{seen:?}");
    assert_eq!(
        seen.len(),
        2,
        "ten clients and one point would be a coincidence of one in five hundred, always the same"
    );
}

#[tokio::test]
async fn whole_downloads_in_every_group() {
    let content = content();
    let points = [
        point("dp1", &content).await,
        point("dp2", &content).await,
        point("dp3", &content).await,
        point("dp4", &content).await,
    ];
    let proxy = site(&points.iter().map(|point| (point, "")).collect::<Vec<_>>(), GROUPS);
    proxy.until_well(8).await;
    for (source, expected) in [("127.0.1.7", "dp1"), ("127.0.2.7", "dp2"), ("127.0.3.7", "dp3"), ("127.0.8.7", "dp4")] {
        let mut client = Client::new(source.parse().unwrap(), proxy.at("http"), "dp.lab.test", 7);
        let step = client.download(content.package("PKG00001").unwrap()).await.unwrap();
        assert!(step.is_smooth() && step.served_by.iter().all(|name| name == expected), "{source} {step:?}");
    }
}

#[tokio::test]
async fn a_point_that_goes_down_is_replaced_in_order() {
    let content = content();
    let points = [
        point("dp1", &content).await,
        point("dp2", &content).await,
        point("dp4", &content).await,
        point("dp5", &content).await,
    ];
    let groups = GROUPS.replace("[\"dp3\"]", "[\"dp4\"]");
    let with = [(&points[0], ""), (&points[1], ""), (&points[2], ""), (&points[3], "fallback_source = true")];
    let proxy = site(&with, &groups);
    proxy.until_well(8).await;
    let source = "127.0.1.5";
    for (down, next) in [(0, "dp2"), (1, "dp4"), (2, "dp5")] {
        points[down].kill();
        // At once, because what is refused is asked elsewhere, and still when the probe has seen it.
        assert_eq!(served_by(&proxy, source).await, next);
        proxy.until_well(8 - 2 * (down + 1)).await;
        assert_eq!(served_by(&proxy, source).await, next);
    }
    points[3].kill();
    proxy.until_well(0).await;
    let answer = ask(&proxy, source, FILE).await;
    answer.is_own(503, "destination_unavailable");
    for (up, expected) in [(3, "dp5"), (2, "dp4"), (1, "dp2"), (0, "dp1")] {
        points[up].restart().await.unwrap();
        proxy.until_well(2 * (4 - up)).await;
        // A client that begins now. The download of the first one stays where it went on.
        assert_eq!(served_by(&proxy, &format!("127.0.1.1{up}")).await, expected, "back to its own");
        assert_eq!(served_by(&proxy, source).await, "dp5", "in the middle of its download");
    }
    assert!(proxy.metric("rolegate_tier_requests_total", &["distribution-point", "neighbor"]) >= 3.0);
    assert!(proxy.metric("rolegate_tier_requests_total", &["distribution-point", "fallback_source"]) >= 2.0);
}

#[tokio::test]
async fn never_means_never() {
    let content = content();
    let points = [
        point("dp1", &content).await,
        point("dp2", &content).await,
        point("dp3", &content).await,
        point("dp4", &content).await,
    ];
    let proxy = site(&points.iter().map(|point| (point, "")).collect::<Vec<_>>(), GROUPS);
    proxy.until_well(8).await;
    points[1].kill();
    proxy.until_well(6).await;
    let answer = ask(&proxy, "127.0.2.5", FILE).await;
    answer.is_own(503, "destination_unavailable");
    let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((30..60).contains(&after), "{after}");
    assert!([&points[0], &points[2], &points[3]].iter().all(|point| point.counters().requests() == 0));
    assert_eq!(served_by(&proxy, "127.0.3.5").await, "dp3", "other groups go on");
}

#[tokio::test]
async fn a_group_without_servers_and_without_fallback_has_none() {
    let content = content();
    let point = point("dp1", &content).await;
    let groups = "[[boundary_groups]]\nname = \"one\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"dp1\"]\n\
                  [[boundary_groups]]\nname = \"two\"\nboundaries = [\"127.0.2.0/24\"]\n\
                  [default_boundary_group]\nfallback = { DP = \"never\" }\n";
    let proxy = site(&[(&point, "")], groups);
    proxy.until_well(2).await;
    let answer = ask(&proxy, "127.0.2.5", FILE).await;
    answer.is_own(503, "destination_unavailable");
    assert!(answer.text().contains("name no server"), "{}", answer.text());
    assert!(answer.field("retry-after").is_some());
    // A management point is found by everybody: in a group that names none, and in no group at all.
    for source in ["127.0.2.5", "127.0.8.5"] {
        let answer = ask(&proxy, source, "/SMS_MP/.sms_aut?MPLIST").await;
        answer.is_from_server(200);
        assert_eq!(answer.field("x-site-system"), Some("dp1"));
    }
}

#[tokio::test]
async fn management_points_prefer_the_clients_groups() {
    let content = content();
    let points = [point("dp1", &content).await, point("dp2", &content).await, point("dp3", &content).await];
    let groups = "[[boundary_groups]]\nname = \"one\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"dp1\"]\n\
                  [[boundary_groups]]\nname = \"empty\"\nboundaries = [\"127.0.2.0/24\"]\n";
    let proxy = site(&points.iter().map(|point| (point, "")).collect::<Vec<_>>(), groups);
    proxy.until_well(6).await;
    let mut everybody = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = ask(&proxy, "127.0.1.5", "/SMS_MP/.sms_aut?MPLIST").await;
        assert_eq!(answer.field("x-site-system"), Some("dp1"));
        for source in ["127.0.2.5", "127.0.8.5"] {
            let answer = ask(&proxy, source, "/SMS_MP/.sms_aut?MPLIST").await;
            everybody.insert(answer.field("x-site-system").unwrap().to_owned());
        }
    }
    assert_eq!(everybody.len(), 3, "{everybody:?}");
}

#[tokio::test]
async fn a_group_whose_only_management_point_is_down_is_served_by_another_at_once() {
    let content = content();
    let points = [point("dp1", &content).await, point("dp2", &content).await];
    // The relationship says only that dp2 is not put on top.
    let groups = "[[boundary_groups]]\nname = \"one\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"dp1\"]\n\
                  neighbors = [{ group = \"two\", fallback = { MP = \"never\" } }]\n\
                  [[boundary_groups]]\nname = \"two\"\nboundaries = [\"127.0.2.0/24\"]\nsite_systems = [\"dp2\"]\n\
                  [default_boundary_group]\nfallback = { MP = \"never\", DP = \"never\" }\n";
    let proxy = site(&points.iter().map(|point| (point, "")).collect::<Vec<_>>(), groups);
    proxy.until_well(4).await;
    let from = async || ask(&proxy, "127.0.1.5", "/SMS_MP/.sms_aut?MPLIST").await;
    assert_eq!(from().await.field("x-site-system"), Some("dp1"));
    points[0].kill();
    let answer = from().await;
    answer.is_from_server(200);
    assert_eq!(answer.field("x-site-system"), Some("dp2"), "its own refuses");
    proxy.until_well(2).await;
    assert_eq!(from().await.field("x-site-system"), Some("dp2"), "its own is down");
    ask(&proxy, "127.0.1.5", FILE).await.is_own(503, "destination_unavailable");
    points[0].restart().await.unwrap();
    proxy.until_well(4).await;
    assert_eq!(from().await.field("x-site-system"), Some("dp1"), "back to its own");
}

#[tokio::test]
async fn a_trusted_proxy_says_where_a_client_is() {
    let content = content();
    let points = [
        point("dp1", &content).await,
        point("dp2", &content).await,
        point("dp3", &content).await,
        point("dp4", &content).await,
    ];
    let proxy = site(&points.iter().map(|point| (point, "")).collect::<Vec<_>>(), GROUPS);
    proxy.until_well(8).await;
    for (source, field, expected) in [
        ("127.0.9.1", "X-Forwarded-For: 127.0.1.5", "dp1"),
        ("127.0.9.1", "X-Forwarded-For: 127.0.1.5, 127.0.2.5", "dp2"),
        ("127.0.9.1", "X-Forwarded-For: 127.0.1.5, 127.0.9.7", "dp1"),
        ("127.0.9.1", "X-Forwarded-For: 127.0.1.5\r\nX-Forwarded-For: 127.0.3.5:4711", "dp3"),
        ("127.0.9.1", "Forwarded: for=127.0.1.5", "dp1"),
        ("127.0.9.1", "X-Forwarded-For: 127.0.1.5\r\nForwarded: for=127.0.2.5", "dp1"),
        ("127.0.9.1", "X-Forwarded-For: ::ffff:127.0.2.5", "dp2"),
        ("127.0.9.1", "X-Nothing: x", "dp4"),
        ("127.0.1.1", "X-Forwarded-For: 127.0.2.5", "dp1"),
        ("127.0.8.1", "Forwarded: for=127.0.2.5", "dp4"),
    ] {
        let request = format!("GET {FILE} HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
        let answer = proxy.open_from(source).await.ask(&request).await;
        answer.is_from_server(200);
        assert_eq!(answer.field("x-site-system"), Some(expected), "{source} {field}");
    }
    // Each request of one connection is its own client's.
    let mut edge = proxy.open_from("127.0.9.1").await;
    for (client, expected) in [("127.0.1.5", "dp1"), ("127.0.2.5", "dp2"), ("127.0.3.5", "dp3"), ("127.0.1.5", "dp1")] {
        let request = format!("GET {FILE} HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {client}\r\n\r\n");
        assert_eq!(edge.ask(&request).await.field("x-site-system"), Some(expected));
    }
}

#[tokio::test]
async fn user_state_is_only_where_its_name_says() {
    let servers = [Peer::saying(ok("one")).await, Peer::saying(ok("two")).await];
    let text = |count: usize| {
        let mut text = "[site]\ncode = \"P01\"\n[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\nname = \"http\"\n\
                        address = \"127.0.0.1:0\"\nroles = [\"SMP\"]\n[roles.SMP]\nprobe = { kind = \"none\" }\n"
            .to_owned();
        for (number, server) in servers.iter().take(count).enumerate() {
            write!(
                text,
                "[[site_systems]]\nname = \"smp{number}.lab.test\"\nhost_names = [\"alias{number}\"]\n\
                 address = \"127.0.0.1\"\nroles = [{{ role = \"SMP\", port = {} }}]\n",
                server.address.port()
            )
            .unwrap();
        }
        text
    };
    let proxy = Proxy::start(&text(2));
    let mut client = proxy.open().await;
    let ask = |host: &str| format!("PUT /SMSSMP/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi");
    for (host, expected) in [
        ("smp0.lab.test", "one"),
        ("SMP1.Lab.Test:80", "two"),
        ("alias0", "one"),
        ("ALIAS1", "two"),
        ("smp0.lab.test", "one"),
    ] {
        let answer = client.ask(&ask(host)).await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), expected, "{host}");
    }
    let before = servers[0].count() + servers[1].count();
    client.ask(&ask("other.lab.test")).await.is_own(421, "destination_not_found");
    assert_eq!(servers[0].count() + servers[1].count(), before);
    let alone = Proxy::start(&text(1));
    alone.ask(&ask("any.lab.test")).await.is_from_server(200);
}

#[tokio::test]
async fn a_named_server_that_is_gone_is_not_replaced() {
    let content = content();
    let (first, second) = (point("dp1", &content).await, point("dp2", &content).await);
    first.kill();
    let system = |point: &SiteSystem| {
        format!(
            "[[site_systems]]\nname = \"{}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"SMP\", port = {} }}]\n",
            point.name(),
            point.address().port()
        )
    };
    let proxy = Proxy::start(&format!(
        "[site]\ncode = \"P01\"\n[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\nname = \"http\"\n\
         address = \"127.0.0.1:0\"\nroles = [\"SMP\"]\n[roles.SMP]\nprobe = {{ kind = \"none\" }}\n\
         retry = {{ attempts = 2, methods = [\"GET\"] }}\n{}{}",
        system(&first),
        system(&second)
    ));
    let mut client = Client::new("127.0.0.1".parse().unwrap(), proxy.at("http"), "dp1", 1);
    let answer = client.request(Method::GET, "/SMSSMP/x", bytes::Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.served_by()), (502, None));
    assert_eq!(second.counters().requests(), 0);
    until("nothing is left over", || proxy.in_flight() == 0).await;
}
