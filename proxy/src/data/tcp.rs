//! A connection of a role that is not HTTP (client notification): locate, pick, lease, and then bytes.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::connect;
use super::io::Upstream;
use super::ticker::Timer;
use super::tunnel;
use super::worker::Worker;
use crate::error::Error;
use crate::metrics::RoleMetrics;
use crate::model::balance::Tried;
use crate::model::content::Said;
use crate::model::decision::{Decision, Facts};
use crate::model::endpoint::Lease;
use crate::model::route::ClusterId;

/// A connection to an endpoint, with all that a tunnel needs. It holds no snapshot: a tunnel lives for hours.
struct Opened {
    server: Upstream,
    lease: Lease,
    idle: Duration,
    metrics: RoleMetrics,
}

/// Serves one connection of a TCP role. When no server can be reached, the connection closes and the client comes back by
/// itself.
pub async fn serve(mut client: TcpStream, peer: IpAddr, role: ClusterId, worker: &Rc<Worker>) {
    let timer = worker.ticker.timer();
    let Some(Opened { mut server, lease, idle, metrics }) = open(peer, role, worker, &timer).await else { return };
    let moved = tunnel::run(&mut client, &mut server, &timer, idle).await;
    metrics.tunnel_up.increment(moved.up);
    metrics.tunnel_down.increment(moved.down);
    drop(lease);
}

/// Opens a connection to the first server that takes one.
async fn open(peer: IpAddr, role: ClusterId, worker: &Rc<Worker>, timer: &Timer) -> Option<Opened> {
    let snapshot = worker.snapshot();
    let metrics = &snapshot.cluster(role).topology.metrics;
    let facts = Facts { listener: 0, host: None, method: "", path: "", query: None, client: peer, headers: None };
    let decision = Decision::for_cluster(&snapshot, role, &facts, worker.ticker.now_ms()).ok()?;
    let attempts = decision.cluster.topology.role.retry.attempts as usize + 1;
    let mut tried = Tried::new();
    while tried.len() < attempts.min(tried.capacity()) {
        let pick = match decision.pick(&tried, worker.ticker.now_ms(), worker.dice()) {
            Ok(pick) => pick,
            Err(nobody) => {
                metrics.error(nobody.why.into()).increment(1);
                return None;
            }
        };
        if !tried.is_empty() {
            metrics.retries.increment(1);
        }
        tried.push(pick.endpoint);
        let endpoint = decision.cluster.endpoint(pick.endpoint);
        let lease = Lease::take(&endpoint.state);
        let connected = timer.within(endpoint.role.timeouts.connect, connect::stream(endpoint)).await;
        match connected.unwrap_or(Err(Error::ConnectTimeout)) {
            Ok(server) => {
                endpoint.metrics.connects.increment(1);
                metrics.tier(pick.tier.kind).increment(1);
                worker.passed(endpoint);
                decision.served(&pick, Said::Nothing, http::StatusCode::OK);
                let idle = endpoint.role.timeouts.tunnel_idle;
                return Some(Opened { server, lease, idle, metrics: metrics.clone() });
            }
            Err(error) => {
                endpoint.metrics.failure(error).increment(1);
                worker.failed(endpoint);
                if tried.len() == attempts {
                    metrics.error(error).increment(1);
                }
            }
        }
    }
    None
}
