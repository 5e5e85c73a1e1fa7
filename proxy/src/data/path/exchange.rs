//! One request and its response, with everything learned on the way. Ends exactly once: counted, logged, given back.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::data::path::session::Session;
use crate::data::thread::access_log::{Kind, Place, Record};
use crate::data::thread::held::Held;
use crate::data::thread::log_texts::{Drawn, Line};
use crate::data::upstream::http1::Upstream;
use crate::data::upstream::leftover;
use crate::data::upstream::pin::Pinned;
use crate::data::upstream::pool::Sender;
use crate::data::upstream::request_body::RequestBody;
use crate::error::Error;
use crate::metrics::{GroupMetrics, RoleMetrics, code_class};
use crate::model::boundary::GroupId;
use crate::model::cluster::{EndpointIndex, Topology};
use crate::model::decision::Decision;
use crate::model::endpoint::{Endpoint, Hold, Lease};
use crate::model::location::{ContentLocation, Tier};
use crate::model::route::ClusterId;
use crate::model::tier::TierKind;
use crate::wire::head::RequestHead;

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// The client connection.
    pub session: Rc<Session>,
    /// The version of the world that serves this request, from its first to its last byte.
    pub snapshot: Held,
    /// When its head was complete.
    pub started: Instant,
    /// The client, after trusted forwarding fields.
    pub client: IpAddr,
    /// The role, once it is known.
    pub role: Option<ClusterId>,
    /// The site system that it names and may use, by position.
    names: Option<u16>,
    /// The one that the first request on its pinned connection named.
    pub pinned_by: Option<Arc<str>>,
    /// How many boundary groups contain the client.
    pub groups: u16,
    /// The boundary group that it counts for, where such are counted: one of the snapshot's.
    group: Option<GroupId>,
    /// The tier that the last endpoint was picked from.
    pub tier: Option<TierKind>,
    /// An endpoint has answered, and its answer is the client's.
    pub answered: bool,
    /// The last endpoint that was asked.
    pub endpoint: Option<EndpointIndex>,
    /// How many endpoints were asked.
    pub attempts: u32,
    /// The status that the client sees.
    pub status: StatusCode,
    /// Why there is no response of an endpoint, or why it was cut.
    pub error: Option<Error>,
    /// Seconds after which the client may come back, where that is known.
    pub retry_after: Option<u64>,
    /// Whether its status may speak against the endpoint: what a client sends may be the reason for an error, and then one client
    /// could take a server away from all others.
    judges: bool,
    sent: u64,
    /// Bytes of these that never came into our memory.
    spliced: u64,
    /// What the access log needs of the request, only when there is one.
    line: Option<Box<Line>>,
    held: Option<HeldConnection>,
    over: bool,
    /// The place of a tunnel at its endpoint.
    tunnel: Option<Lease>,
}

/// The connection that a response is read from, and where it goes afterwards.
#[derive(Debug)]
struct HeldConnection {
    sender: Option<Sender>,
    lease: Lease,
    then: Afterwards,
}

/// Where an upstream connection goes when its response is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// To the pool.
    Pool,
    /// To the client connection that it belongs to.
    Pin,
    /// Nowhere: it is closed.
    Close,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The whole response was handed on.
    Complete,
    /// The response was cut.
    Cut(Error),
    /// It has taken all the time that it has, because of its client.
    ClientLate,
    /// The client went away.
    ClientGone,
}

impl Exchange {
    /// A request's head is here.
    pub fn begin(session: &Rc<Session>, head: &RequestHead, body: &RequestBody) -> Box<Self> {
        session.begin_request(hyper::body::Body::is_end_stream(body));
        let snapshot = session.worker.snapshot();
        let client = session.client(&head.fields, &snapshot);
        let line = session.begin_line(head, &snapshot);
        Box::new(Self {
            client,
            session: Rc::clone(session),
            snapshot,
            started: Instant::now(),
            role: None,
            groups: 0,
            group: None,
            tier: None,
            answered: false,
            endpoint: None,
            attempts: 0,
            status: StatusCode::OK,
            error: None,
            retry_after: None,
            judges: false,
            names: None,
            pinned_by: None,
            sent: 0,
            spliced: 0,
            line,
            held: None,
            over: false,
            tunnel: None,
        })
    }

    /// The request has its role, and its client its boundary groups.
    pub fn locate(&mut self, decision: &Decision<'_>, method: &Method) {
        self.role = Some(decision.cluster_id);
        self.judges = decision.cluster.topology.role.retry.methods.iter().any(|may| may == method.as_str());
        self.names = decision.name.system();
        self.groups = u16::try_from(decision.groups.len()).unwrap_or(u16::MAX);
        if decision.cluster.topology.grouped() {
            let metrics = &self.session.worker.metrics;
            let counter = match self.groups {
                0 => &metrics.groups_none,
                1 => &metrics.groups_one,
                _ => &metrics.groups_many,
            };
            counter.increment(1);
            self.group = counted(decision.location.first_group(), &decision.cluster.topology);
        }
    }

