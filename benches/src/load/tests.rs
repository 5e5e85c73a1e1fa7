mod due;
mod truth;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Condvar, Mutex, mpsc};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;
use crate::client::Tls;
use crate::content::Content;
use crate::pki::Authority;
use crate::site::{self, SiteSystem, Spec};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LONGEST: Duration = Duration::from_secs(60);

/// What a server has seen.
#[derive(Debug, Clone, Default)]
struct Counts {
    connections: usize,
    targets: BTreeMap<String, usize>,
    peers: BTreeMap<IpAddr, usize>,
}

impl Counts {
    fn asked(&self) -> usize {
        self.targets.values().sum()
    }
}

/// Where a server notes it, and whoever waits for it hears of it.
#[derive(Debug)]
struct Seen {
    counts: Mutex<Counts>,
    changed: Condvar,
    /// Shut until the test opens it.
    gate: Semaphore,
}

impl Seen {
    fn note(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.counts.lock().unwrap());
        self.changed.notify_all();
    }

    fn now(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    /// Waits until it has seen this, however long that takes on this machine.
    fn wait(&self, enough: impl Fn(&Counts) -> bool) {
        let counts = self.counts.lock().unwrap();
        let (counts, late) = self.changed.wait_timeout_while(counts, LONGEST, |counts| !enough(counts)).unwrap();
        assert!(!late.timed_out(), "{counts:?}");
    }
}

/// When a server answers.
#[derive(Debug, Clone, Copy)]
enum When {
    Now,
    /// Not before so much time has passed. How much more passes is up to the machine, and no test may care.
    After(Duration),
    /// When the test opens the gate.
    Gate,
    Never,
}

/// What a server does with a request: it says this, and then closes or not.
#[derive(Debug, Clone)]
struct Reply {
    text: String,
    when: When,
    close: bool,
}

impl Reply {
    fn now(text: &str) -> Self {
        Self { text: text.to_owned(), when: When::Now, close: false }
    }

    fn never() -> Self {
        Self { when: When::Never, ..Self::now("") }
    }
}

/// A server on a thread of its own; it ends with the test.
struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    _until: tokio::sync::oneshot::Sender<()>,
}

/// Starts something that serves, in a runtime of its own, which lives as long as the server.
fn start<F: Future<Output = (SocketAddr, K)>, K>(what: impl FnOnce(Arc<Seen>) -> F + Send + 'static) -> Server {
    let (to, from) = mpsc::channel();
    let (until, ends) = tokio::sync::oneshot::channel::<()>();
    let seen = Arc::new(Seen { counts: Mutex::default(), changed: Condvar::new(), gate: Semaphore::new(0) });
    let its = Arc::clone(&seen);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (address, keep) = what(its).await;
            to.send(address).unwrap();
            let _ = tokio::time::timeout(LONGEST, ends).await;
            drop(keep);
        });
    });
    Server { address: from.recv_timeout(LONGEST).unwrap(), seen, _until: until }
}

/// A server that answers request `n` with what `reply` says.
fn serve(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Server {
    start(async move |seen| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reply, asked) = (Arc::new(reply), Arc::new(AtomicUsize::new(0)));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                seen.note(|counts| {
                    counts.connections += 1;
                    *counts.peers.entry(peer.ip()).or_default() += 1;
                });
                tokio::spawn(converse(stream, Arc::clone(&seen), Arc::clone(&reply), Arc::clone(&asked)));
            }
        });
        (address, accepting)
    })
}

async fn converse(
    stream: TcpStream,
    seen: Arc<Seen>,
    reply: Arc<impl Fn(usize, &str) -> Reply>,
    asked: Arc<AtomicUsize>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<u64>().ok());
        tokio::io::copy(&mut (&mut stream).take(length.unwrap_or_default()), &mut tokio::io::sink()).await?;
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let Reply { text, when, close } = reply(asked.fetch_add(1, Relaxed), &target);
        seen.note(|counts| *counts.targets.entry(target).or_default() += 1);
        match when {
            When::Now => {}
            When::After(time) => tokio::time::sleep(time).await,
            // The permit goes back: an open gate is open for all.
            When::Gate => drop(seen.gate.acquire().await),
            When::Never => std::future::pending().await,
        }
        stream.write_all(text.as_bytes()).await?;
        if close || head.contains("Connection: close") {
            return Ok(());
        }
    }
}

