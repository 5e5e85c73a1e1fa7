//! The admin listener: metrics, readiness, health, status, explanations and what is known. On loopback, on the control
//! thread. Anyone who reaches it may ask; what changes state needs a token, see `authority`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::ServiceBuilder;

use crate::control::director::Handles;
use crate::control::ledger::Ledger;
use crate::explain::{Explanation, Question};
use crate::learned::clocks::Clocks;
use crate::learned::content::{self, Audit};
use crate::lookup;
use crate::metrics::Metrics;
use crate::model::cluster::Class;
use crate::model::live::{Live, Ticks};
use crate::status::Status;

mod authority;
mod change;
mod query;

pub use change::Changed;

use query::Query;

/// Admin connections at the same time; more wait.
const CONNECTIONS: usize = 32;
/// A connection must send its request within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection takes no more requests after this time,
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// and its last answer must be read within this time.
const GOODBYE: Duration = Duration::from_secs(30);

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The Director's handles.
    pub handles: Handles,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The process is shutting down.
    pub draining: Arc<AtomicBool>,
}

/// Serves the admin listener until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admin = admin.clone();
        tokio::spawn(async move {
            let answer = move |request: Request<Incoming>| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(admin.answer_in_time(request).await) }
            };
            let service = ServiceBuilder::new().service_fn(answer);
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let service = TowerToHyperService::new(service);
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            // A client that does not read takes the place of another. One that breaks off needs no word.
            if timeout(CONNECTION_AGE, connection.as_mut()).await.is_err() {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(GOODBYE, connection).await;
            }
            drop(permit);
        });
    }
}

/// What an address of the admin listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Index,
    Metrics,
    Health,
    Ready,
    Status,
    Explain,
    Clocks,
    Content,
    ResetClocks,
    ForgetContent,
    ForgetAffinity,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Index),
            "/metrics" => Some(Self::Metrics),
            "/health" => Some(Self::Health),
            "/ready" => Some(Self::Ready),
            "/status" => Some(Self::Status),
            "/explain" => Some(Self::Explain),
            "/clocks" => Some(Self::Clocks),
            "/content" => Some(Self::Content),
            "/clocks/reset" => Some(Self::ResetClocks),
            "/content/forget" => Some(Self::ForgetContent),
            "/affinity/forget" => Some(Self::ForgetAffinity),
            _ => None,
        }
    }

    /// Whether it changes something.
    fn changes(self) -> bool {
        match self {
            Self::ResetClocks | Self::ForgetContent | Self::ForgetAffinity => true,
            Self::Index
            | Self::Metrics
            | Self::Health
            | Self::Ready
            | Self::Status
            | Self::Explain
            | Self::Clocks
            | Self::Content => false,
        }
    }

    /// Whether it reads whole tables, which may be large: the control thread has probes to make meanwhile.
    fn takes_long(self) -> bool {
        self.changes() || matches!(self, Self::Metrics | Self::Explain | Self::Clocks | Self::Content)
    }
}

/// What there is.
const PAGES: &str = "/status /metrics /ready /health /explain /clocks /content";

