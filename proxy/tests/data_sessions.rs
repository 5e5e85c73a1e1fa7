//! Sessions of a client that live on one management point, and management points with a replica of the site database.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use rolegate::control::config::Source;
use support::{Message, Peer, Proxy, ok};

/// A server that says who it is, and who is signed in on its connection. Where that is wanted, requests without it get 401.
async fn management_point(name: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        let mut user = None;
        while let Some(request) = talk.request().await {
            if let Some(name) = request.field("authorization").and_then(|value| value.strip_prefix("NTLM ")) {
                user = Some(name.to_owned());
            }
            let wants = request.target().contains("WindowsAuth");
            let answer = match &user {
                None if wants => {
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n".into()
                }
                _ => ok(name),
            };
            if !talk.say(answer).await {
                return;
            }
        }
    })
    .await
}

/// Management points of which those that are named `replica...` have a replica.
fn site(lines: &str, servers: &[(&str, &Peer)]) -> String {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"MP\"]\n\
         [roles.MP]\nprobe = {{ kind = \"none\" }}\n{lines}\n"
    );
    for (name, peer) in servers {
        let (ip, port, replica) = (peer.address.ip(), peer.address.port(), name.starts_with("replica"));
        text += &format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{ip}\"\n\
             roles = [{{ role = \"MP\", port = {port}, replica = {replica} }}]\n"
        );
    }
    text
}

fn start(lines: &str, servers: &[(&str, &Peer)]) -> Proxy {
    Proxy::start(&site(lines, servers))
}

async fn from(proxy: &Proxy, source: &str, path: &str) -> Message {
    proxy.open_from(source).await.ask(&format!("GET {path} HTTP/1.1\r\nHost: mp.lab.test\r\n\r\n")).await
}

/// Who serves some clients, each of which asks some times on connections of their own.
async fn served(proxy: &Proxy, path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_client: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for client in 1..=16 {
        let source = format!("127.8.0.{client}");
        for _ in 0..6 {
            let answer = from(proxy, &source, path).await;
            answer.is_from_server(200);
            by_client.entry(source.clone()).or_default().insert(answer.text());
        }
    }
    by_client
}

fn all(by_client: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&str> {
    by_client.values().flatten().map(String::as_str).collect()
}

#[tokio::test]
async fn a_client_has_its_sessions_at_one_management_point() {
    let (one, two, replica) =
        (management_point("mp1").await, management_point("mp2").await, management_point("replica").await);
    let proxy = start("", &[("mp1", &one), ("mp2", &two), ("replica", &replica)]);
    let logins = served(&proxy, "/bgb/handler.ashx").await;
    assert!(logins.values().all(|servers| servers.len() == 1), "{logins:?}");
    assert_eq!(all(&logins), BTreeSet::from(["mp1", "mp2", "replica"]), "of all clients they are at all");
    let users = served(&proxy, "/CMUserService/applicationviewservice.asmx").await;
    assert!(users.values().all(|servers| servers.len() == 1), "{users:?}");
    assert_eq!(all(&users), BTreeSet::from(["mp1", "mp2"]), "but for the replica");
    let others = served(&proxy, "/SMS_MP/.sms_aut?MPLIST").await;
    assert!(others.values().any(|servers| servers.len() > 1), "requests of their own are balanced: {others:?}");
    assert_eq!(all(&others).len(), 3);
}

#[tokio::test]
async fn where_only_replicas_are_a_user_is_told_so() {
    let replica = management_point("replica").await;
    let proxy = start("", &[("replica", &replica)]);
    from(&proxy, "127.8.0.1", "/CMUserService_WindowsAuth/x").await.is_own(503, "destination_unavailable");
    from(&proxy, "127.8.0.1", "/SMS_MP/x").await.is_from_server(200);
    let proxy = start("site_database_paths = []", &[("mp1", &replica)]);
    from(&proxy, "127.8.0.1", "/CMUserService/x").await.is_from_server(200);
}

#[tokio::test]
async fn a_client_that_is_signed_in_at_a_replica_signs_in_elsewhere() {
    let (one, replica) = (management_point("mp1").await, management_point("replica").await);
    let both = [("replica", &replica), ("mp1", &one)];
    let proxy = start("session_paths = [\"/SMS_MP_WindowsAuth\"]", &both);
    let say = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: mp.lab.test\r\n{more}\r\n");
    let (policy, user) = ("/SMS_MP_WindowsAuth/x", "/CMUserService_WindowsAuth/x");
    let mut found = None;
    for last in 1..64 {
        let mut client = proxy.open_from(&format!("127.8.1.{last}")).await;
        assert_eq!(client.ask(&say(policy, "")).await.status(), 401);
        let answer = client.ask(&say(policy, "Authorization: NTLM ann\r\n")).await;
        if answer.text() == "replica" {
            found = Some(client);
            break;
        }
    }
    let mut client = found.expect("one of 63 clients has its session at the replica");
    assert_eq!(client.ask(&say(policy, "")).await.text(), "replica");
    assert_eq!(client.ask(&say(user, "")).await.status(), 401, "nobody is signed in there yet");
    assert_eq!(client.ask(&say(user, "Authorization: NTLM ann\r\n")).await.text(), "mp1");
}

#[tokio::test]
async fn parts_of_paths_are_checked() {
    let peer = management_point("mp1").await;
    let errors = |lines: &str, cut: (&str, &str)| {
        let text = site(lines, &[("mp1", &peer)]).replace(cut.0, cut.1);
        let source = Source { name: "test.toml".to_owned(), text };
        rolegate::control::director::read(&source, false).unwrap_err().to_string()
    };
    let said = errors("session_paths = [\"/Portal\"]", ("", ""));
    assert!(said.contains("the role Management point has no requests for \"/Portal\""), "{said}");
    assert!(said.contains("/CMUserService_WindowsAuth"), "{said}");
    let said = errors("site_database_paths = []", ("replica = false", "replica = true"));
    assert!(said.contains("a replica makes no difference"), "{said}");
    let said = errors("balance = \"content\"\nsession_paths = [\"/BGB\"]", ("", ""));
    assert!(said.contains("so no part of it differs"), "{said}");
    let said = errors("", ("role = \"MP\", port", "role = \"DP\", replica = true, port"));
    assert!(said.contains("no path of the role Distribution point needs the site database"), "{said}");
}