/// A third of a second in a closed loop over four connections.
fn plan(target: SocketAddr) -> Plan {
    let mode = Mode::Closed { connections: 4 };
    Plan { mode, duration: Duration::from_millis(300), timeout: LONGEST, ..Plan::new(target, "mp.lab.test") }
}

fn quiet(plan: &Plan) -> Measured {
    run(plan, &Watch::default()).unwrap()
}

/// A run that lasts until it is stopped.
struct Endless {
    stop: Watch,
    seconds: Receiver<Interval>,
    running: thread::JoinHandle<Measured>,
}

impl Endless {
    fn start(plan: &Plan) -> Self {
        let (watch, seconds) = Watch::new();
        // What stops it does not keep the seconds coming.
        let stop = Watch { intervals: None, ..watch.clone() };
        let plan = Plan { duration: 4 * LONGEST, ..plan.clone() };
        Self { stop, seconds, running: thread::spawn(move || run(&plan, &watch).unwrap()) }
    }

    fn second(&self) -> Interval {
        self.seconds.recv_timeout(LONGEST).unwrap()
    }

    fn stop(self) -> Measured {
        self.stop.stop();
        self.running.join().unwrap()
    }
}

/// Runs it until the server has seen enough.
fn until(plan: &Plan, server: &Server, enough: impl Fn(&Counts) -> bool) -> Measured {
    let endless = Endless::start(plan);
    server.seen.wait(enough);
    endless.stop()
}

/// Runs it until there was an answer or an error.
fn until_something_is_over(plan: &Plan) -> Measured {
    let endless = Endless::start(plan);
    loop {
        let second = endless.second();
        if second.done + second.errors > 0 {
            return endless.stop();
        }
    }
}

fn errors(measured: &Measured) -> Vec<&str> {
    measured.series.iter().flat_map(|series| series.errors.keys().map(String::as_str)).collect()
}

fn sum(measured: &Measured, part: impl Fn(&Series) -> u64) -> u64 {
    measured.series.iter().map(part).sum()
}

fn done(measured: &Measured) -> u64 {
    sum(measured, |series| series.done)
}

fn failed(measured: &Measured, kind: &str) -> u64 {
    sum(measured, |series| series.errors.get(kind).copied().unwrap_or_default())
}

fn asked(server: &Server) -> usize {
    server.seen.now().asked()
}

#[test]
fn a_closed_loop_counts_what_was_answered() {
    let server = serve(|_, _| Reply::now(OK));
    let measured = until(&plan(server.address), &server, |seen| seen.connections == 4 && seen.asked() > 100);
    let (done, asked, dropped) = (done(&measured), asked(&server) as u64, measured.dropped);
    // At most one answer for each connection was still on its way, and it is told how many were.
    assert!(done > 0 && done <= asked && asked <= done + dropped && dropped <= 4, "{done} and {dropped} of {asked}");
    assert_eq!(server.seen.now().connections, 4);
    let series = &measured.series[0];
    assert_eq!((series.message.as_str(), series.received, series.sent), ("GET /", 2 * done, 0));
    assert_eq!((series.latency.count(), series.service.count()), (done, done));
    assert!(series.latency.percentile(100.0) >= series.service.percentile(100.0));
    assert_eq!((errors(&measured).len(), measured.interrupted), (0, true));
    assert_eq!((measured.generator.threads, measured.generator.open_max), (1, 4));
    assert_eq!(measured.timeline.iter().map(|interval| interval.done).sum::<u64>(), done);
}

