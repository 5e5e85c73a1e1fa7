//! Listeners that come, go, move and change their names while others serve.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rolegate::app::ReloadError;
use rolegate::control::config::Source;
use support::{Peer, Pki, Proxy, Setup, Talk, Wire, get, ok, until, within};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// One `[[listeners]]`; its TLS comes last.
fn listener(name: &str, address: &str, more: &str) -> String {
    format!("[[listeners]]\nname = \"{name}\"\naddress = \"{address}\"\nroles = [\"web\"]\n{more}\n")
}

/// A configuration with these listeners.
fn site(server: &Peer, listeners: &[String]) -> String {
    let text = Setup::new([server.address]).threads(2).text();
    let (before, rest) = text.split_once("[[listeners]]").unwrap();
    let (_, after) = rest.split_once("[roles.web]").unwrap();
    format!("{before}{}[roles.web]{after}", listeners.concat())
}

async fn reload(proxy: &Proxy, text: String) -> Result<u64, ReloadError> {
    proxy.app().reload_async(Source { name: "test.toml".to_owned(), text }).await
}

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

/// Answers when it is let.
async fn gated(gate: &Arc<Semaphore>) -> Peer {
    let gate = Arc::clone(gate);
    let serve = move |mut talk: Talk| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(request) = talk.request().await {
                let _ = gate.acquire().await;
                talk.say(ok(request.target())).await;
            }
        }
    };
    Peer::serve(serve).await
}

async fn ask(at: SocketAddr, target: &str) -> u16 {
    Wire::connect(at).await.ask(&get(target)).await.status()
}

