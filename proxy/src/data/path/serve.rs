//! The request path: route, locate, pick, forward, respond. Reads from top to bottom.
//!
//! [`handle`] makes the [`Exchange`], turns an error into a response, and never fails. `serve` is the path itself: the
//! decision once, then a loop of attempts, each at another endpoint, bounded by the role's retry rules and budget.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use http::{Method, StatusCode, Uri};
use hyper::body::Body;
use tokio::time::Instant;

use crate::data::path::attempt::{self, Answer, Coming, Failure, Source};
use crate::data::path::call::Call;
use crate::data::path::exchange::{Afterwards, End, Exchange};
use crate::data::path::hops::{self, Hops};
use crate::data::path::lawful;
use crate::data::path::message::{ClientRequest, ClientResponse};
use crate::data::path::outcome::{self, Head, Missed, Outcome, may_retry};
use crate::data::path::patience::{Leave, May};
use crate::data::path::respond;
use crate::data::path::response_body::{Downloading, PendingTunnel, ResponseBody};
use crate::data::path::session::Session;
use crate::data::transport::stream::Early;
use crate::data::upstream::pin::{self, PinEnd, Pinned};
use crate::data::upstream::pool::Sender;
use crate::error::{Error, Retry};
use crate::metrics::code_class;
use crate::model::balance::Tried;
use crate::model::decision::{Decision, Refusal};
use crate::model::endpoint::{Endpoint, Lease};
use crate::model::entry::Security;
use crate::model::facts::Facts;
use crate::model::role::{CertificateRule, ProxyProtocol, Role};
use crate::model::route::host_without_port;
use crate::model::snapshot::Snapshot;
use crate::wire::head::{RequestHead, ResponseHead};
use crate::wire::hop_by_hop::strip_hop_by_hop;
use crate::wire::known::Known;

/// How often a request is sent again that a server has not looked at: each time on connections that are there, and on a new one.
const REFUSALS: u32 = 3;

/// Answers one request: every error becomes a response.
pub async fn handle(session: Rc<Session>, request: ClientRequest) -> ClientResponse {
    let mut exchange = Exchange::begin(&session, &request.head, &request.body);
    match serve(&session, &mut exchange, request).await {
        Ok(Reply::Served(served)) => served.finish(exchange),
        Ok(Reply::Ours(response)) => {
            exchange.end(End::Complete);
            response
        }
        Err(error) => {
            let role = exchange.role.map(|role| &*exchange.snapshot.cluster(role).topology.role);
            let after = exchange.retry_after.unwrap_or_else(|| outcome::retry_after(session.worker.dice()));
            let mut answer = respond::error(error, &exchange.snapshot.site.proxy_name, role, after);
            session.name_request(&mut answer.head.fields);
            exchange.status = error.status();
            exchange.end(End::Cut(error));
            answer
        }
    }
}

/// The request path.
async fn serve(session: &Rc<Session>, exchange: &mut Exchange, mut request: ClientRequest) -> Result<Reply, Error> {
    lawful::check(session, &mut request.head)?;
    let snapshot = exchange.snapshot.clone();
    if !session.is_welcome(&snapshot) {
        session.close_after_response();
        return Err(Error::NotLetIn);
    }
    hops::end_loop(&request.head.fields, &snapshot.live.instance)?;
    let (uri, method) = (request.head.uri.clone(), request.head.method.clone());
    let decision = decide(session, exchange, &snapshot, (&method, &uri), &request.head)?;
    exchange.locate(&decision, &method);
    let role = &decision.cluster.topology.role;
    check_certificate(session, &snapshot, role, uri.path())?;
    if hops::count(&mut request.head)? == Hops::EndsHere {
        return Ok(Reply::Ours(hops::answer(&request.head, role)));
    }
    session.worker.count_request(decision.cluster_id);
    session.timer.cap(role.timeouts.total);
    let mut call = Call::prepare(session, role, request)?;
    if session.is_http2() && call.authorizes() {
        return Err(Error::NeedsHttp11);
    }

    let topology = &decision.cluster.topology;
    let pinned = session.pins.borrow_mut().take(topology.hash, exchange.client, decision.names());
    if let Some(pinned) = usable(pinned, session, &decision) {
        // Boxed because it is seldom: what is large in the request's future is copied with it.
        let served = Box::pin(on_pinned(session, exchange, &decision, call, pinned, &method)).await;
        return served.map(Reply::Served);
    }
    if call.may_keep_body(role) {
        call.keep_body(session, role).await?;
    }
    let served = on_endpoints(session, exchange, &decision, &mut call, &method).await;
    call.end(&session.worker.reading);
    served.map(Reply::Served)
}

