//! A client like BITS downloads through the proxy while distribution points die, come back, and lose content.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rolegate_bench::client::{Client, Step};
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{SiteSystem, Spec};
use support::{Proxy, until};
use tokio::task::JoinSet;

const SEED: u64 = 0x5eed_0005;

/// Probes that find a dead server soon.
const PROBE: &str = "probe = { kind = \"tcp\", interval = \"500ms\", fast_interval = \"50ms\", down_interval = \"100ms\", \
                     timeout = \"400ms\", rise = 1, fall = 2 }";

fn site(points: &[SiteSystem], role: &str, rest: &str) -> Proxy {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n[roles.DP]\n{PROBE}\n{role}\n"
    );
    for point in points {
        let (name, port) = (point.name(), point.address().port());
        writeln!(
            text,
            "[[site_systems]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"DP\", port = {port} }}]"
        )
        .unwrap();
    }
    Proxy::start(&format!("{text}{rest}"))
}

fn package(id: &str, files: u32, bytes: u64) -> Package {
    let names: Vec<String> = (0..files).map(|file| format!("file {file}.bin")).collect();
    Package::new(id, names.iter().map(|name| (name.as_str(), bytes)))
}

async fn points(names: &[&str], content: &Arc<Content>) -> Vec<SiteSystem> {
    let mut points = Vec::new();
    for name in names {
        points.push(SiteSystem::start(Spec::distribution_point(name, content)).await.unwrap());
    }
    points
}

