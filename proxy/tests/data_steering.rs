//! Drain, maintenance and weight with real sockets: what is under way ends, and what is new goes elsewhere.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use futures_util::future::join_all;
use rolegate::control::config::Source;
use rolegate::steering::when::Window;
use rolegate::steering::{Asked, Command, Steered};
use support::{Message, Peer, Proxy, Setup, Wire, get, ok, until, within};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

const DOWNLOADS: usize = 200;
const HALF: usize = 20_000;

async fn steer(proxy: &Proxy, server: &str, command: Command) -> Steered {
    let asked =
        Asked { server: server.to_owned(), by: Some("anna".to_owned()), from: "a test".to_owned(), ..Asked::default() };
    proxy.app().steer(&asked, &command).await.unwrap()
}

/// Says its name in the second half of a body that waits for `gate`.
async fn downloads(name: &'static str, gate: &Arc<Semaphore>) -> Peer {
    let gate = Arc::clone(gate);
    Peer::serve(move |mut talk| {
        let gate = Arc::clone(&gate);
        async move {
            while talk.request().await.is_some() {
                let end = format!("{name:>HALF$}");
                talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * HALF)).await;
                talk.say("x".repeat(HALF)).await;
                let _go_on = gate.acquire().await.unwrap();
                if !talk.say(end).await {
                    return;
                }
            }
        }
    })
    .await
}

async fn named(name: &'static str) -> Peer {
    Peer::answering(move |_, _| ok(name)).await
}

fn in_flight(proxy: &Proxy, server: &str) -> u32 {
    proxy.endpoints().iter().filter(|own| own.site_system == server).map(|own| own.in_flight).sum()
}

fn kept_in(setup: &Setup, file: &Path) -> Setup {
    setup.clone().proxy(&format!("state_file = {:?}", file.display().to_string()))
}