/// A pinned connection that began under rules that have been withdrawn ends, and its client signs in again. So does one to a server
/// that does not have what this request needs.
fn usable(pinned: Option<Pinned>, session: &Session, decision: &Decision<'_>) -> Option<Pinned> {
    let pinned = pinned?;
    if pinned.keeps_terms(decision.cluster, session.proof()) && pinned.suits(decision) {
        return Some(pinned);
    }
    pinned.end(PinEnd::Failure);
    None
}

/// Route, locate and pick, as far as they follow from the request alone.
fn decide<'a>(
    session: &Session,
    exchange: &mut Exchange,
    snapshot: &'a Snapshot,
    (method, uri): (&'a Method, &'a Uri),
    head: &RequestHead,
) -> Result<Decision<'a>, Error> {
    let facts = Facts {
        listener: session.listener,
        host: host(head),
        method: method.as_str(),
        path: uri.path(),
        query: uri.query(),
        client: exchange.client,
        fields: Some(&head.fields),
        subject: session.subject(exchange.client),
    };
    let decided = Decision::new(snapshot, &facts, session.worker.ticker.now_ms());
    decided.map_err(|refusal| refused(refusal, exchange))
}

/// One endpoint after the other, until one has an answer for the client or nobody is left that may be asked.
async fn on_endpoints(
    session: &Rc<Session>,
    exchange: &mut Exchange,
    decision: &Decision<'_>,
    call: &mut Call,
    method: &Method,
) -> Result<Served, Error> {
    let role = &decision.cluster.topology.role;
    let mut tried = Tried::new();
    let mut last: Option<Error> = None;
    let (mut missed, mut search) = (Missed::default(), None);
    loop {
        let (pick, trial) = outcome::next(session, exchange, decision, &tried, last)?;
        tried.push(pick.endpoint);
        exchange.endpoint = Some(pick.endpoint);
        exchange.tier = Some(pick.tier.kind);
        exchange.attempts += 1;
        let endpoint = decision.cluster.endpoint(pick.endpoint);
        let mut lease = Some(Lease::take(&endpoint.state));
        // A server that lacks the content has failed at nothing.
        let attempts_left = exchange.attempts - missed.count <= role.retry.attempts && !tried.is_full();

        // The clock is read once more only for another attempt.
        let begun = if exchange.attempts == 1 { exchange.started } else { Instant::now() };
        let may = if attempts_left && call.repeatable() { May::Leave } else { May::Stay };
        let leave = Leave { decision, tried: &tried, may, left: Cell::new(false) };
        let attempted = attempt(session, exchange.client, (endpoint, &leave), call, begun).await;
        outcome::end_trial(session, trial, &attempted);
        let error = match attempted {
            Ok(mut answer) => {
                let learned = outcome::learn(session, decision, &pick, method, answer.head.status);
                let said = learned.said;
                let next = if outcome::is_missing(said) {
                    missed.note(pick.endpoint, learned);
                    // Whoever waits for another's search takes no place at this server.
                    lease = None;
                    if !call.authorizes() {
                        answer.take_in(session, &exchange.snapshot, endpoint).await;
                    }
                    if call.repeatable() {
                        outcome::await_turn(session, decision, &tried, &mut search).await;
                    }
                    outcome::missing(session, exchange, decision, &tried, (said, &mut missed, call.repeatable()))
                } else if attempts_left && call.repeatable() {
                    let next = unless_sick(session, decision, &tried, (endpoint, exchange.client), answer.head.status);
                    if next == Outcome::Elsewhere {
                        // Its error page is thrown away, and not the connection.
                        answer.take_in(session, &exchange.snapshot, endpoint).await;
                    }
                    next
                } else {
                    Outcome::Serve
                };
                match next {
                    Outcome::Elsewhere => continue,
                    Outcome::Fail(error) => return Err(error),
                    Outcome::Serve => {}
                }
                if session.is_http2()
                    && role.connection_auth
                    && pin::challenges(answer.head.status, &answer.head.fields)
                {
                    return Err(Error::NeedsHttp11);
                }
                outcome::search_over(session, decision, &missed, exchange.client, said);
                exchange.answered_from(decision.location, pick.tier);
                let head = Head { method, said, attempts: exchange.attempts };
                outcome::served(decision, &pick, &head, &mut answer.head);
                let lease = lease.unwrap_or_else(|| Lease::take(&endpoint.state));
                return Ok(Served { answer, lease, pinned: call.authorizes() });
            }
            Err(error) => error,
        };
        drop(lease);
        last = Some(error);
        let granted = || !someone_else(decision, &tried, session) || may_retry(session, decision, error.retry());
        // A request that has left has its grant already.
        if !(leave.left.get() || call.allows(error.retry()) && attempts_left && granted()) {
            return Err(error);
        }
    }
}

