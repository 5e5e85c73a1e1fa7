//! Runs and comparisons that were never measured, for tests: the same for the same seed.

use fastrand::Rng;

use super::comparison::{Better, Comparison, FORMAT, Figures, Proxy, Work};
use crate::record::{self, Generator, Interval, Latencies, Machine, RoleInterval, Run, Series};

/// Message types with their role, requests a second and usual latency in microseconds.
const MESSAGES: [(&str, &str, u64, f64); 8] = [
    ("policy request", "MP", 90, 900.0),
    ("policy body", "MP", 300, 700.0),
    ("state message", "MP", 220, 1_100.0),
    ("location request", "MP", 80, 800.0),
    ("hardware inventory", "MP", 12, 6_500.0),
    ("content range", "DP", 700, 2_400.0),
    ("update scan", "SUP", 60, 9_000.0),
    ("status page", "MP", 15, 450.0),
];

/// A run of 8 message types from two boundary groups, so many seconds long. `slower` multiplies its latencies.
pub(crate) fn run(label: &str, seed: u64, seconds: u32, slower: f64) -> Run {
    let mut dice = Rng::with_seed(seed);
    let scenario = "[fleet]\nclients = 5000\nspeedup = 60\n\n[[phase]]\nname = \"morning\"\nfor = \"2m\"\n";
    let mut series: Vec<Series> =
        MESSAGES.iter().flat_map(|of| ["Berlin", "Lisbon"].map(|group| empty(of, group))).collect();
    let timeline = (0..seconds).map(|second| interval(&mut dice, second, slower, &mut series)).collect();
    Run {
        format: record::FORMAT,
        name: "monday-morning".to_owned(),
        label: label.to_owned(),
        started_unix_ms: 1_795_528_088_000,
        target: "http://127.0.0.1:8080".to_owned(),
        scenario: scenario.to_owned(),
        machine: machine(),
        planned_s: f64::from(seconds),
        measured_s: f64::from(seconds),
        interrupted: false,
        speedup: 60.0,
        clients: 5_000,
        seed: Some(1),
        part: None,
        parts: Vec::new(),
        generator: Generator {
            threads: 2,
            cpu_s: f64::from(seconds) * 0.4,
            late_p99_us: 310,
            late_max_us: 4_100,
            open_max: 1_840,
            doubts: Vec::new(),
        },
        dropped: 0,
        thresholds: Vec::new(),
        series,
        timeline,
    }
}

pub(crate) fn machine() -> Machine {
    Machine { processor: "AMD EPYC 7B13".to_owned(), cores: 2, system: "Linux 6.1.0".to_owned() }
}