fn body(answer: &Message) -> String {
    String::from_utf8_lossy(&answer.body).trim_start_matches(['x', ' ']).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_server_ends_all_of_its_downloads_gets_no_new_ones_and_is_drained_after_a_restart() {
    let gate = Arc::new(Semaphore::new(0));
    let (one, two) = (downloads("one", &gate).await, downloads("two", &gate).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steering.json");
    let setup = kept_in(&Setup::new([one.address, two.address]).threads(2), &file);
    let proxy = Arc::new(setup.start());
    let begun = Arc::new(AtomicUsize::new(0));
    let clients = (0..DOWNLOADS).map(|_| {
        let (proxy, begun) = (Arc::clone(&proxy), Arc::clone(&begun));
        tokio::spawn(async move {
            let mut client = proxy.open().await;
            client.say(get("/package/file")).await;
            let mut answer = client.head().await.unwrap();
            begun.fetch_add(1, SeqCst);
            client.rest_of(&mut answer).await;
            answer
        })
    });
    let clients: Vec<_> = clients.collect();
    until("all have begun", || begun.load(SeqCst) == DOWNLOADS).await;
    let at_one = in_flight(&proxy, "srv0.lab.test");
    assert!(at_one > 50, "{at_one}");

    let done = steer(&proxy, "srv0.lab.test", Command::Drain).await;
    assert_eq!(done.under_way.iter().map(|own| own.in_flight).sum::<u32>(), at_one, "{done:?}");
    assert!(done.warnings.is_empty(), "{done:?}");
    let heard = one.heard().len();
    gate.add_permits(1 << 20);
    for _ in 0..50 {
        assert_eq!(body(&proxy.get("/package/other").await), "two", "what is new goes elsewhere");
    }
    let answers = within("every download", join_all(clients)).await;
    for answer in answers {
        let answer = answer.unwrap();
        assert!(!answer.cut && answer.body.len() == 2 * HALF, "cut: {} bytes", answer.body.len());
    }
    until("it is empty", || in_flight(&proxy, "srv0.lab.test") == 0).await;
    assert_eq!(one.heard().len(), heard);
    let status = proxy.app().status();
    let own = &status.overrides[0].written;
    assert_eq!((own.kind.as_str(), own.by.as_str(), own.from.as_str()), ("drain", "anna", "a test"));
    assert_eq!(proxy.metric("rolegate_endpoint_steered", &["srv0.lab.test"]), 1.0);

    drop(proxy);
    let proxy = setup.start();
    let endpoints = proxy.endpoints();
    assert_eq!((endpoints[0].steered.as_str(), endpoints[1].steered.as_str()), ("drain", ""));
    for _ in 0..20 {
        assert_eq!(body(&proxy.get("/package/other").await), "two");
    }
    assert_eq!(one.heard().len(), heard, "still drained");
    let done = steer(&proxy, "SRV0.lab.test", Command::Undrain).await;
    assert!(done.sentence.contains("drained no more") && done.sentence.contains("anna"), "{}", done.sentence);
    let mut back = false;
    for _ in 0..100 {
        back |= body(&proxy.get("/package/other").await) == "one";
    }
    assert!(back, "it serves again");
    drop(proxy);
    assert!(setup.start().app().status().overrides.is_empty());
}

#[tokio::test]
async fn a_broken_state_file_does_not_keep_it_from_serving() {
    let server = named("one").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steering.json");
    std::fs::write(&file, "{ \"version\": 1, \"overrides\": [ {").unwrap();
    let setup = kept_in(&Setup::new([server.address]), &file);
    let proxy = setup.start();
    proxy.get("/").await.is_from_server(200);
    assert!(folder.path().join("steering.json.broken").exists());
    steer(&proxy, "srv0.lab.test", Command::Drain).await;
    drop(proxy);
    assert_eq!(setup.start().app().status().overrides.len(), 1, "the new file is good");
    // In a folder that is not there nothing can be kept, and that is said.
    let nowhere = kept_in(&Setup::new([server.address]), &folder.path().join("none").join("x")).start();
    let done = steer(&nowhere, "srv0.lab.test", Command::Drain).await;
    assert!(done.warnings.iter().any(|text| text.contains("would not survive a restart")), "{done:?}");
    assert_eq!(nowhere.endpoints()[0].steered, "drain", "it holds all the same");
}

#[tokio::test]
async fn a_role_without_a_server_answers_503_and_the_answer_has_warned() {
    let server = named("one").await;
    let proxy = Setup::new([server.address]).start();
    let done = steer(&proxy, "srv0.lab.test", Command::Drain).await;
    assert!(done.warnings[0].starts_with("no server is left for the role web"), "{done:?}");
    assert!(done.warnings.iter().any(|text| text.contains("state_file")), "{done:?}");
    let answer = proxy.get("/").await;
    answer.is_own(503, "destination_unavailable");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("drained or in maintenance"), "{text}");
    let question = "GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let ready = Wire::connect(proxy.app().admin()).await.ask(question).await;
    let text = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(ready.status() == 503 && text == "all are drained or in maintenance: web\n", "{text}");
    steer(&proxy, "srv0.lab.test", Command::Undrain).await;
    proxy.get("/").await.is_from_server(200);
}

#[tokio::test]
async fn maintenance_ends_by_itself() {
    let (one, two) = (named("one").await, named("two").await);
    let proxy = Setup::new([one.address, two.address]).start();
    let window = Window { lasts: Some("3s".to_owned()), ..Window::default() };
    let done = steer(&proxy, "srv0.lab.test", Command::Maintenance(window)).await;
    assert!(done.sentence.contains("is in maintenance until"), "{}", done.sentence);
    for _ in 0..5 {
        let served = body(&proxy.get("/").await);
        // On a machine that stands still it may be over.
        assert!(served == "two" || proxy.endpoints()[0].steered.is_empty(), "{served}");
    }
    until("it is over", || proxy.endpoints()[0].steered.is_empty()).await;
    assert!(proxy.app().status().overrides.is_empty());
}

#[tokio::test]
async fn a_weight_shifts_the_share_and_is_reset() {
    let (one, two) = (named("one").await, named("two").await);
    let proxy = Setup::new([one.address, two.address]).role("balance = \"random\"").start();
    steer(&proxy, "srv0.lab.test", Command::Weight("5%".to_owned())).await;
    let mut client = proxy.open().await;
    for _ in 0..400 {
        client.ask(&get("/")).await.is_from_server(200);
    }
    // 5 of 105 are 19 of 400; 60 are more than nine standard deviations more.
    let few = one.heard().len();
    assert!(few <= 60, "{few} of 400");
    let own = &proxy.endpoints()[0];
    assert_eq!((own.weight, own.configured_weight), (5, Some(100)));
    assert_eq!(proxy.metric("rolegate_endpoint_weight", &["srv0.lab.test"]), 5.0);
    steer(&proxy, "srv0.lab.test", Command::ResetWeight).await;
    assert_eq!((proxy.endpoints()[0].weight, proxy.endpoints()[0].configured_weight), (100, None));
}

#[tokio::test]
async fn tunnels_of_a_drained_server_move_little_by_little_and_come_back_elsewhere() {
    let echo = |name: &'static str| {
        Peer::serve(move |mut talk| async move {
            talk.say(format!("{name}\r\n")).await;
            while let Some(line) = talk.wire.line().await {
                talk.say(format!("{line}\r\n")).await;
            }
        })
    };
    let (one, two) = (echo("one").await, echo("two").await);
    let setup = Setup::new([one.address, two.address]).held("client-notification");
    let proxy = setup.proxy("tunnel_moves_per_second = 20").start();
    let (mut leave, mut stay) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let mut client = proxy.open().await;
        match client.line().await.as_deref() {
            Some("one") => leave.push(client),
            _ => stay.push(client),
        }
    }
    assert!(leave.len() >= 5 && stay.len() >= 5);
    steer(&proxy, "srv0.lab.test", Command::Drain).await;
    for client in &mut leave {
        let read = within("the end of a tunnel", client.stream.read(&mut [0; 10])).await;
        assert!(matches!(read, Ok(0)), "{read:?}");
        let mut again = proxy.open().await;
        assert_eq!(again.line().await.as_deref(), Some("two"));
        stay.push(again);
    }
    for client in &mut stay {
        client.say("still here\r\n").await;
        assert_eq!(client.line().await.as_deref(), Some("still here"));
    }
    until("all are counted", || proxy.metric("rolegate_tunnels_moved_total", &[]) == leave.len() as f64).await;
    until("it is empty", || in_flight(&proxy, "srv0.lab.test") == 0).await;
}

#[tokio::test]
async fn a_reload_keeps_a_drain() {
    let (one, two) = (named("one").await, named("two").await);
    let setup = Setup::new([one.address, two.address]);
    let proxy = setup.start();
    steer(&proxy, "srv0.lab.test", Command::Drain).await;
    let source = Source { name: "test.toml".to_owned(), text: setup.system("weight = 7").text() };
    proxy.app().reload_async(source).await.unwrap();
    for _ in 0..20 {
        assert_eq!(body(&proxy.get("/").await), "two");
    }
    assert!(one.heard().is_empty());
}
