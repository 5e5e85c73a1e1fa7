//! NTLM as it really is, through the proxy: everybody is who they are, whatever happens around them.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode};
use rolegate::control::config::Source;
use rolegate_bench::client::{Answer, Client, Connector, Credentials};
use rolegate_bench::site::{SiteSystem, Spec};
use support::{Message, Peer, Pki, Proxy, Setup, Wire, get, until, within};

const CLOSED: &str = "/SMS_MP_WindowsAuth/.sms_aut?MPLIST";
const OPEN: &str = "/SMS_MP/.sms_aut?MPLIST";
const USER: &str = "x-authenticated-user";
const USERS: u8 = 24;

fn name(number: u8) -> String {
    format!("LAB\\user{number}")
}

fn password(number: u8) -> String {
    format!("secret of {number}")
}

async fn sites(count: usize) -> Vec<SiteSystem> {
    let mut sites = Vec::new();
    for place in 0..count {
        let spec = Spec::management_point(&format!("mp{place}.lab.test"));
        let spec = (0..USERS).fold(spec, |spec, number| spec.user(&name(number), &password(number)));
        sites.push(SiteSystem::start(spec).await.unwrap());
    }
    sites
}

fn in_front_of(sites: &[SiteSystem]) -> Setup {
    Setup::new(sites.iter().map(SiteSystem::address)).threads(2)
}

/// A user at a computer of its own.
fn user(proxy: &Proxy, number: u8, tls: Option<&Connector>) -> Client {
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 4, number + 1));
    let client = Client::new(source, proxy.at("http"), "mp1.lab.test", u64::from(number));
    let client = client.with_user(&name(number), &password(number));
    match tls {
        Some(tls) => client.with_connector(tls.clone()),
        None => client,
    }
}

/// Whether the answer is for this user. One for anybody else is what must never be.
fn is_for(answer: &Answer, number: u8) -> bool {
    let found = answer.headers.get(USER).map(|user| user.to_str().unwrap());
    assert!(found.is_none_or(|user| user == name(number)), "{found:?} is not {}", name(number));
    assert!(found.is_some() || answer.status != StatusCode::OK, "nobody was let in");
    found.is_some() && answer.status == StatusCode::OK
}

