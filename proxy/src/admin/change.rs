//! What changes something: it needs the token, and each change is a line in the log of the process.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::answer::{Answer, answered};
use super::authority::{self, Who};
use super::desk::{Desk, failed};
use super::peer::Peer;

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
}

impl FromRequestParts<Arc<Desk>> for Change {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Answer> {
        let Some(from) = parts.extensions.get::<Peer>().cloned() else { return Err(failed()) };
        let rules = &desk.admin.handles.snapshots.current().site.admin;
        let who = authority::may_change(rules, &parts.headers, &from).map_err(authority::Refusal::answer)?;
        Ok(Self { who, from })
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
        desk.long(move |admin| {
            let done = work(admin);
            if let Ok(changed) = &done {
                self.record(changed.sentence());
            }
            answered(done)
        })
        .await
    }

    /// A line in the log of the process.
    fn record(&self, what: &str) {
        tracing::info!(who = %self.who, from = %self.from, "changed: {what}");
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