/// A client that does what BITS does, only sooner.
fn bits(source: &str, proxy: &Proxy, seed: u64) -> Client {
    Client::new(source.parse::<IpAddr>().unwrap(), proxy.at("http"), "dp.lab.test", seed)
        .with_concurrency(3)
        .with_restarts(20)
        .with_retries(200, Duration::from_millis(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_files_through_three_points_that_flap() {
    println!("seed {SEED:#x}");
    // Every point has time stamps and ETags of its own.
    let packages = (0..20).map(|number| package(&format!("P01000{number:02}"), 100, 40_000));
    let content = Arc::new(Content::new(packages));
    let points = points(&["dp1", "dp2", "dp3"], &content).await;
    let proxy = Arc::new(site(&points, "", ""));
    proxy.until_well(3).await;
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..4_u64 {
        let (proxy, content, finished) = (Arc::clone(&proxy), Arc::clone(&content), Arc::clone(&finished));
        clients.spawn(async move {
            let mut client_of = bits(&format!("127.0.6.{}", client + 1), &proxy, SEED + client);
            let mut all = Step::default();
            for package in content.packages().skip(client as usize).step_by(4) {
                all.merge(client_of.download(package).await.unwrap());
                finished.fetch_add(1, Ordering::Relaxed);
            }
            all
        });
    }
    // One point after the other dies in the middle of the work and comes back.
    let mut deaths = 0_u32;
    let over = Arc::clone(&done);
    let flapping = async {
        let mut dice = fastrand::Rng::with_seed(SEED);
        while !over.load(Ordering::Relaxed) {
            let point = &points[dice.usize(..3)];
            point.kill();
            deaths += 1;
            tokio::time::sleep(Duration::from_millis(dice.u64(50..150))).await;
            point.restart().await.unwrap();
            tokio::time::sleep(Duration::from_millis(dice.u64(150..300))).await;
        }
    };
    let working = async {
        let mut all = Step::default();
        while let Some(step) = clients.join_next().await {
            all.merge(step.unwrap());
        }
        done.store(true, Ordering::Relaxed);
        all
    };
    let (all, ()) = tokio::join!(working, flapping);
    println!("{deaths} deaths, {all:?}", all = Step { served_by: Vec::new(), ..all.clone() });
    assert_eq!(finished.load(Ordering::Relaxed), 20, "every hash of 2,000 files was right");
    assert!(deaths > 3, "{deaths}: they have not flapped");
    // A client has one package at a time at one point, and three ranges of one file at the most: a death makes it begin
    // one file again.
    let moves = proxy.metric("rolegate_affinity_moves_total", &[]);
    assert!(f64::from(all.restarted) <= moves, "{} files begun again after {moves} moves", all.restarted);
    assert!(moves <= f64::from(deaths * 4), "{moves} moves after {deaths} deaths");
    let used: BTreeSet<&String> = all.served_by.iter().collect();
    assert_eq!(used.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_do_not_die_make_nobody_begin_again() {
    let packages = (0..4).map(|number| package(&format!("P01000{number:02}"), 20, 60_000));
    let content = Arc::new(Content::new(packages));
    let points = points(&["dp1", "dp2", "dp3"], &content).await;
    let proxy = Arc::new(site(&points, "", ""));
    proxy.until_well(3).await;
    let mut clients = JoinSet::new();
    for client in 0..12_u64 {
        let (proxy, content) = (Arc::clone(&proxy), Arc::clone(&content));
        clients.spawn(async move {
            let mut all = Step::default();
            for package in content.packages() {
                all.merge(bits(&format!("127.0.6.{}", client + 1), &proxy, client).download(package).await.unwrap());
            }
            all
        });
    }
    while let Some(step) = clients.join_next().await {
        let step = step.unwrap();
        assert!(step.is_smooth(), "{step:?}");
    }
    assert_eq!(proxy.metric("rolegate_affinity_moves_total", &[]), 0.0);
}

/// 100 clients of one group, whose point loses one package while they download it and gets it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_is_removed_under_a_hundred_downloads() {
    let content = Arc::new(Content::new([package("P0100001", 8, 20_000)]));
    let points = points(&["near", "far"], &content).await;
    let groups = "[content]\nmissing_ttl = \"2s\"\n\
                  [[boundary_groups]]\nname = \"here\"\nboundaries = [\"127.0.6.0/24\"]\nsite_systems = [\"near\"]\n\
                  neighbors = [{ group = \"there\", fallback = { DP = 0 } }]\n\
                  [[boundary_groups]]\nname = \"there\"\nsite_systems = [\"far\"]\n";
    // A download of this test lasts less than a second.
    let proxy = Arc::new(site(&points, "affinity = \"300ms\"", groups));
    proxy.until_well(2).await;
    let learned = || proxy.metric("rolegate_content_learned_total", &["verdict=\"lacks\""]);
    let at_far = || proxy.metric("rolegate_tier_requests_total", &["tier=\"neighbor\""]);
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..100_u64 {
        let (proxy, content) = (Arc::clone(&proxy), Arc::clone(&content));
        let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
        clients.spawn(async move {
            // No retries of its own: what the proxy does not hide is a failure.
            let source = format!("127.0.6.{}", client + 1).parse::<IpAddr>().unwrap();
            let mut one = Client::new(source, proxy.at("http"), "dp.lab.test", client).with_restarts(5);
            let mut all = Step::default();
            while !stop.load(Ordering::Relaxed) {
                all.merge(one.download(content.package("P0100001").unwrap()).await.unwrap());
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            all
        });
    }
    let more_rounds = |count: usize| {
        let from = rounds.load(Ordering::Relaxed);
        let rounds = Arc::clone(&rounds);
        until("the clients go on", move || rounds.load(Ordering::Relaxed) >= from + count)
    };
    more_rounds(100).await;
    assert_eq!((learned(), at_far()), (0.0, 0.0), "all is near");
    points[0].faults().set_missing_content(["P0100001"]);
    until("the miss is learned", || learned() >= 1.0).await;
    more_rounds(100).await;
    assert!(at_far() > 0.0);
    let missed = learned();
    points[0].faults().set_missing_content::<&str>([]);
    // The verdict is forgotten after two seconds, and then new downloads go to the near point.
    let begun = Instant::now();
    loop {
        let before = (at_far(), rounds.load(Ordering::Relaxed));
        more_rounds(100).await;
        if at_far() == before.0 {
            break;
        }
        assert!(begun.elapsed() < support::PATIENCE, "they never come back");
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Step::default();
    while let Some(step) = clients.join_next().await {
        all.merge(step.unwrap());
    }
    println!("{} rounds, {missed} misses learned, {} restarts", rounds.load(Ordering::Relaxed), all.restarted);
    // Once; an answer that was on its way when the package went says otherwise for a moment, and then it is learned again.
    assert!((1.0..=4.0).contains(&missed), "learned {missed} times by a hundred clients");
    assert_eq!((all.retried, all.reopened, all.resent), (0, 0, 0), "no client noticed more than another time stamp");
}