/// Logs on and asks a few times on the same connection; then again on another.
async fn works(proxy: &Proxy, number: u8, tls: Option<&Connector>) {
    let mut client = user(proxy, number, tls);
    for _ in 0..2 {
        let answer = client.request_as_user(Method::GET, CLOSED, HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
        assert!(is_for(&answer, number), "{answer:?}");
        for _ in 0..4 {
            let answer = client.request(Method::GET, CLOSED, bytes::Bytes::new()).await.unwrap();
            assert!(is_for(&answer, number), "{answer:?}");
            tokio::task::yield_now().await;
        }
        let posted = client.request(Method::POST, CLOSED, "hello".into()).await.unwrap();
        assert_eq!(posted.headers.get(USER).unwrap(), &name(number));
        client.disconnect();
    }
}

/// Asks without a user until told to stop, and never is taken for one.
async fn strangers(proxy: &Proxy, stop: &AtomicBool) {
    let each = (0..6_u8).map(|number| async move {
        let source = format!("127.0.5.{}", number + 1);
        let mut client = proxy.open_from(&source).await;
        while !stop.load(Relaxed) {
            for (target, may) in [(OPEN, [200, 502, 503]), (CLOSED, [401, 502, 503])] {
                let answer: Message = client.ask(&get(target)).await;
                assert!(answer.cut || may.contains(&answer.status()), "{answer:?}");
                assert_eq!(answer.field(USER), None, "{answer:?}");
                if answer.cut || answer.status() >= 500 || answer.field("connection") == Some("close") {
                    client = proxy.open_from(&source).await;
                }
            }
        }
    });
    join_all(each).await;
}

/// Every connection that a user has proved itself on was that user's, from one address, and nobody else's.
fn nobody_shared(sites: &[SiteSystem]) {
    for site in sites {
        let mut users: HashMap<u64, HashSet<String>> = HashMap::new();
        let mut sources: HashMap<u64, HashSet<String>> = HashMap::new();
        for seen in site.counters().seen() {
            let source = seen.header("x-forwarded-for").unwrap_or_default().to_owned();
            sources.entry(seen.connection).or_default().insert(source);
            if let Some(user) = seen.user {
                users.entry(seen.connection).or_default().insert(user);
            }
        }
        for (connection, users) in users {
            assert!(users.len() == 1 && sources[&connection].len() == 1, "{users:?} {:?}", sources[&connection]);
        }
    }
}

async fn all_users(proxy: &Proxy, tls: Option<&Connector>) {
    join_all((0..USERS).map(|number| works(proxy, number, tls))).await;
}

#[tokio::test]
async fn many_users_at_the_same_time_are_who_they_are() {
    let pki = Pki::new();
    let connector = pki.client().connector().unwrap();
    for tls in [None, Some(&connector)] {
        let sites = sites(2).await;
        let listener = tls.map_or_else(String::new, |_| pki.terminates(""));
        let proxy = in_front_of(&sites).listener(&listener).start();
        let stop = AtomicBool::new(tls.is_some());
        let work = async {
            all_users(&proxy, tls).await;
            stop.store(true, Relaxed);
        };
        within("all of them", async { tokio::join!(work, strangers(&proxy, &stop)) }).await;
        proxy.until_idle().await;
        until("no client is signed in", || proxy.metric("rolegate_pins", &[]) == 0.0).await;
        nobody_shared(&sites);
        let ended = |by: &str| proxy.metric("rolegate_pins_ended_total", &[by]);
        // Strangers who were challenged had one too.
        until("every logon has ended with its client", || ended("by=\"client\"") >= f64::from(2 * USERS)).await;
        assert_eq!(ended(""), ended("by=\"client\""));
    }
}

#[tokio::test]
async fn a_reload_touches_no_logon() {
    let sites = sites(2).await;
    let setup = in_front_of(&sites);
    let texts =
        ["max_body = \"1MiB\"", "max_requests = 500\nbalance = \"random\""].map(|role| setup.clone().role(role).text());
    let proxy = setup.start();
    let stop = AtomicBool::new(false);
    let work = async {
        for _ in 0..3 {
            all_users(&proxy, None).await;
        }
        stop.store(true, Relaxed);
    };
    let reloads = async {
        let mut count = 0;
        while !stop.load(Relaxed) {
            let text = texts[count % 2].clone();
            proxy.app().reload_async(Source { name: "test.toml".to_owned(), text }).await.unwrap();
            count += 1;
        }
        count
    };
    let ((), (), count) = within("all of them", async { tokio::join!(work, strangers(&proxy, &stop), reloads) }).await;
    assert!(count > 5, "{count} reloads");
    proxy.until_idle().await;
    nobody_shared(&sites);
}

#[tokio::test]
async fn a_reload_that_removes_a_server_lets_its_users_finish() {
    let sites = sites(2).await;
    let both = in_front_of(&sites);
    let one = in_front_of(&sites[..1]);
    let proxy = both.start();
    let mut clients = Vec::new();
    for number in 0..USERS {
        let mut client = user(&proxy, number, None);
        let answer = client.request_as_user(Method::GET, CLOSED, HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
        let by = answer.served_by().unwrap().to_owned();
        clients.push((number, client, by));
    }
    assert!(clients.iter().any(|(_, _, by)| by == "mp1.lab.test"));
    proxy.app().reload_async(Source { name: "test.toml".to_owned(), text: one.text() }).await.unwrap();
    for (number, client, by) in &mut clients {
        let answer = client.request(Method::GET, CLOSED, bytes::Bytes::new()).await.unwrap();
        assert!(is_for(&answer, *number));
        assert_eq!(answer.served_by(), Some(by.as_str()), "a logon cannot move");
    }
}

#[tokio::test]
async fn a_server_that_dies_mixes_nobody_up() {
    let sites = Arc::new(sites(2).await);
    let proxy = in_front_of(&sites).start();
    let stop = AtomicBool::new(false);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let tries = |number: u8| {
        let proxy = &proxy;
        async move {
            let (mut client, mut done) = (user(proxy, number, None), 0);
            for _ in 0..400 {
                let body = bytes::Bytes::new();
                let answer = match done % 4 {
                    0 => client.request_as_user(Method::GET, CLOSED, HeaderMap::new(), body).await,
                    _ => client.request(Method::GET, CLOSED, body).await,
                };
                if answer.is_ok_and(|answer| is_for(&answer, number)) {
                    done += 1;
                } else {
                    // As a client does it: from the beginning.
                    client.disconnect();
                    done -= done % 4;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if done == 40 {
                    return;
                }
            }
            panic!("user {number} was served {done} times");
        }
    };
    let work = async {
        join_all((0..USERS).map(tries)).await;
        stop.store(true, Relaxed);
    };
    let deaths = async {
        let (mut dice, mut count) = (fastrand::Rng::with_seed(seed), 0);
        while !stop.load(Relaxed) {
            let site = &sites[dice.usize(..2)];
            site.kill();
            tokio::time::sleep(Duration::from_millis(dice.u64(1..15))).await;
            site.restart().await.unwrap();
            tokio::time::sleep(Duration::from_millis(dice.u64(5..40))).await;
            count += 1;
        }
        count
    };
    let ((), (), count) = within("all of them", async { tokio::join!(work, strangers(&proxy, &stop), deaths) }).await;
    assert!(count > 3, "{count} deaths");
    proxy.until_idle().await;
    nobody_shared(&sites);
}

/// Challenges the first leg, and ends the connection under a leg with this number.
async fn hangs_up_at(leg: usize) -> Peer {
    Peer::serve(move |mut talk| async move {
        for now in 1.. {
            if talk.request().await.is_none() || now == leg {
                return;
            }
            talk.say("HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM VHdv\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await
}

fn leg(method: &str, token: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} /x HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM {token}\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_leg_that_fails_is_never_sent_again() {
    for (method, body) in [("GET", ""), ("POST", ""), ("POST", "hello")] {
        for failing in [1, 2] {
            let servers = [hangs_up_at(failing).await, hangs_up_at(failing).await];
            let proxy = Setup::new(servers.iter().map(|server| server.address)).start();
            let heard = || servers.iter().map(Peer::count).sum::<usize>();
            let mut client = proxy.open().await;
            for number in 1..failing {
                assert_eq!(client.ask(&leg("GET", "T25l", "")).await.status(), 401, "leg {number}");
            }
            let answer = client.ask(&leg(method, "VGhyZWU=", body)).await;
            answer.is_own(502, "connection_terminated");
            assert_eq!(heard(), failing, "{method} {body} {failing}");
            if failing > 1 {
                assert_eq!(answer.field("connection"), Some("close"));
                client.ends().await;
                assert_eq!(proxy.metric("rolegate_pins_ended_total", &["by=\"failure\""]), 1.0);
            }
            proxy.until_idle().await;
            assert_eq!(servers.iter().map(Peer::accepted).sum::<usize>(), 1);
        }
    }
}

#[tokio::test]
async fn a_client_that_vanishes_between_two_legs_leaves_nothing() {
    let sites = sites(1).await;
    let pki = Pki::new();
    let plain = in_front_of(&sites).start();
    let secured = in_front_of(&sites).listener(&pki.terminates("")).start();
    let first = format!("GET {CLOSED} HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM {}\r\n\r\n", Credentials::negotiate());
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..10 {
        let mut client = plain.open().await;
        let answer = client.ask(&first).await;
        assert!(answer.status() == 401 && answer.all("www-authenticate")[0].starts_with("NTLM TlRM"), "{answer:?}");
        wires.push(client);
    }
    plain.until_idle().await;
    assert_eq!(plain.metric("rolegate_pins", &[]), 10.0, "each holds a connection, and none a place");
    for (number, wire) in wires.into_iter().enumerate() {
        if number % 2 == 0 { wire.reset() } else { drop(wire) }
    }
    let mut clients = Vec::new();
    for number in 0..10 {
        let mut client = secured.secure(&pki.client()).await;
        assert_eq!(client.ask(&first).await.status(), 401);
        if number % 2 == 0 {
            client.end().await;
        }
        clients.push(client);
    }
    drop(clients);
    for proxy in [&plain, &secured] {
        proxy.until_idle().await;
        let ended = |by: &str| proxy.metric("rolegate_pins_ended_total", &[by]);
        until("all pairs have ended", || ended("by=\"client\"") == 10.0).await;
        assert_eq!(ended(""), 10.0);
    }
    until("the server's sides are closed", || sites[0].counters().open_connections() == 0).await;
}

#[tokio::test]
async fn a_pair_of_connections_dies_together() {
    let sites = sites(1).await;
    let pki = Pki::new();
    let connector = pki.client().connector().unwrap();
    for secured in [false, true] {
        let listener = if secured { pki.terminates("") } else { String::new() };
        let proxy = in_front_of(&sites).listener(&listener).start();
        for number in 0..5 {
            let mut client = user(&proxy, number, secured.then_some(&connector));
            let logged_on = client.request_as_user(Method::GET, CLOSED, HeaderMap::new(), bytes::Bytes::new()).await;
            assert!(is_for(&logged_on.unwrap(), number));
            assert_eq!((proxy.metric("rolegate_pins", &[]), sites[0].counters().open_connections()), (1.0, 1));
            drop(client);
            until("the server's side is closed", || sites[0].counters().open_connections() == 0).await;
            proxy.until_idle().await;
        }
        let ended = |by: &str| proxy.metric("rolegate_pins_ended_total", &[by]);
        assert_eq!((ended("by=\"client\""), ended("")), (5.0, 5.0));
        let mut client = user(&proxy, 0, secured.then_some(&connector));
        let logged_on = client.request_as_user(Method::GET, CLOSED, HeaderMap::new(), bytes::Bytes::new()).await;
        assert!(is_for(&logged_on.unwrap(), 0));
        sites[0].kill();
        until("the pair is gone", || ended("by=\"server\"") == 1.0).await;
        until("the client's side too", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
        proxy.until_idle().await;
        sites[0].restart().await.unwrap();
    }
}

/// The system's own client, with these arguments before two addresses that need a logon.
async fn curl(number: u8, base: String, more: Vec<String>) -> String {
    let run = move || {
        let mut command = std::process::Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "15",
            "--dump-header",
            "-",
            "--output",
            "/dev/null",
            "--ntlm",
        ]);
        command.args(["--output", "/dev/null", "-u", &format!("{}:{}", name(number), password(number))]).args(more);
        command.args([format!("{base}{CLOSED}"), format!("{base}{CLOSED}&again")]);
        let output = command.output().expect("this test needs the program curl (Debian: apt install curl)");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "curl, which must know NTLM: {said}");
        String::from_utf8_lossy(&output.stdout).to_ascii_lowercase()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn curl_logs_on() {
    let sites = sites(2).await;
    let pki = Pki::new();
    let plain = in_front_of(&sites).start();
    let secured = in_front_of(&sites).listener(&pki.terminates("")).start();
    let ca = pki.path("ca.crt").trim_matches('\'').to_owned();
    let to_plain = format!("http://{}", plain.at("http"));
    let to_secured = format!("https://{}", secured.at("http"));
    let runs = (0..8).map(|number| match number % 2 {
        0 => curl(number, to_plain.clone(), Vec::new()),
        _ => curl(number, to_secured.clone(), vec!["--cacert".to_owned(), ca.clone()]),
    });
    for (number, heads) in (0..).zip(within("all of them", join_all(runs)).await) {
        let own = format!("{USER}: {}", name(number).to_ascii_lowercase());
        assert_eq!(heads.lines().filter(|line| line.starts_with("http/1.1 200")).count(), 2, "{heads}");
        assert_eq!(heads.lines().filter(|line| line.trim_end() == own).count(), 2, "{heads}");
        assert_eq!(heads.matches(USER).count(), 2, "{heads}");
    }
    nobody_shared(&sites);
}