/// The response of a sick server is better than none: it is given up only for another server.
fn unless_sick(
    session: &Session,
    decision: &Decision<'_>,
    tried: &Tried,
    (endpoint, client): (&Endpoint, IpAddr),
    status: StatusCode,
) -> Outcome {
    let sick = decision.cluster.topology.role.retry.on_status.contains(&status.as_u16());
    if sick && someone_else(decision, tried, session) && may_retry(session, decision, Retry::Repeatable) {
        session.worker.failed(endpoint, client);
        return Outcome::Elsewhere;
    }
    Outcome::Serve
}

/// One attempt, counted at its endpoint. A request that may be repeated gets a second connection when an idle one was
/// closed under it: that is no failure of the endpoint.
async fn attempt(
    session: &Rc<Session>,
    client: IpAddr,
    (endpoint, leave): (&Endpoint, &Leave<'_>),
    call: &mut Call,
    begun: Instant,
) -> Result<Answer, Error> {
    let (mut fresh, mut refusals) = (call.authorizes(), 0);
    loop {
        match attempt::attempt(session, endpoint, call, leave, fresh).await {
            Ok(answer) => {
                endpoint.metrics.duration.record(begun.elapsed());
                endpoint.metrics.requests[code_class(answer.head.status)].increment(1);
                return Ok(answer);
            }
            // Over HTTP/2 a server may say that it has not looked at a request. Until now it has only been busy.
            Err(Failure { error: Error::NeverSent, reused: true }) if refusals < REFUSALS && call.is_whole() => {
                refusals += 1;
            }
            Err(Failure { error: Error::Terminated, reused: true }) if !fresh && call.repeatable() => fresh = true,
            Err(Failure { error, .. }) => {
                if error.blames_endpoint() {
                    endpoint.metrics.failure(error).increment(1);
                    // One that is left for another server may still answer.
                    if !leave.left.get() {
                        session.worker.failed_for(endpoint, (client, session.proof()), error);
                    }
                }
                return Err(error);
            }
        }
    }
}

/// A request on a connection that belongs to this client. It is never sent anywhere else, and when it fails, both
/// connections close.
async fn on_pinned(
    session: &Rc<Session>,
    exchange: &mut Exchange,
    decision: &Decision<'_>,
    mut call: Call,
    pinned: Pinned,
    method: &Method,
) -> Result<Served, Error> {
    let Pinned { snapshot, role, endpoint: index, mut sender, named, client: _, hold: _ } = pinned;
    exchange.pinned_by = named;
    call.begin_body_at_once();
    exchange.goes_on(snapshot.clone(), role, index);
    let endpoint = snapshot.cluster(role).endpoint(index);
    // It can be sent nowhere else, so that it is not refused for the number of others.
    let lease = Lease::take(&endpoint.state);
    let begun = exchange.started;
    let answered = match attempt::settle(session, endpoint, &mut sender).await {
        Ok(()) => attempt::on_connection(session, endpoint, sender, &mut call, None, true).await,
        Err(error) => Err(Failure { error, reused: true }),
    };
    match answered {
        Ok(mut answer) => {
            endpoint.metrics.duration.record(begun.elapsed());
            endpoint.metrics.requests[code_class(answer.head.status)].increment(1);
            if let Some(pick) = decision.pinned(endpoint.state.id) {
                let learned = outcome::learn(session, decision, &pick, method, answer.head.status);
                let (said, mut missed) = (learned.said, Missed::default());
                if outcome::is_missing(said) {
                    missed.note(pick.endpoint, learned);
                    // The next connection may go to a server that has it; this one cannot.
                    session.close_after_response();
                    let tried = Tried::from_iter([pick.endpoint]);
                    if let Outcome::Fail(error) =
                        outcome::missing(session, exchange, decision, &tried, (said, &mut missed, false))
                    {
                        return Err(error);
                    }
                }
                outcome::search_over(session, decision, &missed, exchange.client, said);
                let head = Head { method, said, attempts: 1 };
                outcome::served(decision, &pick, &head, &mut answer.head);
            }
            exchange.answered = true;
            Ok(Served { answer, lease, pinned: true })
        }
        Err(failure) => {
            session.close_after_response();
            PinEnd::Failure.count(exchange.role_metrics());
            endpoint.metrics.failure(failure.error).increment(1);
            Err(failure.error)
        }
    }
}

/// What a request is answered with.
enum Reply {
    /// The answer of an endpoint.
    Served(Served),
    /// One of our own that is no error.
    Ours(ClientResponse),
}

/// A response head from an endpoint.
struct Served {
    answer: Answer,
    lease: Lease,
    /// The connection belongs to its client already.
    pinned: bool,
}

impl Served {
    /// Hands the response on; the exchange ends with its body.
    fn finish(self, mut exchange: Box<Exchange>) -> ClientResponse {
        let Answer { mut head, source } = self.answer;
        let hop = strip_hop_by_hop(&mut head.fields);
        exchange.status = head.status;
        exchange.first_byte();
        let session = Rc::clone(&exchange.session);
        let role = exchange.endpoint().map(|endpoint| &*endpoint.role);
        let challenged = role.is_some_and(|role| role.connection_auth) && pin::challenges(head.status, &head.fields);
        let announced = role.is_some_and(|role| role.proxy_protocol != ProxyProtocol::Off);
        let idle = role.map(|role| role.timeouts.response_body_idle);
        let Coming { incoming, sender, reused } = match source {
            Source::Connection(coming) => coming,
            Source::Whole(body) => {
                exchange.hold(None, self.lease, Afterwards::Close);
                exchange.handed_on(body.len());
                exchange.end(End::Complete);
                let body = if body.is_empty() { ResponseBody::Empty } else { ResponseBody::Full(Some(body)) };
                return ClientResponse::new(head, body);
            }
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return switch(head, sender, hop.upgrade, exchange, self.lease);
        }
        let pin = self.pinned || (challenged && !reused);
        let closes = hop.close || head.version < http::Version::HTTP_11;
        let then = match (pin, closes || (announced && !pin)) {
            (true, false) => Afterwards::Pin,
            (false, false) => Afterwards::Pool,
            (_, true) => Afterwards::Close,
        };
        if pin && then == Afterwards::Close {
            session.close_after_response();
        }
        exchange.hold(Some(sender), self.lease, then);
        let over = incoming.as_ref().map_or_else(|| exchange.left() == Some(0), Body::is_end_stream);
        if over {
            exchange.end(End::Complete);
            return ClientResponse::new(head, ResponseBody::Empty);
        }
        if let Some(idle) = idle {
            session.begin_response(idle);
        }
        ClientResponse::new(head, ResponseBody::Stream(Box::new(Downloading::new(incoming, exchange))))
    }
}

/// 101: both sides leave HTTP. The tunnel starts when the client has the head.
fn switch(
    mut head: ResponseHead,
    sender: Sender,
    protocol: Option<http::HeaderValue>,
    mut exchange: Box<Exchange>,
    lease: Lease,
) -> ClientResponse {
    if let Some(protocol) = protocol {
        head.fields.set(Known::Connection, http::HeaderValue::from_static("upgrade"));
        head.fields.set(Known::Upgrade, protocol);
    }
    let idle =
        exchange.endpoint().map_or(crate::data::thread::ticker::TICK, |endpoint| endpoint.role.timeouts.tunnel_idle);
    let (stream, early) = match sender {
        Sender::Direct(upstream) => upstream.into_parts(),
        // HTTP/2 has no 101 (RFC 9113, section 8.6), and hyper lets none pass.
        Sender::Driven(_) => {
            exchange.end(End::Cut(Error::BadResponse));
            head.status = StatusCode::BAD_GATEWAY;
            return ClientResponse::new(head, ResponseBody::Empty);
        }
    };
    exchange.keep_lease(lease);
    // The client has to take the head.
    exchange.session.timer.set(exchange.session.limits().client_keepalive_timeout);
    let pending = PendingTunnel { upstream: Early { stream, early }, exchange, idle };
    ClientResponse::new(head, ResponseBody::Tunnel(Box::new(pending)))
}

fn host(head: &RequestHead) -> Option<&str> {
    let from_target = head.uri.authority().map(http::uri::Authority::as_str);
    let from_field = || head.fields.get(Known::Host).and_then(|host| std::str::from_utf8(host).ok());
    from_target.or_else(from_field).map(host_without_port)
}

fn refused(refusal: Refusal, exchange: &mut Exchange) -> Error {
    match refusal {
        Refusal::DotSegment => Error::DotSegment,
        Refusal::NoRoute | Refusal::NotAtSite(..) => Error::NoRoute,
        Refusal::Method(role) => {
            exchange.role = Some(role);
            Error::MethodNotAllowed
        }
        Refusal::NotNamed(role) => {
            exchange.role = Some(role);
            Error::NotNamed
        }
    }
}

/// Some listeners, and some roles, require a client certificate on most paths.
fn check_certificate(session: &Session, snapshot: &Snapshot, role: &Role, path: &str) -> Result<(), Error> {
    let entry = &snapshot.site.listeners[usize::from(session.listener)].entry;
    let shown = session.secured.as_ref().is_some_and(|secured| secured.certificate.is_some());
    match &entry.security {
        Security::Terminated(terminated) if !shown && !terminated.allows_anonymous(role.client_certificates, path) => {
            Err(Error::NoClientCertificate)
        }
        // Nobody could show one.
        Security::Plain if role.client_certificates == CertificateRule::Required => Err(Error::NoClientCertificate),
        Security::Terminated(_) | Security::Plain => Ok(()),
        // A reload made it so: what is passed through has rules of the site system's, and this connection passed none.
        Security::Passthrough { .. } => {
            session.close_after_response();
            Err(Error::NoRoute)
        }
    }
}

fn someone_else(decision: &Decision<'_>, tried: &Tried, session: &Session) -> bool {
    decision.pick(tried, session.worker.ticker.now_ms(), 0).is_ok()
}