    /// The endpoint that was asked last, picked from this tier, has answered.
    pub fn answered_from(&mut self, location: ContentLocation<'_>, tier: Tier) {
        self.answered = true;
        if let (Some(_), Some(endpoint)) = (self.group, self.endpoint) {
            self.group = Some(location.group_of(tier, endpoint));
        }
    }

    /// The request goes to this endpoint, on a connection of another snapshot: what is known of its client holds there.
    pub fn goes_on(&mut self, snapshot: Held, role: ClusterId, endpoint: EndpointIndex) {
        let cluster = snapshot.cluster(role);
        let topology = &cluster.topology;
        let groups = if topology.grouped() { snapshot.site.boundaries.groups_of(self.client) } else { &[] };
        let location = ContentLocation::new(topology, groups);
        let tier = location.tier_of(endpoint);
        let group = match tier {
            Some(tier) => location.group_of(tier, endpoint),
            None => location.first_group(),
        };
        self.group = counted(group, topology);
        self.tier = Some(tier.map_or(TierKind::Site, |tier| tier.kind));
        (self.role, self.endpoint, self.attempts) = (Some(role), Some(endpoint), 1);
        self.snapshot = snapshot;
    }

    /// The response head is here and its body, read from `sender`, follows. Without a sender all of it is here.
    pub fn hold(&mut self, sender: Option<Sender>, lease: Lease, then: Afterwards) {
        self.held = Some(HeldConnection { sender, lease, then });
    }

    /// All of the response, so many bytes, is handed on.
    pub fn handed_on(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Keeps the place at the endpoint until the exchange ends: a tunnel has no response body to carry it.
    pub fn keep_lease(&mut self, lease: Lease) {
        self.tunnel = Some(lease);
    }

    /// The connection that the response body is read from, where no task drives it.
    pub fn upstream(&mut self) -> Option<&mut Upstream> {
        match self.held.as_mut()?.sender.as_mut()? {
            Sender::Direct(upstream) => Some(upstream),
            Sender::Driven(_) => None,
        }
    }

    /// Bytes of the response body that are still to come on that connection, if anybody knows.
    pub fn left(&self) -> Option<u64> {
        match self.held.as_ref()?.sender.as_ref()? {
            Sender::Direct(upstream) => upstream.left(),
            Sender::Driven(_) => None,
        }
    }

    /// Whether the response comes over HTTP/2.
    pub fn is_over_http2(&self) -> bool {
        self.held.as_ref().and_then(|held| held.sender.as_ref()).is_some_and(Sender::is_http2)
    }

    /// The time to the response head, for the access log.
    pub fn first_byte(&mut self) {
        if let Some(line) = &mut self.line {
            line.first_byte = Some(self.started.elapsed());
        }
    }

    /// This many bytes of the response were handed on.
    pub fn moved(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.session.bytes_went();
    }

    /// As [`Self::moved`], of bytes that never came into our memory.
    pub fn moved_past(&mut self, bytes: usize) {
        self.spliced += bytes as u64;
        self.moved(bytes);
    }

    /// The exchange is over.
    #[expect(clippy::boxed_local, reason = "it lives in a box, and moving it out to end it would copy it")]
    pub fn end(mut self: Box<Self>, end: End) {
        match end {
            End::Complete => {}
            // A server that has not got all of the request may answer in any way.
            End::Cut(error) => self.error = Some(self.session.upload.error.get().unwrap_or(error)),
            End::ClientLate => self.error = Some(Error::TotalTimeout),
            End::ClientGone => self.error = Some(Error::ClientGone),
        }
        self.finish(end);
    }

    fn finish(&mut self, end: End) {
        self.over = true;
        self.release(end);
        self.count();
        self.log();
        self.session.end_exchange();
    }

    /// Gives the connection back and tells the endpoint's passive health how it went.
    fn release(&mut self, end: End) {
        let complete = end == End::Complete;
        let Some(HeldConnection { sender, lease: _lease, then }) = self.held.take() else { return };
        let (Some(role), Some(index)) = (self.role, self.endpoint) else { return };
        let worker = &self.session.worker;
        let endpoint = self.snapshot.cluster(role).endpoint(index);
        let sick = endpoint.role.retry.on_status.contains(&self.status.as_u16());
        if complete && sick {
            if self.judges {
                worker.failed(endpoint, self.client);
            }
        } else if complete {
            worker.passed(endpoint);
        } else if let (Some(error), End::Cut(_)) = (self.error, end)
            && error.blames_endpoint()
        {
            endpoint.metrics.failure(error).increment(1);
            worker.failed(endpoint, self.client);
        }
        let Some(mut sender) = sender else { return };
        match then {
            Afterwards::Pool if complete && sender.sending().is_some() => {
                let (worker, snapshot) = (Rc::clone(worker), self.snapshot.clone());
                tokio::task::spawn_local(async move {
                    let endpoint = snapshot.cluster(role).endpoint(index);
                    if leftover::rest(&worker, endpoint, &mut sender).await {
                        worker.give_back(&snapshot, endpoint, sender);
                    }
                });
            }
            Afterwards::Pool if complete => worker.give_back(&self.snapshot, endpoint, sender),
            Afterwards::Pin if complete => {
                let hold = Hold::take(&endpoint.state);
                let topology = &self.snapshot.cluster(role).topology;
                let named = self.pinned_by.take().or_else(|| topology.called(self.names?).cloned());
                let pin = Pinned {
                    snapshot: self.snapshot.clone(),
                    role,
                    endpoint: index,
                    client: self.client,
                    named,
                    sender,
                    hold,
                };
                self.session.pins.borrow_mut().keep(pin);
            }
            Afterwards::Pool | Afterwards::Pin | Afterwards::Close => {}
        }
    }

    fn count(&self) {
        let metrics = self.role_metrics();
        metrics.requests[code_class(self.status)].increment(1);
        metrics.duration.record(self.started.elapsed());
        if let Some(error) = self.error {
            metrics.error(error).increment(1);
        }
        let received = self.session.upload.bytes.get();
        if received > 0 {
            metrics.request_bytes.increment(received);
        }
        if self.sent > 0 {
            metrics.response_bytes.increment(self.sent);
        }
        if self.spliced > 0 {
            metrics.spliced_bytes.increment(self.spliced);
        }
        if let Some(tier) = self.tier {
            metrics.tier(tier).increment(1);
        }
        if let Some(group) = self.group_metrics() {
            match self.tier.filter(|_| self.answered) {
                Some(tier) => group.answered(tier),
                None if self.error.is_some() => group.failed(),
                // Our own answer, which is no failure.
                None => {}
            }
            group.sent(self.sent);
        }
    }

    /// The handles of its boundary group, where such are counted.
    pub fn group_metrics(&self) -> Option<&GroupMetrics> {
        self.snapshot.cluster(self.role?).topology.group_metrics(self.group?)
    }

    /// The handles of the role, or those for requests of no role.
    pub fn role_metrics(&self) -> &RoleMetrics {
        match self.role {
            Some(role) => &self.snapshot.cluster(role).topology.metrics,
            None => &self.session.worker.no_role,
        }
    }

    /// The last endpoint that was asked.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.snapshot.cluster(self.role?).endpoint(self.endpoint?))
    }