fn empty(&(message, role, ..): &(&str, &str, u64, f64), group: &str) -> Series {
    Series { message: message.to_owned(), role: role.to_owned(), group: group.to_owned(), ..Series::default() }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn interval(dice: &mut Rng, second: u32, slower: f64, series: &mut [Series]) -> Interval {
    // A rush, and a restart of a server later.
    let rush = 0.35 + 0.65 * (f64::from(second) / 25.0).min(1.0) + 0.12 * (f64::from(second) / 9.0).sin();
    let restart = (78..83).contains(&second);
    let mut all = Latencies::default();
    let mut roles: std::collections::BTreeMap<String, (Latencies, u64)> = std::collections::BTreeMap::new();
    let mut one = Interval { at_s: f64::from(second), length_s: 1.0, ..Interval::default() };
    for (i, series) in series.iter_mut().enumerate() {
        let (_, role, rate, usual) = MESSAGES[i / 2];
        let share = if i % 2 == 0 { 0.65 } else { 0.35 };
        for _ in 0..(rate as f64 * rush * share) as u64 {
            let mut us = usual * slower * (dice.f64() * dice.f64() * 2.2 + 0.4 + 0.3 * share);
            us *= if dice.f64() < 0.012 { 4.0 + 30.0 * dice.f64() * dice.f64() } else { 1.0 };
            us *= if restart { 3.0 } else { 1.0 };
            let part = roles.entry(role.to_owned()).or_default();
            if restart && role == "MP" && dice.f64() < 0.06 {
                let kind = ["connect refused", "reset", "status 503"][dice.usize(..3)];
                *series.errors.entry(kind.to_owned()).or_default() += 1;
                one.errors += 1;
                part.1 += 1;
                continue;
            }
            let us = us as u64;
            [&mut all, &mut part.0, &mut series.latency].into_iter().for_each(|latencies| latencies.record(us));
            series.service.record(us.saturating_sub(dice.u64(..200)));
            series.done += 1;
            series.received += if role == "DP" { 65_536 } else { 2_900 };
            series.sent += 740;
            one.done += 1;
        }
    }
    let at = |percent| all.percentile(percent);
    (one.p50_us, one.p99_us, one.p999_us, one.max_us) = (at(50.0), at(99.0), at(99.9), at(100.0));
    (one.open, one.under_way) =
        ((1_500.0 * rush) as u64, (all.count() as f64 * at(50.0) as f64 / 1e6) as u64 + dice.u64(..4));
    one.roles = roles.into_iter().map(|(role, (latency, errors))| (role, of_role(&latency, errors))).collect();
    one
}

fn of_role(latency: &Latencies, errors: u64) -> RoleInterval {
    let (done, p50_us, p99_us) = (latency.count(), latency.percentile(50.0), latency.percentile(99.0));
    RoleInterval { done, errors, p50_us, p99_us, latency: None }
}

/// A comparison of proxies at five works: two are won, one is lost, one is even, one cannot be decided.
pub(crate) fn comparison() -> Comparison {
    let proxy = |name: &str, version: &str, note: &str| Proxy {
        name: name.to_owned(),
        version: version.to_owned(),
        note: note.to_owned(),
        build: if name == "nginx" { "-O2, as <its> distribution builds it".to_owned() } else { String::new() },
        tls: if name == "nginx" { "OpenSSL 3.0.19".to_owned() } else { String::new() },
        ..Proxy::default()
    };
    Comparison {
        format: FORMAT,
        started_unix_ms: 1_795_528_088_000,
        machine: machine(),
        sitting: vec!["The order is any, by the seed <7>.".to_owned()],
        proxies: vec![
            proxy("rolegate", "0.1.0", ""),
            proxy("control", "0.1.0", ""),
            proxy("before", "0.0.9", "the commit before this one"),
            proxy("haproxy", "2.6.12", "nbthread 1"),
            proxy("nginx", "1.22.1", "worker_processes 1"),
            proxy("forwarder", "", "copies bytes"),
        ],
        works: requests().into_iter().chain(others()).collect(),
        interrupted: false,
        doubts: Vec::new(),
    }
}

fn work(name: &str, title: &str, unit: &str, better: Better, goal: Option<&str>, figures: &[(&str, [f64; 6])]) -> Work {
    Work {
        name: name.to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        better,
        goal: goal.map(str::to_owned),
        note: "One thread each, six rounds, in any order.".to_owned(),
        doubts: Vec::new(),
        figures: figures
            .iter()
            .map(|(proxy, rounds)| Figures {
                proxy: (*proxy).to_owned(),
                rounds: rounds.to_vec(),
                ..Figures::default()
            })
            .chain([control(figures[0].1)])
            .collect(),
    }
}

/// rolegate beside itself: now and then one or two percent apart.
fn control(rolegate: [f64; 6]) -> Figures {
    let parts = [1.0, 1.01, 0.99, 1.0, 1.02, 0.995];
    let rounds = rolegate.iter().zip(parts).map(|(figure, part)| (figure * part * 10.0).round() / 10.0).collect();
    Figures { proxy: "control".to_owned(), rounds, ..Figures::default() }
}

fn spread(middle: f64) -> [f64; 6] {
    [0.98, 1.0, 1.01, 1.03, 0.99, 1.0].map(|part| (middle * part * 10.0).round() / 10.0)
}

fn requests() -> [Work; 2] {
    [
        work(
            "short-rate",
            "Short requests on kept connections",
            "requests/s",
            Better::Higher,
            Some("at least as many as haproxy"),
            &[
                ("rolegate", spread(41_800.0)),
                ("before", spread(38_100.0)),
                ("haproxy", spread(39_200.0)),
                ("nginx", spread(33_000.0)),
                ("forwarder", spread(61_000.0)),
            ],
        ),
        work(
            "short-p99",
            "p99 latency at 10,000 requests a second",
            "µs",
            Better::Lower,
            None,
            &[
                ("rolegate", [312.0, 298.0, 305.0, 340.0, 301.0, 307.0]),
                ("before", [320.0, 318.0, 309.0, 351.0, 322.0, 316.0]),
                ("haproxy", [262.0, 250.0, 249.0, 281.0, 255.0, 257.0]),
                ("nginx", [401.0, 388.0, 395.0, 440.0, 399.0, 402.0]),
                ("forwarder", [150.0, 149.0, 155.0, 160.0, 151.0, 152.0]),
            ],
        ),
    ]
}

fn others() -> [Work; 3] {
    [
        work(
            "idle-memory",
            "Memory of 20,000 idle connections",
            "MiB",
            Better::Lower,
            Some("less than half of haproxy's"),
            &[
                ("rolegate", spread(38.0)),
                ("before", spread(38.4)),
                ("haproxy", spread(352.0)),
                ("nginx", spread(96.0)),
            ],
        ),
        work(
            "large",
            "Downloads of 100 MiB",
            "MiB/s",
            Better::Higher,
            None,
            &[
                ("rolegate", spread(2_010.0)),
                ("before", spread(2_000.0)),
                ("haproxy", spread(2_012.0)),
                ("nginx", spread(1_950.0)),
                ("forwarder", spread(2_400.0)),
            ],
        ),
        work(
            "tls",
            "New TLS connections",
            "connections/s",
            Better::Higher,
            None,
            &[
                ("rolegate", [1_900.0, 1_880.0, 1_700.0, 1_910.0, 1_905.0, 1_895.0]),
                ("haproxy", [1_800.0, 1_790.0, 1_795.0, 1_788.0, 1_801.0, 1_799.0]),
            ],
        ),
    ]
}
