//! The admin listener: metrics, readiness, health, status, explanations and what is known. On loopback, on a thread of its own,
//! so that it answers also when the control thread does not. Anyone who reaches it may ask; what changes state needs a token, see
//! `authority`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, request};

use crate::control::director::Handles;
use crate::control::ledger::Ledger;
use crate::explain::{Explanation, Question};
use crate::figures;
use crate::learned::clocks::Clocks;
use crate::learned::content::{self, Audit};
use crate::lookup;
use crate::metrics::Metrics;
use crate::model::cluster::Class;
use crate::model::live::{Live, Ticks};
use crate::status::Status;

mod alive;
mod answer;
mod authority;
mod change;
mod desk;
mod query;
mod scrape;
mod serve;

pub use alive::Threads;
pub use change::Changed;
pub use serve::serve;

use answer::{answered, json, text};
use query::Query;

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The Director's handles.
    pub handles: Handles,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The process is shutting down.
    pub draining: Arc<AtomicBool>,
    /// The threads that must work.
    pub threads: Threads,
}

/// What an address of the admin listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Index,
    Metrics,
    Health,
    Ready,
    Long(Long),
}

/// What takes a while, or waits for a lock that others may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Long {
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
            "/status" => Some(Self::Long(Long::Status)),
            "/explain" => Some(Self::Long(Long::Explain)),
            "/clocks" => Some(Self::Long(Long::Clocks)),
            "/content" => Some(Self::Long(Long::Content)),
            "/clocks/reset" => Some(Self::Long(Long::ResetClocks)),
            "/content/forget" => Some(Self::Long(Long::ForgetContent)),
            "/affinity/forget" => Some(Self::Long(Long::ForgetAffinity)),
            _ => None,
        }
    }

    /// Whether it changes something.
    fn changes(self) -> bool {
        match self {
            Self::Long(Long::ResetClocks | Long::ForgetContent | Long::ForgetAffinity) => true,
            Self::Long(Long::Status | Long::Explain | Long::Clocks | Long::Content)
            | Self::Index
            | Self::Metrics
            | Self::Health
            | Self::Ready => false,
        }
    }
}

/// What there is.
const PAGES: &str = "/status /metrics /ready /health /explain /clocks /content";

impl Admin {
    /// What is asked for, or why it is refused.
    fn admit(&self, head: &request::Parts) -> Result<Page, Box<Response<String>>> {
        let Some(page) = Page::at(head.uri.path()) else {
            return Err(Box::new(text(StatusCode::NOT_FOUND, format!("there is {}\n", PAGES.replace(' ', ", ")))));
        };
        let reads = head.method == Method::GET || head.method == Method::HEAD;
        let allowed = if page.changes() { head.method == Method::POST } else { reads };
        if !allowed {
            let (say, allow) = match page.changes() {
                true => ("this address changes something: send POST\n", "POST"),
                false => ("this address only answers questions\n", "GET, HEAD"),
            };
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, say.to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            return Err(Box::new(response));
        }
        if page.changes()
            && let Err(refusal) = authority::check(&self.handles.snapshots.current().site, &head.headers)
        {
            return Err(Box::new(refusal.response()));
        }
        Ok(page)
    }

    fn index(&self) -> Response<String> {
        text(StatusCode::OK, format!("rolegate: {PAGES}\n"))
    }

    async fn health(&self) -> Response<String> {
        let broken = self.threads.broken().await;
        match broken.is_empty() {
            true => text(StatusCode::OK, "alive\n".to_owned()),
            false => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", broken.join("\n"))),
        }
    }

    fn long(&self, page: Long, query: &Query) -> Response<String> {
        match page {
            Long::Status => json(&Status::new(&self.handles.snapshots.current(), &self.handles.view)),
            Long::Explain => answered(self.explain(query)),
            Long::Clocks => answered(self.clocks(query)),
            Long::Content => answered(self.content(query)),
            Long::ResetClocks => answered(self.reset_clocks(query)),
            Long::ForgetContent => answered(self.forget_content(query)),
            Long::ForgetAffinity => answered(self.forget_affinity(query)),
        }
    }

    /// What `/metrics` says.
    fn render(&self) -> String {
        figures::text(&self.handles, &self.metrics)
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
    fn ready(&self) -> Response<String> {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
        }
        let snapshot = self.handles.snapshots.current();
        let mut waiting = Vec::new();
        for cluster in &snapshot.clusters {
            let servable = cluster.panicking() || cluster.standings().iter().any(|s| s.class() != Class::Out);
            if !servable && snapshot.site.serves(cluster.topology.id) {
                waiting.push(cluster.topology.label().into_owned());
            }
        }
        if waiting.is_empty() {
            text(StatusCode::OK, "ready\n".to_owned())
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("nobody is well: {}\n", waiting.join(", ")))
        }
    }
}
