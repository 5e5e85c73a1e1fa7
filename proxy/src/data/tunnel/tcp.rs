//! A connection that is not HTTP to us (client notification, TLS passthrough): locate, pick, lease, and then bytes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::data::path::client::Client;
use crate::data::path::outcome::start_clock;
use crate::data::thread::ticker::Timer;
use crate::data::transport::stream::Transport;
use crate::data::tunnel::line::{Told, TunnelLine};
use crate::data::tunnel::ways::{Open, Ways};
use crate::data::upstream::connect::{self, Dial};
use crate::error::Error;
use crate::metrics::{GroupMetrics, RoleMetrics};
use crate::model::balance::Tried;
use crate::model::content::Said;
use crate::model::decision::{Decision, Refusal};
use crate::model::endpoint::{Endpoint, Lease, Trial};
use crate::model::facts::Facts;
use crate::model::learn::Unserved;
use crate::model::route::ClusterId;
use crate::model::snapshot::{ListenerId, Snapshot};

/// A connection to an endpoint, with all that a tunnel needs. It holds no snapshot: a tunnel lives for hours.
pub struct Opened {
    /// The connection.
    pub server: Transport,
    /// Its place at the endpoint.
    pub lease: Lease,
    /// Its deadline.
    pub timer: Timer,
    /// How long it may be silent.
    pub idle: Duration,
    /// Handles of its role.
    pub metrics: RoleMetrics,
    /// Handles of its client's boundary group, where such are counted.
    pub group: Option<GroupMetrics>,
    /// What the access log will be told, if it will.
    pub line: Option<Box<TunnelLine>>,
    /// What the client has sent already.
    pub early: Vec<u8>,
}

/// What a client asks for by connecting.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The listener.
    pub listener: ListenerId,
    /// The server name in its `ClientHello`, where that is passed through.
    pub host: Option<&'a str>,
    /// Who its certificate is for.
    pub subject: Option<u64>,
    /// What the access log is told of its client.
    pub told: Told<'a>,
}

/// The task of a tunnel.
#[derive(Debug)]
pub struct Tunnel {
    downstream: Transport,
    upstream: Transport,
    ways: Ways,
    timer: Timer,
    open: Open,
    /// Its place, for as long as it lives.
    _lease: Lease,
    client: Client,
}

impl Tunnel {
    /// Joins both connections.
    pub fn new(downstream: Transport, opened: Opened, client: Client) -> Self {
        let Opened { server, lease, timer, idle, metrics, group, line, early } = opened;
        timer.belongs_to(lease.state().id);
        timer.set(idle);
        timer.cap(client.left());
        let open = Open::new(metrics, group, line);
        open.went_up(early.len() as u64);
        Self { downstream, upstream: server, ways: Ways::new(early, idle), timer, open, _lease: lease, client }
    }
}

impl Future for Tunnel {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { downstream, upstream, ways, timer, open, client, .. } = &mut *self;
        timer.move_away_if(|| client.is_to_leave());
        ways.poll(cx, downstream, upstream, timer, open)
    }
}

fn count_refusal(from: &Dial<'_>, snapshot: &Snapshot, refusal: Refusal) -> Error {
    let (role, error) = match refusal {
        Refusal::NotAtSite(..) | Refusal::DotSegment | Refusal::NoRoute => (None, Error::NoRoute),
        Refusal::Method(role) | Refusal::NotNamed(role) => (Some(role), Error::NotNamed),
    };
    let metrics = role.map_or(&from.worker.no_role, |role| &snapshot.cluster(role).topology.metrics);
    metrics.error(error).increment(1);
    error
}

/// Opens a connection to the first server that takes one. When none does, the connection closes and the client comes back
/// by itself.
pub async fn open(from: &Dial<'_>, role: ClusterId, asked: &Asked<'_>, timer: Timer) -> Option<Opened> {
    let Dial { peer, worker, .. } = *from;
    let snapshot = worker.snapshot_with(asked.listener);
    let Asked { listener, host, subject, told } = *asked;
    let listener = snapshot.site.place(listener)?;
    let mut line = TunnelLine::begin(from, &snapshot, listener, &told);
    let facts = Facts { listener, host, method: "", path: "", query: None, client: peer.ip(), fields: None, subject };
    let decision = match Decision::for_cluster(&snapshot, role, &facts, worker.ticker.now_ms()) {
        Ok(decision) => decision,
        Err(refusal) => {
            let error = count_refusal(from, &snapshot, refusal);
            line.iter_mut().for_each(|line| line.refused(error));
            return None;
        }
    };
    line.iter_mut().for_each(|line| line.locate(&decision));
    let metrics = &decision.cluster.topology.metrics;
    let attempts = decision.cluster.topology.role.retry.attempts as usize + 1;
    let (mut tried, mut last) = (Tried::new(), None);
    while tried.len() < attempts.min(tried.capacity()) {
        let now_ms = worker.ticker.now_ms();
        let (pick, trial) = match decision.pick(&tried, now_ms, worker.dice()) {
            Ok(pick) => (pick, None),
            // Others were asked, and none has taken the connection.
            Err(nobody) => match decision.last_resort(&tried, now_ms, worker.dice()).filter(|_| last.is_some()) {
                Some(pick) => match Trial::take(&decision.cluster.endpoint(pick.endpoint).state, now_ms) {
                    Some(trial) => (pick, Some(trial)),
                    None => break,
                },
                None => {
                    if nobody.why.is_search() {
                        start_clock(worker, &decision, Unserved::Unable);
                    }
                    last = last.or(Some(nobody.why.into()));
                    break;
                }
            },
        };
        if !tried.is_empty() {
            metrics.retries.increment(1);
        }
        tried.push(pick.endpoint);
        let endpoint = decision.cluster.endpoint(pick.endpoint);
        line.iter_mut().for_each(|line| line.tries(&pick, endpoint));
        let lease = Lease::take(&endpoint.state);
        let connected = timer.within(endpoint.role.timeouts.connect, connect::stream(endpoint, from)).await;
        match connected.unwrap_or(Err(Error::ConnectTimeout)) {
            Ok(server) => {
                trial.into_iter().for_each(|trial| trial.answered(now_ms));
                endpoint.metrics.connects.increment(1);
                metrics.tier(pick.tier.kind).increment(1);
                worker.passed(endpoint);
                decision.served(&pick, Said::Nothing, http::StatusCode::OK);
                let idle = endpoint.role.timeouts.tunnel_idle;
                let group = decision.group_metrics(Some(&pick)).cloned();
                group.iter().for_each(|group| group.answered(pick.tier.kind));
                let metrics = metrics.clone();
                return Some(Opened { server, lease, timer, idle, metrics, group, line, early: Vec::new() });
            }
            Err(error) => {
                trial.into_iter().for_each(Trial::failed);
                blame(from, endpoint, error);
                last = Some(error);
            }
        }
    }
    untaken(&decision, line, last);
    None
}

/// A server has not taken it.
fn blame(from: &Dial<'_>, endpoint: &Endpoint, error: Error) {
    if error.blames_endpoint() {
        endpoint.metrics.failure(error).increment(1);
        from.worker.failed_for(endpoint, (from.peer.ip(), from.proof), error);
    }
}

/// No server takes it: counted, and told to the log.
fn untaken(decision: &Decision<'_>, mut line: Option<Box<TunnelLine>>, last: Option<Error>) {
    if let Some(error) = last {
        decision.cluster.topology.metrics.error(error).increment(1);
        line.iter_mut().for_each(|line| line.refused(error));
    }
    decision.group_metrics(None).into_iter().for_each(GroupMetrics::failed);
}
