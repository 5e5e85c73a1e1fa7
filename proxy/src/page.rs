//! The status page: what a running proxy knows, for people with a browser. It only reads.
//!
//! Every page is made on the server, of values that the admin interface also gives as JSON, and works without script. A script of
//! our own asks for the live part of a page again every two seconds and changes what has changed. Nothing comes from elsewhere:
//! the style and the script are part of the program, and [`headers`] forbids everything else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use maud::Markup;

use crate::control::director::{Handles, View};
use crate::control::ledger::Ledger;
use crate::explain::Question;
use crate::learned::clocks::Clocks;
use crate::learned::content::{self, Audit};
use crate::metrics::Metrics;
use crate::model::live::Live;
use crate::model::snapshot::Snapshot;
use crate::status::Status;

mod assets;
mod boundary_group;
mod boundary_groups;
mod certificates;
mod client;
mod contents;
mod explain;
mod filter;
mod frame;
mod numbers;
mod overrides;
mod overview;
mod parts;
mod roles;
mod site_system;
mod site_systems;
mod topic;
mod traffic;
mod versions;

#[cfg(test)]
#[path = "page/page_tests.rs"]
mod tests;

pub use assets::{ASSETS, asset, headers};
pub use certificates::ListenerCertificate;
pub use client::ClientFacts;
pub use topic::{Extent, Topic};
pub use versions::VersionStatus;

use filter::Asked;
use frame::Frame;
use traffic::{Looks, Traffic};

/// Pages that are asked for at the same moment share what they show.
const SHARED_FOR: Duration = Duration::from_millis(900);

/// What all pages show of one moment.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: Status,
    pub(crate) traffic: Traffic,
    /// Seconds since 1970.
    pub(crate) now: f64,
}

/// What the page remembers: the last looks at the counters, for rates.
#[derive(Debug, Default)]
pub struct Pages {
    looks: Mutex<Looks>,
    last: Mutex<Option<(Instant, Arc<Shown>)>>,
}

/// What pages are made of.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The Director's handles.
    pub handles: &'a Handles,
    /// All metrics.
    pub metrics: &'a Metrics,
}

impl Sources<'_> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.handles.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.handles.snapshots.current()
    }

    fn view(&self) -> &Arc<Mutex<View>> {
        &self.handles.view
    }

    /// A copy: nobody waits for who looks through it.
    fn ledger(&self) -> Ledger {
        self.handles.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn clocks(&self) -> Clocks {
        Clocks::new(&self.snapshot(), &self.ledger(), Live::ticks(self.now_ms()))
    }

    fn audit(&self, server: Option<&str>) -> Audit {
        let names = content::names(&self.ledger());
        Audit::new(&self.snapshot(), &names, Live::ticks(self.now_ms()), server)
    }
}

/// A page or its live part, with the status of the answer.
#[derive(Debug)]
struct Made {
    status: StatusCode,
    title: String,
    /// What stays as it is while the live part changes: forms.
    still: Markup,
    /// What is asked for again; empty when there is nothing of that kind.
    live: Markup,
    /// Whether it is asked for again at all.
    refresh: Refresh,
}

/// Whether a page changes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    /// Every two seconds.
    Live,
    /// It is an answer to a question, and stays.
    Never,
}

impl Made {
    fn live(title: impl Into<String>, still: Markup, live: Markup) -> Self {
        Self { status: StatusCode::OK, title: title.into(), still, live, refresh: Refresh::Live }
    }

    fn answer(status: StatusCode, title: impl Into<String>, still: Markup, live: Markup) -> Self {
        Self { status, title: title.into(), still, live, refresh: Refresh::Never }
    }

    fn missing(what: &str, name: &str) -> Self {
        let text = maud::html! { p { "There is no " (what) " " b { (name) } ". It may have been taken out of the configuration." } };
        Self::answer(StatusCode::NOT_FOUND, format!("No such {what}"), maud::html! {}, text)
    }
}

impl Pages {
    /// The page about a topic. `pairs` are the parameters of its address.
    pub fn html(
        &self,
        topic: Topic,
        pairs: &[(String, String)],
        extent: Extent,
        sources: &Sources<'_>,
    ) -> Response<String> {
        let (shown, asked) = (self.shown(sources), Asked::new(pairs));
        let made = make(topic, &asked, &shown, sources);
        let frame = Frame { topic, shown: &shown, made: &made };
        let markup = match extent {
            Extent::Whole => frame.whole(),
            Extent::Live => frame.live(),
        };
        let mut response = Response::new(markup.into_string());
        *response.status_mut() = made.status;
        let own = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        response.headers_mut().extend(headers().into_iter().chain(own));
        response
    }

    /// What is shown now; the same for all who ask at the same moment.
    fn shown(&self, sources: &Sources<'_>) -> Arc<Shown> {
        // Who comes meanwhile waits, and has it then: it is made once.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, shown)) = &*last
            && at.elapsed() < SHARED_FOR
        {
            return Arc::clone(shown);
        }
        let status = Status::new(&sources.snapshot(), sources.view());
        let look = traffic::Look::take(&status, sources.metrics);
        let traffic = self.looks.lock().unwrap_or_else(PoisonError::into_inner).add(Instant::now(), look);
        let now = crate::status::seconds(std::time::SystemTime::now());
        let shown = Arc::new(Shown { status, traffic, now });
        *last = Some((Instant::now(), Arc::clone(&shown)));
        shown
    }
}

fn make(topic: Topic, asked: &Asked<'_>, shown: &Shown, sources: &Sources<'_>) -> Made {
    match topic {
        Topic::Overview => overview::page(shown, &sources.clocks()),
        Topic::SiteSystems => site_systems::page(shown, asked),
        Topic::SiteSystem => site_system::page(shown, asked, |name| sources.audit(Some(name))),
        Topic::BoundaryGroups => boundary_groups::page(shown, asked, &sources.clocks()),
        Topic::BoundaryGroup => boundary_group::page(shown, asked, &sources.clocks()),
        Topic::Content => contents::page(asked, &sources.audit(None)),
        Topic::Versions => versions::page(shown, &versions::all(sources.view())),
        Topic::Certificates => certificates::page(shown, &certificates::of_admin(&sources.snapshot().site.admin)),
        Topic::Explain => {
            let question = explain::question(asked);
            let answer = question.map(|pairs| {
                let question = Question::parse(&pairs)?;
                question.explain(&sources.snapshot(), Some(sources.view()), sources.now_ms(), fastrand::u64(..))
            });
            explain::page(asked, answer.as_ref())
        }
        Topic::Client => {
            let facts = asked.one("client").map(|text| client::facts(text, sources));
            client::page(asked, facts.as_ref())
        }
    }
}

/// The JSON of `/versions`.
pub fn versions(handles: &Handles) -> Vec<VersionStatus> {
    versions::all(&handles.view)
}

/// The JSON of `/certificates`.
pub fn certificates(handles: &Handles) -> Vec<ListenerCertificate> {
    let snapshot = handles.snapshots.current();
    certificates::all(&Status::new(&snapshot, &handles.view), &certificates::of_admin(&snapshot.site.admin))
}

/// The JSON of `/client`.
///
/// # Errors
/// A sentence for each mistake in the question.
pub fn client(pairs: &[(String, String)], sources: &Sources<'_>) -> Result<ClientFacts, Vec<String>> {
    let asked = Asked::new(pairs);
    let text = asked.one("client").ok_or_else(|| vec!["client is missing: the address of a client".to_owned()])?;
    client::facts(text, sources).map_err(|mistake| vec![mistake])
}
