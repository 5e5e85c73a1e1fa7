//! Requests by boundary group: whose clients they are of, from which tier they were served, and how many bytes that were.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;

use rolegate::control::config::Source;
use support::{Peer, Proxy, Setup, Wire, get, ok, peers, until};

const ROLE: &str = "locality = \"prefer\"\nnamed = \"first\"\nupgrades = [\"x\"]\n";

/// The groups by the order of the servers: four with a server that answers, and one whose server refuses.
const GROUPS: &str = "
[[boundary_groups]]
name = \"one\"
boundaries = [\"127.0.1.0/24\"]
site_systems = [\"srv0.lab.test\"]
[[boundary_groups]]
name = \"two\"
boundaries = [\"127.0.2.0/24\", \"127.0.4.0/24\"]
site_systems = [\"srv1.lab.test\"]
[[boundary_groups]]
name = \"three\"
boundaries = [\"127.0.4.0/24\"]
site_systems = [\"srv2.lab.test\"]
[[boundary_groups]]
name = \"near\"
boundaries = [\"127.0.5.0/24\"]
site_systems = [\"srv4.lab.test\"]
neighbors = [{ group = \"one\", fallback = { web = 0 } }, { group = \"default\", fallback = { web = \"never\" } }]
[[boundary_groups]]
name = \"far\"
boundaries = [\"127.0.6.0/24\"]
site_systems = [\"srv4.lab.test\"]
neighbors = [{ group = \"default\", fallback = { web = 0 } }]
[default_boundary_group]
site_systems = [\"srv3.lab.test\"]
";
const DEFAULT: &str = "Default-Site-Boundary-GroupP01";

/// Answers with five bytes, and does what some paths say.
async fn server() -> Peer {
    Peer::serve(|mut talk| async move {
        while let Some(request) = talk.request().await {
            let answer = match request.target() {
                "/hang" => return talk.wait().await,
                "/cut" => {
                    talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour").await;
                    return;
                }
                "/die" => return,
                "/tunnel" => {
                    talk.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nsecret")
                        .await;
                    return talk.wait().await;
                }
                "/lost" => support::status(404, "sorry"),
                _ => ok("12345"),
            };
            if !talk.say(answer).await {
                return;
            }
        }
    })
    .await
}

async fn servers() -> [Peer; 4] {
    [server().await, server().await, server().await, server().await]
}

/// All that is not zero: role and boundary group, then a tier, `failures` or `sent_bytes`.
fn counted(proxy: &Proxy) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for line in proxy.app().metrics().lines() {
        let Some((what, rest)) = line.strip_prefix("rolegate_group_").and_then(|rest| rest.split_once("_total{"))
        else {
            continue;
        };
        let (labels, value) = rest.split_once("} ").unwrap();
        let value: u64 = value.parse().unwrap();
        let words: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
        let what = if what == "requests" { words[2] } else { what };
        if value > 0 {
            found.insert(format!("{} {} {what}", words[0], words[1]), value);
        }
    }
    found
}

#[track_caller]
fn assert_counts(proxy: &Proxy, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> =
        expected.iter().map(|(what, count)| (format!("web {what}"), *count)).collect();
    assert_eq!(counted(proxy), expected);
}

async fn ask(proxy: &Proxy, source: &str, request: &str) -> u16 {
    let answer = proxy.open_from(source).await.ask(request).await;
    answer.status()
}

fn named(name: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {name}.lab.test\r\n\r\n")
}

#[tokio::test]
async fn requests_count_for_the_group_of_the_client_and_the_tier_of_the_server() {
    let (servers, refuse) = (servers().await, peers::refuse());
    let all = servers.iter().map(|server| server.address).chain([refuse.address]);
    let proxy = Setup::new(all).role(ROLE).threads(2).more(GROUPS).start();
    for (source, request, times, status) in [
        ("127.0.1.1", get("/"), 3, 200),
        ("127.0.1.2", get("/lost"), 1, 404),
        // In no group: it begins in the site default boundary group.
        ("127.0.9.1", get("/"), 2, 200),
        // In two groups, of which each has a server of its own.
        ("127.0.4.1", named("srv2"), 4, 200),
        ("127.0.4.1", named("srv1"), 1, 200),
        // Its own server refuses.
        ("127.0.5.1", get("/"), 2, 200),
        ("127.0.6.1", get("/"), 1, 200),
        // A name leads to a server that none of its groups knows.
        ("127.0.2.1", named("srv0"), 1, 200),
        ("127.0.2.1", get("/"), 1, 200),
        // No server gets it.
        ("127.0.1.1", "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n".to_owned(), 1, 200),
    ] {
        for _ in 0..times {
            assert_eq!(ask(&proxy, source, &request).await, status, "{source} {request}");
        }
    }
    let expected = [
        ("one current", 4),
        ("one sent_bytes", 20),
        (&format!("{DEFAULT} current"), 2),
        (&format!("{DEFAULT} sent_bytes"), 10),
        ("three current", 4),
        ("three sent_bytes", 20),
        ("two current", 2),
        ("two site", 1),
        ("two sent_bytes", 15),
        ("near neighbor", 2),
        ("near sent_bytes", 10),
        ("far default", 1),
        ("far sent_bytes", 5),
    ];
    assert_counts(&proxy, &expected);

    let status = proxy.app().status();
    let near = status.boundary_groups.iter().find(|group| group.name == "near").unwrap();
    let [asked] = &near.requests[..] else { panic!("{near:?}") };
    assert_eq!((asked.role.as_str(), asked.failed, asked.bytes), ("web", 0, 10));
    assert_eq!(asked.answered, [("neighbor".to_owned(), 2)]);
}

#[tokio::test]
async fn what_no_server_has_answered_is_a_failure_and_what_was_cut_is_none() {
    let servers = servers().await;
    let proxy = Setup::new(servers.iter().map(|server| server.address))
        .role(ROLE)
        .more(&GROUPS.replace("\"srv4.lab.test\"", ""))
        .start();
    let post = "POST /die HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(&proxy, "127.0.1.1", post).await, 502);
    assert_counts(&proxy, &[("one failures", 1)]);

    let mut client = proxy.open_from("127.0.1.1").await;
    client.say(get("/hang")).await;
    until("it waits", || proxy.in_flight() == 1).await;
    client.reset();
    until("its client is gone", || counted(&proxy)["web one failures"] == 2).await;

    let mut client = proxy.open_from("127.0.2.1").await;
    client.say(get("/cut")).await;
    assert_eq!(client.response_head().await.status(), 200);
    assert_eq!(client.take(4).await, b"four");
    client.ends().await;
    // Written after the request that has the answer of a server.
    until("it is counted", || counted(&proxy).contains_key("web two sent_bytes")).await;
    assert_counts(&proxy, &[("one failures", 2), ("two current", 1), ("two sent_bytes", 4)]);
}

#[tokio::test]
async fn tunnels_count_with_what_went_to_the_client() {
    let servers = servers().await;
    let more = GROUPS.replace("\"srv4.lab.test\"", "");
    let proxy = Setup::new(servers.iter().map(|server| server.address)).role(ROLE).more(&more).start();
    let mut client = proxy.open_from("127.0.1.1").await;
    client.say("GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert_eq!(client.response_head().await.status(), 101);
    assert_eq!(client.take(6).await, b"secret");
    client.end().await;
    client.ends().await;
    until("it is over", || counted(&proxy).contains_key("web one current")).await;
    assert_counts(&proxy, &[("one current", 1), ("one sent_bytes", 6)]);
}

#[tokio::test]
async fn connections_of_tcp_roles_count_for_groups() {
    let server = Peer::serve(|mut talk| async move {
        talk.say("hello").await;
        talk.wait().await;
    })
    .await;
    let refuse = peers::refuse();
    let text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"client-notification\"]\n\
         [roles.client-notification]\nlocality = \"boundary-groups\"\nprobe = {{ kind = \"none\" }}\n\
         [[site_systems]]\nname = \"a\"\naddress = \"127.0.0.1\"\n\
         roles = [{{ role = \"client-notification\", port = {} }}]\n\
         [[site_systems]]\nname = \"b\"\naddress = \"127.0.0.1\"\n\
         roles = [{{ role = \"client-notification\", port = {} }}]\n\
         [[boundary_groups]]\nname = \"one\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"a\"]\n\
         [[boundary_groups]]\nname = \"two\"\nboundaries = [\"127.0.2.0/24\"]\nsite_systems = [\"b\"]\n",
        server.address.port(),
        refuse.address.port()
    );
    let proxy = Proxy::start(&text);
    let mut clients: Vec<Wire> = Vec::new();
    for _ in 0..2 {
        let mut client = proxy.open_from("127.0.1.1").await;
        assert_eq!(client.take(5).await, b"hello");
        clients.push(client);
    }
    let mut refused = proxy.open_from("127.0.2.1").await;
    refused.wait_for_the_end().await;
    let role = "client-notification";
    let expected = [
        (format!("{role} one current"), 2),
        (format!("{role} one sent_bytes"), 10),
        (format!("{role} two failures"), 1),
    ];
    // The bytes are counted when they have been written.
    until("all is counted", || counted(&proxy) == BTreeMap::from(expected.clone())).await;
}

#[tokio::test]
async fn a_client_that_is_signed_in_counts_for_its_group() {
    let server = Peer::answering(|request, _| match request.field("authorization") {
        Some(_) => ok("known"),
        None if request.target() == "/known" => ok("known"),
        None => "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let other = server_that_nobody_asks().await;
    let groups =
        "[[boundary_groups]]\nname = \"one\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"srv0.lab.test\"]\n";
    let setup = |more: &str| Setup::new([server.address, other.address]).role(ROLE).more(more);
    let proxy = setup(groups).start();
    let mut client = proxy.open_from("127.0.1.1").await;
    assert_eq!(client.ask(&get("/")).await.status(), 401);
    let log_on = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM ann\r\n\r\n";
    assert_eq!(client.ask(log_on).await.status(), 200);
    assert_eq!(client.ask(&get("/known")).await.status(), 200);
    assert_counts(&proxy, &[("one current", 3), ("one sent_bytes", 10)]);

    // A reload puts other groups in front: the connection goes on as what it was when it began, and counts for that.
    let before =
        "[[boundary_groups]]\nname = \"zero\"\nboundaries = [\"127.0.0.0/24\"]\nsite_systems = [\"srv1.lab.test\"]\n";
    let text = setup(&format!("{before}{groups}")).text();
    let source = Source { name: "test.toml".to_owned(), text };
    proxy.app().reload_async(source).await.unwrap();
    assert_eq!(client.ask(&get("/known")).await.status(), 200);
    assert_counts(&proxy, &[("one current", 4), ("one sent_bytes", 15)]);
}

async fn server_that_nobody_asks() -> Peer {
    Peer::saying(ok("?")).await
}

#[tokio::test]
async fn a_group_that_leaves_takes_its_series_along() {
    let server = server().await;
    let group = |name: &str, third: u8| {
        format!(
            "[[boundary_groups]]\nname = \"{name}\"\nboundaries = [\"127.0.{third}.0/24\"]\nsite_systems = [\"srv0.lab.test\"]\n"
        )
    };
    let setup = |role: &str, more: &str| Setup::new([server.address]).role(role).more(more);
    let proxy = setup(ROLE, &(group("one", 1) + &group("two", 2))).start();
    let reload = async |setup: Setup| {
        let source = Source { name: "test.toml".to_owned(), text: setup.text() };
        proxy.app().reload_async(source).await.unwrap();
    };
    let series = |part: &str| proxy.app().metrics().lines().filter(|line| line.contains(part)).count();
    let (one, two) = ("boundary_group=\"one\"", "boundary_group=\"two\"");
    for source in ["127.0.1.1", "127.0.2.1", "127.0.2.2"] {
        assert_eq!(ask(&proxy, source, &get("/")).await, 200);
    }
    assert_eq!((series(one), series(two)), (8, 8));
    // The other one moves to the front, and goes on counting.
    reload(setup(ROLE, &group("two", 2))).await;
    until("the series of the first one go", || series(one) == 0).await;
    assert_eq!(ask(&proxy, "127.0.2.1", &get("/")).await, 200);
    assert_eq!(series(two), 8);
    assert_counts(&proxy, &[("two current", 3), ("two sent_bytes", 15)]);
    assert_eq!(ask(&proxy, "127.0.1.1", &get("/")).await, 200, "its client is in no group now");
    assert_eq!(counted(&proxy)[&format!("web {DEFAULT} site")], 1);
    // Switched off, nothing is counted at once.
    assert!(proxy.app().status().boundary_groups.iter().any(|group| !group.requests.is_empty()));
    reload(setup(ROLE, &group("two", 2)).proxy("group_metrics = false")).await;
    assert_eq!(ask(&proxy, "127.0.2.1", &get("/")).await, 200);
    assert!(proxy.app().status().boundary_groups.iter().all(|group| group.requests.is_empty()));
}
