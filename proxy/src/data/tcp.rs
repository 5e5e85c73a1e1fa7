//! A connection of a role that is not HTTP (client notification): locate, pick, lease, and then bytes.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::connect;
use super::tunnel;
use super::worker::Worker;
use crate::error::Error;
use crate::model::balance::Tried;
use crate::model::decision::Decision;
use crate::model::endpoint::Lease;
use crate::model::route::ClusterId;

/// Serves one connection of a TCP role. A server that cannot be reached is passed over for the next one; when there is
/// none, the connection closes and the client comes back by itself.
pub async fn serve(mut client: TcpStream, peer: IpAddr, role: ClusterId, worker: &Rc<Worker>) {
    let snapshot = worker.snapshot();
    let metrics = &snapshot.cluster(role).topology.metrics;
    let Ok(decision) = Decision::for_cluster(&snapshot, role, peer, None, None) else { return };
    let timer = worker.ticker.timer();
    let mut tried = Tried::new();
    while !tried.is_full() {
        let Ok(pick) = decision.pick(&tried, worker.ticker.now_ms(), worker.dice()) else {
            metrics.error(Error::NoneWell).increment(1);
            return;
        };
        tried.push(pick.endpoint);
        let endpoint = decision.cluster.endpoint(pick.endpoint);
        let lease = Lease::take(&endpoint.state);
        let connected = timer.within(endpoint.role.timeouts.connect, connect::stream(endpoint)).await;
        match connected.unwrap_or(Err(Error::ConnectTimeout)) {
            Ok(mut server) => {
                endpoint.metrics.connects.increment(1);
                metrics.tier(pick.tier.kind).increment(1);
                worker.passed(endpoint);
                let idle = endpoint.role.timeouts.tunnel_idle;
                let moved = tunnel::run(&mut client, &mut server, &timer, idle).await;
                metrics.tunnel_up.increment(moved.up);
                metrics.tunnel_down.increment(moved.down);
                return drop(lease);
            }
            Err(error) => {
                endpoint.metrics.failure(error).increment(1);
                worker.failed(endpoint);
                metrics.retries.increment(1);
            }
        }
    }
}
