//! What a client like BITS pays when the distribution point of its download dies: the next range goes on to another
//! one at once and the file is begun again, or the client waits for its server.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rolegate::app::App;
use rolegate::control::config::Source;
use rolegate_bench::client::{Client, Step};
use rolegate_bench::content::{Content, Package};
use rolegate_bench::say;
use rolegate_bench::site::{SiteSystem, Spec};
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;
const FILES: usize = 20;
const BYTES: u64 = 2 << 20;
/// Every answer of a distribution point takes this long, so that a download takes seconds.
const LATENCY: Duration = Duration::from_millis(50);
/// What a client waits after an error that may pass; BITS waits ten minutes unless told otherwise.
const PAUSE: Duration = Duration::from_secs(3);
const DEATH: Duration = Duration::from_millis(1200);

fn main() {
    // `cargo bench` passes flags of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    say::out(format_args!(
        "{CLIENTS} clients, {FILES} files of {} MiB each, a death after {DEATH:?}, clients wait {PAUSE:?}",
        BYTES >> 20
    ));
    say::out(format_args!(
        "{:<34} {:>7} {:>9} {:>9} {:>12} {:>8}",
        "the next range", "outage", "last done", "restarts", "thrown away", "retries"
    ));
    for outage in [0, 1, 2, 8] {
        for (name, moves) in [("goes on to another server", true), ("waits for its own", false)] {
            let outage = Duration::from_secs(outage);
            let (took, step) = runtime.block_on(run(moves, outage));
            say::out(format_args!(
                "{name:<34} {:>6}s {:>8.1}s {:>9} {:>8.1} MiB {:>8}",
                outage.as_secs(),
                took.as_secs_f64(),
                step.restarted,
                step.discarded as f64 / f64::from(1 << 20),
                step.retried
            ));
        }
    }
}

async fn run(moves: bool, outage: Duration) -> (Duration, Step) {
    let names: Vec<String> = (0..FILES).map(|file| format!("file {file}.bin")).collect();
    let files = names.iter().map(|name| (name.as_str(), BYTES));
    let content = Arc::new(Content::new([Package::new("P0100001", files)]));
    let mut points = Vec::new();
    for name in ["dp1", "dp2"] {
        let point = SiteSystem::start(Spec::distribution_point(name, &content)).await.unwrap();
        point.faults().set_latency(LATENCY, Duration::ZERO);
        points.push(point);
    }
    let app = App::start(&configuration(&points, moves), None).unwrap();
    let proxy = app.listener("http").unwrap();
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for client in 0..CLIENTS {
        let content = Arc::clone(&content);
        clients.spawn(async move {
            let source: IpAddr = format!("127.0.6.{}", client + 1).parse().unwrap();
            let client = Client::new(source, proxy, "dp.lab.test", client);
            let mut client = client.with_concurrency(3).with_restarts(50).with_retries(100, PAUSE);
            let step = client.download(content.package("P0100001").unwrap()).await.unwrap();
            (begun.elapsed(), step)
        });
    }
    if !outage.is_zero() {
        tokio::time::sleep(DEATH).await;
        points[0].kill();
        tokio::time::sleep(outage).await;
        points[0].restart().await.unwrap();
    }
    let (mut took, mut all) = (Duration::ZERO, Step::default());
    while let Some(client) = clients.join_next().await {
        let (last, step) = client.unwrap();
        took = took.max(last);
        all.merge(step);
    }
    tokio::task::spawn_blocking(move || app.shutdown()).await.unwrap();
    (took, all)
}

/// Both points for everybody; or half of the clients for each, and no way to the other.
fn configuration(points: &[SiteSystem], moves: bool) -> Source {
    let probe = "{ kind = \"tcp\", interval = \"500ms\", fast_interval = \"50ms\", down_interval = \"100ms\", timeout = \"400ms\", rise = 1, fall = 2 }";
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n[roles.DP]\nprobe = {probe}\n"
    );
    for point in points {
        let (name, port) = (point.name(), point.address().port());
        text += &format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"DP\", port = {port} }}]\n"
        );
    }
    let groups: &[(&str, &str, &str)] = match moves {
        true => &[("all", "127.0.6.0-127.0.6.255", "\"dp1\", \"dp2\"")],
        false => &[("one", "127.0.6.0-127.0.6.4", "\"dp1\""), ("two", "127.0.6.5-127.0.6.255", "\"dp2\"")],
    };
    for (name, boundary, systems) in groups {
        text += &format!(
            "[[boundary_groups]]\nname = \"{name}\"\nboundaries = [\"{boundary}\"]\nsite_systems = [{systems}]\n"
        );
    }
    Source { name: "restart.toml".to_owned(), text }
}