#[test]
fn every_framing_is_answered_over_the_same_connections() {
    let server = serve(|_, target| match target {
        "/chunked" => {
            Reply::now("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        }
        "/head" => Reply::now("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        "/none" => Reply::now("HTTP/1.1 204 No Content\r\n\r\n"),
        "/large" => Reply::now(&format!("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n{}", "x".repeat(500_000))),
        "/continue" => Reply::now(&format!("HTTP/1.1 100 Continue\r\n\r\n{OK}")),
        _ => Reply::now(OK),
    });
    let head = PlainRequest { method: "HEAD".to_owned(), ..PlainRequest::get("/head") };
    let post = PlainRequest { method: "POST".to_owned(), body: vec![7; 1000].into(), ..PlainRequest::get("/post") };
    let mut requests = vec![head, post];
    requests.extend(["/chunked", "/none", "/large", "/continue"].map(PlainRequest::get));
    // One connection, and so all in turn, at least once.
    let mode = Mode::Closed { connections: 1 };
    let measured = until(&Plan { requests, mode, ..plan(server.address) }, &server, |seen| seen.asked() > 6);
    assert_eq!(errors(&measured), [""; 0]);
    assert_eq!(server.seen.now().connections, 1);
    let sizes: BTreeMap<_, _> =
        measured.series.iter().map(|one| (one.message.as_str(), one.received / one.done)).collect();
    let expected = [
        ("GET /chunked", 7),
        ("GET /continue", 2),
        ("GET /large", 500_000),
        ("GET /none", 0),
        ("HEAD /head", 0),
        ("POST /post", 2),
    ];
    assert_eq!(sizes, BTreeMap::from(expected));
    let post = measured.series.iter().find(|one| one.message == "POST /post").unwrap();
    assert_eq!(post.sent, 1000 * post.done);
}

#[test]
fn an_answer_that_ends_with_the_connection_is_whole_and_takes_a_new_one_each() {
    let server = serve(|_, _| Reply { close: true, ..Reply::now("HTTP/1.1 200 OK\r\n\r\nuntil the end") });
    // Four may be under way: then one is over.
    let measured = until(&plan(server.address), &server, |seen| seen.asked() > 4);
    assert_eq!(errors(&measured), [""; 0]);
    assert_eq!(sum(&measured, |series| series.received), 13 * done(&measured));
    assert!(done(&measured) > 0 && server.seen.now().connections as u64 >= done(&measured));
}

#[test]
fn failures_are_told_apart() {
    let failures = [
        ("short", Reply { close: true, ..Reply::now("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel") }),
        ("closed", Reply { close: true, ..Reply::now("") }),
        ("tls wanted", Reply::now("\x15\x03\x03\0\x02\x02\x32")),
        ("protocol", Reply::now("SSH-2.0-OpenSSH\r\n\r\n")),
        ("status 503", Reply::now("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")),
        ("timeout", Reply::never()),
    ];
    for (kind, reply) in failures {
        let server = serve(move |_, _| reply.clone());
        let timeout = if kind == "timeout" { Duration::from_millis(50) } else { LONGEST };
        // Four may be under way: then five are over.
        let measured = until(&Plan { timeout, ..plan(server.address) }, &server, |seen| seen.asked() >= 9);
        assert_eq!((errors(&measured), done(&measured)), (vec![kind], 0));
        assert_eq!(sum(&measured, |series| series.latency.count()), 0);
    }
}

#[test]
fn a_target_that_is_not_there_refuses() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let measured = until_something_is_over(&plan(address));
    assert_eq!((errors(&measured), done(&measured)), (vec!["connect refused"], 0));
    // It pauses, and does not only fail: six times for less than half a second, and then for half a second.
    let most = 4.0 * (8.0 + 2.0 * measured.measured_s);
    assert!((measured.series[0].errors["connect refused"] as f64) < most, "{:?}", measured.series);
    let rate = Mode::Rate { per_second: 50.0, connections: 2 };
    let measured = quiet(&Plan { mode: rate, ..plan(address) });
    // Whatever this machine had no time for is an error too.
    assert_eq!(measured.series[0].errors.values().sum::<u64>(), 15, "{measured:?}");
    assert!(errors(&measured).into_iter().all(|kind| ["connect refused", "unsent"].contains(&kind)), "{measured:?}");
}

#[test]
fn a_rate_is_kept_and_a_ramp_too() {
    let server = serve(|_, _| Reply::now(OK));
    for (mode, expected) in [
        (Mode::Rate { per_second: 200.0, connections: 3 }, 60),
        (Mode::Ramp { from: 0.0, to: 400.0, connections: 3 }, 60),
    ] {
        let measured = quiet(&Plan { mode, threads: 2, ..plan(server.address) });
        // All that was due was sent, unless this machine stood still at the very end.
        let all = done(&measured) + sum(&measured, |series| series.errors.values().sum());
        assert!(all.abs_diff(expected) <= 1, "{measured:?}");
        assert_eq!(measured.generator.threads, 2);
        assert!(errors(&measured).into_iter().all(|kind| kind == "unsent"), "{measured:?}");
    }
    assert_eq!(server.seen.now().connections, 6);
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // The first answer takes long, and there is one connection: all others wait for it.
    let server = serve(|n, _| Reply { when: if n == 0 { When::Gate } else { When::Now }, ..Reply::now(OK) });
    let mode = Mode::Rate { per_second: 100.0, connections: 1 };
    let endless = Endless::start(&Plan { mode, ..plan(server.address) });
    server.seen.wait(|seen| seen.asked() == 1);
    let asked_at = Instant::now();
    // Any time will do, the longer the more requests.
    while asked_at.elapsed() < Duration::from_millis(500) {
        drop(endless.second());
    }
    let held = asked_at.elapsed();
    server.seen.gate.add_permits(1);
    // In each hundredth of a second of the first half one was due, which waited for the other half or more.
    let half = u64::try_from(held.as_micros()).unwrap() / 2;
    let expected = half / 10_000;
    server.seen.wait(|seen| seen.asked() as u64 > expected + 1);
    let measured = endless.stop();
    let series = &measured.series[0];
    let slow = series.latency.histogram().count_between(half, u64::MAX);
    assert!(expected > 0 && slow >= expected, "{slow} of {} in {held:?}", series.done);
    // A closed loop would see one.
    assert!(series.service.percentile(100.0) >= half, "{measured:?}");
    assert!(series.service.histogram().count_between(half, u64::MAX) < expected, "{measured:?}");
}

#[test]
fn who_waits_too_long_for_a_connection_is_counted_and_the_rest_is_told() {
    let server = serve(|_, _| Reply::never());
    let mode = Mode::Rate { per_second: 1000.0, connections: 1 };
    let timeout = Duration::from_millis(60);
    let measured = quiet(&Plan { mode, timeout, ..plan(server.address) });
    assert_eq!((errors(&measured), done(&measured)), (vec!["timeout", "unsent"], 0));
    // Not one of those that were due is passed over.
    let all = measured.series[0].errors.values().sum::<u64>();
    assert_eq!((all, measured.timeline.iter().map(|interval| interval.errors).sum::<u64>()), (300, 300));
    assert!(measured.generator.doubts.iter().any(|doubt| doubt.contains("not yet sent")), "{measured:?}");
}

#[test]
fn what_is_under_way_at_the_end_of_an_open_loop_is_waited_for() {
    // No request is sent before it is due, so the last ones are answered after the end.
    let server = serve(|_, _| Reply { when: When::After(Duration::from_millis(150)), ..Reply::now(OK) });
    let mode = Mode::Rate { per_second: 100.0, connections: 50 };
    let measured = quiet(&Plan { mode, ..plan(server.address) });
    // Whatever this machine had no time for was not sent.
    assert_eq!(done(&measured) + failed(&measured, "unsent"), 30, "{measured:?}");
    assert_eq!((measured.dropped, measured.interrupted), (0, false));
    assert!((measured.measured_s - 0.3).abs() < 1e-9);
    assert_eq!(measured.timeline.len(), 1);
}

#[test]
fn a_run_that_is_stopped_gives_what_it_measured() {
    for mode in [Mode::Closed { connections: 2 }, Mode::Rate { per_second: 300.0, connections: 2 }] {
        let server = serve(|_, _| Reply::now(OK));
        let endless = Endless::start(&Plan { mode, ..plan(server.address) });
        // The first whole second.
        let first = endless.second();
        let measured = endless.stop();
        assert!(measured.interrupted && measured.measured_s >= 1.0 && measured.measured_s < 200.0, "{measured:?}");
        assert!(first.done > 0 && done(&measured) >= first.done);
        assert_eq!((first.at_s, first.length_s, first.open), (0.0, 1.0, 2));
        // What was due in it and was over later is there now, too.
        let whole = &measured.timeline[0];
        assert!(whole.done >= first.done && (whole.at_s, whole.open) == (first.at_s, first.open), "{whole:?}");
        assert_eq!(measured.timeline.iter().map(|interval| interval.done).sum::<u64>(), done(&measured));
    }
}

#[test]
fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    let server = serve(|_, _| Reply::now(OK));
    let sources = ["127.9.0.1", "127.9.0.2", "127.9.0.3"].map(|source| source.parse().unwrap()).to_vec();
    let plan = Plan { keep_alive: false, sources, threads: 2, ..plan(server.address) };
    let measured = until(&plan, &server, |seen| seen.asked() > 4 && seen.peers.len() == 3);
    assert_eq!(errors(&measured), [""; 0]);
    let (connections, asked) = {
        let seen = server.seen.now();
        (seen.connections, seen.asked())
    };
    assert!(connections >= asked && connections as u64 >= done(&measured));
    assert!(connections <= asked + 4);
    assert!(measured.series[0].latency.percentile(50.0) >= measured.series[0].service.percentile(50.0));
}

#[test]
fn a_connection_that_the_target_ended_while_it_was_idle_is_no_failure() {
    // It says nothing of it before.
    let server = serve(|_, _| Reply { close: true, ..Reply::now(OK) });
    let mode = Mode::Rate { per_second: 20.0, connections: 1 };
    let measured = quiet(&Plan { mode, ..plan(server.address) });
    // After a pause of the whole machine two are due at once, and the end may come while the second is on its way.
    let failed = measured.series[0].errors.values().sum::<u64>();
    assert!(failed <= 1 || !measured.generator.doubts.is_empty(), "{measured:?}");
    assert!(done(&measured) >= 1 && server.seen.now().connections as u64 >= done(&measured));
}

#[test]
fn targets_are_asked_for_in_turn() {
    let server = serve(|_, _| Reply::now(OK));
    let requests = (0..7).map(|n| PlainRequest::get(&format!("/{n}"))).collect();
    let mode = Mode::Rate { per_second: 140.0, connections: 2 };
    let measured = quiet(&Plan { requests, mode, ..plan(server.address) });
    let targets = server.seen.now().targets;
    assert_eq!(targets.len(), 7);
    let (least, most) = (targets.values().min().unwrap(), targets.values().max().unwrap());
    assert!(most - least <= 1, "{targets:?}");
    assert_eq!(measured.series.len(), 7);
}

/// A site system with TLS, and what has to be trusted for it.
fn secured() -> (Server, Tls) {
    let authority = Authority::new("Lab Root CA");
    let identity = authority.server(&["mp.lab.test"]);
    let spec = Spec::distribution_point("dp1", &Arc::new(Content::default())).tls(site::Tls::new(identity));
    let server = start(async move |_| {
        let site = SiteSystem::start(spec).await.unwrap();
        (site.address(), site)
    });
    (server, Tls::new().trusting(authority.certificate_pem()))
}

#[test]
fn secured_connections_work_kept_and_new_and_resumed_and_not() {
    let (server, tls) = secured();
    for (keep_alive, resume_tls) in [(true, true), (false, true), (false, false)] {
        let requests = vec![PlainRequest::get("/SMS_DP_SMSPKG$/")];
        let plan = Plan { tls: Some(tls.clone()), keep_alive, resume_tls, requests, ..plan(server.address) };
        let measured = until_something_is_over(&plan);
        // Which answer it is does not matter here, but that there is one.
        let failed: Vec<_> = errors(&measured).into_iter().filter(|kind| !kind.starts_with("status")).collect();
        assert_eq!(failed, [""; 0]);
    }
}

#[test]
fn sessions_are_resumed_only_if_that_is_wanted() {
    let (server, tls) = secured();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for resume_tls in [true, false] {
        let plan = Plan { tls: Some(tls.clone()), resume_tls, ..plan(server.address) };
        let dialer = connection::Dialer::new(&plan).unwrap();
        let scratch = connection::Scratch::new(4096);
        let request = &plan::prepare(&plan).unwrap().0[0];
        let resumed = runtime.block_on(async {
            let mut first = dialer.open(0).await.unwrap();
            // What it takes to resume comes with the answer.
            let outgoing = Outgoing { bytes: &request.bytes, filler: 0, head_only: false };
            first.exchange(outgoing, &scratch).await.unwrap();
            [first.is_resumed(), dialer.open(1).await.unwrap().is_resumed()]
        });
        assert_eq!(resumed, [false, resume_tls]);
    }
}

#[test]
fn a_handshake_that_fails_is_told_apart() {
    let (server, _) = secured();
    let other = Tls::new().trusting(Authority::new("Another CA").certificate_pem());
    let measured = until_something_is_over(&Plan { tls: Some(other), ..plan(server.address) });
    assert_eq!((errors(&measured), done(&measured)), (vec!["tls unknown authority"], 0));
}

#[test]
fn a_target_that_never_answers_leaves_a_doubt_and_what_it_was_asked() {
    let server = serve(|_, _| Reply::never());
    let measured = until(&plan(server.address), &server, |seen| seen.asked() == 4);
    assert_eq!((measured.series.len(), measured.timeline.last().map(|last| last.under_way)), (0, Some(4)));
    assert_eq!(measured.dropped, 4);
    assert!(measured.generator.doubts.iter().any(|doubt| doubt.starts_with("No request was over")), "{measured:?}");
}

#[test]
fn what_a_closed_loop_drops_at_its_own_end_is_told() {
    let server = serve(|_, _| Reply::never());
    let measured = quiet(&plan(server.address));
    // Each that the server has seen, and any that was on its way to it.
    let asked = asked(&server) as u64;
    assert!((asked..=4).contains(&measured.dropped) && !measured.interrupted, "{measured:?}, {asked} asked");
    assert_eq!(measured.timeline.last().map(|last| last.under_way), Some(measured.dropped));
}

#[test]
fn unsent_requests_are_shared_among_the_targets_and_what_is_under_way_is_dropped() {
    let server = serve(|_, _| Reply::never());
    let requests = ["/a", "/b", "/c"].map(PlainRequest::get).to_vec();
    let mode = Mode::Rate { per_second: 100.0, connections: 1 };
    let endless = Endless::start(&Plan { requests, mode, ..plan(server.address) });
    server.seen.wait(|seen| seen.asked() == 1);
    // In a second, many are due.
    drop(endless.second());
    let measured = endless.stop();
    assert_eq!(measured.series.len(), 3, "an ended run has them too: {measured:?}");
    let counts: Vec<u64> = measured.series.iter().map(|series| series.errors["unsent"]).collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    assert_eq!((measured.dropped, measured.interrupted), (1, true), "{measured:?}");
}

#[test]
fn a_plan_without_sense_is_refused() {
    let nothing = Plan { requests: Vec::new(), ..plan(([127, 0, 0, 1], 9).into()) };
    assert!(matches!(run(&nothing, &Watch::default()), Err(Error::Plan(_))));
}
