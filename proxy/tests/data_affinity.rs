//! Who stays where: uploads, the message after them, scans, devices, and servers that are asked for by name.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use rolegate::control::config::Source;
use support::{Message, Peer, Pki, Proxy, Wire, within};

/// A server that says who it is, and has BITS upload sessions of its own.
async fn server(name: &'static str) -> Peer {
    let sessions: Mutex<Vec<String>> = Mutex::default();
    Peer::answering(move |request, _| {
        let mut sessions = sessions.lock().unwrap();
        let head = |status: &str, more: &str| {
            format!("HTTP/1.1 {status}\r\nX-Server: {name}\r\n{more}Content-Length: 0\r\n\r\n")
        };
        let session = request.field("bits-session-id").unwrap_or_default().to_owned();
        match request.field("bits-packet-type") {
            Some("Create-Session") => {
                let id = format!("{{{name}-{}}}", sessions.len());
                sessions.push(id.clone());
                let led = "BITS-Host-Id: elsewhere.lab.test\r\nBITS-Host-Id-Fallback-Timeout: 60\r\n";
                head("200 OK", &format!("BITS-Packet-Type: Ack\r\nBITS-Session-Id: {id}\r\n{led}"))
            }
            Some(_) if sessions.contains(&session) => {
                head("200 OK", &format!("BITS-Packet-Type: Ack\r\nBITS-Session-Id: {session}\r\n"))
            }
            Some(_) => head("500 Unknown", "BITS-Packet-Type: Ack\r\nBITS-Error-Code: 0x8020001f\r\n"),
            None => head("200 OK", ""),
        }
    })
    .await
}

fn site(role: &str, lines: &str, servers: &[(&str, SocketAddr)]) -> String {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"{role}\"]\n\
         [roles.{role}]\nprobe = {{ kind = \"none\" }}\n{lines}\n"
    );
    for (name, address) in servers {
        let (ip, port) = (address.ip(), address.port());
        text += &format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{ip}\"\nroles = [{{ role = \"{role}\", port = {port} }}]\n"
        );
    }
    text
}