impl Admin {
    async fn answer_in_time(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, _) = request.into_parts();
        let takes_long = Page::at(head.uri.path()).is_some_and(Page::takes_long);
        let answer = move || self.answer(&head.method, head.uri.path(), head.uri.query(), &head.headers);
        if !takes_long {
            return answer();
        }
        match tokio::task::spawn_blocking(answer).await {
            Ok(response) => response,
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// The answer to a request.
    pub fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let Some(page) = Page::at(path) else {
            return text(StatusCode::NOT_FOUND, format!("there is {}\n", PAGES.replace(' ', ", ")));
        };
        let reads = method == Method::GET || method == Method::HEAD;
        let allowed = if page.changes() { method == Method::POST } else { reads };
        if !allowed {
            let (say, allow) = match page.changes() {
                true => ("this address changes something: send POST\n", "POST"),
                false => ("this address only answers questions\n", "GET, HEAD"),
            };
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, say.to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        if page.changes()
            && let Err(refusal) = authority::check(&self.handles.snapshots.current().site, headers)
        {
            return refusal.response();
        }
        match page {
            Page::Index => text(StatusCode::OK, format!("rolegate: {PAGES}\n")),
            Page::Metrics => {
                self.refresh_gauges();
                let mut response = text(StatusCode::OK, self.metrics.render());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Page::Health => text(StatusCode::OK, "alive\n".to_owned()),
            Page::Ready => self.ready(),
            Page::Status => json(&Status::new(&self.handles.snapshots.current(), &self.handles.view)),
            Page::Explain => answered(self.explain(&Query::read(query))),
            Page::Clocks => answered(self.clocks(&Query::read(query))),
            Page::Content => answered(self.content(&Query::read(query))),
            Page::ResetClocks => answered(self.reset_clocks(&Query::read(query))),
            Page::ForgetContent => answered(self.forget_content(&Query::read(query))),
            Page::ForgetAffinity => answered(self.forget_affinity(&Query::read(query))),
        }
    }

    /// Milliseconds of the process clock.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.handles.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> Ticks {
        Live::ticks(self.now_ms())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.handles.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, query: &Query) -> Result<Explanation, Vec<String>> {
        let question = Question::parse(query.pairs())?;
        let (snapshot, view) = (self.handles.snapshots.current(), &self.handles.view);
        question.explain(&snapshot, Some(view), self.now_ms(), fastrand::u64(..))
    }

    fn clocks(&self, query: &Query) -> Result<Clocks, Vec<String>> {
        query.only(&[])?;
        // A copy: the control thread waits for nobody who looks through a table.
        let ledger = self.ledger().clone();
        Ok(Clocks::new(&self.handles.snapshots.current(), &ledger, self.now()))
    }

    fn content(&self, query: &Query) -> Result<Audit, Vec<String>> {
        query.only(&["server"])?;
        let snapshot = self.handles.snapshots.current();
        let server = query.one("server").map(|name| lookup::site_system(&snapshot, name)).transpose();
        let server = server.map_err(|mistake| vec![mistake])?;
        let names = content::names(&self.ledger());
        Ok(Audit::new(&snapshot, &names, self.now(), server.as_deref()))
    }

    /// Ready when every role that a listener serves has a server for somebody, and until the shutdown begins.
    fn ready(&self) -> Response<Full<Bytes>> {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
        }
        let snapshot = self.handles.snapshots.current();
        let mut waiting = Vec::new();
        for cluster in &snapshot.clusters {
            let servable = cluster.panicking() || cluster.standings().iter().any(|s| s.class() != Class::Out);
            if !servable && snapshot.site.serves(cluster.topology.id) {
                waiting.push(cluster.topology.role.name.clone());
            }
        }
        if waiting.is_empty() {
            text(StatusCode::OK, "ready\n".to_owned())
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("nobody is well: {}\n", waiting.join(", ")))
        }
    }

    /// Numbers that are counted elsewhere and read only here.
    fn refresh_gauges(&self) {
        let snapshot = self.handles.snapshots.current();
        let running = snapshot.live.running_clocks(self.now(), snapshot.site.fallback.idle_ticks());
        self.metrics.scope(&[]).gauge("rolegate_fallback_clocks").set(running as f64);
        let view = self.handles.view.lock().unwrap_or_else(PoisonError::into_inner);
        // Of endpoints that left and came back: what is under way from before.
        let mut before: HashMap<(&str, &str, SocketAddr), u32> = HashMap::new();
        for leaving in &view.leaving {
            *before.entry((&leaving.role, &leaving.system, leaving.address)).or_default() += leaving.state.in_flight();
        }
        for cluster in &snapshot.clusters {
            for endpoint in &cluster.topology.endpoints {
                let key = (cluster.topology.role.name.as_str(), &*endpoint.system, endpoint.address);
                let in_flight = endpoint.state.in_flight() + before.get(&key).copied().unwrap_or(0);
                endpoint.metrics.inflight.set(f64::from(in_flight));
                if let Some(report) = view.checker.report(endpoint.state.id) {
                    endpoint.metrics.checked(report.passes, report.failures, report.unknown);
                }
            }
        }
    }
}

/// What was asked for as JSON, or all mistakes in the question.
fn answered<T: Serialize>(answer: Result<T, Vec<String>>) -> Response<Full<Bytes>> {
    match answer {
        Ok(value) => json(&value),
        Err(mistakes) => text(StatusCode::BAD_REQUEST, format!("{}\n", mistakes.join("\n"))),
    }
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(value) {
        Ok(json) => {
            let mut response = text(StatusCode::OK, json);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