async fn is_refused(at: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(at).await.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Waits until nobody listens there. One that connected at the last moment is answered or reset.
async fn until_refused(at: SocketAddr) {
    within("the address is free", async {
        while !is_refused(at).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The listeners of a configuration that is the number `turn` of a row in which each is another one than the one before.
fn other_listeners(turn: usize) -> Vec<String> {
    let http = listener("http", "127.0.0.1:0", "");
    let moved = listener("moved", &format!("127.0.0.{}:0", 2 + turn % 2), "");
    let renamed = listener(&format!("name{turn}"), "127.0.0.4:0", "");
    let sometimes = listener("sometimes", "127.0.0.5:0", "");
    match turn % 4 {
        0 => vec![http, moved, renamed],
        1 => vec![moved, renamed, http, sometimes],
        2 => vec![renamed, sometimes, http, moved],
        _ => vec![http, renamed, moved],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_with_changed_listeners_lose_nothing() {
    let server = echo().await;
    let proxy = Proxy::start(&site(&server, &other_listeners(0)));
    let (untouched, renamed) = (proxy.at("http"), proxy.at("name0"));
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let at = if number < 6 { untouched } else { renamed };
        let (over, served) = (Arc::clone(&over), Arc::clone(&served));
        clients.spawn(async move {
            let mut kept = Wire::connect(at).await;
            while !over.load(Ordering::Relaxed) {
                // Every second client connects anew for each request.
                if number % 2 == 0 {
                    kept = Wire::connect(at).await;
                }
                let answer = kept.ask(&get("/load")).await;
                assert_eq!((answer.status(), answer.text().as_str()), (200, "/load"));
                assert_eq!(answer.field("connection"), None);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for turn in 1..=100 {
        let before = served.load(Ordering::Relaxed);
        reload(&proxy, site(&server, &other_listeners(turn))).await.unwrap();
        assert_eq!((proxy.at("http"), proxy.at(&format!("name{turn}"))), (untouched, renamed));
        assert_eq!(ask(proxy.at("moved"), "/new").await, 200);
        assert_eq!(proxy.app().listener("sometimes").is_some(), matches!(turn % 4, 1 | 2));
        until("clients go on", || served.load(Ordering::Relaxed) > before + 8).await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(done) = within("the clients end", clients.join_next()).await {
        done.unwrap();
    }
    let status = proxy.app().status();
    let shown: Vec<_> = status.listeners.iter().map(|one| (one.name.as_str(), one.address.clone())).collect();
    assert_eq!(shown[0], ("http", untouched.to_string()));
    assert_eq!(shown[1], ("moved", proxy.at("moved").to_string()));
    assert_eq!(shown[2], ("name100", renamed.to_string()));
    let series = || {
        let metrics = proxy.app().metrics();
        let lines = metrics.lines().filter(|line| line.starts_with("rolegate_connections_total"));
        lines.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("the series of those that are gone go", || series() == ["http", "moved", "name100"]).await;
    until("nothing is kept of them", || proxy.app().snapshot().departed.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_listener_that_moves_are_finished() {
    let gate = Arc::new(Semaphore::new(0));
    let server = gated(&gate).await;
    let other = listener("other", "127.0.0.1:0", "");
    let proxy = Proxy::start(&site(&server, &[listener("http", "127.0.0.1:0", ""), other.clone()]));
    let before = proxy.at("http");
    let mut busy = proxy.open().await;
    busy.say(get("/before")).await;
    until("it is under way", || server.count() == 1).await;
    // Connected, and its request is still on its way.
    let mut late = proxy.open().await;
    let mut silent = proxy.open().await;
    reload(&proxy, site(&server, &[other, listener("http", "127.0.0.2:0", "")])).await.unwrap();
    late.say(get("/late")).await;
    assert_ne!(proxy.at("http"), before);
    until_refused(before).await;
    gate.add_permits(1000);
    for (client, target) in [(&mut busy, "/before"), (&mut late, "/late")] {
        let answer = client.response("GET").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, target));
        assert_eq!(answer.field("connection"), Some("close"));
        client.wait_for_the_end().await;
    }
    silent.wait_for_the_end().await;
    assert_eq!(ask(proxy.at("http"), "/after").await, 200);
}

/// What ends a listener.
#[derive(Clone, Copy, Debug)]
enum End {
    Moved,
    Shutdown,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_kernel_is_served_before_a_listener_closes() {
    for end in [End::Moved, End::Shutdown] {
        let gate = Arc::new(Semaphore::new(0));
        let server = gated(&gate).await;
        let one = Setup::new([server.address]).proxy("max_connections = 1");
        let proxy = one.start();
        let mut busy = proxy.open().await;
        busy.say(get("/busy")).await;
        until("it is under way", || server.count() == 1).await;
        // One is in the hands of the data thread, the others in the queue of the kernel.
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut client = proxy.open().await;
            client.say(get("/waiting")).await;
            waiting.push(client);
        }
        match end {
            End::Moved => {
                let text =
                    one.text().replace("\"http\"\naddress = \"127.0.0.1:0\"", "\"http\"\naddress = \"127.0.0.2:0\"");
                reload(&proxy, text).await.unwrap();
            }
            End::Shutdown => {
                let app = proxy.into_app();
                tokio::task::spawn_blocking(move || app.shutdown());
            }
        }
        gate.add_permits(1000);
        for client in [&mut busy].into_iter().chain(&mut waiting) {
            assert_eq!(client.response("GET").await.status(), 200, "{end:?}");
            client.wait_for_the_end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_cannot_be_bound_changes_nothing() {
    let server = echo().await;
    let http = listener("http", "127.0.0.1:0", "");
    let proxy = Proxy::start(&site(&server, std::slice::from_ref(&http)));
    let before = (proxy.app().listeners(), proxy.app().snapshot().generation);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let wanted = [listener("good", "127.0.0.3:0", ""), listener("taken", &taken.to_string(), ""), http];
    let error = reload(&proxy, site(&server, &wanted)).await.unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on {taken} (listener \"taken\")")), "{error}");
    assert_eq!((proxy.app().listeners(), proxy.app().snapshot().generation), before);
    assert_eq!(ask(proxy.at("http"), "/").await, 200);
    assert_eq!(proxy.app().status().reload.errors.as_deref(), Some(error.as_str()));
    // When the address is free, so it is at the next reload.
    drop(other);
    reload(&proxy, site(&server, &wanted)).await.unwrap();
    assert_eq!(proxy.at("taken"), taken);
    for name in ["good", "taken", "http"] {
        assert_eq!(ask(proxy.at(name), "/").await, 200, "{name}");
    }
    // An address that was given up a moment ago, or that contains one, is no obstacle.
    for _ in 0..5 {
        reload(&proxy, site(&server, &wanted[2..])).await.unwrap();
        reload(&proxy, site(&server, &wanted)).await.unwrap();
        assert_eq!(ask(taken, "/").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_follow_their_own_listener() {
    let (server, pki) = (echo().await, Pki::new());
    let plain = listener("http", "127.0.0.1:0", "");
    let secure = listener("https", "127.0.0.1:0", &pki.terminates(""));
    let told = listener("told", "127.0.0.1:0", "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.0/8\"]");
    let all = [plain, secure, told];
    let proxy = Proxy::start(&site(&server, &all));
    let at = |name: &str| proxy.at(name);
    let places = [at("http"), at("https"), at("told")];
    let tls = pki.client().connector().unwrap();
    let secured = async |at: SocketAddr| support::pki::secure(Wire::connect(at).await, &tls).await.unwrap();
    let (mut kept, mut kept_secure) = (Wire::connect(places[0]).await, secured(places[1]).await);
    for order in [[2, 1, 0], [1, 0, 2], [0, 2, 1], [0, 1, 2]] {
        let listeners = order.map(|place: usize| all[place].clone());
        reload(&proxy, site(&server, &listeners)).await.unwrap();
        assert_eq!([at("http"), at("https"), at("told")], places);
        assert_eq!(kept.ask(&get("/kept")).await.status(), 200);
        assert_eq!(kept_secure.ask(&get("/kept")).await.status(), 200);
        assert_eq!(ask(places[0], "/plain").await, 200);
        assert_eq!(secured(places[1]).await.ask(&get("/tls")).await.status(), 200);
        let mut announced = Wire::connect(places[2]).await;
        announced.say("PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\n").await;
        assert_eq!(announced.ask(&get("/told")).await.status(), 200);
        let last = server.heard().pop().unwrap();
        assert!(last.field("x-forwarded-for").is_some_and(|from| from.contains("192.0.2.7")), "{last:?}");
    }
}