async fn servers(names: &[&'static str]) -> Vec<(&'static str, Peer)> {
    let mut servers = Vec::new();
    for name in names {
        servers.push((*name, server(name).await));
    }
    servers
}

fn addresses<'a>(servers: &'a [(&'static str, Peer)]) -> Vec<(&'a str, SocketAddr)> {
    servers.iter().map(|(name, peer)| (*name, peer.address)).collect()
}

fn packet(kind: &str, session: &str) -> String {
    let session = if session.is_empty() { String::new() } else { format!("BITS-Session-Id: {session}\r\n") };
    format!(
        "BITS_POST /CCM_Incoming/{{1}} HTTP/1.1\r\nHost: mp.lab.test\r\nBITS-Packet-Type: {kind}\r\n{session}\
         Content-Length: 0\r\n\r\n"
    )
}

fn post(method: &str) -> String {
    format!("{method} /ccm_system/request HTTP/1.1\r\nHost: mp.lab.test\r\nContent-Length: 2\r\n\r\nhi")
}

fn by(answer: &Message) -> &str {
    answer.field("x-server").unwrap_or_default()
}

/// Another connection for every request: nothing but the session holds an upload together.
async fn ask(proxy: &Proxy, source: &str, request: &str) -> Message {
    proxy.open_from(source).await.ask(request).await
}

#[tokio::test]
async fn an_upload_stays_where_its_session_is_and_the_message_follows() {
    let servers = servers(&["mp1", "mp2", "mp3"]).await;
    let text = site("MP", "", &addresses(&servers));
    let proxy = Proxy::start(&text);
    let mut used = BTreeMap::new();
    for client in 1..=30 {
        let source = format!("127.0.3.{client}");
        let created = ask(&proxy, &source, &packet("Create-Session", "")).await;
        created.is_from_server(200);
        assert_eq!(created.field("bits-host-id"), None, "it would lead the client past the proxy");
        assert_eq!(created.field("bits-host-id-fallback-timeout"), None);
        let (session, server) = (created.field("bits-session-id").unwrap().to_owned(), by(&created).to_owned());
        for kind in ["Fragment", "Fragment", "Close-Session"] {
            let answer = ask(&proxy, &source, &packet(kind, &session)).await;
            answer.is_from_server(200);
            assert_eq!(by(&answer), server, "client {client}, {kind}");
        }
        for _ in 0..3 {
            assert_eq!(by(&ask(&proxy, &source, &post("CCM_POST")).await), server, "the message about the upload");
        }
        *used.entry(server).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 3, "uploads are spread: {used:?}");
}

#[tokio::test]
async fn an_upload_survives_a_reload_that_moves_its_server() {
    let servers = servers(&["mp1", "mp2", "mp3"]).await;
    let mut order = addresses(&servers);
    let proxy = Proxy::start(&site("MP", "", &order));
    let mut sessions = Vec::new();
    for client in 1..=10 {
        let created = ask(&proxy, &format!("127.0.3.{client}"), &packet("Create-Session", "")).await;
        sessions.push((created.field("bits-session-id").unwrap().to_owned(), by(&created).to_owned()));
    }
    order.reverse();
    let source = Source { name: "other.toml".to_owned(), text: site("MP", "balance = \"random\"", &order) };
    proxy.app().reload_async(source).await.unwrap();
    for (client, (session, server)) in (1..=10).zip(&sessions) {
        let answer = ask(&proxy, &format!("127.0.3.{client}"), &packet("Fragment", session)).await;
        answer.is_from_server(200);
        assert_eq!(by(&answer), server);
    }
}

#[tokio::test]
async fn a_lost_upload_is_told_in_the_words_of_bits() {
    let servers = servers(&["mp1", "mp2"]).await;
    let order = addresses(&servers);
    let proxy = Proxy::start(&site("MP", "", &order));
    let created = ask(&proxy, "127.0.3.1", &packet("Create-Session", "")).await;
    let (session, server) = (created.field("bits-session-id").unwrap().to_owned(), by(&created).to_owned());
    // The server leaves the configuration.
    let left: Vec<_> = order.iter().copied().filter(|(name, _)| *name != server).collect();
    let source = Source { name: "other.toml".to_owned(), text: site("MP", "", &left) };
    proxy.app().reload_async(source).await.unwrap();
    let answer = ask(&proxy, "127.0.3.1", &packet("Fragment", &session)).await;
    answer.is_own(500, "destination_unavailable");
    for (field, value) in [
        ("bits-packet-type", "Ack"),
        ("bits-error-code", "0x8020001F"),
        ("bits-error", "0x8020001F"),
        ("bits-error-context", "0x5"),
    ] {
        assert_eq!(answer.field(field), Some(value));
    }
    assert!(answer.text().contains("begin a new session"), "{}", answer.text());
    ask(&proxy, "127.0.3.1", &packet("Create-Session", "")).await.is_from_server(200);
    // A session that nobody knows goes to a server, which knows best what to say.
    ask(&proxy, "127.0.3.1", &packet("Fragment", "{nobody}")).await.is_from_server(500);
}

#[tokio::test]
async fn two_proxies_send_the_same_upload_to_the_same_server() {
    let servers = servers(&["mp1", "mp2", "mp3"]).await;
    let text = site("MP", "", &addresses(&servers));
    let (one, other) = (Proxy::start(&text), Proxy::start(&text));
    for client in 1..=20 {
        let source = format!("127.0.3.{client}");
        let created = ask(&one, &source, &packet("Create-Session", "")).await;
        let session = created.field("bits-session-id").unwrap();
        let answer = ask(&other, &source, &packet("Fragment", session)).await;
        answer.is_from_server(200);
        assert_eq!(by(&answer), by(&created), "nothing is shared but the client's address");
    }
}

#[tokio::test]
async fn messages_are_spread_when_no_upload_came_before() {
    let servers = servers(&["mp1", "mp2"]).await;
    let proxy = Proxy::start(&site("MP", "balance = \"random\"", &addresses(&servers)));
    let mut used = BTreeMap::new();
    for _ in 0..60 {
        *used.entry(by(&ask(&proxy, "127.0.3.1", &post("CCM_POST")).await).to_owned()).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 2, "{used:?}: sixty times the same is a chance of one in 10^17");
}

#[tokio::test]
async fn a_client_keeps_its_server_where_affinity_is_asked_for() {
    let servers = servers(&["mp1", "mp2", "mp3"]).await;
    let lines = "balance = \"random\"\naffinity = \"1h\"";
    let proxy = Proxy::start(&site("MP", lines, &addresses(&servers)));
    for client in 1..=20 {
        let source = format!("127.0.3.{client}");
        let first = ask(&proxy, &source, &post("CCM_POST")).await;
        for _ in 0..5 {
            assert_eq!(by(&ask(&proxy, &source, &post("CCM_POST")).await), by(&first));
        }
    }
}

#[tokio::test]
async fn a_client_may_be_known_by_a_field() {
    let servers = servers(&["mp1", "mp2", "mp3"]).await;
    let lines = "balance = \"client\"\nclient_field = \"CCMClientID\"";
    let proxy = Proxy::start(&site("MP", lines, &addresses(&servers)));
    let get = |id: &str| format!("GET /SMS_MP/.sms_aut?MPCERT HTTP/1.1\r\nHost: mp\r\nccmclientid: {id}\r\n\r\n");
    let mut used = BTreeMap::new();
    for id in 0..20 {
        let first = ask(&proxy, "127.0.3.1", &get(&format!("GUID:{id}"))).await;
        let roamed = ask(&proxy, "127.0.4.9", &get(&format!("guid:{id}"))).await;
        assert_eq!(by(&roamed), by(&first), "the same client at another address");
        *used.entry(by(&first).to_owned()).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 3, "clients behind one address are told apart: {used:?}");
}

#[tokio::test]
async fn a_device_never_moves() {
    let mut servers = servers(&["mp1", "mp2", "mp3"]).await;
    let order = addresses(&servers).into_iter().map(|(name, address)| (name.to_owned(), address)).collect::<Vec<_>>();
    let order: Vec<(&str, SocketAddr)> = order.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let text = site("MP", "balance = \"device\"", &order);
    let mut own = BTreeMap::new();
    let proxy = Proxy::start(&text);
    for client in 1..=30 {
        let source = format!("127.0.3.{client}");
        own.insert(source.clone(), by(&ask(&proxy, &source, &post("POST")).await).to_owned());
    }
    assert_eq!(own.values().collect::<std::collections::BTreeSet<_>>().len(), 3);
    // Another proxy, and the first one after a restart, with their servers written in another order.
    let mut turned = order.clone();
    turned.reverse();
    for text in [text.clone(), site("MP", "balance = \"device\"", &turned)] {
        let proxy = Proxy::start(&text);
        for (source, server) in &own {
            assert_eq!(by(&ask(&proxy, source, &post("POST")).await), server);
        }
    }
    // Its server is down: the device waits for it.
    let gone = servers.remove(0).0;
    for (source, server) in &own {
        let answer = ask(&proxy, source, &post("POST")).await;
        if server == gone {
            assert!(matches!(answer.status(), 502 | 503), "{answer:?}");
        } else {
            assert_eq!(by(&answer), server);
        }
    }
}

#[tokio::test]
async fn a_device_keeps_its_server_when_its_address_changes() {
    let servers = servers(&["mp1", "mp2", "mp3"]).await;
    let pki = Pki::new();
    let plain = site("MP", "balance = \"device\"", &addresses(&servers));
    let asks = plain.replacen("[roles.", &format!("{}[roles.", pki.asks("optional", "")), 1);
    let field = plain.replacen("balance", "client_field = \"X-Device\"\nbalance", 1);
    let (by_certificate, by_field) = (Proxy::start(&asks), Proxy::start(&field));
    let trusting = asks.replacen("[proxy]\n", "[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", 1);
    let trusting = Proxy::start(&trusting);
    let request = |fields: &str| post("POST").replacen("Host:", &format!("{fields}Host:"), 1);
    let (mut used, mut told_apart) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..20 {
        let name = format!("PC{number}");
        // A renewed one has another key.
        let (old, new) = (pki.authority.client(&name), pki.authority.client(&name));
        let mut seen = Vec::new();
        for (source, identity) in [("127.0.3.1", &old), ("127.0.4.1", &old), ("127.0.5.1", &new)] {
            let connector = pki.client().identity(identity).connector().unwrap();
            let mut client = support::pki::secure(by_certificate.open_from(source).await, &connector).await.unwrap();
            seen.push(by(&client.ask(&request("")).await).to_owned());
            let connector = pki.client().identity(&old).connector().unwrap();
            let mut client = support::pki::secure(trusting.open_from(source).await, &connector).await.unwrap();
            let behind = request(&format!("X-Forwarded-For: 10.1.2.{number}\r\n"));
            told_apart.entry(by(&client.ask(&behind).await).to_owned()).or_insert_with(Vec::new).push(number);
        }
        assert!(seen.iter().all(|server| *server == seen[0]), "{name}: {seen:?}");
        *used.entry(seen.remove(0)).or_insert(0) += 1;
        let device = request(&format!("X-Device: {name}\r\n"));
        let first = ask(&by_field, "127.0.3.1", &device).await;
        assert_eq!(by(&ask(&by_field, "127.0.4.1", &device).await), by(&first), "{name}");
    }
    assert_eq!(used.len(), 3, "devices are told apart: {used:?}");
    assert_eq!(told_apart.len(), 3, "a proxy's certificate is not the device's: {told_apart:?}");
}

#[tokio::test]
async fn a_server_that_is_named_is_preferred_while_it_is_well() {
    let mut servers = servers(&["mp1", "mp2", "mp3"]).await;
    let proxy = Proxy::start(&site("MP", "named = \"first\"\nbalance = \"random\"", &addresses(&servers)));
    let get = |host: &str| format!("GET /SMS_MP/.sms_aut?MPCERT HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for name in ["mp1", "MP2:80", "mp3"] {
        for _ in 0..5 {
            let answer = proxy.ask(&get(name)).await;
            assert!(name.to_lowercase().starts_with(by(&answer)), "{name}: {}", by(&answer));
        }
    }
    let mut used = BTreeMap::new();
    for _ in 0..60 {
        *used.entry(by(&proxy.ask(&get("mp.lab.test")).await).to_owned()).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 3, "a name of nobody is no preference: {used:?}");
    servers.remove(0);
    let answer = proxy.ask(&get("mp1")).await;
    assert!(["mp2", "mp3"].contains(&by(&answer)), "what was named is down, so another one serves: {answer:?}");
}

#[tokio::test]
async fn a_scan_stays_with_the_server_that_it_moved_to() {
    let mut servers = servers(&["sup1", "sup2"]).await;
    let order: Vec<_> = addresses(&servers).into_iter().map(|(name, address)| (name.to_owned(), address)).collect();
    let order: Vec<_> = order.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let text = site("SUP", "clock = \"immediate\"", &order);
    let proxy = Proxy::start(&text);
    let scan = "POST /ClientWebService/client.asmx HTTP/1.1\r\nHost: sup\r\nContent-Length: 2\r\n\r\nhi";
    // A client of sup1, which then stops listening.
    let mut client = None;
    for host in 1..=50 {
        let source = format!("127.0.3.{host}");
        if by(&ask(&proxy, &source, scan).await) == "sup1" {
            client = Some(source);
            break;
        }
    }
    let client = client.unwrap();
    drop(servers.remove(0));
    assert_eq!(by(&ask(&proxy, &client, scan).await), "sup2", "refused, so never sent: it may go on");
    // sup1 is back at its address.
    let listener = within("the port is free again", async {
        loop {
            if let Ok(listener) = tokio::net::TcpListener::bind(order[0].1).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let back = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                while let Some(mut request) = wire.head().await {
                    wire.rest_of(&mut request).await;
                    wire.say("HTTP/1.1 200 OK\r\nX-Server: sup1\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
        }
    });
    for _ in 0..5 {
        assert_eq!(by(&ask(&proxy, &client, scan).await), "sup2", "moving back would cost a full scan");
    }
    let fresh = Proxy::start(&text);
    assert_eq!(by(&ask(&fresh, &client, scan).await), "sup1", "as its hash says, where nothing is remembered");
    back.abort();
}

#[tokio::test]
async fn the_message_after_an_upload_follows_it_whatever_it_names() {
    let servers = servers(&["mp1", "mp2"]).await;
    let text = site("MP", "named = \"first\"", &addresses(&servers));
    let proxy = Proxy::start(&text);
    let made = ask(&proxy, "127.0.5.1", &packet("Create-Session", "").replace("mp.lab.test", "mp2")).await;
    assert_eq!(by(&made), "mp2");
    assert_eq!(by(&ask(&proxy, "127.0.5.1", &post("CCM_POST").replace("mp.lab.test", "mp1")).await), "mp2");
    assert_eq!(by(&ask(&proxy, "127.0.5.2", &post("CCM_POST").replace("mp.lab.test", "mp1")).await), "mp1");
}
