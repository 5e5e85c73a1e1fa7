//! Says that the health of an endpoint has changed: in the log and in the counters.

use rolegate_health::{Health, Transition};

use crate::model::cluster::Cluster;
use crate::model::endpoint::Endpoint;
use crate::model::steering::Steer;

/// Tells of a change. What happens to a server in maintenance is no alarm.
pub(super) fn tell(cluster: &Cluster, endpoint: &Endpoint, transition: &Transition, steer: Steer) {
    let (role, system, address) = (cluster.topology.label(), &endpoint.system, endpoint.address);
    let cause = transition.cause.as_ref().map(ToString::to_string).unwrap_or_default();
    let (from, to) = (transition.from.as_str(), transition.to.as_str());
    if steer == Steer::Maintenance {
        return tracing::info!(%role, %system, %address, from, to, %cause, "the endpoint, which is in maintenance, has changed");
    }
    match transition.to {
        Health::Up => {
            endpoint.metrics.to_up.increment(1);
            tracing::info!(%role, %system, %address, from, to, "the endpoint is well");
        }
        Health::Degraded | Health::Down | Health::Unproven => {
            let down = transition.to == Health::Down;
            let counter = if down { &endpoint.metrics.to_down } else { &endpoint.metrics.to_degraded };
            counter.increment(1);
            tracing::warn!(%role, %system, %address, from, to, %cause, "the endpoint is not well");
        }
    }
}
