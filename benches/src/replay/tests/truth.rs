//! What is sent and reported against the log, and against what a server itself has counted.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;

use super::*;
use crate::load::Watch;
use crate::record::Run;
use crate::scripted::{Act, Asked, Scripted};

const HEAD: &str =
    "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query cs(User-Agent) cs-host sc-status cs-bytes\n";

/// What the server does with a request, and what that comes to where the log has 200, or 404 for every seventh.
fn act(number: usize) -> (&'static str, Act) {
    match (number % 7 == 6, number % 10) {
        (true, 0..5) => ("good", Act::status("404 Not Found", b"no")),
        (true, _) => ("status 200", Act::ok()),
        (_, 0) => ("status 503", Act::status("503 Service Unavailable", b"no")),
        (_, 1) => ("closed", Act::Close(Vec::new())),
        (_, 2) => ("short", Act::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel".to_vec())),
        (_, 3) => ("protocol", Act::Close(b"SSH-2.0-OpenSSH\r\n".to_vec())),
        _ => ("good", Act::status("206 Partial Content", b"part")),
    }
}

/// The number of a request is at the end of its target.
fn number(asked: &Asked) -> usize {
    asked.target.rsplit_once("n=").unwrap().1.parse().unwrap()
}

/// Line `number` of a log: of 20 clients, with bodies here and there.
fn line(number: usize) -> String {
    let (client, second) = (number % 20, number / 50);
    let status = if number % 7 == 6 { 404 } else { 200 };
    let (method, path) = match number % 3 {
        0 => ("GET", "/SMS_MP/.sms_pol"),
        1 => ("CCM_POST", "/ccm_system/request"),
        _ => ("GET", "/SMS_DP_SMSPKG$/PKG00001/a.exe"),
    };
    let bytes = if method == "GET" { 0 } else { number * 1000 };
    format!(
        "2026-03-01 08:15:{second:02} 10.1.0.{client} {method} {path} n={number} SMS+CCM+5.0 mp{} {status} {bytes}\n",
        number % 2
    )
}

/// A request as the log has it, and as the server got it.
fn seen(asked: &Asked) -> String {
    let field = |name: &str| {
        let line = asked.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or("0").to_owned()
    };
    let [host, agent, length] = ["Host", "User-Agent", "Content-Length"].map(field);
    format!("{} {} {host} {agent} {length}", asked.method, asked.target)
}

fn expected(line: &str) -> String {
    let values: Vec<_> = line.split_ascii_whitespace().collect();
    let (agent, target) = (values[6].replace('+', " "), format!("{}?{}", values[4], values[5]));
    format!("{} {target} {} {agent} {}", values[3], values[7], values[9])
}

fn replayed(log: Log, plan: &Plan) -> Run {
    run(&Arc::new(log), plan, &running(), &Watch::default()).unwrap()
}

fn outcomes(run: &Run) -> BTreeMap<(String, String), u64> {
    let mut outcomes = BTreeMap::new();
    for series in &run.series {
        let name = |kind: &str| (series.message.clone(), kind.to_owned());
        *outcomes.entry(name("good")).or_default() += series.done;
        for (kind, count) in &series.errors {
            *outcomes.entry(name(kind)).or_default() += count;
        }
        assert_eq!((series.latency.count(), series.service.count()), (series.done, series.done));
    }
    outcomes.retain(|_, count| *count > 0);
    outcomes
}

#[test]
fn the_server_gets_the_log_line_by_line_and_outcomes_are_what_it_did() {
    const LINES: usize = 300;
    let lines: Vec<_> = (0..LINES).map(line).collect();
    let server = Scripted::start(|asked| act(number(asked)).1);
    let log = read(&(HEAD.to_owned() + &lines.concat()));
    let plan = Plan { tempo: Tempo::Logged(6.0), ..plan(&format!("http://{}", server.address)) };
    let run = replayed(log, &plan);
    let mut asked = server.asked();
    asked.sort_by_key(number);
    let got: Vec<_> = asked.iter().map(seen).collect();
    assert_eq!(got, lines.iter().map(|line| expected(line)).collect::<Vec<_>>());
    let mut counted = BTreeMap::new();
    for asked in &asked {
        let message = match number(asked) % 3 {
            0 => "policy body",
            1 => "client message",
            _ => "content",
        };
        *counted.entry((message.to_owned(), act(number(asked)).0.to_owned())).or_default() += 1;
    }
    assert_eq!(outcomes(&run), counted);
    // The six seconds of the log took one of ours, and each request counts where it was due.
    let timeline: Vec<_> = run.timeline.iter().map(|second| second.done + second.errors).collect();
    assert_eq!((timeline, run.measured_s, run.dropped), (vec![LINES as u64], 1.0, 0), "{run:?}");
    let sent: u64 = run.series.iter().map(|series| series.sent).sum();
    assert_eq!(sent, (0..LINES).filter(|number| number % 3 == 1).map(|number| number as u64 * 1000).sum::<u64>());
    assert_eq!((run.name.as_str(), run.clients), ("replay test.log", 20));
}

#[test]
fn percentiles_are_those_of_the_delays_that_the_server_made() {
    // So far apart that no machine takes the one for the other.
    const LONG: Duration = Duration::from_secs(4);
    let slow = |asked: &Asked| number(asked) % 10 == 3;
    let server = Scripted::start(move |asked| match Act::ok() {
        Act::Say(text) if slow(asked) => Act::SayAfter(LONG, text),
        act => act,
    });
    let lines: String = (0..200).map(line).collect();
    let log = read(&(HEAD.to_owned() + &lines.replace(" 404 ", " 200 ")));
    // Clients whose answers are late go on, on another connection.
    let run = replayed(log, &Plan { tempo: Tempo::Rate(400.0), ..plan(&format!("http://{}", server.address)) });
    let us = u64::try_from(LONG.as_micros()).unwrap();
    let all = run.series.iter().fold(crate::record::Latencies::default(), |mut all, series| {
        all.merge(&series.latency);
        all
    });
    // Three digits are right.
    let counted = all.histogram().count_between(us - us / 1000, u64::MAX);
    assert_eq!((all.count(), counted), (200, 20), "{run:?}");
    assert!(all.percentile(89.9) < us / 2 && all.percentile(90.1) >= us - us / 1000, "{all:?}");
    let seconds: Vec<_> = run.timeline.iter().map(|second| (second.done, second.length_s)).collect();
    assert_eq!(seconds, [(200, 0.5)], "what is late counts where it was due");
}

#[test]
fn what_waits_for_a_place_is_doubted_and_what_never_finds_one_is_an_error() {
    let server = Scripted::start(|_| Act::SayAfter(LONGEST, Vec::new()));
    let log = read(&(HEAD.to_owned() + &(0..40).map(line).collect::<String>()));
    let timeout = Duration::from_millis(300);
    let slow = Plan { tempo: Tempo::Rate(100.0), timeout, under_way: 4, ..plan(&format!("http://{}", server.address)) };
    let run = replayed(log, &slow);
    let failed = |kind: &str| run.series.iter().filter_map(|series| series.errors.get(kind)).sum::<u64>();
    assert_eq!((failed("timeout") + failed("unsent"), run.dropped), (40, 0), "{run:?}");
    assert!(failed("unsent") > 0 && failed("timeout") >= 4, "{run:?}");
    let doubts = run.generator.doubts.join("\n");
    assert!(
        doubts.contains("had to wait because 4 were under way") && doubts.contains("not yet sent when"),
        "{doubts}"
    );
}

#[test]
fn each_client_has_its_address_and_keeps_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (to, from) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let (mut stream, to) = (stream.unwrap(), to.clone());
            std::thread::spawn(move || {
                let peer = stream.peer_addr().unwrap().ip().to_string();
                let mut bytes = [0; 4096];
                // Heads are short and come one at a time.
                while stream.read(&mut bytes).is_ok_and(|len| len > 0) {
                    to.send(peer.clone()).unwrap();
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    let line = |client: &str, second: u32| format!("2026-03-01 08:15:{second} {client} GET / - - - 200 0\n");
    let lines = ["10.1.0.7", "10.2.0.7", "172.1.0.7"].map(|client| line(client, 30) + &line(client, 31));
    let log = read(&(HEAD.to_owned() + &lines.concat()));
    let sources = Sources::Mapped("127.0.0.0/8".parse().unwrap());
    let run = replayed(log, &Plan { sources, tempo: Tempo::Logged(2.0), ..plan(&format!("http://{address}")) });
    assert_eq!(run.series[0].done, 6, "{run:?}");
    let mut peers: Vec<_> = from.iter().take(6).collect();
    peers.sort();
    assert_eq!(peers, ["127.1.0.7", "127.1.0.7", "127.1.0.7", "127.1.0.7", "127.2.0.7", "127.2.0.7"]);
    assert_eq!(run.generator.open_max, 3, "one each, also those that share an address");
}

#[test]
fn a_replay_that_is_ended_early_says_so() {
    let server = Scripted::start(|_| Act::ok());
    let log = Arc::new(read(&(HEAD.to_owned() + &(0..200).map(line).collect::<String>())));
    let (watch, seconds) = Watch::new();
    let stop = Watch { intervals: None, ..watch.clone() };
    let plan = Plan { tempo: Tempo::Rate(20.0), ..plan(&format!("http://{}", server.address)) };
    let running = std::thread::spawn(move || run(&log, &plan, &running(), &watch).unwrap());
    seconds.recv_timeout(LONGEST).unwrap();
    stop.stop();
    let run = running.join().unwrap();
    let counted: u64 = run.series.iter().map(|series| series.done + series.errors.values().sum::<u64>()).sum();
    let asked = server.asked().len() as u64;
    assert!(run.interrupted && run.measured_s < 10.0, "{run:?}");
    let unsent: u64 = run.series.iter().filter_map(|series| series.errors.get("unsent")).sum();
    assert!((counted - unsent..=counted - unsent + run.dropped).contains(&asked), "{asked}: {run:?}");
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_with_all_reasons() {
    let log = read(&(HEAD.to_owned() + &line(0)));
    let refused = |plan: &Plan| plan.length(&log).unwrap_err().to_string();
    let zero = Some(Duration::ZERO);
    let sources = Sources::Mapped("fd00::/8".parse().unwrap());
    let told = refused(&Plan {
        tempo: Tempo::Rate(f64::NAN),
        duration: zero,
        timeout: Duration::ZERO,
        sources,
        ..plan("http://127.0.0.1:1")
    });
    for reason in ["--rate: NaN is outside 0.01", "--timeout: it has", "--duration: it has", "of different kinds"] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
    assert!(
        refused(&Plan { tempo: Tempo::Logged(0.0), ..plan("http://127.0.0.1:1") }).contains("--speedup: 0 is outside")
    );
    let years = read(&(HEAD.to_owned() + &line(0) + &line(0).replace("2026", "2027")));
    let slow = Plan { tempo: Tempo::Logged(1.0), ..plan("http://127.0.0.1:1") };
    let told = slow.length(&years).unwrap_err().to_string();
    assert!(told.contains("a run at most 4days: take --speedup, --duration or --limit"), "{told}");
    let cut = Plan { duration: Some(Duration::from_secs(5)), ..slow };
    assert_eq!(cut.length(&years).unwrap(), Duration::from_secs(5));
}
