//! `/explain`: where a request goes, and why.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, answered};
use crate::admin::described::Questioned;
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::parameters::Parameters;
use crate::explain::{Explanation, Question};

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// Where a request goes and why: decided as it would be, and nothing is changed.
#[utoipa::path(get, path = "/explain", tag = "site", params(
    ("client" = String, Query, description = "The client's address, as rolegate sees it."),
    ("method" = Option<String>, Query, description = "The method; GET when absent."),
    ("target" = Option<String>, Query, description = "Path and query. Left out for a TCP listener alone."),
    ("host" = Option<String>, Query, description = "The host that the client asks for."),
    ("listener" = Option<String>, Query, description = "The listener; the first one that serves the target when absent."),
    ("field" = Option<Vec<String>>, Query, description = "Fields of the request, `Name: value` each."),
    ("subject" = Option<String>, Query, description = "Who the client's certificate is for."),
    ("why-not" = Option<String>, Query, description = "A site system: why it is not the one."),
), responses((status = 200, body = Explanation), Questioned))]
async fn explain(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| answered(admin.explain(&parameters))).await
}

impl Admin {
    fn explain(&self, parameters: &Parameters) -> Result<Explanation, Vec<String>> {
        let question = Question::parse(parameters.pairs())?;
        let (snapshot, view) = (self.handles.snapshots.current(), &self.handles.view);
        question.explain(&snapshot, Some(view), self.now_ms(), fastrand::u64(..))
    }
}