    fn log(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        let worker = &self.session.worker;
        let Some(log) = &worker.log else { return };
        if line.drawn == Drawn::IfError && self.error.is_none() && !self.status.is_server_error() {
            return worker.spare_lines.put(line);
        }
        let endpoint = self.endpoint();
        let secured = self.session.secured.as_ref();
        let record = Record {
            #[allow(clippy::disallowed_methods, reason = "people read it in the log")]
            at: std::time::SystemTime::now(),
            kind: if self.session.is_http2() { Kind::Http2 } else { Kind::Http1 },
            place: Place::Of { listener: self.session.listener, role: self.role },
            snapshot: self.snapshot.share(),
            peer: self.session.peer,
            server: self.session.to,
            tls: secured.and_then(|secured| secured.version),
            cipher: secured.and_then(|secured| secured.cipher),
            client: self.client,
            method: Some(line.method.clone()),
            texts: std::mem::take(&mut line.texts),
            groups: self.groups,
            tier: self.tier,
            endpoint: endpoint.map(|endpoint| endpoint.address),
            site_system: endpoint.map(|endpoint| Arc::clone(&endpoint.system)),
            attempts: self.attempts,
            status: Some(self.status),
            error: self.error,
            ended: None,
            received: self.session.upload.bytes.get(),
            sent: self.sent,
            first_byte: line.first_byte,
            total: self.started.elapsed(),
        };
        worker.spare_lines.put(line);
        if log.put(Box::new(record)).is_err() {
            worker.metrics.log_dropped.increment(1);
        }
    }
}

/// The group, if what its clients ask is counted.
fn counted(group: GroupId, topology: &Topology) -> Option<GroupId> {
    topology.group_metrics(group).map(|_| group)
}

/// The future of a request is dropped when its client goes away before the response head: the exchange ends here.
impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.over {
            self.error = Some(Error::ClientGone);
            self.status = Error::ClientGone.status();
            self.finish(End::ClientGone);
        }
    }
}
