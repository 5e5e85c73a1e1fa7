//! What changes something: it needs a right to it, and each change is a line in the log of the process that says who, from where,
//! and what.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use tower_http::request_id::RequestId;
use utoipa::ToSchema;

use super::Admin;
use super::answer::{Answer, answered, failed};
use super::authority::{self, Who};
use super::desk::Desk;
use super::peer::Peer;
use crate::process_log::AUDIT;

/// What was changed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Changed {
    /// How many.
    pub changed: usize,
    /// The same in words.
    pub sentence: String,
}

/// The right to change something. A handler that takes it is called for requests that have it, and for no others.
#[derive(Debug)]
pub(super) struct Change {
    who: Who,
    from: Peer,
    /// Method, path and query as they came, so in ASCII without control characters.
    request: String,
    /// `x-request-id`.
    id: String,
}

impl FromRequestParts<Arc<Desk>> for Change {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Answer> {
        let Some(from) = parts.extensions.get::<Peer>().cloned() else { return Err(failed()) };
        let rules = &desk.admin.handles.snapshots.current().site.admin;
        let who = authority::may_change(rules, &parts.headers, &from).map_err(authority::Refusal::answer)?;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let id = parts.extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
        Ok(Self { who, from, request: format!("{} {target}", parts.method), id: id.to_owned() })
    }
}

/// What came of a change.
pub(super) struct Done {
    /// What is answered.
    pub(super) answer: Answer,
    /// What was changed, for the log; `None` when nothing was.
    pub(super) sentence: Option<String>,
}

impl Done {
    /// Nothing was changed.
    pub(super) fn nothing(answer: Answer) -> Self {
        Self { answer, sentence: None }
    }
}

impl Change {
    /// Does the work when it is its turn, on a thread of its own, and answers with what it gives: as JSON, or every mistake.
    /// The sentence of what was changed goes to the log.
    pub(super) async fn make<T: Recorded>(
        self,
        desk: &Desk,
        work: impl FnOnce(&Admin) -> Result<T, Vec<String>> + Send + 'static,
    ) -> Answer {
        let work = |admin: &Admin| {
            let done = work(admin);
            let sentence = done.as_ref().ok().map(|changed| changed.sentence().to_owned());
            Done { answer: answered(done), sentence }
        };
        self.carry_out(desk, work).await
    }

    /// As [`Change::make`], for answers of another kind.
    pub(super) async fn carry_out(self, desk: &Desk, work: impl FnOnce(&Admin) -> Done + Send + 'static) -> Answer {
        desk.long(move |admin| {
            let Done { answer, sentence } = work(admin);
            if let Some(sentence) = sentence {
                self.record(&sentence);
            }
            answer
        })
        .await
    }

    /// Where it comes from.
    pub(super) fn origin(&self) -> String {
        self.from.to_string()
    }

    /// A line in the log of the process.
    fn record(&self, what: &str) {
        let (who, from, request, id) = (&self.who, self.origin(), &self.request, &self.id);
        tracing::info!(target: AUDIT, %who, from, request, id, "changed: {what}");
    }
}

/// What a change answers with.
pub(super) trait Recorded: Serialize {
    /// What was changed, for the log.
    fn sentence(&self) -> &str;
}

impl Recorded for Changed {
    fn sentence(&self) -> &str {
        &self.sentence
    }
}
