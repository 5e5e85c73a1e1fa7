//! What changes something: it needs the token, and each change is a line in the log of the process.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, answered};
use super::desk::Desk;
use super::peer::Peer;
use super::{Admin, authority};

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
    from: Option<Peer>,
}

impl FromRequestParts<Arc<Desk>> for Change {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Answer> {
        authority::check(&desk.admin.handles.snapshots.current().site, &parts.headers)
            .map_err(authority::Refusal::answer)?;
        Ok(Self { from: parts.extensions.get().copied() })
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
        let from = self.from.map(|peer| peer.to_string()).unwrap_or_default();
        tracing::info!(from, "changed: {what}");
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
