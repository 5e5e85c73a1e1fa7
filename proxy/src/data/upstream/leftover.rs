//! What is left of a request whose response is complete.

use std::future::poll_fn;

use crate::data::upstream::pool::Sender;
use crate::data::upstream::worker::Worker;
use crate::model::endpoint::Endpoint;

/// Sends the rest of a request body whose response is complete: a server may answer before it has all of it, and take the
/// rest all the same. Whether it did.
pub async fn rest(worker: &Worker, endpoint: &Endpoint, sender: &mut Sender) -> bool {
    let timer = worker.ticker.timer();
    while let Some(upstream) = sender.sending() {
        let before = upstream.sent();
        let idle = endpoint.role.timeouts.request_body_idle;
        let in_time = timer.within(idle, poll_fn(|cx| upstream.poll_sent(cx))).await.is_ok();
        if !in_time && upstream.sent() == before {
            return false;
        }
    }
    true
}
